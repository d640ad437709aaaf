"""HDF5 formats built by hand with h5py from their specifications, then read."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.data import open_scan, save_scan
from ptycho.errors import (
    DamagedFileError,
    LinkError,
    MissingKeyError,
    PtychoError,
    ShapeError,
    UnitError,
    UnknownFormatError,
    ValueRangeError,
    WrongTypeError,
)
from ptycho.frames import Ways
from ptycho.scan import Geometry, Scan, Truth

H_C = 6.62607015e-34 * 299792458.0
WAVELENGTH, DISTANCE, PITCH = 1e-10, 2.0, 50e-6
N, M = 8, 6
PIXEL = WAVELENGTH * DISTANCE / (N * PITCH)
COUNTS = np.random.default_rng(3).poisson(4.0, (M, N, N)).astype(np.int32)
POSITIONS = np.array([[0, 0], [0, 3.5], [0, 7], [4, 1], [4, 5], [9, -2.0]])
D, S = "entry_1/instrument_1/detector_1", "entry_1/instrument_1/source_1"


def cxi(path: Path, **changes: object) -> Path:
    """A CXI file from the specification: specimen translations in metres, default basis."""
    translation = np.column_stack([POSITIONS[:, 1], POSITIONS[:, 0], np.zeros(M)]) * PIXEL
    content: dict[str, object] = {
        "cxi_version": 160,
        f"{S}/energy": H_C / WAVELENGTH,
        f"{D}/data": COUNTS,
        f"{D}/distance": DISTANCE,
        f"{D}/x_pixel_size": PITCH,
        f"{D}/y_pixel_size": PITCH,
        "entry_1/sample_1/geometry_1/translation": translation,
        "entry_1/data_1/data": h5py.SoftLink(f"/{D}/data"),
        **changes,
    }
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            if value is not None:
                file[key] = value
    return path


def test_cxi_default_basis_rows_are_y_and_columns_are_x(tmp_path: Path) -> None:
    """Both minus signs cancel: row = +t_y/pixel, col = +t_x/pixel."""
    scan = open_scan(cxi(tmp_path / "no-suffix"))
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-9)
    np.testing.assert_array_equal(scan.frames([4, 0, 4]), COUNTS[[4, 0, 4]])
    assert scan.geometry is not None
    assert scan.geometry.wavelength_m == pytest.approx(WAVELENGTH)


@pytest.mark.parametrize("columns", [False, True])
def test_cxi_turned_detector(tmp_path: Path, columns: bool) -> None:
    """Slow axis along +x, fast along −y: row = −t_x, col = +t_y; (3, 2) is the transpose."""
    basis = PITCH * np.array([[1.0, 0, 0], [0, -1.0, 0]])
    path = cxi(tmp_path / "a", **{f"{D}/basis_vectors": basis.T if columns else basis})
    expected = np.column_stack([-POSITIONS[:, 1], POSITIONS[:, 0]])
    np.testing.assert_allclose(open_scan(path).positions_px, expected, atol=1e-9)


def test_cxi_mask_bits_dark_gain_wavelength_and_corner(tmp_path: Path) -> None:
    """0 and 0x1000 are good; bad pixels may hold −1; photons = counts/(energy · gain)."""
    mask = np.zeros((N, N), np.uint32)
    mask[0, 0], mask[1, 1], mask[2, 2] = 0x200, 0x1000, 0x1008
    counts = COUNTS.copy()
    counts[:, 0, 0] = counts[:, 2, 2] = -1
    path = cxi(
        tmp_path / "a",
        **{
            f"{D}/mask": mask,
            f"{D}/data": counts,
            f"{D}/data_dark": np.full((3, N, N), 0.5),
            f"{D}/counts_per_joule": 2 / (H_C / WAVELENGTH),
            f"{S}/energy": None,
            f"{S}/wavelength": WAVELENGTH,
            f"{D}/distance": None,
            f"{D}/corner_position": np.array([4 * PITCH, 4 * PITCH, DISTANCE]),
        },
    )
    scan = open_scan(path)
    assert scan.mask is not None and scan.geometry is not None
    assert not scan.mask[0, 0] and scan.mask[1, 1] and not scan.mask[2, 2]
    assert scan.background == 0.25  # dark counts are counts, two to a photon
    np.testing.assert_allclose(scan.frames([1])[0][scan.mask], COUNTS[1][scan.mask] / 2)
    assert scan.geometry.distance_m == pytest.approx(DISTANCE)


def test_cxi_illumination_with_corner_origin_is_centred_and_scaled(tmp_path: Path) -> None:
    """The light goes to the middle and carries the mean photons of a frame."""
    light = np.zeros((N, N), np.complex64)
    light[N // 2, N // 2], light[N // 2, N // 2 + 1] = 2, 1j
    path = cxi(tmp_path / "a", **{f"{S}/illumination": np.fft.ifftshift(light)})
    probe = open_scan(path).probe
    assert probe is not None
    np.testing.assert_allclose(np.abs(probe[0]) > 0, np.abs(light) > 0)
    assert np.sum(np.abs(probe) ** 2) == pytest.approx(COUNTS.sum((1, 2)).mean(), rel=1e-5)


def test_nexus_raster_units_and_ring_energy(tmp_path: Path) -> None:
    """Raster frames are flattened; keV and µm are honoured; the ring's energy is ignored."""
    path = tmp_path / "a.nxs"
    with h5py.File(path, "w") as file:
        file["entry_1/definition"] = "NXptycho"
        instrument = file.create_group("entry_1/instrument_1")
        instrument["beam_1/incident_beam_energy"] = H_C / WAVELENGTH / 1.602176634e-16
        instrument["beam_1/incident_beam_energy"].attrs["units"] = "keV"
        instrument["source_1/energy"] = 3e9
        instrument["detector_1/data"] = COUNTS.reshape(2, 3, N, N)
        for key, value in (("distance", 2000.0), ("x_pixel_size", 0.05), ("y_pixel_size", 0.05)):
            instrument[f"detector_1/{key}"] = value
            instrument[f"detector_1/{key}"].attrs["units"] = "mm"
        moved = np.column_stack([POSITIONS[:, 1], POSITIONS[:, 0], np.zeros(M)]) * PIXEL * 1e6
        instrument["detector_1/translation"] = moved
        instrument["detector_1/translation"].attrs["units"] = "um"
    scan = open_scan(path)
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-6)
    np.testing.assert_array_equal(scan.frames([5, 1, 2, 3]), COUNTS[[5, 1, 2, 3]])


