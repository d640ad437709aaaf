"""Gradients against finite differences in float64: fields, probe, and positions."""

import numpy as np
import physics_oracle as oracle
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from keras import ops
from physics_support import HAS_FLOAT64, complex_normal, gradient, numbers, tensor

from ptycho import physics

pytestmark = pytest.mark.skipif(
    not HAS_FLOAT64, reason="finite differences need float64, which JAX has switched off"
)
seeds = st.integers(0, 2**32 - 1)
quickly = settings(deadline=None, max_examples=8, derandomize=True, phases=[Phase.generate])
STEP = 1e-6


def directional(function, at, direction, step=STEP):
    """Central difference of an oracle's scalar along one direction."""
    return (function(at + step * direction) - function(at - step * direction)) / (2 * step)


def along(grad, direction):
    return np.vdot(grad, direction).real


@quickly
@given(seed=seeds, weighted=st.booleans())
def test_the_whole_chain_by_patches_probe_and_offsets(seed, weighted):
    """merge -> extract -> diffract -> deviance, against differences of the oracle chain."""
    rng = np.random.default_rng(seed)
    whole, fraction = rng.integers(-2, 2, (2, 3, 2)), rng.uniform(0.05, 0.95, (2, 3, 2))
    offsets, side = whole + fraction, 8 + 2 * 3
    patches = complex_normal(rng, 2, 3, 8, 8)
    probe = complex_normal(rng, 2, 8, 8)
    weights = rng.uniform(0.2, 1, (8, 8)) if weighted else None
    counts = rng.poisson(3.0, (2, 3, 8, 8)).astype(float)
    mask = rng.random((8, 8)) > 0.2

    def loss(patches, probe, offsets):
        canvas, _ = physics.merge(patches, offsets, weights, side)
        frames = physics.diffract(physics.extract(canvas, offsets, 8), probe, 0.1)
        return physics.poisson_deviance(frames, counts, mask)

    def reference(patches, probe, offsets):
        canvas, _ = oracle.merge(patches, offsets, weights, side)
        frames = oracle.diffract(oracle.extract(canvas, offsets, 8), probe, 0.1)
        return oracle.poisson_deviance(frames, counts, mask)

    value, grads = gradient(loss, patches, probe, offsets)
    assert value == pytest.approx(reference(patches, probe, offsets), rel=1e-9)
    arguments = [patches, probe, offsets]
    for index, (grad, at) in enumerate(zip(grads, arguments, strict=True)):
        direction = rng.normal(size=at.shape) * (1 if index == 2 else np.exp(1j * rng.random()))

        def only(moved, index=index):
            return reference(*[moved if k == index else a for k, a in enumerate(arguments)])

        expected = directional(only, at, direction)
        assert along(grad, direction) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@quickly
@given(seed=seeds, fraction=st.floats(0.05, 0.95))
def test_shift_gradient_of_translate_at_fractions(seed, fraction):
    rng = np.random.default_rng(seed)
    images, target = complex_normal(rng, 3, 6, 7), complex_normal(rng, 3, 6, 7)
    shifts = rng.integers(-3, 3, (3, 2)) + fraction

    def loss(s):
        return ops.sum(ops.abs(physics.translate(tensor(images), s) - tensor(target)) ** 2)

    _, (grad,) = gradient(loss, shifts)
    direction = rng.normal(size=shifts.shape)
    expected = directional(
        lambda s: np.sum(np.abs(oracle.translate(images, s) - target) ** 2), shifts, direction
    )
    assert along(grad, direction) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("axis", [0, 1], ids=["row", "col"])
