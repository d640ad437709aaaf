"""The orientation is found by held-out counts, up to half a turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho.errors import DataError
from ptycho.refinement import find_orientation
from ptycho.refinement.orientation import NAMES, turned
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(SimulationConfig(N=32, n_frames=64, photons=1e5, seed=2))


@pytest.mark.parametrize(
    ("turn", "undone"),
    [
        ("as the file says", "as the file says"),
        ("transposed, rows reversed", "transposed, columns reversed"),
    ],
)
def test_frames_that_were_turned_are_turned_back(scan: Scan, turn: str, undone: str) -> None:
    wrong = turned(scan, NAMES[turn])
    found = find_orientation(wrong)
    assert found.decided, found.sentence()
    assert found.name == undone
    assert found.margin > 5 * found.error
    assert set(found.deviances) == set(NAMES)
    assert found.partner in found.sentence()
    np.testing.assert_array_equal(turned(wrong, found.ways).counts, scan.counts)


def test_a_turn_moves_the_frames_and_not_the_probe(scan: Scan) -> None:
    got = turned(scan, {"transpose": True})
    np.testing.assert_array_equal(got.counts, scan.counts.swapaxes(1, 2))
    np.testing.assert_array_equal(got.probe, scan.probe)


def test_counts_that_cannot_be_held_out_decide_nothing(scan: Scan) -> None:
    with pytest.raises(DataError, match="held-out"):
        find_orientation(replace(scan, counts=scan.counts * np.linspace(0.6, 0.8, scan.N)))
