"""Sub-pixel kernels of the simulator, in NumPy: the second opinion to `ptycho.physics.kernels`."""

from __future__ import annotations

import numpy as np
from scipy import fft

REACH = 2
"""Pixels before a patch that a kernel may read; behind it one more."""


def read(truth: np.ndarray, corners: np.ndarray, size: int, kernel: str) -> np.ndarray:
    """(m, size, size) complex128 patches of `truth` (H, W) at real-valued corners (m, 2).

    Args:
        kernel: `bilinear`, `cubic` (Keys, a = −½), `lagrange6`, or `fourier` (band-limited, exact
            but for what wraps round the patch's edge).
    """
    whole = np.floor(corners).astype(int)
    rows = whole[:, 0, None] - REACH + np.arange(size + 2 * REACH + 1)
    cols = whole[:, 1, None] - REACH + np.arange(size + 2 * REACH + 1)
    blocks = truth[rows[:, :, None], cols[:, None, :]]
    fraction = corners - whole
    if kernel == "fourier":
        return _fourier(blocks, fraction)[:, REACH : REACH + size, REACH : REACH + size]
    down, across = (_weights(fraction[:, axis], kernel) for axis in (0, 1))
    lines = sum(down[:, t, None, None] * blocks[:, t : t + size] for t in range(6))
    return sum(across[:, t, None, None] * lines[:, :, t : t + size] for t in range(6))


def _weights(fraction: np.ndarray, kernel: str) -> np.ndarray:
    """(m, 6): the kernel at the distances of the pixels −2 … 3."""
    distance = np.abs(np.arange(-REACH, REACH + 2) - fraction[:, None])
    if kernel == "bilinear":
        return np.maximum(0.0, 1.0 - distance)
    if kernel == "cubic":
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    nodes = np.arange(-REACH, REACH + 2)
    factors = (fraction[:, None] - nodes)[:, None, :] / np.where(
        np.eye(6, dtype=bool), 1, nodes[:, None] - nodes
    )
    factors[:, np.arange(6), np.arange(6)] = 1.0
    return factors.prod(axis=2)


def _fourier(blocks: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    ramps = [
        np.exp(2j * np.pi * fraction[:, axis, None] * fft.fftfreq(blocks.shape[1 + axis]))
        for axis in (0, 1)
    ]
    return fft.ifft2(fft.fft2(blocks) * ramps[0][:, :, None] * ramps[1][:, None, :])
