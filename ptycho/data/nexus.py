"""NeXus NXcxi_ptycho: like CXI, with units attributes, an energy that may be the ring's, rasters.

The photon energy is that of the beam; `source_1/energy` is used only when no beam energy exists
and the value can be that of a photon in joules. Frames come as (N, y, x) or as a raster
(rows, cols, y, x). The last axis of `translation` begins with x, then y.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ptycho.data import hdf5, physical
from ptycho.data.cxi import positions_px
from ptycho.data.hdf5_frames import part_of
from ptycho.data.lazy_frames import LazyFrames
from ptycho.data.measurement import AMPLITUDE
from ptycho.errors import MissingKeyError
from ptycho.scan import Geometry, Measured

ENTRIES = ("entry_1", "entry")


def recognises(file: h5py.File) -> bool:
    """An entry whose definition names ptychography."""
    return _entry(file) is not None


def _entry(file: h5py.File) -> str | None:
    for name in ENTRIES:
        definition = hdf5.text(hdf5.find(file, f"{name}/definition"))
        if "ptycho" in definition.lower():
            return name
    return None


def read(path: Path, file: h5py.File, measurement: str | None = None) -> Measured:
    """Read a NeXus ptychography entry; frames stay in the file."""
    entry = _entry(file)
    detector = f"{entry}/instrument_1/detector_1"
    data = hdf5.frame_stack(file, f"{entry}/data_1/data", f"{detector}/data")
    wavelength = _wavelength(path, file, f"{entry}/instrument_1")
    distance, row, col = (
        hdf5.length_m(hdf5.need(file, f"{detector}/{key}"))
        for key in ("distance", "y_pixel_size", "x_pixel_size")
    )
    geometry = Geometry(wavelength, distance, (row, col))
    n = int(data.shape[-1])
    mask_at = hdf5.first(file, (f"{detector}/mask", f"{detector}/pixel_mask"))
    mask = None if mask_at is None else physical.cxi_good(hdf5.array(mask_at, np.uint32))
    translation = _translation(file, str(entry), detector)
    basis = np.array([[0, -row, 0], [-col, 0, 0]])
    return Measured(
        counts=LazyFrames(
            (part_of(data),),
            (int(data.shape[-2]), n),
            amplitude=measurement == AMPLITUDE,
            mask=mask,
        ),
        positions_px=positions_px(translation, basis, np.array(geometry.object_pixel_m(n))),
        mask=mask,
        geometry=geometry,
        name=hdf5.text(hdf5.find(file, f"{entry}/title")) or path.stem,
        metadata={"layout": "NeXus NXcxi_ptycho"},
    )


def _translation(file: h5py.File, entry: str, detector: str) -> np.ndarray:
    found = hdf5.need(
        file,
        f"{entry}/data_1/translation",
        f"{entry}/sample_1/geometry_1/translation",
        f"{detector}/translation",
    )
    values = hdf5.vectors(found, 2, 3)
    if values.shape[1] == 2:
        values = np.column_stack([values, np.zeros(len(values))])
    return hdf5.lengths_m(found, values)


def _wavelength(path: Path, file: h5py.File, instrument: str) -> float:
    for name in ("beam_1/incident_beam_energy", "beam_1/energy"):
        found = hdf5.find(file, f"{instrument}/{name}")
        if found is not None:
            return hdf5.wavelength_m(found)
    wavelength = hdf5.find(file, f"{instrument}/source_1/wavelength")
    if wavelength is not None:
        return hdf5.length_m(wavelength)
    found = hdf5.find(file, f"{instrument}/source_1/energy")
    if found is not None and 1e-18 < hdf5.number(found) < 1e-12:
        return physical.wavelength_from_joule(hdf5.number(found), f"{path}:{found.name}")
    raise MissingKeyError(
        "the photon energy is missing (source_1/energy is that of the ring)",
        where=path,
        expected=f"{instrument}/beam_1/incident_beam_energy with units",
        got="none that can be a photon's",
    )