def test_at_integers_the_derivative_is_the_right_hand_one(axis):
    rng = np.random.default_rng(4)
    images, weight = rng.normal(size=(1, 6, 6)), rng.normal(size=(1, 6, 6))
    for whole in (-2.0, 0.0, 1.0):
        shifts = np.full((1, 2), whole)

        def total(s):
            return np.sum(weight * oracle.translate(images, s).real)

        step = np.zeros((1, 2))
        step[0, axis] = 1e-3  # within one pixel the blend is exactly linear along an axis
        right = (total(shifts + step) - total(shifts)) / 1e-3
        left = (total(shifts) - total(shifts - step)) / 1e-3
        _, (grad,) = gradient(
            lambda s: ops.sum(tensor(weight) * physics.translate(tensor(images), s)), shifts
        )
        assert grad[0, axis] == pytest.approx(right, rel=1e-9)
        assert abs(right - left) > 1e-2  # the two differ here, so the test can tell them apart


@quickly
@given(seed=seeds)
def test_stitch_gradient_by_patches_and_positions(seed):
    rng = np.random.default_rng(seed)
    patches, weights = complex_normal(rng, 4, 6, 6), rng.uniform(0.2, 1, (6, 6))
    positions = rng.integers(4, 12, (4, 2)) + rng.uniform(0.05, 0.95, (4, 2))
    target = complex_normal(rng, 18, 18)

    def loss(patches, positions):
        found, _ = physics.stitch(patches, positions, weights, shape=(18, 18), origin_px=(0, 0))
        return ops.sum(ops.abs(found - tensor(target)) ** 2)

    def reference(patches, positions):
        found, _ = oracle.stitch(patches, positions, weights, (18, 18), (0, 0))
        return np.sum(np.abs(found - target) ** 2)

    value, (by_patches, by_positions) = gradient(loss, patches, positions)
    assert value == pytest.approx(reference(patches, positions), rel=1e-9)
    d = complex_normal(rng, 4, 6, 6)
    expected = directional(lambda p: reference(p, positions), patches, d)
    assert along(by_patches, d) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    d = rng.normal(size=positions.shape)
    expected = directional(lambda p: reference(patches, p), positions, d, 1e-7)
    assert along(by_positions, d) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("rate", [0.0, 1e-12, 1e-6, 1e-3, 0.49, 1.0, 1e6])
@pytest.mark.parametrize("counts", [0.0, 1.0, 1e5])
def test_deviance_and_its_gradient_are_finite_everywhere(rate, counts):
    for dtype in (np.float32, np.float64):
        rates = np.full((1, 2, 2), rate, dtype)
        value, (grad,) = gradient(
            lambda i, dtype=dtype: physics.poisson_deviance(i, np.full((1, 2, 2), counts, dtype)),
            rates,
        )
        assert np.isfinite(value)
        assert value >= 0
        assert np.isfinite(grad).all()
        if counts > rate:
            assert (grad < 0).all()  # too dark: always a way up, also from exactly zero
        if rate >= 1e-6:
            expected = (1 - counts / rate) / 4
            np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-7)


@quickly
@given(seed=seeds)
def test_deviance_gradient_by_counts(seed):
    rng = np.random.default_rng(seed)
    rate, counts = rng.uniform(0.5, 5, (1, 4, 4)), rng.uniform(0.5, 5, (1, 4, 4))
    _, (grad,) = gradient(lambda y: physics.poisson_deviance(tensor(rate), y), counts)
    d = rng.normal(size=counts.shape)
    expected = directional(lambda y: oracle.poisson_deviance(rate, y), counts, d)
    assert along(grad, d) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_masked_pixels_have_no_say():
    rate = np.array([[[1.0, 2.0], [np.nan, 0.0]]])
    counts, mask = np.ones((1, 2, 2)), np.array([[1, 1], [0, 0]], bool)
    value, (grad,) = gradient(lambda i: physics.poisson_deviance(i, counts, mask), rate)
    assert value == pytest.approx((0 + 2 - 1 - np.log(2)) / 2)
    assert grad[0, 1, 0] == 0
    assert grad[0, 1, 1] == 0
    assert numbers(tensor(grad))[0, 0, 1] == pytest.approx(0.25)
