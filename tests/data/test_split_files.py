"""Frames beside the file: ptyd links, external links with the caller's word, split CXI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.data import open_scan
from ptycho.errors import LinkError, MissingKeyError, ShapeError
from ptycho.frames import Ways

H_C, EV = 6.62607015e-34 * 299792458.0, 1.602176634e-19
WAVELENGTH, DISTANCE, PITCH = 1e-10, 2.0, 50e-6
N, M = 8, 6
PIXEL = WAVELENGTH * DISTANCE / (N * PITCH)
COUNTS = np.random.default_rng(3).poisson(4.0, (M, N, N)).astype(np.int32)
POSITIONS = np.array([[0, 0], [0, 3.5], [0, 7], [4, 1], [4, 5], [9, -2.0]])
FOLLOW = Ways(follow_links=True)


def ptyd(path: Path, *, absolute: bool = False, **meta: object) -> Path:
    """As ptypy writes it with save='link': each chunk in a file of its own, named as it was told"""
    with h5py.File(path, "w") as file:
        file["meta/energy"] = H_C / WAVELENGTH / EV / 1e3
        file["meta/psize"], file["meta/distance"] = np.full(2, PITCH), DISTANCE
        for key, value in meta.items():
            file[f"meta/{key}"] = value
        for number, part in enumerate((slice(0, 4), slice(4, 6))):
            beside = path.with_name(f"{path.name}.part{number:03d}")
            with h5py.File(beside, "w") as chunk:
                chunk["data"], chunk["positions"] = COUNTS[part], POSITIONS[part] * PIXEL
                chunk["weights"] = np.ones(COUNTS[part].shape, bool)
            name = f"/elsewhere/{beside.name}" if absolute else f"folder/then/{beside.name}"
            file[f"chunks/{number}"] = h5py.ExternalLink(name, "/")
    return path


@pytest.mark.parametrize("absolute", [False, True])
def test_ptyd_with_linked_chunks_in_its_folder(tmp_path: Path, absolute: bool) -> None:
    """ptypy's links name the folder of then; the files are taken from the folder of now."""
    scan = open_scan(ptyd(tmp_path / "a.ptyd", absolute=absolute))
    np.testing.assert_array_equal(scan.frames([5, 0, 4]), COUNTS[[5, 0, 4]])
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-9)


def test_ptyd_with_a_chunk_that_is_not_there(tmp_path: Path) -> None:
    path = ptyd(tmp_path / "a.ptyd")
    (tmp_path / "a.ptyd.part001").unlink()
    with pytest.raises(LinkError, match="part001"):
        open_scan(path)


def test_ptyd_of_the_near_field_has_the_pixels_of_the_detector(tmp_path: Path) -> None:
    scan = open_scan(ptyd(tmp_path / "a.ptyd", propagation="nearfield"))
    assert scan.geometry is not None and scan.geometry.near_field
    assert scan.geometry.object_pixel_m(N) == (PITCH, PITCH)
    np.testing.assert_allclose(scan.positions_px, POSITIONS * PIXEL / PITCH, atol=1e-12)
    far = open_scan(ptyd(tmp_path / "b.ptyd", propagation="farfield"))
    assert far.geometry is not None and not far.geometry.near_field


E, D = "entry_1", "entry_1/instrument_1/detector_1"


def cxi(path: Path, entry: str = E, rows: slice = slice(None), **changes: object) -> Path:
    translation = np.column_stack([POSITIONS[:, 1], POSITIONS[:, 0], np.zeros(M)]) * PIXEL
    detector, source = f"{entry}/instrument_1/detector_1", f"{entry}/instrument_1/source_1"
    content: dict[str, object] = {
        f"{source}/energy": H_C / WAVELENGTH,
        f"{detector}/data": COUNTS[rows],
        f"{detector}/distance": DISTANCE,
        f"{detector}/x_pixel_size": PITCH,
        f"{entry}/sample_1/geometry_1/translation": translation[rows],
        **changes,
    }
    with h5py.File(path, "a") as file:
        for key, value in content.items():
            if value is not None:
                file[key] = value
        if "cxi_version" not in file:
            file["cxi_version"] = 160
    return path


def test_external_links_with_the_callers_word(tmp_path: Path) -> None:
    """In the same folder and with `follow_links` only; links out of the folder never."""
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["deep/data"] = COUNTS
    path = cxi(tmp_path / "a.cxi", **{f"{D}/data": h5py.ExternalLink("frames.h5", "/deep/data")})
    with pytest.raises(LinkError, match="--follow-links"):
        open_scan(path)
    scan = open_scan(path, ways=FOLLOW)
    np.testing.assert_array_equal(scan.frames([3, 1]), COUNTS[[3, 1]])
    (tmp_path / "in").mkdir()
    for name in ("../frames.h5", str(tmp_path / "frames.h5")):
        other = tmp_path / "in" / f"{len(name)}.cxi"
        cxi(other, **{f"{D}/data": h5py.ExternalLink(name, "/deep/data")})
        with pytest.raises(LinkError, match="folder"):
            open_scan(other, ways=FOLLOW)
    gone = cxi(tmp_path / "b.cxi", **{f"{D}/data": h5py.ExternalLink("gone.h5", "/d")})
    with pytest.raises(LinkError, match=r"gone\.h5"):
        open_scan(gone, ways=FOLLOW)
    turns = cxi(tmp_path / "c.cxi", **{f"{D}/data": h5py.ExternalLink("c.cxi", f"/{D}/data")})
    with pytest.raises((LinkError, MissingKeyError)):
        open_scan(turns, ways=FOLLOW)


