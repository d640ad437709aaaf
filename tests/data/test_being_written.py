"""A file that another process is writing: what is there is read and said, or the error says so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.data import open_scan, save_scan
from ptycho.errors import BusyFileError, DataError
from ptycho.scan import Geometry
from ptycho.simulation import SimulationConfig, simulate

N, M, THERE = 16, 30, 20
WRITER = """
import sys
import h5py, numpy as np
path, way = sys.argv[1:3]
N, M, THERE = map(int, sys.argv[3:6])
rng = np.random.default_rng(1)
file = h5py.File(path, "w", libver=("earliest", "latest") if way == "locked" else "latest")
D, S = "entry_1/instrument_1/detector_1", "entry_1/instrument_1/source_1"
file["cxi_version"] = 160
file[f"{S}/wavelength"], file[f"{D}/distance"], file[f"{D}/x_pixel_size"] = 1e-10, 2.0, 50e-6
y, x = np.mgrid[:N, :N] - N // 2
file[f"{S}/illumination"] = np.exp(-(x**2 + y**2) / 8).astype(np.complex64)
pixel = 1e-10 * 2 / (N * 50e-6)
places = np.array([[k // 6, k % 6, 0] for k in range(M)])[:, [1, 0, 2]] * 2 * pixel
whole = way != "growing"
moved = file.create_dataset(
    "entry_1/sample_1/geometry_1/translation", (M if whole else 0, 3), "f8", maxshape=(None, 3),
    chunks=(1, 3), fillvalue=np.nan,
)
data = file.create_dataset(
    f"{D}/data", (M if whole else 0, N, N), "u4", maxshape=(None, N, N), chunks=(1, N, N)
)
if way in ("swmr", "growing"):
    file.swmr_mode = True
for k in range(THERE):
    if not whole:
        data.resize(k + 1, 0), moved.resize(k + 2, 0)
        moved[k + 1] = places[k + 1]
    data[k], moved[k] = rng.poisson(50 * np.exp(-(x**2 + y**2) / 30)) + 1, places[k]
if way != "unflushed":
    file.flush()
print("ready", flush=True)
sys.stdin.readline()
"""


@contextmanager
def writer(path: Path, way: str, there: int = THERE) -> Iterator[None]:
    """A real process that has the file open for writing while the block runs."""
    words = [sys.executable, "-c", WRITER, str(path), way, str(N), str(M), str(there)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None and run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            run.stdin.close()


@pytest.mark.parametrize("way", ["swmr", "growing", "locked"])
def test_what_is_there_is_read_and_said(tmp_path: Path, way: str) -> None:
    path = tmp_path / "a.cxi"
    with writer(path, way):
        scan = open_scan(path)
        assert scan.n_frames == THERE and (scan.frames([0, THERE - 1]) > 0).all()
        assert np.isfinite(scan.positions_px).all()
        assert any("being written" in note for note in scan.metadata["notes"])


def test_a_closed_file_is_no_longer_called_so(tmp_path: Path) -> None:
    with writer(tmp_path / "a.cxi", "swmr", M):
        assert "notes" in open_scan(tmp_path / "a.cxi").metadata
    assert "notes" not in open_scan(tmp_path / "a.cxi").metadata


@pytest.mark.parametrize("way", ["unflushed", "latest"])
def test_else_the_error_says_that_it_is_being_written(tmp_path: Path, way: str) -> None:
    """Not damaged, and no advice to write it again: wait."""
    path = tmp_path / "a.cxi"
    with writer(path, way), pytest.raises(BusyFileError, match="being written now") as caught:
        open_scan(path)
    assert "damaged" not in str(caught.value)


def test_a_file_with_no_frame_yet(tmp_path: Path) -> None:
    with (
        writer(tmp_path / "a.cxi", "growing", 0),
        pytest.raises(BusyFileError, match="being written now"),
    ):
        open_scan(tmp_path / "a.cxi")


def test_inspect_and_reconstruct_say_it(tmp_path: Path) -> None:
    path, out = tmp_path / "a.cxi", tmp_path / "r.h5"
    program = [sys.executable, "-m", "ptycho"]
    with writer(path, "swmr"):
        inspected = subprocess.run(
            [*program, "inspect", path, "--json"], capture_output=True, text=True
        )
        made = subprocess.run(
            [*program, "reconstruct", path, "--untrained", "4", "-o", out],
            capture_output=True,
            text=True,
        )
    facts = json.loads(inspected.stdout)
    assert facts["frames"] == THERE
    assert any("being written" in warning for warning in facts["warnings"])
    assert made.returncode == 0, made.stderr
    assert "being written" in made.stderr
    with h5py.File(out) as file:
        assert file["object"].shape[0] >= N and np.isfinite(file["object"][()]).all()


COPIER = """
import sys, time
whole = open(sys.argv[1], "rb").read()
with open(sys.argv[2], "wb") as out:
    out.write(whole[: int(len(whole) * float(sys.argv[3]))])
    out.flush()
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("kind", ["npz", "cxi", "h5"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.95])
def test_a_file_that_is_still_copied_is_not_called_damaged(
    tmp_path: Path, kind: str, share: float
) -> None:
    """No lock tells, whatever the format: whoever holds the file open for writing does."""
    made = simulate(SimulationConfig(N=N, n_frames=M))
    whole, part = tmp_path / f"whole.{kind}", tmp_path / f"part.{kind}"
    save_scan(replace(made, geometry=Geometry(1e-10, 2.0, (5e-5, 5e-5))), whole)
    words = [sys.executable, "-c", COPIER, str(whole), str(part), str(share)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None and run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        with pytest.raises(BusyFileError, match="being written now") as caught:
            open_scan(part)
        assert "part" in str(caught.value.where) and f"process {run.pid}" in str(caught.value.got)
        run.stdin.close()
    with pytest.raises(DataError) as closed:  # it ends there: then it is damaged
        open_scan(part)
    assert not isinstance(closed.value, BusyFileError)
