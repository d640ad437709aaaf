"""One mini-batch update of object, probe modes and positions, compiled as a whole.

Model of frame j with integer corner and fractional offset (fr, fc) in [0, 1):

    o_j = bilinear patch of O;  Ψ_jk = F(P_k · o_j) (unitary);  I_j = Σ_k |Ψ_jk|² + b

Amplitude loss Σ d_j (√I_j − √(y_j/d_j))² over the valid pixels, d_j the share of the dose that
frame j is fitted to (below 1 only where counts are held out). Its Wirtinger gradient with respect
to the exit wave is d_j · F⁻¹(Ψ · (1 − √(y/d)/√I)) = d_j χ; object and probe move against it,
divided by the illumination that each pixel got in this batch (a diagonal Gauss–Newton step,
damped by `damping` of its maximum), with Nesterov momentum:

    ΔO = −β_O · place(Σ_k P̄_k χ_k) / [(1−α)·place(Σ_k|P_k|²) + α·max]
    ΔP = −β_P · Σ_j ō_j χ_jk      / [(1−α)·Σ_j |o_j|²       + α·max]

Detector planes are DC-centred without a roll: for even N the sign pattern (−1)^(r+c) on the exit
wave moves the zero frequency to the centre, so the probe is kept multiplied by it (`checkerboard`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from keras import ops
from tensorflow.compiler.tf2xla.python.xla import dynamic_slice


class State(NamedTuple):
    """What an update changes; `probe` carries the checkerboard sign."""

    object: Any  # (H, W) complex64
    object_velocity: Any  # (H, W) complex64
    probe: Any  # (K, N, N) complex64
    probe_velocity: Any  # (K, N, N) complex64


class Batch(NamedTuple):
    """One mini-batch."""

    amplitude: Any  # (B, N, N) float32, √(counts / dose)
    corner: Any  # (B, 2) int32, canvas pixel of the patch's first row and column
    fraction: Any  # (B, 2) float32 in [0, 1)
    dose: Any  # (B,) float32 in (0, 1]


class Rates(NamedTuple):
    """Step sizes; scalars, so that changing them compiles nothing."""

    object: Any
    probe: Any
    momentum: Any
    damping: Any
    positions: Any


def checkerboard(n: int) -> np.ndarray:
    """(n, n) float32 of (−1)^(r+c): multiplied on a field, it centres its Fourier transform."""
    sign = 1.0 - 2.0 * (np.arange(n) % 2)
    return np.outer(sign, sign).astype(np.float32)


def _fft(fields: tf.Tensor) -> tf.Tensor:
    n = fields.shape[-1]
    return tf.signal.fft2d(fields) * tf.constant(1.0 / n, tf.complex64)


def _ifft(fields: tf.Tensor) -> tf.Tensor:
    n = fields.shape[-1]
    return tf.signal.ifft2d(fields) * tf.constant(float(n), tf.complex64)


def cut(canvas: tf.Tensor, corner: tf.Tensor, size: int) -> tf.Tensor:
    """(B, size, size) windows of `canvas` (H, W) at integer corners.

    `tf.slice` would make XLA treat the corners as constants and compile again for each batch
    (measured: 0.5 s a step instead of 12 ms), hence `dynamic_slice`.
    """
    count = corner.shape[0]

    def body(index: tf.Tensor, out: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        window = dynamic_slice(canvas, corner[index], [size, size])
        return index + 1, ops.slice_update(out, tf.stack([index, 0, 0]), window[None])

    start = (tf.constant(0), tf.zeros((count, size, size), canvas.dtype))
    return tf.while_loop(lambda index, _: index < count, body, start)[1]


def paste(windows: tf.Tensor, corner: tf.Tensor, shape: tuple[int, int]) -> tf.Tensor:
    """Sum windows (B, S, S, channels) onto a canvas (H, W, channels): the adjoint of `cut`."""
    count, size, _, channels = windows.shape

    def body(index: tf.Tensor, out: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        where = tf.concat([corner[index], [0]], 0)
        old = dynamic_slice(out, where, [size, size, channels])
        return index + 1, ops.slice_update(out, where, old + windows[index])

    start = (tf.constant(0), tf.zeros((*shape, channels), windows.dtype))
    return tf.while_loop(lambda index, _: index < count, body, start)[1]


def blend(windows: tf.Tensor, fraction: tf.Tensor) -> tf.Tensor:
    """(B, N+1, N+1) → (B, N, N): two-tap linear interpolation along each axis."""
    row, col = _weights(fraction, windows.dtype)
    windows = windows[:, :-1] * (1 - row) + windows[:, 1:] * row
    return windows[:, :, :-1] * (1 - col) + windows[:, :, 1:] * col


def spread(patches: tf.Tensor, fraction: tf.Tensor) -> tf.Tensor:
    """(B, N, N) → (B, N+1, N+1): the adjoint of `blend`."""
    row, col = _weights(fraction, patches.dtype)
    low, high = [[0, 0], [0, 0], [0, 1]], [[0, 0], [0, 0], [1, 0]]
    patches = tf.pad(patches * (1 - col), low) + tf.pad(patches * col, high)
    low, high = [[0, 0], [0, 1], [0, 0]], [[0, 0], [1, 0], [0, 0]]
    return tf.pad(patches * (1 - row), low) + tf.pad(patches * row, high)


def _weights(fraction: tf.Tensor, dtype: Any) -> tuple[tf.Tensor, tf.Tensor]:
    fraction = tf.cast(fraction, dtype)
    return fraction[:, 0, None, None], fraction[:, 1, None, None]


def slopes(windows: tf.Tensor, fraction: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Derivatives of `blend` with respect to (row, col) of the position; right-hand at integers."""
    row, col = _weights(fraction, windows.dtype)
    by_row = windows[:, 1:] - windows[:, :-1]
    by_row = by_row[:, :, :-1] * (1 - col) + by_row[:, :, 1:] * col
    by_col = windows[:, :, 1:] - windows[:, :, :-1]
    by_col = by_col[:, :-1] * (1 - row) + by_col[:, 1:] * row
    return by_row, by_col


