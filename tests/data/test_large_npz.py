"""Frames of an NPZ file that memory need not hold: read where they lie, or unpacked once."""

from __future__ import annotations

import bz2
import io
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho.data import open_scan
from ptycho.data.masks import read_mask
from ptycho.data.ptychodus import read_diffraction
from ptycho.errors import DamagedFileError, DataError, MeasurementError, TooLargeError
from ptycho.frames import Ways

M, N = 100, 64
FRAMES = np.random.default_rng(0).poisson(3.0, (M, N, N))
X, Y = np.meshgrid(np.arange(10.0), np.arange(10.0))
PLACES = np.column_stack([Y.ravel(), X.ravel()])
WANTED = [7, 3, 99, 3, 0, 50, 51, 52]

Save = Callable[..., None]


def spoil(path: Path) -> None:
    """Change one byte of the frames."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("counts.npy")
    content = bytearray(path.read_bytes())
    content[entry.header_offset + int(0.7 * entry.compress_size)] ^= 0x10
    path.write_bytes(content)


def bzipped(path: Path, **arrays: Any) -> None:
    content = io.BytesIO()
    np.savez(content, **arrays)
    path.write_bytes(bz2.compress(content.getvalue(), 1))


SAVES: dict[str, Save] = {
    "stored": np.savez,
    "deflated": np.savez_compressed,
    "bzip2": bzipped,
}


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames above 1.3 MiB (of float32) stay in the file; those of this page take 1.6."""
    monkeypatch.setenv("PTYCHO_FRAMES_MIB", "8")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files, in which no name is ever left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def ours(frames: np.ndarray) -> dict[str, Any]:
    return {"counts": frames, "positions_px": PLACES}


def earlier(frames: np.ndarray) -> dict[str, Any]:
    return {
        "diff3d": frames,
        "xcoords": PLACES[:, 1],
        "ycoords": PLACES[:, 0],
        "measurement": np.array("amplitude"),
        "Y": np.ones((M, N, N), np.complex64),
    }


def tike(frames: np.ndarray) -> dict[str, Any]:
    return {"data": np.fft.ifftshift(frames, axes=(-2, -1))[None], "scan": PLACES[None]}


