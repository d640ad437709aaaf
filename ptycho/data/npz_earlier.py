"""NPZ files of the earlier package and of SLAC's export: x = column, y = row, in pixels.

Frames are `diff3d` or `diffraction`, (M, N, N) or (N, N, M). The same keys hold amplitudes in
one producer's files and counts in another's, so that the file or the caller must say which.
Positions are `xcoords`, `ycoords` (or `…_start` alone, as SLAC writes them: pixels, although
some readers take them for metres).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data import npz_arrays, physical
from ptycho.data.lazy_frames import LazyFrames
from ptycho.data.measurement import AMPLITUDE, agreed
from ptycho.data.names import scan_stem
from ptycho.errors import (
    IntegerPositionsError,
    LabelsError,
    LayoutError,
    MeasurementError,
    ShapeError,
    UnitError,
)
from ptycho.frames import block_bytes, raw_frames
from ptycho.scan import Measured, Truth

METRES_BELOW_PX = 1e-2
LABELS = ("Y", "ground_truth_patches")
STACKS = ("diff3d", "diffraction", *LABELS)  # one image a frame


def recognises(arrays: Mapping[str, np.ndarray]) -> bool:
    """Coordinates under their earlier names."""
    return "xcoords" in arrays or "xcoords_start" in arrays


def read(
    arrays: Mapping[str, np.ndarray],
    path: Path,
    measurement: str | None,
    accept: Collection[str] = (),
) -> Measured:
    """The scan in these arrays; see `ptycho.data.open_scan` for the arguments and errors."""
    positions = _positions(arrays, path, accept)
    key = "diff3d" if "diff3d" in arrays else "diffraction"
    stored = npz_arrays.numbers(npz_arrays.need(arrays, path, key, "diff3d"), f"{path}:{key}")
    shape, last, notes = _scan_axis(stored.shape, len(positions), f"{path}:{key}")
    frames = npz_arrays.frames(stored, f"{path}:{key}", shape, last=last)
    written = str(arrays["measurement"]) if "measurement" in arrays else None
    said = agreed(written, measurement, path)
    counts = to_counts(frames, said, key, path)
    _check_labels(arrays, frames.shape, path)
    probe = _complex(arrays, "probeGuess", path)
    if probe is not None and said == AMPLITUDE:
        probe = physical.scaled_probe(probe, physical.mean_photons(counts))
    truth = _complex(arrays, "objectGuess", path)
    if truth is not None:
        truth = truth.reshape(truth.shape[-2:]) if truth.size else truth
    metadata: dict[str, Any] = {"layout": "earlier package", "measurement": said}
    if probe is not None and said == AMPLITUDE:
        metadata["probe_scaled"] = True
    earlier = npz_arrays.json_object(arrays.get(npz_arrays.METADATA), f"{path}:_metadata")
    return Measured(
        counts=counts,
        positions_px=positions,
        probe=probe,
        truth=None if truth is None else Truth(truth.astype(np.complex64)),
        name=scan_stem(path),
        metadata=metadata | ({"earlier": earlier} if earlier else {}) | notes,
    )


def _positions(arrays: Mapping[str, np.ndarray], path: Path, accept: Collection[str]) -> np.ndarray:
    """(M, 2) float64 (row, col)."""
    columns = []
    for axis in ("y", "x"):
        keys = (f"{axis}coords", f"{axis}coords_start")
        column = npz_arrays.numbers(npz_arrays.need(arrays, path, *keys), f"{path}:{keys[0]}")
        if column.dtype.kind != "f" and "integer-positions" not in accept:
            raise IntegerPositionsError(
                "positions are stored as integers: are they pixels, or numbers of grid points?",
                where=f"{path}:{keys[0]}",
                expected="float64 pixels of the object grid",
                got=column.dtype,
                fix='--accept integer-positions if they are pixels, or save .astype("float64")',
            )
        columns.append(column.astype(np.float64))
    if columns[0].ndim != 1 or columns[0].shape != columns[1].shape:
        raise ShapeError(
            "ycoords and xcoords do not belong together",
            where=path,
            expected="two arrays (M,)",
            got=f"ycoords {columns[0].shape}, xcoords {columns[1].shape}",
        )
    positions = np.column_stack(columns)
    extent = float(np.ptp(positions, axis=0).max()) if len(positions) else 0.0
    if 0 < extent < METRES_BELOW_PX:
        raise UnitError(
            "the positions look like metres; this layout holds pixels of the object grid",
            where=f"{path}:ycoords, xcoords",
            expected=f"an extent above {METRES_BELOW_PX} px",
            got=f"an extent of {extent:.3g}",
            fix="divide by the object pixel (wavelength · distance / (N · detector pixel))",
        )
    return positions


def _scan_axis(
    shape: tuple[int, ...], count: int, where: str
) -> tuple[tuple[int, ...], bool, dict[str, str]]:
    """The axes that count, whether the last is the scan's, and a note where that is not sure."""
    given = shape
    shape = shape[:3] if len(shape) == 4 and shape[-1] == 1 else shape
    if len(shape) != 3 or 0 in shape or count not in (shape[0], shape[-1]):
        raise LayoutError(
            "no axis of the frames has the length of the positions",
            where=where,
            expected=f"({count}, N, N) or (N, N, {count})",
            got=given,
        )
    if shape[0] == shape[1] == shape[2]:
        note = "as many frames as pixels: the first axis is taken as the scan's"
        return shape, False, {"note": note}
    return shape, not (shape[0] == count and shape[1] == shape[2]), {}