def _power(fields: tf.Tensor) -> tf.Tensor:
    return tf.math.real(fields) ** 2 + tf.math.imag(fields) ** 2


def _damped(illumination: tf.Tensor, damping: tf.Tensor) -> tf.Tensor:
    floor = tf.reduce_max(illumination)
    return (1.0 - damping) * illumination + damping * floor + 1e-30


def intensity(
    canvas: tf.Tensor, probe: tf.Tensor, corner: tf.Tensor, fraction: tf.Tensor, background: Any
) -> tf.Tensor:
    """(B, N, N) expected counts, DC-centred if `probe` (K, N, N) carries the checkerboard."""
    patches = blend(cut(canvas, corner, probe.shape[-1] + 1), fraction)
    return tf.reduce_sum(_power(_fft(patches[:, None] * probe[None])), 1) + background


def update(
    state: State,
    batch: Batch,
    rates: Rates,
    mask: Any,
    background: Any,
    *,
    positions: bool,
    flux: bool = False,
) -> tuple[Any, ...]:
    """One step. Returns the new state, Σ|√I−√y| of the batch, and position steps (B, 2) in px.

    With `flux` also the factors (B,) of the light of each frame that explain its counts best:
    least squares in the amplitudes, (Σ √y √I / Σ I)².
    """
    momentum = tf.cast(rates.momentum, tf.complex64)
    canvas = state.object + momentum * state.object_velocity
    probe = state.probe + momentum * state.probe_velocity
    windows = cut(canvas, batch.corner, probe.shape[-1] + 1)
    patches = blend(windows, batch.fraction)
    far = _fft(patches[:, None] * probe[None])
    model = tf.sqrt(tf.reduce_sum(_power(far), 1) + background)
    # A negative amplitude stands where this frame has no measurement.
    valid = mask * tf.cast(batch.amplitude >= 0, tf.float32)
    error = valid * (1.0 - batch.amplitude / model) * batch.dose[:, None, None]
    residual = tf.reduce_sum(tf.abs(error) * model)
    chi = _ifft(far * tf.cast(error, tf.complex64)[:, None])

    canvas_step, probe_step = _steps(patches, probe, chi, batch, rates, state.object.shape)
    canvas_velocity = momentum * state.object_velocity - canvas_step
    probe_velocity = momentum * state.probe_velocity - probe_step
    new = State(
        state.object + canvas_velocity,
        canvas_velocity,
        state.probe + probe_velocity,
        probe_velocity,
    )
    moves = tf.zeros_like(batch.fraction)
    if positions:
        moves = _position_steps(windows, probe, chi, batch, rates)
    if not flux:
        return new, residual, moves
    fits = tf.reduce_sum(valid * tf.maximum(batch.amplitude, 0.0) * model, (1, 2))
    light = tf.square(fits / (tf.reduce_sum(valid * tf.square(model), (1, 2)) + 1e-30))
    return new, residual, moves, light