def test_ptyd_chunks_kev_and_weights(tmp_path: Path) -> None:
    """Chunks in the order of their numbers, positions (row, col) in metres, weight 0 = bad."""
    path = tmp_path / "a.ptyd"
    weights = np.ones((2, N, N))
    weights[0, 3, 4] = 0
    with h5py.File(path, "w") as file:
        for key, part in (("10", slice(4, 6)), ("2", slice(0, 4))):
            file[f"chunks/{key}/data"] = COUNTS[part]
            file[f"chunks/{key}/positions"] = POSITIONS[part] * PIXEL
        file["chunks/10/weights"] = weights
        file["meta/energy"] = H_C / WAVELENGTH / 1.602176634e-16
        file["meta/psize"], file["meta/distance"] = [PITCH, PITCH], DISTANCE
    scan = open_scan(path)
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-9)
    assert scan.mask is None, "most frames see that pixel"
    valid = scan.valid(np.arange(len(COUNTS)))
    assert np.argwhere(~valid).tolist() == [[4, 3, 4]]
    frames = scan.frames(np.arange(len(COUNTS)))
    np.testing.assert_array_equal(frames, np.where(valid, COUNTS, 0))


def test_ptyd_weights_of_each_frame(tmp_path: Path) -> None:
    """Bad in most frames: masked in all. Bad in some: left out there, whatever stands there."""
    path, weights, counts = tmp_path / "a.ptyd", np.ones(COUNTS.shape), COUNTS.astype(float)
    weights[:, 0, 1] = 0
    weights[1:, 0, 2] = 0
    weights[[0, 5], 3, 4] = 0
    counts[0, 3, 4], counts[5, 3, 4] = np.nan, -7
    with h5py.File(path, "w") as file:
        for key, part in (("0", slice(0, 4)), ("1", slice(4, 6))):
            file[f"chunks/{key}/data"], file[f"chunks/{key}/weights"] = counts[part], weights[part]
            file[f"chunks/{key}/positions"] = POSITIONS[part] * PIXEL
        file["meta/energy"] = H_C / WAVELENGTH / 1.602176634e-16
        file["meta/psize"], file["meta/distance"] = [PITCH, PITCH], DISTANCE
    for ways in (None, Ways(clean="auto"), Ways(flip="cols")):
        scan = open_scan(path, ways=ways)
        good, right = weights > 0, COUNTS
        good[0, 0, 2] = False  # in the mask, since it is bad in most
        if ways and ways.flip:  # about pixel N/2
            good, right = (np.roll(a[:, :, ::-1], 1, axis=2) for a in (good, right))
        assert scan.mask is not None and (~scan.mask).sum() == 2
        np.testing.assert_array_equal(scan.valid(np.arange(6)), good)
        np.testing.assert_array_equal(scan.frames(np.arange(6))[good], right[good])
    with h5py.File(path, "a") as file:
        del file["chunks/1/weights"]
        file["chunks/1/weights"] = np.ones((3, N, N))
    with pytest.raises(ShapeError, match="chunks/1/weights"):
        open_scan(path)


