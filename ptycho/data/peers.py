"""Reconstructions that other programs wrote, to evaluate them or to go on from them."""

from __future__ import annotations

from pathlib import Path

import h5py

from ptycho.data import hdf5, npz, npz_arrays, ptychodus, ptylab, ptyr
from ptycho.result import Reconstruction

READERS = (
    (ptyr.recognises, ptyr.read_reconstruction),
    (ptychodus.recognises, ptychodus.read_reconstruction),
    (ptylab.is_result, ptylab.read_reconstruction),
)


def peer_reconstruction(path: str | Path) -> Reconstruction | None:
    """A `.ptyr`, a ptychodus product (HDF5, NPZ) or a PtyLab result; None if it is none of them.

    Raises:
        DataError: it is one of them, and its content cannot be used.
    """
    path = Path(path)
    with path.open("rb") as stream:
        head = stream.read(8)
    if npz.recognises(head):
        arrays = npz_arrays.load_arrays(path, npz.STACKS)
        return ptychodus.read_reconstruction(path) if ptychodus.X_M in arrays else None
    try:
        with h5py.File(path, "r") as file:
            read = next((read for known, read in READERS if known(file)), None)
    except OSError:  # no HDF5, or no whole one: whoever reads it says so
        return None
    if read is None:
        return None
    with hdf5.opened(path) as file:
        return read(path, file)
