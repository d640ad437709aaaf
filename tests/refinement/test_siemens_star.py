"""The measured Siemens star: every circle round its centre must show the same number of spokes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, optimize

from ptycho.refinement.config import RefineConfig
from ptycho.refinement.run import refine

pytestmark = [pytest.mark.real, pytest.mark.slow]
RADII_PX = (40, 70, 100)


def azimuthal(phase: np.ndarray, centre, radius: float, samples: int = 1024) -> np.ndarray:
    """Magnitudes of the azimuthal Fourier series of `phase` on a circle, without its mean."""
    angle = 2 * np.pi * np.arange(samples) / samples
    rows, cols = centre[0] + radius * np.sin(angle), centre[1] + radius * np.cos(angle)
    values = ndimage.map_coordinates(phase, [rows, cols], order=1)
    return np.abs(np.fft.rfft(values - values.mean())) / samples


def find_centre(phase: np.ndarray) -> np.ndarray:
    """The point that edges look past: spoke edges are radial lines, so gradients g at x satisfy
    g·(x − centre) = 0; weighted least squares, repeated without the edges that miss by far."""
    smooth = ndimage.gaussian_filter(phase, 2)
    gradient = np.stack([ndimage.sobel(smooth, axis) for axis in (0, 1)])
    strength = np.hypot(*gradient)
    points = np.indices(phase.shape).reshape(2, -1)
    keep = (strength > np.quantile(strength, 0.8)).ravel()
    g, x = gradient.reshape(2, -1)[:, keep], points[:, keep]
    g = g / np.hypot(*g)
    trust = np.ones(g.shape[1])
    for _ in range(30):
        normal = (trust * g) @ g.T
        centre = np.linalg.solve(normal, (trust * g) @ np.sum(g * x, 0))
        miss = np.sum(g * (x - centre[:, None]), 0)
        trust = 1 / (1 + (miss / 5.0) ** 2) ** 2
    return centre


def sharpened(phase: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The centre near `centre` at which the spokes of all three circles are most regular."""

    def cost(point: np.ndarray) -> float:
        return -sum(azimuthal(phase, point, radius)[5:].max() for radius in RADII_PX)

    return optimize.minimize(cost, centre, method="Nelder-Mead", options={"xatol": 0.05}).x


def test_the_centre_finder_on_a_drawn_star():
    row, col = np.indices((300, 310))
    centre = (140.3, 161.8)
    angle = np.arctan2(row - centre[0], col - centre[1])
    star = np.sign(np.cos(24 * angle)) * 0.4
    star[np.hypot(row - centre[0], col - centre[1]) < 20] = 0
    noisy = star + 0.1 * np.random.default_rng(0).normal(size=star.shape)
    found = sharpened(noisy, find_centre(noisy))
    np.testing.assert_allclose(found, centre, atol=1.0)
    assert [int(np.argmax(azimuthal(noisy, found, radius))) for radius in RADII_PX] == [24] * 3


def test_the_refined_phase_shows_the_spokes(siemens_star_path):
    from ptycho.data import open_scan

    result = refine(open_scan(siemens_star_path), config=RefineConfig(passes=30))
    rec = result.reconstruction
    region = rec.region(0.25)
    rows, cols = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    phase = np.where(region, np.angle(rec.object), 0.0)[box]
    centre = sharpened(phase, find_centre(phase))
    spectra = [azimuthal(phase, centre, radius) for radius in RADII_PX]
    spokes = [int(np.argmax(spectrum)) for spectrum in spectra]
    assert len(set(spokes)) == 1 and spokes[0] > 10, f"spokes {spokes} round {centre}"
    for spectrum in spectra:
        others = np.delete(spectrum[:100], [0, spokes[0]])
        assert spectrum[spokes[0]] > 1.5 * others.max(), "and it stands out"
    assert result.residual < 0.152
    assert result.reconstruction.meta["held_out_deviance"] < 0.60