@pytest.mark.parametrize(
    ("units", "factor"),
    [("um", 1e6), ("µm", 1e6), ("micrometers", 1e6), ("mm", 1e3), ("nm", 1e9), ("m", 1.0)],
)
def test_cxi_units_attributes_are_honoured(tmp_path: Path, units: str, factor: float) -> None:
    """On the translation and on every other length; without an attribute it is metres."""
    path = cxi(tmp_path / "a")
    lengths = (
        "entry_1/sample_1/geometry_1/translation",
        *(f"{D}/{k}" for k in ("distance", "x_pixel_size", "y_pixel_size")),
    )
    with h5py.File(path, "a") as file:
        for name in lengths:
            file[name][...] = file[name][()] * factor
            file[name].attrs["units"] = units
        file[f"{S}/energy"][...] = H_C / WAVELENGTH / 1.602176634e-16
        file[f"{S}/energy"].attrs["units"] = "keV"
    scan = open_scan(path)
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-6)
    assert scan.geometry is not None
    assert scan.geometry.wavelength_m == pytest.approx(WAVELENGTH)
    with h5py.File(path, "a") as file:
        file[lengths[0]].attrs["units"] = "furlong"
    with pytest.raises(UnitError, match="furlong"):
        open_scan(path)


def test_a_unit_may_stand_there_for_each_axis(tmp_path: Path) -> None:
    """The same for all is that unit; different ones are refused."""
    path = cxi(tmp_path / "a")
    name = "entry_1/sample_1/geometry_1/translation"
    with h5py.File(path, "a") as file:
        file[name][...] = file[name][()] * 1e6
        file[name].attrs["units"] = np.array([b"um", b"um", b"um"])
    np.testing.assert_allclose(open_scan(path).positions_px, POSITIONS, atol=1e-6)
    with h5py.File(path, "a") as file:
        file[name].attrs["units"] = np.array([b"um", b"mm", b"um"])
    with pytest.raises(UnitError, match="mm"):
        open_scan(path)


