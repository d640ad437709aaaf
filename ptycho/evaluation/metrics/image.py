"""Image metrics on a region: MAE, PSNR, SSIM, MS-SSIM, contrast ratio. The data range is an input.

SSIM is scikit-image's, with the Gaussian window of Wang et al. (2004); MS-SSIM (Wang, Simoncelli &
Bovik 2003) uses the same window and as many of the five scales as the image allows, with their
exponents renormalised. Both are averages of the local map over the region, so that what lies
outside the scan cannot help or hurt.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SIGMA, _TRUNCATE = 1.5, 3.5
_RADIUS = int(_TRUNCATE * _SIGMA + 0.5)


def mae(image: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """Mean absolute error over the region, in the images' own unit."""
    return float(np.mean(np.abs(image - truth)[region]))


def psnr_db(image: np.ndarray, truth: np.ndarray, region: np.ndarray, data_range: float) -> float:
    """10·log10(range² / mean squared error) over the region; infinite for equal images."""
    error = float(np.mean(np.abs(image - truth)[region] ** 2))
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def std_ratio(image: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """std(image)/std(truth) over the region: 1 for full contrast, near 0 for a flat answer."""
    reference = float(np.std(truth[region]))
    return float(np.std(image[region])) / reference if reference > 0 else math.nan


def ssim(image: np.ndarray, truth: np.ndarray, region: np.ndarray, data_range: float) -> float:
    """Mean structural similarity over the region, windows wholly inside it if there are any."""
    _, local = structural_similarity(
        np.asarray(image, np.float64),
        np.asarray(truth, np.float64),
        data_range=data_range,
        gaussian_weights=True,
        sigma=_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return float(np.mean(local[_inner(region)]))


def _inner(region: np.ndarray) -> np.ndarray:
    """Centres whose window lies in the region; the region itself if there are none."""
    inner = _windows(region)
    return inner if inner.any() else region


def _windows(region: np.ndarray) -> np.ndarray:
    side = 2 * _RADIUS + 1
    return ndimage.binary_erosion(region, np.ones((side, side), bool), border_value=0)


def ms_ssim(image: np.ndarray, truth: np.ndarray, region: np.ndarray, data_range: float) -> float:
    """Multi-scale SSIM over the region; NaN if the image is smaller than one window."""
    if min(image.shape) < 2 * _RADIUS + 1:
        return math.nan
    regions = _scales(region)
    exponents = np.array(_EXPONENTS[: len(regions)]) / sum(_EXPONENTS[: len(regions)])
    x, y = np.asarray(image, np.float64), np.asarray(truth, np.float64)
    score = 1.0
    for scale, (inner, exponent) in enumerate(zip(regions, exponents, strict=True)):
        luminance, structure = _components(x, y, data_range)
        local = luminance * structure if scale == len(regions) - 1 else structure
        score *= max(float(np.mean(local[inner])), 0.0) ** float(exponent)
        x, y = _halve(x), _halve(y)
    return score


def _scales(region: np.ndarray) -> list[np.ndarray]:
    """At most five scales: window centres of the region while whole windows fit into it."""
    centres = [_inner(region)]
    for _ in _EXPONENTS[1:]:
        region = _halve(region.astype(np.float64)) == 1.0
        if min(region.shape) < 2 * _RADIUS + 1 or not _windows(region).any():
            break
        centres.append(_windows(region))
    return centres


def _components(x: np.ndarray, y: np.ndarray, data_range: float) -> tuple[np.ndarray, np.ndarray]:
    """Luminance and contrast-structure maps; their product is the local SSIM."""

    def mean(a: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(a, _SIGMA, truncate=_TRUNCATE)

    mx, my = mean(x), mean(y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    return luminance, (2 * vxy + c2) / (vx + vy + c2)


def _halve(a: np.ndarray) -> np.ndarray:
    a = a[: a.shape[0] // 2 * 2, : a.shape[1] // 2 * 2]
    return (a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2]) / 4
