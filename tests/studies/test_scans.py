"""`ptycho reconstruct RUN SCAN…` in this process and on two workers, one of them killed."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from ptycho.cli.app import app
from ptycho.config import TrainConfig
from ptycho.data import save_scan
from ptycho.model.archive import save_run
from ptycho.model.pinn import PtychoPINN
from ptycho.physics.scaling import Scaling
from ptycho.simulation import SimulationConfig, simulate

Cluster = tuple[str, list[subprocess.Popen[bytes]]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A run of a small network, and six scans; the first has wide groups."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(6):
        step = 6.0 if number == 0 else 2.5
        config = SimulationConfig(N=32, n_frames=49, photons=1e4, seed=number, step_px=step)
        scan = simulate(config)
        save_scan(scan, folder / f"scan{number}.npz")
    options: dict[str, int | float | str | bool] = {"width": 8, "deep_blocks": 1}
    model = PtychoPINN(32, 2, scan.probe, Scaling.from_counts(scan.counts), network_options=options)
    head = model.network.weights[-2]  # it starts at zero: give it something to say
    head.assign(np.random.default_rng(0).normal(0, 0.05, head.shape))
    model.fit_canvas(np.full((1, 4, 2), 3.0))
    save_run(model, TrainConfig(network_options=options), folder / "run")
    return [str(folder / "run"), *(str(folder / f"scan{n}.npz") for n in range(6))]


def _objects(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(folder.glob("*.h5")):
        with h5py.File(path) as file:
            found[path.name] = file["object"][()]
    return found


@pytest.mark.slow
def test_the_same_numbers_here_and_on_two_workers_with_one_killed(
    files: list[str], cluster: Cluster, tmp_path: Path
) -> None:
    """The command, with and without --scheduler; the first worker dies after the first result."""
    address, workers = cluster
    here, there = tmp_path / "here", tmp_path / "there"
    plain = ["reconstruct", *files, "--no-figures", "--json", "-o"]
    done = CliRunner().invoke(app, [*plain, str(here)])
    assert done.exit_code == 0, done.output

    def kill_one() -> None:
        while not any(there.glob("*.h5")):
            time.sleep(0.01)
        workers[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    done = CliRunner().invoke(app, [*plain, str(there), "--scheduler", address])
    assert done.exit_code == 0, done.output
    killer.join(timeout=60)
    assert workers[0].wait(timeout=30) == -signal.SIGKILL and workers[1].poll() is None
    assert len(json.loads(done.stdout)["reconstructions"]) == 6
    first, second = _objects(here), _objects(there)
    assert len(first) == 6 and first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_a_scan_that_fails_is_named_and_the_others_finish(files: list[str], tmp_path: Path) -> None:
    """Frames of another size than the run's: exit code 1, that scan named, the other written."""
    small = tmp_path / "small.npz"
    save_scan(simulate(SimulationConfig(N=16, n_frames=25, photons=1e4)), small)
    out = tmp_path / "out"
    command = ["reconstruct", files[0], str(small), files[2], "--no-figures", "--json"]
    done = CliRunner().invoke(app, [*command, "-o", str(out)])
    assert done.exit_code == 1
    assert "small.npz" in done.stderr and "Traceback" not in done.output
    answer = json.loads(done.stdout)
    assert list(answer["failed"]) == ["small.npz"] and len(answer["reconstructions"]) == 1
    assert "32 px" in answer["failed"]["small.npz"]
    assert (out / "scan1.h5").is_file()


def test_a_scan_does_not_depend_on_those_before_it(files: list[str], tmp_path: Path) -> None:
    """A wide scan lets the canvas grow; the next one is as if it came first."""
    for name, scans in (("both", files[1:3]), ("alone", files[2:3])):
        target = tmp_path / name if name == "both" else tmp_path / name / "scan1.h5"
        command = ["reconstruct", files[0], *scans, "--no-figures", "-o", str(target)]
        assert CliRunner().invoke(app, command).exit_code == 0
    both, alone = _objects(tmp_path / "both"), _objects(tmp_path / "alone")
    np.testing.assert_array_equal(both["scan1.h5"], alone["scan1.h5"])
