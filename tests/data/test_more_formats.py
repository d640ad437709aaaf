"""Products as NPZ, diffraction files, SLAC's export, ptypy reconstructions: made by hand, read."""

from __future__ import annotations

import bz2
import io
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.data import load_reconstruction, open_scan, save_scan
from ptycho.errors import (
    LayoutError,
    LinkError,
    MeasurementError,
    MissingKeyError,
    PositionsOutsideObjectError,
    ShapeError,
    TooLargeError,
    UsageError,
    WrongTypeError,
)
from ptycho.scan import Scan

H_C = 6.62607015e-34 * 299792458.0
N, M = 8, 5
WAVELENGTH, DISTANCE, PITCH = 1e-10, 2.0, 50e-6
PIXEL = WAVELENGTH * DISTANCE / (N * PITCH)
COUNTS = np.random.default_rng(5).poisson(6.0, (M, N, N)).astype(np.uint16)
POSITIONS = np.array([[5, 6], [5, 9.5], [9, 6], [9, 9.25], [13, 11.0]])
D, S = "entry_1/instrument_1/detector_1", "entry_1/instrument_1/source_1"


def product_arrays() -> dict[str, object]:
    """The flat names of an NPZ product; pixels are not square, the centre is not 0."""
    shape, centre = np.array([20, 18]), np.array([2e-6, -1e-6])
    pixel = np.array([PIXEL, 2 * PIXEL])
    y_m, x_m = ((POSITIONS - shape / 2) * pixel + centre).T
    return {
        "name": "by hand",
        "probe_energy_eV": H_C / WAVELENGTH / 1.602176634e-19,
        "detector_object_distance_m": DISTANCE,
        "probe_position_indexes": np.arange(M) + 3,
        "probe_position_x_m": x_m,
        "probe_position_y_m": y_m,
        "object": np.ones((1, *shape), complex),
        "object_center_y_m": centre[0],
        "object_center_x_m": centre[1],
        "object_pixel_height_m": pixel[0],
        "object_pixel_width_m": pixel[1],
        "probe": np.ones((2, 3, N, N), complex),
        "probe_pixel_height_m": pixel[0],
        "probe_pixel_width_m": pixel[1],
    }


def diffraction(path: Path, **extra: object) -> Path:
    """A ptychodus diffraction HDF5 file."""
    with h5py.File(path, "w") as file:
        for key, value in {"patterns": COUNTS, "indexes": np.arange(M) + 3, **extra}.items():
            file[key] = value
    return path


def test_product_npz_with_diffraction_hdf5(tmp_path: Path) -> None:
    """(m − centre)/pixel + size/2 on each axis; bad_pixels True = bad; three probe modes."""
    np.savez(tmp_path / "p", **product_arrays())
    bad = np.zeros((N, N), bool)
    bad[1, 2] = True
    frames = diffraction(tmp_path / "d.h5", bad_pixels=bad)
    scan = open_scan(tmp_path / "p.npz", frames=frames)
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-9)
    assert scan.mask is not None and np.argwhere(~scan.mask).tolist() == [[1, 2]]
    np.testing.assert_array_equal(scan.frames([4, 1])[:, ~bad], COUNTS[[4, 1]][:, ~bad])
    assert scan.probe is not None and scan.probe.shape == (3, N, N) and scan.name == "by hand"
    assert scan.geometry is not None
    np.testing.assert_allclose(scan.geometry.object_pixel_m(N), [PIXEL, 2 * PIXEL])
    with pytest.raises(MissingKeyError, match="--frames"):
        open_scan(tmp_path / "p.npz")


def test_product_npz_with_diffraction_npz(tmp_path: Path) -> None:
    """Patterns of frames without a position are left out; lengths must agree."""
    np.savez(tmp_path / "p", **product_arrays())
    np.savez(tmp_path / "d", patterns=COUNTS[:3], indexes=[4, 99, 7])
    scan = open_scan(tmp_path / "p.npz", frames=tmp_path / "d.npz")
    np.testing.assert_allclose(scan.positions_px, POSITIONS[[1, 4]], atol=1e-9)
    np.testing.assert_array_equal(scan.frames([0, 1]), COUNTS[[0, 2]])
    np.savez(tmp_path / "e", patterns=COUNTS[:3], indexes=[3, 4])
    with pytest.raises(LayoutError, match="indexes"):
        open_scan(tmp_path / "p.npz", frames=tmp_path / "e.npz")


