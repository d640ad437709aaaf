"""Near field and layers: against plane waves summed one by one in NumPy, adjoints, limits."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from physics_support import (
    EXACT,
    HAS_FLOAT64,
    complex_normal,
    gradient,
    numbers,
    real_part_of_product,
    tensor,
)

from ptycho import physics
from ptycho.errors import ShapeError, ValueRangeError
from ptycho.physics import Optics, backend

seeds = st.integers(0, 2**32 - 1)
quickly = settings(deadline=None, max_examples=8, derandomize=True, phases=[Phase.generate])
WAVE, PIXEL = 0.7, (1.0, 1.3)


def waves_summed(fields, distance, pixel=PIXEL, wavelength=WAVE):
    """Each plane wave on its way, as dense matrices with the textbook's square root."""
    n = fields.shape[-1]
    each = np.arange(n) - n // 2
    matrix = np.exp(-2j * np.pi * np.outer(each, each) / n)
    down, across = (each / (n * pitch) for pitch in pixel)
    inside = 1 / wavelength**2 - down[:, None] ** 2 - across[None, :] ** 2
    assert (inside > 0).all()
    way = np.exp(2j * np.pi * distance * (np.sqrt(inside) - 1 / wavelength))
    spectrum = matrix @ np.asarray(fields, np.complex128) @ matrix.T
    return matrix.conj().T @ (spectrum * way) @ matrix.conj() / n**2


def far(fields):
    n = fields.shape[-1]
    each = np.arange(n) - n // 2
    matrix = np.exp(-2j * np.pi * np.outer(each, each) / n) / np.sqrt(n)
    return matrix @ fields @ matrix.T


def way(n, distance):
    return physics.transfer_function(n, PIXEL, WAVE, distance)


@pytest.mark.parametrize("n", [7, 8])
@quickly
@given(seed=seeds, distance=st.sampled_from([0.3, 4.0, -2.5]))
def test_propagation_equals_plane_waves_summed(n, seed, distance):
    fields = complex_normal(np.random.default_rng(seed), 2, 3, n, n)
    got = numbers(physics.propagate(fields, way(n, distance)))
    assert np.abs(got - waves_summed(fields, distance)).max() <= EXACT * np.abs(fields).max() * n


@pytest.mark.parametrize("n", [7, 8])
@pytest.mark.parametrize("near", [None, 3.0])
@quickly
@given(seed=seeds)
def test_layers_equal_the_oracle(n, near, seed):
    rng = np.random.default_rng(seed)
    layers, probe = complex_normal(rng, 3, 2, n, n), complex_normal(rng, 2, n, n)
    optics = Optics((way(n, 2.0), way(n, 0.8)), None if near is None else way(n, near))
    expected = np.full(layers[0].shape, 0.25)
    for mode in probe:
        behind = waves_summed(layers[0] * mode, 2.0) * layers[1]
        behind = waves_summed(behind, 0.8) * layers[2]
        expected += np.abs(far(behind) if near is None else waves_summed(behind, near)) ** 2
    got = numbers(physics.multislice(list(layers), probe, optics, 0.25))
    assert np.abs(got - expected).max() <= EXACT * expected.max()


def test_single_precision_is_within_1e5_of_the_oracle():
    rng = np.random.default_rng(3)
    layers, probe = complex_normal(rng, 2, 1, 32, 32), complex_normal(rng, 1, 32, 32)
    transfer = way(32, 5.0)
    expected = np.abs(far(waves_summed(layers[0] * probe[0], 5.0) * layers[1])) ** 2
    single = [each.astype(np.complex64) for each in layers]
    got = numbers(physics.multislice(single, probe.astype(np.complex64), Optics((transfer,))))
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() <= 1e-5 * expected.max()


@quickly
@given(seed=seeds)
def test_one_layer_in_the_far_field_is_the_single_slice_to_the_bit(seed):
    rng = np.random.default_rng(seed)
    patches = complex_normal(rng, 2, 3, 8, 8).astype(np.complex64)
    probe = complex_normal(rng, 2, 8, 8).astype(np.complex64)
    same = numbers(physics.diffract(patches, probe, 0.5))
    assert np.array_equal(numbers(physics.multislice([patches], probe, None, 0.5)), same)


def test_layers_without_a_gap_are_their_product_to_the_bit():
    rng = np.random.default_rng(1)
    probe, first, second = (complex_normal(rng, 1, 8, 8).astype(np.complex64) for _ in range(3))
    got = numbers(physics.multislice([first[0], second[0]], probe, Optics((None,))))
    carried = numbers(tensor(first) * tensor(probe))
    expected = numbers(physics.diffract(second[0], carried))
    assert np.array_equal(got, expected)


def test_no_distance_changes_nothing():
    field = complex_normal(np.random.default_rng(0), 9, 9)
    assert np.array_equal(way(9, 0.0), np.ones((9, 9)))
    assert np.abs(numbers(physics.propagate(field, way(9, 0.0))) - field).max() < EXACT * 10


def test_light_is_kept_and_the_way_back_undoes_the_way():
    field = complex_normal(np.random.default_rng(0), 16, 16)
    there = numbers(physics.propagate(field, way(16, 7.0)))
    assert np.sum(np.abs(there) ** 2) == pytest.approx(np.sum(np.abs(field) ** 2), rel=EXACT)
    assert np.abs(there - field).max() > 0.1
    again = numbers(physics.propagate(there, way(16, -7.0)))
    assert np.abs(again - field).max() < 10 * EXACT


