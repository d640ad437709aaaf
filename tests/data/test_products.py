"""ptychodus products, today's keys and the older: energy, far field, slices, and as a start."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.data import load_reconstruction, open_scan, save_product
from ptycho.evaluation import inspect_scan
from ptycho.result import Reconstruction
from ptycho.scan import Geometry, Scan

H_C, EV = 6.62607015e-34 * 299792458.0, 1.602176634e-19
WAVELENGTH, DISTANCE, PITCH = 1e-10, 2.0, 50e-6
N, M = 8, 5
PIXEL = WAVELENGTH * DISTANCE / (N * PITCH)
COUNTS = np.random.default_rng(5).poisson(6.0, (M, N, N)).astype(np.uint16)
POSITIONS = np.array([[5, 6], [5, 9.5], [9, 6], [9, 9.25], [13, 11.0]])
SHAPE, CENTRE = np.array([20, 18]), np.array([2e-6, -1e-6])
OBJECT = np.exp(1j * np.random.default_rng(2).random((1, *SHAPE)))


def content(**changes: object) -> dict[str, object]:
    """The flat names of version 1.7 with values; None leaves one out."""
    y_m, x_m = ((POSITIONS - SHAPE / 2) * PIXEL + CENTRE).T
    names: dict[str, object] = {
        "name": "by hand",
        "photon_energy_eV": H_C / WAVELENGTH / EV,
        "detector_object_distance_m": DISTANCE,
        "far_field": True,
        "probe_position_indexes": np.arange(M) + 3,
        "probe_position_x_m": x_m,
        "probe_position_y_m": y_m,
        "object": OBJECT,
        "object_layer_spacing_m": np.zeros(0),
        "object_center_y_m": CENTRE[0],
        "object_center_x_m": CENTRE[1],
        "probe": np.ones((1, 2, N, N), complex),
        **{f"{part}_pixel_{side}_m": PIXEL for part in ("object", "probe") for side in SIDES},
        **changes,
    }
    return {key: value for key, value in names.items() if value is not None}


SIDES = ("height", "width")


def product(path: Path, kind: str = "h5", **changes: object) -> Path:
    """A product as HDF5 (numbers are attributes) or NPZ (the same names flat)."""
    names = content(**changes)
    if kind == "npz":
        with path.open("wb") as stream:
            np.savez(stream, **names)
        return path
    with h5py.File(path, "w") as file:
        for key, value in names.items():
            part, _, rest = key.partition("_")
            if part in ("object", "probe") and rest.startswith(("pixel", "center")):
                continue
            if np.ndim(value) and not isinstance(value, str):
                file[key] = value
            else:
                file.attrs[key] = value
        for part in ("object", "probe"):
            for key, value in names.items():
                rest = key.removeprefix(f"{part}_")
                if rest != key and rest.startswith(("pixel", "center")):
                    file[part].attrs[rest] = value
    return path


def diffraction(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["patterns"], file["indexes"] = COUNTS, np.arange(M) + 3
    return path


@pytest.mark.parametrize("kind", ["h5", "npz"])
@pytest.mark.parametrize("key", ["photon_energy_eV", "probe_energy_eV"])
def test_the_energy_of_todays_products_and_of_older_ones(
    tmp_path: Path, kind: str, key: str
) -> None:
    energy = {"photon_energy_eV": None, key: H_C / WAVELENGTH / EV}
    path = product(tmp_path / "p", kind, **energy)
    scan = open_scan(path, frames=diffraction(tmp_path / "d.h5"))
    assert scan.geometry is not None
    assert scan.geometry.wavelength_m == pytest.approx(WAVELENGTH)
    assert scan.geometry.detector_pixel_m == pytest.approx((PITCH, PITCH))


@pytest.mark.parametrize("kind", ["h5", "npz"])
def test_a_near_field_product_has_the_pixels_of_the_detector(tmp_path: Path, kind: str) -> None:
    path = product(tmp_path / "p", kind, far_field=False)
    scan = open_scan(path, frames=diffraction(tmp_path / "d.h5"))
    assert scan.geometry is not None and scan.geometry.near_field
    assert scan.geometry.detector_pixel_m == pytest.approx((PIXEL, PIXEL))
    assert scan.geometry.object_pixel_m(N) == scan.geometry.detector_pixel_m
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-6)
    assert load_reconstruction(path).object.shape == tuple(SHAPE)


@pytest.mark.parametrize("kind", ["h5", "npz"])
def test_slices_and_a_probe_that_varies_are_said(tmp_path: Path, kind: str) -> None:
    """One slice and one probe are modelled: frames are taken, and the file's more is told."""
    path = product(
        tmp_path / "p",
        kind,
        object=np.repeat(OBJECT, 2, 0),
        object_layer_spacing_m=np.array([1e-6]),
        opr_weights=np.ones((M, 2)),
        probe=np.ones((2, 2, N, N), complex),
    )
    warnings = inspect_scan(open_scan(path, frames=diffraction(tmp_path / "d.h5")))["warnings"]
    assert any("2 layers" in text for text in warnings)
    assert any("opr_weights" in text for text in warnings)
    start = load_reconstruction(path)
    np.testing.assert_allclose(start.object, OBJECT[0] ** 2, rtol=1e-5)
    assert "2 layers" in str(start.meta["notes"])


@pytest.mark.parametrize("kind", ["h5", "npz"])
def test_a_product_is_a_start(tmp_path: Path, kind: str) -> None:
    """Object, probe and positions, in the frame that `open_scan` gives the product."""
    path = product(tmp_path / "p", kind)
    start = load_reconstruction(path)
    scan = open_scan(path, frames=diffraction(tmp_path / "d.h5"))
    np.testing.assert_allclose(start.object, OBJECT[0], rtol=1e-6)
    assert start.origin_px == (0.0, 0.0) and start.probe is not None
    np.testing.assert_allclose(start.positions_px, scan.positions_px, atol=1e-9)
    assert start.coverage[5, 6] > 0 and start.coverage[19, 0] == 0


def test_our_own_product_comes_back_as_a_start(tmp_path: Path) -> None:
    rec = Reconstruction(
        OBJECT[0], np.ones(SHAPE), (-3.5, 2.0), np.ones((2, N, N)), positions_px=POSITIONS + 0.25
    )
    scan = Scan(COUNTS, POSITIONS, geometry=Geometry(WAVELENGTH, DISTANCE, (PITCH, PITCH)))
    start = load_reconstruction(save_product(rec, scan, tmp_path / "p.h5"))
    assert start.origin_px == rec.origin_px
    np.testing.assert_array_equal(start.object, rec.object)
    np.testing.assert_array_equal(start.probe, rec.probe)
    np.testing.assert_allclose(start.positions_px, rec.positions_px, atol=1e-9)
