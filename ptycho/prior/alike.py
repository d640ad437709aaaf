"""What counts tell of blocks that are alike, which are judged together. NumPy.

Passes of the likelihood move an image by what the counts have against it, and by noise. Each block
of 8×8 pixels is put beside those of the neighbourhood that are most alike in the image itself;
their moves go to cosines and, across the blocks, to Haar's waves, and stay where they are large
(Dabov et al., IEEE TIP 16, 2007, doi:10.1109/TIP.2007.901238, on the move instead of the image):
what the counts say in one place is faint, in 32 alike it is not. Amplitude and phase, along and
across the mean of the blocks, are judged apart. The common mean of the blocks must be larger: long
waves move blocks that lie beside each other together, and have been taken from the counts already
(`ptycho.prior.waves`).

The image itself goes the same way, with a higher level: what is left is what its like has in common
(`ptycho.prior.slow` takes from it what changes slowly in the phase).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ptycho.prior.shrinkage import COSINES, SIDE_PX, WORKERS, block_means

GROUP = 32
"""Blocks that are judged together, at most; a power of two."""
EVERY_PX = 3
"""From one block that is asked for to the next."""
FAR_PX, NEAR_PX = 19, 3
"""How far away alike blocks are looked for; nearer ones than that have nearly the same noise."""
LEVEL = 5.0
"""Coefficients of amplitude and of phase stay above so many times the error of a pixel."""
MEAN_LEVEL = 10.0
"""Times the root of their number: the common mean of blocks, which may have all moved as one."""
LIKE_LEVEL = 12.0
"""Times the error of a pixel: coefficients of the image itself stay above it, and the mean."""
TAPER = np.outer(np.kaiser(SIDE_PX, 2.0), np.kaiser(SIDE_PX, 2.0)).ravel().astype(np.float32)
BLOCKS_AT_ONCE = 1024
"""That a thread asks for at once, so that memory does not grow with the image."""

_COSINES = np.kron(COSINES, COSINES).astype(np.float32)


class Heard(NamedTuple):
    """What groups of alike blocks say (H, W)."""

    kept: np.ndarray  # complex64, what of the move they agree on
    alone: np.ndarray  # float32, 0 where the image has its like around to 1 where it has none
    like: np.ndarray  # complex64, the image as its like has it


def heard_together(moved: np.ndarray, image: np.ndarray, sigma: np.ndarray) -> Heard:
    """What of a move, and of an image, groups of alike blocks agree on.

    Args:
        moved: (H, W) complex, what passes of the likelihood changed of the image.
        image: (H, W) complex, in which blocks are compared; with little noise.
        sigma: (H, W), √ of the mean square error that counts leave in a pixel (`noise`).
    """
    moved, image = (np.asarray(each, np.complex64) for each in (moved, image))
    if min(image.shape) < SIDE_PX:
        return Heard(np.zeros_like(image), np.ones(image.shape, np.float32), image)
    rows, cols = (_begins(side) for side in image.shape)
    group = _group(image.shape)
    each = max(1, BLOCKS_AT_ONCE // len(cols))
    bands = [rows[first : first + each] for first in range(0, len(rows), each)]
    power = block_means(sigma.astype(np.float64) ** 2)

    def band(begins: np.ndarray) -> tuple[slice, np.ndarray]:
        return _heard(moved, image, power, begins, cols, group)

    total = np.zeros((8, *image.shape))
    with ThreadPoolExecutor(WORKERS) as threads:
        for at, part in threads.map(band, bands):
            total[:, at] += part
    unlike, number = total[6:]
    kept, like = (
        np.asarray((re + 1j * im) / weight, np.complex64)
        for re, im, weight in (total[:3], total[3:6])
    )
    return Heard(kept, (unlike / number).astype(np.float32), like)


def _group(shape: tuple[int, ...]) -> int:
    """How many blocks are judged together in an image of that shape: a small one has fewer."""
    down, across = (min(side - SIDE_PX, FAR_PX) + 1 for side in shape)
    found = down * across - (2 * NEAR_PX - 1) ** 2 + 1  # by each block, at least
    return int(min(GROUP, 1 << (max(1, found).bit_length() - 1)))


def _begins(side: int) -> np.ndarray:
    """Where blocks that are asked for begin; the last one ends with the image."""
    last = side - SIDE_PX
    return np.unique(np.append(np.arange(0, last, EVERY_PX), last))


def _heard(
    moved: np.ndarray,
    image: np.ndarray,
    power: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
    group: int,
) -> tuple[slice, np.ndarray]:
    """The rows that the groups reach, and their sums (8, rows, W): of re, im and weight of what
    stays of the move and of the image, of how unlike the blocks are and of their number. `power`:
    σ² of each block.
    """
    where, distance = _alike(image, rows, cols, group)
    low, high = int(where[..., 0].min()), int(where[..., 0].max()) + SIDE_PX
    blocks = _blocks(image, where)
    along = blocks.mean((1, 2))
    size = np.abs(along)
    along = np.divide(along, size, out=np.ones_like(along), where=size > 0)[:, None, None]
    error = np.sqrt(power[where[..., 0], where[..., 1]].mean(axis=1))
    bound, common = (np.full((group, SIDE_PX**2), each) for each in (LEVEL, LIKE_LEVEL))
    bound[0, 0], common[0, 0] = MEAN_LEVEL * np.sqrt(group), 0
    sums = []
    for each, level in ((_blocks(moved, where), bound), (blocks, common)):
        stays, weight = _stays(each * along.conj(), error[:, None, None] * level)
        weight = np.broadcast_to(weight[:, None, None] * TAPER, stays.shape)
        stays *= along
        sums += [stays.real * weight, stays.imag * weight, weight]
    unlike = _unlike(blocks[:, 0], distance)[:, None, None]
    unlike = np.broadcast_to(unlike, (len(where), 1, SIDE_PX**2))
    shape = high - low, image.shape[1]

    def summed(values: np.ndarray) -> np.ndarray:
        at = _places(where[:, : values.shape[1]], low, shape[1])
        return np.bincount(at.ravel(), values.ravel(), shape[0] * shape[1]).reshape(shape)

    sums += [unlike, np.ones_like(unlike)]
    return slice(low, high), np.stack([summed(part) for part in sums])


def _stays(blocks: np.ndarray, bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of groups (B, G, 64) what is above its bound (B, G, 64), and (B,) what each counts for."""
    haar = _haar(blocks.shape[1])
    found = haar @ (np.stack([blocks.real, blocks.imag]) @ _COSINES.T)
    stay = np.abs(found) > bound.astype(np.float32)
    re, im = (haar.T @ (found * stay)) @ _COSINES
    return re + 1j * im, (1 / np.maximum(stay.sum((0, 2, 3)) / 2, 1)).astype(np.float32)


