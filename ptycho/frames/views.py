"""Frames that are read when they are asked for: selections, joins and thinnings of a source.

A source is anything with `shape` and `[…]`: an array, an HDF5 dataset, or another view. A view
holds no frame, so that a scan larger than memory can be cut, joined and thinned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ptycho.frames.memory import allowance_bytes, block_bytes

UNCOUNTED = 1e15  # photons that no pixel sees in one frame
IN_MEMORY_SHARE = 1 / 6  # of the allowance: counts, inputs and targets of a training are three


def fits_in_memory(count: int, side: int) -> bool:
    """Whether `count` float32 frames are few enough (256 MiB) to be worked on as one array."""
    return 4 * count * side * side <= IN_MEMORY_SHARE * allowance_bytes()


def gather(source: Any, indices: Any) -> np.ndarray:
    """`source[indices]` for any order and repetition of frame numbers; each is read once."""
    indices = np.asarray(indices, np.int64)
    if isinstance(source, np.ndarray):
        return source[indices]
    unique, inverse = np.unique(indices.ravel(), return_inverse=True)
    if getattr(source, "takes_any_rows", False):
        rows = np.asarray(source[unique])
    else:
        rows = np.empty((len(unique), *source.shape[1:]), source.dtype)
        for begin, end in runs(unique):
            rows[begin:end] = source[int(unique[begin]) : int(unique[end - 1]) + 1]
    if len(unique) == len(indices) and np.array_equal(unique, indices):
        return rows
    return rows[inverse].reshape(*indices.shape, *rows.shape[1:])


def runs(numbers: np.ndarray) -> Iterator[tuple[int, int]]:
    """(begin, end) of the stretches of `numbers` in which each is the one before plus 1."""
    if len(numbers) == 0:
        return
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    bounds = [0, *breaks.tolist(), len(numbers)]
    yield from pairwise(bounds)


class FrameView:
    """What the views share: a shape, and rows by any key."""

    takes_any_rows = True
    shape: tuple[int, int, int]

    @property
    def dtype(self) -> np.dtype:
        """What `[…]` returns."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """(…, N, N) float32 for a number, a slice, or an array of numbers of any shape."""
        return self.rows(np.arange(self.shape[0])[key])

    def rows(self, indices: Any) -> np.ndarray:
        """The frames of these numbers."""
        raise NotImplementedError

    def blocks(self) -> Iterator[np.ndarray]:
        """All frames in order, a block at a time."""
        step = max(1, block_bytes() // (4 * self.shape[1] * self.shape[2]))
        for start in range(0, self.shape[0], step):
            yield self[start : start + step]


@dataclass(frozen=True)
class Selected(FrameView):
    """Frames `numbers` of a source, in that order, times `factor`."""

    source: Any
    numbers: np.ndarray
    factor: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(M, N, N)."""
        return (len(self.numbers), int(self.source.shape[1]), int(self.source.shape[2]))

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`."""
        found = gather(self.source, self.numbers[indices]).astype(np.float32, copy=False)
        return found if self.factor == 1.0 else found * np.float32(self.factor)

    def raw(self, indices: Any) -> np.ndarray:
        """See `raw_frames`."""
        return raw_frames(self.source, self.numbers[indices]) * np.float32(self.factor)

    @property
    def ceiling(self) -> float:
        """See `ceiling_of`."""
        return ceiling_of(self.source) * self.factor


@dataclass(frozen=True)
class Joined(FrameView):
    """The frames of several sources of one size, one after the other."""

    parts: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(M, N, N)."""
        side = self.parts[0].shape[1:]
        return (sum(len(part) for part in self.parts), int(side[0]), int(side[1]))

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`."""
        wanted = np.asarray(indices)
        out = np.empty((wanted.size, *self.shape[1:]), np.float32)
        start = 0
        for part in self.parts:
            inside = (wanted.ravel() >= start) & (wanted.ravel() < start + len(part))
            if wanted.size and inside.all():
                return gather(part, wanted - start).astype(np.float32, copy=False)
            if inside.any():
                out[inside] = gather(part, wanted.ravel()[inside] - start)
            start += len(part)
        return out.reshape(*wanted.shape, *self.shape[1:])


@dataclass(frozen=True)
class Thinned(FrameView):
    """One part of a binomial split: Bin(y, share), or with `rest` y − Bin(y, share).

    Each frame has a generator of (seed, frame number), so that the two parts of a frame belong
    together and do not depend on what is read when.

    Args:
        source: whole counts.
        share: probability that a photon goes to the first part.
        seed: of the split.
        rest: give the other part.
        factor: what the part is multiplied with.
    """

    source: Any
    share: float
    seed: int
    rest: bool = False
    factor: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(M, N, N)."""
        return (len(self.source), int(self.source.shape[1]), int(self.source.shape[2]))

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`."""
        numbers, inverse = np.unique(np.asarray(indices), return_inverse=True)
        counts = np.rint(gather(self.source, numbers)).astype(np.float32)
        for row, number in enumerate(numbers):
            rng = np.random.default_rng([self.seed, int(number)])
            part = rng.binomial(counts[row].astype(np.int64), self.share)
            counts[row] = counts[row] - part if self.rest else part
        if self.factor != 1.0:
            counts *= np.float32(self.factor)
        return counts[inverse].reshape(*np.shape(indices), *self.shape[1:])


@dataclass(frozen=True)
class Lowered(FrameView):
    """Frames less an offset, and 0 where that is less than none; what was bad stays bad.

    Args:
        source: raw frames.
        offset: what is taken off.
        least: values below it are no counts, but marks.
        unit: what is left is divided by it; what then is whole but for the rounding of float32
            is whole.
    """

    source: Any
    offset: float = 0.0
    least: float = 0.0
    unit: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(M, N, N)."""
        return tuple(self.source.shape)  # type: ignore[return-value]

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`."""
        return self._lowered(raw_frames(self.source, indices))

    def raw(self, indices: Any) -> np.ndarray:
        """See `raw_frames`."""
        return self._lowered(raw_frames(self.source, indices))

    def unmasked(self, indices: Any) -> np.ndarray:
        """What the masked pixels hold, too."""
        return np.nan_to_num(self.raw(indices), posinf=0.0)

    def _lowered(self, frames: np.ndarray) -> np.ndarray:
        less = (frames - np.float32(self.offset)).clip(0)
        if self.unit != 1:
            less = less / np.float32(self.unit)
            whole = np.rint(less)
            less = np.where(np.abs(less - whole) < 1e-3 + 1e-6 * whole, whole, less)
        return np.where(frames >= self.least, less, np.minimum(frames, -1))

    @property
    def ceiling(self) -> float:
        """See `ceiling_of`."""
        return (ceiling_of(self.source) - self.offset) / self.unit


@dataclass(frozen=True, eq=False)
class Spots(FrameView):
    """(M, N, N) bool, True = valid: single pixels of single frames that are no measurement.

    Args:
        shape: (M, N, N).
        points: (K, 3) frame, row, col, in the order of the frames.
        base: a mask for each frame that holds too, or None.
    """

    shape: tuple[int, int, int]  # type: ignore[misc]
    points: np.ndarray
    base: Any = None

    @property
    def dtype(self) -> np.dtype:
        """bool."""
        return np.dtype(bool)

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`."""
        wanted = np.asarray(indices).ravel()
        if self.base is None:
            out = np.ones((len(wanted), *self.shape[1:]), bool)
        else:
            out = np.array(gather(self.base, wanted), bool)
        for row, frame in enumerate(wanted):
            low, high = np.searchsorted(self.points[:, 0], [frame, frame + 1])
            out[row][tuple(self.points[low:high, 1:].T)] = False
        return out.reshape(*np.shape(indices), *self.shape[1:])


