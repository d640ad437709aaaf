"""Counters that ran over: what lies beyond the largest number of their type began again at 0."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ptycho.frames import Report, clean_scan
from ptycho.scan import Measured, Scan
from ptycho.simulation import SimulationConfig, simulate


@cache
def bright() -> Scan:
    return simulate(SimulationConfig(N=32, n_frames=60, photons=1e6, probe_diameter_px=12))


def seen(counts: np.ndarray) -> Report:
    scan = bright()
    raw = Measured(counts=counts, positions_px=scan.positions_px, probe=None)
    report = clean_scan(raw, "auto").sanity
    assert report is not None
    return report


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("over", [1.5, 4.0])
def test_counts_that_ran_over_are_told(dtype: type, over: float) -> None:
    """The largest true count is so many times that of the type."""
    top = np.iinfo(dtype).max
    true = bright().counts * (over * top / bright().counts.max())
    report = seen((np.rint(true) % (top + 1.0)).astype(dtype))
    [finding] = [found for found in report if found.code == "counts-wrapped"]
    assert finding.done == "nothing" and finding.evidence["leaps_between_neighbours"] > 10


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("share", [0.5, 0.98, 1.0, 3.0])
def test_counts_that_did_not_are_not(dtype: type, share: float) -> None:
    """Below the top, just there, and clipped."""
    top = 65535.0 if dtype is np.float32 else float(np.iinfo(dtype).max)
    true = np.minimum(np.rint(bright().counts * (share * top / bright().counts.max())), top)
    assert "counts-wrapped" not in seen(true.astype(dtype)).codes
