"""Light on its way, in NumPy: the second opinion to `ptycho.physics.propagation`."""

from __future__ import annotations

import numpy as np
from scipy import fft


def free_space(N: int, pixel_m: float, wavelength_m: float, distance_m: float) -> np.ndarray:
    """(N, N) complex128 factors of the plane waves, in the order of `fft2`.

    A wave at the angle θ, sin θ = λq, falls behind the one along the axis by 1 − cos θ of the way.
    """
    sine = wavelength_m * fft.fftfreq(N, pixel_m)
    square = sine[:, None] ** 2 + sine[None, :] ** 2
    cosine = np.sqrt(np.maximum(1 - square, 0))
    behind = 2 * np.pi * distance_m / wavelength_m * square / (1 + cosine)
    fades = 2 * np.pi * abs(distance_m) / wavelength_m * np.sqrt(np.maximum(square - 1, 0))
    return np.exp(-1j * np.where(square > 1, 2 * np.pi * distance_m / wavelength_m, behind) - fades)


def propagated(field: np.ndarray, factors: np.ndarray, workers: int = 1) -> np.ndarray:
    """(..., N, N): `field` after the way of `factors`."""
    return fft.ifft2(fft.fft2(field, workers=workers) * factors, workers=workers)
