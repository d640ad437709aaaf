"""What the network leaves in even places, taken away by very little total variation. NumPy.

    min over O of ½·Σ|O − image|² + Σ λ·|O_i − O_j|, i and j neighbours

λ is `WEIGHT` of the unit that the network answers in, 0.2·√σ in the gauge of the network, with σ
the error that the counts leave in a pixel (`ptycho.prior.features`), and at most what the network
changed around the pixel: an answer of nothing stays one. By projected steps on the dual (Chambolle
2004, doi:10.1023/B:JMIV.0000011325.36760.1e); 8 bounds the squared norm of the differences. Each
edge between two pixels counts by itself, so that a turned image has a turned answer, and has its
own λ, 0 to pixels without light: the total variation of the refinement (`ptycho.refinement`) takes
both edges of a pixel together, with one λ.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import ndimage

from ptycho.prior.features import Gauged, reach
from ptycho.prior.shrinkage import WORKERS

WEIGHT = 0.15
"""Of 262 made scans that no training saw, .1 and .15 gain as much, .2 and .3 less, and so does a
weight in units of σ."""
STEPS, STEP = 8, np.float32(0.24)
"""So many pixels far a pixel is heard at most; the size of a step, below 2/8."""
TINY = np.float32(1e-20)
AROUND_PX = 5
"""Side of the square over which what the network changed is averaged."""
BAND_PX = 128
"""Rows that a thread works on at once, so that they stay in its cache."""


def without_ripple(image: np.ndarray, changed: np.ndarray, own: Gauged) -> np.ndarray:
    """(H, W) complex64: the network's image without its ripple.

    Args:
        image: (H, W) complex64, of the network. changed: (H, W) complex64, what it changed.
        own: the gauge of what it was made of. Pixels without light stay as they are.
    """
    bound = limits(changed, own)
    out = np.array(image, np.complex64)

    def band(first: int) -> None:
        low, last = max(0, first - STEPS), first + BAND_PX
        rows = slice(low, last + STEPS)
        out[first:last] = _smoothed(image[rows], bound[rows])[first - low :][:BAND_PX]

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(band, range(0, len(image), BAND_PX)))
    return out


def limits(changed: np.ndarray, own: Gauged) -> np.ndarray:
    """(H, W) float32: λ."""
    around = ndimage.uniform_filter(np.abs(changed), AROUND_PX)
    bound = np.minimum(WEIGHT * abs(own.unit) * reach(own.sigma), around)
    return np.where(own.lit, bound, 0).astype(np.float32)


def _smoothed(image: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """`bound`: (H, W), λ; an edge has the lesser one of its two pixels."""
    planes = np.stack([image.real, image.imag]).astype(np.float32)
    edges = np.minimum(bound[1:], bound[:-1]), np.minimum(bound[:, 1:], bound[:, :-1])
    dual = [np.zeros_like(np.diff(planes, axis=axis)) for axis in (1, 2)]
    for _ in range(STEPS):
        now = _with(planes, dual)
        for axis, limit in enumerate(edges):
            new = np.diff(now, axis=axis + 1)
            new *= STEP
            new += dual[axis]
            size = new[0] * new[0] + new[1] * new[1]
            np.maximum(np.sqrt(size, out=size), limit, out=size)
            size += TINY  # where there is no limit, nothing moves
            new *= np.divide(limit, size, out=size)
            dual[axis] = new
    re, im = _with(planes, dual)
    return np.asarray(re + 1j * im, np.complex64)


def _with(planes: np.ndarray, dual: list[np.ndarray]) -> np.ndarray:
    """(2, H, W): the planes and what the dual moves over each edge."""
    down, across = dual
    out = planes.copy()
    out[:, :-1] += down
    out[:, 1:] -= down
    out[:, :, :-1] += across
    out[:, :, 1:] -= across
    return out
