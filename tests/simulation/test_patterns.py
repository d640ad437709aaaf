"""Generated objects against their closed forms and statistics."""

import numpy as np
import pytest

from ptycho.simulation import SimulationConfig, simulate
from ptycho.simulation.config import PHOTOGRAPHS
from ptycho.simulation.objects import complex_object, picture
from ptycho.simulation.patterns import PATTERNS, STAR_SPOKES

SHAPE = (200, 180)


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_spans_a_contrast_and_follows_its_generator(name):
    first, again, other = (picture(name, SHAPE, np.random.default_rng(s)) for s in (3, 3, 4))
    assert first.shape == SHAPE and np.isfinite(first).all()
    assert 0 <= first.min() < 0.1 and 0.8 < first.max() <= 1 and first.std() > 0.05
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (name == "siemens")


def test_the_star_has_its_spokes_as_strongest_azimuthal_harmonic():
    star = picture("siemens", (257, 257))
    angle = np.arange(4096) * 2 * np.pi / 4096
    for radius in (40, 70, 110):
        rows, cols = (np.rint(128 + radius * f(angle)).astype(int) for f in (np.sin, np.cos))
        spectrum = np.abs(np.fft.rfft(star[rows, cols]))
        assert 1 + np.argmax(spectrum[1:]) == STAR_SPOKES
    assert star[0, 0] == 0


def test_the_random_field_has_the_stated_power_slope():
    power = np.zeros(60)
    for seed in range(4):
        field = picture("grf", (256, 256), np.random.default_rng(seed))
        spectrum = np.abs(np.fft.fft2(field - field.mean())) ** 2
        index = np.rint(256 * np.hypot(*np.meshgrid(*[np.fft.fftfreq(256)] * 2))).astype(int)
        sums, counts = (np.bincount(index.ravel(), w)[:60] for w in (spectrum.ravel(), None))
        power += sums / counts
    ring = np.arange(4, 60)
    slope = np.polyfit(np.log(ring), np.log(power[ring]), 1)[0]
    assert slope == pytest.approx(-3, abs=0.2)


def test_dead_leaves_occlude_and_cover_everything():
    leaves = picture("dead_leaves", SHAPE, np.random.default_rng(1))
    values, pixels = np.unique(leaves, return_counts=True)
    # Opaque: few flat values instead of sums; a power law of sizes: many small, some large.
    assert len(values) < leaves.size / 10
    assert np.median(pixels) < 30 < 500 < pixels.max()
    assert (np.diff(leaves, axis=1) == 0).mean() > 0.6


def test_blobs_are_smooth_and_lines_are_thin_and_straight():
    blobs, lines = (picture(name, SHAPE, np.random.default_rng(2)) for name in ("blobs", "lines"))
    # exp(-r²/2σ²) has slope ≤ exp(-1/2)/σ, σ ≥ 2; a few may add up.
    assert np.abs(np.diff(blobs, axis=0)).max() < 4 * np.exp(-0.5) / 2
    assert np.abs(np.diff(lines, axis=0)).max() > 0.3
    assert 0.1 < (lines == 0).mean() < 0.9


def test_amplitude_and_phase_are_separate_draws_with_the_stated_contrast():
    made = complex_object(
        "grf", "grf", SHAPE, amplitude_range=(0.6, 0.9), phase_range_rad=0.7, seed=5
    )
    amplitude, phase = np.abs(made), np.angle(made)
    assert amplitude.min() >= 0.6 - 1e-12 and amplitude.max() <= 0.9 + 1e-12
    assert phase.min() >= -1e-12 and phase.max() <= 0.7 + 1e-12
    assert abs(np.corrcoef(amplitude.ravel(), phase.ravel())[0, 1]) < 0.7
    other = complex_object(
        "grf", "grf", SHAPE, amplitude_range=(0.6, 0.9), phase_range_rad=0.7, seed=6
    )
    assert not np.allclose(made, other)


def test_a_scan_of_patterns_keeps_the_positions_of_its_seed():
    settings = {"N": 32, "n_frames": 9, "seed": 7}
    scan = simulate(SimulationConfig(amplitude="dead_leaves", phase="lines", **settings))
    photographs = simulate(SimulationConfig(**settings))
    assert np.array_equal(scan.positions_px, photographs.positions_px)
    assert scan.name == "dead_leaves-lines"


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_photograph_is_a_picture_and_the_same_again(name):
    first, again = (picture(name, (90, 80), np.random.default_rng(1)) for _ in range(2))
    assert first.shape == (90, 80) and first.std() > 0.01
    assert first.min() == 0 and first.max() == 1 and np.array_equal(first, again)
