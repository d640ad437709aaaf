"""Numbers that nobody can mean: each is an error with its place or a finding, never a warning of
NumPy, a traceback or silence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptycho.data import open_scan, save_scan
from ptycho.errors import UnitError, ValueRangeError
from ptycho.frames import Ways
from ptycho.scan import Geometry, Scan
from ptycho.simulation import SimulationConfig, simulate

DETECTOR, SOURCE = "entry_1/instrument_1/detector_1", "entry_1/instrument_1/source_1"
FRAMES, PLACES = f"{DETECTOR}/data", "entry_1/sample_1/geometry_1/translation"
M, N = 40, 32


@pytest.fixture(autouse=True)
def _no_warning_is_silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def written(path: Path, changes: dict[str, Any]) -> Path:
    """A CXI file of a clean scan in which these datasets are replaced."""
    made = simulate(SimulationConfig(N=N, n_frames=M, photons=1e5, amplitude="coins"))
    geometry = Geometry(1.5e-10, 1.0, (75e-6, 75e-6))
    save_scan(Scan(made.counts, made.positions_px, made.probe, geometry=geometry), path)
    with h5py.File(path, "a") as file:
        for key, change in changes.items():
            old = file[key][()]
            del file[key]
            with np.errstate(all="ignore"):
                file[key] = change(old) if callable(change) else change
    return path


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, -np.inf, 1e-300, 1e300])
@pytest.mark.parametrize("key", ["distance", "x_pixel_size", "wavelength"])
def test_a_length_that_is_none_is_an_error(tmp_path: Path, key: str, value: float) -> None:
    place = f"{SOURCE if key == 'wavelength' else DETECTOR}/{key}"
    changes = {place: value}
    path = written(tmp_path / "a.cxi", changes)
    with h5py.File(path, "a") as file:
        del file[f"{DETECTOR}/basis_vectors"]  # so that the pixel size counts
    for clean in ("auto", "off"):
        with pytest.raises(UnitError) as error:
            open_scan(path, ways=Ways(clean=clean))  # type: ignore[arg-type]
        assert "a.cxi" in str(error.value.where) and "ptycho" in str(error.value.fix)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, 8000.0])
def test_an_energy_that_is_not_the_wavelengths_is_told(tmp_path: Path, value: float) -> None:
    scan = open_scan(written(tmp_path / "a.cxi", {f"{SOURCE}/energy": value}))
    assert any("is not the energy of the wavelength" in note for note in scan.metadata["notes"])
    assert "notes" not in open_scan(written(tmp_path / "b.cxi", {})).metadata


def at(rows: Any, value: float) -> Any:
    def change(old: np.ndarray) -> np.ndarray:
        old[rows] = value
        return old

    return change


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e30, 1e300])
@pytest.mark.parametrize("rows", [3, (3, 0), slice(0, 5)], ids=["a frame", "a row", "five"])
def test_a_place_that_is_none_is_left_out(tmp_path: Path, rows: Any, value: float) -> None:
    scan = open_scan(
        written(tmp_path / "a.cxi", {PLACES: at(rows, value)}), ways=Ways(clean="auto")
    )
    assert scan.sanity is not None
    told = {one.code: one for one in scan.sanity}
    gone = [0, 1, 2, 3, 4] if isinstance(rows, slice) else [3]
    assert told["position-missing"].items == gone and scan.n_frames == M - len(gone)


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e300, -1e40])
def test_no_place_at_all_is_an_error(tmp_path: Path, value: float) -> None:
    path = written(tmp_path / "a.cxi", {PLACES: at(slice(None), value)})
    with pytest.raises(ValueRangeError, match="no frame has a position"):
        open_scan(path, ways=Ways(clean="auto"))


@pytest.mark.parametrize("value", [3.4e38, 1e300, np.inf])
def test_marks_of_floating_point_frames_are_masked(tmp_path: Path, value: float) -> None:
    path = written(
        tmp_path / "a.cxi",
        {FRAMES: lambda old: at((slice(None), slice(20, 22)), value)(old.astype(np.float64))},
    )
    scan = open_scan(path, ways=Ways(clean="auto"))
    assert scan.mask is not None and np.argwhere(~scan.mask)[:, 0].tolist() == [20] * N + [21] * N
    assert scan.probe is not None and np.isfinite(scan.probe).all()


@pytest.mark.parametrize("factor", [1e36, 1e300])
def test_counts_beyond_counting_are_an_error(tmp_path: Path, factor: float) -> None:
    path = written(tmp_path / "a.cxi", {FRAMES: lambda old: old.astype(np.float64) * factor})
    with pytest.raises(ValueRangeError, match=r"most of the values|no light in any frame"):
        open_scan(path, ways=Ways(clean="auto"))


def test_counts_of_no_photons_are_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.cxi", {FRAMES: lambda old: old.astype(np.float32) * 1e-30})
    scan = open_scan(path, ways=Ways(clean="auto"))
    assert scan.sanity is not None and "few-photons" in scan.sanity.codes


@pytest.mark.parametrize("factor", [1e30, 1e-30, 1e200])
def test_a_probe_of_any_scale_carries_the_photons(tmp_path: Path, factor: float) -> None:
    at_source = f"{SOURCE}/illumination"
    path = written(tmp_path / "a.cxi", {at_source: lambda old: old.astype(complex) * factor})
    scan = open_scan(path, ways=Ways(clean="auto"))
    assert scan.probe is not None
    assert float(np.sum(np.abs(scan.probe) ** 2)) == pytest.approx(1e5, rel=0.2)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_probe_that_is_no_number_is_an_error(tmp_path: Path, value: float) -> None:
    path = written(tmp_path / "a.cxi", {f"{SOURCE}/illumination": at((0, 3), value)})
    for clean in ("auto", "off"):
        with pytest.raises(ValueRangeError, match="probe contains NaN"):
            open_scan(path, ways=Ways(clean=clean))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [3.4e38, 1e300, 1e16])
def test_what_was_never_counted_is_an_error_where_nothing_is_cleaned(
    tmp_path: Path, value: float
) -> None:
    """A split of such a number into two parts ended in a traceback."""
    path = written(
        tmp_path / "a.cxi",
        {FRAMES: lambda old: at((slice(None), 3), value)(old.astype(np.float64))},
    )
    with pytest.raises(ValueRangeError, match="beyond counting"):
        open_scan(path, ways=Ways(clean="off"))
    scan = open_scan(written(tmp_path / "b.cxi", {}))
    counts = scan.frames(np.arange(M))
    counts[5, 3, 3] = min(value, 3.4e38)
    with pytest.raises(ValueRangeError, match=r"frame 5, pixel \(3, 3\)"):
        Scan(counts, scan.positions_px, scan.probe)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, 1e300])
@pytest.mark.parametrize("key", ["photon_energy_eV", "detector_object_distance_m"])
def test_a_product_with_a_length_that_is_none_is_an_error(
    tmp_path: Path, key: str, value: float
) -> None:
    """0 is how a product says that it does not know; less than that is a mistake."""
    made = simulate(SimulationConfig(N=N, n_frames=M, photons=1e5, amplitude="coins"))
    geometry = Geometry(1.5e-10, 1.0, (75e-6, 75e-6))
    path = save_scan(
        Scan(made.counts, made.positions_px, made.probe, geometry=geometry), tmp_path / "a.h5"
    )
    with h5py.File(path, "a") as file:
        names = [
            name for name in file.attrs if name == key or ("energy" in name and "energy" in key)
        ]
        assert names
        for name in names:
            file.attrs[name] = value
    with pytest.raises(UnitError) as error:
        open_scan(path)
    assert "a.h5" in str(error.value.where)


@pytest.mark.parametrize("value", [np.inf, 1e300, np.nan])
def test_the_places_of_an_npz_are_looked_at_too(tmp_path: Path, value: float) -> None:
    made = simulate(SimulationConfig(N=N, n_frames=M, photons=1e5, amplitude="coins"))
    path = save_scan(Scan(made.counts, made.positions_px, made.probe), tmp_path / "a.npz")
    with np.load(path) as file:
        arrays = dict(file)
    arrays["positions_px"][3, 1] = value
    np.savez(path, **arrays)
    scan = open_scan(path, ways=Ways(clean="auto"))
    assert scan.sanity is not None and scan.sanity.left_out == [3]
