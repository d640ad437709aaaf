"""The compiled update against a float64 oracle, and the oracle against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import refine_oracle as oracle

from ptycho.physics import backend
from ptycho.physics.translation import window
from ptycho.refinement import step

N, B, K, SHAPE = 16, 6, 2, (40, 37)
BACKGROUND = 0.02


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    canvas = 1 + 0.2 * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
    y, x = np.indices((N, N)) - N / 2
    envelope = np.exp(-(x**2 + y**2) / 18) * 8
    probe = envelope * (1 + 0.3 * rng.normal(size=(K, N, N)) + 0.4j * rng.normal(size=(K, N, N)))
    corners = rng.integers(0, [SHAPE[0] - N, SHAPE[1] - N], (B, 2)).astype(np.int32)
    fractions = rng.random((B, 2)).astype(np.float32)
    fractions[0] = 0.0
    amplitude = np.sqrt(rng.poisson(4, (B, N, N))).astype(np.float32)
    dose = np.array([1, 0.5, 1, 1, 0.7, 1], np.float32)
    mask = (rng.random((N, N)) < 0.9).astype(np.float32)
    return canvas, probe, corners, fractions, amplitude, dose, mask


def as_tensors(case, velocity=0.0):
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    fields = (canvas, velocity * (canvas - 1), probe, velocity * probe)
    state = step.State(*(backend.tensor(field.astype(np.complex64)) for field in fields))
    at = (corners + fractions).astype(np.float32)
    arrays = (amplitude**2 * dose[:, None, None], at, dose)
    batch = step.Batch(*map(backend.tensor, arrays))
    background = np.full((N, N), BACKGROUND, np.float32)
    return state, batch, step.Detector(backend.tensor(mask), backend.tensor(background))


def rates(object_=0.2, probe=0.1, momentum=0.9, damping=0.1, positions=0.0):
    values = (object_, probe, momentum, momentum, damping, positions)
    return step.Rates(*(backend.scalar(v, "float32") for v in values))


def numbers(tensor):
    return np.asarray(backend.concrete(tensor))


def test_the_oracles_gradients_are_those_of_its_loss(case):
    canvas, probe, *rest = case
    grad_canvas, grad_probe, _, _ = oracle.gradients(canvas, probe, *rest, BACKGROUND)
    rng = np.random.default_rng(1)
    h = 1e-5
    for target, gradient in ((0, grad_canvas), (1, grad_probe)):
        direction = rng.normal(size=gradient.shape) + 1j * rng.normal(size=gradient.shape)
        moved = [[canvas, probe], [canvas, probe]]
        for sign, pair in zip((h, -h), moved, strict=True):
            pair[target] = pair[target] + sign * direction
        numeric = (
            oracle.loss(*moved[0], *rest, BACKGROUND) - oracle.loss(*moved[1], *rest, BACKGROUND)
        ) / (2 * h)
        analytic = 2 * np.sum(np.real(np.conj(direction) * gradient))
        assert numeric == pytest.approx(analytic, rel=1e-6)


@pytest.mark.parametrize("parts", [1, 3])
def test_one_update_equals_the_formulas_in_float64(case, parts):
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    velocity, momentum, damping = 0.05, 0.9, 0.1
    state, batch, detector = as_tensors(case, velocity)
    found, residual = step.no_slopes(state), 0.0
    for first in range(0, B, B // parts):
        some = step.Batch(*(each[first : first + B // parts] for each in batch[:3]))
        part = step.compiled_part(step.Model())
        found, seen = part(state, some, rates(), detector, found)
        residual = residual + float(seen.residual)
    new = step.compiled_apply()(state, found, rates())

    ahead_canvas = canvas + momentum * velocity * (canvas - 1)
    ahead_probe = probe * (1 + momentum * velocity)
    arguments = (ahead_canvas, ahead_probe, corners, fractions, amplitude, dose, mask, BACKGROUND)
    grad_canvas, grad_probe, light, seen = oracle.gradients(*arguments)
    canvas_step = 0.2 * grad_canvas / ((1 - damping) * light + damping * light.max())
    probe_step = 0.1 * grad_probe / ((1 - damping) * seen + damping * seen.max())
    expected_canvas = canvas + momentum * velocity * (canvas - 1) - canvas_step
    expected_probe = probe * (1 + momentum * velocity) - probe_step
    np.testing.assert_allclose(numbers(new.object), expected_canvas, atol=3e-6)
    np.testing.assert_allclose(numbers(new.probe), expected_probe, atol=3e-5)
    np.testing.assert_allclose(numbers(new.object_velocity), expected_canvas - canvas, atol=3e-6)

    expected = 0.0
    for j in range(B):
        far = oracle.far_fields(ahead_canvas, ahead_probe, corners[j], fractions[j])
        model = np.sqrt(np.sum(np.abs(far) ** 2, 0) + BACKGROUND)
        expected += dose[j] * np.sum(mask * np.abs(model - amplitude[j]))
    assert float(residual) == pytest.approx(expected, rel=1e-5)


def test_a_probe_that_varies_takes_the_slopes_of_each_frames_own_probe(case):
    """Two modes and one eigenprobe against the oracle, which is given the probe of each frame."""
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    rng = np.random.default_rng(2)
    shape = 0.3 * probe[:1] * (rng.normal(size=(1, N, N)) + 1j * rng.normal(size=(1, N, N)))
    weights = rng.normal(size=(B, 1)).astype(np.float32)
    state, batch, detector = as_tensors((canvas, np.concatenate([probe, shape]), *case[2:]))
    batch = batch._replace(weights=backend.tensor(weights))
    run = step.compiled_part(step.Model())
    found, told = run(state, batch, rates(), detector, step.no_slopes(state))

    by_object, by_modes, by_shape, sways = 0, 0, 0, np.zeros(B)
    for j in range(B):
        own = np.stack([probe[0] + weights[j, 0] * shape[0], probe[1]])
        some = (each[j : j + 1] for each in (corners, fractions, amplitude, dose))
        arguments = (canvas, own, *some, mask, BACKGROUND)
        grad_canvas, grad_probe, _, seen = oracle.gradients(*arguments)
        by_object, by_modes = by_object + grad_canvas, by_modes + grad_probe
        by_shape = by_shape + weights[j, 0] * grad_probe[0]
        light = np.sum(seen * np.abs(shape[0]) ** 2)
        sways[j] = -np.sum(np.real(np.conj(shape[0]) * grad_probe[0])) / light
    scale = np.abs(by_modes).max()
    np.testing.assert_allclose(
        numbers(found.object), by_object, atol=1e-5 * np.abs(by_object).max()
    )
    np.testing.assert_allclose(numbers(found.probe)[:K], by_modes, atol=1e-5 * scale)
    np.testing.assert_allclose(numbers(found.probe)[K], by_shape, atol=1e-5 * scale)
    np.testing.assert_allclose(numbers(told.sway)[:, 0], sways, rtol=1e-4, atol=1e-5)

    def loss(at: np.ndarray) -> np.ndarray:
        own = (np.stack([probe[0] + a * shape[0], probe[1]]) for a in at)
        parts = (corners, fractions, amplitude, dose)
        return np.array(
            [
                oracle.loss(canvas, each, *(part[j : j + 1] for part in parts), mask, BACKGROUND)
                for j, each in enumerate(own)
            ]
        )

    assert (loss(weights[:, 0] + 0.2 * sways) < loss(weights[:, 0])).all()
    mine = step.compiled_scores("bilinear")(state.object, state.probe, batch, detector)
    plain = step.compiled_scores("bilinear")(
        state.object, state.probe[:K], batch._replace(weights=None), detector
    )
    assert np.abs(numbers(mine)[3] / numbers(plain)[3] - 1).max() > 0.01, "judged by its own probe"


def test_position_steps_go_downhill(case):
    """The oracle's loss falls when every frame moves a little along its step."""
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    inside = np.clip(fractions, 0.2, 0.8)
    moved_case = (canvas, probe, corners, inside, amplitude, dose, mask)
    state, batch, detector = as_tensors(moved_case)
    run = step.compiled_part(step.Model(positions=True))
    nothing = step.no_slopes(state)
    moves = numbers(run(state, batch, rates(positions=1.0), detector, nothing)[1].moves)
    moves = moves * (1e-3 / np.abs(moves).max(1, keepdims=True))
    for j in range(B):
        one = slice(j, j + 1)
        rest = (amplitude[one], dose[one], mask, BACKGROUND)
        before = oracle.loss(canvas, probe, corners[one], inside[one], *rest)
        after = oracle.loss(canvas, probe, corners[one], inside[one] + moves[one], *rest)
        assert after < before


