"""A reconstruction as a ptychodus product (HDF5): object, probe, positions in metres, no frames.

Position in pixels: (x_m − center_x_m)/pixel + width/2, from the object's corner; our reader
(`ptycho.data.ptychodus`) gets the scan frame back from `ptycho_origin_px`.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ptycho.data import hdf5, physical, ptychodus
from ptycho.data.ptychodus import INDEXES, X_M, Y_M
from ptycho.errors import ShapeError
from ptycho.result import Reconstruction
from ptycho.scan import Geometry, Scan


def save_product(rec: Reconstruction, scan: Scan, path: str | Path) -> Path:
    """Write `rec` as a ptychodus product, whole or not at all.

    Args:
        rec: object, probe, and refined positions if there are any.
        scan: what it was made of: positions, geometry, photons.
        path: the `.h5` file.

    Raises:
        UnitError: the scan has no geometry, and a product stores metres.
        ShapeError: positions and scan do not belong together.
    """
    geometry = require_geometry(scan)
    positions = scan.positions_px if rec.positions_px is None else rec.positions_px
    if positions.shape != scan.positions_px.shape:
        raise ShapeError(
            "positions of the reconstruction and of the scan differ in number",
            where=path,
            expected=scan.positions_px.shape,
            got=positions.shape,
        )
    return hdf5.write_atomically(
        Path(path), lambda file: _fill(file, rec, scan, geometry, positions)
    )


def require_geometry(scan: Scan) -> Geometry:
    """The scan's geometry, or UnitError: a product stores metres."""
    return physical.require_geometry(scan, "a ptychodus product", otherwise="--no-product")


def _fill(
    file: h5py.File, rec: Reconstruction, scan: Scan, geometry: Geometry, positions: np.ndarray
) -> None:
    pixel = np.array(geometry.object_pixel_m(scan.N))
    file.attrs.update(
        {
            "name": scan.name,
            "comments": f"written by ptycho, method {rec.meta.get('method', 'unknown')}",
            "detector_object_distance_m": geometry.distance_m,
            **ptychodus.energies(geometry),
            ptychodus.FAR_FIELD: not geometry.near_field,
            "probe_photon_count": float(scan.photons_per_frame().mean()),
            "exposure_time_s": 0.0,
            "mass_attenuation_m2_kg": 0.0,
            "mass_attenuation_m2_per_kg": 0.0,
            "tomography_angle_deg": 0.0,
            "ptycho_object": "reconstruction",
            "ptycho_origin_px": np.array(rec.origin_px),
            "ptycho_probe_units": "sqrt(photons)",
            "ptycho_background": scan.background,
        }
    )
    local = positions - np.array(rec.origin_px) - np.array(rec.object.shape) / 2
    file[INDEXES] = np.arange(len(positions))
    file[Y_M], file[X_M] = (local * pixel).T
    stacks = {"object": rec.object[None] if rec.layers is None else rec.layers}
    if rec.probe is not None:
        stacks["probe"] = rec.probe[None]
    for name, value in stacks.items():
        file.create_dataset(name, data=value)
        file[name].attrs["pixel_height_m"], file[name].attrs["pixel_width_m"] = pixel
    file["object"].attrs["center_x_m"] = file["object"].attrs["center_y_m"] = 0.0
    gaps = rec.layer_distances_m
    file[ptychodus.SPACING] = np.zeros(0) if gaps is None else gaps
    file["loss_values"] = np.zeros(0)