def test_a_position_beside_the_object_of_a_product(tmp_path: Path) -> None:
    """Millimetres written as metres are found out."""
    content = product_arrays()
    content["probe_position_x_m"] = 1e3 * np.asarray(content["probe_position_x_m"])
    np.savez(tmp_path / "p", **content)
    with pytest.raises(PositionsOutsideObjectError, match="positions lie outside"):
        open_scan(tmp_path / "p.npz", frames=diffraction(tmp_path / "d.h5"))


def test_slac_export_is_rows_columns_frames_and_pixels(tmp_path: Path) -> None:
    """`diffraction` (H, W, M) with `…coords_start` only: pixels, whatever other readers think."""
    content = {
        "diffraction": np.moveaxis(COUNTS, 0, -1),
        "xcoords_start": POSITIONS[:, 1],
        "ycoords_start": POSITIONS[:, 0],
        "probeGuess": np.ones((N, N), complex),
        "objectGuess": np.ones((20, 20), complex),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    (tmp_path / "slac.npz.bz2").write_bytes(bz2.compress(buffer.getvalue()))
    scan = open_scan(tmp_path / "slac.npz.bz2", measurement="counts")
    np.testing.assert_array_equal(scan.counts, COUNTS)
    np.testing.assert_array_equal(scan.positions_px, POSITIONS)
    assert scan.geometry is None and scan.truth is not None


@pytest.mark.parametrize("pickled", [False, True])
def test_metadata_of_the_earlier_package_without_unpickling(tmp_path: Path, pickled: bool) -> None:
    """The JSON text is found in a text array, and in a pickled one by disassembly."""
    said = {"schema": "1.0.0", "physics_parameters": {"nphotons": 1e9}}
    text = json.dumps(said)
    np.savez(
        tmp_path / "a.npz",
        diff3d=np.sqrt(COUNTS),
        xcoords=POSITIONS[:, 1],
        ycoords=POSITIONS[:, 0],
        _metadata=np.array(text, dtype=object) if pickled else np.array(text),
    )
    assert open_scan(tmp_path / "a.npz", measurement="amplitude").metadata["earlier"] == said


def test_hostile_metadata_runs_nothing(tmp_path: Path) -> None:
    """A pickle that would make a file when loaded is read as no metadata, and makes none."""
    target = tmp_path / "made"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return (open, (str(target), "w"))

    np.savez(
        tmp_path / "a.npz",
        diff3d=COUNTS,
        xcoords=POSITIONS[:, 1],
        ycoords=POSITIONS[:, 0],
        _metadata=np.array([Hostile()], dtype=object),
    )
    assert "earlier" not in open_scan(tmp_path / "a.npz", measurement="counts").metadata
    assert not target.exists()


def ptyr(path: Path) -> Path:
    """A minimal ptypy reconstruction: `_origin` is where pixel (0, 0) lies, −`_center` · psize."""
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        probe = file.create_group("content/probe/SscanG00")
        probe["data"] = rng.normal(size=(2, N, N)) + 0j
        image = file.create_group("content/obj/SscanG00")
        image["data"] = np.exp(1j * rng.random((1, 20, 18)))
        image["_psize"] = [PIXEL, PIXEL]
        image["_center"], image["_origin"] = [7.0, 11.0], [-7 * PIXEL, -11 * PIXEL]
        image.attrs["type"] = "dict"
        file["header/description"] = "by hand"
    return path


def ptyd(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["chunks/0/data"], file["chunks/0/positions"] = COUNTS, POSITIONS * PIXEL
        file["meta/energy"] = H_C / WAVELENGTH / 1.602176634e-16
        file["meta/psize"], file["meta/distance"] = PITCH, DISTANCE
    return path


def test_a_ptyr_is_a_reconstruction_and_with_its_ptyd_a_scan(tmp_path: Path) -> None:
    """Object, origin and probe; with the frames of the `.ptyd` a scan with that probe."""
    path = ptyr(tmp_path / "a.bin")
    rec = load_reconstruction(path)
    assert rec.object.shape == (20, 18) and rec.origin_px == (-7.0, -11.0)
    assert rec.probe is not None and rec.probe.shape == (2, N, N)
    scan = open_scan(path, frames=ptyd(tmp_path / "a.ptyd"))
    np.testing.assert_array_equal(scan.frames(np.arange(M)), COUNTS)
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-9)
    assert scan.probe is not None
    ratio = scan.probe / rec.probe
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-5)
    again = open_scan(save_scan(scan, tmp_path / "b.cxi"))
    np.testing.assert_allclose(again.positions_px, POSITIONS, atol=1e-8)
    with pytest.raises(MissingKeyError, match="ptyd"):
        open_scan(path, frames=diffraction(tmp_path / "d.h5"))


