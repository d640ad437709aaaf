"""The table of bad input, a row a test: the named exception, with file, key, expected and got."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho.data import open_scan, save_scan
from ptycho.errors import (
    DuplicatePositionsError,
    IntegerPositionsError,
    LabelsError,
    LayoutError,
    MaskPolarityError,
    MeasurementError,
    MissingKeyError,
    PositionsOutsideObjectError,
    ProbeSizeError,
    PtychoError,
    ShapeError,
    UnitError,
    UnknownFormatError,
    ValueRangeError,
    WrongTypeError,
)
from ptycho.evaluation.inspection import inspect_scan
from ptycho.scan import Scan

M, N = 6, 8
RNG = np.random.default_rng(4)
COUNTS = RNG.poisson(30.0, (M, N, N)).astype(np.uint16)
Arrays = dict[str, Any]


def arrays() -> Arrays:
    """A whole file of the earlier package: amplitudes, probe, object, patches."""
    return {
        "xcoords": np.array([5.0, 9.5, 14.0, 5.0, 9.0, 14.25]),
        "ycoords": np.array([5.0, 5.0, 5.5, 11.0, 11.5, 12.0]),
        "diff3d": np.sqrt(COUNTS).astype(np.float32),
        "probeGuess": np.ones((N, N), np.complex64),
        "objectGuess": np.ones((20, 24), np.complex64),
        "Y": np.ones((M, N, N), np.complex64),
    }


def change(key: str, value: Callable[[Arrays], Any]) -> Callable[[Arrays], None]:
    def apply(content: Arrays) -> None:
        content[key] = value(content)

    return apply


def spoil(key: str, index: Any, value: Any) -> Callable[[Arrays], None]:
    def apply(content: Arrays) -> None:
        content[key][index] = value

    return apply


def drop(key: str) -> Callable[[Arrays], None]:
    return lambda content: content.pop(key)


def in_metres(content: Arrays) -> None:
    for key in ("xcoords", "ycoords"):
        content[key] = content[key] * 1e-8


def narrow_frames(content: Arrays) -> None:
    content["diff3d"] = content["diff3d"][:, :, :6]
    del content["Y"]


ROWS: dict[str, tuple[Callable[[Arrays], Any], str | None, type[PtychoError], str]] = {
    "missing key": (drop("ycoords"), "amplitude", MissingKeyError, "ycoords"),
    "missing frames": (drop("diff3d"), "amplitude", MissingKeyError, "diff3d"),
    "intensity or amplitude": (lambda c: None, None, MeasurementError, "fractions"),
    "uint16 counts": (change("diff3d", lambda c: COUNTS), None, MeasurementError, "whole numbers"),
    "contradiction": (
        change("measurement", lambda c: np.array("counts")), "amplitude", MeasurementError,
        "contradict",
    ),
    "NaN": (spoil("diff3d", (3, 2, 1), np.nan), "amplitude", ValueRangeError, "frame 3"),
    "negative": (spoil("diff3d", (2, 0, 5), -1.0), "counts", ValueRangeError, "frame 2"),
    "infinite": (spoil("diff3d", (2, 0, 5), np.inf), "counts", ValueRangeError, "frame 2"),
    "layout": (
        change("diff3d", lambda c: c["diff3d"].swapaxes(0, 1)), "amplitude", LayoutError,
        "no axis",
    ),
    "outside the object": (
        spoil("xcoords", 4, 300.0), "amplitude", PositionsOutsideObjectError, "frame 4",
    ),
    "NaN position": (spoil("ycoords", 1, np.nan), "amplitude", ValueRangeError, "positions"),
    "probe size": (
        change("probeGuess", lambda c: np.ones((N + 2, N + 2), complex)), "amplitude",
        ProbeSizeError, "10, 10",
    ),
    "frames not square": (
        narrow_frames, "amplitude", ShapeError, "squares",
    ),
    "Y of other frames": (change("Y", lambda c: c["Y"][:4]), "amplitude", LabelsError, "'Y'"),
    "duplicates": (
        spoil("ycoords", 3, 5.0), "amplitude", DuplicatePositionsError, "2 frames at",
    ),
    "integer positions": (
        change("xcoords", lambda c: np.arange(M)), "amplitude", IntegerPositionsError, "int64",
    ),
    "positions in metres": (
        in_metres, "amplitude", UnitError, "metres",
    ),
    "text for positions": (
        change("xcoords", lambda c: np.array(["a"] * M)), "amplitude", WrongTypeError, "xcoords",
    ),
    "complex frames": (
        change("diff3d", lambda c: c["diff3d"] + 1j), "amplitude", WrongTypeError, "diff3d",
    ),
    "pickled frames": (
        change("diff3d", lambda c: np.array([{}] * M)), "amplitude", WrongTypeError, "unpickled",
    ),
}  # fmt: skip


def stored(tmp_path: Path, content: Arrays) -> Path:
    path = tmp_path / "bad.npz"
    np.savez(path, **content)
    return path


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table(tmp_path: Path, row: str) -> None:
    """The exception has its own name and says where, and what is wrong."""
    spoiled, measurement, kind, words = ROWS[row]
    content = arrays()
    spoiled(content)
    path = stored(tmp_path, content)
    with pytest.raises(kind, match=words) as caught:
        open_scan(path, measurement=measurement)  # type: ignore[arg-type]
    assert type(caught.value) is kind
    assert caught.value.where is not None or kind is MissingKeyError
    assert caught.value.exit_code == 3


def test_what_the_caller_may_accept(tmp_path: Path) -> None:
    """Integers and duplicates are read on the caller's word, which a written file remembers."""
    content = arrays()
    content["xcoords"], content["ycoords"] = np.array([5, 5, 9, 9, 13, 13]), np.full(M, 6)
    path = stored(tmp_path, content)
    both = ("integer-positions", "duplicate-positions")
    scan = open_scan(path, measurement="amplitude", accept=both)
    np.testing.assert_array_equal(scan.positions_px[:, 1], content["xcoords"])
    warnings = inspect_scan(scan)["warnings"]
    assert any("same position" in warning for warning in warnings)
    assert any("whole numbers" in warning for warning in warnings)
    again = open_scan(save_scan(scan, tmp_path / "kept.npz"))
    np.testing.assert_array_equal(again.positions_px, scan.positions_px)
    with pytest.raises(PtychoError, match="accepted"):
        open_scan(path, accept=("everything",))


