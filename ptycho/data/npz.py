"""NPZ: our own layout, both key sets of the earlier package, and tike's test data.

| layout | frames | positions | probe | numbers are |
|---|---|---|---|---|
| ours | `counts` (M, N, N) | `positions_px` (M, 2) row, col | `probe` (K, N, N) | counts |
| earlier package | `diff3d` or `diffraction`, (M, N, N) or (N, N, M) | `ycoords`, `xcoords` (M,) |
  `probeGuess` (N, N) | the caller's word, or `measurement` in the file |
| tike | `data` (1, M, N, N), zero frequency in the corner | `scan` (1, M, 2) row, col |
  `probe` (…, K, N, N), any scale | counts |

Files are never unpickled (`allow_pickle=False`), and the sizes that the archive declares are
checked before anything is decompressed.
"""

from __future__ import annotations

import bz2
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.errors import (
    DamagedFileError,
    MeasurementError,
    MissingKeyError,
    UnknownFormatError,
    ValueRangeError,
)
from ptycho.scan import Geometry, Scan, Truth

FORMAT = "ptycho-scan"
SCHEMA = 1
MAX_BYTES = 32 << 30
ZIP, BZIP2 = b"PK\x03\x04", b"BZh"
BAD_FILE = (
    OSError,
    EOFError,
    MemoryError,
    zlib.error,
    ValueError,
    KeyError,
    zipfile.BadZipFile,
    NotImplementedError,
)


def recognises(head: bytes) -> bool:
    """Whether a file that begins so may be an NPZ."""
    return head.startswith((ZIP, BZIP2))


def read(path: Path, *, measurement: str | None = None) -> Scan:
    """Read a scan from an NPZ file, plain or bzip2-compressed."""
    arrays = load_arrays(path)
    if "positions_px" in arrays and "counts" in arrays:
        return _ours(arrays, path)
    if "data" in arrays and "scan" in arrays:
        return _tike(arrays, path)
    if "xcoords" in arrays or "xcoords_start" in arrays:
        return _earlier(arrays, path, measurement)
    raise UnknownFormatError(
        "the NPZ file holds no scan",
        where=path,
        expected="counts + positions_px, or diff3d/diffraction + xcoords + ycoords, or data + scan",
        got=", ".join(sorted(arrays)) or "no arrays",
    )


def write(scan: Scan, path: Path) -> Path:
    """Write our layout; atomic. Returns the path."""
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "schema": np.array(SCHEMA),
        "measurement": np.array("counts"),
        "positions_px": scan.positions_px,
        "background": np.array(scan.background),
        "name": np.array(scan.name),
        "metadata": np.array(json.dumps(dict(scan.metadata))),
    }
    if scan.probe is not None:
        arrays["probe"] = scan.probe
    if scan.mask is not None:
        arrays["mask"] = scan.mask
    if scan.geometry is not None:
        g = scan.geometry
        arrays["geometry_m"] = np.array([g.wavelength_m, g.distance_m, *g.detector_pixel_m])
    if scan.truth is not None:
        arrays["truth"] = scan.truth.object
        arrays["truth_origin_px"] = np.array(scan.truth.origin_px)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            _write_zip(stream, arrays, scan)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _write_zip(stream: Any, arrays: Mapping[str, Any], scan: Scan) -> None:
    """The NPZ layout with the frames written a block at a time."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)
        dtype = _stored_type(scan)
        shape = (scan.n_frames, scan.N, scan.N)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
        with archive.open("counts.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array_header_1_0(entry, header | {"shape": shape})
            for _, block in scan.blocks():
                entry.write(np.ascontiguousarray(block, dtype).tobytes())


def _stored_type(scan: Scan) -> np.dtype:
    """Whole photons as uint32 (they compress ten times better); anything else as float32."""
    for _, block in scan.blocks():
        if block.max() >= 2**32 or not np.array_equal(np.rint(block), block):
            return np.dtype(np.float32)
    return np.dtype(np.uint32)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an NPZ (also bzip2-compressed), never unpickled; declared sizes checked."""
    try:
        with path.open("rb") as stream:
            compressed = stream.read(3) == BZIP2
            stream.seek(0)
            source: Any = io.BytesIO(_unbzip(stream, path)) if compressed else stream
            with zipfile.ZipFile(source) as archive:
                declared = sum(entry.file_size for entry in archive.infolist())
                if declared > MAX_BYTES:
                    raise ValueRangeError(
                        "the file declares more data than is read",
                        where=path,
                        expected=f"≤ {MAX_BYTES} bytes",
                        got=f"{declared} bytes",
                    )
            source.seek(0)
            with np.load(source, allow_pickle=False) as file:
                return {key: file[key] for key in file.files if key != "_metadata"}
    except BAD_FILE as error:
        raise DamagedFileError(
            "the NPZ file cannot be read",
            where=path,
            expected="a complete NPZ without pickled objects",
            got=error,
            fix="copy the file again; an old file with pickles must be saved anew without them",
        ) from error


