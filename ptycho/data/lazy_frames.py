"""Frames that stay in their file until they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ptycho.errors import ValueRangeError
from ptycho.frames import FrameView, are_counts, block_bytes, gather, type_maximum


class Part(Protocol):
    """Frames that one array of one file holds, in the order of their numbers.

    `path` and `name` are the file and the array, `count` how many frames it has.
    """

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def name(self) -> str:
        """The array in it."""

    @property
    def count(self) -> int:
        """Frames in it."""

    @property
    def dtype(self) -> np.dtype:
        """Of the stored numbers."""

    def opened(self) -> AbstractContextManager[Callable[[int, int], np.ndarray]]:
        """What reads frames low…high (the last not included), (high − low, rows, cols)."""

    def there(self) -> int:
        """How many frames are there, in a file that is being written."""


@dataclass(frozen=True)
class LazyFrames(FrameView):
    """(M, N, N) float32 counts that are read from their file when they are asked for.

    Args:
        parts: arrays in the order of their frames.
        frame_shape: (rows, cols).
        scale: photons per stored unit, one number or (rows, cols).
        amplitude: the stored numbers are square roots.
        mask: (rows, cols) bool, True = valid; other pixels read as 0.
        masks: (M, rows, cols) view, not 0 = valid, of all frames; other pixels read as 0.
        whole: amplitudes squared are whole numbers.
        keep: frame numbers to use, or None for all.
        orientation: bits of what is done to a frame as it is read: 4 transpose, then 1 reverse
            the columns, 2 reverse the rows (PtyLab, ptypy). `frame_shape` is that after it.
    """

    parts: tuple[Part, ...]
    frame_shape: tuple[int, int]
    scale: float | np.ndarray = 1.0
    amplitude: bool = False
    mask: np.ndarray | None = None
    whole: bool = False
    keep: np.ndarray | None = None
    orientation: int = 0
    masks: FrameView | None = None

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(M, rows, cols)."""
        count = sum(part.count for part in self.parts) if self.keep is None else len(self.keep)
        return (count, *self.frame_shape)

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`; bad values are errors that name the file and the frame."""
        wanted = np.atleast_1d(indices if self.keep is None else self.keep[indices])
        out = self._read(wanted)
        if self.mask is not None:
            out[:, ~self.mask] = 0
        if self.masks is not None:
            out[gather(self.masks, wanted) == 0] = 0
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
        largest = np.inf
        for part in self.parts:
            largest = min(largest, type_maximum(part.dtype))
        return float(np.max(self.scale)) * (largest**2 if self.amplitude else largest)

    def written(self) -> int:
        """How many frames are there, in a file that is being written."""
        if self.keep is not None:
            return len(self.keep)
        total = 0
        for part in self.parts:
            there = min(part.count, part.there())
            total += there
            if there < part.count:
                break
        return total

    def _read(self, wanted: np.ndarray) -> np.ndarray:
        out = np.empty((len(wanted), *self.frame_shape), np.float32)
        step = max(1, block_bytes() // (16 * self.frame_shape[0] * self.frame_shape[1]))
        start = 0
        for part in self.parts:
            runs = list(_runs(wanted, start, start + part.count))
            if runs:
                with part.opened() as rows:
                    for begin, end in runs:
                        for first in range(begin, end, step):
                            last = min(first + step, end)
                            low, high = wanted[first] - start, wanted[last - 1] - start + 1
                            block = self._turned(rows(int(low), int(high)))
                            with np.errstate(over="ignore"):  # infinite, which is told
                                out[first:last] = self._photons(block)
            start += part.count
        return out

    def _turned(self, block: np.ndarray) -> np.ndarray:
        if self.orientation & 4:
            block = np.swapaxes(block, -1, -2)
        flips = tuple(axis for bit, axis in ((1, -1), (2, -2)) if self.orientation & bit)
        return np.flip(block, flips) if flips else block

    def _photons(self, block: np.ndarray) -> np.ndarray:
        if np.ndim(self.scale) == 0 and self.scale == 1.0 and not self.amplitude:
            return block
        values = block.astype(np.float64)
        if self.amplitude:
            np.square(values, out=values)
        values *= self.scale
        return np.rint(values) if self.whole else values

    def _place(self, number: int) -> str:
        """File, dataset and frame, for a person."""
        start = 0
        for part in self.parts:
            if number < start + part.count:
                break
            start += part.count
        return f"{part.path}:{part.name}, frame {number - start}"

    def _check(self, frames: np.ndarray, wanted: np.ndarray) -> None:
        if frames.size == 0 or are_counts(np.array([frames.min(), frames.max()])).all():
            return
        bad = ~are_counts(frames).all(axis=(1, 2))
        if bad.any():
            first = frames[int(bad.argmax())]
            raise ValueRangeError(
                "counts are negative, not finite or beyond counting",
                where=self._place(int(wanted[int(bad.argmax())])),
                expected="photons ≥ 0 in every valid pixel",
                got=float(first[~are_counts(first)][0]),
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