def cxi(path: Path, **changes: object) -> Path:
    translation = np.column_stack([POSITIONS[:, 1], POSITIONS[:, 0], np.zeros(M)]) * PIXEL
    content: dict[str, object] = {
        "cxi_version": 160,
        f"{S}/energy": H_C / WAVELENGTH,
        f"{D}/data": COUNTS,
        f"{D}/distance": DISTANCE,
        f"{D}/x_pixel_size": PITCH,
        "entry_1/sample_1/geometry_1/translation": translation,
        **changes,
    }
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            if value is not None:
                file[key] = value
    return path


def test_cxi_as_another_producer_writes_it(tmp_path: Path) -> None:
    """Links in three places, the old folder of the translation, energy and wavelength both."""
    path = cxi(
        tmp_path / "a",
        **{
            "entry_1/sample_1/geometry_1/translation": None,
            "entry_1/sample_1/geometry/translation": np.column_stack(
                [POSITIONS[:, 1], POSITIONS[:, 0], np.zeros(M)]
            )
            * PIXEL,
            f"{D}/translation": h5py.SoftLink("/entry_1/sample_1/geometry/translation"),
            "entry_1/data_1": h5py.SoftLink("/entry_1/instrument_1/detector_1"),
            f"{S}/wavelength": WAVELENGTH,
        },
    )
    scan = open_scan(path)
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-9)
    np.testing.assert_array_equal(scan.frames([3]), COUNTS[[3]])


def test_the_callers_word_for_hdf5(tmp_path: Path) -> None:
    """Amplitudes in a CXI file are squared on request; a product that says is believed."""
    path = cxi(tmp_path / "a", **{f"{D}/data": np.sqrt(COUNTS)})
    scan = open_scan(path, measurement="amplitude")
    np.testing.assert_allclose(scan.frames([2]), COUNTS[[2]], rtol=1e-6)
    ours = save_scan(scan, tmp_path / "p.h5")
    with pytest.raises(MeasurementError, match="contradict"):
        open_scan(ours, measurement="counts")
    written = save_scan(scan, tmp_path / "ours.cxi")
    np.testing.assert_allclose(open_scan(written).frames([2]), COUNTS[[2]], rtol=1e-6)
    with pytest.raises(MeasurementError, match="contradict"):
        open_scan(written, measurement="amplitude")
    with pytest.raises(MeasurementError, match="not a kind"):
        open_scan(path, measurement="amplitud")  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ["F", "C"])
def test_frames_of_a_memory_order_and_byte_order(tmp_path: Path, order: str) -> None:
    """Fortran order and big-endian numbers, as detectors write them."""
    np.savez(
        tmp_path / "a.npz",
        counts=np.asarray(COUNTS, dtype=">u2", order=order),  # type: ignore[call-overload]
        positions_px=np.asfortranarray(POSITIONS),
    )
    scan = open_scan(tmp_path / "a.npz")
    np.testing.assert_array_equal(scan.frames(np.arange(M)), COUNTS)
    np.testing.assert_array_equal(scan.positions_px, POSITIONS)


