"""NPZ files of the earlier package and of SLAC's export: x = column, y = row, in pixels.

Frames are `diff3d` or `diffraction`, (M, N, N) or (N, N, M). The same keys hold amplitudes in
one producer's files and counts in another's, so that the file or the caller must say which.
Positions are `xcoords`, `ycoords` (or `…_start` alone, as SLAC writes them: pixels, although
some readers take them for metres).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data import npz_arrays, physical
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
from ptycho.scan import Measured, Truth

METRES_BELOW_PX = 1e-2


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
    frames, notes = _frames_first(stored, len(positions), f"{path}:{key}")
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


def _frames_first(frames: np.ndarray, count: int, where: str) -> tuple[np.ndarray, dict[str, str]]:
    """(M, N, N), whichever axis is the scan's, and a note where that is not sure."""
    if frames.ndim == 4 and frames.shape[-1] == 1:
        frames = frames[..., 0]
    if frames.ndim != 3 or 0 in frames.shape or count not in (len(frames), frames.shape[-1]):
        raise LayoutError(
            "no axis of the frames has the length of the positions",
            where=where,
            expected=f"({count}, N, N) or (N, N, {count})",
            got=frames.shape,
        )
    if frames.shape[0] == frames.shape[1] == frames.shape[2]:
        return frames, {"note": "as many frames as pixels: the first axis is taken as the scan's"}
    if frames.shape[0] == count and frames.shape[1] == frames.shape[2]:
        return frames, {}
    return np.moveaxis(frames, -1, 0), {}


def to_counts(frames: np.ndarray, said: str | None, key: str, path: Path) -> np.ndarray:
    """Counts of `frames`; whole numbers are squared without wrapping around.

    Raises:
        MeasurementError: nobody says what the numbers are; the evidence is in the message.
    """
    if said == AMPLITUDE:
        return np.square(frames.astype(np.float64)).astype(np.float32)
    if said is not None:
        return frames
    whole = bool(np.array_equal(frames, np.rint(frames)))
    total = float(frames.sum(axis=(1, 2), dtype=np.float64).mean())
    raise MeasurementError(
        f"the file does not say whether {key!r} holds counts or amplitudes",
        where=path,
        expected="measurement = counts | amplitude | intensity",
        got=f"{'whole numbers' if whole else 'fractions'}, sum per frame {total:.4g}, "
        f"maximum {float(frames.max(initial=0)):.4g}",
        fix=f"--measurement {'counts' if whole else 'amplitude'}   (if that is what they are)",
    )


def _check_labels(arrays: Mapping[str, np.ndarray], shape: tuple[int, ...], path: Path) -> None:
    """Patches (`Y`) and scan numbers are one for each frame; they are checked, and not used."""
    for key in ("Y", "ground_truth_patches"):
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
