"""Training: what is written, what is kept, and a kill that changes nothing."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.config import TrainConfig
from ptycho.data import save_scan
from ptycho.errors import ConfigError, DataError, UsageError
from ptycho.reconstruction import reconstruct
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate
from ptycho.training import train
from ptycho.training_data import GroupSet, assemble, generator

QUICK = {"epochs": 2, "batch_size": 8, "estimate_steps": 2, "validation_margin_px": 4.0}


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(SimulationConfig(N=32, n_frames=100, photons=1e5))


@pytest.fixture(scope="module")
def scan_file(scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    save_scan(scan, path)
    return path


def test_a_run_holds_all_that_was_promised(scan: Scan, tmp_path: Path) -> None:
    calls: list[tuple[int, int, dict[str, object]]] = []
    config = TrainConfig(**QUICK)  # type: ignore[arg-type]
    result = train(scan, config, tmp_path / "run", progress=lambda *call: calls.append(call))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {
        "manifest.json", "config.json", "model.json", "weights.h5",
        "history.csv", "history.png", "checkpoint.h5",
    }  # fmt: skip
    assert json.loads((tmp_path / "run/config.json").read_text()) == config.model_dump(mode="json")
    rows = list(csv.DictReader((tmp_path / "run/history.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    # Row 0 is the untrained control, and the weights kept are never worse than it.
    held_out = [float(row["held_out_deviance_per_px"]) for row in rows]
    assert result.best_epoch == int(np.argmin(held_out))
    done = [call[0] for call in calls]
    assert done == sorted(done) and calls[-1][0] == calls[-1][1]
    assert {"deviance/px", "patterns/s"} <= set(calls[-1][2])
    with pytest.raises(UsageError, match="already holds"):
        train(scan, config, tmp_path / "run")
    # Determinism is a switch of the whole process: an embedding program finds it as it was.
    import tensorflow as tf

    assert tf.random.uniform((3,)).shape == (3,)


def test_the_network_learns_and_its_image_keeps_its_contrast(scan: Scan, tmp_path: Path) -> None:
    config = TrainConfig(**(QUICK | {"epochs": 6, "batch_size": 4}))  # type: ignore[arg-type]
    result = train(scan, config, tmp_path / "run")
    held_out = [row["held_out_deviance_per_px"] for row in result.history]
    assert min(held_out[1:]) < held_out[0]
    rec = reconstruct(tmp_path / "run", scan)
    assert rec.meta["network"] == "default" and len(rec.meta["config_hash"]) == 16
    assert 0.5 < result.collapse_ratio < 2


def test_thinning_gives_independent_parts_of_the_right_mean() -> None:
    counts = np.random.default_rng(0).poisson(9.0, (40, 32, 32)).astype(np.float32)
    groups = GroupSet(counts, np.zeros((1, 4), int), np.zeros((1, 4, 2), np.float32))
    groups.thin(0.3, generator(0, 1))
    assert groups.inputs is not None and groups.targets is not None
    np.testing.assert_allclose(0.3 * groups.inputs + 0.7 * groups.targets, counts, atol=1e-4)
    assert abs(groups.inputs.mean() - 9) < 0.1 and abs(groups.targets.mean() - 9) < 0.1
    left = np.corrcoef(groups.inputs.ravel(), groups.targets.ravel())[0, 1]
    assert abs(left) < 0.03  # the whole counts correlate with a part of them by √0.3
    groups.thin(None, generator(0, 1))
    assert groups.inputs is counts and groups.targets is counts


def test_training_and_held_out_light_do_not_meet(scan: Scan) -> None:
    data = assemble([scan], TrainConfig())
    assert data.held_out is not None
    rows = [set(map(bytes, part.counts)) for part in (data.training, data.held_out)]
    assert not rows[0] & rows[1]


def test_other_seeds_draw_other_numbers_and_equal_seeds_the_same() -> None:
    draws = [
        generator(*numbers).random(4).tolist() for numbers in ((0, 1, 2), (0, 1, 2), (1, 1, 2))
    ]
    assert draws[0] == draws[1] != draws[2]


def test_scans_that_cannot_be_trained_on_are_refused(scan: Scan, tmp_path: Path) -> None:
    bare = Scan(scan.counts, scan.positions_px)
    with pytest.raises(DataError, match="no probe"):
        train(bare, TrainConfig(), tmp_path / "a")
    fractional = Scan(scan.counts * 0.37, scan.positions_px, probe=scan.probe)
    with pytest.raises(ConfigError, match="thinning=null"):
        train(fractional, TrainConfig(), tmp_path / "b")
    other = Scan(scan.counts, scan.positions_px, probe=np.roll(scan.probe, 9, axis=-1))
    with pytest.raises(ConfigError, match="one probe"):
        train([scan, other], TrainConfig(), tmp_path / "c")
    with pytest.raises(DataError, match="nothing to train on"):
        train([], TrainConfig(), tmp_path / "d")


SETTINGS = ["epochs=3", "batch_size=8", "estimate_steps=2", "validation_margin_px=4",
            "rethin_epochs=2", "probe_trainable=true"]  # fmt: skip


def _command(scan_file: Path, run: Path, *more: str) -> list[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return [sys.executable, "-m", "ptycho", "train", str(scan_file), "-o", str(run),
            *settings, "--json", *more]  # fmt: skip


@pytest.mark.slow
def test_a_kill_inside_an_epoch_changes_no_bit(scan_file: Path, tmp_path: Path) -> None:
    """kill -9 after the first checkpoint, --resume, and the weights are those of a whole run."""
    subprocess.run(
        _command(scan_file, tmp_path / "whole"), check=True, timeout=300, capture_output=True
    )
    killed = tmp_path / "killed"
    child = subprocess.Popen(
        _command(scan_file, killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 240
        while not (killed / "checkpoint.h5").exists():
            assert child.poll() is None, "the training ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait()
    assert not (killed / "manifest.json").exists()
    done = subprocess.run(
        _command(scan_file, killed, "--resume"), check=True, timeout=300, capture_output=True
    )
    assert json.loads(done.stdout)["epochs"] == 3
    with h5py.File(tmp_path / "whole/weights.h5") as a, h5py.File(killed / "weights.h5") as b:
        names = sorted(a["weights"])
        assert names == sorted(b["weights"]) and len(names) > 10
        for name in names:
            assert np.array_equal(a["weights"][name][()], b["weights"][name][()]), name


def test_a_checkpoint_of_other_settings_is_refused(scan: Scan, tmp_path: Path) -> None:
    train(scan, TrainConfig(**(QUICK | {"epochs": 1})), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="seed: 0 then, 1 now"):
        train(
            scan,
            TrainConfig(**(QUICK | {"epochs": 1, "seed": 1})),  # type: ignore[arg-type]
            tmp_path,
            resume=True,
        )
