"""ptypy `.ptyd`: prepared frames in chunks. Read with plain h5py; nothing is ever unpickled.

`chunks/<i>/{data, positions (n, 2) metres (row, col), weights > 0 = good}`, and
`meta/{psize m, energy keV, distance m}` for the frames as they are stored.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ptycho.data import hdf5, physical
from ptycho.data.hdf5_frames import LazyFrames, part_of
from ptycho.data.measurement import AMPLITUDE
from ptycho.errors import MissingKeyError
from ptycho.scan import Geometry, Measured


def recognises(file: h5py.File) -> bool:
    """Chunks and what they mean."""
    return "chunks" in file and "meta" in file


def read(path: Path, file: h5py.File, measurement: str | None = None) -> Measured:
    """Read all chunks in the order of their numbers; frames stay in the file."""
    group = hdf5.find(file, "chunks")
    propagation = hdf5.text(hdf5.find(file, "meta/propagation"))
    if propagation.startswith("near"):
        raise physical.near_field(f"{path}:meta/propagation", propagation)
    names = list(group) if isinstance(group, h5py.Group) else []
    numbers = sorted((key for key in names if key.isdigit()), key=int)
    parts, positions = [], []
    good: np.ndarray | None = None
    for key in numbers:  # a link names the folder of then: its file is taken from beside
        data = hdf5.frame_stack(file, f"chunks/{key}/data", beside=True)
        parts.append(part_of(data))
        positions.append(hdf5.vectors(hdf5.need(file, f"chunks/{key}/positions", beside=True), 2))
        weights = hdf5.find(file, f"chunks/{key}/weights", beside=True)
        if isinstance(weights, h5py.Dataset) and weights.ndim >= 2:
            valid = hdf5.array(weights).reshape(-1, *weights.shape[-2:]).min(axis=0) > 0
            good = valid if good is None else good & valid
    if not parts:
        raise MissingKeyError(
            "the ptyd file has no frames", where=path, expected="chunks/0/data", got="no chunk"
        )
    shape = (int(data.shape[-2]), int(data.shape[-1]))
    kev = hdf5.number(hdf5.need(file, "meta/energy"))
    wavelength = physical.wavelength_from_joule(1e3 * kev * physical.EV_J, f"{path}:meta/energy")
    pitch = hdf5.array(hdf5.need(file, "meta/psize")).ravel()
    distance = hdf5.number(hdf5.need(file, "meta/distance"))
    if not pitch.size:
        raise MissingKeyError("the detector pixel is empty", where=f"{path}:meta/psize")
    geometry = Geometry(wavelength, distance, (float(pitch[0]), float(pitch[-1])))
    frames = LazyFrames(tuple(parts), shape, amplitude=measurement == AMPLITUDE, mask=good)
    return Measured(
        counts=frames,
        positions_px=np.concatenate(positions) / np.array(geometry.object_pixel_m(shape[1])),
        mask=good,
        geometry=geometry,
        name=path.stem,
        metadata={"layout": "ptypy ptyd"},
    )
