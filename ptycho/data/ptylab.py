"""PtyLab HDF5, data and results.

Data: `ptychogram` (M, N, N) counts, `encoder` (M, 2) metres (row, col), and lengths:
`wavelength`, `dxd` (detector pixel) and `zo` (distance) in metres. The centre of a patch lies
at encoder / pixel. `orientation` (0 … 7) says how it turns the frames after reading: 4 transposes,
then 1 reverses the columns and 2 the rows.

Results (`saveResults`): `object` and `probe` (colours, object modes, probe modes, slices, rows,
cols), `dxp` the pixel of both in metres, `encoder_corrected` (M, 2) metres (row, col). A position
of 0 is the centre of the patch whose middle is at No//2 of the object, No its side.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ptycho.data import hdf5
from ptycho.data.hdf5_frames import part_of
from ptycho.data.lazy_frames import LazyFrames
from ptycho.data.measurement import AMPLITUDE
from ptycho.data.physical import lit, require_positive
from ptycho.errors import NearFieldError, ShapeError, ValueRangeError
from ptycho.result import Reconstruction
from ptycho.scan import Geometry, Measured


def recognises(file: h5py.File) -> bool:
    """Frames and positions under PtyLab's names."""
    return "ptychogram" in file and "encoder" in file


def is_result(file: h5py.File) -> bool:
    """Object, probe and their pixel under PtyLab's names, and no frames."""
    return all(key in file for key in ("object", "probe", "dxp")) and "ptychogram" not in file


def read_reconstruction(path: Path, file: h5py.File) -> Reconstruction:
    """What `saveResults` of PtyLab wrote, as a reconstruction to evaluate or to go on from.

    Slices are multiplied (the thin-specimen limit), the first colour and object mode are taken; of
    a single colour and mode nothing is lost. Coverage is the light of the probe at the positions.

    Raises:
        NearFieldError: Fourier ptychography. ShapeError: fields that are no images.
    """
    if "zled" in file:
        raise _fourier(path)
    fields = []
    for key in ("object", "probe"):
        values = hdf5.array(hdf5.need(file, key), np.complex64)
        if values.ndim < 2 or 0 in values.shape:
            raise ShapeError(
                "no image", where=f"{path}:{key}", expected="(…, rows, cols)", got=values.shape
            )
        fields.append(values.reshape((1,) * max(0, 6 - values.ndim) + values.shape))
    image, probe = fields
    notes = []
    if image.shape[0] > 1 or image.shape[1] > 1:
        notes.append(f"object of {image.shape[0]} colours, {image.shape[1]} modes: the first")
    if image.shape[3] > 1:
        notes.append(f"object of {image.shape[3]} slices; one slice is modelled")
    plane, modes = image[0, 0, 0].prod(axis=0), probe[0, 0, :, 0]
    pixel = require_positive(hdf5.number(hdf5.need(file, "dxp")), "dxp", path)
    corner = (float(-(plane.shape[0] // 2)), float(-(plane.shape[1] // 2)))
    meta = {"method": "PtyLab", "layout": "PtyLab results", "object_pixel_m": pixel, "notes": notes}
    at = hdf5.find(file, "encoder_corrected")
    if not isinstance(at, h5py.Dataset):
        return Reconstruction(plane, np.ones(plane.shape), corner, modes, meta)
    places = _encoder(path, at) / pixel
    seen = lit(places - np.array(corner), modes, plane.shape)
    return Reconstruction(plane, seen, corner, modes, meta, places)


def _fourier(path: Path) -> NearFieldError:
    return NearFieldError(
        "this is Fourier ptychography: the frames are images, not diffraction patterns",
        where=f"{path}:zled",
        expected="zo, the distance to the detector",
        got="zled",
    )


def _encoder(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    """(M, 2) metres (row, col)."""
    encoder = hdf5.array(dataset)
    if encoder.ndim == 2 and encoder.shape[0] == 2 < encoder.shape[1]:
        encoder = encoder.T  # as PtyLab does with files of MATLAB
    if encoder.ndim != 2 or encoder.shape[1] != 2:
        raise ShapeError(
            "positions are no list of (row, col)",
            where=f"{path}:{dataset.name.lstrip('/')}",
            expected="(M, 2)",
            got=encoder.shape,
        )
    return encoder


def read(path: Path, file: h5py.File, measurement: str | None = None) -> Measured:
    """Read a conventional (not a Fourier) ptychography file; frames stay in it.

    Raises:
        NearFieldError: Fourier ptychography (`zled`). ValueRangeError: an unknown orientation.
    """
    if "zo" not in file and "zled" in file:
        raise _fourier(path)
    data = hdf5.frame_stack(file, "ptychogram")
    at = hdf5.find(file, "orientation")
    orientation = 0 if at is None else int(hdf5.number(at))
    if not 0 <= orientation <= 7:
        raise ValueRangeError(
            "unknown orientation", where=f"{path}:orientation", expected="0 … 7", got=orientation
        )
    encoder = _encoder(path, hdf5.need(file, "encoder"))
    wavelength, distance, pixel = (
        hdf5.length_m(hdf5.need(file, key)) for key in ("wavelength", "zo", "dxd")
    )
    geometry = Geometry(wavelength, distance, (pixel, pixel))
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
