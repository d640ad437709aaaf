"""One update of object, probe modes and positions on the forward model of `ptycho.physics`.

Model of frame j, whose patch has its first pixel at the real-valued corner c_j of the canvas:

    o_j = patch of O at c_j;  Ψ_jk = F(P_k · o_j);  I_j = Σ_k |Ψ_jk|² + b

with b the background (one number a pixel).
Per frame the loss is Σ d_j (√I_j − √(y_j/d_j))² over the valid pixels, or half the Poisson
deviance; d_j is the dose of the frame: its share of the light, less where counts are held out. The
slope by the exit wave is χ = d_j·F⁻¹(Ψ·e) with the error e of
`ptycho.physics.likelihood`. Object and probe move against it, divided by the illumination that
each pixel got in this batch (a diagonal Gauss–Newton step, damped by α of its maximum), with
Nesterov momentum:

    ΔO = −β_O · place(Σ_k P̄_k χ_k) / [(1−α)·place(d_j·Σ_k|P_k|²) + α·max]
    ΔP = −β_P · Σ_j ō_j χ_jk      / [(1−α)·Σ_j d_j·|o_j|²       + α·max]

A batch may come in parts, side by side: `contribute` sums the slopes of one, `apply` moves the
state, `finish` ends a pass with total variation and the gauge. Written in `keras.ops`; each is one
program of the backend (`ptycho.physics.backend.jit`).

A probe that varies from frame to frame (orthogonal probe relaxation) has E eigenprobes V_n behind
its modes, and a real weight a_jn a frame: the first mode of frame j is P_0 + Σ_n a_jn V_n. The
weights have mean 0 and mean square 1 (`ptycho.refinement.eigenprobes`), so that Σ|V_n|² is the
light of the variation, the mean illumination is that of all entries added, and an eigenprobe takes
the step of a mode.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from ptycho.physics import (
    amplitude_error,
    backend,
    centring,
    exit_waves,
    half_deviance,
    incoherent,
    place,
    poisson_error,
    slopes,
    window,
)
from ptycho.quiet import ops
from ptycho.refinement.variation import prox


class State(NamedTuple):
    """What an update changes."""

    object: Any  # (H, W) complex64
    object_velocity: Any  # (H, W) complex64
    probe: Any  # (K + E, N, N) complex64: modes, then eigenprobes
    probe_velocity: Any  # (K + E, N, N) complex64


class Batch(NamedTuple):
    """Some frames."""

    counts: Any  # (B, N, N) float32; negative: no measurement in this frame
    corners: Any  # (B, 2) float32, where on the canvas pixel [0, 0] of the patch lies
    dose: Any  # (B,) float32; 0: a frame that only fills the batch up
    weights: Any = None  # (B, E) float32, of the eigenprobes; None: there are none


class Detector(NamedTuple):
    """What the frames have in common."""

    mask: Any  # (N, N) float32, 1 where it counts
    background: Any  # (N, N) float32, counts per pixel


class Rates(NamedTuple):
    """Step sizes; scalars, so that changing them compiles nothing."""

    object: Any
    probe: Any
    object_momentum: Any
    probe_momentum: Any
    damping: Any
    positions: Any


class Slopes(NamedTuple):
    """What a batch asks for, summed over its frames."""

    object: Any  # (H, W) complex64
    light: Any  # (H, W) float32
    probe: Any  # (K, N, N) complex64
    seen: Any  # (N, N) float32


class Seen(NamedTuple):
    """What was seen of the frames on the way, each over valid pixels."""

    residual: Any  # scalar, Σ d·|√I − √(y/d)|
    measured: Any  # scalar, Σ d·√(y/d)
    ratio: Any  # (N, N), Σ_j y/I
    light: Any  # (B,), the factor on each frame's light that explains its counts best
    moves: Any  # (B, 2), position steps in px
    grip: Any  # (B, 2), curvature of the loss by the position: how much a step is worth
    sway: Any  # (B, E), steps of the weights of the eigenprobes, or None


class Model(NamedTuple):
    """What is compiled into the program."""

    kernel: str = "bilinear"
    loss: str = "amplitude"
    positions: bool = False
    probe: bool = True  # whether its slope is wanted
    light: bool = True  # whether the illumination of the object is wanted


def contribute(
    state: State, batch: Batch, rates: Rates, detector: Detector, model: Model
) -> tuple[Slopes, Seen]:
    """The slopes of a batch at the look-ahead point of the momentum."""
    canvas, probe = _ahead(state, rates)
    size = (int(probe.shape[-1]),) * 2
    centred = centring(probe, size[0])
    corners = batch.corners[None]
    patches = window(canvas[None], corners, size, inside=True, kernel=model.kernel)[0]
    first, others = _modes(centred, batch.weights)
    far = [backend.fft2(wave) for wave in _waves(patches, first, others)]
    dose = batch.dose[:, None, None]
    intensity = incoherent(far, detector.background)
    valid = _valid(batch, detector)
    counts = ops.maximum(batch.counts, 0.0) / ops.maximum(dose, 1e-30)
    root, modelled = ops.sqrt(counts), ops.sqrt(intensity)
    if model.loss == "poisson":
        error = poisson_error(intensity, counts, valid)
    else:
        error = amplitude_error(intensity, root, valid)
    residual = ops.sum(ops.abs(modelled - root) * valid * dose)
    chi = [backend.ifft2(_times(wave, error * dose)) for wave in far]

    pull = ops.conj(first) * chi[0]
    for k, wave in enumerate(chi[1:]):
        pull = pull + ops.conj(others[k]) * wave
    light = power(probe) * dose
    shape = (int(canvas.shape[0]), int(canvas.shape[1]))
    none = no_slopes(state)
    by_object = place(pull[None], corners, shape, inside=True, kernel=model.kernel)[0]
    lit, by_probe, by_light = none.light, none.probe, none.seen
    if model.light:
        # Two taps: an illumination has no sign, and a kernel of more taps would give it one.
        lit = place(light[None], corners, shape, inside=True)[0]
    if model.probe:
        back = [ops.conj(patches) * wave for wave in chi]
        back += [_times(back[0], weight) for weight in _each(batch.weights)]
        by_probe = ops.stack([ops.sum(each, axis=0) for each in back])
        by_probe, by_light = centring(by_probe, size[0]), ops.sum(_square(patches) * dose, axis=0)
    moves = grip = ops.zeros_like(batch.corners)
    if model.positions:
        moves, grip = _moves(canvas, light, pull, batch, size, model.kernel)
        moves = rates.positions * moves
    sway = _sways(centred, patches, chi[0], batch)
    found = Slopes(by_object, lit, by_probe, by_light)
    # Least squares in the amplitudes: (Σ √y √I / Σ I)².
    fits = ops.sum(valid * root * modelled, axis=(-2, -1))
    factor = ops.square(fits / (ops.sum(valid * intensity, axis=(-2, -1)) + 1e-30))
    ratio = ops.sum(dose * valid * counts / intensity, axis=0)
    measured = ops.sum(root * valid * dose)
    return found, Seen(residual, measured, ratio, factor, moves, grip, sway)


def no_slopes(state: State) -> Slopes:
    """What `compiled_part` begins with."""
    light = ops.zeros_like(ops.real(state.object))
    seen = ops.zeros_like(ops.real(state.probe[0]))
    return Slopes(ops.zeros_like(state.object), light, ops.zeros_like(state.probe), seen)


def apply(state: State, found: Slopes, rates: Rates) -> State:
    """Move object and probe against the summed slopes."""
    by_object = _times(found.object, rates.object / _damped(found.light, rates.damping))
    by_probe = _times(found.probe, rates.probe / _damped(found.seen, rates.damping))
    canvas_velocity = _times(state.object_velocity, rates.object_momentum) - by_object
    probe_velocity = _times(state.probe_velocity, rates.probe_momentum) - by_probe
    return State(
        state.object + canvas_velocity,
        canvas_velocity,
        state.probe + probe_velocity,
        probe_velocity,
    )


def finish(
    state: State, origin: Any, light: Any, dual: Any, weight: Any, energy: Any, *, smooth: bool
) -> tuple[State, Any]:
    """The end of a pass: total variation, and the gauge.

    Args:
        state: moved. origin: object before a whole-scan pass, so that the velocity is that of the
            smoothed object; None: the velocity stays.
        light: (H, W), illumination of the pass. dual: of the last prox.
        weight: of total variation in units of 1/(2·√(largest light)), the error that the counts
            leave in a lit pixel.
        energy: Σ|P|² that the probe keeps; the object takes the scale.
        smooth: whether there is total variation at all.
    """
    image, velocity = state.object, state.object_velocity
    if smooth:
        image, dual = prox(image, dual, weight / (2.0 * ops.sqrt(ops.max(light)) + 1e-30))
        velocity = velocity if origin is None else image - origin
    scale = ops.sqrt(ops.sum(power(state.probe)) / energy)
    fields = image, velocity, state.probe, state.probe_velocity
    scales = scale, scale, 1 / scale, 1 / scale
    return State(*(_times(f, s) for f, s in zip(fields, scales, strict=True))), dual


def scores(canvas: Any, probe: Any, batch: Batch, detector: Detector, kernel: str) -> Any:
    """Of each frame, valid pixels only: Σ|√I−√y|, Σ√y, Σ half-deviance, Σ of the model: (4, B).

    The model of the counts is d_j·I_j.
    """
    model = intensity(canvas, probe, batch, detector, kernel) * batch.dose[:, None, None]
    valid, counts = _valid(batch, detector), ops.maximum(batch.counts, 0.0)
    measured, deviance = ops.sqrt(counts), half_deviance(model, counts)
    sums = [ops.abs(ops.sqrt(model) - measured), measured, deviance, model]
    return ops.stack([ops.sum(ops.sum(item * valid, axis=-1), axis=-1) for item in sums])


def intensity(canvas: Any, probe: Any, batch: Batch, detector: Detector, kernel: str) -> Any:
    """(B, N, N) expected counts of the frames at full dose, DC-centred."""
    side = int(probe.shape[-1])
    corners, size = batch.corners[None], (side, side)
    patches = window(canvas[None], corners, size, inside=True, kernel=kernel)[0]
    waves = _waves(patches, *_modes(centring(probe, side), batch.weights))
    return incoherent((backend.fft2(wave) for wave in waves), detector.background)


def own_probes(state: State, batch: Batch, detector: Detector, kernel: str) -> Any:
    """(B, N, N) complex64: the step of the first mode that each frame asks for by itself."""
    side = int(state.probe.shape[-1])
    corners, size = batch.corners[None], (side, side)
    patches = window(state.object[None], corners, size, inside=True, kernel=kernel)[0]
    first, others = _modes(centring(state.probe, side), batch.weights)
    far = [backend.fft2(wave) for wave in _waves(patches, first, others)]
    counts = ops.maximum(batch.counts, 0.0) / ops.maximum(batch.dose[:, None, None], 1e-30)
    inside = incoherent(far, detector.background)
    error = amplitude_error(inside, ops.sqrt(counts), _valid(batch, detector))
    slope = ops.conj(patches) * backend.ifft2(_times(far[0], error))
    seen = ops.mean(_square(patches), axis=0)
    return centring(_times(slope, -1.0 / _damped(seen, 0.1)), side)


@functools.cache
def compiled_part(model: Model) -> Callable[..., Any]:
    """(state, batch, rates, detector, slopes so far) → slopes and `Seen`, compiled."""

    def part(state: State, batch: Batch, rates: Rates, detector: Detector, so_far: Slopes) -> Any:
        found, seen = contribute(state, batch, rates, detector, model)
        return Slopes(*(a + b for a, b in zip(so_far, found, strict=True))), seen

    return backend.jit(part)


@functools.cache
def compiled_apply() -> Callable[..., Any]:
    """`apply`, compiled."""
    return backend.jit(apply)


@functools.cache
def compiled_finish(*, smooth: bool, whole: bool) -> Callable[..., Any]:
    """`finish`, compiled; without `whole` the object before the pass is not asked for."""

    def end(state: State, *rest: Any) -> Any:
        rest = rest if whole else (None, *rest)
        return finish(state, *rest, smooth=smooth)

    return backend.jit(end)


@functools.cache
def compiled_scores(kernel: str) -> Callable[..., Any]:
    """`scores` with one kernel, compiled."""
    return backend.jit(functools.partial(scores, kernel=kernel))


@functools.cache
def compiled_own_probes(kernel: str) -> Callable[..., Any]:
    """`own_probes` with one kernel, compiled."""
    return backend.jit(functools.partial(own_probes, kernel=kernel))


def power(probe: Any) -> Any:
    """(N, N): the light of all modes (K, N, N)."""
    return ops.sum(_square(probe), axis=0)


def _each(weights: Any) -> list[Any]:
    """The E weights (B, 1, 1) of the frames."""
    if weights is None:
        return []
    return [weights[:, n, None, None] for n in range(int(weights.shape[-1]))]


def _modes(centred: Any, weights: Any) -> tuple[Any, Any]:
    """The first mode, (N, N) or where it varies (B, N, N), and the other modes (K − 1, N, N)."""
    each = _each(weights)
    modes = int(centred.shape[0]) - len(each)
    first = centred[0]
    for n, weight in enumerate(each):
        first = first + _times(centred[modes + n], weight)
    return first, centred[1:modes]


def _waves(patches: Any, first: Any, others: Any) -> list[Any]:
    return [patches * first, *exit_waves(patches, others)]


def _sways(centred: Any, patches: Any, wave: Any, batch: Batch) -> Any:
    """(B, E): Gauss–Newton steps of the weights, from the slope (B, N, N) of the first wave."""
    if batch.weights is None:
        return None
    steps, count = [], int(batch.weights.shape[-1])
    for eigenprobe in range(int(centred.shape[0]) - count, int(centred.shape[0])):
        along = patches * centred[eigenprobe]
        re, im = (a * b for a, b in zip(backend.planes(along), backend.planes(wave), strict=True))
        light = ops.sum(_square(along), axis=(1, 2)) * batch.dose
        steps.append(-ops.sum(re + im, axis=(1, 2)) / (light + 1e-30))
    return ops.stack(steps, axis=1)


def _valid(batch: Batch, detector: Detector) -> Any:
    return detector.mask * ops.cast(batch.counts >= 0, "float32")


def _ahead(state: State, rates: Rates) -> tuple[Any, Any]:
    return (
        state.object + _times(state.object_velocity, rates.object_momentum),
        state.probe + _times(state.probe_velocity, rates.probe_momentum),
    )


def _moves(
    canvas: Any, light: Any, pull: Any, batch: Batch, size: Any, kernel: str
) -> tuple[Any, Any]:
    """Gauss–Newton steps (B, 2) of each frame's position, row and column apart; curvatures."""
    moves, grip = [], []
    for slope in slopes(canvas[None], batch.corners[None], size, inside=True, kernel=kernel):
        re, im = backend.planes(slope[0])
        by_re, by_im = backend.planes(pull)
        gradient = ops.sum(re * by_re + im * by_im, axis=(1, 2))
        curvature = ops.sum(_square(slope[0]) * light, axis=(1, 2))
        moves.append(-gradient / (curvature + 1e-30))
        grip.append(curvature)
    return ops.stack(moves, axis=1), ops.stack(grip, axis=1)


def _damped(illumination: Any, damping: Any) -> Any:
    return (1.0 - damping) * illumination + damping * ops.max(illumination) + 1e-30


def _square(field: Any) -> Any:
    return sum(plane * plane for plane in backend.planes(field))


def _times(field: Any, real: Any) -> Any:
    return backend.joined(tuple(plane * real for plane in backend.planes(field)))
