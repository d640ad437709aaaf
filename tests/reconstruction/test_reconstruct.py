"""From frames to an object: the untrained control against a known object, and its errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho.config import ReconstructConfig
from ptycho.errors import DataError, UsageError
from ptycho.model.pinn import PtychoPINN
from ptycho.physics.scaling import Scaling
from ptycho.reconstruction.predict import reconstruct
from ptycho.result import Reconstruction
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(SimulationConfig(N=32, n_frames=144, photons=1e7))


def _error(rec: Reconstruction, scan: Scan) -> float:
    """Relative error against the truth in the scan frame, up to one complex factor."""
    assert scan.truth is not None
    rows, cols = np.nonzero(rec.region(0.3))
    found = rec.object[rows, cols]
    down, right = (round(rec.origin_px[axis] - scan.truth.origin_px[axis]) for axis in (0, 1))
    true = scan.truth.object[rows + down, cols + right]
    factor = np.vdot(found, true) / np.vdot(found, found)
    return float(np.linalg.norm(factor * found - true) / np.linalg.norm(true))


def test_more_untrained_steps_come_nearer_to_the_truth(scan: Scan) -> None:
    errors = [_error(reconstruct(None, scan, untrained=steps), scan) for steps in (1, 20)]
    assert errors[1] < 0.12
    assert errors[1] < 0.7 * errors[0]


def test_object_lies_where_the_scan_says(scan: Scan) -> None:
    """An origin that is wrong by a pixel, or swapped axes, would raise the error at once."""
    moved = replace(scan, positions_px=scan.positions_px + np.array([11.0, -7.0]))
    here, there = (reconstruct(None, s, untrained=5) for s in (scan, moved))
    assert np.subtract(there.origin_px, here.origin_px).tolist() == [11.0, -7.0]
    np.testing.assert_allclose(there.object, here.object, atol=1e-3)


def test_batch_size_and_spooling_change_nothing(scan: Scan) -> None:
    config = ReconstructConfig(batch_size=7, spool_mib=1)
    plain = reconstruct(None, scan, untrained=3)
    spooled = reconstruct(None, scan, untrained=3, config=config)
    np.testing.assert_allclose(spooled.object, plain.object, atol=1e-3)


@pytest.mark.parametrize("network", ["default", "cnn"])
def test_a_network_obeys_the_mask_and_background_of_the_scan(scan: Scan, network: str) -> None:
    """Trained without a mask, given a scan with gaps: what stands in the gaps must not matter."""
    part = replace(scan, counts=scan.frames(np.arange(36)), positions_px=scan.positions_px[:36])
    dose = float(np.sum(np.abs(scan.probe) ** 2))
    model = PtychoPINN(
        32, 2, scan.probe, Scaling(dose, np.sqrt(dose) / 32), network=network, estimate_steps=3
    )
    mask = np.ones((32, 32), bool)
    mask[12:15] = False
    zeros, wild = (
        replace(part, counts=np.where(mask, part.counts, value), mask=mask) for value in (0, 5e3)
    )
    as_it_is = ReconstructConfig(clean="off")  # or the look at the frames would mask what is wild
    scans = (zeros, wild, replace(wild, mask=None))
    found = [reconstruct(model, s, config=as_it_is).object for s in scans]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[2] - found[0]).max() > 1e-2
    if network == "default":
        brighter = replace(zeros, background=50.0)
        bright = reconstruct(model, brighter, config=as_it_is).object
        assert np.abs(bright - found[0]).max() > 1e-3


def test_progress_and_meta(scan: Scan) -> None:
    calls: list[tuple[int, int]] = []
    rec = reconstruct(None, scan, untrained=1, progress=lambda d, t, _: calls.append((d, t)))
    assert calls[-1] == (144, 144)
    assert rec.meta["method"] == "untrained" and rec.meta["estimate_steps"] == 1
    assert len(rec.meta["config_hash"]) == 16
    assert rec.coverage.min() >= 0 and rec.probe is not None


def test_what_cannot_be_done_is_said(scan: Scan) -> None:
    with pytest.raises(UsageError, match="--untrained"):
        reconstruct(None, scan)
    with pytest.raises(UsageError, match="at least one step"):
        reconstruct(None, scan, untrained=0)
    with pytest.raises(DataError, match="no probe"):
        reconstruct(None, replace(scan, probe=None), untrained=1)
