"""The physics of a training step beside the Fourier transforms that it cannot do without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ptycho.config import Progress
from ptycho.physics import backend, diffract, extract, merge, poisson_deviance, stitch, translate
from ptycho.quiet import ops
from ptycho.studies.bench.timing import alternate

GROUPS, FRAMES, REACH = 16, 4, 7  # B, C and the largest offset in px


def measure_physics(
    *, sides: tuple[int, ...] = (64, 128), rounds: int = 15, progress: Progress | None = None
) -> dict[str, float]:
    """Milliseconds and ratios of the operators.

    Returns:
        For each N in `sides`: `physics_ms_N`, forward and gradient by the patches of merge,
        extract, diffract and deviance for 16 groups of 4; `fft_ms_N`, the Fourier transforms in
        it alone, forward and gradient, the faster of XLA and plain; `physics_over_fft_N`, their
        ratio. `translate_ms`: forward and gradient of 64 complex images of 78². `stitch_ms`:
        1000 patches of 64² onto 400².
    """
    found: dict[str, float] = {}
    stages = len(sides) + 1
    for number, side in enumerate(sides):
        times = alternate(_step(side), rounds=rounds, progress=_part(progress, number, stages))
        fft = min(times["fft_compiled"], times["fft_plain"])
        found[f"physics_ms_{side}"], found[f"fft_ms_{side}"] = times["physics"], fft
        found[f"physics_over_fft_{side}"] = times["physics"] / fft
    times = alternate(_moves(), rounds=rounds, progress=_part(progress, stages - 1, stages))
    return found | {"translate_ms": times["translate"], "stitch_ms": times["stitch"]}


def _part(progress: Progress | None, stage: int, stages: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total, info: progress(stage * total + done, stages * total, info)


def _step(side: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    shape = (GROUPS, FRAMES, side, side)
    offsets = backend.tensor(rng.uniform(-REACH, REACH, (GROUPS, FRAMES, 2)).astype(np.float32))
    patches, probe = backend.tensor(_field(rng, *shape)), backend.tensor(_field(rng, 1, side, side))
    counts = backend.tensor(rng.poisson(4.0, shape).astype(np.float32))
    power = sum(plane * plane for plane in backend.planes(probe[0]))

    def loss(re: Any, im: Any, offsets: Any, probe: Any, counts: Any, power: Any) -> Any:
        canvas, _ = merge(backend.joined((re, im)), offsets, power + 1e-3, side + 2 * REACH)
        return poisson_deviance(diffract(extract(canvas, offsets, side), probe, 1e-3), counts)

    physics = backend.jit(_value_and_gradient(loss))
    arguments = (*backend.planes(patches), offsets, probe, counts, power)

    def transforms(field: Any, upstream: Any) -> Any:
        # A unitary transform and the one of its gradient, which has the same cost.
        return backend.fft2(field), backend.fft2(upstream)

    both = backend.jit(transforms)
    plain = _plain(transforms)
    upstream = backend.tensor(_field(rng, *shape))
    return {
        "physics": lambda: physics(*arguments),
        "fft_compiled": lambda: both(patches, upstream),
        "fft_plain": lambda: plain(patches, upstream),
    }


def _moves() -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(1)
    images = backend.planes(backend.tensor(_field(rng, 64, 78, 78)))
    shifts = backend.tensor(rng.uniform(-REACH, REACH, (64, 2)).astype(np.float32))
    weight = backend.tensor(rng.normal(size=(2, 64, 78, 78)).astype(np.float32))

    def moved(re: Any, im: Any, shifts: Any, weight: Any) -> Any:
        out = backend.planes(translate(backend.joined((re, im)), shifts))
        return ops.sum(weight[0] * out[0]) + ops.sum(weight[1] * out[1])

    patches, power = backend.tensor(_field(rng, 1000, 64, 64)), rng.uniform(0.1, 1, (64, 64))
    positions = backend.tensor(rng.uniform(32, 367, (1000, 2)).astype(np.float32))
    weights = backend.tensor(power.astype(np.float32))
    stitched = backend.jit(
        lambda patches, positions, weights: stitch(
            patches, positions, weights, shape=(400, 400), origin_px=(0, 0)
        )
    )
    translated = backend.jit(_value_and_gradient(moved))
    return {
        "translate": lambda: translated(*images, shifts, weight),
        "stitch": lambda: stitched(patches, positions, weights),
    }


def _field(rng: np.random.Generator, *shape: int) -> Any:
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A graph without XLA where there is such a thing."""
    if backend.name() != "tensorflow":
        return backend.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=False, autograph=False)  # type: ignore[no-any-return]


def _value_and_gradient(loss: Callable[..., Any]) -> Callable[..., Any]:
    """(value, gradients by the first two arguments) of a scalar function."""
    if backend.name() == "jax":
        import jax

        return jax.value_and_grad(loss, argnums=(0, 1))  # type: ignore[no-any-return]
    if backend.name() == "torch":
        return _torch_value_and_gradient(loss)
    import tensorflow as tf

    def both(*arguments: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(arguments[:2])
            value = loss(*arguments)
        return value, tape.gradient(value, arguments[:2])

    return both


def _torch_value_and_gradient(loss: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    def both(*arguments: Any) -> Any:
        leaves = [each.detach().requires_grad_() for each in arguments[:2]]
        value = loss(*leaves, *arguments[2:])
        return value, torch.autograd.grad(value, leaves)

    return both
