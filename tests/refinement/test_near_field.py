"""Scans of the near field: simulated, looked at, refined; whoever knows the far field says so."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ptycho.config import TrainConfig
from ptycho.data import open_scan, save_scan
from ptycho.errors import ConfigError, NearFieldError, UsageError, ValueRangeError
from ptycho.evaluation import evaluate, inspect_scan
from ptycho.frames import Ways, clean_scan
from ptycho.reconstruction import reconstruct
from ptycho.refinement import RefineConfig, refine
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate
from ptycho.training import train

WAVELENGTH, DISTANCE, PIXEL = 1e-10, 0.15, 1e-6
LENGTHS = {"wavelength_m": WAVELENGTH, "distance_m": DISTANCE, "detector_pixel_m": PIXEL}
CONFIG = SimulationConfig(
    N=32, n_frames=64, photons=1e5, amplitude="coins", phase="cells", near_field=True, **LENGTHS
)


@cache
def near() -> Scan:
    return simulate(CONFIG)


def other_field(scan: Scan) -> Scan:
    assert scan.geometry is not None
    return replace(scan, geometry=replace(scan.geometry, near_field=not scan.geometry.near_field))


def codes(scan: Scan) -> list[str]:
    looked = clean_scan(scan, "report")
    assert looked.sanity is not None
    return [finding.code for finding in looked.sanity.findings]


def test_a_frame_is_the_sum_of_its_plane_waves() -> None:
    """As dense matrices, with the textbook's root: independent of any FFT."""
    scan = simulate(
        CONFIG.model_copy(update={"poisson": False, "trajectory": "raster", "step_px": 3.0})
    )
    assert scan.truth is not None and scan.probe is not None
    n, frame = scan.N, 9
    row, col = (scan.positions_px[frame] - scan.truth.origin_px - n // 2).astype(int)
    field = scan.truth.object[row : row + n, col : col + n] * scan.probe[0].astype(complex)
    k = np.arange(n) - n // 2
    there = np.exp(-2j * np.pi * np.outer(k, np.arange(n)) / n)
    q = k / (n * PIXEL)
    root = np.sqrt(1 / WAVELENGTH**2 - q[:, None] ** 2 - q[None, :] ** 2)
    spectrum = (there @ field @ there.T) * np.exp(2j * np.pi * DISTANCE * (root - 1 / WAVELENGTH))
    expected = np.abs(there.conj().T @ spectrum @ there.conj() / n**2) ** 2
    assert np.abs(expected - np.abs(field) ** 2).max() > 0.3 * expected.max()  # the way does matter
    # The scan keeps counts in float32, object and probe in complex64; the largest count is 10³.
    np.testing.assert_allclose(scan.counts[frame], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("distance", [DISTANCE, 0.32])
def test_the_simulator_is_the_model(distance: float) -> None:
    """Two implementations: NumPy's in the simulator, the operators' in the refinement."""
    from ptycho import physics

    asked = {"poisson": False, "trajectory": "raster", "step_px": 3.0, "distance_m": distance}
    scan = simulate(CONFIG.model_copy(update=asked))
    assert scan.truth is not None and scan.probe is not None
    row, col = (scan.positions_px[5] - scan.truth.origin_px - scan.N // 2).astype(int)
    patch = scan.truth.object[None, row : row + scan.N, col : col + scan.N]
    way = physics.transfer_function(scan.N, (PIXEL, PIXEL), WAVELENGTH, distance)
    model = physics.multislice([patch], scan.probe, physics.Optics(detector=way))
    found = np.asarray(physics.backend.concrete(model))[0]
    # As above, and the model works in single precision.
    np.testing.assert_allclose(scan.counts[5], found, rtol=1e-5, atol=1e-4)


def test_a_distance_that_the_grid_cannot_follow_is_refused_and_told() -> None:
    """N·pixel² ≥ λz: 0.32 m of 32 pixels of 1 µm at 1 Å."""
    with pytest.raises(ConfigError, match=r"at most N·pixel²/wavelength = 0\.32"):
        SimulationConfig(**CONFIG.model_dump() | {"distance_m": 0.33})
    with pytest.raises(ConfigError, match="near_field needs"):
        SimulationConfig(N=32, near_field=True)
    scan = near()
    assert scan.geometry is not None and codes(scan) == []
    beyond = replace(scan, geometry=replace(scan.geometry, distance_m=0.33))
    assert "near-field-grid" in codes(beyond)
    with pytest.raises(ValueRangeError, match="farther than this grid"):
        refine(beyond, config=RefineConfig(passes=1))


def test_refinement_recovers_object_and_probe() -> None:
    """From the probe of another curvature; without the way to the detector there is no image."""
    scan, other = near(), simulate(CONFIG.model_copy(update={"probe_curvature_rad": 5.0}))
    assert scan.probe is not None and other.probe is not None
    result = refine(replace(scan, probe=other.probe), config=RefineConfig(passes=60))
    assert result.reconstruction.meta["forward_model"] == "near field"
    scores = evaluate(result.reconstruction, scan)
    assert scores["amplitude"]["ssim"] > 0.9 and scores["phase"]["ssim"] > 0.8
    found, truth = result.reconstruction.probe, scan.probe[0]
    assert found is not None
    alike = abs(np.vdot(found[0], truth)) / np.linalg.norm(found[0]) / np.linalg.norm(truth)
    before = abs(np.vdot(other.probe, truth)) / np.linalg.norm(other.probe) / np.linalg.norm(truth)
    assert before < 0.97 and 1 - alike < 0.2 * (1 - before)
    known = RefineConfig(passes=10, update_probe=False, regularise="off")
    right, wrong = refine(scan, config=known), refine(other_field(scan), config=known)
    assert wrong.reconstruction.meta["forward_model"] == "far field"
    assert wrong.residual > 3 * right.residual


def test_a_missing_probe_is_found() -> None:
    """It begins as the mean pattern brought back; what is flat in the phase comes last."""
    scan = near()
    result = refine(replace(scan, probe=None), config=RefineConfig(passes=80))
    scores = evaluate(result.reconstruction, scan)
    assert scores["amplitude"]["ssim"] > 0.85 and scores["phase"]["ssim"] > 0.45


def test_frames_that_belie_the_field_of_the_scan_are_told() -> None:
    """Far field by the file and near by the frames, and the other way; nothing in honest scans."""
    far = simulate(CONFIG.model_copy(update={"near_field": False}))
    assert "other-field" not in codes(near()) + codes(far)
    assert "other-field" in codes(other_field(near()))
    assert "other-field" in codes(other_field(far))


def test_inspect_says_which_model_and_why() -> None:
    assert inspect_scan(near())["forward_model"].startswith("near field, since the file says so")
    far = inspect_scan(other_field(near()))
    assert far["forward_model"].startswith("far field: the default")
    assert inspect_scan(near())["object_pixel_m"] == [PIXEL, PIXEL]


@pytest.mark.parametrize("name", ["a.npz", "a.cxi", "a.h5"])
def test_our_files_keep_the_field(tmp_path: Path, name: str) -> None:
    for scan in (near(), simulate(CONFIG.model_copy(update={"near_field": False}))):
        again = open_scan(save_scan(scan, tmp_path / name))
        assert again.geometry is not None and scan.geometry is not None
        assert again.geometry.near_field is scan.geometry.near_field
        np.testing.assert_allclose(again.positions_px, scan.positions_px, atol=1e-6)


def test_frames_are_cropped_on_one_grid_and_not_binned(tmp_path: Path) -> None:
    path = save_scan(near(), tmp_path / "a.npz")
    scan = open_scan(path, ways=Ways(crop=24))
    np.testing.assert_allclose(scan.positions_px, near().positions_px)
    assert scan.probe is not None and near().probe is not None
    np.testing.assert_array_equal(scan.probe, near().probe[:, 4:28, 4:28])  # type: ignore[index]
    assert scan.truth is not None
    with pytest.raises(UsageError, match="bins of a near field"):
        open_scan(path, ways=Ways(bin=2))


def test_what_knows_the_far_field_only_says_so(tmp_path: Path) -> None:
    with pytest.raises(NearFieldError, match="a network knows the far field only") as said:
        train(near(), TrainConfig(epochs=1), tmp_path / "run")
    assert "ptycho refine" in str(said.value) and not (tmp_path / "run").exists()
    with pytest.raises(NearFieldError, match="far field only"):
        reconstruct(None, near(), untrained=3)
