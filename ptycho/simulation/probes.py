"""Probes: disk, Gaussian, focused (Airy with defocus). Unit power; the caller sets the dose."""

from __future__ import annotations

import numpy as np


def make_probe(kind: str, N: int, diameter_px: float, curvature_rad: float) -> np.ndarray:
    """(N, N) complex128 probe with Σ|P|² = 1, centred on pixel (N/2, N/2).

    Args:
        kind: 'disk' (soft edge), 'gaussian' (diameter = 4 sigma), 'focused' (a round pupil whose
            Airy disk has this diameter).
        N: frame side.
        diameter_px: of the lit area.
        curvature_rad: quadratic phase at the edge (disk, gaussian) or of the pupil (focused).
    """
    axis = np.arange(N) - N // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    relative = radius / (diameter_px / 2)
    if kind == "disk":
        soft = 1 / (1 + np.exp((radius - diameter_px / 2) / 0.7))
        probe = soft * np.exp(1j * curvature_rad * relative**2)
    elif kind == "gaussian":
        probe = np.exp(-2 * relative**2) * np.exp(1j * curvature_rad * relative**2)
    else:
        # First dark ring of a round pupil of radius a (frequency pixels): r = 0.61 N / a.
        pupil_radius = 1.22 * N / diameter_px
        inside = 1 / (1 + np.exp((radius - pupil_radius) / 0.3))
        pupil = inside * np.exp(1j * curvature_rad * (radius / pupil_radius) ** 2)
        probe = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(pupil)))
    return probe / np.sqrt(np.sum(np.abs(probe) ** 2))
