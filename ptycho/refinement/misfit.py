"""Frames, or a whole scan, that the refined image does not explain. NumPy only."""

from __future__ import annotations

import numpy as np

from ptycho.frames import Finding
from ptycho.scan import Scan

TIMES, SPREADS, MOST = 2.0, 12.0, 0.1
"""A frame's deviance over the median, in its robust spread, and the share of frames at most."""
LEFT = 0.4
"""Of what the mean pattern leaves: an image that leaves more has explained little. Scans on both
sides of it: `tests/refinement/test_unexplained.py`, `scripts/benchmarks/faults.py --refined`."""
ERRORS = 3.0
"""Standard errors by which the frames differ from their mean pattern, and by which `LEFT` is."""
FREE = 4.0
"""Times the numbers that were fitted: a misfit below may be the photons' noise in the image."""
FLOOR = 0.05
"""Of the mean count of a pixel, added to what its squares are divided by."""


def unexplained(scan: Scan, deviances: np.ndarray) -> list[Finding]:
    """Frames that the object of all others does not explain: their position may be another.

    Args:
        scan: the frames. deviances: (M,) half-deviance per pixel at the end.
    """
    middle = float(np.median(deviances))
    usual = 1.4826 * float(np.median(np.abs(deviances - middle)))
    apart = deviances > np.maximum(TIMES * middle, middle + SPREADS * usual)
    if not 0 < apart.mean() <= MOST:
        return []
    evidence = {"deviance_per_pixel": float(deviances[apart].max()), "of_all": middle}
    frames = scan.frame_numbers[apart].tolist()
    return [Finding("frame-unexplained", evidence, items=frames)]


def nothing_explained(
    counts: np.ndarray, modelled: np.ndarray, fitted: float, *, of: int
) -> list[Finding]:
    """Whether the image explains the frames hardly better than their mean pattern does.

    Both are judged by Σ((y − I)² − y)/w, whose mean is Σ(λ − I)²/w where y are counts of mean λ:
    photon noise drops out. For the mean pattern I is its share of each frame's light; w is that
    pattern and a floor.

    Args:
        counts: (M, N, N) y of some frames; negative: no measurement.
        modelled: (M, N, N) I of the refinement.
        fitted: how many numbers were fitted to all frames. of: how many frames there are.
    """
    valid = counts >= 0
    seen, model = np.where(valid, counts, 0.0), np.where(valid, modelled, 0.0)
    light = seen.sum(axis=(1, 2), keepdims=True)
    if len(counts) < 2 or not (light > 0).all() or np.any(seen != np.rint(seen)):
        return []
    share = (seen / light).mean(axis=0)
    weight = float(light.mean()) * (share + FLOOR / share.size)

    def misfit(expected: np.ndarray) -> np.ndarray:
        return np.sum(((seen - expected) ** 2 - seen) / weight, axis=(1, 2))

    ours, blank = misfit(model), misfit(share * light)
    left = ours.mean() / blank.mean() if blank.mean() > ERRORS * _error(blank) else 0.0
    beyond = ours.mean() > FREE * fitted / of
    if not beyond or left - ERRORS * _error(ours - left * blank) / abs(blank.mean()) < LEFT:
        return []
    return [Finding("scan-unexplained", {"left": float(left), "a_good_one_leaves": "below 0.2"})]


def _error(each: np.ndarray) -> float:
    """The standard error of the mean of independent numbers."""
    return float(each.std(ddof=1) / np.sqrt(len(each)))
