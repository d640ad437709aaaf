"""The untrained estimate: K accelerated physics steps on each group by itself.

It is a method of its own (`ptycho reconstruct --untrained K`), the control that every network is
printed beside, and the input of the default network. Each group of C frames has one canvas,
started at the constant that explains its mean count. A step goes, from the look-ahead point
Y = O_k + k/(k+3)·(O_k − O_{k−1}), down the amplitude loss Σ(√I − √y)², preconditioned by the
illumination (the ePIE family of updates with Nesterov's momentum):

    Ψ = F[P·extract(Y)],  I = Σ_modes|Ψ|² + b,  χ = F⁻¹[Ψ·(1 − √y/√I)]
    O_{k+1} = Y − place(Σ_modes P̄·χ) / (place(Σ_modes|P|²) + ε·max)

Nothing couples the groups: the estimate of a group does not depend on its batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from ptycho.errors import ShapeError, UsageError
from ptycho.physics import backend
from ptycho.physics.checks import require_rank, require_same, square_side
from ptycho.physics.patches import extract
from ptycho.physics.translation import place

FEATURES = ("real", "imag", "step real", "step imag", "illumination")
EPSILON = 0.05


def group_estimate(
    counts: Any,
    offsets: Any,
    probe: Any,
    *,
    steps: int,
    canvas_size: int,
    mask: Any = None,
    background: float = 1e-3,
) -> Any:
    """K physics steps on each group, compiled.

    Args:
        counts: (B, C, N, N) photons, DC-centred.
        offsets: (B, C, 2) px (row, col), position − group centre.
        probe: (K, N, N) complex64; Σ|P|² = photons of a frame where the object is 1.
        steps: K ≥ 1.
        canvas_size: P, side of the square canvas in pixels.
        mask: (N, N), 1 where the detector counts; None: everywhere.
        background: b, counts per pixel.

    Returns:
        (B, P, P, 5) float32, the channels `FEATURES`: the canvas, its last step, and the
        illumination as a share of its largest value in the group.

    Raises:
        ShapeError: arrays that do not fit; UsageError: fewer than one step.
    """
    if steps < 1:
        raise UsageError(
            "the untrained estimate needs at least one step",
            where="steps",
            expected=">= 1",
            got=steps,
        )
    counts, offsets, probe = (backend.tensor(array) for array in (counts, offsets, probe))
    _check(counts, offsets, probe)
    size = square_side("counts", counts)
    valid = np.ones((size, size), np.float32) if mask is None else np.asarray(mask, np.float32)
    start, step, pack = _compiled(int(canvas_size), float(background))
    canvas, *known = start(counts, offsets, probe, backend.tensor(valid))
    previous = canvas
    for k in range(steps):
        momentum = backend.tensor(np.float32(k / (k + 3.0)))
        canvas, previous = step(canvas, previous, momentum, offsets, probe, *known)
    return pack(canvas, previous, known[0])


def _check(counts: Any, offsets: Any, probe: Any) -> None:
    require_rank("counts", counts, "B C N N")
    require_rank("offsets", offsets, "B C 2")
    require_rank("probe", probe, "K N N")
    require_same("counts", counts, "offsets", offsets, 2, "give every frame its own offset")
    if square_side("probe", probe) != square_side("counts", counts):
        raise ShapeError(
            "probe and frames differ in size",
            where="probe, counts",
            expected=f"probe (K, {counts.shape[-2]}, {counts.shape[-1]})",
            got=f"probe {tuple(probe.shape)}",
        )


@functools.cache
def _compiled(canvas_size: int, background: float) -> tuple[Callable[..., Any], ...]:
    """(start, step, pack), compiled once for a canvas size; pure functions of their tensors."""
    size = (canvas_size, canvas_size)

    def add(patches: Any, offsets: Any) -> Any:
        side = int(patches.shape[-1])
        corners = ops.cast(offsets, "float32") + float(canvas_size // 2 - side // 2)
        return place(patches, corners, size, inside=True)  # as extract has made sure

    def start(counts: Any, offsets: Any, probe: Any, valid: Any) -> tuple[Any, ...]:
        counts = ops.cast(counts, "float32") * valid
        power = _power(probe)
        light = add(power + ops.zeros_like(counts), offsets)
        largest = ops.max(light, axis=(1, 2), keepdims=True)
        measured = ops.sum(counts, axis=(1, 2, 3)) / int(counts.shape[1])
        level = ops.sqrt(measured / ops.sum(power))[:, None, None] * ops.ones_like(light)
        canvas = backend.joined((level, ops.zeros_like(level)))
        amplitude = _corner_first(ops.sqrt(ops.maximum(counts, 0.0)))
        return canvas, light / (largest + 1e-30), largest, amplitude, _corner_first(valid)

    def step(
        canvas: Any, previous: Any, momentum: Any, offsets: Any, probe: Any,
        light: Any, largest: Any, amplitude: Any, valid: Any,
    ) -> tuple[Any, Any]:  # fmt: skip
        ahead = canvas + _complex(momentum) * (canvas - previous)
        patches = extract(ahead, offsets, int(amplitude.shape[-1]))
        pull = _pull(patches, probe, amplitude, valid, background)
        share = 1.0 / (largest * (light + EPSILON))
        return ahead - _times(add(pull, offsets), share), canvas

    def pack(canvas: Any, previous: Any, light: Any) -> Any:
        planes = (*backend.planes(canvas), *backend.planes(canvas - previous), light)
        return ops.stack(planes, axis=-1)

    return backend.jit(start), backend.jit(step), backend.jit(pack)


def _pull(patches: Any, probe: Any, amplitude: Any, valid: Any, background: float) -> Any:
    """Σ_modes P̄·χ, half the gradient of the amplitude loss by the conjugate of each patch."""
    modes = [backend.fft2(patches * probe[k]) for k in range(int(probe.shape[0]))]
    intensity: Any = background
    for far in modes:
        intensity = intensity + sum(plane * plane for plane in backend.planes(far))
    factor = valid * (1.0 - amplitude / ops.sqrt(intensity))
    pull: Any = 0.0
    for k, far in enumerate(modes):
        pull = pull + ops.conj(probe[k]) * _ifft2(_times(far, factor))
    return pull


def _power(probe: Any) -> Any:
    return ops.sum(sum(plane * plane for plane in backend.planes(probe)), axis=0)


def _ifft2(field: Any) -> Any:
    """Unitary inverse: F⁻¹(x) = conj(F(conj x))."""
    return ops.conj(backend.fft2(ops.conj(field)))


def _times(field: Any, real: Any) -> Any:
    return backend.joined(tuple(plane * real for plane in backend.planes(field)))


def _complex(real: Any) -> Any:
    return backend.joined((real, ops.zeros_like(real)))


def _corner_first(image: Any) -> Any:
    """DC-centred → DC in the corner, the layout of an FFT."""
    half = int(image.shape[-1]) // 2
    return ops.roll(image, (-half, -half), axis=(-2, -1))