@pytest.mark.parametrize(
    ("mask", "error", "word"),
    [
        (np.zeros((N, N + 2), np.uint32), ShapeError, r"\(8, 10\)"),
        (np.zeros(N * N, np.uint32), ShapeError, r"\(64,\)"),
        (np.full((N, N), np.nan), WrongTypeError, "64 of 64"),
    ],
)
def test_a_mask_that_is_none_names_file_and_key(
    tmp_path: Path, mask: np.ndarray, error: type[PtychoError], word: str
) -> None:
    with pytest.raises(error, match=word) as told:
        open_scan(cxi(tmp_path / "a.cxi", **{f"{D}/mask": mask}))
    assert "a.cxi" in str(told.value) and "mask" in str(told.value)


def test_cxi_background_is_written_where_others_look(tmp_path: Path) -> None:
    """`data_dark` holds it too; a dark that is not even is said."""
    scan = Scan(
        COUNTS, POSITIONS, geometry=Geometry(WAVELENGTH, DISTANCE, (PITCH, PITCH)), background=0.1
    )
    path = save_scan(scan, tmp_path / "a.cxi")
    with h5py.File(path, "a") as file:
        np.testing.assert_allclose(file[f"{D}/data_dark"][()], np.full((N, N), 0.1), rtol=1e-6)
    assert open_scan(path).background == 0.1
    dark = np.ones((2, N, N))
    dark[:, 0, 0], dark[0, 1, 1] = 9.0, np.nan
    uneven = open_scan(cxi(tmp_path / "b", **{f"{D}/data_dark": dark}))
    assert uneven.background == pytest.approx(1 + 8 / N**2)
    assert "data_dark" in str(uneven.metadata["notes"])


def test_cxi_efficiency_of_pixels_and_intensities_of_frames(tmp_path: Path) -> None:
    """`qe_mask`: photons = counts / efficiency, 0 is masked; `intensities` are kept as the flux."""
    efficiency = np.full((N, N), 0.5)
    efficiency[0, 1], efficiency[2, 0] = 0.0, 0.8
    light = np.linspace(2.0, 4.0, M)
    path = cxi(tmp_path / "a", **{f"{D}/qe_mask": efficiency, "entry_1/data_1/intensities": light})
    scan = open_scan(path)
    assert scan.mask is not None and not scan.mask[0, 1] and scan.mask.sum() == N * N - 1
    expected = np.where(scan.mask, COUNTS / np.where(efficiency == 0, 1, efficiency), 0)
    np.testing.assert_allclose(scan.frames(np.arange(M)), expected, rtol=1e-6)
    np.testing.assert_allclose(scan.flux, light / light.mean())
    said = str(scan.metadata["notes"])
    assert "qe_mask" in said and "intensities" in said
    short = cxi(tmp_path / "b", **{"entry_1/data_1/intensities": light[:-1]})
    with pytest.raises(ShapeError, match="intensities"):
        open_scan(short)


def product(path: Path) -> Path:
    """A ptychodus product without frames; the object's centre is not the origin."""
    shape, centre = np.array([30, 20]), np.array([1e-6, -2e-6])
    with h5py.File(path, "w") as file:
        file.attrs["probe_energy_eV"] = H_C / WAVELENGTH / 1.602176634e-19
        file.attrs["detector_object_distance_m"] = DISTANCE
        file["object"] = np.ones((1, *shape), complex)
        file["probe"] = np.ones((1, 2, N, N), complex)
        for name in ("object", "probe"):
            file[name].attrs["pixel_width_m"] = file[name].attrs["pixel_height_m"] = PIXEL
        file["object"].attrs["center_y_m"], file["object"].attrs["center_x_m"] = centre
        y_m, x_m = ((POSITIONS - shape / 2) * PIXEL + centre).T
        file["probe_position_y_m"], file["probe_position_x_m"] = y_m, x_m
        file["probe_position_indexes"] = np.arange(M) + 10
    return path


