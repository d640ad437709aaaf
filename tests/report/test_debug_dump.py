"""The dump of intermediate values: right numbers, pictures that are pictures, true hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from ptycho.errors import ShapeError
from ptycho.report import debug_dump


def test_statistics_of_real_complex_and_broken_taps(tmp_path: Path) -> None:
    flat = np.ones((3, 4, 4), np.float32) * np.array([1, 2, 3], np.float32)[:, None, None]
    wave = np.array([[2j, -2.0], [2.0, -2j]], np.complex64)
    taps = {
        "flat": flat,
        "wave": wave,
        "broken": np.array([np.nan, 1.0]),
        "facts": {"groups": 4},
        "loss": np.float32(0.5),
    }
    found = json.loads(debug_dump.write_stats(tmp_path / "stats.json", taps).read_text())
    assert list(found) == list(taps)
    assert found["flat"]["shape"] == [3, 4, 4] and found["flat"]["dtype"] == "float32"
    assert found["flat"]["mean"] == 2 and found["flat"]["var_zero_mean"] == 0
    assert found["flat"]["std"] == pytest.approx(np.sqrt(2 / 3))
    assert found["flat"]["sha256"] == hashlib.sha256(flat.tobytes()).hexdigest()
    assert found["wave"]["amplitude"]["min"] == found["wave"]["amplitude"]["max"] == 2
    assert found["wave"]["phase_rad"]["max"] == pytest.approx(np.pi)
    assert found["broken"]["finite"] == 1 and found["broken"]["mean"] == 1
    assert found["facts"] == {"groups": 4} and found["loss"]["mean"] == 0.5


def test_offsets_and_canvas_name_rows_and_columns(tmp_path: Path) -> None:
    offsets = np.array([[[-3.0, 1.0], [3.0, 7.0]]])  # (row, col)
    found = json.loads(debug_dump.write_offsets(tmp_path / "offsets.json", offsets).read_text())
    assert found["count"] == 2
    assert found["first_offsets_px"][1] == {"dx": 7.0, "dy": 3.0}
    assert (found["mean_dx"], found["mean_dy"]) == (4, 0)
    assert (
        (found["std_dx"], found["std_dy"])
        == (3, 3)
        == (
            found["centered_std_dx"],
            found["centered_std_dy"],
        )
    )
    path = debug_dump.write_canvas(
        tmp_path / "canvas.json", patch_size=32, canvas_size=44, offsets=offsets, origin_px=[1, 2]
    )
    found = json.loads(path.read_text())
    assert found == {
        "patch_size": 32,
        "canvas_size": 44,
        "num_patch_slots": 2,
        "max_abs_dx": 7.0,
        "max_abs_dy": 3.0,
        "origin_px": [1, 2],
    }
    with pytest.raises(ShapeError):
        debug_dump.write_offsets(tmp_path / "x.json", np.zeros((1, 2, 1)))


def test_a_grid_shows_the_patches(tmp_path: Path) -> None:
    patches = np.random.default_rng(0).random((3, 7, 24, 24))
    image = imread(debug_dump.patch_grid_png(tmp_path / "grid.png", patches, "patches"))
    few = imread(debug_dump.patch_grid_png(tmp_path / "few.png", patches[0, :2], "patches"))
    assert image.shape[0] > 3 * few.shape[0]
    assert len(np.unique(image[..., 0])) > 100
    with pytest.raises(ShapeError, match="real"):
        debug_dump.patch_grid_png(tmp_path / "no.png", patches * 1j, "patches")


def test_the_inventory_lists_every_file_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "inner/a.txt").write_text("a")
    first = debug_dump.write_inventory(tmp_path).read_text()
    assert debug_dump.write_inventory(tmp_path).read_text() == first, "it does not list itself"
    lines = [line.split("  ") for line in first.splitlines()]
    assert [line[1] for line in lines] == ["b.txt", "inner/a.txt"]
    assert lines[0][0] == hashlib.sha256(b"b").hexdigest()
