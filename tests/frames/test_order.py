"""Do the frames belong to their positions? Told where patterns of neighbours say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptycho.data import open_scan
from ptycho.frames import clean_scan
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

M = 120


def scan(trajectory: str, photons: float = 1e5, seed: int = 0) -> Scan:
    return simulate(
        SimulationConfig(
            N=32,
            n_frames=M,
            photons=photons,
            amplitude="coins",
            phase="gravel",
            trajectory=trajectory,  # type: ignore[arg-type]
            step_px=2.5,
            seed=seed,
        )
    )


def reordered(scan: Scan, order: np.ndarray) -> Scan:
    return replace(scan, counts=scan.counts[order])


EVERY = np.arange(M)
ORDERS: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "a frame late": (lambda: np.roll(EVERY, 1), "frame k + 1 belongs"),
    "three frames early": (lambda: np.roll(EVERY, -3), "frame k - 3 belongs"),
    "backwards": (lambda: EVERY[::-1], "in reverse order"),
    "shuffled": (lambda: np.random.default_rng(1).permutation(M), "another order"),
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("photons", [1e4, 1e7])
def test_frames_at_the_positions_of_others_are_told(name: str, photons: float) -> None:
    order, words = ORDERS[name]
    found = clean_scan(reordered(scan("random", photons), order()))
    assert found.sanity is not None
    told = {one.code: one for one in found.sanity}
    assert words in told["frames-order"].evidence["perhaps"]
    assert told["frames-order"].done == "nothing"


@pytest.mark.parametrize("trajectory", ["random", "fermat", "raster", "jittered"])
def test_frames_at_their_own_positions_are_not(trajectory: str) -> None:
    for seed in range(3):
        found = clean_scan(scan(trajectory, 10 ** (3 + 2 * seed), seed))
        assert found.sanity is not None and "frames-order" not in found.sanity.codes


@pytest.mark.parametrize("seed", range(4))
def test_a_raster_that_is_mixed_up_is_told(seed: int) -> None:
    mixed = np.random.default_rng(seed).permutation(M)
    found = clean_scan(reordered(scan("jittered", 2e5, 1), mixed))
    assert found.sanity is not None and "frames-order" in found.sanity.codes
    assert found.flux is None


def test_light_is_not_scaled_by_that_of_other_frames() -> None:
    """A raster of 9 × 10 whose list is a frame late: what neighbours differ by is not the beam."""
    config = SimulationConfig(
        N=32, n_frames=90, photons=2e5, amplitude="camera", phase="gravel", seed=1,
        trajectory="jittered", step_px=3.2,
    )  # fmt: skip
    right = simulate(config)
    for late in (1, 2, -1):
        found = clean_scan(reordered(right, np.roll(np.arange(90), late)))
        assert found.sanity is not None and "frames-order" in found.sanity.codes
        assert found.flux is None


def test_an_empty_frame_does_not_hide_that_the_list_begins_too_late() -> None:
    late = reordered(scan("random"), np.roll(EVERY, 1))
    late.counts[7] = 0
    found = clean_scan(late)
    assert found.sanity is not None and {"frames-order", "frame-empty"} <= found.sanity.codes


@pytest.mark.real
def test_the_measured_star_is_in_order_until_it_is_mixed_up(siemens_star_path: Path) -> None:
    """Its patterns repeat: most are more like some elsewhere than like those beside them."""
    star = open_scan(siemens_star_path)
    mixed = star.positions_px[np.random.default_rng(0).permutation(star.n_frames)]
    for positions, told in ((star.positions_px, False), (mixed, True)):
        report = clean_scan(replace(star, positions_px=positions), "auto").sanity
        assert report is not None
        assert ("frames-order" in report.codes) == told
        assert not report.left_out and not report.masked
