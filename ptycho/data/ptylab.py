"""PtyLab HDF5: `ptychogram` (M, N, N) counts, `encoder` (M, 2) metres (row, col), and lengths.

`wavelength`, `dxd` (detector pixel) and `zo` (distance) in metres. The centre of a patch lies
at encoder / pixel. `orientation` (0 … 7) says how it turns the frames after reading: 4 transposes,
then 1 reverses the columns and 2 the rows.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ptycho.data import hdf5
from ptycho.data.hdf5_frames import LazyFrames, part_of
from ptycho.data.measurement import AMPLITUDE
from ptycho.errors import NearFieldError, ShapeError, ValueRangeError
from ptycho.scan import Geometry, Measured


def recognises(file: h5py.File) -> bool:
    """Frames and positions under PtyLab's names."""
    return "ptychogram" in file and "encoder" in file


def read(path: Path, file: h5py.File, measurement: str | None = None) -> Measured:
    """Read a conventional (not a Fourier) ptychography file; frames stay in it.

    Raises:
        NearFieldError: Fourier ptychography (`zled`). ValueRangeError: an unknown orientation.
    """
    if "zo" not in file and "zled" in file:
        raise NearFieldError(
            "this is Fourier ptychography: the frames are images, not diffraction patterns",
            where=f"{path}:zled",
            expected="zo, the distance to the detector",
            got="zled",
        )
    data = hdf5.frame_stack(file, "ptychogram")
    at = hdf5.find(file, "orientation")
    orientation = 0 if at is None else int(hdf5.number(at))
    if not 0 <= orientation <= 7:
        raise ValueRangeError(
            "unknown orientation", where=f"{path}:orientation", expected="0 … 7", got=orientation
        )
    encoder = hdf5.array(hdf5.need(file, "encoder"))
    if encoder.ndim == 2 and encoder.shape[0] == 2 < encoder.shape[1]:
        encoder = encoder.T  # as PtyLab does with files of MATLAB
    if encoder.ndim != 2 or encoder.shape[1] != 2:
        raise ShapeError(
            "positions are no list of (row, col)",
            where=f"{path}:encoder",
            expected="(M, 2)",
            got=encoder.shape,
        )
    wavelength, distance, pixel = (
        hdf5.length_m(hdf5.need(file, key)) for key in ("wavelength", "zo", "dxd")
    )
    geometry = Geometry(wavelength, abs(distance), (pixel, pixel))
    rows, cols = (int(side) for side in data.shape[-2:])
    shape = (cols, rows) if orientation & 4 else (rows, cols)
    notes = []
    theta = hdf5.find(file, "theta")
    if theta is not None and hdf5.array(theta).any():
        notes.append("theta: the specimen is tilted, which is not modelled")
    spectrum = hdf5.find(file, "spectralDensity")
    if spectrum is not None and hdf5.array(spectrum).size > 1:
        notes.append("spectralDensity: light of several colours; one wavelength is modelled")
    return Measured(
        counts=LazyFrames(
            (part_of(data),), shape, amplitude=measurement == AMPLITUDE, orientation=orientation
        ),
        positions_px=encoder / np.array(geometry.object_pixel_m(shape[1])),
        geometry=geometry,
        name=path.stem,
        metadata={"layout": "PtyLab"} | ({"notes": notes} if notes else {}),
    )
