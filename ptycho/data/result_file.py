"""The file of a reconstruction: one HDF5 file, written whole or not at all.

Layout (`format = "ptycho-reconstruction"`, `schema = 1` as root attributes):

- `object` (H, W) complex64 — dimensionless transmission, 1 where nothing is in the beam
- `coverage` (H, W) float32 — illumination that each object pixel saw, in photons
- `origin_px` (2,) float64 — scan-frame (row, col) of `object[0, 0]`
- `probe` (K, N, N) complex64 — photons per pixel when squared; optional
- `positions_px` (M, 2) float64 — refined positions (row, col); optional
- `eigenprobes` (E, N, N) complex64, `probe_weights` (M, E) float32 — how the first mode varies from
  frame to frame: P_0 + Σ weight · eigenprobe; optional
- `plain` (H, W) complex64 — the object without the prior, where `object` is with it; optional
- `layers` (L, H, W) complex64, `layer_distances_m` (L − 1,) float64 — of a thick specimen, in the
  order of the light; `object` is then their product; optional
- `meta` — JSON text: what made it, with which configuration, how long it took

Each dataset carries the SHA-256 of its bytes, so that a damaged file is an error and no picture.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.data.atomic import whole_file
from ptycho.data.peers import peer_reconstruction
from ptycho.errors import ArchiveError, UsageError
from ptycho.result import Reconstruction

FORMAT = "ptycho-reconstruction"
SCHEMA = 1
_ARRAYS = {
    "object": (np.complex64, 2),
    "coverage": (np.float32, 2),
    "origin_px": (np.float64, 1),
    "probe": (np.complex64, 3),
    "positions_px": (np.float64, 2),
    "eigenprobes": (np.complex64, 3),
    "probe_weights": (np.float32, 2),
    "plain": (np.complex64, 2),
    "layers": (np.complex64, 3),
    "layer_distances_m": (np.float64, 1),
}
_OPTIONAL = tuple(name for name in _ARRAYS if name not in ("object", "coverage", "origin_px"))


def save_reconstruction(rec: Reconstruction, path: str | Path) -> Path:
    """Write `rec` to `path` (.h5), whole or not at all: a temporary file beside it, then a rename.

    Raises:
        UsageError: the folder does not exist, or `path` is a folder.
    """
    path = Path(path)
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(
            "cannot write a reconstruction there",
            where=path,
            expected="a file name in an existing folder",
            got="a folder" if path.is_dir() else f"no folder {path.parent}",
            fix=f"mkdir -p {path.parent}",
        )
    with whole_file(path) as temporary:
        _write(rec, temporary)
    return path


def _write(rec: Reconstruction, temporary: Path) -> None:
    with h5py.File(temporary, "w") as file:
        file.attrs["format"], file.attrs["schema"] = FORMAT, SCHEMA
        for name, (dtype, _) in _ARRAYS.items():
            value = getattr(rec, name)
            if value is None:
                continue
            array: np.ndarray = np.ascontiguousarray(value, dtype)
            options = {"compression": "gzip", "shuffle": True} if array.size > 64 else {}
            dataset = file.create_dataset(name, data=array, **options)
            dataset.attrs["sha256"] = hashlib.sha256(array.tobytes()).hexdigest()
        text = json.dumps(rec.meta, default=_plain)
        dataset = file.create_dataset("meta", data=text, dtype=h5py.string_dtype("utf-8"))
        dataset.attrs["sha256"] = hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def load_reconstruction(path: str | Path) -> Reconstruction:
    """Read what `save_reconstruction` wrote, a `.ptyr`, a ptychodus product, or a PtyLab result.

    Raises:
        ArchiveError: no such file, no reconstruction, an unknown schema, or bytes that changed.
    """
    path = Path(path)
    if not path.is_file():
        raise ArchiveError("there is no such reconstruction", where=path, got="no file")
    others = peer_reconstruction(path)
    if others is not None:
        return others
    try:
        with h5py.File(path, "r") as file:
            _check_schema(file, path)
            arrays = {name: _read(file, name, path) for name in _ARRAYS}
            text = _checked(file["meta"][()], file["meta"], path)
            meta = json.loads(text.decode())
    except (OSError, KeyError, ValueError) as error:
        raise ArchiveError(
            "this file cannot be read as a reconstruction",
            where=path,
            expected="an HDF5 file written by `ptycho reconstruct` or `ptycho refine`",
            got=str(error),
        ) from error
    missing = [name for name in _ARRAYS if arrays[name] is None and name not in _OPTIONAL]
    if missing:
        raise ArchiveError(
            "the reconstruction lacks a dataset", where=path, expected=missing, got=None
        )
    arrays["origin_px"] = tuple(arrays["origin_px"])
    return Reconstruction(**arrays, meta=meta)


def is_reconstruction(path: str | Path) -> bool:
    """Whether the file says that it is a reconstruction (its content is not checked)."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except OSError:
        return False


def _check_schema(file: h5py.File, path: Path) -> None:
    kind, schema = file.attrs.get("format"), file.attrs.get("schema")
    if kind != FORMAT or schema != SCHEMA:
        raise ArchiveError(
            "this HDF5 file is no reconstruction that this version reads",
            where=path,
            expected=f"format={FORMAT}, schema={SCHEMA}",
            got=f"format={kind}, schema={schema}",
            fix=f"ptycho inspect {path}  (if it is a scan: ptycho refine {path} -o OUT.h5)",
        )


def _read(file: h5py.File, name: str, path: Path) -> Any:
    if name not in file:
        return None
    dtype, ndim = _ARRAYS[name]
    dataset = file[name]
    if dataset.dtype != dtype or dataset.ndim != ndim:
        raise ArchiveError(
            "a dataset of the reconstruction has the wrong type",
            where=f"{path}:/{name}",
            expected=f"{np.dtype(dtype)}, {ndim} axes",
            got=f"{dataset.dtype}, {dataset.ndim} axes",
        )
    array = dataset[()]
    _checked(array.tobytes(), dataset, path)
    return array


def _checked(data: bytes, dataset: h5py.Dataset, path: Path) -> bytes:
    found, noted = hashlib.sha256(data).hexdigest(), dataset.attrs.get("sha256")
    if found != noted:
        raise ArchiveError(
            "the bytes of a dataset are not those that were written",
            where=f"{path}:{dataset.name}",
            expected=f"sha256 {noted}",
            got=f"sha256 {found}",
            fix="make the reconstruction again; this file is damaged or was edited",
        )
    return data
