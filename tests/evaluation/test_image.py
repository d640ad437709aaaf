"""Image metrics against closed forms and against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from ptycho.evaluation.metrics import image


@pytest.fixture(scope="module")
def camera() -> np.ndarray:
    return data.camera()[:256, :256].astype(np.float64) / 255


def everywhere(shape) -> np.ndarray:
    return np.ones(shape, bool)


def test_mae_psnr_and_contrast_in_closed_form(camera):
    whole = everywhere(camera.shape)
    assert image.mae(camera + 0.1, camera, whole) == pytest.approx(0.1)
    assert image.psnr_db(camera + 0.1, camera, whole, 1.0) == pytest.approx(20.0)
    assert image.psnr_db(camera + 0.1, camera, whole, 10.0) == pytest.approx(40.0)
    assert image.psnr_db(camera, camera, whole, 1.0) == math.inf
    assert image.std_ratio(0.25 * camera + 3, camera, whole) == pytest.approx(0.25)
    assert math.isnan(image.std_ratio(camera, np.ones_like(camera), whole))


def test_only_the_region_counts(camera):
    region = np.zeros(camera.shape, bool)
    region[40:200, 50:210] = True
    outside = np.where(region, camera, 1e6)
    assert image.mae(outside, camera, region) == 0
    assert image.psnr_db(outside, camera, region, 1.0) == math.inf
    assert image.ssim(outside, camera, region, 1.0) == pytest.approx(1.0)
    assert image.ms_ssim(outside, camera, region, 1.0) == pytest.approx(1.0, abs=1e-3)


def test_ssim_is_scikit_images_and_the_scales_use_the_same_window(camera):
    rng = np.random.default_rng(0)
    noisy = camera + 0.1 * rng.normal(size=camera.shape)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, local = structural_similarity(noisy, camera, data_range=1.0, full=True, **options)
    inner = (slice(5, -5), slice(5, -5))
    assert image.ssim(noisy, camera, everywhere(camera.shape), 1.0) == pytest.approx(
        local[inner].mean()
    )
    luminance, structure = image._components(noisy, camera, 1.0)
    np.testing.assert_allclose((luminance * structure)[inner], local[inner], atol=1e-10)


def test_ms_ssim_falls_with_noise_forgives_fine_noise_and_knows_identity(camera):
    whole = everywhere(camera.shape)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=camera.shape)
    values = [image.ms_ssim(camera + level * noise, camera, whole, 1.0) for level in (0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1.0)
    assert 1 > values[1] > values[2] > 0
    assert values[2] > image.ssim(camera + 0.2 * noise, camera, whole, 1.0)


def test_ms_ssim_uses_as_many_scales_as_fit(camera):
    small = camera[:16, :16]
    whole = everywhere(small.shape)
    noisy = small + 0.05
    assert image.ms_ssim(noisy, small, whole, 1.0) == pytest.approx(
        image.ssim(noisy, small, whole, 1.0), abs=0.02
    )
    assert math.isnan(image.ms_ssim(camera[:8, :8], camera[:8, :8], everywhere((8, 8)), 1.0))


def test_an_inverted_image_scores_low(camera):
    whole = everywhere(camera.shape)
    assert image.ssim(1 - camera, camera, whole, 1.0) < 0.3
    assert image.ms_ssim(1 - camera, camera, whole, 1.0) < 0.1
