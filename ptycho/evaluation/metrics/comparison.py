"""All metrics of one field against another on one grid, after the gauge is removed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from skimage.restoration import unwrap_phase

from ptycho.evaluation.metrics import image
from ptycho.evaluation.metrics.frc import frc
from ptycho.evaluation.metrics.gauge import Gauge, fit_gauge
from ptycho.evaluation.metrics.overlap import largest_rectangle


@dataclass(frozen=True)
class Comparison:
    """Numbers, and the images they were taken from (for figures).

    Args:
        metrics: JSON-able; see `compare`.
        aligned: (h, w) complex, the reconstruction in the reference's gauge.
        reference: (h, w) complex.
        region: (h, w) bool, the pixels that counted.
        rectangle: the part used for the ring correlation.
    """

    metrics: dict[str, Any]
    aligned: np.ndarray
    reference: np.ndarray
    region: np.ndarray
    rectangle: tuple[slice, slice]

    def likeness(self) -> float:
        """Correlation of the two about their means: 1: one is the other; NaN where one is flat."""
        fields = (field[self.region] for field in (self.aligned, self.reference))
        one, other = (field - field.mean() for field in fields)
        power = float(np.linalg.norm(one) * np.linalg.norm(other))
        return float(np.abs(np.vdot(one, other))) / power if power > 0 else math.nan

    def phases(self) -> tuple[np.ndarray, np.ndarray]:
        """Phase of the reconstruction and of the reference in radians, without common wraps."""
        return phases(self.aligned, self.reference, self.region)


def compare(
    rec: np.ndarray,
    ref: np.ndarray,
    region: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    ramp: bool = True,
    shift: bool = True,
) -> Comparison:
    """Metrics of `rec` against `ref`, both (H, W) complex on one grid.

    Returns metrics `{amplitude, phase, complex, frc, gauge, pixels}`; amplitude and phase hold
    `{ssim, ms_ssim, psnr_db, mae, std_ratio, data_range}` with the reference's own range in the
    region as data range, phase in radians.

    Args:
        region: (H, W) bool, pixels that count.
        weights: (H, W) ≥ 0 for the gauge fit, usually the illumination; None: the region.
        ramp, shift: freedoms of the gauge.
    """
    weights = np.where(region, 1.0 if weights is None else weights, 0.0)
    gauge = fit_gauge(rec, ref, weights, ramp=ramp, shift=shift)
    aligned = gauge.apply(np.asarray(rec, np.complex128))
    ref = np.asarray(ref, np.complex128)
    phase, phase_ref = phases(aligned, ref, region)
    rectangle = largest_rectangle(region)
    metrics = {
        "amplitude": _image_metrics(np.abs(aligned), np.abs(ref), region),
        "phase": _image_metrics(phase, phase_ref, region),
        "complex": _complex_metrics(aligned, ref, region),
        "frc": _ring_metrics(aligned[rectangle], ref[rectangle]),
        "gauge": _gauge_metrics(gauge),
        "pixels": int(region.sum()),
    }
    return Comparison(metrics, aligned, ref, region, rectangle)


def phases(
    aligned: np.ndarray, ref: np.ndarray, region: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Phase of `aligned` and of `ref` (rad). Only `ref` is unwrapped, and only if it wraps.

    The reconstruction's phase is the reference's plus the angle between the two, so a wrap in one
    of them is no error.
    """
    turn = np.exp(-1j * np.angle(np.sum(ref[region])))
    base = np.angle(ref * turn)
    jumps = [np.abs(np.diff(base, axis=axis)).max(initial=0.0) for axis in (0, 1)]
    if max(jumps) > math.pi:
        base = np.asarray(unwrap_phase(np.ma.array(base, mask=~region)).filled(0.0))
    return base + np.angle(aligned * np.conj(ref)), base


def _image_metrics(picture: np.ndarray, truth: np.ndarray, region: np.ndarray) -> dict[str, float]:
    data_range = float(np.ptp(truth[region]))
    if data_range == 0:
        data_range = 1.0  # a constant reference has no range of its own; stated in the result
    return {
        "ssim": image.ssim(picture, truth, region, data_range)
        if min(picture.shape) >= 11
        else math.nan,
        "ms_ssim": image.ms_ssim(picture, truth, region, data_range),
        "psnr_db": image.psnr_db(picture, truth, region, data_range),
        "mae": image.mae(picture, truth, region),
        "std_ratio": image.std_ratio(picture, truth, region),
        "data_range": data_range,
    }


def _complex_metrics(aligned: np.ndarray, ref: np.ndarray, region: np.ndarray) -> dict[str, float]:
    error = np.linalg.norm((aligned - ref)[region])
    peak = float(np.abs(ref[region]).max())
    return {
        "relative_error": float(error / np.linalg.norm(ref[region])),
        "psnr_db": image.psnr_db(aligned, ref, region, peak),
        "std_ratio": image.std_ratio(aligned, ref, region),
        "data_range": peak,
    }


def _ring_metrics(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    if min(a.shape) < 16:
        return {
            "cycles_per_px": math.nan,
            "resolution_px": math.nan,
            "crossed": False,
            "criterion": "half-bit",
            "why": f"the largest common rectangle is {a.shape}; ring correlation needs 16 pixels",
        }
    spread = float(np.std(b))
    return {
        **frc(a, b).as_dict(),
        "rectangle_px": list(a.shape),
        "std_ratio": float(np.std(a)) / spread if spread > 0 else math.nan,
    }


def _gauge_metrics(gauge: Gauge) -> dict[str, Any]:
    return {
        "scale": abs(gauge.scale),
        "phase_rad": float(np.angle(gauge.scale)),
        "ramp_rad_px": list(gauge.ramp_rad_px),
        "shift_px": list(gauge.shift_px),
    }
