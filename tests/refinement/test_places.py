"""What the positions share: scale, rotation, shear, drift, backlash, found before each its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho.evaluation import evaluate
from ptycho.refinement import RefineConfig, refine
from ptycho.refinement.places import (
    Places,
    affine_columns,
    affine_part,
    shared_columns,
    smooth_field,
)
from ptycho.refinement.placing import FRAMES_GAIN, GAIN, affine_facts, find_places
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate


@pytest.fixture(scope="module")
def scan() -> Scan:
    """Read by another sub-pixel kernel than the model's."""
    return simulate(
        SimulationConfig(N=32, n_frames=144, photons=3e5, probe_diameter_px=16, kernel="fourier")
    )


def turned(positions: np.ndarray, degrees: float, scale: float) -> np.ndarray:
    """Turned about the mean and scaled."""
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    centre = positions.mean(axis=0)
    return centre + scale * (positions - centre) @ np.array([[cosine, sine], [-sine, cosine]])


def apart(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """R.m.s. distance without a common shift, and without the affine part as well, px."""
    away = found - true
    away = away - away.mean(axis=0)
    _, rest = affine_part(true, away)
    return tuple(float(np.sqrt((each**2).sum(1).mean())) for each in (away, rest))


def test_columns_are_orthonormal_shift_nothing_and_span_what_they_should(scan):
    positions = scan.positions_px
    columns = shared_columns(positions, np.arange(len(positions)))
    flat = columns.reshape(-1, columns.shape[2])
    gram = flat.T @ flat / len(positions)
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-9)
    np.testing.assert_allclose(columns.mean(axis=0), 0, atol=1e-9)
    time = np.linspace(0, 1, len(positions))[:, None]
    for moved in (turned(positions, 3.0, 1.0), positions * 1.02, positions + [[3, -2]] * time**2):
        away = (moved - positions) - (moved - positions).mean(axis=0)
        rest = away.ravel() - flat @ np.linalg.lstsq(flat, away.ravel(), rcond=None)[0]
        assert np.abs(rest).max() < 0.1 * np.abs(away).max()


def test_a_shared_step_is_the_weighted_least_squares_of_all_frames_and_bounded():
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 40, (60, 2))
    columns = affine_columns(positions)
    grip = rng.uniform(0.1, 5, (60, 2))
    grip[:20] = 0  # dark frames: whatever they say counts nothing
    wanted = columns @ np.array([0.05, -0.1, 0.02, 0.03])
    told = np.where(grip > 0, wanted, 50.0)
    np.testing.assert_allclose(Places(columns).step(told, grip), wanted, atol=1e-4)
    assert np.abs(Places(columns).step(100 * told, grip)).max() == pytest.approx(0.4)
    places = Places(columns)
    first, second = places.step(0.01 * wanted, grip * (grip > 0)), places.step(0.01 * wanted, grip)
    assert np.linalg.norm(second) > np.linalg.norm(first), "agreeing steps grow"
    third = places.step(-0.01 * wanted, grip)
    assert np.linalg.norm(third) < np.linalg.norm(second), "opposite ones halve"


def test_frames_that_share_nothing_stay():
    """A single frame has no scale and no rotation; a LinAlgError said so."""
    places = Places(np.zeros((1, 2, 4)))
    np.testing.assert_array_equal(places.step(np.ones((1, 2)), np.ones((1, 2))), 0.0)


def test_the_field_of_moves_is_read_between_frames():
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 50, (80, 2))

    def field(at: np.ndarray) -> np.ndarray:
        return np.stack([0.02 * at[:, 0] - 1, 1e-3 * at[:, 0] * at[:, 1]], axis=1)

    at = rng.uniform(5, 45, (30, 2))
    np.testing.assert_allclose(smooth_field(positions, field(positions), at), field(at), atol=1e-9)


def test_scale_rotation_and_drift_are_taken_out(scan):
    """The image is as good as with the true positions; what is told is what was done."""
    config = RefineConfig(passes=40, positions=True, regularise="off", clean="off")
    good = evaluate(refine(scan, config=RefineConfig(passes=40)).reconstruction, scan)
    time = np.linspace(-1, 1, scan.n_frames)[:, None]
    for degrees, scale, drift in ((0.0, 1.06, 0.0), (4.0, 1.0, 2.0)):
        places = turned(scan.positions_px, degrees, scale) + drift * time * [[0.8, 0.6]]
        wrong = replace(scan, positions_px=places)
        result = refine(wrong, config=config)
        rec = result.reconstruction
        told = rec.meta["shared_positions"]
        assert told["kept"] and told["deviance_gain"] > 0.02
        # A drift along a raster is partly a rotation: the whole error says what is to be told.
        by, _ = affine_part(places, scan.positions_px - places)
        wanted = affine_facts(by)
        assert told["rotation_deg"] == pytest.approx(wanted["rotation_deg"], abs=0.6)
        assert told["scale"] == pytest.approx(wanted["scale"], abs=0.015)
        whole, rest = apart(rec.positions_px, scan.positions_px)
        assert rest < 0.15 and whole < 0.4 * apart(places, scan.positions_px)[0]
        found = evaluate(rec, scan)
        assert found["phase"]["ssim"] > good["phase"]["ssim"] - 0.03
        assert rec.meta["config"]["positions"] == "all"


def test_right_positions_stay(scan):
    """Here 0.1 px of scale takes up kernel error and gains 1.4 %: not enough to be kept."""
    result = refine(scan, config=RefineConfig(passes=10, positions="shared", regularise="off"))
    told = result.reconstruction.meta["shared_positions"]
    assert not told["kept"] and told["deviance_gain"] < GAIN
    np.testing.assert_array_equal(result.reconstruction.positions_px, scan.positions_px)


def test_random_errors_are_no_displacement_that_all_share(scan):
    """They have an affine part and a drift by chance; what each frame does by itself tells."""
    away = np.random.default_rng(3).normal(size=(scan.n_frames, 2)) * 0.6
    wrong = replace(scan, positions_px=scan.positions_px + away)
    found = find_places(wrong, RefineConfig(positions="all"))
    assert found.record["deviance_gain"] > GAIN and not found.record["kept"]
    assert found.record["deviance_gain_of_frames"] < FRAMES_GAIN
    np.testing.assert_array_equal(found.positions_px, wrong.positions_px)

    centre = scan.positions_px.mean(axis=0)
    also = replace(wrong, positions_px=wrong.positions_px + 0.06 * (scan.positions_px - centre))
    mixed = find_places(also, RefineConfig(positions="all"))
    assert mixed.record["kept"] and mixed.record["scale"] < 0.98
