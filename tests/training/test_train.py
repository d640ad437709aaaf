"""Training: what is written, what is kept, and a kill that changes nothing."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.config import TrainConfig
from ptycho.data import save_scan
from ptycho.errors import ConfigError, DataError, UsageError
from ptycho.reconstruction.predict import reconstruct
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate
from ptycho.training.data import GroupSet, assemble, generator
from ptycho.training.loop import _State, _Trainer, new_model, train

QUICK = {"epochs": 2, "batch_size": 8, "estimate_steps": 2, "validation_margin_px": 4.0}
GAP = np.ones((32, 32), bool)
GAP[12:15] = False


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(SimulationConfig(N=32, n_frames=100, photons=1e5))


@pytest.fixture(scope="module")
def scan_file(scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    save_scan(scan, path)
    return path


@pytest.mark.training
def test_a_run_holds_all_that_was_promised(scan: Scan, tmp_path: Path) -> None:
    calls: list[tuple[int, int, dict[str, object]]] = []
    config = TrainConfig(**QUICK)  # type: ignore[arg-type]
    result = train(scan, config, tmp_path / "run", progress=lambda *call: calls.append(call))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {
        "manifest.json",
        "config.json",
        "model.json",
        "weights.h5",
        "history.csv",
        "history.png",
        "checkpoint.h5",
    }
    assert json.loads((tmp_path / "run/config.json").read_text()) == config.model_dump(mode="json")
    rows = list(csv.DictReader((tmp_path / "run/history.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    # Row 0 is the untrained control, and the weights kept are never worse than it.
    held_out = [float(row["held_out_deviance_per_px"]) for row in rows]
    assert result.best_epoch == int(np.argmin(held_out))
    done = [call[0] for call in calls]
    assert done == sorted(done) and calls[-1][0] == calls[-1][1]
    assert {"loss", "deviance/px", "patterns/s"} <= set(calls[-1][2])
    with pytest.raises(UsageError, match="already holds"):
        train(scan, config, tmp_path / "run")
    # Determinism is a switch of the whole process: an embedding program finds it as it was.
    import tensorflow as tf

    assert tf.random.uniform((3,)).shape == (3,)


@pytest.mark.training
def test_the_network_learns_and_its_image_keeps_its_contrast(scan: Scan, tmp_path: Path) -> None:
    config = TrainConfig(**(QUICK | {"epochs": 6, "batch_size": 4}))  # type: ignore[arg-type]
    result = train(scan, config, tmp_path / "run")
    held_out = [row["held_out_deviance_per_px"] for row in result.history]
    assert min(held_out[1:]) < held_out[0]
    rec = reconstruct(tmp_path / "run", scan)
    assert rec.meta["network"] == "default" and len(rec.meta["config_hash"]) == 16
    assert 0.5 < result.collapse_ratio < 2


@pytest.mark.training
def test_early_stopping_gives_the_best_weights_back(scan: Scan, tmp_path: Path) -> None:
    """A learning rate that ruins the network: it stops early, with what it had at its best."""
    settings = {"epochs": 9, "learning_rate": 0.03, "patience": 2, "warmup_steps": 0}
    config = TrainConfig(**(QUICK | settings))  # type: ignore[arg-type]
    result = train(scan, config, tmp_path / "run")
    held_out = [row["held_out_deviance_per_px"] for row in result.history]
    assert result.best_epoch == int(np.argmin(held_out)) < len(held_out) - 1
    assert len(held_out) - 1 == result.best_epoch + 2 < 9
    again = _Trainer(result.model, assemble([scan], config), config, _State(), None)
    again.prepare()
    assert again.state.best_value == pytest.approx(held_out[result.best_epoch], rel=1e-4)


@pytest.mark.training
def test_a_budget_that_is_gone_at_once_still_takes_a_step(scan: Scan, tmp_path: Path) -> None:
    config = TrainConfig(**(QUICK | {"time_budget_s": 1e-3}))  # type: ignore[arg-type]
    result = train(scan, config, tmp_path / "run")
    assert [row["step"] for row in result.history] == [0, 1]
    assert result.seconds >= result.history[-1]["seconds"] > 0


def test_the_learning_rate_rises_then_falls_as_a_cosine(scan: Scan, tmp_path: Path) -> None:
    config = TrainConfig(
        epochs=2,
        batch_size=8,
        warmup_steps=4,
        learning_rate=1e-2,
        estimate_steps=2,
        validation_margin_px=4.0,
        clip_norm=0.25,
    )
    data = assemble([scan], config)
    model = new_model(data, config)
    assert model.optimizer.global_clipnorm == 0.25
    trainer = _Trainer(model, data, config, _State(), None)
    total = 2 * trainer.per_epoch
    rates = []
    for step in (0, 1, 3, total // 2, total):
        trainer.state.step = step
        rates.append(trainer._learning_rate())
    cosine = [0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * step / total)) for step in (0, 1, 3)]
    np.testing.assert_allclose(rates[:3], 1e-2 * np.multiply([0.25, 0.5, 1], cosine))
    assert rates[2] > rates[3] > rates[4] and rates[4] == pytest.approx(2e-4)


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


def test_scans_of_other_dose_are_thinned_as_photons_and_drawn_at_one_dose(scan: Scan) -> None:
    """A scan of a third of the light: whole photons are thinned, batches have one dose."""
    rng = np.random.default_rng(3)
    dim = scan.thin(rng, 1 / 3)[0]
    data = assemble([scan, dim], TrainConfig(validation_margin_px=4.0))
    groups = data.training
    assert groups.dose is not None
    np.testing.assert_allclose(sorted(set(groups.dose.tolist())), [1, 3], rtol=1e-3)
    groups.thin(0.5, generator(0, 1))
    second = np.flatnonzero(groups.dose[groups.indices[:, 0]] > 2)
    first = np.setdiff1d(np.arange(len(groups)), second)
    for stack in (groups.inputs, groups.targets):
        bright, brought = (groups.drawn(stack, part).mean() for part in (first, second))
        assert brought == pytest.approx(bright, rel=0.02)
    half = groups.inputs[groups.indices[second]] * 0.5
    assert np.array_equal(half, np.rint(half)), "the thinned part is photons"
    assert data.scaling.input_rms == pytest.approx(
        assemble([scan], TrainConfig(validation_margin_px=4.0)).scaling.input_rms, rel=0.02
    )


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


def test_what_stands_in_masked_pixels_need_not_be_photons(scan: Scan) -> None:
    """Some producers interpolate there; thinning asks for whole photons where they count."""
    halves = replace(scan, counts=np.where(GAP, scan.counts, 0.5), mask=GAP)
    data, zeros = (
        assemble([s], TrainConfig())
        for s in (halves, replace(halves, counts=np.where(GAP, scan.counts, 0)))
    )
    assert data.scaling == zeros.scaling


def test_scans_that_cannot_be_trained_on_are_refused(scan: Scan, tmp_path: Path) -> None:
    bare = Scan(scan.counts, scan.positions_px)
    with pytest.raises(DataError, match="no probe"):
        train(bare, TrainConfig(), tmp_path / "a")
    fractional = Scan(
        scan.counts * np.linspace(0.3, 0.4, scan.N), scan.positions_px, probe=scan.probe
    )
    with pytest.raises(ConfigError, match="thinning=null"):
        train(fractional, TrainConfig(), tmp_path / "b")
    other = Scan(scan.counts, scan.positions_px, probe=np.roll(scan.probe, 9, axis=-1))
    with pytest.raises(ConfigError, match="one probe"):
        train([scan, other], TrainConfig(), tmp_path / "c")
    for mine, theirs in (({"mask": GAP}, {}), ({}, {"mask": GAP}), ({}, {"background": 3.0})):
        with pytest.raises(ConfigError, match=f"share one {next(iter(mine | theirs))}"):
            train([replace(scan, **mine), replace(scan, **theirs)], TrainConfig(), tmp_path / "e")
    with pytest.raises(DataError, match="nothing to train on"):
        train([], TrainConfig(), tmp_path / "d")


SETTINGS = [
    "epochs=3",
    "batch_size=8",
    "estimate_steps=2",
    "validation_margin_px=4",
    "rethin_epochs=2",
    "probe_trainable=true",
]


def _command(scan_file: Path, run: Path, *more: str) -> list[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return [
        sys.executable,
        "-m",
        "ptycho",
        "train",
        str(scan_file),
        "-o",
        str(run),
        *settings,
        "--json",
        *more,
    ]


@pytest.mark.training
@pytest.mark.slow
def test_a_kill_inside_an_epoch_changes_no_bit(scan_file: Path, tmp_path: Path) -> None:
    """kill -9 after the first checkpoint, --resume, and the weights are those of a whole run."""
    subprocess.run(
        _command(scan_file, tmp_path / "whole"), check=True, timeout=300, capture_output=True
    )
    killed = tmp_path / "killed"
    told = tmp_path / "stderr.txt"
    with told.open("w") as stream:
        child = subprocess.Popen(
            _command(scan_file, killed), stdout=subprocess.DEVNULL, stderr=stream
        )
    try:
        deadline = time.monotonic() + 240
        # A step of the second epoch is done, so its checkpoint is older than the weights.
        while "epoch 2" not in told.read_text():
            assert child.poll() is None, "the training ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        child.kill()
        child.wait()
    with h5py.File(killed / "checkpoint.h5") as file:
        assert json.loads(np.asarray(file["meta"]).tobytes())["state"]["epoch"] == 1
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


@pytest.mark.training
def test_a_checkpoint_of_other_settings_is_refused(scan: Scan, tmp_path: Path) -> None:
    train(scan, TrainConfig(**(QUICK | {"epochs": 1})), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="seed: 0 then, 1 now"):
        train(
            scan,
            TrainConfig(**(QUICK | {"epochs": 1, "seed": 1})),  # type: ignore[arg-type]
            tmp_path,
            resume=True,
        )
    (tmp_path / "checkpoint.h5").rename(tmp_path / "away")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="kept no checkpoint"):
        train(scan, TrainConfig(), tmp_path, resume=True)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "away").rename(tmp_path / "checkpoint.h5")
    for other in (replace(scan, mask=GAP), replace(scan, background=2.0)):
        with pytest.raises(ConfigError, match="mask, background"):
            config = TrainConfig(**(QUICK | {"epochs": 1}))  # type: ignore[arg-type]
            train(other, config, tmp_path, resume=True)
