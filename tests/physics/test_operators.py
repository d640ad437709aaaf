"""Each operator against its float64 NumPy oracle, and the adjoint of each linear one."""

import numpy as np
import physics_oracle as oracle
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from physics_support import EXACT, complex_normal, gradient, numbers, real_part_of_product

from ptycho import physics
from ptycho.physics.translation import place

seeds = st.integers(0, 2**32 - 1)
quickly = settings(deadline=None, max_examples=15, derandomize=True, phases=[Phase.generate])


def groups(seed, n=8, reach=3.0, b=2, c=3):
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(-reach, reach, (b, c, 2))
    offsets[0, 0] = np.round(offsets[0, 0])  # an integer one among them
    return rng, offsets, physics.canvas_size_for(offsets, n)


def close(got, expected, tolerance=EXACT):
    got = numbers(got)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


@quickly
@given(seed=seeds, reach=st.sampled_from([0.0, 0.4, 3.0, 20.0]))
def test_translate_equals_the_oracle(seed, reach):
    rng = np.random.default_rng(seed)
    images, shifts = complex_normal(rng, 3, 9, 7), rng.uniform(-reach, reach, (3, 2))
    close(physics.translate(images, shifts), oracle.translate(images, shifts))


@pytest.mark.parametrize("n", [7, 8])
@quickly
@given(seed=seeds)
def test_extract_equals_the_oracle(n, seed):
    rng, offsets, side = groups(seed, n)
    canvas = complex_normal(rng, 2, side, side)
    close(physics.extract(canvas, offsets, n), oracle.extract(canvas, offsets, n))


@pytest.mark.parametrize("weighting", ["none", "shared", "each"])
@quickly
@given(seed=seeds)
def test_merge_equals_the_oracle(weighting, seed):
    rng, offsets, side = groups(seed)
    patches = complex_normal(rng, 2, 3, 8, 8)
    shape = {"none": None, "shared": (8, 8), "each": patches.shape}[weighting]
    weights = None if shape is None else rng.uniform(0.1, 2, shape)
    canvas, coverage = physics.merge(patches, offsets, weights, side)
    expected, expected_coverage = oracle.merge(patches, offsets, weights, side)
    close(coverage, expected_coverage)
    # Where coverage is a tiny remainder, a quotient of two tiny numbers is compared: looser.
    close(canvas, expected, 1e3 * EXACT)


@quickly
@given(seed=seeds, dtype=st.sampled_from(["complex128", "float64"]))
def test_stitch_equals_the_oracle(seed, dtype):
    rng = np.random.default_rng(seed)
    patches = complex_normal(rng, 5, 6, 6)
    patches = patches if dtype == "complex128" else patches.real
    positions, weights = rng.uniform(-4, 9, (5, 2)), rng.uniform(0.2, 1, (6, 6))
    shape, origin = (21, 23), (-8, -9)
    got, coverage = physics.stitch(patches, positions, weights, shape=shape, origin_px=origin)
    expected, expected_coverage = oracle.stitch(patches, positions, weights, shape, origin)
    close(coverage, expected_coverage)
    close(got, expected if dtype == "complex128" else expected.real, 1e3 * EXACT)


@pytest.mark.parametrize("n", [7, 8])
@quickly
@given(seed=seeds, modes=st.integers(1, 3), background=st.sampled_from([0.0, 0.25]))
def test_diffract_equals_the_oracle(n, seed, modes, background):
    rng = np.random.default_rng(seed)
    patches, probe = complex_normal(rng, 2, 3, n, n), complex_normal(rng, modes, n, n)
    close(physics.diffract(patches, probe, background), oracle.diffract(patches, probe, background))


def test_far_field_is_centred_and_keeps_the_photons():
    probe = np.full((1, 8, 8), 5.0 + 0j)
    frame = numbers(physics.diffract(np.ones((8, 8), complex), probe))
    assert frame[4, 4] == pytest.approx(64 * 25)
    assert frame.sum() == pytest.approx(64 * 25)
    ramp = np.exp(2j * np.pi * 3 * np.arange(8) / 8)[:, None] * np.ones(8)
    assert numbers(physics.diffract(ramp, probe))[4 + 3, 4] == pytest.approx(64 * 25)


@quickly
@given(seed=seeds, rate=st.sampled_from([1e-3, 0.3, 30.0, 1e5]), masked=st.booleans())
def test_deviance_equals_the_oracle(seed, rate, masked):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rate, (3, 8, 8)).astype(float)
    intensity = rate * rng.uniform(0.2, 3, counts.shape)
    mask = rng.random((8, 8)) > 0.4 if masked else None
    got = float(physics.poisson_deviance(intensity, counts, mask))
    assert got == pytest.approx(
        oracle.poisson_deviance(intensity, counts, mask), rel=max(EXACT, 1e-9)
    )


def test_deviance_keeps_a_rate_change_of_a_thousandth_in_float32():
    counts = np.full((1, 4, 4), 1e6, np.float32)
    got = float(physics.poisson_deviance(counts * np.float32(1.001), counts))
    assert got == pytest.approx(0.4997, rel=2e-3)  # y u^2 / 2 - y u^3 / 3 at u = 1e-3
    textbook = counts * np.float32(1.001) - counts * np.log(counts * np.float32(1.001))
    assert abs(float(np.mean(textbook - (counts - counts * np.log(counts)))) - got) > 0.1


@quickly
@given(seed=seeds)
def test_adjoints(seed):
    """|<Ax, y> - <x, A^H y>| <= 1e-10 |Ax| |y|, with A^H taken from the gradient."""
    rng, offsets, side = groups(seed)
    shifts = rng.uniform(-4, 4, (2, 2))
    cases = [
        (lambda x: physics.translate(x, shifts), (2, 9, 7), (2, 9, 7)),
        (lambda x: physics.extract(x, offsets, 8), (2, side, side), (2, 3, 8, 8)),
        (lambda x: place(x, offsets + 5.0, (side, side)), (2, 3, 8, 8), (2, side, side)),
    ]
    for operator, shape_in, shape_out in cases:
        x, y = complex_normal(rng, *shape_in), complex_normal(rng, *shape_out)
        forward = numbers(operator(x))
        _, (back,) = gradient(lambda t, op=operator, y=y: real_part_of_product(y, op(t)), x)
        error = abs(np.vdot(forward, y).real - np.vdot(x, back).real)
        assert error <= EXACT * np.linalg.norm(forward) * np.linalg.norm(y)