def _unlike(blocks: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """(B,) of blocks (B, 64): 0 where others are the same to 1 where they are as any block is."""
    spread = np.mean(np.abs(blocks - blocks.mean(axis=1, keepdims=True)) ** 2, axis=1)
    return np.minimum(distance / np.maximum(2 * spread, np.finfo(np.float32).tiny), 1)


def _alike(
    image: np.ndarray, rows: np.ndarray, cols: np.ndarray, group: int
) -> tuple[np.ndarray, np.ndarray]:
    """(B, G, 2) where each block and those like it begin, (B,) their mean square distance."""
    last = np.array(image.shape) - SIDE_PX
    span = image[rows[0] : rows[-1] + SIDE_PX]
    room = np.pad(image, FAR_PX)
    steps = range(-FAR_PX, FAR_PX + 1)
    moves = [(0, 0)]
    moves += [(a, b) for a in steps for b in steps if max(abs(a), abs(b)) >= NEAR_PX]
    planes = np.full((len(moves), len(rows), len(cols)), np.inf, np.float32)
    for each, (down, across) in zip(planes, moves, strict=True):
        top = rows[0] + FAR_PX + down
        left = FAR_PX + across
        other = room[top : top + len(span), left : left + image.shape[1]]
        inside = [
            (begins + step >= 0) & (begins + step <= end)
            for begins, step, end in zip((rows, cols), (down, across), last, strict=True)
        ]
        if inside[0].any() and inside[1].any():
            change = span - other
            square = change.real * change.real + change.imag * change.imag
            sums = _sums(square, rows - rows[0], cols)
            np.copyto(each, sums, where=np.logical_and.outer(*inside))
    apart = planes.reshape(len(moves), -1)
    apart[0] = -1  # the block itself comes first
    chosen = np.argpartition(apart, group - 1, axis=0)[:group]
    found = np.take_along_axis(apart, chosen, axis=0)
    order = np.argsort(found, axis=0, kind="stable")
    chosen = np.take_along_axis(chosen, order, axis=0)
    found = np.take_along_axis(found, order, axis=0)
    begins = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 1, 2)
    distance = found[1:].mean(axis=0) / SIDE_PX**2 if group > 1 else np.full(found.shape[1], np.inf)
    return begins + np.array(moves)[chosen.T], distance


def _sums(plane: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Sums of a plane over the blocks that begin there."""
    for axis, begins in enumerate((rows, cols)):
        run = np.insert(np.cumsum(plane, axis=axis, dtype=np.float64), 0, 0, axis=axis)
        plane = run.take(begins + SIDE_PX, axis) - run.take(begins, axis)
    return plane


def _places(where: np.ndarray, low: int, width: int) -> np.ndarray:
    """(B, G, 64) of (B, G, 2): the pixels of each block, counted from row `low` on."""
    inner = np.arange(SIDE_PX)[:, None] * width + np.arange(SIDE_PX)
    return ((where[..., 0] - low) * width + where[..., 1])[..., None] + inner.ravel()


def _blocks(plane: np.ndarray, where: np.ndarray) -> np.ndarray:
    return plane.ravel()[_places(where, 0, plane.shape[1])]


def _haar(size: int) -> np.ndarray:
    """(G, G) orthonormal, the mean first."""
    if size == 1:
        return np.ones((1, 1), np.float32)
    half = _haar(size // 2)
    parts = np.kron(half, [1, 1]), np.kron(np.eye(size // 2), [1, -1])
    return (np.vstack(parts) / np.sqrt(2)).astype(np.float32)
