"""The light of each frame, where it is uneven: found fast, and never as a ramp over the scan.

A ramp is a gauge: s_j·exp(−k·r_j) for the light of the frames, O·exp(k·x/2) for the object and
P·exp(−k·r/2) for the probe leave every frame as it is.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ptycho.frames import clean_scan
from ptycho.refinement import RefineConfig, refine
from ptycho.refinement import start as setup
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

M = 100


@cache
def even() -> Scan:
    return simulate(SimulationConfig(N=32, n_frames=M, photons=1e5, step_px=3.2, kernel="fourier"))


@cache
def light() -> np.ndarray:
    return np.random.default_rng(5).uniform(0.4, 1.6, M)


@cache
def uneven() -> Scan:
    counts = np.random.default_rng(6).poisson(0.6 * even().counts * light()[:, None, None])
    return replace(even(), counts=counts.astype(np.float32))


def parts(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Values of the frames without mean and ramp; the largest slope per pixel."""
    places = even().positions_px - even().positions_px.mean(axis=0)
    away = values - values.mean()
    slope = np.linalg.solve(places.T @ places, places.T @ away)
    return away - places @ slope, float(np.abs(slope).max())


def test_uneven_light_is_found_to_two_per_cent() -> None:
    rec = refine(uneven(), config=RefineConfig(passes=40, regularise="off")).reconstruction
    found = np.log(np.array(rec.meta["flux"]))
    rest, _ = parts(found - np.log(light()))
    assert rest.std() < 0.02
    assert parts(found)[1] < 1e-4


def test_a_ramp_of_the_specimen_is_not_taken_for_light() -> None:
    flux = clean_scan(uneven()).flux
    assert flux is not None
    assert parts(np.log(flux))[1] < 1e-6
    assert np.corrcoef(np.log(flux), np.log(light()))[0, 1] > 0.9


def test_what_a_monitor_measured_keeps_its_ramp() -> None:
    slope = np.array([0.01, -0.02])
    told = np.exp((even().positions_px - even().positions_px.mean(axis=0)) @ slope)
    frames = setup.Frames(
        replace(even(), flux=told / told.mean()), RefineConfig(), np.random.default_rng(0)
    )
    rng, every = np.random.default_rng(1), np.arange(M)
    for _ in range(5):
        ramp = np.exp((even().positions_px - 40) @ [0.003, 0.002])
        frames.brighten(every, ramp * rng.uniform(0.8, 1.25, M))
    assert frames.light is not None
    rest, slope = parts(np.log(np.asarray(frames.light, np.float64)) - np.log(told))
    assert slope < 1e-6
    assert rest.std() > 0.05


def test_a_known_probe_tells_the_ramp_too() -> None:
    """Slowly. The light goes along with the object, and their steps together stay stable."""
    slope = np.array([0.004, -0.006])
    ramp = np.exp((even().positions_px - even().positions_px.mean(axis=0)) @ slope)
    true = light() * ramp
    counts = np.random.default_rng(6).poisson(0.6 * even().counts * true[:, None, None])
    scan = replace(even(), counts=counts.astype(np.float32))
    config = RefineConfig(passes=40, regularise=0.1, update_probe=False)
    rec = refine(scan, config=config).reconstruction
    away = np.log(np.array(rec.meta["flux"])) - np.log(true)
    rest, left = parts(away)
    assert rest.std() < 0.03
    assert left < 0.75 * np.abs(slope).max()


@pytest.mark.parametrize(
    "settings",
    [
        {"passes": 40, "whole_share": 1.0, "opr": 1},
        {"passes": 20, "loss": "poisson", "update_probe": False},
        {"passes": 6, "loss": "poisson", "update_probe": False},
    ],
)
def test_the_light_is_looked_at_where_all_passes_are_of_the_whole_scan(settings: dict) -> None:
    """Light so little uneven that only the model tells it."""
    little = light() ** 0.25
    counts = np.random.default_rng(6).poisson(0.6 * even().counts * little[:, None, None])
    scan = replace(even(), counts=counts.astype(np.float32))
    config = RefineConfig(regularise=0.1, **settings)
    meta = refine(scan, config=config).reconstruction.meta
    assert [row["code"] for row in meta["sanity"]["findings"]] == ["flux-drift"]
    rest, _ = parts(np.log(np.array(meta["flux"])) - np.log(little))
    assert rest.std() < 0.05 < np.log(little).std()
    assert len(meta["history"]) == settings["passes"]


@pytest.mark.parametrize("passes", [6, 11])
def test_fields_that_begin_anew_are_the_result_only_where_they_come_as_far(passes: int) -> None:
    """After five passes the light is told uneven. The flat object that the fields then begin with
    was once kept as the best state, with the deviance of the fields before it."""
    little = light() ** 0.25
    counts = np.random.default_rng(6).poisson(0.6 * even().counts * little[:, None, None])
    scan = replace(even(), counts=counts.astype(np.float32))
    result = refine(scan, config=RefineConfig(passes=passes, regularise="off"))
    history, meta = result.history, result.reconstruction.meta
    assert [row["code"] for row in meta["sanity"]["findings"]] == ["flux-drift"]
    assert result.residual < 1.1 * min(row["residual"] for row in history)
    begun = 5 if passes > 10 else 0
    told = [row["held_out_deviance"] for row in history[begun:]]
    assert meta["held_out_deviance"] == min(told)


@pytest.mark.parametrize("photons", [3.0, 8.0, 40.0])
def test_light_that_is_even_is_not_called_uneven_for_want_of_photons(photons: float) -> None:
    """A frame that happened to see no photon has a factor of 0, whose logarithm was -14."""
    rng = np.random.default_rng(3)
    few = replace(even(), counts=rng.poisson(even().counts * photons / 1e5).astype(np.float32))
    frames = setup.Frames(few, RefineConfig(), np.random.default_rng(0))
    frames.brighten(np.arange(M), few.photons_per_frame() / few.photons_per_frame().mean())
    assert frames.require_even_light() is None
    assert frames.light is None


@pytest.mark.parametrize("gain", [0.1, 1.0])
def test_the_light_comes_to_rest_whatever_the_fields_take_back(gain: float) -> None:
    """The factor that a pass tells is a share of what is missing: the fields take the rest."""
    frames = setup.Frames(even(), RefineConfig(flux=True), np.random.default_rng(0))
    wanted, _ = parts(np.log(light()))
    for _ in range(60):
        assert frames.light is not None
        missing, _ = parts(wanted - np.log(np.asarray(frames.light, np.float64)))
        frames.brighten(np.arange(M), np.exp(gain * missing))
    assert frames.light is not None
    rest, _ = parts(wanted - np.log(np.asarray(frames.light, np.float64)))
    assert np.abs(rest).max() < 0.02