def test_product_with_a_diffraction_file_matched_by_index(tmp_path: Path) -> None:
    """Frames are joined by their numbers; pixels count from the object's corner."""
    path, frames = product(tmp_path / "p.h5"), tmp_path / "d.npz"
    np.savez(frames, patterns=COUNTS[[3, 0]], indexes=[13, 10], bad_pixels=np.zeros((N, N), bool))
    scan = open_scan(path, frames=frames)
    np.testing.assert_allclose(scan.positions_px, POSITIONS[[3, 0]], atol=1e-9)
    np.testing.assert_array_equal(scan.frames([0, 1]), COUNTS[[3, 0]])
    assert scan.probe is not None and len(scan.probe) == 2
    with pytest.raises(MissingKeyError, match="no frames"):
        open_scan(path)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({f"{S}/energy": 12400.0}, UnitError, "joules"),
        ({f"{D}/data": None, "entry_1/data_1/data": None}, MissingKeyError, "data_1/data"),
        ({f"{D}/data": -COUNTS}, ValueRangeError, "negative"),
        ({"entry_1/data_1/data": h5py.ExternalLink("/etc/x.h5", "/d")}, LinkError, "leads out"),
        ({f"{D}/distance": None}, MissingKeyError, "corner_position"),
    ],
)
def test_bad_cxi(tmp_path: Path, changes: dict, kind: type, words: str) -> None:
    """Each mistake has its own name and says what was expected."""
    with pytest.raises(kind, match=words):
        open_scan(cxi(tmp_path / "a", **changes)).photons_per_frame()


def test_truncated_foreign_and_virtual(tmp_path: Path) -> None:
    """Half a file, a file of something else, and a virtual dataset whose source is absent."""
    whole = cxi(tmp_path / "a").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFileError):
        open_scan(tmp_path / "half")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weather"] = 1
    with pytest.raises(UnknownFormatError, match="weather"):
        open_scan(tmp_path / "other.h5")
    layout = h5py.VirtualLayout((M, N, N), "i4")
    layout[:] = h5py.VirtualSource("gone.h5", "data", (M, N, N))
    path = cxi(tmp_path / "v", **{f"{D}/data": None})
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset(f"{D}/data", layout)
    with pytest.raises(LinkError, match="beside"):
        open_scan(path)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["npz", "cxi", "ptychodus"]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str) -> None:
    """Whatever is written comes back: counts exactly, lengths to rounding."""
    rng = np.random.default_rng(seed)
    count, size = int(rng.integers(1, 7)), 2 * int(rng.integers(2, 7))
    shape = tuple(rng.integers(size, 40, 2))
    truth = Truth(np.ones(shape, np.complex64), (-3.5, 7.0)) if rng.random() < 0.5 else None
    places = rng.uniform(-1e3, 1e3, (count, 2))
    if truth is not None:
        places = rng.uniform(truth.origin_px, np.add(truth.origin_px, shape), (count, 2))
    scan = Scan(
        counts=rng.poisson(rng.choice([0.1, 1e4]), (count, size, size)).astype(np.float32),
        positions_px=places,
        probe=rng.normal(size=(2, size, size)) + 1j if rng.random() < 0.7 else None,
        geometry=Geometry(*rng.uniform(1e-10, 1e-6, 2), tuple(rng.uniform(1e-6, 1e-4, 2))),
        truth=truth,
        background=float(rng.random()),
    )
    path = tmp_path_factory.mktemp("trip") / "scan"
    again = open_scan(save_scan(scan, path, kind))  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.frames(np.arange(count)), scan.counts)
    np.testing.assert_allclose(again.positions_px, scan.positions_px, atol=1e-8)
    assert (again.probe is None) == (scan.probe is None) and again.background == scan.background
    if scan.probe is not None:
        np.testing.assert_array_equal(again.probe, scan.probe)
    if scan.truth is not None:
        assert again.truth is not None and tuple(again.truth.origin_px) == scan.truth.origin_px
    assert [p.name for p in path.parent.iterdir()] == ["scan"]
