"""NPZ: our own layout and tike's; the earlier package's is `npz_earlier`.

| layout | frames | positions | probe | numbers are |
|---|---|---|---|---|
| ours | `counts` (M, N, N) | `positions_px` (M, 2) row, col | `probe` (K, N, N) | counts |
| tike | `data` (1, M, N, N), zero frequency in the corner | `scan` (1, M, 2) row, col |
  `probe` (…, K, N, N), any scale | counts |
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data import npz_archive, npz_arrays, npz_earlier, physical, ptychodus
from ptycho.data.atomic import whole_file
from ptycho.data.measurement import COUNTS, agreed
from ptycho.data.names import scan_stem
from ptycho.errors import MeasurementError, ShapeError, UnknownFormatError
from ptycho.scan import Geometry, Measured, Scan, Truth

STACKS = ("counts", "data", "patterns", *npz_earlier.STACKS)  # what may be larger than memory
FORMAT = "ptycho-scan"
SCHEMA = 1


def recognises(head: bytes) -> bool:
    """Whether a file that begins so may be an NPZ."""
    return head.startswith((npz_archive.ZIP, npz_archive.BZIP2))


def read(
    path: Path,
    *,
    measurement: str | None = None,
    accept: Collection[str] = (),
    frames: Path | None = None,
    follow_links: bool = False,
) -> Measured:
    """Read a scan from an NPZ file of any layout; see `ptycho.data.open_scan`."""
    arrays = npz_arrays.load_arrays(path, STACKS)
    if "positions_px" in arrays and "counts" in arrays:
        agreed(COUNTS, measurement, path)
        _require_ours(arrays, path)
        return _ours(arrays, path)
    if "data" in arrays and "scan" in arrays:
        agreed(COUNTS, measurement, path)
        return _tike(arrays, path)
    if npz_earlier.recognises(arrays):
        return npz_earlier.read(arrays, path, measurement, accept)
    if ptychodus.X_M in arrays and ptychodus.Y_M in arrays:
        return ptychodus.read_npz(path, arrays, frames, follow_links)
    raise UnknownFormatError(
        "the NPZ file holds frames without positions"
        if "patterns" in arrays
        else "the NPZ file holds no scan",
        where=path,
        expected="counts + positions_px, diff3d/diffraction + xcoords + ycoords, data + scan, or "
        f"{ptychodus.X_M} + {ptychodus.Y_M}",
        got=", ".join(sorted(arrays)) or "no arrays",
        fix=f"ptycho inspect PRODUCT --frames {path}" if "patterns" in arrays else None,
    )


def write(scan: Scan, path: Path) -> Path:
    """Write our layout; atomic. Returns the path."""
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "schema": np.array(SCHEMA),
        "measurement": np.array(COUNTS),
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
        if g.near_field:
            arrays["near_field"] = np.array(True)
        if g.layer_distances_m:
            arrays["layer_distances_m"] = np.array(g.layer_distances_m)
    if scan.truth is not None:
        arrays["truth"] = scan.truth.object
        arrays["truth_origin_px"] = np.array(scan.truth.origin_px)
        if scan.truth.layers is not None:
            arrays["truth_layers"] = scan.truth.layers
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        _write_zip(stream, arrays, scan)
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


def _require_ours(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """What the file says of itself is what is read here: counts, in a layout that is known."""
    said = str(arrays.get("measurement", COUNTS))
    if said not in (COUNTS, "intensity"):
        raise MeasurementError(
            "`counts` are said to be no counts",
            where=f"{path}:measurement",
            expected=COUNTS,
            got=said,
            fix="write the squares of amplitudes, or the key diff3d with xcoords and ycoords",
        )
    schema = str(arrays.get("schema", SCHEMA))
    if schema != str(SCHEMA):
        raise UnknownFormatError(
            "the file is of another version of this layout",
            where=f"{path}:schema",
            expected=SCHEMA,
            got=schema,
            fix="read it with the version of ptycho that wrote it",
        )


def _ours(arrays: Mapping[str, np.ndarray], path: Path) -> Measured:
    geometry = truth = None
    if "geometry_m" in arrays:
        lengths = npz_arrays.numbers(arrays["geometry_m"], f"{path}:geometry_m").ravel()
        if lengths.size != 4:
            raise ShapeError("four lengths", where=f"{path}:geometry_m", got=lengths.shape)
        wavelength, distance, row, col = (float(v) for v in lengths)
        near = npz_arrays.numbers(arrays.get("near_field", np.array(False)), f"{path}:near_field")
        where = f"{path}:layer_distances_m"
        gaps = npz_arrays.numbers(arrays.get("layer_distances_m", np.zeros(0)), where).ravel()
        geometry = Geometry(
            wavelength, distance, (row, col), bool(near.any()), tuple(map(float, gaps))
        )
    if "truth" in arrays:
        image = npz_arrays.numbers(arrays["truth"], f"{path}:truth", "iufc")
        origin = npz_arrays.need(arrays, path, "truth_origin_px").ravel()
        if image.ndim != 2 or origin.size != 2:
            raise ShapeError(
                "the truth is no image with an origin",
                where=f"{path}:truth",
                expected="(H, W) and (2,)",
                got=f"{image.shape} and {origin.shape}",
            )
        layers = arrays.get("truth_layers")
        if layers is not None:
            layers = npz_arrays.numbers(layers, f"{path}:truth_layers", "iufc").astype(np.complex64)
            physical.require_layers(layers, image.shape, f"{path}:truth_layers")
        place = (float(origin[0]), float(origin[1]))
        truth = Truth(image.astype(np.complex64), place, layers)
    background = npz_arrays.numbers(arrays.get("background", np.array(0.0)), f"{path}:background")
    return Measured(
        counts=npz_arrays.frames(arrays["counts"], f"{path}:counts"),
        positions_px=arrays["positions_px"],
        probe=arrays.get("probe"),
        mask=arrays.get("mask"),
        geometry=geometry,
        truth=truth,
        background=float(background.sum()),
        name=str(arrays.get("name", path.stem)),
        metadata=npz_arrays.json_object(arrays.get("metadata"), f"{path}:metadata"),
    )


def _tike(arrays: Mapping[str, np.ndarray], path: Path) -> Measured:
    """tike's layout: a leading axis of one, corner-centred frames, a probe of any scale."""
    places = npz_arrays.numbers(arrays["scan"], f"{path}:scan")
    places = places[0] if len(places) == 1 and places.ndim > 2 else places
    shape = arrays["data"].shape
    shape = shape[1:] if shape[:1] == (1,) and len(shape) > 3 else shape
    if len(shape) != 3 or places.ndim != 2:
        raise ShapeError(
            "no stack of frames with positions",
            where=path,
            expected="data (1, M, N, N), scan (1, M, 2)",
            got=f"data {arrays['data'].shape}, scan {arrays['scan'].shape}",
        )
    counts = npz_arrays.frames(arrays["data"], f"{path}:data", shape, corner=True)
    probe = arrays.get("probe")
    if probe is not None:
        probe = npz_arrays.numbers(probe, f"{path}:probe", "iufc")
        if probe.ndim < 2:
            raise ShapeError("the probe is no image", where=f"{path}:probe", got=probe.shape)
        probe = probe.reshape(-1, *probe.shape[-2:])
        probe = physical.scaled_probe(probe, physical.mean_photons(counts))
    return Measured(
        counts=counts,
        positions_px=places,
        probe=probe,
        name=scan_stem(path),
        metadata={"layout": "tike", "probe_scaled": probe is not None},
    )
