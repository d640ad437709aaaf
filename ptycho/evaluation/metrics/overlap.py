"""Where two images in one scan frame can be compared: common pixels, and a rectangle of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.errors import UsageError
from ptycho.evaluation.metrics.gauge import shift_field


@dataclass(frozen=True)
class Overlap:
    """Two fields cut to common pixels.

    Args:
        a, b: (h, w) complex.
        region: (h, w) bool, pixels known in both.
        origin_px: scan-frame (row, col) of pixel [0, 0].
    """

    a: np.ndarray
    b: np.ndarray
    region: np.ndarray
    origin_px: tuple[float, float]


def common(
    a: np.ndarray,
    origin_a: tuple[float, float],
    region_a: np.ndarray,
    b: np.ndarray,
    origin_b: tuple[float, float],
    region_b: np.ndarray | None = None,
) -> Overlap:
    """Cut two fields to the bounding box of their common region.

    Origins are (row, col) of pixel [0, 0] in the scan frame. If they differ by a fraction of a
    pixel, `b` is resampled onto the grid of `a`.

    Raises:
        UsageError: nothing in common.
    """
    region_b = np.ones(b.shape, bool) if region_b is None else region_b
    offset = np.asarray(origin_b, float) - np.asarray(origin_a, float)
    whole = np.round(offset).astype(int)
    fraction = (float(offset[0] - whole[0]), float(offset[1] - whole[1]))
    low = np.maximum(whole, 0)
    high = np.minimum(whole + b.shape, a.shape)
    if (high - low).min() > 0:
        in_a = tuple(slice(*pair) for pair in zip(low, high, strict=True))
        in_b = tuple(slice(*pair) for pair in zip(low - whole, high - whole, strict=True))
        region = region_a[in_a] & region_b[in_b]
    if (high - low).min() <= 0 or not region.any():
        raise UsageError(
            "the two images have no pixel in common",
            expected="images of one scan frame",
            got=f"origins {origin_a} and {origin_b}, shapes {a.shape} and {b.shape}",
            fix="compare reconstructions of the same scan",
        )
    rows, cols = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    moved = shift_field(b, fraction)[in_b]
    origin = (float(origin_a[0] + low[0] + rows[0]), float(origin_a[1] + low[1] + cols[0]))
    return Overlap(a[in_a][box], moved[box], region[box], origin)


def largest_rectangle(region: np.ndarray) -> tuple[slice, slice]:
    """The largest axis-parallel rectangle of True pixels (row slice, column slice).

    Histogram method: for each row the heights of True columns above it, and a stack.
    """
    heights = np.zeros(region.shape[1] + 1, int)
    best, found = 0, (slice(0, 0), slice(0, 0))
    for row in range(region.shape[0]):
        heights[:-1] = np.where(region[row], heights[:-1] + 1, 0)
        stack: list[tuple[int, int]] = []  # (first column, height), heights rising
        for col, height in enumerate(heights.tolist()):
            start = col
            while stack and stack[-1][1] >= height:
                start, tall = stack.pop()
                if tall * (col - start) > best:
                    best = tall * (col - start)
                    found = (slice(row - tall + 1, row + 1), slice(start, col))
            stack.append((start, height))
    return found
