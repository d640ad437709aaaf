"""ptychodus product (HDF5), with its frames in `/raw_data` or in a diffraction file beside it.

A product holds positions, probe and object but no frames. `raw_data/diffraction` (amplitudes) is
the extension that makes it complete; without it the frames are given as a second file with
`patterns` (counts) and `indexes`, which are matched to `probe_position_indexes`.
Position in pixels: (x_m − center_x_m)/pixel + width/2, measured from the object's corner, which is
our scan frame with the object's array pixel [0, 0] at (0, 0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.data import hdf5, physical
from ptycho.errors import MissingKeyError, ShapeError, UnitError
from ptycho.scan import Geometry, Scan, Truth

INDEXES, X_M, Y_M = "probe_position_indexes", "probe_position_x_m", "probe_position_y_m"
FRAMES = "raw_data/diffraction"


def recognises(file: h5py.File) -> bool:
    """The positions of a product."""
    return X_M in file and Y_M in file


def read(path: Path, file: h5py.File, frames_path: Path | None = None) -> Scan:
    """Read a product with its frames.

    Args:
        path: the product.
        file: the product, opened.
        frames_path: a ptychodus diffraction file (HDF5 or NPZ), if the product has no frames.
    """
    index = hdf5.array(hdf5.need(file, INDEXES), np.int64).ravel()
    place = {key: _product(file, key) for key in ("object", "probe")}
    counts, rows, mask = _frames(path, file, index, frames_path)
    x_m, y_m = (hdf5.array(hdf5.need(file, name)).ravel()[rows] for name in (X_M, Y_M))
    target = place["object"] or place["probe"]
    if target is None:
        raise MissingKeyError("the product has neither object nor probe", where=path)
    pixel = _pixel(path, target)
    positions = np.column_stack([y_m, x_m]) / pixel
    truth_like = None
    if place["object"] is not None:
        shape = place["object"].shape[-2:]
        centre = [float(place["object"].attrs.get(f"center_{a}_m", 0.0)) for a in ("y", "x")]
        origin = np.array(file.attrs.get("ptycho_origin_px", (0.0, 0.0)))
        positions += np.array(shape) / 2 - np.array(centre) / pixel + origin
        if file.attrs.get("ptycho_object") == "truth":
            truth_like = Truth(
                hdf5.array(place["object"], np.complex64).reshape(-1, *shape)[0],
                (float(origin[0]), float(origin[1])),
            )
    return Scan(
        counts=counts,
        positions_px=positions,
        probe=_probe(file, place["probe"], counts),
        mask=mask,
        geometry=_geometry(file, pixel, int(counts.shape[-1])),
        truth=truth_like,
        background=float(file.attrs.get("ptycho_background", 0.0)),
        name=hdf5.text(file.attrs.get("name")) or path.stem,
        metadata={"layout": "ptychodus product"},
    )


def _product(file: h5py.File, name: str) -> h5py.Dataset | None:
    found = hdf5.find(file, name)
    return found if isinstance(found, h5py.Dataset) else None


def _pixel(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    sizes = [dataset.attrs.get(f"pixel_{side}_m") for side in ("height", "width")]
    return np.array([physical.require_positive(s, f"{dataset.name} pixel", path) for s in sizes])


def _frames(
    path: Path, file: h5py.File, index: np.ndarray, frames_path: Path | None
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Frames, the product's rows that they belong to, and the mask."""
    inside = hdf5.find(file, FRAMES)
    if inside is not None:
        said = hdf5.text(inside.attrs.get("measurement")) or "amplitude"
        mask_at = hdf5.find(file, "raw_data/good_pixels")
        mask = None if mask_at is None else hdf5.array(mask_at, bool)
        lazy = hdf5.LazyFrames(
            path,
            ((inside.name, int(inside.shape[0])),),
            tuple(inside.shape[-2:]),
            amplitude=said == "amplitude",
            mask=mask,
            whole=bool(inside.attrs.get("whole_counts", False)),
        )
        return lazy, np.arange(len(index)), mask
    if frames_path is None:
        raise MissingKeyError(
            "a ptychodus product holds no frames",
            where=path,
            expected=f"{FRAMES}, or a diffraction file beside it",
            got=", ".join(file),
            fix=f"ptycho inspect {path} --frames DIFFRACTION.h5",
        )
    counts, numbers, mask = read_diffraction(frames_path)
    known = {int(number): row for row, number in enumerate(index)}
    keep = np.array([k for k, number in enumerate(numbers) if int(number) in known], np.int64)
    if keep.size == 0:
        raise ShapeError(
            "no frame of the diffraction file has a position in the product",
            where=frames_path,
            expected=f"indexes among {index[:3]}…",
            got=f"{numbers[:3]}…",
        )
    rows = np.array([known[int(number)] for number in numbers[keep]])
    return _take(counts, keep), rows, mask


def _take(counts: Any, keep: np.ndarray) -> Any:
    from dataclasses import replace

    if isinstance(counts, hdf5.LazyFrames):
        return replace(counts, keep=keep)
    return counts[keep]


