"""The gauge: known scale, ramp and shift are put in and must come out; a plane fit would not do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ptycho.errors import ShapeError, UsageError
from ptycho.evaluation.metrics.gauge import (
    Gauge,
    fit_gauge,
    fit_ramp,
    fit_scale,
    fit_shift,
    plane,
    shift_field,
)


def smooth_field(seed: int = 0, shape=(96, 110), phase=1.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a, p = (ndimage.gaussian_filter(rng.normal(size=shape), 3) for _ in range(2))
    return (0.8 + 0.5 * a / a.std() * 0.2) * np.exp(1j * phase * p / p.std() * 0.3)


@settings(deadline=None, max_examples=20)
@given(st.floats(-12, 12), st.floats(-12, 12), st.floats(-3, 3), st.floats(0.2, 5.0))
def test_ramp_of_many_cycles_is_found_without_unwrapping(down, across, turn, size):
    field = smooth_field()
    slope = (2 * np.pi * down / 96, 2 * np.pi * across / 110)
    tilted = size * field * np.exp(1j * (plane(field.shape, slope) + turn))
    found = fit_ramp(tilted, field, np.ones(field.shape))
    assert np.allclose(found, slope, atol=1e-6)


def test_the_plane_fit_that_this_replaces_is_wrong_beyond_one_cycle():
    shape, slope = (96, 110), (2 * np.pi * 2.3 / 96, -2 * np.pi * 4.6 / 110)
    wrapped = np.angle(np.exp(1j * plane(shape, slope)))
    row, col = np.indices(shape)
    design = np.stack([np.ones(row.size), row.ravel(), col.ravel()], 1)
    fitted = np.linalg.lstsq(design, wrapped.ravel(), rcond=None)[0][1:]
    assert abs(fitted[0] - slope[0]) > 0.9 * abs(slope[0])
    found = fit_ramp(np.exp(1j * plane(shape, slope)), np.ones(shape), np.ones(shape))
    assert np.allclose(found, slope, atol=1e-9)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.0, -3.0), (0.37, -1.62), (-2.5, 0.25)])
def test_shift_is_the_way_the_content_moves(shift):
    field = smooth_field(1)
    moved = shift_field(field, shift)
    back = fit_shift(moved, field, np.ones(field.shape))
    assert np.allclose(back, (-shift[0], -shift[1]), rtol=0.06, atol=0.03)  # the window pulls to 0
    gauge = fit_gauge(moved, field, ramp=False)  # fits again after moving, so without that pull
    assert np.allclose(gauge.shift_px, (-shift[0], -shift[1]), atol=0.03)
    delta = np.zeros((9, 9), complex)
    delta[4, 4] = 1
    assert np.argmax(np.abs(shift_field(delta, (2, -1)))) == 6 * 9 + 3


def test_scale_is_the_least_squares_factor():
    rng = np.random.default_rng(2)
    a, b = (rng.normal(size=(2, 20, 20)) @ np.eye(20) for _ in range(2))
    rec, ref = a[0] + 1j * a[1], b[0] + 1j * b[1]
    weights = rng.random((20, 20))
    best = fit_scale(rec, ref, weights)

    def cost(c):
        return np.sum(weights * np.abs(c * rec - ref) ** 2)

    for step in (1e-3, -1e-3, 1e-3j, -1e-3j):
        assert cost(best) < cost(best + step)
    assert fit_scale(np.zeros((4, 4)), np.ones((4, 4)), np.ones((4, 4))) == 1


def test_all_freedoms_together_under_noise():
    rng = np.random.default_rng(3)
    ref = smooth_field(3)
    slope, shift, scale = (0.11, -0.07), (1.3, -0.6), 1.7 * np.exp(2.1j)
    rec = shift_field(ref, shift) * np.exp(1j * plane(ref.shape, slope)) * scale
    noise = rng.normal(size=(2, *ref.shape)) * 0.03
    weights = np.zeros(ref.shape)
    weights[10:-10, 10:-10] = 1
    gauge = fit_gauge(rec + noise[0] + 1j * noise[1], ref, weights)
    assert np.allclose(gauge.shift_px, (-1.3, 0.6), atol=0.05)
    assert np.allclose(gauge.ramp_rad_px, slope, atol=2e-4)
    aligned = gauge.apply(rec)
    inside = weights > 0
    error = np.linalg.norm((aligned - ref)[inside]) / np.linalg.norm(ref[inside])
    assert error < 0.03


def test_frozen_freedoms_stay_and_far_peaks_are_ignored():
    ref = smooth_field(4)
    tilted = shift_field(ref, (1.0, 0.0)) * np.exp(1j * plane(ref.shape, (0.05, 0.0)))
    gauge = fit_gauge(tilted, ref, ramp=False, shift=False)
    assert gauge.ramp_rad_px == (0.0, 0.0) and gauge.shift_px == (0.0, 0.0)
    far = fit_gauge(np.roll(ref, 30, 0), ref, ramp=False, max_shift_px=8)
    assert max(map(abs, far.shift_px)) <= 8


def test_unequal_shapes_and_empty_weights_are_errors():
    with pytest.raises(ShapeError, match=r"\(8, 9\)"):
        fit_gauge(np.ones((8, 8)), np.ones((8, 9)))
    with pytest.raises(UsageError):
        fit_gauge(np.ones((8, 8)), np.ones((8, 8)), np.zeros((8, 8)))
    assert Gauge().apply(np.ones((3, 3))).tolist() == np.ones((3, 3), complex).tolist()
