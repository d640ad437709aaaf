"""Fourier ring correlation of two complex fields, and the resolution it crosses the half bit at.

FRC(r) = Re Σ A·conj(B) / √(Σ|A|²·Σ|B|²) over the ring r, in cycles per pixel of the object.
The half-bit curve is that of van Heel & Schatz (2005), T = (S + (2√S+1)/√n) / (1 + S + 2√S/√n)
with S = 0.2071, where n counts *independent* Fourier pixels: all of a ring for complex fields,
times the share that the window leaves. The mean is removed first, or the window correlates with
itself. The correlation is blind to contrast: read the ratio of standard deviations beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal.windows import tukey

from ptycho.errors import ShapeError

HALF_BIT = 0.2071
ONE_BIT = 0.5


@dataclass(frozen=True)
class FrcCurve:
    """One value a ring: centre (cycles/px), correlation, threshold, independent pixels."""

    cycles_per_px: np.ndarray
    correlation: np.ndarray
    threshold: np.ndarray
    independent: np.ndarray

    def crossing(self) -> tuple[float, bool]:
        """(cycles/px, crossed): where the curve first falls below the threshold, interpolated.

        The last ring's frequency and False if it never does.
        """
        below = np.flatnonzero(self.correlation < self.threshold)
        if not below.size:
            return float(self.cycles_per_px[-1]), False
        i = int(below[0])
        if i == 0:
            return float(self.cycles_per_px[0]), True
        above, under = (self.correlation[j] - self.threshold[j] for j in (i - 1, i))
        share = above / (above - under) if above > under else 0.0
        step = self.cycles_per_px[i] - self.cycles_per_px[i - 1]
        return float(self.cycles_per_px[i - 1] + share * step), True

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the crossing, the resolution in pixels (full period), and the curve."""
        frequency, crossed = self.crossing()
        return {
            "cycles_per_px": frequency,
            "resolution_px": 1.0 / frequency,
            "crossed": crossed,
            "criterion": "half-bit",
            "curve": {
                "cycles_per_px": self.cycles_per_px.tolist(),
                "correlation": self.correlation.tolist(),
                "threshold": self.threshold.tolist(),
            },
        }


def threshold(independent: np.ndarray, snr: float = HALF_BIT) -> np.ndarray:
    """The curve of van Heel & Schatz for `independent` pixels a ring; `snr` 0.2071: half a bit."""
    root = np.sqrt(np.maximum(independent, 1.0))
    two = 2 * np.sqrt(snr)
    return (snr + (two + 1) / root) / (1 + snr + two / root)


def frc(a: np.ndarray, b: np.ndarray, *, taper: float = 0.2, minimum: int = 5) -> FrcCurve:
    """Fourier ring correlation of two complex (H, W) fields that share a gauge.

    Args:
        a, b: fields on one grid, wholly inside the scanned area.
        taper: share of each side inside the cosine edges of the Tukey window.
        minimum: rings with fewer independent pixels are dropped.

    Raises:
        ShapeError: different shapes, or fields under 16 pixels a side.
    """
    if np.shape(a) != np.shape(b) or np.ndim(a) != 2 or min(np.shape(a)) < 16:
        raise ShapeError(
            "ring correlation needs two images of one shape, at least 16 pixels a side",
            expected=np.shape(a),
            got=np.shape(b),
        )
    window = np.outer(*(tukey(side, taper) for side in np.shape(a)))
    first, second = (np.fft.fft2(_without_mean(field, window) * window) for field in (a, b))
    ring, count = _rings(np.shape(a))
    keep = ring < count

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(ring[keep], values[keep], minlength=count)

    cross = total((first * np.conj(second)).real)
    power = total(np.abs(first) ** 2) * total(np.abs(second) ** 2)
    fill = np.sum(window**2) ** 2 / (window.size * np.sum(window**4))
    pixels = total(np.ones(ring.shape)) * fill
    used = pixels >= minimum
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.where(power > 0, cross / np.sqrt(power), 0.0)
    centre = (np.arange(count) + 0.5) * 0.5 / count
    return FrcCurve(centre[used], correlation[used], threshold(pixels)[used], pixels[used])


def _without_mean(field: np.ndarray, window: np.ndarray) -> np.ndarray:
    return field - np.sum(window * field) / np.sum(window)


def _rings(shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Ring index of each Fourier pixel (a ring a frequency step of the short side), ring count."""
    count = min(shape) // 2
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None, :])
    return np.minimum((frequency / 0.5 * count).astype(int), count), count
