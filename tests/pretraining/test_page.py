"""The page of the prior: where on the scan it gains, and what little overlap is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts/benchmarks"))

import prior as page  # noqa: E402

from ptycho.pretraining import EMPTIED, judged_scan  # noqa: E402


def test_each_part_of_the_scan_has_its_own_mean_and_error() -> None:
    rng = np.random.default_rng(0)
    positions, gain = rng.uniform(5, 90, (600, 2)), rng.standard_normal(600)
    found = page.regions(gain, positions)
    side = np.ptp(positions, axis=0) / page.SIDE
    for row in range(page.SIDE):
        for col in range(page.SIDE):
            low = positions.min(axis=0) + side * (row, col)
            mine = gain[((positions >= low) & (positions <= low + side + 1e-9)).all(axis=1)]
            assert found[row][col] == pytest.approx(
                (mine.mean(), mine.std() / np.sqrt(mine.size)), rel=1e-9
            )


def test_the_halves_are_those_of_the_specimen() -> None:
    """Frames whose probe lies in the half that was made even, and those whose probe does not."""
    scan = judged_scan(EMPTIED, 1e4, 100, 1)
    assert scan.truth is not None
    even = np.isclose(scan.truth.object, 0.75 * np.exp(0.5j))
    rows, cols = (
        np.round(scan.positions_px - scan.truth.origin_px).astype(int)[:, axis] for axis in (0, 1)
    )
    share = np.array(
        [even[r - 10 : r + 10, c - 10 : c + 10].mean() for r, c in zip(rows, cols, strict=True)]
    )
    found = page.halves(share, scan)
    assert found["emptied"][0] == pytest.approx(1) and found["full"][0] < 0.05


def test_the_rows_of_little_overlap_say_whether_the_gain_is_met() -> None:
    row = {"overlap": 0.4, "frames": 81, "case": "A", "plain": (0.7, 0.6), "prior": (0.76, 0.6)}
    rows = [row, {**row, "prior": (0.78, 0.7)}, {**row, "case": "R", "prior": (0.72, 0.7)}]
    told = list(page.sparse_words(rows))[2:]
    assert "+0.070 / +0.050" in told[0] and told[0].endswith("met |") and "| 2 |" in told[0]
    assert "+0.020 / +0.100" in told[1] and told[1].endswith("missed |")
