"""What the network sees of an estimate, and what becomes of its answer. NumPy.

The gauge has mean phase 0 and r.m.s. 1, both weighted by the light. σ = 1/(2·√light) in that gauge
is the error that the counts leave in a pixel. With x the image and f the freer one, the channels
are re x, im x; 0.3·clip((f − x)/σ, ±5), re and im; log₁₀σ + 1.5; min(5σ, 2); and for each image s
of `ptycho.prior.shrinkage` clip((s − x)/(0.2·√σ), ±5), re and im. The answer n means x + 0.2·√σ·n;
where the light is below 5 % of the usual, x stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.errors import DataError
from ptycho.prior.estimate import Estimate
from ptycho.prior.shrinkage import LEVELS, shrunk

CHANNELS = 6 + 2 * len(LEVELS)
LIT = 0.05
_PULL, _PULL_LIMIT = 0.3, 5.0
ANSWER, _STEP_LIMIT = 0.2, 5.0


@dataclass(frozen=True, eq=False)
class Gauged:
    """An estimate in the gauge of the network.

    Args:
        image, freer: (H, W) complex64.
        blocks: (H, W, levels) complex64, the freer image of `ptycho.prior.shrinkage`.
        sigma: (H, W) float32, the counts' own error, limited where there is little light.
        lit: (H, W) bool, where the answer counts.
        unit: what the gauge's 1 is in the estimate, a complex number.
    """

    image: np.ndarray
    freer: np.ndarray
    blocks: np.ndarray
    sigma: np.ndarray
    lit: np.ndarray
    unit: complex


def gauged(estimate: Estimate) -> Gauged:
    """The estimate in the gauge of the network.

    Raises:
        DataError: there is no light, or an image that is nothing in the light or not finite.
    """
    light = estimate.light.astype(np.float64)
    least = _least(light)
    power = float(np.sum(np.abs(estimate.image) ** 2 * light) / light.sum())
    if not (power > 0 and np.isfinite(power) and np.isfinite(estimate.freer).all()):
        raise DataError(
            "the prior cannot be used on this image",
            expected="finite values, not 0 everywhere in the light",
            got=f"mean square {power:.3g} in the light",
        )
    mean = complex(np.sum(estimate.image * light))
    unit = float(np.sqrt(power)) * (mean / abs(mean) if abs(mean) > 0 else 1.0)
    sigma = (_noise(light, least) / abs(unit)).astype(np.float32)
    freer = (estimate.freer / unit).astype(np.complex64)
    return Gauged(
        (estimate.image / unit).astype(np.complex64),
        freer,
        shrunk(freer, sigma),
        sigma,
        light >= least,
        unit,
    )


def noise(light: np.ndarray) -> np.ndarray:
    """(H, W) of the light (H, W): √ of the mean square that counts leave, 1/(2·√light).

    Below `LIT` of the usual light it is that of so much; some light must be there.
    """
    return _noise(light, _least(light))


def lit(light: np.ndarray) -> np.ndarray:
    """(H, W) bool of the light (H, W): where it is at least `LIT` of the usual."""
    return np.asarray(light >= _least(light))


def box(inside: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the smallest rectangle with all that is true in (H, W) bool."""
    rows, cols = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)


def _noise(light: np.ndarray, least: float) -> np.ndarray:
    return np.asarray(1 / (2 * np.sqrt(np.maximum(light, least))))


def _least(light: np.ndarray) -> float:
    return LIT * usual_light(light)


def usual_light(light: np.ndarray) -> float:
    """The 95 % quantile of the light (H, W) where there is some.

    Raises:
        DataError: there is none, or it is not finite: the prior has nothing to go by.
    """
    lit_up = light[light > 0]
    if not (len(lit_up) and np.isfinite(light).all()):
        raise DataError(
            "the prior cannot be used without light",
            expected="finite numbers of photons, some above 0",
            got=f"{len(lit_up)} pixels of {light.size} above 0",
        )
    return float(np.quantile(lit_up, 0.95))


def channels(
    image: np.ndarray, freer: np.ndarray, blocks: np.ndarray, sigma: np.ndarray
) -> np.ndarray:
    """(H, W, `CHANNELS`) float32 from images in the gauge, as `Gauged` holds them."""
    pull = (freer - image) / sigma
    planes = [image.real, image.imag]
    planes += [_PULL * np.clip(part, -_PULL_LIMIT, _PULL_LIMIT) for part in (pull.real, pull.imag)]
    planes += [np.log10(sigma) + 1.5, np.minimum(5 * sigma, 2.0)]
    for step in np.moveaxis((blocks - image[..., None]) / reach(sigma)[..., None], -1, 0):
        planes += [np.clip(part, -_STEP_LIMIT, _STEP_LIMIT) for part in (step.real, step.imag)]
    return np.stack(planes, axis=-1).astype(np.float32)


def reach(sigma: np.ndarray) -> np.ndarray:
    """What one unit of the answer is: 0.2·√σ."""
    return ANSWER * np.sqrt(sigma)


def correction(gauged: Gauged, answer: np.ndarray) -> np.ndarray:
    """(H, W) complex64 in the estimate's own scale, from the answer (H, W, 2)."""
    step = reach(gauged.sigma) * (answer[..., 0] + 1j * answer[..., 1])
    return np.where(gauged.lit, step * gauged.unit, 0).astype(np.complex64)
