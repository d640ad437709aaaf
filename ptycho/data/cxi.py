"""CXI 1.6 (and what producers make of it): reader and writer.

Frames are `(scan, y, x)`; the specimen moves by `translation`, so the light moves by its
negative, which is projected on the detector's axes (`basis_vectors`, (2, 3) rows slow, fast as in
the specification, or (3, 2) columns). The default basis, slow (0, −1, 0) and fast (−1, 0, 0),
turns that into row = +t_y, col = +t_x. Object pixel: λ·z/(N·detector pixel).
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ptycho.data import hdf5, physical
from ptycho.data.hdf5_frames import LazyFrames
from ptycho.data.measurement import AMPLITUDE, COUNTS, agreed
from ptycho.errors import ShapeError, UnitError
from ptycho.scan import Geometry, Measured, Scan, Truth

E, D, S = "entry_1", "entry_1/instrument_1/detector_1", "entry_1/instrument_1/source_1"
TRANSLATION = (
    f"{E}/data_1/translation",
    f"{E}/sample_1/geometry_1/translation",
    f"{D}/translation",
    f"{E}/sample_1/geometry/translation",
)


def recognises(file: h5py.File) -> bool:
    """A CXI file says its version; some producers only follow the paths."""
    if "cxi_version" in file:
        return True
    return hdf5.find(file, D) is not None and hdf5.find(file, S) is not None


def read(path: Path, file: h5py.File, measurement: str | None = None) -> Measured:
    """Read the first entry of a CXI file; frames stay in the file."""
    data = hdf5.frame_stack(file, f"{E}/data_1/data", f"{D}/data")
    n = int(data.shape[-1])
    said = agreed(
        hdf5.text(data.attrs.get("ptycho_measurement")), measurement, f"{path}:{data.name}"
    )
    geometry, basis = _geometry(path, file, n)
    pixel = np.array(geometry.object_pixel_m(n))
    translation = hdf5.vectors(hdf5.need(file, *TRANSLATION), 3)
    positions = positions_px(translation, basis, pixel)
    mask_at = hdf5.find(file, f"{D}/mask")
    mask = None if mask_at is None else physical.cxi_good(hdf5.array(mask_at, np.uint32))
    counts = LazyFrames(
        path,
        ((data.name, int(np.prod(data.shape[:-2]))),),
        (int(data.shape[-2]), n),
        scale=_gain(file, geometry),
        amplitude=said == AMPLITUDE,
        mask=mask if mask is None or mask.ndim == 2 else None,
    )
    scan = Measured(
        counts=counts,
        positions_px=positions,
        mask=mask,
        geometry=geometry,
        truth=_truth(file),
        background=_background(file, mask),
        name=hdf5.text(hdf5.find(file, f"{E}/title")) or path.stem,
        metadata={"layout": "CXI"} | hdf5.kept_duplicates(file),
    )
    return _with_probe(scan, file)


def positions_px(translation_m: np.ndarray, basis_m: np.ndarray, pixel_m: np.ndarray) -> np.ndarray:
    """(M, 2) (row, col) px: −translation in coordinates along the detector's axes.

    Args:
        translation_m: (M, 3) of the specimen.
        basis_m: (2, 3) steps along the slow and the fast axis of the detector.
        pixel_m: (2,) object pixel (row, col).
    """
    unit = basis_m / np.linalg.norm(basis_m, axis=1, keepdims=True)
    return np.asarray(-translation_m @ np.linalg.pinv(unit) / pixel_m)


def _geometry(path: Path, file: h5py.File, n: int) -> tuple[Geometry, np.ndarray]:
    wavelength_at = hdf5.first(file, (f"{S}/wavelength",))
    if wavelength_at is not None:
        wavelength = hdf5.number(wavelength_at)
    else:
        energy = hdf5.number(hdf5.need(file, f"{S}/energy"))
        wavelength = physical.wavelength_from_joule(energy, f"{path}:{S}/energy")
    basis = _basis(path, file)
    col_m, row_m = (
        float(np.linalg.norm(basis[1])),
        float(np.linalg.norm(basis[0])),
    )
    distance_at = hdf5.find(file, f"{D}/distance")
    if distance_at is not None:
        distance = hdf5.number(distance_at)
    else:  # the distance of the detector's plane from the origin
        corner = hdf5.array(hdf5.need(file, f"{D}/corner_position", f"{D}/distance")).ravel()
        normal = np.cross(basis[0], basis[1])
        distance = abs(float(corner @ normal / np.linalg.norm(normal)))
    distance = physical.require_positive(abs(distance), "the detector distance", path)
    wavelength = physical.require_positive(wavelength, "the wavelength", path)
    if wavelength > 1e-4:
        raise UnitError(
            "the wavelength cannot be in metres", where=path, expected="< 1e-4 m", got=wavelength
        )
    return Geometry(wavelength, distance, (row_m, col_m)), basis


def _basis(path: Path, file: h5py.File) -> np.ndarray:
    found = hdf5.find(file, f"{D}/basis_vectors")
    if found is not None:
        basis = hdf5.array(found)
        if basis.ndim == 3 and len(basis) and np.allclose(basis, basis[0]):
            basis = basis[0]  # one for each frame, all alike
        if basis.shape == (3, 2):
            basis = basis.T
        if basis.shape != (2, 3) or not np.linalg.norm(basis, axis=1).all():
            raise ShapeError(
                "basis vectors have no meaning",
                where=f"{path}:{D}/basis_vectors",
                expected="(2, 3) or (3, 2), not zero, the same for all frames",
                got=basis.shape,
            )
        return basis
    col = hdf5.number(hdf5.need(file, f"{D}/x_pixel_size"))
    row_at = hdf5.find(file, f"{D}/y_pixel_size")
    row = col if row_at is None else hdf5.number(row_at)
    for value in (col, row):
        physical.require_positive(value, "the detector pixel", path)
    return np.array([[0.0, -row, 0.0], [-col, 0.0, 0.0]])


def _gain(file: h5py.File, geometry: Geometry) -> float:
    """Photons per stored count."""
    found = hdf5.find(file, f"{D}/counts_per_joule")
    if found is None:
        return 1.0
    per_joule = physical.require_positive(hdf5.number(found), "counts_per_joule", found.name)
    return geometry.wavelength_m / physical.H_C_J_M / per_joule


def _background(file: h5py.File, mask: np.ndarray | None) -> float:
    """Mean dark counts per valid pixel: the model adds them, the frames stay Poisson."""
    own = hdf5.find(file, f"{D}/ptycho_background")
    if own is not None:
        return hdf5.number(own)
    found = hdf5.find(file, f"{D}/data_dark")
    if found is None:
        return 0.0
    dark = hdf5.array(found)
    dark = dark.reshape(-1, *dark.shape[-2:]).mean(axis=0)
    return max(0.0, float(dark.mean() if mask is None else dark[mask].mean()))


def _truth(file: h5py.File) -> Truth | None:
    found = hdf5.find(file, "ptycho_truth/object")
    if found is None:
        return None
    row, col = hdf5.array(hdf5.need(file, "ptycho_truth/origin_px")).ravel()
    return Truth(hdf5.array(found, np.complex64), (float(row), float(col)))


def _with_probe(scan: Measured, file: h5py.File) -> Measured:
    from dataclasses import replace

    found = hdf5.find(file, f"{S}/illumination")
    if found is None:
        return scan
    probe = hdf5.array(found, np.complex64).reshape(-1, *found.shape[-2:])
    meta = dict(scan.metadata)
    if hdf5.text(found.attrs.get("units")) != "sqrt(photons)":
        probe, meta["probe_was_shifted"] = physical.centred_probe(probe)
        probe = physical.scaled_probe(probe, physical.mean_photons(scan.counts, scan.mask))
        meta["probe_scaled"] = True
    return replace(scan, probe=probe, metadata=meta)


def write(scan: Scan, path: Path) -> Path:
    """Write CXI 1.6, atomic; needs the geometry.

    Raises:
        UnitError: the scan has no geometry, so that pixels cannot become metres.
    """
    geometry = physical.require_geometry(scan, "CXI", path, "write NPZ")
    return hdf5.write_atomically(path, lambda file: _fill(file, scan, geometry))


def _fill(file: h5py.File, scan: Scan, g: Geometry) -> None:
    pixel = np.array(g.object_pixel_m(scan.N))
    row_m, col_m = scan.positions_px.T * pixel[:, None]
    hdf5.note_duplicates(file, scan.metadata)
    file["cxi_version"], file["number_of_entries"] = 160, 1
    file[f"{E}/title"] = scan.name
    file[f"{S}/energy"] = physical.H_C_J_M / g.wavelength_m
    file[f"{S}/wavelength"] = g.wavelength_m
    file[f"{D}/distance"] = g.distance_m
    file[f"{D}/y_pixel_size"], file[f"{D}/x_pixel_size"] = g.detector_pixel_m
    dy, dx = g.detector_pixel_m
    file[f"{D}/basis_vectors"] = np.array([[0, -dy, 0], [-dx, 0, 0]])
    file[f"{D}/ptycho_background"] = scan.background
    file[f"{E}/sample_1/geometry_1/translation"] = np.column_stack([col_m, row_m, 0 * row_m])
    mask = np.zeros((scan.N, scan.N), np.uint32)
    file[f"{D}/mask"] = mask if scan.mask is None else np.where(scan.mask, mask, np.uint32(1))
    frames = file.create_dataset(
        f"{D}/data",
        (scan.n_frames, scan.N, scan.N),
        np.float32,
        chunks=(1, scan.N, scan.N),
        compression="gzip",
        shuffle=True,
    )
    frames.attrs["axes"], frames.attrs["ptycho_measurement"] = "translation:y:x", COUNTS
    for part, block in scan.blocks():
        frames[part] = block
    if scan.probe is not None:
        file[f"{S}/illumination"] = scan.probe
        file[f"{S}/illumination"].attrs["units"] = "sqrt(photons)"
    if scan.truth is not None:
        file["ptycho_truth/object"] = scan.truth.object
        file["ptycho_truth/origin_px"] = np.array(scan.truth.origin_px)
    file[f"{E}/data_1/data"] = h5py.SoftLink(f"/{D}/data")
    moved = h5py.SoftLink(f"/{E}/sample_1/geometry_1/translation")
    file[f"{E}/data_1/translation"] = moved
    file[f"{D}/translation"] = moved