def test_cxi_with_its_frames_in_numbered_datasets(tmp_path: Path) -> None:
    """As detectors write them: data_000001, data_000002, … in files beside the master."""
    links: dict[str, object] = {f"{D}/data": None}
    for number, rows in enumerate((slice(0, 4), slice(4, 6)), 1):
        with h5py.File(tmp_path / f"x_data_{number:06d}.h5", "w") as file:
            file["entry/data/data"] = COUNTS[rows]
        links[f"{E}/data_1/data_{number:06d}"] = h5py.ExternalLink(
            f"x_data_{number:06d}.h5", "/entry/data/data"
        )
    scan = open_scan(cxi(tmp_path / "a.cxi", **links), ways=FOLLOW)
    np.testing.assert_array_equal(scan.frames(np.arange(M)), COUNTS)
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-9)


def test_cxi_split_into_entries(tmp_path: Path) -> None:
    """Entries of one geometry are one scan, and that is said; others are an error."""
    path = cxi(tmp_path / "a.cxi", "entry_1", slice(0, 4))
    cxi(path, "entry_2", slice(4, 6))
    scan = open_scan(path)
    np.testing.assert_array_equal(scan.frames(np.arange(M)), COUNTS)
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-9)
    assert "2 entries" in str(scan.metadata["notes"])
    cxi(path, "entry_3", slice(0, 2), **{"entry_3/instrument_1/detector_1/distance": 3.0})
    with pytest.raises(ShapeError, match="entry_3"):
        open_scan(path)


def test_cxi_with_its_frames_in_a_second_file(tmp_path: Path) -> None:
    path = cxi(tmp_path / "a.cxi", **{f"{D}/data": None})
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["entry/data/data"] = COUNTS
    with pytest.raises(MissingKeyError, match="--frames"):
        open_scan(path)
    scan = open_scan(path, frames=tmp_path / "frames.h5")
    np.testing.assert_array_equal(scan.frames(np.arange(M)), COUNTS)


def test_the_command_line_follows_links(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["data"] = COUNTS
    path = cxi(tmp_path / "a.cxi", **{f"{D}/data": h5py.ExternalLink("frames.h5", "/data")})
    command = [sys.executable, "-m", "ptycho", "convert", path, tmp_path / "b.npz"]
    assert subprocess.run(command, capture_output=True).returncode == 3
    assert subprocess.run([*command, "--follow-links"], capture_output=True).returncode == 0
    np.testing.assert_array_equal(open_scan(tmp_path / "b.npz").counts, COUNTS)


@pytest.mark.parametrize("product", ["a.h5", "a.npz"])
def test_links_inside_a_ptychodus_diffraction_file(tmp_path: Path, product: str) -> None:
    """Patterns and the mask lie in other files of the folder; with the word they are followed."""
    shape = (40, 40)
    bad = np.zeros((N, N), bool)
    bad[2, 3] = True
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["patterns"], file["bad"] = COUNTS, bad
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["patterns"] = h5py.ExternalLink("frames.h5", "/patterns")
        file["bad_pixels"] = h5py.ExternalLink("frames.h5", "/bad")
        file["indexes"] = np.arange(M)
    metres = (POSITIONS - np.mean(POSITIONS, axis=0)) * PIXEL
    arrays = {
        "probe_position_indexes": np.arange(M),
        "probe_position_y_m": metres[:, 0],
        "probe_position_x_m": metres[:, 1],
        "object": np.ones((1, *shape), complex),
        "probe": np.ones((1, 1, N, N), complex),
    }
    attrs = {"detector_object_distance_m": DISTANCE, "probe_energy_eV": H_C / WAVELENGTH / EV}
    if product.endswith("npz"):
        sides = {f"object_pixel_{side}_m": PIXEL for side in ("height", "width")}
        np.savez(tmp_path / product, **arrays, **attrs, **sides)
    else:
        with h5py.File(tmp_path / product, "w") as file:
            for name, values in arrays.items():
                file[name] = values
            file.attrs.update(attrs)
            file["object"].attrs.update({"pixel_height_m": PIXEL, "pixel_width_m": PIXEL})
    with pytest.raises(LinkError, match="--follow-links"):
        open_scan(tmp_path / product, frames=tmp_path / "d.h5")
    scan = open_scan(tmp_path / product, frames=tmp_path / "d.h5", ways=FOLLOW)
    np.testing.assert_array_equal(scan.mask, ~bad)
    np.testing.assert_array_equal(scan.frames(np.arange(M)), np.where(bad, 0, COUNTS))


def test_links_in_a_ptyd_beside_its_chunks(tmp_path: Path) -> None:
    """Frames that a chunk links to; the lengths in another file need the caller's word."""
    path = ptyd(tmp_path / "a.ptyd")
    with h5py.File(tmp_path / "meta.h5", "w") as file:
        file["energy"] = H_C / WAVELENGTH / EV / 1e3
    with h5py.File(path, "a") as file:
        del file["meta/energy"]
        file["meta/energy"] = h5py.ExternalLink("meta.h5", "/energy")
    with pytest.raises(LinkError, match="--follow-links"):
        open_scan(path)
    scan = open_scan(path, ways=FOLLOW)
    assert scan.geometry is not None
    assert scan.geometry.wavelength_m == pytest.approx(WAVELENGTH)
