"""Tiles on Dask workers, real processes: the result of one process, and a worker may be killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import dask
import h5py
import numpy as np
import pytest
from dask_processes import Cluster, dask_processes
from distributed import Client

from ptycho import cluster as door
from ptycho.data import open_scan, save_scan
from ptycho.errors import ClusterError, UsageError
from ptycho.frames import views
from ptycho.refinement import RefineConfig, RefineResult, engine, refine, start
from ptycho.refinement.spread import Spread
from ptycho.refinement.start import Counts, Frames
from ptycho.refinement.tiles import Tile, Tiling
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

BATCH = 32
SETTINGS: dict[str, Any] = {
    "passes": 8,
    "whole_share": 0.5,
    "regularise": 0.25,
    "loss": "amplitude",
    "batch_size": BATCH,
    "tile_px": 80,
    "opr": 1,
    "positions": "frames",
    "position_limit_px": 1.0,
    "checkpoint_s": 1e6,
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three workers: two are killed."""
    folder = tmp_path_factory.mktemp("cluster")
    with dask_processes(folder, folder, workers=3) as there:
        yield there


@pytest.fixture(scope="module")
def scan() -> Scan:
    geometry = {"wavelength_m": 1e-10, "distance_m": 1.0, "detector_pixel_m": 1e-4}
    shape = {"N": 32, "n_frames": 144, "probe_diameter_px": 16, "step_px": 6}
    return simulate(SimulationConfig(**shape, **geometry, photons=1e4, seed=2))


@pytest.fixture(autouse=True, scope="module")
def one_program() -> Iterator[None]:
    """Whole passes by parts as large as a mini-batch: each process compiles one program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "CHUNK_PIXELS", BATCH * 32**2)
        yield


def test_what_is_sent_of_a_tile_is_what_this_process_sees(scan: Scan) -> None:
    """Held-out counts and pixels that are none are in it; fields and facts of the scan are not."""
    rng = np.random.default_rng(0)
    scan = replace(scan, frame_mask=rng.random(scan.counts.shape) > 0.1)
    frames = Frames(scan, RefineConfig(), rng)
    numbers = np.sort(rng.permutation(scan.n_frames)[:60])
    assert 0 < len(np.intersect1d(numbers, frames.held)) < 60
    part: Counts = frames.visible.of(numbers)
    rows = rng.permutation(60)
    np.testing.assert_array_equal(part.training(rows), frames.training(numbers[rows]))
    assert part.scan.probe is None and part.scan.truth is None
    frames.give_back()
    part = frames.visible.of(numbers)
    np.testing.assert_array_equal(part.training(rows), frames.measured(numbers[rows]))


def spread_of(scan: Scan, client: Client) -> tuple[Spread, Tile]:
    tiles = Tiling.of_one((9, 9), scan.n_frames)
    frames = Frames(scan, RefineConfig(), np.random.default_rng(0))
    return Spread(client, frames, tiles), tiles.tiles[0]


@pytest.mark.parametrize(
    ("function", "argument", "words"),
    [(os._exit, 1, "died.*smaller windows"), (import_module, "no_such_package", "lacks")],
)
def test_what_workers_cannot_do_is_told_in_words(
    scan: Scan, function: Callable[..., Any], argument: Any, words: str
) -> None:
    """A task that ends each worker that takes it, and a package that is not there."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        door.client("local") as client,
    ):
        spread, tile = spread_of(scan, client)
        with pytest.raises(ClusterError, match=f"(?s){words}"):
            spread._result(client.submit(function, argument), tile)


def test_a_scheduler_that_ends_is_told_in_words(scan: Scan, tmp_path: Path) -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": 1}),
        dask_processes(tmp_path, tmp_path, workers=0) as (address, _),
        door.client(address) as client,
    ):
        spread, tile = spread_of(scan, client)
        future = client.submit(len, "waits for a worker")
        with Client(address) as other:
            other.shutdown()
        with pytest.raises(ClusterError, match=r"(?s)scheduler is gone.*--resume"):
            spread._result(future, tile)


def test_frames_of_a_file_that_is_being_written_are_refused(scan: Scan, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "frames.h5", "w") as file, door.client(None) as client:
        file["counts"] = scan.counts
        spread, tile = spread_of(replace(scan, counts=file["counts"]), client)
        with pytest.raises(ClusterError, match=r"(?s)opened by another process.*Dataset"):
            spread._of(tile)


