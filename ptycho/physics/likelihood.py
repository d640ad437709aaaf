"""How likely counts are: the Poisson deviance in a form that keeps small differences in float32."""

from __future__ import annotations

from typing import Any

from ptycho.errors import ShapeError
from ptycho.physics import backend
from ptycho.physics.checks import require_same, shape_of
from ptycho.quiet import ops

# Below this rate (counts) the deviance goes on along its tangent: finite, with a finite slope.
RATE_FLOOR = 1e-6
RATIO_LIMIT = 20.0


def poisson_deviance(intensity: Any, counts: Any, mask: Any = None) -> Any:
    """Mean half-deviance over the valid pixels: y (u - log1p u) with u = (I - y) / y.

    It is zero for I = y and grows with -log likelihood; for y = 0 it is I. The textbook form
    I - y log I loses a rate change of 0.1 % in float32, this one keeps it. With a right model its
    expectation is about 1/2 for each pixel that counts well above one.

    Args:
        intensity: expected counts (..., N, N), real.
        counts: measured counts, same shape.
        mask: True (or 1) = valid; the shape of `counts`, or (N, N) for every frame.

    Returns:
        Scalar; finite, with a finite gradient, for every intensity >= 0.

    Raises:
        ShapeError: shapes that differ; both are named.
    """
    intensity = backend.field(intensity)
    dtype = backend.real_dtype(intensity)
    counts = ops.cast(backend.tensor(counts), dtype)
    rank = len(intensity.shape)
    if rank < 2:
        raise ShapeError(
            "counts come in frames",
            where="intensity, counts",
            expected="(..., N, N)",
            got=f"intensity {shape_of(intensity)}, counts {shape_of(counts)}",
        )
    require_same("intensity", intensity, "counts", counts, rank, "compare like with like")
    require_same("counts", counts, "intensity", intensity, len(counts.shape), "same axes")
    if mask is None:
        each = half_deviance(intensity, counts)
        return total(each) / total(ops.ones_like(each))  # keras' mean is float32 on PyTorch
    mask = ops.cast(backend.tensor(mask), dtype)
    if len(mask.shape) == 2 and shape_of(mask) == shape_of(counts)[-2:]:
        mask = mask + ops.zeros_like(counts)
    require_same("counts", counts, "mask", mask, rank, "one mask pixel per count")
    # Masked pixels may hold anything, NaN included: they are made equal before, not dropped after.
    valid, one = mask > 0, ops.ones_like(counts)
    each = half_deviance(ops.where(valid, intensity, one), ops.where(valid, counts, one))
    return total(each) / total(ops.cast(valid, dtype))


def amplitude_error(intensity: Any, amplitude: Any, valid: Any) -> Any:
    """1 − √(y/I) where `valid` is 1, else 0: the slope of Σ(√I − √y)² by a far field, over it.

    Args:
        intensity: I (..., N, N) > 0. amplitude: √y. valid: 0 or 1, (N, N).
    """
    return valid * (1.0 - amplitude / ops.sqrt(intensity))


def poisson_error(intensity: Any, counts: Any, valid: Any) -> Any:
    """½·(1 − y/I) where `valid` is 1, else 0: the slope of half the Poisson deviance likewise.

    The ratio y/I is cut at `RATIO_LIMIT`, since a pixel that a start leaves dark would pull alone.
    Near I = y both errors agree.
    """
    return valid * 0.5 * (1.0 - ops.minimum(counts / intensity, RATIO_LIMIT))


def total(each: Any) -> Any:
    """Sum of all entries (..., N, N): rows, then frames, then all.

    XLA on a CPU adds float32 one after another, and a hundred thousand equal small terms (dark
    pixels) are then rounded one way: 1e-5 of the sum. The factors keep it from merging the stages.
    """
    rows, cols = (int(side) for side in each.shape[-2:])
    lines = ops.sum(each, axis=-1) / cols
    return ops.sum(ops.sum(lines, axis=-1) / rows) * (rows * cols)


def half_deviance(intensity: Any, counts: Any) -> Any:
    """(..., N, N) half-deviance of each pixel, with its own derivative 1 - y / I."""

    def forward(rate: Any, y: Any) -> tuple[Any, ...]:
        safe = _at_least(rate, RATE_FLOOR)
        positive = ops.where(y > 0, y, ops.ones_like(y))
        u = (safe - positive) / positive
        near = u > -0.5  # log1p is exact near zero, the logarithm of the ratio far from it
        small = ops.log1p(ops.where(near, u, ops.zeros_like(u)))
        large = ops.log(ops.where(near, ops.ones_like(u), safe / positive))
        value = positive * (u - ops.where(near, small, large))
        value = value + (rate - safe) * (1.0 - positive / safe)
        return (ops.where(y > 0, value, rate),)

    def gradient(tensors: Any, upstream: Any) -> tuple[Any, ...]:
        rate, y = tensors
        safe = _at_least(rate, RATE_FLOOR)
        ratio = safe / ops.where(y > 0, y, ops.ones_like(y))
        by_counts = ops.where(y > 0, ops.log(1.0 / ratio), ops.zeros_like(y))
        return upstream[0] * (1.0 - y / safe), upstream[0] * by_counts

    return backend.with_gradient(forward, gradient)(intensity, counts)[0]


def _at_least(rate: Any, floor: float) -> Any:
    return ops.where(rate > floor, rate, ops.full_like(rate, floor))
