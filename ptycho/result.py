"""What a reconstruction is, and its file: one HDF5 file, written whole or not at all.

Layout (`format = "ptycho-reconstruction"`, `schema = 1` as root attributes):

- `object` (H, W) complex64 — dimensionless transmission, 1 where nothing is in the beam
- `coverage` (H, W) float32 — illumination that each object pixel saw, in photons
- `origin_px` (2,) float64 — scan-frame (row, col) of `object[0, 0]`
- `probe` (K, N, N) complex64 — photons per pixel when squared; optional
- `positions_px` (M, 2) float64 — refined positions (row, col); optional
- `meta` — JSON text: what made it, with which configuration, how long it took

Each dataset carries the SHA-256 of its bytes, so that a damaged file is an error and no picture.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.data import whole_file
from ptycho.errors import ArchiveError, ShapeError, UsageError

FORMAT = "ptycho-reconstruction"
SCHEMA = 1
_ARRAYS = {
    "object": (np.complex64, 2),
    "coverage": (np.float32, 2),
    "origin_px": (np.float64, 1),
    "probe": (np.complex64, 3),
    "positions_px": (np.float64, 2),
}
_OPTIONAL = ("probe", "positions_px")


@dataclass(frozen=True)
class Reconstruction:
    """An object in the scan frame, with the illumination that made it.

    Args:
        object: (H, W) complex64, the object's complex transmission.
        coverage: (H, W) float32 ≥ 0, how much light each pixel saw; 0 outside the scan.
        origin_px: (row, col), scan-frame coordinate of array pixel [0, 0].
        probe: (K, N, N) complex64 or None; incoherent modes, strongest first.
        meta: JSON-able facts about how it was made.
        positions_px: (M, 2) float64 or None; positions (row, col) if they were refined.
    """

    object: np.ndarray
    coverage: np.ndarray
    origin_px: tuple[float, float]
    probe: np.ndarray | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    positions_px: np.ndarray | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "object", np.asarray(self.object, np.complex64))
        set_(self, "coverage", np.asarray(self.coverage, np.float32))
        row, col = (float(value) for value in self.origin_px)
        set_(self, "origin_px", (row, col))
        if self.probe is not None:
            probe = np.asarray(self.probe, np.complex64)
            set_(self, "probe", probe[None] if probe.ndim == 2 else probe)
        if self.positions_px is not None:
            set_(self, "positions_px", np.asarray(self.positions_px, np.float64))
        _check(self)

    def region(self, threshold: float = 0.1) -> np.ndarray:
        """(H, W) bool: pixels that saw at least `threshold` of the (robust) maximum coverage."""
        lit = self.coverage[self.coverage > 0]
        if lit.size == 0:
            return np.zeros(self.coverage.shape, bool)
        return self.coverage >= threshold * np.quantile(lit, 0.95)

    def with_meta(self, **facts: Any) -> Reconstruction:
        """The same reconstruction with these facts added to `meta`."""
        return replace(self, meta={**self.meta, **facts})


def _check(rec: Reconstruction) -> None:
    if rec.object.ndim != 2 or rec.coverage.shape != rec.object.shape:
        raise ShapeError(
            "object and coverage of a reconstruction must be two images of one shape",
            expected="object (H, W), coverage (H, W)",
            got=f"object {rec.object.shape}, coverage {rec.coverage.shape}",
        )
    if rec.probe is not None and (
        rec.probe.ndim != 3 or rec.probe.shape[-1] != rec.probe.shape[-2]
    ):
        raise ShapeError(
            "the probe of a reconstruction must be a stack of square modes",
            expected="(K, N, N)",
            got=rec.probe.shape,
        )
    if rec.positions_px is not None and (
        rec.positions_px.ndim != 2 or rec.positions_px.shape[1] != 2
    ):
        raise ShapeError(
            "positions must be (row, col) pairs", expected="(M, 2)", got=rec.positions_px.shape
        )


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
    """Read what `save_reconstruction` wrote, a `.ptyr` of ptypy, or a ptychodus product.

    Raises:
        ArchiveError: no such file, no reconstruction, an unknown schema, or bytes that changed.
    """
    path = Path(path)
    if not path.is_file():
        raise ArchiveError("there is no such reconstruction", where=path, got="no file")
    from ptycho.data import peer_reconstruction

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
