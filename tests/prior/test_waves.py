"""Long waves of a phase go from one image to another, short ones and noise do not."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.prior import OWN_PX, long_waves

SHAPE = (200, 240)
ROWS, COLS = np.indices(SHAPE).astype(float)
INNER = slice(50, -50), slice(50, -50)


@pytest.mark.parametrize("period_px", [240, 120, 20])
def test_what_is_taken_depends_on_the_length_of_the_wave(period_px: float) -> None:
    """A Gaussian of σ lets exp(−½(2πσ/period)²) of a wave through."""
    wave = 0.2 * np.sin(2 * np.pi * COLS / period_px)
    found = np.angle(long_waves(np.exp(1j * wave), np.ones(SHAPE), np.ones(SHAPE), OWN_PX))
    share = float(np.sum(found[INNER] * wave[INNER]) / np.sum(wave[INNER] ** 2))
    assert share == pytest.approx(np.exp(-0.5 * (2 * np.pi * OWN_PX / period_px) ** 2), abs=0.03)


def test_noise_of_pixels_and_the_amplitude_do_not_matter_and_the_dark_is_not_asked() -> None:
    rng = np.random.default_rng(0)
    noise = 0.5 * (rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE))
    light = np.where(COLS < 150, 100.0, 0.0)
    image = np.exp(0.4j) * (1 + 0.3 * np.sin(ROWS)) + noise
    image = np.where(light > 0, image, np.exp(-2j))
    turn = long_waves(image, np.full(SHAPE, 0.7), light, OWN_PX)
    np.testing.assert_allclose(np.abs(turn), 1, rtol=1e-5)
    assert np.abs(np.angle(turn[:, :150]) - 0.4).max() < 0.05


def test_equal_images_are_not_turned() -> None:
    rng = np.random.default_rng(1)
    image = rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE)
    np.testing.assert_allclose(long_waves(image, image, np.ones(SHAPE), OWN_PX), 1, atol=1e-6)