def to_counts(frames: Any, said: str | None, key: str, path: Path) -> Any:
    """Counts of `frames`; whole numbers are squared without wrapping around.

    Raises:
        MeasurementError: nobody says what the numbers are; the evidence is in the message.
    """
    if said == AMPLITUDE:
        if isinstance(frames, LazyFrames):
            return replace(frames, amplitude=True)
        return np.square(frames.astype(np.float64)).astype(np.float32)
    if said is not None:
        return frames
    whole, total, largest = True, 0.0, 0.0
    step = max(1, block_bytes() // (8 * frames[:1].size))
    for first in range(0, len(frames), step):
        block = raw_frames(frames, np.arange(first, min(first + step, len(frames))))
        whole = whole and bool(np.array_equal(block, np.rint(block)))
        total += float(block.sum(dtype=np.float64)) / len(frames)
        largest = max(largest, float(block.max(initial=0)))
    raise MeasurementError(
        f"the file does not say whether {key!r} holds counts or amplitudes",
        where=path,
        expected="measurement = counts | amplitude | intensity",
        got=f"{'whole numbers' if whole else 'fractions'}, sum per frame {total:.4g}, "
        f"maximum {largest:.4g}",
        fix=f"--measurement {'counts' if whole else 'amplitude'}   (if that is what they are)",
    )


def _check_labels(arrays: Mapping[str, np.ndarray], shape: tuple[int, ...], path: Path) -> None:
    """Patches (`Y`) and scan numbers are one for each frame; they are checked, and not used."""
    for key in LABELS:
        found = arrays.get(key)
        if found is not None and (len(found.shape) < 3 or found.shape[:3] != shape):
            raise LabelsError(
                f"the patches {key!r} are not one for each frame",
                where=f"{path}:{key}",
                expected=shape,
                got=found.shape,
                fix=f"remove {key!r} from the file, or write it for the same frames",
            )
    index = arrays.get("scan_index")
    if index is not None and index.shape != shape[:1]:
        raise LabelsError(
            "scan_index is not one number for each frame",
            where=f"{path}:scan_index",
            expected=shape[:1],
            got=index.shape,
        )


def _complex(arrays: Mapping[str, np.ndarray], key: str, path: Path) -> np.ndarray | None:
    found = arrays.get(key)
    if found is None:
        return None
    found = npz_arrays.numbers(found, f"{path}:{key}", "iufc")
    if found.ndim not in (2, 3) or (key == "objectGuess" and found.ndim == 3 and len(found) != 1):
        raise ShapeError(
            f"{key} is no image", where=f"{path}:{key}", expected="(H, W)", got=found.shape
        )
    return found
