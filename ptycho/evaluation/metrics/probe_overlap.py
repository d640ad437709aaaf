"""How much neighbouring frames and groups share: overlaps of round probes of one diameter.

Overlap of two discs of diameter D at distance d: (2R² acos(d/2R) − (d/2)√(4R² − d²)) / (πR²)
with R = D/2, and 0 from d = D on; 1 at d = 0, 0.391 at d = R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

from ptycho.errors import UsageError

if TYPE_CHECKING:
    from ptycho.frames import Groups


@dataclass(frozen=True)
class ScanOverlap:
    """Means of the shared area of the probe's disc, 0 … 1; None where there is nothing to share.

    Args:
        within_groups: pairs of frames of one group (None for groups of one frame).
        between_frames: each frame with its nearest neighbours.
        between_groups: pairs of group centres that overlap at all (0: none does).
        linear: 1 − (median distance of nearest neighbours)/diameter, as beamlines state it.
        probe_diameter_px: D.
    """

    within_groups: float | None
    between_frames: float | None
    between_groups: float | None
    linear: float | None
    probe_diameter_px: float


def disc_overlap(distance_px: Any, diameter_px: float) -> np.ndarray:
    """Shared area of two discs of this diameter, as a fraction of one of them.

    Raises:
        UsageError: the diameter is not positive.
    """
    if not (np.isfinite(diameter_px) and diameter_px > 0):
        raise UsageError(
            "a probe has a diameter", where="diameter_px", expected="> 0", got=diameter_px
        )
    relative = np.clip(np.abs(np.asarray(distance_px, np.float64)) / diameter_px, 0, 1)
    return np.asarray(
        2 / np.pi * (np.arccos(relative) - relative * np.sqrt(1 - np.square(relative)))
    )


def scan_overlap(
    positions_px: np.ndarray,
    probe_diameter_px: float,
    *,
    groups: Groups | None = None,
    neighbours: int = 6,
) -> ScanOverlap:
    """The overlaps of a scan and, if they are given, of its groups.

    Args:
        positions_px: (M, 2) (row, col).
        probe_diameter_px: of the lit area, e.g. `ptycho.evaluation.inspection.probe_diameter_px`.
        groups: neighbour groups of these positions.
        neighbours: frames that each frame is compared with; fewer where there are fewer.
    """
    positions = np.asarray(positions_px, np.float64)
    frames = linear = within = between = None
    if len(positions) > 1:
        k = min(neighbours, len(positions) - 1) + 1
        distance = cKDTree(positions).query(positions, k=k)[0][:, 1:]
        frames = float(disc_overlap(distance, probe_diameter_px).mean())
        linear = max(0.0, 1 - float(np.median(distance[:, 0])) / probe_diameter_px)
    if groups is not None and len(groups):
        places = positions[groups.indices]
        first, second = np.triu_indices(places.shape[1], 1)
        if len(first):
            apart = np.linalg.norm(places[:, first] - places[:, second], axis=-1)
            within = float(disc_overlap(apart, probe_diameter_px).mean())
        between = _between_groups(groups.centres_px, probe_diameter_px, neighbours)
    return ScanOverlap(within, frames, between, linear, float(probe_diameter_px))


def _between_groups(centres: np.ndarray, diameter_px: float, neighbours: int) -> float:
    """Mean over each group's nearest other centres that overlap with it; 0 without any."""
    if len(centres) < 2:
        return 0.0
    k = min(neighbours, len(centres) - 1) + 1
    distance = cKDTree(centres).query(centres, k=k)[0][:, 1:]
    shared = disc_overlap(distance, diameter_px)
    return float(shared[shared > 0].mean()) if (shared > 0).any() else 0.0
