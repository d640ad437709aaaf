"""ptypy `.ptyr`: a reconstruction. Read with plain h5py; nothing is ever unpickled.

`content/{probe, obj}/S…/{data (modes, y, x), _psize m, _center px, _origin m}`. It is read as a
`Reconstruction` (to evaluate it, or to start a refinement from it), and gives a scan its probe:
the frames are in the `.ptyd` that it was made from, which is named as the second file.

Array pixel [0, 0] of a storage lies at `_origin`, in the frame of the positions; `_center` says the
same in pixels with the other sign (`_origin = −_center · _psize`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from ptycho.data import hdf5, physical, ptyd
from ptycho.errors import MissingKeyError, ProbeSizeError, ShapeError
from ptycho.result import Reconstruction
from ptycho.scan import Measured


def recognises(file: h5py.File) -> bool:
    """A probe and an object under `content`."""
    return all(
        isinstance(hdf5.find(file, f"content/{part}"), h5py.Group) for part in ("probe", "obj")
    )


def read_reconstruction(path: Path, file: h5py.File) -> Reconstruction:
    """Object (first storage and layer), its origin in the scan frame, and the probe's modes.

    ptypy stores no coverage: it is 1 everywhere, and `meta` says so.
    """
    image, node = _storage(path, file, "obj")
    probe = _storage(path, file, "probe")[0]
    psize, centre = _pair(file, node, "_psize", 1.0), _pair(file, node, "_center", 0.0)
    origin = _pair(file, node, "_origin", -centre * psize)
    corner = origin / psize
    meta = {
        "method": "ptypy",
        "layout": "ptypy ptyr",
        "object_pixel_m": psize.tolist(),
        "coverage": "not in the file: 1 everywhere",
        "layers": len(image),
    }
    shape = image.shape[-2:]
    return Reconstruction(
        image[0], np.ones(shape, np.float32), (float(corner[0]), float(corner[1])), probe, meta
    )


def read(
    path: Path, file: h5py.File, frames: Path | None = None, measurement: str | None = None
) -> Measured:
    """The scan of the `.ptyd` file `frames`, with the probe of this reconstruction.

    Raises:
        MissingKeyError: no frames are named; the message says what the file holds.
    """
    if frames is None:
        raise no_scan(path, file)
    links = isinstance(file, hdf5.ScanFile) and file.follow_links
    with hdf5.opened(frames, follow_links=links) as data:
        if not ptyd.recognises(data):
            raise MissingKeyError(
                "the frames of a ptypy reconstruction are in a .ptyd file",
                where=frames,
                expected="chunks, meta",
                got=", ".join(data),
            )
        scan = ptyd.read(frames, data, measurement)
    probe = _storage(path, file, "probe")[0]
    if probe.shape[-2:] != (scan.N, scan.N):
        raise ProbeSizeError(
            "the probe of the reconstruction does not have the size of the frames",
            where=f"{path}:content/probe",
            expected=(scan.N, scan.N),
            got=probe.shape,
        )
    return replace(
        scan,
        probe=physical.scaled_probe(probe, physical.mean_photons(scan.counts, scan.mask)),
        metadata={"layout": "ptypy ptyr + ptyd", "probe_scaled": True},
    )


def _storage(path: Path, file: h5py.File, part: str) -> tuple[np.ndarray, str]:
    """(layers, rows, cols) complex64 of the first storage, and its place."""
    group = hdf5.find(file, f"content/{part}")
    for name in sorted(group):
        node = f"content/{part}/{name}"
        data = hdf5.find(file, f"{node}/data")
        if isinstance(data, h5py.Dataset):
            image = hdf5.array(data, np.complex64)
            if image.ndim < 2 or 0 in image.shape:
                raise ShapeError("no images", where=f"{path}:{node}/data", got=image.shape)
            return image.reshape(-1, *image.shape[-2:]), node
    raise no_scan(path, file)


def _pair(file: h5py.File, node: str, name: str, default: float | np.ndarray) -> np.ndarray:
    found = hdf5.find(file, f"{node}/{name}")
    if found is None:
        return np.broadcast_to(np.asarray(default, np.float64), (2,))
    values = hdf5.array(found).ravel()
    if values.size not in (1, 2):
        raise ShapeError("a (row, col) pair is expected", where=found.name, got=values.shape)
    return np.broadcast_to(values, (2,)).astype(np.float64)


def no_scan(path: Path, file: h5py.File) -> MissingKeyError:
    """The error that says what the file has and what a scan lacks."""
    held = []
    for part in ("probe", "obj", "positions"):
        group = hdf5.find(file, f"content/{part}")
        for name in group if isinstance(group, h5py.Group) else ():
            data = hdf5.find(file, f"content/{part}/{name}/data")
            shape = f" {data.shape}" if isinstance(data, h5py.Dataset) else ""
            held.append(f"content/{part}/{name}{shape}")
    return MissingKeyError(
        "a ptypy reconstruction (.ptyr) has no diffraction frames, so it is no scan",
        where=path,
        expected="frames",
        got=", ".join(held) or "empty groups",
        fix=f"ptycho convert {path} SCAN.npz --frames DATA.ptyd   (the file it was made from)",
    )
