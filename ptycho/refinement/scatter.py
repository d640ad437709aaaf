"""Whether light that the object does not explain is scatter, or what the object is short of. NumPy.

A background that is free in rings takes up both. They leave different marks in counts that were
not fitted. Let I = M + b be the model of a pixel, M of it the object's and b the ring's.

- Scatter is smooth: counts about it are Poisson, and the mean of (y − I)² − I over a ring is 0.
  Light that the object is short of (smoothed away, not converged) is speckle that interferes with
  M: where m of it is missing, in random phase, that mean is m² + 2·m·M.
- Scatter is the same in each frame. An object is short of more in frames in which it scatters
  more: what is missing, Σ(y − M) over a ring, grows from frame to frame with ΣM, and m is that
  slope times M.

Where the object's light is many times the ring's, the fit hardly moves the ring from where it
began, and neither sign says anything: such rings are left out of the shares.

Each sign alone errs: other faults of the model make counts vary as speckle does, and scatter of the
specimen itself follows the specimen. So a verdict needs both.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from ptycho.refinement.rings import rings_of

ERRORS = 2.0
"""Standard errors by which each share must be off one half for a verdict."""
LEAST = 0.05
"""Of the photons in a ring: a background below is not looked at."""
ENOUGH = 0.25
"""Of the photons of all rings, in those that are looked at, for a verdict."""
GROUPS = 8
"""Of frames, left out one after another for the standard errors."""
VERDICTS = {
    "scatter": "scatter on the detector",
    "shrinkage": "what the object is short of",
    "open": "scatter or shrinkage: not told apart",
}


@dataclass(frozen=True)
class Background:
    """What the rings hold.

    Args:
        photons: of a frame at full light, all rings together.
        of_counts: their share of all photons that the model expects.
        looked_at: share of them in rings in which they are more than `LEAST` of all.
        by_speckle, by_frames: share of these that the object is short of, by the two signs.
        by_speckle_error, by_frames_error: their standard errors, from the frames.
        verdict: a key of `VERDICTS`.
        rings: of each distance from the centre, px: photons a frame, and the two shares.
    """

    photons: float
    of_counts: float
    looked_at: float
    by_speckle: float
    by_frames: float
    by_speckle_error: float
    by_frames_error: float
    verdict: str
    rings: list[list[float]]

    def record(self) -> dict[str, Any]:
        """As JSON, with `words`: how much it is, of which kind, by what shares."""
        shares = sorted((1 - self.by_speckle, 1 - self.by_frames))
        words = (
            f"{self.photons:.4g} photons a frame in rings ({self.of_counts:.2%}), "
            f"{VERDICTS[self.verdict]} (scatter {shares[0]:.0%} to {shares[1]:.0%} in rings with "
            f"{self.looked_at:.0%} of it)"
        )
        return {**asdict(self), "words": words}


class _Sums(NamedTuple):
    """(M, R) sums over the rings of each frame, of a frame at full light but for `excess`."""

    excess: np.ndarray  # (y − I)² − I, at the light of the counts
    model: np.ndarray
    missing: np.ndarray  # y − M
    rings: np.ndarray
    pixels: np.ndarray
    dose: np.ndarray  # (M, 1)


def told_apart(
    counts: np.ndarray,
    model: np.ndarray,
    background: np.ndarray,
    dose: np.ndarray,
    mask: np.ndarray,
) -> Background | None:
    """Scatter and shrinkage in the rings of a fit, by counts that were not fitted.

    Args:
        counts: (M, N, N) held out; negative: no measurement.
        model: (M, N, N) expected of the object alone, at full light.
        background: (N, N) of the fit, at full light.
        dose: (M,) share of the light that is in `counts`. mask: (N, N), 1 where valid.

    Returns:
        None where frames are fewer than `GROUPS`, or no ring is looked at.
    """
    if len(counts) < GROUPS:
        return None
    valid = (counts >= 0) & (mask > 0)
    light = np.asarray(dose, np.float64)[:, None, None]
    every = light * (model + background)
    ring = rings_of(counts.shape[-1]).ravel()

    def by_ring(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(ring, frame.ravel()) for frame in valid * values])

    sums = _Sums(
        by_ring((counts - every) ** 2 - every),
        by_ring(model),
        by_ring(counts / light - model),
        by_ring(np.broadcast_to(background, counts.shape)),
        by_ring(np.ones(counts.shape)),
        light[:, :, 0],
    )
    held, ours = sums.rings.mean(axis=0), sums.model.mean(axis=0)
    seen = np.where(held > LEAST * (held + ours), held, 0)
    if seen.sum() <= 0:
        return None
    shares = _shares(sums)
    totals = np.clip(shares @ seen / seen.sum(), 0, 1)
    parts = np.arange(len(counts)) % GROUPS
    others = [_Sums(*(each[parts != part] for each in sums)) for part in range(GROUPS)]
    tried = np.array([_shares(each) @ seen / seen.sum() for each in others])
    errors = tried.std(axis=0) * np.sqrt(GROUPS - 1)
    low, high = totals - ERRORS * errors, totals + ERRORS * errors
    verdict = "shrinkage" if (low > 0.5).all() else "scatter" if (high < 0.5).all() else "open"
    photons, looked_at = float(held.sum()), float(seen.sum() / held.sum())
    verdict = verdict if looked_at > ENOUGH else "open"
    return Background(
        photons,
        photons / (photons + float(ours.sum())),
        looked_at,
        float(totals[0]),
        float(totals[1]),
        float(errors[0]),
        float(errors[1]),
        verdict,
        [held.tolist(), *np.clip(shares, 0, 1).tolist()],
    )


def _shares(sums: _Sums) -> np.ndarray:
    """(2, R): of each ring, the share that the object is short of, by speckle and by frames."""
    number = np.maximum(sums.pixels.sum(axis=0), 1)
    light = float(np.mean(sums.dose))
    ours, held = (each.sum(axis=0) / number for each in (sums.model, sums.rings))
    squared = ours**2 + sums.excess.sum(axis=0) / number / light**2
    speckle = np.sqrt(np.maximum(squared, 0)) - ours
    away = sums.model - sums.model.mean(axis=0)
    slope = np.sum(away * sums.missing, axis=0) / np.maximum(np.sum(away**2, axis=0), 1e-30)
    return np.stack([short / np.maximum(held, 1e-30) for short in (speckle, slope * ours)])
