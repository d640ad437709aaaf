"""What the engine tells: of a state, of a pass, and all that a pass changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ptycho.refinement import step


@dataclass(frozen=True)
class Score:
    """Sums over valid pixels of a set of counts."""

    residual: float  # Σ|√I−√y| / Σ√y
    deviance_per_pixel: float  # Poisson half-deviance; about ½ where noise is all that is left
    of_frames: np.ndarray  # (M,) the same of each frame


class Snapshot(NamedTuple):
    """What a pass changes."""

    state: step.State
    positions_px: np.ndarray
    background: np.ndarray
    light: np.ndarray | None
    light_pace: np.ndarray
    dual: Any
    whole: int
    weights: np.ndarray | None


class Told(NamedTuple):
    """What a pass says of itself."""

    residual: float  # Σ|√I−√y| / Σ√y as it went
    held_out: float | None  # half-deviance per pixel of the held-out counts after it
