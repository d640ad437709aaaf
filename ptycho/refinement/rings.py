"""A background that is one number for each distance from the centre of the detector. NumPy only."""

from __future__ import annotations

import numpy as np

from ptycho.config import BACKGROUND_FLOOR


def rings_of(side: int) -> np.ndarray:
    """(side, side) int: the distance of each pixel from the centre, rounded."""
    return np.round(np.hypot(*(np.indices((side, side)) - side // 2))).astype(int)


def ring_mean(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N, N) float32: the mean of each ring over the valid pixels, never below the floor."""
    ring = rings_of(len(mask)).ravel()
    sums, pixels = (np.bincount(ring, each.ravel()) for each in (mask * image, mask))
    value = np.maximum(sums / np.maximum(pixels, 1.0), BACKGROUND_FLOOR)
    return value[ring].reshape(mask.shape).astype(np.float32)


def ring_background(background: np.ndarray, ratio: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N, N): b(r) ← mean over the ring of b·mean(y/I), never below the floor.

    This is the step of expectation maximisation for a background that is one number a ring
    (one pixel wide): it raises the likelihood and keeps b positive.
    """
    return ring_mean(background * ratio, mask)
