"""One pass over the frames: what each pixel and each frame showed, in bounded memory.

Pixels: sum, sum of squares, extremes, how often the largest and the second largest value came, in
which frame the largest came and what its neighbours showed there. Frames: light and its centre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ptycho.frames.memory import block_bytes

SAMPLE_FRAMES = 64
MOST_SPOTS = 2_000_000
LOOK = 16  # bins along each axis of what a frame looks like
TOP, JUMP = (
    0.97,
    0.75,
)  # shares of the type's range: nearly all of it, and a leap between neighbours
Read = Callable[[np.ndarray], np.ndarray]


@dataclass(eq=False)
class Census:
    """Running statistics; all maps are (N, N), all lists (M,). Bad values count as 0.

    `not_finite`, `negative`: how often a pixel held no count. `high`: how often it was at or above
    the `ceiling`. `spots`: where such values stood, if they are to be collected. `near_top`,
    `jumps`: values just below the ceiling, and neighbours that differ by most of the range.
    """

    shape: tuple[int, int]
    ceiling: float
    collect: bool = False
    frames: int = 0
    total: np.ndarray = field(init=False)
    squares: np.ndarray = field(init=False)
    lowest: np.ndarray = field(init=False)
    highest: np.ndarray = field(init=False)
    ties: np.ndarray = field(init=False)
    second: np.ndarray = field(init=False)
    second_ties: np.ndarray = field(init=False)
    where: np.ndarray = field(init=False)
    around: np.ndarray = field(init=False)
    not_finite: np.ndarray = field(init=False)
    negative: np.ndarray = field(init=False)
    high: np.ndarray = field(init=False)
    whole: bool = True
    overflow: bool = False
    near_top: int = 0
    jumps: int = 0
    light: list[np.ndarray] = field(default_factory=list)
    centre: list[np.ndarray] = field(default_factory=list)
    frame_high: list[np.ndarray] = field(default_factory=list)
    frame_bad: list[np.ndarray] = field(default_factory=list)
    spots: list[np.ndarray] = field(default_factory=list)
    marks: list[np.ndarray] = field(default_factory=list)
    looks: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("total", "squares", "around", "ties", "second_ties"):
            setattr(self, name, np.zeros(self.shape))
        for name in ("not_finite", "negative", "high"):
            setattr(self, name, np.zeros(self.shape, np.int64))
        # A random projection tells whether two frames are the same, count by count.
        self._weights = np.random.default_rng(0).random(self.shape[0] * self.shape[1])
        self.lowest = np.full(self.shape, np.inf)
        self.highest = np.full(self.shape, -np.inf)
        self.second = np.full(self.shape, -np.inf)
        self.where = np.zeros(self.shape, np.int64)

    def add(self, raw: np.ndarray, numbers: np.ndarray, valid: np.ndarray) -> None:
        """Take in frames `raw` (m, N, N) with their `numbers`; light is summed where `valid`."""
        block, high_values = self._take(raw, numbers, valid)
        self.frames += len(block)
        if np.isfinite(self.ceiling) and block.max() >= TOP * self.ceiling:
            self._leaps(block, valid & ~high_values)
        if self.whole:
            self.whole = bool(np.array_equal(block, np.rint(block)))
        np.minimum(self.lowest, block.min(axis=0), out=self.lowest)
        self.total += block.sum(axis=0, dtype=np.float64)
        self.squares += np.einsum("mij,mij->ij", block, block, dtype=np.float64)
        self._extremes(block, numbers)
        seen = block * valid
        light = seen.sum(axis=(1, 2), dtype=np.float64)
        axes = [np.arange(side) - side // 2 for side in self.shape]
        moments = np.stack(
            [
                seen.sum(axis=2, dtype=np.float64) @ axes[0],
                seen.sum(axis=1, dtype=np.float64) @ axes[1],
            ],
            1,
        )
        self.light.append(light)
        # Not by BLAS, whose last rows are rounded otherwise: copies have the very same mark.
        self.marks.append(np.einsum("mp,p->m", seen.reshape(len(seen), -1), self._weights))
        self.looks.append(_look(seen))
        self.centre.append(moments / np.maximum(light, 1e-30)[:, None])
        self.frame_high.append((high_values & valid).sum(axis=(1, 2)))

    def _take(
        self, raw: np.ndarray, numbers: np.ndarray, valid: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The block with 0 for what is no count, and where it is at the type's maximum."""
        high = raw >= self.ceiling
        lowest, highest = raw.min(), raw.max()
        if np.isfinite(highest) and lowest >= 0 and highest < self.ceiling:
            self.frame_bad.append(np.zeros(len(raw), np.int64))
            return raw, high
        finite, negative = np.isfinite(raw), raw < 0
        high &= finite
        self.not_finite += (~finite).sum(axis=0)
        self.negative += negative.sum(axis=0)
        self.high += high.sum(axis=0)
        bad = ~finite | negative
        self.frame_bad.append((bad & valid).sum(axis=(1, 2)))
        if self.collect and not self.overflow:
            spots = np.argwhere((bad | high) & valid)
            spots[:, 0] = numbers[spots[:, 0]]
            self.spots.append(spots)
            self.overflow = sum(map(len, self.spots)) > MOST_SPOTS
        return np.where(bad | high, np.float32(0), raw), high

    def _leaps(self, block: np.ndarray, valid: np.ndarray) -> None:
        self.near_top += int(((block >= TOP * self.ceiling) & valid).sum())
        for axis in (1, 2):
            apart = np.abs(np.diff(block.astype(np.float32), axis=axis)) > JUMP * self.ceiling
            one, other = (
                np.take(valid, np.arange(k, valid.shape[axis] - 1 + k), axis) for k in (0, 1)
            )
            self.jumps += int((apart & one & other).sum())

    def _extremes(self, block: np.ndarray, numbers: np.ndarray) -> None:
        first = block.max(axis=0)
        equal = block == first
        ties = equal.sum(axis=0)
        rest = np.where(equal, -np.inf, block)
        second = rest.max(axis=0)
        second_ties = (rest == second).sum(axis=0)
        at = block.argmax(axis=0)
        larger = first > self.highest
        # Of the two largest values of before and of now, the two largest remain.
        values = np.stack([self.highest, self.second, first, second])
        counts = np.stack([self.ties, self.second_ties, ties, second_ties])
        top = values.max(axis=0)
        top_ties = np.where(values == top, counts, 0).sum(axis=0)
        below = np.where(values == top, -np.inf, values)
        next_ = below.max(axis=0)
        next_ties = np.where((below == next_) & np.isfinite(below), counts, 0).sum(axis=0)
        self.highest, self.ties, self.second, self.second_ties = top, top_ties, next_, next_ties
        if larger.any():
            rows, cols = np.nonzero(larger)
            frame = at[rows, cols]
            around = np.zeros(len(rows))
            height, width = self.shape
            for dr in (-1, 0, 1):
                for dc in (-1, 0, 1):
                    if dr or dc:
                        r, c = rows + dr, cols + dc
                        inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
                        value = block[frame, r.clip(0, height - 1), c.clip(0, width - 1)]
                        around = np.maximum(around, np.where(inside, value, 0))
            self.around[rows, cols] = around
            self.where[rows, cols] = numbers[frame]