def test_hard_light_loses_no_digits():
    """1/λ is 1e11 and q²λ/2 below 1e4: a difference of square roots would keep five digits."""
    got = physics.transfer_function(64, (2e-7, 2e-7), 1e-11, 0.05)
    q = np.fft.fftshift(np.fft.fftfreq(64, 2e-7))
    paraxial = np.exp(-1j * np.pi * 1e-11 * 0.05 * (q[:, None] ** 2 + q[None] ** 2))
    assert np.abs(got - paraxial).max() < 1e-8


def test_evanescent_waves_fade_on_both_ways():
    for distance in (3.0, -3.0):
        found = physics.transfer_function(16, (0.4, 0.4), 1.0, distance / 4)
        assert np.abs(found).max() == pytest.approx(1.0)
        assert np.abs(found[0, 0]) < 0.2


def test_beyond_the_grid_is_refused():
    most = physics.most_distance_m(8, PIXEL, WAVE)
    assert most == pytest.approx(8 / WAVE)
    way(8, most)
    with pytest.raises(ValueRangeError, match="farther than this grid"):
        way(8, 1.01 * most)


def test_a_point_spreads_as_far_as_the_finest_wave_is_bent():
    """Half a wavelength over the pixel at z: λz/(2·pixel), in pixels; beyond it hardly any."""
    field = np.zeros((128, 128), complex)
    field[64, 64] = 1
    transfer = physics.transfer_function(128, (1.0, 1.0), 0.05, 400.0)
    light = np.abs(numbers(physics.propagate(field, transfer))) ** 2
    away = np.abs(np.indices(light.shape) - 64).max(0)
    assert light[away <= 12].sum() > 0.85
    assert light[away <= 4].sum() < 0.4


@quickly
@given(seed=seeds)
def test_adjoints(seed):
    """|<Ax, y> - <x, A^H y>| <= 1e-10 |Ax| |y|: by the gradient, and by what the engine uses."""
    rng = np.random.default_rng(seed)
    x, y = complex_normal(rng, 2, 8, 8), complex_normal(rng, 2, 8, 8)
    transfer = way(8, 3.0)
    forward = numbers(physics.propagate(x, transfer))
    _, (by,) = gradient(lambda t: real_part_of_product(y, physics.propagate(t, transfer)), x)
    scale = EXACT * np.linalg.norm(forward) * np.linalg.norm(y)
    assert abs(np.vdot(forward, y).real - np.vdot(x, by).real) <= scale
    layers = [tensor(complex_normal(rng, 2, 8, 8)) for _ in range(3)]
    for detector in (None, tensor(transfer)):
        optics = Optics((tensor(way(8, 1.0)), None), detector)
        _, behind = physics.through(layers, tensor(x), optics)
        seen = numbers(physics.on_detector(behind, optics))
        slopes = physics.back(layers, physics.from_detector(tensor(y), optics), optics)
        returned = numbers(layers[0]).conj() * numbers(slopes[0])
        size = np.linalg.norm(seen) * np.linalg.norm(y)
        assert abs(np.vdot(seen, y) - np.vdot(x, returned)) <= EXACT * size


@pytest.mark.skipif(not HAS_FLOAT64, reason="finite differences need float64")
@pytest.mark.parametrize("near", [False, True])
def test_gradients_by_each_layer_and_the_probe(near):
    rng = np.random.default_rng(5)
    at = [complex_normal(rng, 2, 8, 8) for _ in range(2)] + [complex_normal(rng, 2, 8, 8)]
    optics = Optics((way(8, 2.0),), way(8, 4.0) if near else None)
    counts = rng.poisson(3.0, (2, 8, 8)).astype(float)

    def loss(first, second, probe):
        frames = physics.multislice([first, second], probe, optics, 0.1)
        return physics.poisson_deviance(frames, counts)

    _, slopes = gradient(loss, *at)
    for index, slope in enumerate(slopes):
        direction = complex_normal(rng, *at[index].shape)

        def moved(step, index=index, direction=direction):
            values = [v + step * direction if k == index else v for k, v in enumerate(at)]
            return float(loss(*[tensor(value) for value in values]))

        expected = (moved(1e-6) - moved(-1e-6)) / 2e-6
        assert np.vdot(slope, direction).real == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_compiled_equals_eager():
    rng = np.random.default_rng(2)
    layers = [complex_normal(rng, 2, 8, 8).astype(np.complex64) for _ in range(2)]
    probe = complex_normal(rng, 1, 8, 8).astype(np.complex64)
    optics = Optics((way(8, 2.0).astype(np.complex64),), way(8, 4.0).astype(np.complex64))
    fast = backend.jit(lambda a, b, p: physics.multislice([a, b], p, optics, 0.1))
    eager = numbers(physics.multislice(layers, probe, optics, 0.1))
    got = numbers(fast(*map(tensor, layers), tensor(probe)))
    np.testing.assert_allclose(got, eager, rtol=2e-4, atol=2e-4)


def test_what_does_not_fit_is_named():
    one = np.ones((8, 8), complex)
    with pytest.raises(ShapeError, match="gap between every two layers"):
        physics.multislice([one, one], one[None])
    with pytest.raises(ShapeError, match="differ in shape"):
        physics.multislice([one, one[None]], one[None], Optics((None,)))
    with pytest.raises(ShapeError, match="transfer function does not fit"):
        physics.propagate(one, way(7, 1.0))
    with pytest.raises(ShapeError, match="probe and layers"):
        physics.multislice([one], np.ones((1, 7, 7), complex))
