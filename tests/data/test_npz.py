"""NPZ files made by hand, read back; wrong files are words."""

from __future__ import annotations

import bz2
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ptycho.data import open_scan, save_scan
from ptycho.errors import DamagedFileError, DataError, ShapeError, TooLargeError, WrongTypeError
from ptycho.scan import Geometry, Scan, Truth

RNG = np.random.default_rng(0)


def whole_scan() -> Scan:
    return Scan(
        counts=RNG.poisson(3.0, (5, 8, 8)).astype(np.float32),
        positions_px=RNG.uniform(-9, 9, (5, 2)),
        probe=(RNG.normal(size=(2, 8, 8)) + 1j).astype(np.complex64),
        mask=RNG.random((8, 8)) > 0.1,
        geometry=Geometry(1e-10, 2.0, (55e-6, 75e-6)),
        truth=Truth(np.ones((20, 21), np.complex64), (-10.0, -10.5)),
        background=0.25,
        name="µ-scan",
        metadata={"a": [1, 2]},
    )


def test_everything_comes_back(tmp_path: Path) -> None:
    """Our layout keeps every field."""
    scan = whole_scan()
    again = open_scan(save_scan(scan, tmp_path / "deep" / "scan.npz"))
    assert scan.truth and again.truth and scan.probe is not None and again.probe is not None
    for mine, theirs in (
        (scan.counts, again.counts),
        (scan.positions_px, again.positions_px),
        (scan.probe, again.probe),
        (scan.mask, again.mask),
        (scan.truth.object, again.truth.object),
    ):
        assert np.array_equal(mine, theirs)
    assert again.geometry == scan.geometry and again.truth.origin_px == scan.truth.origin_px
    assert (again.background, again.name, again.metadata) == (0.25, "µ-scan", {"a": [1, 2]})
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["scan.npz"]


@pytest.mark.parametrize("key", ["diff3d", "diffraction"])
@pytest.mark.parametrize("last", [False, True], ids=["MNN", "NNM"])
def test_the_earlier_package(tmp_path: Path, key: str, last: bool) -> None:
    """x is the column, y the row; amplitudes are squared only on the caller's word."""
    amplitude = RNG.random((5, 8, 8))
    stored = np.moveaxis(amplitude, 0, -1) if last else amplitude
    x, y = np.arange(5.0), 10 - np.arange(5.0)
    np.savez(tmp_path / "a.npz", xcoords=x, ycoords=y, **{key: stored})
    with pytest.raises(DataError, match="--measurement amplitude"):
        open_scan(tmp_path / "a.npz")
    scan = open_scan(tmp_path / "a.npz", measurement="amplitude")
    np.testing.assert_allclose(scan.counts, amplitude**2, rtol=1e-6)
    assert np.array_equal(scan.positions_px, np.column_stack([y, x]))


def test_tike(tmp_path: Path) -> None:
    """Corner-centred frames are centred; the probe gets the power of the mean frame."""
    centred = RNG.poisson(5.0, (4, 8, 8)).astype(np.float32)
    file = io.BytesIO()
    np.savez(
        file,
        data=np.fft.ifftshift(centred, axes=(-2, -1))[None],
        scan=RNG.random((1, 4, 2)),
        probe=np.ones((1, 1, 1, 1, 8, 8), np.complex64),
    )
    (tmp_path / "tike.npz.bz2").write_bytes(bz2.compress(file.getvalue()))
    scan = open_scan(tmp_path / "tike.npz.bz2")
    assert scan.probe is not None and np.array_equal(scan.counts, centred)
    np.testing.assert_allclose(
        np.sum(np.abs(scan.probe) ** 2), centred.sum(axis=(1, 2)).mean(), rtol=1e-5
    )


