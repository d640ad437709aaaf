"""What diffraction cannot tell: complex scale, phase ramp, small shift. Removed before any metric.

Everything is fitted on complex fields with weights, without unwrapping a phase:

- scale: c = ⟨rec, ref⟩/⟨rec, rec⟩, least squares (a constant phase and an amplitude);
- ramp: the brightest point of the zero-padded Fourier transform of rec·conj(ref), then weighted
  least squares on its demodulated angle: exact for ramps of many cycles, where a plane fitted to
  the wrapped phase is wrong beyond one cycle;
- shift: the upsampled peak of the cross-correlation (`skimage.registration`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.signal.windows import tukey
from skimage.registration import phase_cross_correlation

from ptycho.errors import ShapeError, UsageError


@dataclass(frozen=True)
class Gauge:
    """How a reconstruction is moved onto a reference; `apply` does it.

    Args:
        scale: complex factor.
        ramp_rad_px: (row, col) slope of the phase that is taken off, radians per pixel.
        shift_px: (row, col) by which the content is moved.
    """

    scale: complex = 1.0 + 0.0j
    ramp_rad_px: tuple[float, float] = (0.0, 0.0)
    shift_px: tuple[float, float] = (0.0, 0.0)

    def apply(self, field: np.ndarray) -> np.ndarray:
        """(H, W) complex: shifted, flattened, scaled."""
        moved = shift_field(field, self.shift_px)
        return self.scale * moved * np.exp(-1j * plane(field.shape, self.ramp_rad_px))


def plane(shape: tuple[int, ...], slope: tuple[float, float]) -> np.ndarray:
    """(H, W) float64 plane with `slope` per pixel along (row, col), zero at the array's centre."""
    row = (np.arange(shape[0]) - (shape[0] - 1) / 2)[:, None]
    col = (np.arange(shape[1]) - (shape[1] - 1) / 2)[None, :]
    return slope[0] * row + slope[1] * col


def shift_field(field: np.ndarray, shift_px: tuple[float, float]) -> np.ndarray:
    """Content moved by +shift (row, col): quintic splines, borders continued."""
    if max(abs(shift_px[0]), abs(shift_px[1])) < 1e-6:
        return np.asarray(field)
    return ndimage.shift(field, shift_px, order=5, mode="nearest")


def fit_scale(rec: np.ndarray, ref: np.ndarray, weights: np.ndarray) -> complex:
    """Least-squares complex factor that brings `rec` to `ref`."""
    power = np.sum(weights * np.abs(rec) ** 2)
    return complex(np.sum(weights * np.conj(rec) * ref) / power) if power > 0 else 1.0 + 0.0j


def fit_ramp(rec: np.ndarray, ref: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope (row, col) in rad/px of the phase of `rec` against `ref`; no unwrapping."""
    product = weights * rec * np.conj(ref)
    size = [4 * int(side) for side in product.shape]
    spectrum = np.abs(np.fft.fft2(product, size))
    peak = np.unravel_index(int(np.argmax(spectrum)), spectrum.shape)
    slope = [2 * np.pi * np.fft.fftfreq(n)[i] for n, i in zip(size, peak, strict=True)]
    row, col = np.indices(product.shape) - (np.array(product.shape)[:, None, None] - 1) / 2
    design = np.stack([np.ones(row.size), row.ravel(), col.ravel()], 1)
    for _ in range(5):
        flat = product * np.exp(-1j * plane(product.shape, (slope[0], slope[1])))
        flat = flat * np.exp(-1j * np.angle(flat.sum()))
        trust = np.abs(flat).ravel()
        normal = design.T @ (trust[:, None] * design)
        right = design.T @ (trust * np.angle(flat).ravel())
        _, down, across = np.linalg.solve(normal + 1e-12 * np.trace(normal) * np.eye(3), right)
        slope = [slope[0] + down, slope[1] + across]
    return float(slope[0]), float(slope[1])


def fit_shift(
    rec: np.ndarray, ref: np.ndarray, weights: np.ndarray, *, upsample: int = 100
) -> tuple[float, float]:
    """Shift (row, col) that moves `rec` onto `ref`; both windowed, without their mean."""
    window = weights * np.outer(*(tukey(side, 0.25) for side in rec.shape))
    fields = [window * (f - np.sum(window * f) / np.sum(window)) for f in (ref, rec)]
    shift, _, _ = phase_cross_correlation(*fields, upsample_factor=upsample, normalization=None)
    return float(shift[0]), float(shift[1])


def fit_gauge(
    rec: np.ndarray,
    ref: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    ramp: bool = True,
    shift: bool = True,
    max_shift_px: float = 8.0,
) -> Gauge:
    """The gauge that brings `rec` closest to `ref`.

    Args:
        rec, ref: (H, W) complex fields on one grid.
        weights: (H, W) ≥ 0, illumination or 1 inside the scanned area; None: 1 everywhere.
        ramp, shift: whether these freedoms exist (a fixed probe takes both away).
        max_shift_px: a larger shift is taken for a false peak and not applied.

    Raises:
        ShapeError: fields of different shape.
        UsageError: no weight anywhere.
    """
    weights = np.ones(np.shape(ref)) if weights is None else np.asarray(weights, np.float64)
    if np.shape(rec) != np.shape(ref) or weights.shape != np.shape(ref):
        raise ShapeError(
            "fields of different shape cannot be compared",
            expected=np.shape(ref),
            got=f"{np.shape(rec)}, weights {weights.shape}",
        )
    if not np.any(weights > 0):
        raise UsageError("there is no common area to compare", expected="weights > 0 somewhere")
    rec, ref = np.asarray(rec, np.complex128), np.asarray(ref, np.complex128)
    gauge = Gauge()
    for _ in range(3 if shift else 1):
        slope = fit_ramp(shift_field(rec, gauge.shift_px), ref, weights) if ramp else (0.0, 0.0)
        gauge = Gauge(1.0, slope, gauge.shift_px)
        if shift:
            row, col = fit_shift(gauge.apply(rec), ref, weights)
            total = (gauge.shift_px[0] + row, gauge.shift_px[1] + col)
            if max(map(abs, total)) <= max_shift_px:
                gauge = Gauge(1.0, slope, total)
    scale = fit_scale(gauge.apply(rec), ref, weights)
    return Gauge(scale, gauge.ramp_rad_px, gauge.shift_px)