def test_amplitudes_of_narrow_integers_do_not_wrap_around(tmp_path: Path) -> None:
    """300² does not fit 16 bits; squaring is done in float64."""
    content = arrays()
    content["diff3d"] = np.full((M, N, N), 300, np.uint16)
    np.savez(tmp_path / "a.npz", **content)
    scan = open_scan(tmp_path / "a.npz", measurement="amplitude")
    assert np.all(scan.frames([0]) == 90000)


def test_without_an_object_there_is_no_truth(tmp_path: Path) -> None:
    """No placeholder of ones is invented where `objectGuess` is absent."""
    content = arrays()
    del content["objectGuess"], content["Y"], content["probeGuess"]
    np.savez(tmp_path / "a.npz", **content)
    scan = open_scan(tmp_path / "a.npz", measurement="amplitude")
    assert scan.truth is None and scan.probe is None


def test_mask_polarity() -> None:
    """A mask with True = bad is refused; one hot pixel of 2³² − 1 counts is no reason."""
    places = np.column_stack([np.arange(M), np.arange(M)]).astype(float)
    good = np.ones((N, N), bool)
    good[2, 3] = False
    hot = COUNTS.astype(np.float32)
    hot[:, 2, 3] = 2.0**32 - 1
    assert Scan(hot, places, mask=good).mask is not None
    for mask in (~good, np.zeros((N, N), bool)):
        with pytest.raises(MaskPolarityError, match="invert"):
            Scan(hot, places, mask=mask)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"counts": np.zeros((M, N, N), complex)}, WrongTypeError),
        ({"counts": np.full((M, N, N), "a")}, WrongTypeError),
        ({"positions_px": np.full((M, 2), "a")}, WrongTypeError),
        ({"positions_px": np.zeros((M, 2), complex)}, WrongTypeError),
        ({"positions_px": np.zeros((M, 3))}, ShapeError),
        ({"probe": np.full((N, N), np.nan)}, ValueRangeError),
        ({"probe": np.zeros((N, N))}, ValueRangeError),
        ({"background": -1.0}, ValueRangeError),
        ({"counts": np.zeros((0, N, N))}, ShapeError),
    ],
)
def test_a_scan_is_checked_when_it_is_made(changes: Arrays, kind: type[PtychoError]) -> None:
    """Types, shapes and values, before anything is computed."""
    places = np.column_stack([np.arange(M), np.arange(M)]).astype(float)
    with pytest.raises(kind):
        Scan(**{"counts": COUNTS, "positions_px": places, **changes})


def test_a_dataset_of_an_open_file_serves_as_frames(tmp_path: Path) -> None:
    """`Scan(h5py.Dataset, …)`: any order, repetitions, subsets, and bad frames when read."""
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        counts = COUNTS.astype(np.float32)
        counts[4, 1, 1] = -3
        data = file.create_dataset("frames", data=counts, chunks=(2, N, N))
        places = np.column_stack([np.arange(M), np.arange(M)]).astype(float)
        scan = Scan(data, places)
        wanted = [5, 0, 2, 2, 1]
        np.testing.assert_array_equal(scan.frames(wanted), COUNTS[wanted])
        part = scan.subset([5, 2]).subset([1, 0])
        np.testing.assert_array_equal(part.frames([1, 0]), COUNTS[[5, 2]])
        with pytest.raises(ValueRangeError, match=r"frame 4, pixel \(1, 1\)"):
            scan.photons_per_frame()


@pytest.mark.parametrize(
    ("key", "says", "error"),
    [("measurement", "amplitude", MeasurementError), ("schema", 2, UnknownFormatError)],
)
def test_what_a_file_of_ours_says_of_itself_is_read(
    tmp_path: Path, key: str, says: object, error: type[PtychoError]
) -> None:
    """Both were passed over: amplitudes would have been taken for counts."""
    content = {"counts": COUNTS, "positions_px": np.arange(2.0 * len(COUNTS)).reshape(-1, 2)}
    np.savez(tmp_path / "scan.npz", **content)
    assert open_scan(tmp_path / "scan.npz").n_frames == len(COUNTS)
    np.savez(tmp_path / "scan.npz", **content, **{key: np.array(says)})
    with pytest.raises(error, match=key):
        open_scan(tmp_path / "scan.npz")