@pytest.mark.parametrize("how", SAVES)
@pytest.mark.parametrize(
    "dtype", ["<u2", ">u4", "<f8", ">f4"], ids=["u2", "big-endian u4", "f8", "big-endian f4"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_number_type_and_order(
    tmp_path: Path, temporary: Path, how: str, dtype: str, order: Any
) -> None:
    """What is read by pieces are the frames that were written, in any order of asking."""
    SAVES[how](tmp_path / "a.npz", **ours(np.asarray(FRAMES, dtype, order=order)))
    scan = open_scan(tmp_path / "a.npz")
    assert not isinstance(scan.counts, np.ndarray)
    assert np.array_equal(scan.frames(WANTED), FRAMES[WANTED])
    assert np.array_equal(scan.frames(np.arange(M)), FRAMES)
    assert np.array_equal(scan.subset([5, 2]).frames([1, 0]), FRAMES[[2, 5]])


@pytest.mark.parametrize("how", SAVES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("layout", ["earlier", "frames last", "a fourth axis", "tike"])
def test_every_layout_is_what_it_is_in_memory(
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    order: Any,
    layout: str,
) -> None:
    """Amplitudes, frames along the last axis, corner-centred ones: equal to a read at once."""
    frames = FRAMES.astype(np.float32)
    content = tike(frames) if layout == "tike" else earlier(frames)
    if layout == "frames last":
        content["diff3d"] = np.moveaxis(frames, 0, -1)
    if layout == "a fourth axis":
        content["diff3d"] = frames[..., None]
    content = {key: np.array(value, order=order) for key, value in content.items()}
    SAVES[how](tmp_path / "a.npz", **content)
    scan = open_scan(tmp_path / "a.npz")
    monkeypatch.delenv("PTYCHO_FRAMES_MIB")
    whole = open_scan(tmp_path / "a.npz")
    assert isinstance(whole.counts, np.ndarray) and not isinstance(scan.counts, np.ndarray)
    assert np.array_equal(scan.frames(WANTED), whole.frames(WANTED))
    assert np.array_equal(whole.frames(WANTED), FRAMES[WANTED] ** (1 if layout == "tike" else 2))
    assert np.array_equal(scan.positions_px, whole.positions_px)
    assert scan.metadata == whole.metadata
    assert layout != "tike" or scan.ceiling() == whole.ceiling()


@pytest.mark.parametrize("how", SAVES)
def test_a_diffraction_file_beside_a_product(tmp_path: Path, temporary: Path, how: str) -> None:
    """ptychodus' patterns with bad pixels, matched by their indexes; amplitudes on request."""
    bad = np.zeros((N, N), bool)
    bad[1, 2] = True
    SAVES[how](tmp_path / "d", patterns=FRAMES, indexes=np.arange(M) + 3, bad_pixels=bad)
    file = next(tmp_path.glob("d*"))
    counts, numbers, mask = read_diffraction(file)
    assert not isinstance(counts, np.ndarray) and numbers.tolist() == list(range(3, M + 3))
    assert mask is not None and np.array_equal(mask, ~bad)
    assert np.array_equal(counts[WANTED], np.where(bad, 0, FRAMES[WANTED]))
    squared, _, _ = read_diffraction(file, "amplitude")
    assert np.array_equal(squared[WANTED], np.where(bad, 0, FRAMES[WANTED] ** 2))


def test_the_evidence_of_a_silent_file_is_gathered_by_pieces(
    tmp_path: Path, temporary: Path
) -> None:
    """Whole numbers, the sum of a frame and the maximum, as for a file that fits."""
    content = earlier(FRAMES.astype(np.uint16))
    del content["measurement"]
    np.savez(tmp_path / "a.npz", **content)
    total, most = FRAMES.sum(axis=(1, 2)).mean(), FRAMES.max()
    with pytest.raises(MeasurementError) as caught:
        open_scan(tmp_path / "a.npz")
    assert f"whole numbers, sum per frame {total:.4g}, maximum {most:.4g}" in str(caught.value)


def test_frames_are_cleaned_and_cut_as_they_are_read(tmp_path: Path, temporary: Path) -> None:
    """A hot pixel at the maximum of the stored type is masked; a window is cut."""
    frames = FRAMES.astype(np.uint16)
    frames[:, 20, 30] = 65535
    np.savez_compressed(tmp_path / "a.npz", **ours(frames))
    scan = open_scan(tmp_path / "a.npz", ways=Ways(clean="auto", crop=32))
    assert scan.mask is not None and np.argwhere(~scan.mask).tolist() == [[4, 14]]
    assert scan.frames([0]).max() < 100


@pytest.mark.parametrize("how", ["stored", "deflated"])
def test_another_process_may_have_the_scan(tmp_path: Path, temporary: Path, how: str) -> None:
    """What is sent is where the frames are; they are read, or unpacked, anew."""
    SAVES[how](tmp_path / "a.npz", **ours(FRAMES.astype(np.uint16)))
    scan = open_scan(tmp_path / "a.npz")
    there = "import pickle, sys; scan, rows = pickle.load(sys.stdin.buffer); "
    there += "sys.stdout.buffer.write(scan.frames(rows).astype('f8').tobytes())"
    sent = pickle.dumps((scan, WANTED))
    done = subprocess.run(
        [sys.executable, "-c", there], input=sent, stdout=subprocess.PIPE, check=True
    )
    found = np.frombuffer(done.stdout).reshape(-1, N, N)
    assert np.array_equal(found, FRAMES[WANTED])


@pytest.mark.parametrize("how", ["stored", "deflated"])
def test_one_wrong_byte_is_an_error_before_a_frame_is_given_out(
    tmp_path: Path, temporary: Path, how: str
) -> None:
    """The archive's checksum is compared, whichever frame the byte is in."""
    path = tmp_path / "a.npz"
    SAVES[how](path, **ours(FRAMES.astype(np.uint16)))
    spoil(path)
    with pytest.raises(DamagedFileError, match="the NPZ file cannot be read") as caught:
        open_scan(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("how", SAVES)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_half_a_file(tmp_path: Path, temporary: Path, how: str, share: float) -> None:
    """A truncated archive is no archive."""
    path = tmp_path / "a.npz"
    SAVES[how](path, **ours(FRAMES.astype(np.uint16)))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DamagedFileError, match="cannot be read"):
        open_scan(path)


def changed(path: Path, offset: int, form: str, value: int) -> None:
    """`value` written over the central directory's entry of `counts.npy`."""
    content = bytearray(path.read_bytes())
    at = content.rindex(b"counts.npy") - 46
    assert content[at : at + 4] == b"PK\x01\x02"
    struct.pack_into(form, content, at + offset, value)
    path.write_bytes(content)


LIES = {
    "more bytes": (24, "<I", 2**31),
    "fewer packed bytes": (20, "<I", 1000),
    "encrypted": (8, "<H", 1),
    "behind the end": (42, "<I", 10**9),
    "elsewhere": (42, "<I", 7),
    "packed as bzip2": (10, "<H", 12),
    "packed as LZMA": (10, "<H", 14),
    "packed as nobody knows": (10, "<H", 77),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("how", ["stored", "deflated"])
def test_a_directory_that_lies(tmp_path: Path, temporary: Path, how: str, lie: str) -> None:
    """Sizes, places, flags and methods of the archive against what is there."""
    path = tmp_path / "a.npz"
    SAVES[how](path, **ours(FRAMES.astype(np.uint16)))
    changed(path, *LIES[lie])
    with pytest.raises(DataError):
        open_scan(path)


def test_two_arrays_of_one_name(tmp_path: Path, temporary: Path) -> None:
    """Which of them is meant nobody knows."""
    np.savez(tmp_path / "a.npz", **ours(FRAMES.astype(np.uint16)))
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "a") as archive,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        archive.writestr("counts.npy", archive.read("counts.npy"))
    with pytest.raises(DamagedFileError, match="two arrays are named 'counts'"):
        open_scan(tmp_path / "a.npz")


def test_a_bomb_is_not_unpacked(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no measurement compresses to is refused, however much room the disk has."""
    monkeypatch.setattr("ptycho.data.limits.ALWAYS_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "bomb.npz", **ours(np.zeros((M, 4 * N, 4 * N), np.uint16)))
    with pytest.raises(TooLargeError, match="declares more"):
        open_scan(tmp_path / "bomb.npz")


def test_a_full_disk_is_told_before_it_is_full(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpacking needs room; a stored array needs none."""
    for how in ("stored", "deflated"):
        SAVES[how](tmp_path / f"{how}.npz", **ours(FRAMES.astype(np.uint16)))
    monkeypatch.setattr("ptycho.data.limits.DISK_SHARE", 0.0)
    with pytest.raises(TooLargeError, match="TMPDIR"):
        open_scan(tmp_path / "deflated.npz")
    assert open_scan(tmp_path / "stored.npz").n_frames == M


def test_a_frame_larger_than_any_detector_is_not_read(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One frame is what memory must always hold; HDF5 has the same bound."""
    monkeypatch.setattr("ptycho.data.limits.SMALL_BYTES", 2 * N * N - 1)
    np.savez(tmp_path / "a.npz", **ours(FRAMES.astype(np.uint16)))
    with pytest.raises(TooLargeError, match="huge"):
        open_scan(tmp_path / "a.npz")


def test_a_mask_beside_large_frames_is_read_without_them(tmp_path: Path, temporary: Path) -> None:
    """`--mask SCAN.npz`: nothing of the frames is unpacked (there is a wrong byte in them)."""
    path, mask = tmp_path / "a.npz", np.random.default_rng(1).random((N, N)) > 0.5
    np.savez_compressed(path, **ours(FRAMES.astype(np.uint16)), mask=mask)
    spoil(path)
    assert np.array_equal(read_mask(path), mask)
