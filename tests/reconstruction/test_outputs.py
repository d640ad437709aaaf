"""What lies beside a reconstruction: pictures, TIFFs, a ptychodus product, intermediate values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.image import imread
from tifffile import imread as read_tiff

from ptycho.config import ReconstructConfig
from ptycho.data import open_scan
from ptycho.data.product import save_product
from ptycho.errors import UnitError
from ptycho.reconstruction.debug import dump_reconstruction
from ptycho.reconstruction.predict import reconstruct
from ptycho.report.reconstruction_files import write_pictures
from ptycho.result import Reconstruction
from ptycho.scan import Geometry, Scan
from ptycho.simulation import SimulationConfig, simulate


@pytest.fixture(scope="module")
def scan() -> Scan:
    made = simulate(SimulationConfig(N=32, n_frames=64, photons=1e5))
    return replace(made, geometry=Geometry(1e-10, 2.0, (1e-4, 2e-4)))


@pytest.fixture(scope="module")
def rec(scan: Scan) -> Reconstruction:
    return reconstruct(None, scan, untrained=3)


def test_tiffs_are_the_object_pixel_by_pixel(
    scan: Scan, rec: Reconstruction, tmp_path: Path
) -> None:
    paths = write_pictures(rec, tmp_path / "out.h5", scan)
    assert [path.name for path in paths] == [
        "out.png",
        "out_amplitude.png",
        "out_amplitude.tiff",
        "out_phase.png",
        "out_phase.tiff",
    ]
    amplitude, phase = (read_tiff(path) for path in (paths[2], paths[4]))
    assert amplitude.dtype == np.float32
    np.testing.assert_allclose(amplitude, np.abs(rec.object), rtol=1e-6)
    # The phase differs from the object's by one constant.
    turned = np.exp(1j * phase) * np.conj(rec.object / np.abs(rec.object))
    np.testing.assert_allclose(turned, turned[0, 0], atol=1e-5)
    region = rec.region()
    assert abs(np.angle(np.mean((np.abs(rec.object) * np.exp(1j * phase))[region]))) < 1e-6
    for path in (paths[0], paths[1], paths[3]):
        assert np.ptp(imread(path)[..., :3]) > 0.5


def test_a_product_tells_metres_and_reads_back(
    scan: Scan, rec: Reconstruction, tmp_path: Path
) -> None:
    path = save_product(rec, scan, tmp_path / "product.h5")
    row_m, col_m = scan.geometry.object_pixel_m(scan.N)  # type: ignore[union-attr]
    assert row_m == pytest.approx(2 * col_m)
    with h5py.File(path) as file:
        found = file["object"]
        assert found.attrs["pixel_height_m"] == pytest.approx(row_m)
        # The mapping of ptychodus: from metres to pixels of the object array.
        rows = file["probe_position_y_m"][:] / row_m + found.shape[-2] / 2
        np.testing.assert_allclose(rows, scan.positions_px[:, 0] - rec.origin_px[0], atol=1e-9)
        assert np.array_equal(found[0], rec.object)
        assert file["probe"].shape == (1, 1, 32, 32)
        assert file.attrs["probe_energy_eV"] == pytest.approx(12398.42, rel=1e-6)
    frames = {"patterns": scan.frames(np.arange(64)), "indexes": np.arange(64)}
    np.savez(tmp_path / "frames.npz", **frames)
    again = open_scan(path, frames=tmp_path / "frames.npz")
    np.testing.assert_allclose(again.positions_px, scan.positions_px, atol=1e-6)
    assert again.truth is None, "a reconstruction is no truth"
    np.testing.assert_allclose(again.probe, rec.probe, rtol=1e-6)


def test_a_product_without_geometry_is_refused_and_leaves_nothing(
    scan: Scan, rec: Reconstruction, tmp_path: Path
) -> None:
    with pytest.raises(UnitError, match="--no-product"):
        save_product(rec, replace(scan, geometry=None), tmp_path / "product.h5")
    assert list(tmp_path.iterdir()) == []


def test_the_dump_is_what_passed_through(scan: Scan, rec: Reconstruction, tmp_path: Path) -> None:
    config = ReconstructConfig(batch_size=8)
    paths = dump_reconstruction(None, scan, rec, tmp_path / "d", untrained=3, config=config)
    assert {path.name for path in paths} >= {
        "stats.json",
        "offsets.json",
        "canvas.json",
        "artifact_inventory.txt",
        "pred_patches_amp_grid.png",
    }
    stats = json.loads((tmp_path / "d/stats.json").read_text())
    assert stats["patch_amplitude"]["shape"] == [8, 4, 32, 32]
    assert 0.3 < stats["patch_amplitude"]["mean"] < 1.1
    assert stats["patch_amplitude"]["var_zero_mean"] > 1e-4
    # The far field of the patches, so their photons, are those of the frames.
    assert stats["expected_counts"]["mean"] == pytest.approx(stats["counts"]["mean"], rel=0.02)
    assert 0 < stats["residual_of_these_groups"]["value"] < 0.5
    canvas = json.loads((tmp_path / "d/canvas.json").read_text())
    assert canvas["object_shape"] == list(rec.object.shape) and canvas["patch_size"] == 32
    assert json.loads((tmp_path / "d/offsets.json").read_text())["count"] == 4 * 64
    listed = (tmp_path / "d/artifact_inventory.txt").read_text().splitlines()
    assert len(listed) == len(paths) - 1