def test_links_and_storage_outside_the_file(tmp_path: Path) -> None:
    """A soft link to an external link, and raw external storage, are refused."""
    (tmp_path / "raw").write_bytes(COUNTS.tobytes())
    path = cxi(tmp_path / "a", **{f"{D}/data": None})
    with h5py.File(path, "a") as file:
        file.create_dataset(
            f"{D}/data", COUNTS.shape, "u2", external=[(str(tmp_path / "raw"), 0, 10**4)]
        )
    with pytest.raises(LinkError, match="raw"):
        open_scan(path)
    path = cxi(
        tmp_path / "b",
        **{
            f"{D}/data": None,
            "entry_1/data_1/data": h5py.SoftLink("/elsewhere/x"),
            "elsewhere": h5py.ExternalLink("other.h5", "/"),
        },
    )
    with pytest.raises(LinkError, match=r"other\.h5"):
        open_scan(path)


def test_a_virtual_dataset_beside_the_file_is_followed(tmp_path: Path) -> None:
    """NXcxi_ptycho keeps its frames in a file in the same folder: that is read."""
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["data"] = COUNTS
    layout = h5py.VirtualLayout(COUNTS.shape, "u2")
    layout[:] = h5py.VirtualSource("frames.h5", "data", COUNTS.shape)
    path = cxi(tmp_path / "v", **{f"{D}/data": None})
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset(f"{D}/data", layout)
    np.testing.assert_array_equal(open_scan(path).frames([0, 4]), COUNTS[[0, 4]])


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({f"{D}/data": np.full((M, 2, 2), b"text")}, WrongTypeError),
        ({f"{D}/data": COUNTS[0]}, ShapeError),
        ({f"{D}/data/inner": 1.0}, WrongTypeError),
        ({f"{D}/distance": "far"}, WrongTypeError),
        ({f"{D}/distance": h5py.Empty("f8")}, WrongTypeError),
        ({f"{D}/distance": [1.0, 2.0]}, WrongTypeError),
        ({f"{D}/basis_vectors": np.zeros((2, 3))}, ShapeError),
        ({"entry_1/sample_1/geometry_1/translation": np.zeros((M, 4))}, ShapeError),
        ({"entry_1/sample_1/geometry_1/translation": np.ones(3)}, ShapeError),
        ({f"{D}/mask": np.zeros((3, 3), np.uint32)}, ShapeError),
    ],
)
def test_wrong_types_in_hdf5(tmp_path: Path, changes: dict, kind: type) -> None:
    """Groups for datasets, text for numbers, empty and odd shapes: each has its name."""
    if f"{D}/data/inner" in changes:
        changes = {f"{D}/data": None, **changes}
    with pytest.raises(kind):
        open_scan(cxi(tmp_path / "a", **changes))


def test_declared_sizes_of_hdf5_are_looked_at_first(tmp_path: Path) -> None:
    """Positions, one frame and one chunk of terabytes, in files of kilobytes."""
    path = cxi(tmp_path / "a", **{"entry_1/sample_1/geometry_1/translation": None})
    with h5py.File(path, "a") as file:
        file.create_dataset(
            "entry_1/sample_1/geometry_1/translation", (10**12, 3), "f8", chunks=(1000, 3)
        )
    with pytest.raises(TooLargeError, match="huge"):
        open_scan(path)
    path = cxi(tmp_path / "b", **{f"{D}/data": None})
    with h5py.File(path, "a") as file:
        file.create_dataset(f"{D}/data", (M, 10**6, 10**6), "u2", chunks=(1, 100, 100))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(TooLargeError, match="huge"):
        open_scan(path)


@pytest.mark.parametrize(
    "name", ["a.ptyd", "a.PTYR", "a.nxs", "a.npz.bz2", "a.mat", "a.foo", "scan.2"]
)
def test_a_name_of_a_format_that_is_only_read_is_no_npz_file(tmp_path: Path, name: str) -> None:
    """`ptycho convert a.npz a.ptyd` once wrote an NPZ file and called it a.ptyd."""
    scan = Scan(COUNTS.astype(np.float32), POSITIONS)
    with pytest.raises(UsageError, match="is written"):
        save_scan(scan, tmp_path / name)
    assert not (tmp_path / name).exists()
    assert open_scan(save_scan(scan, tmp_path / name, "npz")).n_frames == scan.n_frames
