"""`ptycho inspect`, `convert`, `simulate`: what they say, what they write, and no tracebacks."""

from __future__ import annotations

import bz2
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.data import open_scan

COUNTS = np.random.default_rng(0).poisson(9.0, (4, 8, 8)).astype(np.float32)
PLACES = np.array([[0.0, 1.0], [2.0, 3.5], [4.0, 0.0], [6.5, 2.0]])


def ptycho(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "ptycho", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def npz(**arrays: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **{"counts": COUNTS, "positions_px": PLACES, **arrays})

    return make


def plain(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def hdf5(**content: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, value in content.items():
                file[name.replace("__", "/")] = value

    return make


def members(**content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, value in content.items():
                archive.writestr(name.replace("_npy", ".npy"), value)

    return make


def loop(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        file["entry_1"], file["a"] = h5py.SoftLink("/a"), h5py.SoftLink("/entry_1")


WEIRD: dict[str, Callable[[Path], None]] = {
    "empty": plain(b""),
    "zip head only": plain(b"PK\x03\x04"),
    "hdf5 head only": plain(b"\x89HDF\r\n\x1a\n" + bytes(100)),
    "bzip2 of garbage": plain(b"BZh9garbage"),
    "bzip2 of text": plain(bz2.compress(b"hello")),
    "text": plain(b"hello, this is no scan"),
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
    "link to itself": lambda path: path.symlink_to(path.name),
    "npy": lambda path: np.save(path.open("wb"), COUNTS),
    "zip of text": members(a_txt=b"x"),
    "npy of version 9": members(counts_npy=b"\x93NUMPY\x09\x00junk", positions_px_npy=b""),
    "header with code": members(
        counts_npy=b"\x93NUMPY\x01\x00\x20\x00{'descr': __import__('os').x}   ",
        positions_px_npy=b"",
    ),
    "scalars": npz(counts=1.0, positions_px=2.0),
    "no frames": npz(counts=np.zeros((0, 8, 8)), positions_px=np.zeros((0, 2))),
    "records": npz(counts=np.zeros((4, 8, 8), [("a", "f4")])),
    "dates": npz(counts=np.zeros((4, 8, 8), "datetime64[s]")),
    "metadata no JSON": npz(metadata="{no"),
    "geometry of text": npz(geometry_m=["a"] * 4),
    "truth of one axis": npz(truth=np.ones(4), truth_origin_px=[0, 0]),
    "background of text": npz(background="x"),
    "tike of one axis": lambda path: np.savez(path.open("wb"), data=np.ones(3), scan=np.ones(3)),
    "infinite counts": npz(counts=COUNTS * np.inf),
    "cxi without entry": hdf5(cxi_version=160),
    "cxi of groups": hdf5(cxi_version=160, entry_1__data_1__data__x=1),
    "cxi of text": hdf5(cxi_version=b"x", entry_1__data_1__data="text"),
    "cxi entry is a number": hdf5(cxi_version=160, entry_1=3.0),
    "soft links in a circle": loop,
    "nexus without data": hdf5(entry__definition="NXptycho"),
    "ptyd of numbers": hdf5(chunks=1, meta=2),
    "ptyr of numbers": hdf5(content__probe__S__x=1, content__obj__S__x=2),
    "product of scalars": hdf5(
        probe_position_x_m=1.0, probe_position_y_m=1.0, probe_position_indexes=0, object=[[1.0]]
    ),
}


@pytest.mark.parametrize("name", WEIRD)
def test_a_weird_file_is_words(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, one JSON object with the named error, the file named in it, no traceback."""
    from ptycho.cli import app

    path = tmp_path / "weird.dat"
    WEIRD[name](path)
    monkeypatch.setattr(sys, "argv", ["ptycho", "inspect", str(path), "--json"])
    with pytest.raises(SystemExit) as caught:
        app.main()
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert caught.value.code == 3 and answer["error"].endswith("Error")
    assert "weird.dat" in said.err or "Scan." in said.err or "frame" in said.err
    assert [item.name for item in tmp_path.iterdir()] == ["weird.dat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("scans")
    lengths = ("wavelength_m=1e-10", "distance_m=2.0", "detector_pixel_m=55e-6")
    settings = [("--set", text) for text in (*lengths, "n_frames=36", "photons=1e5", "N=32")]
    done = ptycho("simulate", "-o", "a.npz", *(w for pair in settings for w in pair), cwd=place)
    assert done.returncode == 0, done.stderr
    assert "1e+05 photons a frame measured (1e+05 asked)" in done.stdout
    assert "simulate 36/36" in done.stderr
    return place


def test_convert_there_and_back_keeps_the_scan(folder: Path) -> None:
    """NPZ → CXI → product → NPZ; the layout of each is recognised without its name."""
    steps = [("a.npz", "b.dat", "cxi"), ("b.dat", "c.dat", "ptychodus"), ("c.dat", "d.dat", "npz")]
    for source, target, kind in steps:
        done = ptycho("convert", source, target, "--to", kind, "--json", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["frames"] == 36
    first, last = open_scan(folder / "a.npz"), open_scan(folder / "d.dat")
    np.testing.assert_array_equal(last.frames(np.arange(36)), first.frames(np.arange(36)))
    np.testing.assert_allclose(last.positions_px, first.positions_px, atol=1e-8)
    assert first.truth is not None and last.truth is not None
    np.testing.assert_array_equal(last.truth.object, first.truth.object)
    np.testing.assert_array_equal(last.probe, first.probe)


def test_lengths_beside_those_of_a_file_are_refused_not_taken(folder: Path) -> None:
    """They scaled positions that were measured in metres, and dropped a near field, in silence."""
    assert ptycho("convert", "a.npz", "own.cxi", cwd=folder).returncode == 0
    lengths = ["--distance-m", "2.0", "--detector-pixel-m", "55e-6", "--wavelength-m"]
    done = ptycho("convert", "own.cxi", "other.cxi", *lengths, "2e-10", cwd=folder)
    assert done.returncode == 2 and not (folder / "other.cxi").exists()
    assert "lengths of its own" in done.stderr and "2e-10 m, 2 m and 5.5e-05 m" in done.stderr
    done = ptycho("convert", "own.cxi", "same.npz", *lengths, "1e-10", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = ptycho("convert", "own.cxi", "near.npz", *lengths, "1e-10", "--near-field", cwd=folder)
    assert done.returncode == 2 and "far field" in done.stderr


def test_inspect_says_everything_in_json_words_and_a_picture(folder: Path) -> None:
    """Shapes, units, photons, overlap, step, coverage, memory, warnings; metres where known."""
    done = ptycho("inspect", "a.npz", "--json", "--figure", "a.png", cwd=folder)
    facts = json.loads(done.stdout)
    assert facts["frames"] == 36 and facts["frame_shape_px"] == [32, 32]
    low, median, high = facts["photons_per_frame_min_median_max"]
    assert low <= median <= high and abs(median / 1e5 - 1) < 0.3
    assert 0.5 < facts["overlap"] < 1 and 0.3 < facts["overlap_area"] < 1
    assert facts["nearest_neighbour_px"] == pytest.approx(32 * 0.4 / 4, rel=0.5)
    pixel = 1e-10 * 2.0 / (32 * 55e-6)
    assert facts["object_pixel_m"] == pytest.approx([pixel, pixel])
    assert facts["nearest_neighbour_m"] == pytest.approx(pixel * facts["nearest_neighbour_px"])
    low, median, high = facts["frames_per_lit_pixel_min_median_max"]
    assert 1 <= low <= median <= high <= 36
    assert facts["training_memory_mib"] > 500 and facts["warnings"] == []
    assert (folder / "a.png").read_bytes()[:4] == b"\x89PNG"
    words = ptycho("inspect", "a.npz", cwd=folder).stdout
    assert "36 frames of 32 × 32 pixels" in words and "photons per pixel" in words
    assert max(len(line) for line in words.splitlines()) <= 80


@pytest.mark.parametrize("name", ["run[/x]", "run[copy]", "cost $_$ each"])
def test_a_name_is_shown_as_it_is_and_never_as_markup(tmp_path: Path, name: str) -> None:
    """Square brackets are the terminal's markup and dollars the figure's; a name has neither."""
    npz(name=np.array(name))(tmp_path / "a.npz")
    done = ptycho("inspect", "a.npz", "--figure", "a.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert name in done.stdout
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_simulate_lists_what_can_be_asked_for(folder: Path) -> None:
    """Every setting with its meaning, every object by name; a wrong name lists the right ones."""
    from ptycho.simulation import SimulationConfig

    listed = ptycho("simulate", "--list-settings", cwd=folder).stdout
    assert all(f"{name} = " in listed for name in SimulationConfig.model_fields)
    for name in ("dead_leaves", "siemens", "retina", "disk | gaussian | focused", "fermat"):
        assert name in listed
    helped = ptycho("simulate", "--help", cwd=folder).stdout
    assert max(len(line) for line in helped.splitlines()) <= 80 and "trajectory: raster" in helped
    for setting, right in (("probe=disc", "'gaussian'"), ("phase=gold", "dead_leaves")):
        done = ptycho("simulate", "-o", "x.npz", "--set", setting, cwd=folder)
        assert done.returncode == 2 and right in done.stderr and not (folder / "x.npz").exists()


def test_a_checkpoint_is_refused_before_the_scan_is_read_or_a_backend_is_there(
    tmp_path: Path,
) -> None:
    npz()(tmp_path / "a.npz")
    (tmp_path / "out.h5.checkpoint").mkdir()
    code = (
        "import sys\nfrom ptycho.cli import main\n"
        "try: main(['refine', 'a.npz', '-o', 'out.h5'])\n"
        "finally: print(sorted({'tensorflow', 'keras', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and "add --resume" in done.stderr
    assert not {"tensorflow", "keras"} & set(re.findall(r"\w+", done.stdout))
    assert "h5py" in done.stdout  # the look at what was loaded can fail