@dataclass(frozen=True, eq=False)
class Cleaned(FrameView):
    """Frames with 0 in bad pixels, and single bad values replaced by their neighbours' median.

    The median is for what has no mask for each frame (the network, the estimate); a refinement
    leaves those values out (`Scan.valid`).

    Args:
        source: raw frames.
        bad: (N, N) bool, pixels that are masked in every frame.
        spots: single values.
    """

    source: Any
    bad: np.ndarray
    spots: Spots

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(M, N, N)."""
        return self.spots.shape

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`."""
        wanted = np.asarray(indices).ravel()
        out = raw_frames(self.source, wanted).copy()
        self._repair(out, wanted)
        return out.reshape(*np.shape(indices), *self.shape[1:])

    def all(self, dtype: Any) -> np.ndarray:
        """Every frame in memory, as numbers of this type."""
        out = np.array(self.source, dtype)
        self._repair(out, np.arange(len(out)))
        return out

    def _repair(self, frames: np.ndarray, numbers: np.ndarray) -> None:
        frames[:, self.bad] = 0
        points = self.spots.points
        for row, frame in enumerate(numbers):
            low, high = np.searchsorted(points[:, 0], [frame, frame + 1])
            if low == high:
                continue
            image = frames[row]
            valid = ~self.bad
            valid[tuple(points[low:high, 1:].T)] = False
            for _, r, c in points[low:high]:
                box = (slice(max(0, r - 1), r + 2), slice(max(0, c - 1), c + 2))
                around = image[box][valid[box]]
                image[r, c] = np.median(around) if len(around) else 0


def are_counts(frames: np.ndarray) -> np.ndarray:
    """Where numbers can be photons: finite, not negative, and not beyond counting."""
    return (frames >= 0) & (frames < UNCOUNTED)


def raw_frames(source: Any, indices: Any) -> np.ndarray:
    """(len(indices), N, N) float32 as they are stored: NaN, negative and masked values too."""
    if hasattr(source, "raw"):
        return np.asarray(source.raw(indices), np.float32)
    return gather(source, indices).astype(np.float32, copy=False)


def ceiling_of(source: Any) -> float:
    """The count from which on a value is the maximum of the stored type; infinity: none is."""
    own = getattr(source, "ceiling", None)
    return float(type_maximum(source.dtype) if own is None else own)


def type_maximum(dtype: Any) -> float:
    """The largest count that can be meant in this type plus 1; detectors mark gaps above it.

    Numbers of 64 bits come from counters of 32: what lies above those was never counted. Nor was
    what only a floating-point number holds (3.4e38 marks gaps, too).
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu":
        return UNCOUNTED
    if dtype.itemsize > 4:
        dtype = np.dtype(np.uint32)
    largest = float(np.iinfo(dtype).max)
    return largest - 1 if dtype.kind == "u" and dtype.itemsize > 1 else largest
