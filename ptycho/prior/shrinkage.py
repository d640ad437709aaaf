"""The freer image without what the counts cannot tell from noise, block by block. NumPy.

Overlapping blocks of 8×8 pixels go to their cosines (orthonormal DCT-II of real and imaginary
part); a coefficient stays where its modulus is above `level` times the counts' own error in the
block, and usually the mean does; the images of all blocks are averaged, each by one over the
number of coefficients that it kept (Guleryuz, IEEE TIP 16, 2007; hard thresholds of a translated
transform: Coifman and Donoho 1995). What the network adds is what such blocks cannot know.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SIDE_PX = 8
"""Of a block."""
BEGINS = tuple(
    (row, col) for row in range(SIDE_PX) for col in sorted({3 * row % SIDE_PX, -3 * row % SIDE_PX})
)
"""Where blocks begin, 14 of 64 places, a knight's move apart and the same after quarter turns: well
spread, they do hardly less than 32 on a chessboard."""
LEVELS = 3.0, 4.5
"""In units of the error that the counts leave in a pixel."""


BAND_PX = 128
"""Rows that a thread works on at once, a multiple of the block: about 100 bytes a pixel of them."""
WORKERS = min(4, os.cpu_count() or 1)
"""Threads: as many bands are in memory at once, so that a machine of many cores fills none."""


def shrunk(
    image: np.ndarray,
    sigma: np.ndarray,
    levels: Sequence[float] = LEVELS,
) -> np.ndarray:
    """(H, W, levels) complex64: the image at each level.

    Args:
        image: (H, W) complex, with the noise of its counts.
        sigma: (H, W), that noise: √ of the mean square of its modulus.
        levels: coefficients stay above them.
    """
    # Whole blocks, as much added before as behind: a turned image then has its blocks turned.
    added = [-side % SIDE_PX for side in image.shape]
    room = [(each // 2, each - each // 2) for each in added]
    inside = tuple(
        slice(before, before + side) for (before, _), side in zip(room, image.shape, strict=True)
    )
    image = np.pad(image, room, mode="symmetric")
    sigma = np.pad(sigma, room, mode="edge")
    out = np.empty((*image.shape, len(levels)), np.complex64)

    def band(first: int) -> None:
        # With a block's rows around a band its blocks are those of the whole image.
        low, last = max(0, first - SIDE_PX), first + BAND_PX
        rows = slice(low, last + SIDE_PX)
        out[first:last] = _shrunk(image[rows], sigma[rows], levels)[first - low :][:BAND_PX]

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(band, range(0, len(image), BAND_PX)))
    return out[inside]


def _shrunk(image: np.ndarray, sigma: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    height, width = image.shape
    planes = np.stack([image.real, image.imag]).astype(np.float32)
    planes = np.pad(planes, [(0, 0), *[(SIDE_PX, SIDE_PX)] * 2], mode="symmetric")
    noise = np.pad(sigma.astype(np.float32), SIDE_PX, mode="edge")
    bounds = block_means(noise)
    total = np.zeros((len(levels), *planes.shape), np.float32)
    shares = np.zeros((len(levels), *noise.shape), np.float32)  # of the block that begins there
    for row, col in BEGINS:
        box = (
            slice(row, row + noise.shape[0] - SIDE_PX),
            slice(col, col + noise.shape[1] - SIDE_PX),
        )
        cosines = _forward(planes[:, *box])
        power = cosines[0] ** 2 + cosines[1] ** 2
        rows, cols = power.shape[0], power.shape[2]
        own = bounds[row::SIDE_PX, col::SIDE_PX][:rows, None, :cols, None]
        for number, level in enumerate(levels):
            keep = power > (level * own) ** 2
            keep[:, 0, :, 0] = True
            share = (1 / _counts(keep)).astype(np.float32)
            total[number, :, *box] += _back(cosines * (keep * share[:, None, :, None]))
            shares[number, row::SIDE_PX, col::SIDE_PX][:rows, :cols] = share
    # A pixel lies in the blocks that begin at it and up to seven pixels before it.
    weight = SIDE_PX**2 * np.stack([block_means(each) for each in shares])
    inside, begun = (
        [slice(first, first + side) for side in (height, width)] for first in (SIDE_PX, 1)
    )
    out = total[:, :, *inside] / weight[:, None, *begun]
    return np.moveaxis(out[:, 0] + 1j * out[:, 1], 0, -1).astype(np.complex64)


def _cosines() -> np.ndarray:
    """(8, 8): row k is cosine k, orthonormal."""
    k, x = np.indices((SIDE_PX, SIDE_PX))
    rows = np.cos(np.pi * (x + 0.5) * k / SIDE_PX) * np.sqrt(2 / SIDE_PX)
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


COSINES = _cosines()


def block_means(noise: np.ndarray) -> np.ndarray:
    """(H − 7, W − 7): the mean of the block that begins at each pixel."""
    sums = np.zeros(np.add(noise.shape, 1))
    np.cumsum(np.cumsum(noise, axis=0, dtype=np.float64), axis=1, out=sums[1:, 1:])
    high = sums[SIDE_PX:] - sums[:-SIDE_PX]
    return ((high[:, SIDE_PX:] - high[:, :-SIDE_PX]) / SIDE_PX**2).astype(np.float32)


def _counts(keep: np.ndarray) -> np.ndarray:
    """(H/8, 8, W/8, 8) bool → (H/8, W/8): how many are true. A row of a block is one word."""
    words = keep.view(np.uint64)[..., 0].sum(axis=1)
    return (words * np.uint64(0x0101010101010101)) >> np.uint64(56)  # the sum of its bytes


def _forward(planes: np.ndarray) -> np.ndarray:
    """(P, H, W) → (P, H/8, 8, W/8, 8): the cosines of each block."""
    count, _, width = planes.shape
    down = COSINES @ planes.reshape(count, -1, SIDE_PX, width)
    # Products of a row of blocks each: one of all would wait for the threads of the library.
    across = down.reshape(count, -1, width, SIDE_PX) @ COSINES.T
    return across.reshape(count, -1, SIDE_PX, width // SIDE_PX, SIDE_PX)


def _back(cosines: np.ndarray) -> np.ndarray:
    """(P, H/8, 8, W/8, 8) → (P, H, W), the inverse of `_forward`."""
    count, rows, side, cols, _ = cosines.shape
    across = cosines.reshape(count, rows, side * cols, side) @ COSINES
    down = COSINES.T @ across.reshape(count, rows, side, cols * side)
    return down.reshape(count, rows * side, cols * side)
