"""Simulated scans against closed forms and a direct Fourier sum."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.config import validated
from ptycho.errors import ConfigError, UsageError
from ptycho.simulation import SimulationConfig, simulate
from ptycho.simulation.trajectories import make_positions

SMALL = SimulationConfig(N=16, n_frames=9, photons=1e5, poisson=False, probe_diameter_px=8)


def test_a_frame_is_the_direct_fourier_sum_of_probe_times_object() -> None:
    """Independent of any FFT: Σ P·O·exp(−2πi(ur+vc)/N)/N at each frequency, DC in the centre."""
    scan = simulate(SMALL.model_copy(update={"trajectory": "raster", "step_px": 3.0}))
    assert scan.truth is not None and scan.probe is not None
    n, frame = scan.N, 4
    row, col = (scan.positions_px[frame] - scan.truth.origin_px - n // 2).astype(int)
    field = scan.truth.object[row : row + n, col : col + n] * scan.probe[0]
    k = np.arange(n) - n // 2
    wave = np.exp(-2j * np.pi * np.outer(k, np.arange(n)) / n)
    expected = np.abs(wave @ field.astype(np.complex128) @ wave.T / n) ** 2
    np.testing.assert_allclose(scan.counts[frame], expected, rtol=2e-4, atol=1e-3)


def test_photons_are_what_was_asked_for_and_equal_the_probe_on_an_empty_object() -> None:
    """Mean photons as asked; where the object is 1, Σ|probe|² is the photons of a frame."""
    asked = SMALL.model_copy(update={"amplitude_range": (1.0, 1.0), "phase_range_rad": 0.0})
    scan = simulate(asked)
    assert scan.probe is not None
    np.testing.assert_allclose(scan.photons_per_frame(), asked.photons, rtol=1e-5)
    np.testing.assert_allclose(np.sum(np.abs(scan.probe) ** 2), asked.photons, rtol=1e-5)
    noisy = simulate(SMALL.model_copy(update={"poisson": True}))
    assert abs(noisy.photons_per_frame().mean() / SMALL.photons - 1) < 0.01
    assert np.array_equal(noisy.counts, np.rint(noisy.counts))


def test_seeds_repeat_and_differ() -> None:
    """Equal records give equal scans; positions and photons each have their own seed."""
    config = SMALL.model_copy(update={"poisson": True})
    first, again = simulate(config), simulate(config)
    other_noise = simulate(config.model_copy(update={"noise_seed": 1}))
    other_place = simulate(config.model_copy(update={"seed": 1}))
    assert np.array_equal(first.counts, again.counts)
    assert np.array_equal(first.positions_px, other_noise.positions_px)
    assert not np.array_equal(first.counts, other_noise.counts)
    assert not np.array_equal(first.positions_px, other_place.positions_px)


@pytest.mark.parametrize("kind", ["raster", "jittered", "fermat", "random"])
def test_trajectories_start_at_zero_with_the_asked_density(kind: str) -> None:
    """Mean spacing sqrt(area / n) is the step within a few per cent, for every kind."""
    positions = make_positions(kind, 900, 5.0, np.random.default_rng(3))
    assert positions.shape == (900, 2)
    np.testing.assert_allclose(positions.min(axis=0), 0)
    area = np.pi / 4 if kind == "fermat" else 1.0
    spacing = np.sqrt(np.prod(np.ptp(positions, axis=0)) * area / 900)
    assert 4.5 < spacing < 5.5


def test_wrong_settings_are_named() -> None:
    """Unknown keys, impossible values and unknown pictures are words with the key in them."""
    with pytest.raises(ConfigError, match="photnos"):
        validated(SimulationConfig, photnos=1)
    with pytest.raises(ConfigError, match="larger than a frame"):
        validated(SimulationConfig, N=16, probe_diameter_px=40)
    for wrong in ({"photons": 1e22}, {"photons": float("inf")}, {"n_frames": True}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            validated(SimulationConfig, **wrong)
    with pytest.raises(UsageError, match="camera"):
        simulate(SMALL.model_copy(update={"amplitude": "no-such-picture"}))


@pytest.mark.parametrize("too_much", [{"step_px": 1e7}, {"n_frames": 1_000_000, "N": 1024}])
def test_what_no_memory_can_hold_is_refused_before_it_is_made(too_much: dict) -> None:
    """The words name the settings and both sizes; nothing is allocated first."""
    with pytest.raises(ConfigError, match=r"n_frames, N, step_px[\s\S]*GiB"):
        simulate(SMALL.model_copy(update=too_much))


def test_a_geometry_is_all_three_lengths_and_makes_a_cxi_file(tmp_path) -> None:
    """The scan can then be written in metres, and comes back with the same positions."""
    from ptycho.data import open_scan, save_scan

    lengths = {"wavelength_m": 1e-10, "distance_m": 2.0, "detector_pixel_m": 55e-6}
    scan = simulate(SimulationConfig(N=16, n_frames=9, photons=1e5, **lengths))
    again = open_scan(save_scan(scan, tmp_path / "a.cxi"))
    np.testing.assert_allclose(again.positions_px, scan.positions_px, atol=1e-9)
    with pytest.raises(ConfigError, match="all three or none"):
        validated(SimulationConfig, wavelength_m=1e-10)


def test_progress_covers_intensities_and_photons() -> None:
    """Rises to the number of frames, half of it before photons are drawn."""
    told: list[int] = []
    simulate(
        SMALL.model_copy(update={"n_frames": 600}),
        progress=lambda done, total, info: told.append(done),
    )
    assert told == sorted(told) and told[-1] == 600 and 300 in told
