"""Reconstructions that other programs wrote, to evaluate them or to go on from them."""

from __future__ import annotations

from pathlib import Path

import h5py

from ptycho.data import hdf5, npz, npz_arrays, ptychodus, ptyr
from ptycho.result import Reconstruction


def peer_reconstruction(path: str | Path) -> Reconstruction | None:
    """A `.ptyr` or a ptychodus product (HDF5, NPZ) as a reconstruction; None if it is neither.

    Raises:
        DataError: it is one of them, and its content cannot be used.
    """
    path = Path(path)
    with path.open("rb") as stream:
        head = stream.read(8)
    if npz.recognises(head):
        arrays = npz_arrays.load_arrays(path)
        return ptychodus.read_reconstruction(path) if ptychodus.X_M in arrays else None
    try:
        with h5py.File(path, "r") as file:
            kind = next((kind for kind in (ptyr, ptychodus) if kind.recognises(file)), None)
    except OSError:  # no HDF5, or no whole one: whoever reads it says so
        return None
    if kind is None:
        return None
    with hdf5.opened(path) as file:
        return kind.read_reconstruction(path, file)
