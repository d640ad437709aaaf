"""What a refinement returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ptycho.result import Reconstruction


@dataclass(frozen=True)
class RefineResult:
    """What a refinement found and how well it explains the counts.

    Args:
        reconstruction: object, coverage, origin, probe (and positions if they were corrected).
        residual: Σ|√I−√y| / Σ√y over all valid pixels of all frames.
        deviance_per_pixel: Poisson half-deviance; about ½ in well-lit pixels if only noise is left.
        seconds: wall time, compilation included.
        iterations: passes over the scan.
        history: one row a pass: pass, seconds, residual, held_out_deviance, step.
    """

    reconstruction: Reconstruction
    residual: float
    deviance_per_pixel: float
    seconds: float
    iterations: int
    history: list[dict[str, Any]] = field(default_factory=list)
