"""How light goes from one plane to another, in NumPy: what `ptycho.physics.propagation` rests on.

The formula and its sources stand there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.errors import ValueRangeError


def transfer_function(
    N: int, pixel_m: tuple[float, float], wavelength_m: float, distance_m: float
) -> np.ndarray:
    """(N, N) complex128 H of `distance_m` (below 0: back), zero frequency at [N // 2, N // 2].

    Args:
        N: side of the grid. pixel_m: (row, col) pitch of the grid.
        wavelength_m: of the light.

    Raises:
        ValueRangeError: a distance beyond `most_distance_m`.
    """
    most = most_distance_m(N, pixel_m, wavelength_m)
    if not abs(distance_m) <= most:
        raise ValueRangeError(
            "the light goes farther than this grid can follow",
            where="distance_m",
            expected=f"at most N·pixel²/wavelength = {most:.4g} m",
            got=distance_m,
            fix="more detector pixels in a frame; from N times farther on it is the far field",
        )
    row, col = (np.fft.fftshift(np.fft.fftfreq(N, pitch)) for pitch in pixel_m)
    square = row[:, None] ** 2 + col[None, :] ** 2
    inverse = 1 / wavelength_m
    along = np.sqrt(inverse**2 - square + 0j)
    # √(1/λ² − q²) − 1/λ as a quotient: the difference would lose all digits for short waves.
    # Evanescent waves fade on the way back too, or noise would grow without limit.
    delay = -square / (inverse + along)
    phase = 2 * np.pi * distance_m * delay.real
    fading = np.exp(-2 * np.pi * abs(distance_m) * np.abs(delay.imag))
    return np.asarray(fading * np.exp(1j * phase))


def most_distance_m(N: int, pixel_m: tuple[float, float], wavelength_m: float) -> float:
    """N·pixel²/λ of the finer axis: from here on H turns by more than π from sample to sample."""
    return float(N * min(pixel_m) ** 2 / wavelength_m)


def is_near(geometry: Any) -> bool:
    """Whether a geometry (or None, of which nothing is known) says that it is the near field."""
    return geometry is not None and bool(geometry.near_field)


def light_on_detector(probe: np.ndarray, geometry: Any) -> np.ndarray:
    """(N, N) light of all modes of `probe` (K, N, N) on the detector, without a specimen.

    The far field, zero frequency in the middle, unless `geometry` says that it is the near one.
    There a distance beyond what the grid can follow is taken for the longest that it can.
    """
    spectrum = np.fft.fftshift(np.fft.fft2(probe, norm="ortho"), axes=(-2, -1))
    if is_near(geometry):
        side, pixel = probe.shape[-1], geometry.detector_pixel_m
        most = most_distance_m(side, pixel, geometry.wavelength_m)
        distance = min(geometry.distance_m, most)
        way = transfer_function(side, pixel, geometry.wavelength_m, distance)
        spectrum = np.fft.ifft2(np.fft.ifftshift(spectrum * way, axes=(-2, -1)), norm="ortho")
    return np.asarray((np.abs(spectrum) ** 2).sum(axis=0))