@pytest.mark.real
def test_the_measured_siemens_star(siemens_star_path: Path) -> None:
    """The facts that its publisher states: 516 frames of 128², 461 213 photons a frame."""
    scan = open_scan(siemens_star_path)
    assert (scan.n_frames, scan.N) == (516, 128)
    assert round(float(scan.photons_per_frame().mean())) == 461213
    mean = scan.frames(np.arange(516)).mean(axis=0)
    row, col = (np.sum(np.indices(mean.shape)[axis] * mean) / mean.sum() for axis in (0, 1))
    # The measured beam itself is 2.8 px off; corner-centred frames would be about 64 px off.
    assert abs(row - 64) < 4 and abs(col - 64) < 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "no format that is known"),
        (b"PK\x03\x04 torn", "cannot be read"),
        (bz2.compress(b"not an npz"), "cannot be read"),
    ],
)
def test_wrong_files(tmp_path: Path, content: bytes, words: str) -> None:
    """Junk is an error with the path in it, never a traceback of a library."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=words) as problem:
        open_scan(tmp_path / "x")
    assert str(tmp_path / "x") in str(problem.value)


def test_a_truncated_file_and_a_pickle(tmp_path: Path) -> None:
    """Half a file is refused; an object array is never unpickled."""
    whole = save_scan(whole_scan(), tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "pickle.npz", positions_px=np.array([{}, {}]), counts=np.zeros((2, 8, 8)))
    with pytest.raises(DamagedFileError, match="cannot be read"):
        open_scan(tmp_path / "half.npz")
    with pytest.raises(WrongTypeError, match="never unpickled"):
        open_scan(tmp_path / "pickle.npz")
    with pytest.raises(DataError, match="cannot be opened"):
        open_scan(tmp_path / "missing.npz")


def test_arrays_that_do_not_fit_name_both_shapes() -> None:
    """Frames against positions, probe and mask; NaN and negative counts."""
    good = whole_scan()
    with pytest.raises(ShapeError, match=r"\(5, 2\)(.|\n)*\(4, 2\)"):
        Scan(counts=good.counts, positions_px=good.positions_px[:4])
    with pytest.raises(ShapeError, match=r"8, 8(.|\n)*6, 6"):
        Scan(good.counts, good.positions_px, probe=np.ones((6, 6)))
    with pytest.raises(ShapeError, match="True = valid"):
        Scan(good.counts, good.positions_px, mask=np.ones((8, 8), np.uint8))
    bad = good.counts.copy()
    bad[3, 0, 0] = -1
    with pytest.raises(DataError, match="frame 3"):
        Scan(bad, good.positions_px)
    with pytest.raises(DataError, match="positions"):
        Scan(good.counts, np.full((5, 2), np.nan))


def test_thinning_splits_counts_and_light() -> None:
    """Parts add up to the whole; the probe's power is shared like the photons."""
    scan = whole_scan()
    first, second = scan.thin(np.random.default_rng(1), 0.25)
    assert np.array_equal(first.counts + second.counts, scan.counts)
    assert scan.probe is not None and first.probe is not None
    power = np.sum(np.abs(first.probe) ** 2) / np.sum(np.abs(scan.probe) ** 2)
    np.testing.assert_allclose(power, 0.25, rtol=1e-5)
    assert first.background == 0.0625


def test_declared_sizes_are_looked_at_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small archive of a large array is refused, plain and inside bzip2."""
    monkeypatch.setattr("ptycho.data.limits.ALWAYS_BYTES", 1 << 20)
    bomb = tmp_path / "bomb.npz"
    np.savez_compressed(bomb, counts=np.zeros((200, 100, 100), np.uint8))
    assert bomb.stat().st_size < 1 << 14
    with pytest.raises(TooLargeError, match="declares more"):
        open_scan(bomb)
    (tmp_path / "b").write_bytes(bz2.compress(b"\0" * (1 << 20)))
    with pytest.raises(TooLargeError, match="declares more"):
        open_scan(tmp_path / "b")


def test_a_header_that_promises_more_than_its_member_allocates_nothing(tmp_path: Path) -> None:
    """A terabyte in the array's own header, a hundred bytes in the archive."""
    header = io.BytesIO()
    shape = (10**6, 1000, 1000)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as archive:
        archive.writestr("counts.npy", header.getvalue() + b"\0" * 100)
        archive.writestr("positions_px.npy", b"")
    with pytest.raises(DamagedFileError, match="header says"):
        open_scan(tmp_path / "lie.npz")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 8, 8), \u00af",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 8, 8",
        "{'descr': '<f4', 'shape': (4, 8, 8)}",
        "[" * 5000,
        "nothing",
    ],
)
def test_a_spoilt_header_of_an_array(tmp_path: Path, header: str) -> None:
    """NumPy raises many things on a header that is none; here it is one error with the path."""
    text = header.encode("latin1").ljust(5110) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 1024
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("counts.npy", content)
    with pytest.raises(DamagedFileError, match="cannot be read"):
        open_scan(tmp_path / "a.npz")
