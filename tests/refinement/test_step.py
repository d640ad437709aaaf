"""The compiled update against a float64 oracle, and the oracle against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import refine_oracle as oracle

tf = pytest.importorskip("tensorflow")

from ptycho.refinement import step  # noqa: E402

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
    sign = step.checkerboard(N)
    state = step.State(
        tf.constant(canvas, tf.complex64),
        tf.constant(velocity * (canvas - 1), tf.complex64),
        tf.constant(probe * sign, tf.complex64),
        tf.constant(velocity * probe * sign, tf.complex64),
    )
    batch = step.Batch(*map(tf.constant, (amplitude, corners, fractions, dose)))
    return state, batch, tf.constant(mask), tf.constant(BACKGROUND, tf.float32)


def rates(object_=0.2, probe=0.1, momentum=0.9, damping=0.1, positions=0.0):
    values = (object_, probe, momentum, damping, positions)
    return step.Rates(*(tf.constant(v, tf.float32) for v in values))


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


@pytest.mark.parametrize("xla", [True, False])
def test_one_update_equals_the_formulas_in_float64(case, xla):
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    velocity, momentum, damping = 0.05, 0.9, 0.1
    state, batch, mask_, background = as_tensors(case, velocity)
    run = step.compile_update(positions=False, xla=xla)
    new, residual, _ = run(state, batch, rates(), mask_, background)

    ahead_canvas = canvas + momentum * velocity * (canvas - 1)
    ahead_probe = probe * (1 + momentum * velocity)
    arguments = (ahead_canvas, ahead_probe, corners, fractions, amplitude, dose, mask, BACKGROUND)
    grad_canvas, grad_probe, light, seen = oracle.gradients(*arguments)
    canvas_step = 0.2 * grad_canvas / ((1 - damping) * light + damping * light.max())
    probe_step = 0.1 * grad_probe / ((1 - damping) * seen + damping * seen.max())
    expected_canvas = canvas + momentum * velocity * (canvas - 1) - canvas_step
    expected_probe = probe * (1 + momentum * velocity) - probe_step
    sign = step.checkerboard(N)
    np.testing.assert_allclose(new.object.numpy(), expected_canvas, atol=3e-6)
    np.testing.assert_allclose(new.probe.numpy() * sign, expected_probe, atol=3e-5)
    np.testing.assert_allclose(new.object_velocity.numpy(), expected_canvas - canvas, atol=3e-6)

    expected = 0.0
    for j in range(B):
        far = oracle.far_fields(ahead_canvas, ahead_probe, corners[j], fractions[j])
        model = np.sqrt(np.sum(np.abs(far) ** 2, 0) + BACKGROUND)
        expected += dose[j] * np.sum(mask * np.abs(model - amplitude[j]))
    assert float(residual) == pytest.approx(expected, rel=1e-5)


def test_cut_and_paste_and_blend_and_spread_are_adjoint_pairs(case):
    _, _, corners, fractions, *_ = case
    rng = np.random.default_rng(2)
    x = rng.normal(size=SHAPE)
    y = rng.normal(size=(B, N, N))
    corner, fraction = tf.constant(corners), tf.constant(fractions, tf.float64)
    forward = step.blend(step.cut(tf.constant(x), corner, N + 1), fraction).numpy()
    windows = step.spread(tf.constant(y), fraction)[..., None]
    back = step.paste(windows, corner, SHAPE).numpy()[..., 0]
    left, right = np.sum(forward * y), np.sum(x * back)
    assert abs(left - right) <= 1e-10 * np.linalg.norm(forward) * np.linalg.norm(y)
    assert abs(left) > 1e-3


def test_position_slopes_are_the_derivative_of_the_patch(case):
    canvas, _, corners, fractions, *_ = case
    windows = step.cut(tf.constant(canvas), tf.constant(corners), N + 1)
    inside = np.clip(fractions, 0.05, 0.95).astype(np.float64)
    by_row, by_col = step.slopes(windows, tf.constant(inside))
    h = 1e-6
    for axis, analytic in ((0, by_row), (1, by_col)):
        shift = np.eye(2)[axis] * h
        up = step.blend(windows, tf.constant(inside + shift))
        down = step.blend(windows, tf.constant(inside - shift))
        np.testing.assert_allclose((up - down).numpy() / (2 * h), analytic.numpy(), atol=1e-8)


def test_position_steps_go_downhill(case):
    """The oracle's loss falls when every frame moves a little along its step."""
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    inside = np.clip(fractions, 0.2, 0.8)
    moved_case = (canvas, probe, corners, inside, amplitude, dose, mask)
    state, batch, mask_, background = as_tensors(moved_case)
    run = step.compile_update(positions=True, xla=True)
    _, _, moves = run(state, batch, rates(positions=1.0), mask_, background)
    moves = moves.numpy() * (1e-3 / np.abs(moves.numpy()).max(1, keepdims=True))
    for j in range(B):
        one = slice(j, j + 1)
        rest = (amplitude[one], dose[one], mask, BACKGROUND)
        before = oracle.loss(canvas, probe, corners[one], inside[one], *rest)
        after = oracle.loss(canvas, probe, corners[one], inside[one] + moves[one], *rest)
        assert after < before


def test_masked_pixels_cannot_be_felt(case):
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    poisoned = np.where(mask > 0, amplitude, 1e6).astype(np.float32)
    run = step.compile_update(positions=False)
    results = []
    for values in (amplitude, poisoned):
        changed = (canvas, probe, corners, fractions, values, dose, mask)
        state, batch, mask_, background = as_tensors(changed)
        results.append(run(state, batch, rates(), mask_, background)[0])
    np.testing.assert_array_equal(results[0].object.numpy(), results[1].object.numpy())
    np.testing.assert_array_equal(results[0].probe.numpy(), results[1].probe.numpy())


def test_scores_are_residual_and_half_deviance(case):
    canvas, probe, corners, fractions, amplitude, dose, mask = case
    counts = np.round(amplitude**2).astype(np.float32)
    state, _, mask_, background = as_tensors(case)
    sums = step.compile_scores()(
        state.object, state.probe, *map(tf.constant, (corners, fractions, counts, dose)),
        mask_, background,
    ).numpy()  # fmt: skip
    expected = np.zeros(3)
    for j in range(B):
        far = oracle.far_fields(canvas, probe, corners[j], fractions[j])
        model = dose[j] * (np.sum(np.abs(far) ** 2, 0) + BACKGROUND)
        y = counts[j].astype(np.float64)
        log = np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / model), 0)
        terms = (np.abs(np.sqrt(model) - np.sqrt(y)), np.sqrt(y), model - y + log)
        expected += [np.sum(mask * term) for term in terms]
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


def test_new_corners_compile_nothing_new(case):
    """With `tf.slice` XLA took the corners for constants and compiled again for each batch."""
    canvas, _probe, corners, _fractions, _amplitude, _dose, _mask = case
    run = tf.function(lambda canvas, corner: step.cut(canvas, corner, N + 1), jit_compile=True)
    plane = tf.constant(canvas, tf.complex64)
    for shift in range(3):
        moved = np.clip(corners - shift, 0, None)
        windows = run(plane, tf.constant(moved)).numpy()
        for window, (row, col) in zip(windows, moved, strict=True):
            np.testing.assert_array_equal(
                window, canvas.astype(np.complex64)[row : row + N + 1, col : col + N + 1]
            )
    program = run.experimental_get_compiler_ir(plane, tf.constant(corners))(stage="hlo")
    entry = program[program.index("ENTRY") :]
    assert f"s32[{B},2]" in entry and entry.count(" parameter(") == 2
