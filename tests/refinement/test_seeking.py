"""Frames that are explained worst look for a better place around them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho.refinement import RefineConfig, refine, seeking
from ptycho.refinement.places import affine_part
from ptycho.simulation import SimulationConfig, simulate

FRAMES = 40


def look(away: np.ndarray, limit_px: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Where frames come to that are `away` from their places, and how far from them that is.

    How badly a frame is explained grows with its distance and has a valley at every third of a
    pixel, so that no slope leads home.
    """
    true = np.random.default_rng(0).uniform(0, 50, (FRAMES, 2))
    home = true + away

    def fits(indices: np.ndarray, positions: np.ndarray) -> np.ndarray:
        distance = np.linalg.norm(positions - true[indices], axis=1)
        return distance + 0.1 * np.sin(6 * np.pi * distance) ** 2

    moved = seeking.seek(fits, home, home, limit_px)
    return np.abs(moved - home).max(axis=1), np.linalg.norm(moved - true, axis=1)


def test_the_worst_come_near_their_places_from_afar() -> None:
    away = np.zeros((FRAMES, 2))
    away[3], away[11], away[20] = (5.2, -4.1), (-3.3, 0.4), (1.4, 1.7)
    moved, distance = look(away)
    assert distance.max() < np.sqrt(0.5)
    assert set(np.flatnonzero(moved)) == {3, 11, 20}


def test_no_frame_moves_farther_than_it_may_and_none_without_gain() -> None:
    away = np.zeros((FRAMES, 2))
    away[7] = (6.0, 0.0)
    moved, _ = look(away, limit_px=2.5)
    assert moved[7] == 2.5 and np.count_nonzero(moved) == 1
    assert not look(np.zeros((FRAMES, 2)))[0].any()


@pytest.mark.training
def test_random_errors_of_more_than_the_detail_of_the_object_are_found() -> None:
    """1.5 px an axis: three frames in a hundred are off by more than 4 px."""
    setting = SimulationConfig(
        N=32, n_frames=144, photons=1e5, probe_diameter_px=16, kernel="fourier"
    )
    scan = simulate(setting)
    wrong = np.random.default_rng(0).normal(scale=1.5, size=scan.positions_px.shape)
    given = replace(scan, positions_px=scan.positions_px + wrong)
    config = RefineConfig(passes=100, positions="frames", position_limit_px=6, update_probe=False)
    found = refine(given, config=config).reconstruction.positions_px
    _, rest = affine_part(scan.positions_px, found - scan.positions_px)
    assert np.sqrt((rest**2).sum(axis=1).mean()) < 0.2
