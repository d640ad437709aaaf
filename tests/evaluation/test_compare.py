"""Everything together: gauge-equivalent fields score perfectly, spoiled ones do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from ptycho.errors import UsageError
from ptycho.evaluation.metrics import common, compare, largest_rectangle
from ptycho.evaluation.metrics.gauge import plane, shift_field


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    amplitude = 0.5 + 0.5 * data.camera()[100:260, 120:300] / 255
    phase = data.gravel()[:160, :180] / 255 * 1.5
    return amplitude * np.exp(1j * phase)


@pytest.fixture(scope="module")
def region(truth) -> np.ndarray:
    inside = np.zeros(truth.shape, bool)
    inside[12:-12, 12:-12] = True
    return inside


def test_scale_and_ramp_change_no_metric(truth, region):
    spoiled = truth * 0.3j * np.exp(1j * plane(truth.shape, (0.2, -0.15)))
    metrics = compare(spoiled, truth, region, shift=False).metrics
    for part in ("amplitude", "phase"):
        assert metrics[part]["ssim"] == pytest.approx(1.0, abs=1e-6)
        assert metrics[part]["ms_ssim"] == pytest.approx(1.0, abs=1e-6)
        assert metrics[part]["mae"] < 1e-6
        assert metrics[part]["std_ratio"] == pytest.approx(1.0, abs=1e-6)
    assert metrics["complex"]["relative_error"] < 1e-6
    assert metrics["frc"]["crossed"] is False
    np.testing.assert_allclose(metrics["gauge"]["ramp_rad_px"], (0.2, -0.15), atol=1e-7)
    assert metrics["gauge"]["scale"] == pytest.approx(1 / 0.3)


def test_a_shift_of_half_a_pixel_is_taken_off(truth, region):
    moved = shift_field(truth, (0.5, -0.3))
    metrics = compare(moved, truth, region).metrics
    np.testing.assert_allclose(metrics["gauge"]["shift_px"], (-0.5, 0.3), atol=0.03)
    without = compare(moved, truth, region, shift=False).metrics
    assert metrics["phase"]["ssim"] > without["phase"]["ssim"] + 0.05


def test_a_flat_answer_is_exposed_by_its_contrast(truth, region):
    flat = 1 + 1e-4 * (truth - truth.mean())
    metrics = compare(flat, truth, region, shift=False, ramp=False).metrics
    assert metrics["frc"]["crossed"] is False, "ring correlation alone would praise it"
    assert metrics["frc"]["std_ratio"] < 1e-3
    assert metrics["amplitude"]["std_ratio"] < 1e-3
    assert metrics["amplitude"]["ssim"] < 0.5


def test_wrapped_phase_is_no_error(truth, region):
    steep = np.abs(truth) * np.exp(4j * np.angle(truth) + 1j * plane(truth.shape, (0.1, 0.0)))
    turned = steep * np.exp(2.9j)
    metrics = compare(turned, steep, region, shift=False).metrics
    assert metrics["phase"]["mae"] < 1e-6
    assert metrics["phase"]["data_range"] > math.pi
    assert metrics["phase"]["data_range"] < 30


def test_likeness_is_the_correlation_about_the_means(truth, region):
    """1 of a field in another gauge; of a mixture as the shares of its power say; 0 by chance."""
    rng = np.random.default_rng(1)
    assert compare(truth * 3j, truth, region).likeness() == pytest.approx(1)
    noise = rng.normal(size=(2, *truth.shape))
    noise = (noise[0] + 1j * noise[1]) * np.std(truth[region]) / math.sqrt(2)
    for share in (0.5, 2.0):
        mixed = compare(truth + share * noise, truth, region, ramp=False, shift=False)
        assert mixed.likeness() == pytest.approx(1 / math.sqrt(1 + share**2), abs=0.02)
    assert compare(1 + noise, truth, region, ramp=False, shift=False).likeness() < 0.05
    assert math.isnan(compare(truth, np.ones_like(truth), region, shift=False).likeness())


def test_noise_of_known_size_gives_the_expected_numbers(truth, region):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, *truth.shape)) * 0.02
    metrics = compare(truth + noise[0] + 1j * noise[1], truth, region, shift=False).metrics
    rms = np.sqrt(np.mean(np.abs(truth[region]) ** 2))
    assert metrics["complex"]["relative_error"] == pytest.approx(
        0.02 * math.sqrt(2) / rms, rel=0.03
    )
    data_range = np.ptp(np.abs(truth[region]))
    assert metrics["amplitude"]["data_range"] == pytest.approx(data_range)
    assert metrics["amplitude"]["psnr_db"] == pytest.approx(
        20 * math.log10(data_range / 0.02), abs=0.3
    )
    assert metrics["amplitude"]["mae"] == pytest.approx(0.02 * math.sqrt(2 / math.pi), rel=0.05)


def test_fields_are_compared_where_both_are_in_the_scan_frame(truth):
    a, b = truth[5:100, 3:120], truth[20:150, 30:170]
    overlap = common(a, (5, 3), np.ones(a.shape, bool), b, (20, 30))
    np.testing.assert_array_equal(overlap.a, overlap.b)
    assert overlap.origin_px == (20.0, 30.0)
    assert overlap.a.shape == (80, 90)


def test_origins_that_differ_by_a_fraction_are_resampled(truth):
    moved = shift_field(truth, (0.5, 0.25))  # content lies +0.5 further in the array…
    whole = np.ones(truth.shape, bool)
    overlap = common(truth, (0, 0), whole, moved, (-0.5, -0.25))  # …whose pixel 0 lies 0.5 before
    inner = (slice(10, -10), slice(10, -10))
    assert np.abs(overlap.a - overlap.b)[inner].max() < 0.15
    assert np.abs(truth - moved)[inner].max() > 0.3


def test_nothing_in_common_is_an_error():
    ones = np.ones((10, 10), complex)
    with pytest.raises(UsageError, match="no pixel in common"):
        common(ones, (0, 0), np.ones((10, 10), bool), ones, (50, 0))
    with pytest.raises(UsageError, match="no pixel in common"):
        common(ones, (0, 0), np.zeros((10, 10), bool), ones, (0, 0))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**30), st.integers(1, 9), st.integers(1, 9))
def test_largest_rectangle_against_brute_force(seed, height, width):
    region = np.random.default_rng(seed).random((height, width)) < 0.7
    rows, cols = largest_rectangle(region)
    found = region[rows, cols]
    best = max(
        (
            (r1 - r0) * (c1 - c0)
            for r0 in range(height)
            for r1 in range(r0 + 1, height + 1)
            for c0 in range(width)
            for c1 in range(c0 + 1, width + 1)
            if region[r0:r1, c0:c1].all()
        ),
        default=0,
    )
    assert found.all() and found.size == best