def test_masked_pixels_cannot_be_felt(case):
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    poisoned = np.where(mask > 0, amplitude, 1e6).astype(np.float32)
    run = step.compiled_part(step.Model())
    results = []
    for values in (amplitude, poisoned):
        changed = (canvas, probe, corners, fractions, values, dose, mask)
        state, batch, detector = as_tensors(changed)
        found, _ = run(state, batch, rates(), detector, step.no_slopes(state))
        results.append(step.compiled_apply()(state, found, rates()))
    np.testing.assert_array_equal(numbers(results[0].object), numbers(results[1].object))
    np.testing.assert_array_equal(numbers(results[0].probe), numbers(results[1].probe))


def test_scores_are_residual_and_half_deviance(case):
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    counts = np.round(amplitude**2).astype(np.float32)
    state, batch, detector = as_tensors(case)
    batch = batch._replace(counts=backend.tensor(counts))
    score = step.compiled_scores("bilinear")
    sums = numbers(score(state.object, state.probe, batch, detector)).sum(1)
    expected = np.zeros(4)
    for j in range(B):
        far = oracle.far_fields(canvas, probe, corners[j], fractions[j])
        model = dose[j] * (np.sum(np.abs(far) ** 2, 0) + BACKGROUND)
        y = counts[j].astype(np.float64)
        log = np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / model), 0)
        terms = (np.abs(np.sqrt(model) - np.sqrt(y)), np.sqrt(y), model - y + log, model)
        expected += [np.sum(mask * term) for term in terms]
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


@pytest.mark.skipif(backend.name() != "tensorflow", reason="concerns XLA under TensorFlow")
def test_new_corners_compile_nothing_new(case):
    """With `tf.slice` XLA took the corners for constants and compiled again for each batch."""
    state, batch, _ = as_tensors(case)
    read = backend.jit(lambda canvas, at: window(canvas, at, (N, N), inside=True))
    plane, at = state.object[None], batch.corners[None]
    read(plane, at)
    program = read.compiled.experimental_get_compiler_ir(plane, at)(stage="hlo")
    entry = program[program.index("ENTRY") :]
    assert f"f32[1,{B},2]" in entry and entry.count(" parameter(") == 2
