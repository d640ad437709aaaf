"""What one photon counts, where the counts themselves say it.

Photons times a gain u are multiples of u; what tells them from the steps of a converter is their
noise: a sum of Poisson counts with weights w, each times u, has the variance u·Σw²·(their mean).
The weights are those of a fourth difference along both axes, which a pattern that varies slowly
(that of a probe which fills half of its frame or less) hardly reaches.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ptycho.frames.findings import Finding

EPS = float(np.finfo(np.float32).eps)
FEW_VALUES, FEW_MULTIPLES = 200, 3
MOST_GAIN = 1e12  # numbers of another size are no detector's, nor a share of its maximum
MOST_MULTIPLE = 40_000  # of more, float32 does not say whether they are whole
WHOLE = 1e-3  # beyond the rounding of float32
MOST_ALIEN = 1e-3  # share of values that are no multiples: cosmic rays, hot pixels
PARTS = (1, 2, 3)  # of the least step between two values
DIFFERENCE = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
LEVELS, LEVEL_PHOTONS = 8, 500
POISSON = (0.5, 1.6)  # of the least over eight levels of light


def judge_gain(frames: np.ndarray, valid: np.ndarray, values: int, noisy: bool) -> list[Finding]:
    """Whether all counts are multiples of one number, and that number is what a photon counts.

    Args:
        frames: (m, N, N) some frames of the scan, without an offset.
        valid: (N, N) pixels that count in all of them.
        values: how many to look at.
        noisy: the detector adds noise when it reads out, so that no step of its is a photon.

    Returns:
        None, or one with `done` 'divided' where it is beyond doubt, else 'nothing'.
    """
    if len(frames) > 1:
        valid = valid & ((frames != frames[0]).any(axis=0) | (frames[0] == 0))
    seen = frames[:, valid].ravel()
    seen = seen[:: 1 + len(seen) // values].astype(np.float64)
    unit = _unit(seen)
    if unit is None or abs(unit - 1) < WHOLE or not 1 / MOST_GAIN < unit < MOST_GAIN:
        return []
    spread = _variance_to_mean(frames, valid, unit)
    different = len(np.unique(np.rint(seen[seen > 0] / unit)))
    evidence = {"one_photon": unit, "different_counts": different, "variance_to_mean": spread}
    if not noisy and POISSON[0] * unit <= spread <= POISSON[1] * unit:
        return [Finding("counts-gain", evidence, "divided")]
    if unit < 1 + WHOLE:  # decimals, or the steps of a short type
        return []
    perhaps = "steps of a converter: divide the frames by what one photon counts"
    return [Finding("counts-gain", evidence | {"perhaps": perhaps})]


def _unit(values: np.ndarray) -> float | None:
    """The largest number of which nearly all values are whole multiples."""
    found, times = np.unique(values, return_counts=True)
    found = found[(times > 1) & (found >= 0)]  # numbers of a continuum do not come twice
    steps = np.diff(found)
    steps = steps[steps > 8 * EPS * found[1:]]
    if len(steps) < FEW_MULTIPLES:
        return None
    for part in PARTS:
        unit = _refined(found - found[0], float(steps.min()) / part)
        positive = values[values > 0]
        whole = np.rint(positive / unit)
        near = whole <= MOST_MULTIPLE
        off = np.abs(positive / unit - whole)
        multiple = near & (whole > 0) & (off < WHOLE + 4 * EPS * whole)
        if (
            multiple.sum() >= FEW_VALUES
            and (near & ~multiple).sum() <= MOST_ALIEN * len(positive)
            and len(np.unique(whole[multiple])) >= FEW_MULTIPLES
        ):
            return unit
    return None


def _refined(distances: np.ndarray, unit: float) -> float:
    """The unit by least squares over ever longer distances, each a known multiple by then."""
    limit = 8.0
    while True:
        near = distances[distances <= limit * unit]
        whole = np.rint(near / unit)
        if whole.any():
            unit = float(near @ whole / (whole @ whole))
        if limit > MOST_MULTIPLE or limit * unit >= distances[-1]:
            return unit
        limit *= 2


def _variance_to_mean(frames: np.ndarray, valid: np.ndarray, unit: float) -> float:
    """Variance over mean of the counts in places of like light: the least over their levels."""
    squares, means = np.zeros(valid.shape), np.zeros(valid.shape)
    for frame in np.where(valid, frames, 0):
        difference, mean = frame.astype(np.float64), frame.astype(np.float64)
        for axis in (0, 1):
            difference = ndimage.convolve1d(difference, DIFFERENCE, axis, mode="constant")
            mean = ndimage.convolve1d(mean, DIFFERENCE**2, axis, mode="constant")
        squares += difference**2
        means += mean
    clear = ndimage.minimum_filter(valid, len(DIFFERENCE), mode="constant", cval=False)
    clear &= means > 0
    order = np.argsort(means[clear])
    squares, means = squares[clear][order], means[clear][order]
    photons = float((DIFFERENCE**2).sum() ** 2) * unit
    ratios, above, below = [], 0.0, 0.0
    for level in np.array_split(np.arange(len(order)), LEVELS):
        above, below = above + squares[level].sum(), below + means[level].sum()
        if below >= LEVEL_PHOTONS * photons:
            ratios.append(above / below)
            above, below = 0.0, 0.0
    if not ratios:
        return float(above / below) if below else float("inf")
    return float(min(ratios))
