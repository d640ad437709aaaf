"""A large scan is worked on tile by tile: the frames of a cell, and what of the object they see.

What a program does for a chunk of frames costs its share of the object too (the look-ahead, the
sums of the slopes). On the whole object of a long scan that is most of the work, and it grows with
the square of the scan. The windows of neighbouring tiles overlap by a halo, in which every patch
of their frames lies whole; the slopes of all windows are added into one object before it moves, so
the tiles agree in every pixel and the result is that of one tile but for rounding. NumPy only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SIDE_PX = 512
"""Of a window, or twice the frame's side where that is more (docs/evidence/scale.md)."""
SHORT = 1 / 4
"""Of the frames that a program takes at once: what the rests of tiles are cut into."""
KERNEL_PX = 4
"""Margin of a window around its patches: taps of the widest kernel on either side, and one."""


@dataclass(frozen=True)
class Tile:
    """Some frames and where their window begins.

    Args:
        number: of the tile. low: (row, col) of the window's first pixel on the canvas.
        frames: (F,) numbers of its frames, ascending.
    """

    number: int
    low: tuple[int, int]
    frames: np.ndarray


@dataclass(frozen=True)
class Tiling:
    """All tiles of a scan; each frame is in one of them.

    Args:
        shape: (rows, cols) of every window. tiles: in the order of rows and columns.
        of_frame: (M,) the number of the tile of each frame.
    """

    shape: tuple[int, int]
    tiles: tuple[Tile, ...]
    of_frame: np.ndarray

    @classmethod
    def of_one(cls, shape: tuple[int, int], n_frames: int) -> Tiling:
        """The whole canvas as one tile."""
        every = np.arange(n_frames)
        return cls(shape, (Tile(0, (0, 0), every),), np.zeros(n_frames, int))

    def parts(self, numbers: np.ndarray, size: int) -> list[tuple[Tile, list[np.ndarray]]]:
        """Frames of these numbers by tile, at most `size` at once; in a tile in their order.

        Of several tiles each leaves a rest. It is cut into short parts (`filled`), unless filling
        up one of `size` is no more work.
        """
        short = self.filled(1, size)
        return [
            (tile, [numbers[rows] for part in parts for rows in _shorter(part, size, short)])
            for tile, parts in self.rows(numbers, size)
        ]

    def filled(self, count: int, size: int) -> int:
        """How many frames a part of `count` is filled up to: `size`, or a short one.

        Every length is a program, so that there are two at most. A mini-batch of a long scan has
        about three parts of `size` in each tile: rests filled up to it were a quarter of the work.
        """
        short = max(1, round(size * SHORT))
        return short if len(self.tiles) > 1 and count <= short else size

    def rows(self, numbers: np.ndarray, size: int) -> list[tuple[Tile, list[np.ndarray]]]:
        """Like `parts`: where among `numbers` these frames stand."""
        if len(self.tiles) == 1:
            return [(self.tiles[0], _cut(np.arange(len(numbers)), size))]
        where = self.of_frame[numbers]
        order = np.argsort(where, kind="stable")
        return [
            (self.tiles[tile], _cut(order[begin:end], size))
            for tile, begin, end in _stretches(where[order])
        ]


def tiling(
    centres_px: np.ndarray, margin_px: int, shape: tuple[int, int], N: int, side_px: int | None
) -> Tiling:
    """Cells of equal size over the canvas, and the windows around them.

    Args:
        centres_px: (M, 2), middle of each patch on the canvas, float64.
        margin_px: farthest that a patch goes from there.
        shape: of the canvas. N: side of a frame.
        side_px: of a window; None: `SIDE_PX`, or twice the frame's. A window is never smaller than
            a frame that has one and a half times its side to move in.
    """
    halo = halo_px(N, margin_px)
    side = max(side_px or max(SIDE_PX, 2 * N), halo + N // 2)
    counts = [max(1, math.ceil((length - halo) / (side - halo))) for length in shape]
    cells = [(length - halo) / count for length, count in zip(shape, counts, strict=True)]
    window = tuple(
        length if count == 1 else math.ceil(cell) + halo + 1
        for length, count, cell in zip(shape, counts, cells, strict=True)
    )
    cell_of = [
        np.clip(((centres_px[:, axis] - halo / 2) / max(cell, 1e-9)).astype(int), 0, count - 1)
        for axis, (cell, count) in enumerate(zip(cells, counts, strict=True))
    ]
    which = cell_of[0] * counts[1] + cell_of[1]
    tiles: list[Tile] = []
    number = np.zeros(len(which), int)
    for row, col in itertools.product(*map(range, counts)):
        frames = np.flatnonzero(which == row * counts[1] + col)
        if len(frames):
            low = tuple(
                max(0, min(math.floor(cell * place), length - wide))
                for cell, place, length, wide in zip(cells, (row, col), shape, window, strict=True)
            )
            number[frames] = len(tiles)
            tiles.append(Tile(len(tiles), (low[0], low[1]), frames))
    return Tiling((window[0], window[1]), tuple(tiles), number)


def halo_px(N: int, margin_px: int) -> int:
    """What a window has beyond the cell of its frames, both sides together."""
    return N + 2 * (margin_px + KERNEL_PX)


def side_of_two(shape: tuple[int, int], halo: int, N: int) -> int | None:
    """The largest side of windows (`tile_px`) that makes two of a canvas; None: it is too small."""
    room = max(shape) - halo
    return None if room <= N // 2 else halo + max(N // 2, math.ceil(room / 2))


def _stretches(where: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(value, begin, end) of the stretches of equal values."""
    bounds = [0, *(np.flatnonzero(np.diff(where)) + 1).tolist(), len(where)]
    for begin, end in itertools.pairwise(bounds):
        yield int(where[begin]), begin, end


def _shorter(part: np.ndarray, size: int, short: int) -> list[np.ndarray]:
    """The part in short ones, unless they together would be as long as `size`."""
    return [part] if -(-len(part) // short) * short >= size else _cut(part, short)


def _cut(numbers: np.ndarray, size: int) -> list[np.ndarray]:
    return [numbers[first : first + size] for first in range(0, len(numbers), size)]