def _look(frames: np.ndarray) -> np.ndarray:
    """(m, F) float32: roots of the counts in at most 16 × 16 bins, whose noise is even."""
    size = [max(1, side // LOOK) for side in frames.shape[1:]]
    rows, cols = (side // b for side, b in zip(frames.shape[1:], size, strict=True))
    cut = frames[:, : rows * size[0], : cols * size[1]]
    bins = cut.reshape(len(frames), rows, size[0], cols, size[1]).sum(axis=(2, 4), dtype=np.float64)
    return np.sqrt(bins).reshape(len(frames), -1).astype(np.float32)


def spread(count: int, frame_bytes: int) -> np.ndarray:
    """Numbers of a few frames, evenly spread, that fit into two blocks (at least 8)."""
    wanted = min(count, SAMPLE_FRAMES, max(8, 2 * block_bytes() // frame_bytes))
    return np.unique(np.linspace(0, count - 1, wanted).astype(int))


def blocks(count: int, frame_bytes: int) -> Iterator[np.ndarray]:
    """Frame numbers in order, a block at a time."""
    rows = max(1, block_bytes() // frame_bytes)
    for start in range(0, count, rows):
        yield np.arange(start, min(start + rows, count))


def neighbours8(image: np.ndarray, reduce: Callable[..., np.ndarray], outside: float) -> np.ndarray:
    """`reduce` (np.maximum, np.minimum) over the eight neighbours of each pixel."""
    padded = np.pad(image, 1, constant_values=outside)
    height, width = image.shape
    shifts = [(r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)]
    found = padded[:height, :width].copy()
    for r, c in shifts[1:]:
        found = reduce(found, padded[r : r + height, c : c + width])
    return found
