"""One update of object, probe modes and positions on the forward model of `ptycho.physics`.

Model of frame j, whose patch has its first pixel at the real-valued corner c_j of the canvas:

    o_j = patch of O at c_j;  Ψ_jk = D(P_k · o_j);  I_j = Σ_k |Ψ_jk|² + b

with b the background (one number a pixel) and D the way to the detector: F in the far field, a
propagation in the near field (`ptycho.physics.propagation`). Where O has layers, the wave goes
through each and over the gaps between them, and what stands below of o_j and P_k holds for the
patch of a layer and the wave in front of it; their steps are shared by the number of layers, since
layers without a distance answer for the same light.
Per frame the loss is Σ d_j (√I_j − √(y_j/d_j))² over the valid pixels, or half the Poisson
deviance; d_j is the dose of the frame: its share of the light, less where counts are held out. The
slope by the exit wave is χ = d_j·Dᴴ(Ψ·e) with the error e of
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
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ptycho.physics import (
    Optics,
    amplitude_error,
    back,
    backend,
    centring,
    from_detector,
    half_deviance,
    incoherent,
    on_detector,
    place,
    poisson_error,
    slopes,
    through,
    window,
)
from ptycho.quiet import ops
from ptycho.refinement.variation import prox


class State(NamedTuple):
    """What an update changes."""

    object: Any  # (H, W) complex64; layers: (L, H, W)
    object_velocity: Any  # like it
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
    optics: Optics = Optics()  # gaps between the layers, and the way to the detector


class Rates(NamedTuple):
    """Step sizes; scalars, so that changing them compiles nothing."""

    object: Any
    probe: Any
    object_momentum: Any
    probe_momentum: Any
    damping: Any
    positions: Any


def on_device(optics: Optics) -> Optics:
    """The transfer functions of `optics` in single precision, as tensors."""

    def tensor(transfer: Any) -> Any:
        return None if transfer is None else backend.tensor(np.asarray(transfer, np.complex64))

    return Optics(tuple(map(tensor, optics.gaps)), tensor(optics.detector))


def rates(
    by_object: float, by_probe: float, momentum: float, damping: float, positions: float
) -> Rates:
    """The same momentum for object and probe."""
    values = (by_object, by_probe, momentum, momentum, damping, positions)
    return Rates(*(backend.scalar(value, "float32") for value in values))


class Slopes(NamedTuple):
    """What a batch asks for, summed over its frames."""

    object: Any  # (H, W) or (L, H, W) complex64
    light: Any  # like it, float32
    probe: Any  # (K, N, N) complex64
    seen: Any  # (N, N) float32
    ratio: Any  # (N, N) float32, Σ_j d_j·y/I over valid pixels, for the background


class Seen(NamedTuple):
    """What was seen of the frames on the way, each over valid pixels."""

    residual: Any  # scalar, Σ d·|√I − √(y/d)|
    measured: Any  # scalar, Σ d·√(y/d)
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
    canvas, probe = ahead(state, rates)
    size, optics = int(probe.shape[-1]), detector.optics
    layers = _layers(canvas, batch, size, model.kernel)
    centred = centring(probe, size)
    fronts, far = _ways(layers, _modes(centred, batch.weights), optics)
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
    chi = [from_detector(_times(wave, error * dose), optics) for wave in far]

    # For each mode, the slope by the wave behind each layer.
    behind = [back(layers, wave, optics) for wave in chi]
    pulls = [
        _summed(ops.conj(front[k]) * wave[k] for front, wave in zip(fronts, behind, strict=True))
        for k in range(len(layers))
    ]
    lights = [power(probe) * dose]
    lights += [_summed(map(_square, fs)) * dose for fs in list(zip(*fronts, strict=True))[1:]]
    none = no_slopes(state)
    by_object = _placed(canvas, pulls, batch, model.kernel)
    lit, by_probe, by_light = none.light, none.probe, none.seen
    if model.light:
        # Two taps: an illumination has no sign, and a kernel of more taps would give it one.
        lit = _placed(canvas, lights, batch)
    if model.probe:
        by_probe, by_light = _on_the_probe(layers, [wave[0] for wave in behind], batch)
        by_probe = centring(by_probe, size)
    moves = grip = ops.zeros_like(batch.corners)
    if model.positions:
        moves, grip = _moves(canvas, lights, pulls, batch, size, model.kernel)
        moves = rates.positions * moves
    sway = _sways(centred, layers, chi[0], batch, optics)
    # Least squares in the amplitudes: (Σ √y √I / Σ I)².
    fits = ops.sum(valid * root * modelled, axis=(-2, -1))
    factor = ops.square(fits / (ops.sum(valid * intensity, axis=(-2, -1)) + 1e-30))
    ratio = ops.sum(dose * valid * counts / intensity, axis=0)
    measured = ops.sum(root * valid * dose)
    found = Slopes(by_object, lit, by_probe, by_light, ratio)
    return found, Seen(residual, measured, factor, moves, grip, sway)


def no_slopes(state: State) -> Slopes:
    """What `compiled_part` begins with."""
    light = ops.zeros_like(ops.real(state.object))
    seen = ops.zeros_like(ops.real(state.probe[0]))
    return Slopes(ops.zeros_like(state.object), light, ops.zeros_like(state.probe), seen, seen)


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
    state: State,
    origin: Any,
    light: Any,
    dual: Any,
    weight: Any,
    energy: Any,
    whole: Any,
    *,
    smooth: bool,
) -> tuple[State, Any]:
    """The end of a pass: total variation, and the gauge.

    Args:
        state: moved. origin: object before the pass.
        light: (H, W), illumination of the pass. dual: of the last prox.
        weight: of total variation in units of 1/(2·√(largest light)), the error that the counts
            leave in a lit pixel.
        energy: Σ|P|² that the probe keeps; the object takes the scale.
        whole: 1 after a pass over the whole scan at once, whose velocity is then that of the
            smoothed object; 0: the velocity stays.
        smooth: whether there is total variation at all.
    """
    image, velocity = state.object, state.object_velocity
    if smooth:
        image, dual = _smoothed(image, dual, weight / (2.0 * ops.sqrt(ops.max(light)) + 1e-30))
        velocity = ops.where(whole > 0, image - origin, velocity)
    scale = ops.sqrt(ops.sum(power(state.probe)) / energy)
    own = scale if len(image.shape) == 2 else scale ** (1.0 / int(image.shape[0]))
    fields = image, velocity, state.probe, state.probe_velocity
    scales = own, own, 1 / scale, 1 / scale
    return State(*(_times(f, s) for f, s in zip(fields, scales, strict=True))), dual


def apart(state: State, modes: int) -> State:
    """Eigenprobes without what they share with the first mode: V ← V − P_0·⟨P_0, V⟩/⟨P_0, P_0⟩.

    That is the light of a frame and its phase (`ptycho.refinement.eigenprobes`). It came back
    within three passes, and the light of frames went into the eigenprobes' weights.
    """
    first = state.probe[0]
    light = ops.sum(_square(first))

    def away(fields: Any) -> Any:
        varying = fields[modes:]
        shares = ops.sum(ops.conj(first) * varying, axis=(1, 2), keepdims=True)
        return ops.concatenate([fields[:modes], varying - first * _times(shares, 1.0 / light)])

    return state._replace(probe=away(state.probe), probe_velocity=away(state.probe_velocity))


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
    return incoherent(_fields(canvas, probe, batch, detector, kernel), detector.background)


def own_probes(state: State, batch: Batch, detector: Detector, kernel: str) -> Any:
    """(B, N, N) complex64: the step of the first mode that each frame asks for by itself."""
    side, optics = int(state.probe.shape[-1]), detector.optics
    layers = _layers(state.object, batch, side, kernel)
    _, far = _ways(layers, _modes(centring(state.probe, side), batch.weights), optics)
    counts = ops.maximum(batch.counts, 0.0) / ops.maximum(batch.dose[:, None, None], 1e-30)
    inside = incoherent(far, detector.background)
    error = amplitude_error(inside, ops.sqrt(counts), _valid(batch, detector))
    behind = back(layers, from_detector(_times(far[0], error), optics), optics)
    slope = ops.conj(layers[0]) * behind[0]
    seen = ops.mean(_passed(layers), axis=0)
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
def compiled_finish(*, smooth: bool) -> Callable[..., Any]:
    """`finish`, compiled."""
    return backend.jit(functools.partial(finish, smooth=smooth))


@functools.cache
def compiled_apart(modes: int) -> Callable[..., Any]:
    """`apart` behind so many modes, compiled."""
    return backend.jit(functools.partial(apart, modes=modes))


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


def _modes(centred: Any, weights: Any) -> list[Any]:
    """K modes (N, N), of which the first is (B, N, N) where it varies."""
    each = _each(weights)
    modes = int(centred.shape[0]) - len(each)
    first = centred[0]
    for n, weight in enumerate(each):
        first = first + _times(centred[modes + n], weight)
    return [first, *(centred[mode] for mode in range(1, modes))]


def _canvases(canvas: Any, batch: Batch) -> tuple[Any, Any]:
    """(L, H, W) canvases and (L, B, 2) corners on them."""
    if len(canvas.shape) == 2:
        return canvas[None], batch.corners[None]
    return canvas, ops.repeat(batch.corners[None], int(canvas.shape[0]), axis=0)


def _layers(canvas: Any, batch: Batch, side: int, kernel: str) -> list[Any]:
    """(B, N, N) patches of each layer."""
    found = window(*_canvases(canvas, batch), (side, side), inside=True, kernel=kernel)
    return [found[k] for k in range(int(found.shape[0]))]


def _placed(canvas: Any, patches: list[Any], batch: Batch, kernel: str = "bilinear") -> Any:
    """The adjoint of `_layers`, in the shape of `canvas`."""
    shape = (int(canvas.shape[-2]), int(canvas.shape[-1]))
    corners = _canvases(canvas, batch)[1]
    found = place(ops.stack(patches), corners, shape, inside=True, kernel=kernel)
    return found[0] if len(canvas.shape) == 2 else found


def _ways(layers: list[Any], modes: list[Any], optics: Optics) -> tuple[list[list[Any]], list[Any]]:
    """Of each mode the waves in front of each layer, and the field on the detector."""
    every = [through(layers, mode, optics) for mode in modes]
    return [fronts for fronts, _ in every], [on_detector(wave, optics) for _, wave in every]


def _fields(canvas: Any, probe: Any, batch: Batch, detector: Detector, kernel: str) -> list[Any]:
    """(B, N, N) field of each mode on the detector."""
    side = int(probe.shape[-1])
    modes = _modes(centring(probe, side), batch.weights)
    return _ways(_layers(canvas, batch, side, kernel), modes, detector.optics)[1]


def _passed(layers: list[Any]) -> Any:
    """(B, N, N): the share of the light that all layers let through, where they are thin."""
    share = _square(layers[0])
    for layer in layers[1:]:
        share = share * _square(layer)
    return share


def _on_the_probe(layers: list[Any], waves: list[Any], batch: Batch) -> tuple[Any, Any]:
    """Over all frames Σ ō·χ (K + E, N, N), from the slopes χ (B, N, N) by the K first waves, and
    Σ d·|o|² (N, N)."""
    varying = _each(batch.weights)
    doses = [batch.dose[:, None, None], *varying]

    def of_frames(*planes: Any) -> tuple[Any, ...]:
        numbers, planes = planes[: len(doses)], planes[len(doses) :]
        dose, *weights = numbers
        fields = [backend.joined(planes[k : k + 2]) for k in range(0, len(planes), 2)]
        image, pulls = fields[: len(layers)], fields[len(layers) :]
        each = [ops.conj(image[0]) * pull for pull in pulls]
        each += [_times(each[0], weight) for weight in weights]
        return (*(plane for one in each for plane in backend.planes(one)), _passed(image) * dose)

    parts = (plane for field in (*layers, *waves) for plane in backend.planes(field))
    *found, light = backend.summed(of_frames, *doses, *parts)
    by_probe = [backend.joined((re, im)) for re, im in zip(found[::2], found[1::2], strict=True)]
    return ops.stack(by_probe), light


def _summed(terms: Iterable[Any]) -> Any:
    total, *rest = terms
    for term in rest:
        total = total + term
    return total


def _smoothed(image: Any, dual: Any, weight: Any) -> tuple[Any, Any]:
    """`prox` of each layer."""
    if len(image.shape) == 2:
        return prox(image, dual, weight)
    every = [prox(image[k], dual[k], weight) for k in range(int(image.shape[0]))]
    images, duals = zip(*every, strict=True)
    return ops.stack(images), ops.stack(duals)


def _sways(centred: Any, layers: list[Any], wave: Any, batch: Batch, optics: Optics) -> Any:
    """(B, E): Gauss–Newton steps of the weights, from the slope (B, N, N) of the first wave."""
    if batch.weights is None:
        return None
    steps, count = [], int(batch.weights.shape[-1])
    for eigenprobe in range(int(centred.shape[0]) - count, int(centred.shape[0])):
        along = through(layers, centred[eigenprobe], optics)[1]
        re, im = (a * b for a, b in zip(backend.planes(along), backend.planes(wave), strict=True))
        light = ops.sum(_square(along), axis=(1, 2)) * batch.dose
        steps.append(-ops.sum(re + im, axis=(1, 2)) / (light + 1e-30))
    return ops.stack(steps, axis=1)


def _valid(batch: Batch, detector: Detector) -> Any:
    return detector.mask * ops.cast(batch.counts >= 0, "float32")


def ahead(state: State, rates: Rates) -> tuple[Any, Any]:
    """Object and probe where the momentum takes them: there the slopes are asked for."""
    return (
        state.object + _times(state.object_velocity, rates.object_momentum),
        state.probe + _times(state.probe_velocity, rates.probe_momentum),
    )


def _moves(
    canvas: Any, lights: list[Any], pulls: list[Any], batch: Batch, side: int, kernel: str
) -> tuple[Any, Any]:
    """Gauss–Newton steps (B, 2) of each frame's position, row and column apart; curvatures."""
    moves, grip = [], []
    every = _canvases(canvas, batch)
    for slope in slopes(*every, (side, side), inside=True, kernel=kernel):
        gradients, curvatures = [], []
        for k, (light, pull) in enumerate(zip(lights, pulls, strict=True)):
            re, im = backend.planes(slope[k])
            by_re, by_im = backend.planes(pull)
            gradients.append(ops.sum(re * by_re + im * by_im, axis=(1, 2)))
            curvatures.append(ops.sum(_square(slope[k]) * light, axis=(1, 2)))
        gradient, curvature = _summed(gradients), _summed(curvatures)
        moves.append(-gradient / (curvature + 1e-30))
        grip.append(curvature)
    return ops.stack(moves, axis=1), ops.stack(grip, axis=1)


def _damped(illumination: Any, damping: Any) -> Any:
    return (1.0 - damping) * illumination + damping * ops.max(illumination) + 1e-30


def _square(field: Any) -> Any:
    return sum(plane * plane for plane in backend.planes(field))


def _times(field: Any, real: Any) -> Any:
    return backend.joined(tuple(plane * real for plane in backend.planes(field)))
