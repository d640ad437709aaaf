"""Files that commit f264b61 wrote are read today, and what is written today has their form."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pins_library as pins
import pytest

import ptycho

RESULTS = ("untrained", "refined")
RUN = {"config.json", "history.csv", "manifest.json", "model.json", "weights.h5"}
HISTORY = [
    "epoch",
    "step",
    "seconds",
    "learning_rate",
    "loss",
    "deviance_per_px",
    "held_out_deviance_per_px",
    "best",
    "patterns_per_s",
]


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_file_is_read(
    name: str, numbers: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    rec, facts = ptycho.load_reconstruction(pins.FIXTURES / f"{name}.h5"), numbers[name]
    assert rec.object.dtype == np.complex64 and rec.coverage.dtype == np.float32
    np.testing.assert_array_equal(rec.object[::3, ::3], arrays[f"{name}_object"])
    assert list(rec.origin_px) == facts["origin_px"]
    assert sorted(rec.meta) == facts["meta_keys"]
    assert int(rec.region().sum()) == facts["region_px"]
    # Sums in double precision; the order of summation is NumPy's.
    assert rec.coverage.sum(dtype=float) == pytest.approx(facts["photons_seen"], rel=1e-9)
    assert rec.probe is not None
    photons = np.sum(np.abs(rec.probe) ** 2, dtype=float)
    assert photons == pytest.approx(facts["probe_photons"], rel=1e-6)
    assert (rec.positions_px is None) == (name == "untrained")


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_file_is_judged_as_it_was(name: str, numbers: dict[str, Any]) -> None:
    rec = ptycho.load_reconstruction(pins.FIXTURES / f"{name}.h5")
    here, pinned = pins.numbers(ptycho.evaluate(rec, pins.scan())), numbers[name]["against_truth"]
    assert list(here) == list(pinned)
    for key, value in pinned.items():
        # The shift is searched in steps of 0.01 px; another step moves the metrics by about 1e-3.
        atol = 0.011 if key.startswith("gauge.") else 1e-3
        np.testing.assert_allclose(here[key], value, rtol=1e-3, atol=atol, err_msg=key)


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_written_in_the_same_form(name: str, tmp_path: Path) -> None:
    old = pins.FIXTURES / f"{name}.h5"
    new = ptycho.save_reconstruction(ptycho.load_reconstruction(old), tmp_path / "new.h5")
    assert _form(new) == _form(old)


def _form(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes of the file; type, shape, and check sum of each dataset."""
    with h5py.File(path) as file:
        parts = {
            name: (str(part.dtype), part.shape, part.attrs["sha256"]) for name, part in file.items()
        }
        return dict(file.attrs), parts


def test_the_archive_of_a_run_is_read() -> None:
    run = pins.FIXTURES / "run"
    assert {path.name for path in run.iterdir()} == RUN
    model = ptycho.load(run)
    record = json.loads((run / "model.json").read_text())
    assert (model.N, model.gridsize) == (record["N"], record["gridsize"]) == (32, 2)
    with h5py.File(run / "weights.h5") as file:
        weights = [file["weights"][key][()] for key in sorted(file["weights"])]
    assert len(weights) == len(model.weights)
    for here, pinned in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(here, pinned)


def test_the_configuration_of_a_run_is_one_of_today() -> None:
    content = json.loads((pins.FIXTURES / "run/config.json").read_text())
    today = ptycho.TrainConfig(**content).model_dump(mode="json")
    assert {key: today[key] for key in content} == content  # settings may be added, none is lost
    assert all(content[key] == value for key, value in pins.TRAINING.items())


def test_the_history_of_a_run(numbers: dict[str, Any]) -> None:
    with (pins.FIXTURES / "run/history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == HISTORY
    assert len(rows) == len(numbers["training"]["history"]) == 1 + pins.TRAINING["epochs"]


def test_the_scan_file_comes_back_whole(tmp_path: Path) -> None:
    ptycho.save_scan(pins.scan(), tmp_path / "scan.npz")
    with np.load(pins.FIXTURES / "scan.npz") as old, np.load(tmp_path / "scan.npz") as new:
        assert sorted(old.files) == sorted(new.files)
        for key in old.files:
            assert old[key].dtype == new[key].dtype
            np.testing.assert_array_equal(old[key], new[key])
