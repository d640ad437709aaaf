"""ptypy `.ptyr`: a reconstruction. Recognised and described with plain h5py, never unpickled.

`content/{probe, obj, positions, …}` with one group a storage. The diffraction frames are not in
it (they are in the `.ptyd` that it was made from), so that no scan can be made of it alone.
"""

from __future__ import annotations

from pathlib import Path

import h5py

from ptycho.data import hdf5
from ptycho.errors import MissingKeyError


def recognises(file: h5py.File) -> bool:
    """A probe and an object under `content`."""
    return all(
        isinstance(hdf5.find(file, f"content/{part}"), h5py.Group) for part in ("probe", "obj")
    )


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
        fix="open the .ptyd file that the reconstruction was made from",
    )