def read_diffraction(path: Path) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Frames, their indexes and the mask of a ptychodus diffraction file (HDF5 or NPZ)."""
    with path.open("rb") as stream:
        is_hdf5 = stream.read(8) == hdf5.MAGIC
    if not is_hdf5:
        from ptycho.data import npz

        arrays = npz.load_arrays(path)
        patterns = arrays.get("patterns")
        if patterns is None:
            raise MissingKeyError(
                "no frames", where=path, expected="patterns", got=", ".join(arrays)
            )
        bad = arrays.get("bad_pixels")
        return (
            patterns,
            arrays.get("indexes", np.arange(len(patterns))),
            None if bad is None else ~bad.astype(bool),
        )
    with hdf5.opened(path) as file:
        data = hdf5.need(file, "patterns", "diffraction/patterns")
        parent = data.parent
        at = hdf5.find(file, f"{parent.name}/indexes")
        numbers = np.arange(len(data)) if at is None else hdf5.array(at, np.int64).ravel()
        bad_at = hdf5.find(file, f"{parent.name}/bad_pixels")
        mask = None if bad_at is None else ~hdf5.array(bad_at, bool)
        shape = (int(data.shape[-2]), int(data.shape[-1]))
        return hdf5.LazyFrames(path, ((data.name, len(data)),), shape, mask=mask), numbers, mask


def _probe(file: h5py.File, dataset: h5py.Dataset | None, counts: Any) -> np.ndarray | None:
    if dataset is None:
        return None
    probe = hdf5.array(dataset, np.complex64)
    probe = probe.reshape(-1, *probe.shape[-3:])[0] if probe.ndim > 2 else probe[None]
    if file.attrs.get("ptycho_probe_units") == "sqrt(photons)":
        return probe
    sample = np.unique(np.linspace(0, counts.shape[0] - 1, 64).astype(int))
    mean = float(np.asarray(counts[sample]).sum(axis=(1, 2), dtype=np.float64).mean())
    return physical.scaled_probe(probe, mean)


def _geometry(file: h5py.File, pixel: np.ndarray, n: int) -> Geometry | None:
    energy, distance = (
        float(file.attrs.get(key, 0.0)) for key in ("probe_energy_eV", "detector_object_distance_m")
    )
    if energy <= 0 or distance <= 0:
        return None
    wavelength = physical.wavelength_from_joule(energy * physical.EV_J, "probe_energy_eV")
    row, col = wavelength * distance / (n * pixel)
    return Geometry(wavelength, distance, (float(row), float(col)))


def write(scan: Scan, path: Path) -> Path:
    """Write a product with its frames in `/raw_data` (amplitudes); atomic; needs the geometry."""
    if scan.geometry is None:
        raise UnitError(
            "a ptychodus product stores metres, and this scan has no geometry",
            where=path,
            expected="wavelength, distance and detector pixel",
            got="positions in pixels only",
            fix="ptycho convert … --wavelength-m … --distance-m … --detector-pixel-m …, or NPZ",
        )
    return hdf5.write_atomically(path, lambda file: _fill(file, scan))


def _fill(file: h5py.File, scan: Scan) -> None:
    g = scan.geometry
    assert g is not None
    pixel = np.array(g.object_pixel_m(scan.N))
    attrs = {
        "name": scan.name,
        "comments": "written by ptycho",
        "detector_object_distance_m": g.distance_m,
        "probe_energy_eV": physical.H_C_J_M / g.wavelength_m / physical.EV_J,
        "probe_photon_count": float(scan.photons_per_frame().mean()),
        "exposure_time_s": 0.0,
        "ptycho_background": scan.background,
        "ptycho_probe_units": "sqrt(photons)",
    }
    file.attrs.update(attrs)
    object_, origin = _object(scan)
    file.attrs["ptycho_object"] = "truth" if scan.truth else "empty"
    file.attrs["ptycho_origin_px"] = np.array(origin)
    local = (scan.positions_px - np.array(origin) - np.array(object_.shape) / 2) * pixel
    file[INDEXES] = np.arange(scan.n_frames)
    file[Y_M], file[X_M] = local.T
    stacks = {"object": object_[None]}
    if scan.probe is not None:
        stacks["probe"] = scan.probe[None]
    for name, value in stacks.items():
        file.create_dataset(name, data=value)
        file[name].attrs["pixel_height_m"], file[name].attrs["pixel_width_m"] = pixel
    file["object"].attrs["center_x_m"] = file["object"].attrs["center_y_m"] = 0.0
    _fill_frames(file, scan)


def _object(scan: Scan) -> tuple[np.ndarray, tuple[float, float]]:
    """The truth, or an empty object that all patches fit into."""
    if scan.truth is not None:
        return scan.truth.object, scan.truth.origin_px
    low, high = scan.positions_px.min(axis=0), scan.positions_px.max(axis=0)
    origin = np.floor(low) - scan.N // 2
    side = np.ceil(high - origin).astype(int) + scan.N // 2 + 1
    return np.ones(tuple(side), np.complex64), (float(origin[0]), float(origin[1]))


def _fill_frames(file: h5py.File, scan: Scan) -> None:
    frames = file.create_dataset(
        FRAMES,
        (scan.n_frames, scan.N, scan.N),
        np.float32,
        chunks=(1, scan.N, scan.N),
        compression="gzip",
        shuffle=True,
    )
    whole = True
    for part, block in scan.blocks():
        frames[part] = np.sqrt(block)
        whole = whole and bool(np.array_equal(block, np.rint(block)) and block.max() < 2**22)
    frames.attrs["axis_canonical"], frames.attrs["measurement"] = "NHW", "amplitude"
    frames.attrs["whole_counts"] = whole
    if scan.mask is not None:
        file["raw_data/good_pixels"] = scan.mask