@pytest.mark.parametrize(
    ("settings", "scheduler", "words"),
    [
        ({}, "tcp://127.0.0.1:1", "one tile: .*tile_px=.* without --scheduler"),
        ({"tile_px": 80}, "tcp://127.0.0.1:1", "no Dask scheduler answers.*dask scheduler"),
        ({"tile_px": 80}, "nowhere", "no Dask scheduler answers.*or local"),
    ],
)
def test_what_cannot_be_spread_is_told_before_any_work(
    scan: Scan, settings: dict[str, Any], scheduler: str, words: str
) -> None:
    with pytest.raises(UsageError, match=f"(?s){words}"):
        refine(scan, config=RefineConfig(**settings), scheduler=scheduler)


@pytest.fixture(scope="module")
def alone(scan: Scan) -> RefineResult:
    return refine(scan, config=RefineConfig(**SETTINGS))


def difference(result: RefineResult, other: RefineResult) -> float:
    """Of the largest value: how far the lit object is from the other but for a complex factor."""
    rec = other.reconstruction
    mine, its = (each.reconstruction.object[rec.coverage > 0] for each in (result, other))
    factor = np.vdot(mine, its) / np.vdot(mine, mine)
    return float(np.abs(factor * mine - its).max() / np.abs(its).max())


def require_equal(result: RefineResult, alone: RefineResult) -> None:
    one, other = (each.reconstruction for each in (result, alone))
    assert difference(result, alone) < 1e-4  # asked are 1e-3
    assert np.abs(one.probe - other.probe).max() < 1e-3 * np.abs(other.probe).max()
    np.testing.assert_allclose(one.positions_px, other.positions_px, atol=1e-3)
    np.testing.assert_allclose(one.probe_weights, other.probe_weights, atol=1e-3)
    held_out = [[row["held_out_deviance"] for row in each.history[:4]] for each in (result, alone)]
    np.testing.assert_allclose(*held_out, rtol=1e-4)
    assert result.deviance_per_pixel == pytest.approx(alone.deviance_per_pixel, rel=1e-4)


@pytest.mark.training
def test_four_tiles_on_workers_find_what_one_process_finds(
    scan: Scan, alone: RefineResult, cluster: Cluster
) -> None:
    """A scan in memory: mini-batches, whole passes, probe, eigenprobes, positions, held-out."""
    told: list[dict[str, Any]] = []
    result = refine(
        scan,
        config=RefineConfig(**SETTINGS),
        scheduler=cluster[0],
        progress=lambda done, total, info: told.append(info),
    )
    assert result.reconstruction.meta["spread"]["tiles"] == 4
    assert told[0]["tiles"] == 4
    require_equal(result, alone)


@pytest.mark.training
@pytest.mark.parametrize(("name", "kept"), [("scan.cxi", True), ("scan.npz", False)])
def test_a_killed_worker_costs_time_only(
    scan: Scan,
    alone: RefineResult,
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kept: bool,
) -> None:
    """Frames from a file, which the workers open: kept there, or read for each task."""
    save_scan(scan, tmp_path / name)
    if not kept:
        monkeypatch.setattr(views, "IN_MEMORY_SHARE", 0.0)
        monkeypatch.setattr(start, "free_bytes", lambda: 0)
    opened = open_scan(tmp_path / name)
    assert not isinstance(opened.counts, np.ndarray)
    address, workers = cluster
    alive = [worker for worker in workers if worker.poll() is None]
    timer = threading.Timer(0.03, alive[0].kill)

    def kill_one(done: int, total: int, info: dict[str, Any]) -> None:
        if info.get("pass") == 2:  # in the middle of the next
            timer.start()

    config = RefineConfig(**SETTINGS)
    result = refine(opened, config=config, scheduler=address, progress=kill_one)
    assert alive[0].wait(timeout=30) == -signal.SIGKILL
    assert len(alive) > 1
    assert ("frames_read" in result.reconstruction.meta) is not kept
    require_equal(result, alone)


@pytest.mark.training
def test_what_was_cut_off_here_goes_on_there(
    scan: Scan, alone: RefineResult, cluster: Cluster, tmp_path: Path
) -> None:
    """A checkpoint of one process, gone on from with workers."""

    def stop(done: int, total: int, info: dict[str, Any]) -> None:
        if info.get("pass") == 3:
            raise KeyboardInterrupt

    config = RefineConfig(**SETTINGS | {"checkpoint_s": 1e-6})
    folder = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        refine(scan, config=config, checkpoint=folder, progress=stop)
    result = refine(scan, config=config, checkpoint=folder, resume=True, scheduler=cluster[0])
    assert [row["pass"] for row in result.history] == list(range(1, 9))
    require_equal(result, alone)
