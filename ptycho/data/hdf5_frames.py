"""Frames that stay in an HDF5 file until they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.data import hdf5
from ptycho.errors import ValueRangeError
from ptycho.frames import FrameView, type_maximum

READ_BYTES = 8 << 20


@dataclass(frozen=True)
class LazyFrames(FrameView):
    """(M, N, N) float32 counts that are read from HDF5 when they are asked for.

    The file is opened for each request, so that nothing stays open and the object can be sent
    to another process.

    Args:
        path: the file.
        parts: (dataset path, number of frames) in order; leading axes are flattened.
        frame_shape: (rows, cols).
        scale: photons per stored unit, one number or (rows, cols).
        amplitude: the stored numbers are square roots.
        mask: (rows, cols) bool, True = valid; other pixels read as 0.
        whole: amplitudes squared are whole numbers.
        keep: frame numbers to use, or None for all.
    """

    path: Path
    parts: tuple[tuple[str, int], ...]
    frame_shape: tuple[int, int]
    scale: float | np.ndarray = 1.0
    amplitude: bool = False
    mask: np.ndarray | None = None
    whole: bool = False
    keep: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(M, rows, cols)."""
        count = sum(n for _, n in self.parts) if self.keep is None else len(self.keep)
        return (count, *self.frame_shape)

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`; bad values are errors that name the file and the frame."""
        wanted = np.atleast_1d(indices if self.keep is None else self.keep[indices])
        out = self._read(wanted)
        if self.mask is not None:
            out[:, ~self.mask] = 0
        self._check(out, wanted)
        return out.reshape(*np.shape(indices), *self.frame_shape)

    def unmasked(self, indices: Any) -> np.ndarray:
        """What the masked pixels hold, too; unchecked, and 0 where it is no number."""
        every = np.atleast_1d(indices if self.keep is None else self.keep[indices])
        return np.nan_to_num(self._read(every), posinf=0.0)

    def raw(self, indices: Any) -> np.ndarray:
        """As they are stored, in photons: NaN, negative and masked values too."""
        wanted = np.atleast_1d(indices if self.keep is None else self.keep[indices])
        return self._read(wanted).reshape(*np.shape(indices), *self.frame_shape)

    @property
    def ceiling(self) -> float:
        """Photons from which on a value is the maximum of the stored type."""
        with hdf5.opened(self.path) as file:
            largest = min(type_maximum(hdf5.need(file, name).dtype) for name, _ in self.parts)
        return float(np.max(self.scale)) * (largest**2 if self.amplitude else largest)

    def _read(self, wanted: np.ndarray) -> np.ndarray:
        out = np.empty((len(wanted), *self.frame_shape), np.float32)
        step = max(1, READ_BYTES // (8 * self.frame_shape[0] * self.frame_shape[1]))
        with hdf5.opened(self.path) as file:
            start = 0
            for name, count in self.parts:
                dataset = hdf5.need(file, name)
                for begin, end in _runs(wanted, start, start + count):
                    for first in range(begin, end, step):
                        last = min(first + step, end)
                        low, high = wanted[first] - start, wanted[last - 1] - start + 1
                        out[first:last] = self._photons(_rows(dataset, int(low), int(high)))
                start += count
        return out

    def _photons(self, block: np.ndarray) -> np.ndarray:
        if np.ndim(self.scale) == 0 and self.scale == 1.0 and not self.amplitude:
            return block
        values = block.astype(np.float64)
        if self.amplitude:
            np.square(values, out=values)
        values *= self.scale
        return np.rint(values) if self.whole else values

    def _check(self, frames: np.ndarray, wanted: np.ndarray) -> None:
        if frames.size == 0 or (np.isfinite(frames.max()) and frames.min() >= 0):
            return
        bad = ~(np.isfinite(frames) & (frames >= 0)).all(axis=(1, 2))
        if bad.any():
            raise ValueRangeError(
                "counts are negative or not finite",
                where=f"{self.path}:{self.parts[0][0]}, frame {int(wanted[int(bad.argmax())])}",
                expected="photons ≥ 0 in every valid pixel",
                got=float(np.nan_to_num(frames[bad], nan=-1.0).min()),
                fix="mark those pixels in the file's mask, or subtract the dark without going < 0",
            )


def _runs(wanted: np.ndarray, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Stretches of `wanted` inside [low, high) whose numbers follow one another."""
    inside = np.flatnonzero((wanted >= low) & (wanted < high))
    if inside.size == 0:
        return
    step = (np.diff(inside) != 1) | (np.diff(wanted[inside]) != 1)
    for run in np.split(inside, np.flatnonzero(step) + 1):
        yield int(run[0]), int(run[-1]) + 1


def _rows(dataset: h5py.Dataset, low: int, high: int) -> np.ndarray:
    """Frames low…high of a dataset whose axes before the last two are the scan."""
    if dataset.ndim == 3:
        return np.asarray(dataset[low:high])
    inner = int(np.prod(dataset.shape[1:-2]))
    first_row, last_row = low // inner, -(-high // inner)
    block = np.asarray(dataset[first_row:last_row]).reshape(-1, *dataset.shape[-2:])
    return block[low - first_row * inner : high - first_row * inner]
