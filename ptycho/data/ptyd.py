"""ptypy `.ptyd`: prepared frames in chunks. Read with plain h5py; nothing is ever unpickled.

`chunks/<i>/{data, positions (n, 2) metres (row, col), weights > 0 = good}`, and
`meta/{psize m, energy keV, distance m}` for the frames as they are stored. `meta/propagation` says
near or far field (the default); in the near field the object has the detector's pixels. Weights
are one image for a chunk, or one for each frame: those are read as they are used, like the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.data import hdf5, physical
from ptycho.data.hdf5_frames import part_of
from ptycho.data.lazy_frames import LazyFrames
from ptycho.data.measurement import AMPLITUDE
from ptycho.errors import MissingKeyError, ShapeError
from ptycho.frames import FrameView
from ptycho.scan import Geometry, Measured


def recognises(file: h5py.File) -> bool:
    """Chunks and what they mean."""
    return "chunks" in file and "meta" in file


def read(path: Path, file: h5py.File, measurement: str | None = None) -> Measured:
    """Read all chunks in the order of their numbers; frames stay in the file."""
    group = hdf5.find(file, "chunks")
    propagation = hdf5.text(hdf5.find(file, "meta/propagation"))
    near = propagation.startswith("near")
    names = list(group) if isinstance(group, h5py.Group) else []
    numbers = sorted((key for key in names if key.isdigit()), key=int)
    parts, positions, weights = [], [], []
    for key in numbers:  # a link names the folder of then: its file is taken from beside
        data = hdf5.frame_stack(file, f"chunks/{key}/data", beside=True)
        parts.append(part_of(data))
        positions.append(hdf5.vectors(hdf5.need(file, f"chunks/{key}/positions", beside=True), 2))
        found = hdf5.find(file, f"chunks/{key}/weights", beside=True)
        weights.append(found if isinstance(found, h5py.Dataset) and found.ndim >= 2 else None)
    if not parts:
        raise MissingKeyError(
            "the ptyd file has no frames", where=path, expected="chunks/0/data", got="no chunk"
        )
    shape = (int(data.shape[-2]), int(data.shape[-1]))
    kev = hdf5.number(hdf5.need(file, "meta/energy"))
    wavelength = physical.wavelength_from_joule(1e3 * kev * physical.EV_J, f"{path}:meta/energy")
    pitch = hdf5.array(hdf5.need(file, "meta/psize")).ravel()
    distance = hdf5.number(hdf5.need(file, "meta/distance"))
    if not pitch.size:
        raise MissingKeyError("the detector pixel is empty", where=f"{path}:meta/psize")
    geometry = Geometry(wavelength, distance, (float(pitch[0]), float(pitch[-1])), near)
    masks = [
        _of_chunk(path, found, part.count, shape)
        for found, part in zip(weights, parts, strict=True)
    ]
    good, each = _mask(masks, shape)
    frames = LazyFrames(
        tuple(parts), shape, amplitude=measurement == AMPLITUDE, mask=good, masks=each
    )
    return Measured(
        counts=frames,
        frame_mask=each,
        positions_px=np.concatenate(positions) / np.array(geometry.object_pixel_m(shape[1])),
        mask=good,
        geometry=geometry,
        name=path.stem,
        metadata={"layout": "ptypy ptyd"},
    )


@dataclass(frozen=True, eq=False)
class _Valid(FrameView):
    """(M, rows, cols) bool: where the weights of each frame are above 0.

    Args:
        chunks: for each its frames, and a (rows, cols) mask or the weights of its frames.
        often: (rows, cols) bool; elsewhere it is True: `Scan.mask` says that.
    """

    chunks: tuple[tuple[int, Any], ...]
    often: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(M, rows, cols)."""
        return (sum(count for count, _ in self.chunks), *self.often.shape)  # type: ignore[return-value]

    @property
    def dtype(self) -> np.dtype:
        """bool."""
        return np.dtype(bool)

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`."""
        wanted = np.asarray(indices).ravel()
        out = np.empty((len(wanted), *self.often.shape), bool)
        start = 0
        for count, good in self.chunks:
            inside = (wanted >= start) & (wanted < start + count)
            if inside.any():
                out[inside] = _rows(good, wanted[inside] - start)
            start += count
        return (out | ~self.often).reshape(*np.shape(indices), *self.often.shape)


def _rows(good: Any, numbers: np.ndarray) -> np.ndarray:
    return np.asarray(good if isinstance(good, np.ndarray) else good.raw(numbers) > 0)


def _of_chunk(
    path: Path, weights: h5py.Dataset | None, count: int, shape: tuple[int, int]
) -> tuple[int, Any]:
    """Frames of a chunk, and what is good in them: one image for all, or a view of the weights."""
    if weights is None:
        return count, np.ones(shape, bool)
    good: Any
    if weights.ndim == 2 or int(np.prod(weights.shape[:-2])) == 1:
        good = hdf5.array(weights).reshape(weights.shape[-2:]) > 0
        fits = good.shape == shape
    else:
        good = LazyFrames((part_of(weights),), shape)
        fits = weights.shape == (count, *shape)
    if not fits:
        raise ShapeError(
            "the weights do not fit the frames",
            where=f"{path}:{weights.name}",
            expected=f"{shape} or {(count, *shape)}",
            got=weights.shape,
        )
    return count, good


def _mask(
    chunks: list[tuple[int, Any]], shape: tuple[int, int]
) -> tuple[np.ndarray | None, _Valid | None]:
    """The mask of all frames (what is good in most of them), and that of each if they differ."""
    total, frames = np.zeros(shape), 0
    for count, good in chunks:
        blocks = [good[None]] if isinstance(good, np.ndarray) else (b > 0 for b in good.blocks())
        total += sum(block.sum(axis=0) for block in blocks) * (
            count if isinstance(good, np.ndarray) else 1
        )
        frames += count
    often = total > frames / 2
    differs = ((total > 0) & (total < frames)).any()
    return (None if often.all() else often), (_Valid(tuple(chunks), often) if differs else None)