def _unbzip(stream: Any, path: Path) -> bytes:
    """Decompress in bounded memory."""
    with bz2.open(stream) as plain:
        content = plain.read(MAX_BYTES // 8 + 1)
    if len(content) > MAX_BYTES // 8:
        raise ValueRangeError(
            "the compressed file is too large", where=path, expected=f"≤ {MAX_BYTES // 8} bytes"
        )
    return content


def _need(arrays: Mapping[str, np.ndarray], key: str, path: Path) -> np.ndarray:
    if key not in arrays:
        raise MissingKeyError(
            f"the key {key!r} is missing", where=path, expected=key, got=", ".join(sorted(arrays))
        )
    return arrays[key]


def _ours(arrays: Mapping[str, np.ndarray], path: Path) -> Scan:
    geometry = truth = None
    if "geometry_m" in arrays:
        wavelength, distance, row, col = (float(v) for v in arrays["geometry_m"])
        geometry = Geometry(wavelength, distance, (row, col))
    if "truth" in arrays:
        row, col = (float(v) for v in _need(arrays, "truth_origin_px", path))
        truth = Truth(arrays["truth"].astype(np.complex64), (row, col))
    return Scan(
        counts=arrays["counts"],
        positions_px=arrays["positions_px"],
        probe=arrays.get("probe"),
        mask=arrays.get("mask"),
        geometry=geometry,
        truth=truth,
        background=float(arrays.get("background", 0.0)),
        name=str(arrays.get("name", path.stem)),
        metadata=json.loads(str(arrays.get("metadata", "{}"))),
    )


def _tike(arrays: Mapping[str, np.ndarray], path: Path) -> Scan:
    """tike's layout: a leading axis of one, corner-centred frames, a probe of any scale."""
    counts = np.fft.fftshift(arrays["data"][0], axes=(-2, -1))
    probe = arrays.get("probe")
    if probe is not None:
        probe = probe.reshape(-1, *probe.shape[-2:])
        power = float(np.sum(np.abs(probe) ** 2))
        photons = float(counts.sum(axis=(1, 2), dtype=np.float64).mean())
        probe = probe * np.sqrt(photons / power)
    return Scan(
        counts=counts,
        positions_px=arrays["scan"][0],
        probe=probe,
        name=path.name.split(".")[0],
        metadata={"layout": "tike"},
    )


def _earlier(arrays: Mapping[str, np.ndarray], path: Path, measurement: str | None) -> Scan:
    """The earlier package: x = column, y = row; amplitudes unless somebody says otherwise."""
    key = "diff3d" if "diff3d" in arrays else "diffraction"
    frames = _need(arrays, key, path)
    rows, cols = _need(arrays, "ycoords", path), _need(arrays, "xcoords", path)
    if frames.ndim == 4 and frames.shape[-1] == 1:
        frames = frames[..., 0]
    if frames.ndim == 3 and frames.shape[0] != len(rows) and frames.shape[-1] == len(rows):
        frames = np.moveaxis(frames, -1, 0)
    said = str(arrays["measurement"]) if "measurement" in arrays else measurement
    counts = _counts(frames, said, key, path)
    probe = arrays.get("probeGuess")
    if probe is not None and said == "amplitude":
        probe = probe * np.sqrt(
            counts.sum(axis=(1, 2), dtype=np.float64).mean() / np.sum(np.abs(probe) ** 2)
        )
    truth = arrays.get("objectGuess")
    return Scan(
        counts=counts,
        positions_px=np.column_stack([rows, cols]),
        probe=probe,
        truth=None if truth is None else Truth(truth.astype(np.complex64)),
        name=path.stem,
        metadata={"layout": "earlier package", "measurement": said},
    )


def _counts(frames: np.ndarray, said: str | None, key: str, path: Path) -> np.ndarray:
    if said == "amplitude":
        return np.square(frames.astype(np.float64)).astype(np.float32)
    if said in ("counts", "intensity"):
        return frames
    whole = bool(np.array_equal(frames, np.rint(frames)))
    total = float(frames.sum(axis=(1, 2), dtype=np.float64).mean()) if frames.ndim == 3 else 0.0
    raise MeasurementError(
        f"the file does not say whether {key!r} holds counts or amplitudes",
        where=path,
        expected="measurement = counts | amplitude | intensity",
        got=f"{'whole numbers' if whole else 'fractions'}, sum per frame {total:.4g}, "
        f"maximum {float(frames.max()):.4g}",
        fix=f"--measurement {'counts' if whole else 'amplitude'}   (if that is what they are)",
    )
