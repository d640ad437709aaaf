"""Overlap of discs against its closed form and a picture; overlaps of scans and groups."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.errors import UsageError
from ptycho.evaluation.metrics.probe_overlap import disc_overlap, scan_overlap
from ptycho.frames.groups import make_groups


def test_disc_overlap_at_known_distances_and_against_counted_pixels() -> None:
    """1 at 0, 0.391 at R, 0 from D on; elsewhere the pixels that two drawn discs share."""
    np.testing.assert_allclose(disc_overlap([0, 10, 20, 35], 20), [1, 0.391, 0, 0], atol=5e-4)
    rows, cols = np.indices((600, 900))
    disc = np.hypot(rows - 300, cols - 300) < 200
    for distance in (37, 150, 310):
        other = np.hypot(rows - 300, cols - 300 - distance) < 200
        shared = (disc & other).sum() / disc.sum()
        assert disc_overlap(distance, 400) == pytest.approx(shared, abs=3e-3)
    with pytest.raises(UsageError, match="diameter"):
        disc_overlap(1.0, 0.0)


def test_a_square_raster_has_the_overlaps_of_its_four_neighbours() -> None:
    """Step 5, diameter 20: four at 5, inside frames; groups of 2 × 2 hold 5 and 5√2."""
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(40), indexing="ij"), -1)
    positions = 5.0 * grid.reshape(-1, 2)
    found = scan_overlap(positions, 20.0, neighbours=4)
    assert found.linear == 0.75 and found.within_groups is None and found.between_groups is None
    assert found.between_frames == pytest.approx(float(disc_overlap(5.0, 20.0)), abs=0.01)
    groups = make_groups(positions, 2, rng=np.random.default_rng(0))
    grouped = scan_overlap(positions, 20.0, groups=groups)
    assert grouped.within_groups is not None and grouped.between_groups is not None
    low, high = (float(disc_overlap(d, 20.0)) for d in (10.0, 5.0))
    assert low < grouped.within_groups < high
    assert grouped.between_groups > grouped.within_groups


def test_denser_scans_overlap_more_and_lonely_frames_not_at_all() -> None:
    """Monotone in the step; one frame has nothing to share; far frames share nothing."""
    places = np.random.default_rng(0).uniform(0, 100, (200, 2))
    dense, sparse = (scan_overlap(f * places, 10.0).between_frames for f in (0.5, 2.0))
    assert dense is not None and sparse is not None and dense > sparse > 0
    one = scan_overlap(places[:1], 10.0)
    assert one.between_frames is None and one.linear is None
    far = scan_overlap(np.array([[0.0, 0.0], [500.0, 0.0]]), 10.0)
    assert far.between_frames == 0 and far.linear == 0
