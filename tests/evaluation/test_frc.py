"""Ring correlation on cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.errors import ShapeError
from ptycho.evaluation.metrics.frc import HALF_BIT, ONE_BIT, frc, threshold


def noise(rng, shape=(128, 128)) -> np.ndarray:
    pair = rng.normal(size=(2, *shape))
    return pair[0] + 1j * pair[1]


def low_pass(field, cutoff):
    f = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in field.shape), indexing="ij"))
    return np.fft.ifft2(np.fft.fft2(field) * (f < cutoff))


def test_threshold_values_of_van_heel_and_schatz():
    n = np.array([8, 32, 128, 512, 4096])
    np.testing.assert_allclose(
        threshold(n, HALF_BIT), [0.577, 0.398, 0.292, 0.234, 0.194], atol=6e-4
    )
    np.testing.assert_allclose(
        threshold(n, ONE_BIT), [0.677, 0.530, 0.439, 0.388, 0.353], atol=6e-4
    )


def test_equal_fields_correlate_everywhere_and_opposite_ones_never():
    field = noise(np.random.default_rng(0))
    same = frc(field, field)
    np.testing.assert_allclose(same.correlation, 1.0, atol=1e-12)
    assert same.crossing() == (same.cycles_per_px[-1], False)
    opposite = frc(field, -field)
    np.testing.assert_allclose(opposite.correlation, -1.0, atol=1e-12)
    assert opposite.crossing()[1]


@pytest.mark.parametrize("snr", [0.25, 1.0, 4.0])
def test_white_noise_on_white_signal_gives_snr_over_one_plus_snr(snr):
    rng = np.random.default_rng(1)
    signal = noise(rng, (256, 256)) * np.sqrt(snr)
    curve = frc(signal + noise(rng, (256, 256)), signal + noise(rng, (256, 256)))
    assert abs(np.mean(curve.correlation[20:]) - snr / (1 + snr)) < 0.02


@pytest.mark.parametrize("cutoff", [0.1, 0.2, 0.35])
def test_the_crossing_is_where_the_common_signal_ends(cutoff):
    rng = np.random.default_rng(2)
    signal = low_pass(noise(rng, (200, 200)), cutoff) * 5
    curve = frc(signal + noise(rng, (200, 200)), signal + noise(rng, (200, 200)))
    frequency, crossed = curve.crossing()
    assert crossed and abs(frequency - cutoff) < 0.02
    assert curve.as_dict()["resolution_px"] == pytest.approx(1 / frequency)


def test_independent_pixels_predict_the_scatter_of_unrelated_fields():
    rng = np.random.default_rng(3)
    curves = [frc(noise(rng, (64, 64)), noise(rng, (64, 64))) for _ in range(60)]
    scatter = np.std([curve.correlation for curve in curves], axis=0)
    expected = 1 / np.sqrt(2 * curves[0].independent)  # real part of a complex mean
    assert 0.85 < np.median(scatter / expected) < 1.15


def test_a_common_constant_is_no_resolution():
    rng = np.random.default_rng(4)
    curve = frc(100 + noise(rng), 100 + noise(rng))
    assert np.abs(curve.correlation).max() < 0.6
    assert curve.crossing()[0] < 0.05


def test_correlation_is_blind_to_contrast():
    """Why a ratio of standard deviations stands beside every value."""
    field = noise(np.random.default_rng(5))
    np.testing.assert_allclose(frc(1 + 1e-4 * field, field).correlation, 1.0, atol=1e-6)


def test_rings_are_in_cycles_per_pixel_on_oblong_images():
    row = np.arange(96)[:, None] * np.ones(160)
    wave = np.exp(2j * np.pi * 0.25 * row) * 5
    rng = np.random.default_rng(6)
    curve = frc(wave + noise(rng, wave.shape), wave + noise(rng, wave.shape))
    assert abs(curve.cycles_per_px[np.argmax(curve.correlation)] - 0.25) < 0.01


def test_unequal_or_tiny_images_are_errors():
    with pytest.raises(ShapeError):
        frc(np.ones((32, 32)), np.ones((32, 33)))
    with pytest.raises(ShapeError):
        frc(np.ones((8, 8)), np.ones((8, 8)))