def _steps(
    patches: tf.Tensor, probe: tf.Tensor, chi: tf.Tensor, batch: Batch, rates: Rates, shape: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    gradient = spread(tf.reduce_sum(tf.math.conj(probe)[None] * chi, 1), batch.fraction)
    light = tf.reduce_sum(_power(probe), 0)[None] * batch.dose[:, None, None]
    stack = [tf.math.real(gradient), tf.math.imag(gradient), spread(light, batch.fraction)]
    placed = paste(tf.stack(stack, -1), batch.corner, tuple(shape))
    scale = rates.object / _damped(placed[..., 2], rates.damping)
    canvas_step = tf.complex(placed[..., 0] * scale, placed[..., 1] * scale)

    seen = tf.reduce_sum(_power(patches) * batch.dose[:, None, None], 0)
    scale = rates.probe / _damped(seen, rates.damping)
    probe_step = tf.reduce_sum(tf.math.conj(patches)[:, None] * chi, 0)
    return canvas_step, probe_step * tf.cast(scale, tf.complex64)[None]


def _position_steps(
    windows: tf.Tensor, probe: tf.Tensor, chi: tf.Tensor, batch: Batch, rates: Rates
) -> tf.Tensor:
    """Gauss–Newton steps of each frame's position, row and column apart."""
    light = tf.reduce_sum(_power(probe), 0)[None]
    pull = tf.reduce_sum(tf.math.conj(probe)[None] * chi, 1)
    moves = []
    for slope in slopes(windows, batch.fraction):
        gradient = tf.reduce_sum(tf.math.real(tf.math.conj(slope) * pull), (1, 2))
        curvature = tf.reduce_sum(_power(slope) * light, (1, 2)) * batch.dose
        moves.append(-rates.positions * gradient / (curvature + 1e-30))
    return tf.stack(moves, 1)


def scores(
    canvas: Any, probe: Any, corner: Any, fraction: Any, counts: Any, dose: Any, mask: Any, b: Any
) -> Any:
    """Σ|√I−√y|, Σ√y and the Poisson half-deviance Σ d of a batch, valid pixels only: (3,) float32.

    A negative count is no measurement.

    The half-deviance is y·(u − log1p u) with u = (I−y)/y, and I where y = 0: exact in float32.
    """
    model = intensity(canvas, probe, corner, fraction, b) * dose[:, None, None]
    lit = counts > 0
    safe = tf.where(lit, counts, 1.0)
    u = tf.maximum((model - safe) / safe, -1.0 + 1e-6)
    deviance = tf.where(lit, safe * (u - tf.math.log1p(u)), model)
    measured = tf.sqrt(tf.maximum(counts, 0.0))
    mask = mask * tf.cast(counts >= 0, tf.float32)
    sums = [tf.abs(tf.sqrt(model) - measured), measured, deviance]
    return tf.stack([tf.reduce_sum(item * mask) for item in sums])


@functools.cache  # scans of one shape share the program
def compile_update(*, positions: bool, flux: bool = False, xla: bool = True) -> Callable[..., Any]:
    """`update` as one compiled program."""

    def run(state: State, batch: Batch, rates: Rates, mask: Any, background: Any) -> Any:
        return update(state, batch, rates, mask, background, positions=positions, flux=flux)

    return tf.function(run, jit_compile=xla)


@functools.cache
def compile_scores(*, xla: bool = True) -> Callable[..., Any]:
    """`scores` as one compiled program."""
    return tf.function(scores, jit_compile=xla)
