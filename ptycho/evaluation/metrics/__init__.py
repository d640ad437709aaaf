"""Metrics on complex images: gauge first, then numbers. NumPy, SciPy and scikit-image only."""

from __future__ import annotations

from ptycho.evaluation.metrics.comparison import Comparison, compare
from ptycho.evaluation.metrics.frc import FrcCurve, frc
from ptycho.evaluation.metrics.gauge import Gauge, fit_gauge
from ptycho.evaluation.metrics.overlap import Overlap, common, largest_rectangle

__all__ = [
    "Comparison",
    "FrcCurve",
    "Gauge",
    "Overlap",
    "common",
    "compare",
    "fit_gauge",
    "frc",
    "largest_rectangle",
]
