"""ptychodus products (HDF5 and NPZ), with frames in `/raw_data` or in a diffraction file.

A product holds positions, probe and object but no frames. `raw_data/diffraction` (amplitudes) is
the extension that makes it complete; without it the frames are given as a second file with
`patterns` (counts) and `indexes`, which are matched to `probe_position_indexes`.
Position in pixels: (x_m − center_x_m)/pixel + width/2, measured from the object's corner, which is
our scan frame with the object's array pixel [0, 0] at (0, 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.data import hdf5, npz_arrays, physical
from ptycho.data.hdf5_frames import frames_there, part_of
from ptycho.data.lazy_frames import LazyFrames
from ptycho.data.measurement import AMPLITUDE, agreed
from ptycho.errors import (
    LayoutError,
    MissingKeyError,
    PositionsOutsideObjectError,
    ShapeError,
)
from ptycho.result import Reconstruction
from ptycho.scan import Geometry, Measured, Scan, Truth

INDEXES, X_M, Y_M = "probe_position_indexes", "probe_position_x_m", "probe_position_y_m"
FRAMES = "raw_data/diffraction"
PATTERNS = ("patterns", "diffraction/patterns")
SIDES = ("height", "width")
ENERGY = ("photon_energy_eV", "probe_energy_eV")  # since 1.7, and before
FAR_FIELD, VARIES, PHOTONS = "far_field", "opr_weights", "probe_photon_counts"
SPACING = "object_layer_spacing_m"


@dataclass(frozen=True, eq=False)
class Product:
    """What both kinds of product file hold.

    Args:
        index: (P,) frame numbers. y_m, x_m: (P,) metres.
        object, probe: as stored, or None. pixel_m, centre_m: (2,) (row, col) of the object.
        energy_ev, distance_m: 0 where unknown.
        far_field: what the file says (older ones: nothing, which means True).
        photons: (P,) photons of each position, or None. varies: it has weights for a probe that
            changes from frame to frame.
        spacing_m: (L − 1,) gaps between the layers of the object, or None.
        ours: attributes that only our writer adds.
    """

    path: Path
    index: np.ndarray
    y_m: np.ndarray
    x_m: np.ndarray
    object: np.ndarray | None
    probe: np.ndarray | None
    pixel_m: np.ndarray
    centre_m: np.ndarray
    energy_ev: float
    distance_m: float
    name: str
    far_field: bool = True
    photons: np.ndarray | None = None
    varies: bool = False
    spacing_m: np.ndarray | None = None
    ours: Mapping[str, Any] = field(default_factory=dict)


def recognises(file: h5py.File) -> bool:
    """The positions of a product."""
    return X_M in file and Y_M in file


def read(
    path: Path, file: h5py.File, frames_path: Path | None = None, measurement: str | None = None
) -> Measured:
    """Read an HDF5 product with its frames.

    Args:
        path: the product.
        file: the product, opened.
        frames_path: a ptychodus diffraction file (HDF5 or NPZ), if the product has no frames.
        measurement: the caller's word, where the frames do not say.
    """
    product = _of_hdf5(path, file)
    inside = hdf5.find(file, FRAMES)
    if inside is None:
        links = isinstance(file, hdf5.ScanFile) and file.follow_links
        return _scan(product, *_matched(product, frames_path, measurement, links))
    counts, mask = _inside(path, file, measurement)
    return _scan(product, counts, np.arange(len(product.index)), mask)


def read_npz(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    frames_path: Path | None = None,
    follow_links: bool = False,
) -> Measured:
    """Read an NPZ product: the same names flat, `object_pixel_height_m` and so on as arrays."""
    product = _of_npz(path, arrays)
    return _scan(product, *_matched(product, frames_path, None, follow_links))


def read_reconstruction(path: Path, file: h5py.File | None = None) -> Reconstruction:
    """A product (HDF5 where it is given opened, else NPZ) as a reconstruction to go on from.

    Object (of layers: each, and their product), probe modes, positions, and as coverage
    the light that the probe brings to each pixel; all in the frame that `read` gives the scan.

    Raises:
        MissingKeyError: the product has no object.
    """
    if file is None:
        product = _of_npz(path, npz_arrays.load_arrays(path))
    else:
        product = _of_hdf5(path, file)
    if product.object is None:
        raise MissingKeyError(
            "the product has no object to start from", where=path, expected="object", got="none"
        )
    layers, every = _layers(product.object), np.arange(len(product.index))
    local, flux = _local(product, every, layers.shape[1:]), _flux(product, every)
    probe = _modes(product)
    origin = _origin(product)
    return Reconstruction(
        layers.prod(axis=0),
        physical.lit(local, probe, layers.shape[1:]),
        origin,
        probe,
        {
            "method": "ptychodus",
            "layout": "ptychodus product",
            "notes": _notes(product),
            "frame_numbers": product.index.tolist(),
            "flux": None if flux is None else flux.tolist(),
        },
        local + np.array(origin),
        layers=layers if _gaps(product) else None,
        layer_distances_m=np.array(_gaps(product)) if _gaps(product) else None,
    )


def _of_hdf5(path: Path, file: h5py.File) -> Product:
    held = {key: hdf5.find(file, key) for key in ("object", "probe")}
    target = next((held[key] for key in held if isinstance(held[key], h5py.Dataset)), None)
    if target is None:
        raise MissingKeyError("the product has neither object nor probe", where=path)
    images = {
        key: hdf5.array(found, np.complex64) if isinstance(found, h5py.Dataset) else None
        for key, found in held.items()
    }
    centre = [
        hdf5.attribute(held["object"], f"center_{axis}_m", 0.0) if held["object"] else 0.0
        for axis in "yx"
    ]
    weights, photons = hdf5.find(file, VARIES), hdf5.find(file, PHOTONS)
    spacing = hdf5.find(file, SPACING)
    on_probe = held["probe"] is not None and VARIES in held["probe"].attrs
    return _checked(
        Product(
            path,
            hdf5.array(hdf5.need(file, INDEXES), np.int64).ravel(),
            hdf5.array(hdf5.need(file, Y_M)).ravel(),
            hdf5.array(hdf5.need(file, X_M)).ravel(),
            images["object"],
            images["probe"],
            _pixel(path, [hdf5.attribute(target, f"pixel_{side}_m", 0.0) for side in SIDES]),
            np.array(centre),
            next((v for key in ENERGY if (v := hdf5.attribute(file, key, 0.0)) != 0), 0.0),
            hdf5.attribute(file, "detector_object_distance_m", 0.0),
            hdf5.text(file.attrs.get("name")) or path.stem,
            bool(hdf5.attribute(file, FAR_FIELD, 1.0)),
            hdf5.array(photons).ravel() if isinstance(photons, h5py.Dataset) else None,
            isinstance(weights, h5py.Dataset) or on_probe,
            hdf5.array(spacing).ravel() if isinstance(spacing, h5py.Dataset) else None,
            {key: value for key, value in file.attrs.items() if key.startswith("ptycho_")},
        )
    )


def _of_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> Product:
    def number(key: str, default: float = 0.0) -> float:
        found = arrays.get(key)
        if found is None:
            return default
        return float(npz_arrays.numbers(found, f"{path}:{key}", "biuf").ravel().sum())

    images = {
        key: npz_arrays.numbers(arrays[key], f"{path}:{key}", "iufc").astype(np.complex64)
        if key in arrays
        else None
        for key in ("object", "probe")
    }
    kind = "object" if images["object"] is not None else "probe"
    photons, spacing = arrays.get(PHOTONS), arrays.get(SPACING)
    return _checked(
        Product(
            path,
            npz_arrays.need(arrays, path, INDEXES).astype(np.int64).ravel(),
            npz_arrays.numbers(npz_arrays.need(arrays, path, Y_M), f"{path}:{Y_M}").ravel(),
            npz_arrays.numbers(npz_arrays.need(arrays, path, X_M), f"{path}:{X_M}").ravel(),
            images["object"],
            images["probe"],
            _pixel(path, [number(f"{kind}_pixel_{side}_m") for side in SIDES]),
            np.array([number("object_center_y_m"), number("object_center_x_m")]),
            next((v for key in ENERGY if (v := number(key)) != 0), 0.0),
            number("detector_object_distance_m"),
            str(arrays.get("name", path.stem)) or path.stem,
            bool(number(FAR_FIELD, 1.0)),
            None if photons is None else npz_arrays.numbers(photons, f"{path}:{PHOTONS}").ravel(),
            VARIES in arrays,
            None if spacing is None else npz_arrays.numbers(spacing, f"{path}:{SPACING}").ravel(),
        )
    )


def _checked(product: Product) -> Product:
    _check_lengths(product)
    return product


def _layers(image: np.ndarray) -> np.ndarray:
    return image.reshape(-1, *image.shape[-2:])


def _notes(product: Product) -> list[str]:
    """What the product holds beyond one slice and one probe."""
    notes = []
    layers = 1 if product.object is None else len(_layers(product.object))
    if layers > 1:
        gaps = _gaps(product)
        modelled = "refine models them, a network one slice" if gaps else "one slice is modelled"
        notes.append(f"the object has {layers} layers; {modelled}")
    if product.varies or (product.probe is not None and _coherent(product.probe) > 1):
        notes.append("the probe varies from frame to frame (opr_weights); its mean modes are taken")
    return notes


def _gaps(product: Product) -> tuple[float, ...]:
    """Distances between the layers, where there are several and all are known."""
    count = 1 if product.object is None else len(_layers(product.object))
    gaps = () if product.spacing_m is None else tuple(map(float, product.spacing_m))
    return gaps if len(gaps) == count - 1 and all(gap > 0 for gap in gaps) else ()


def _flux(product: Product, rows: np.ndarray) -> np.ndarray | None:
    """(len(rows),) light of these positions relative to the mean, if the product has it."""
    if product.photons is None or not product.photons.min() > 0:
        return None
    return np.asarray(product.photons[rows] / product.photons[rows].mean())


def _coherent(probe: np.ndarray) -> int:
    return int(np.prod(probe.shape[:-3])) if probe.ndim > 3 else 1


def _origin(product: Product) -> tuple[float, float]:
    origin = np.asarray(product.ours.get("ptycho_origin_px", (0.0, 0.0)), np.float64).ravel()
    return float(origin[0]), float(origin[1])


def _local(product: Product, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(P, 2) positions of these rows in pixels from the object's corner."""
    positions = np.column_stack([product.y_m, product.x_m])[rows] / product.pixel_m
    local = positions + np.array(shape) / 2 - product.centre_m / product.pixel_m
    _require_inside(product, local, shape)
    return local


def _check_lengths(product: Product) -> None:
    lengths = [len(product.index), len(product.y_m), len(product.x_m)]
    if product.photons is not None:
        lengths.append(len(product.photons))
    if len(set(lengths)) != 1:
        raise ShapeError(
            "positions and their numbers differ in length",
            where=product.path,
            expected=f"{INDEXES}, {Y_M}, {X_M} (and {PHOTONS}) of one length",
            got=lengths,
        )


def _pixel(path: Path, sizes: list[float]) -> np.ndarray:
    return np.array([physical.require_positive(s, "the object pixel", path) for s in sizes])


def _scan(product: Product, counts: Any, rows: np.ndarray, mask: np.ndarray | None) -> Measured:
    """The scan of the product's rows `rows`, whose frames are `counts`."""
    truth = None
    if product.object is None:
        positions = np.column_stack([product.y_m, product.x_m])[rows] / product.pixel_m
    else:
        layers, origin = _layers(product.object), _origin(product)
        positions = _local(product, rows, layers.shape[1:]) + np.array(origin)
        if product.ours.get("ptycho_object") == "truth":
            truth = Truth(layers.prod(axis=0), origin, layers if len(layers) > 1 else None)
    metadata: dict[str, Any] = {
        "layout": "ptychodus product",
        "probe_scaled": not product.ours,
    }
    if f"ptycho_{hdf5.KEPT}" in product.ours:
        metadata[hdf5.KEPT] = True
    if notes := _notes(product):
        metadata["notes"] = notes
    numbers, flux = product.index[rows], _flux(product, rows)
    return Measured(
        counts=counts,
        positions_px=positions,
        probe=_probe(product, counts),
        mask=mask,
        geometry=_geometry(product, int(counts.shape[-1])),
        truth=truth,
        background=float(product.ours.get("ptycho_background", 0.0)),
        name=product.name,
        metadata=metadata,
        flux=flux,
        numbers=None if np.array_equal(numbers, np.arange(len(rows))) else numbers,
    )


def _require_inside(product: Product, local: np.ndarray, shape: tuple[int, ...]) -> None:
    outside = ((local < -0.5) | (local > np.array(shape) + 0.5)).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise PositionsOutsideObjectError(
            f"{int(outside.sum())} positions lie outside the object of the product",
            where=f"{product.path}:{Y_M}, {X_M}",
            expected=f"(row, col) within {tuple(shape)} px",
            got=f"row {row}: ({local[row, 0]:.4g}, {local[row, 1]:.4g}) px",
            fix="check the units (metres) of positions, centre and pixel of the object",
        )


def _inside(
    path: Path, file: h5py.File, measurement: str | None
) -> tuple[LazyFrames, np.ndarray | None]:
    """Frames and mask of `/raw_data`."""
    data = hdf5.frame_stack(file, FRAMES)
    said = agreed(hdf5.text(data.attrs.get("measurement")), measurement, f"{path}:{FRAMES}")
    mask_at = hdf5.find(file, "raw_data/good_pixels")
    mask = None if mask_at is None else hdf5.array(mask_at, bool)
    lazy = LazyFrames(
        (part_of(data),),
        (int(data.shape[-2]), int(data.shape[-1])),
        amplitude=(said or AMPLITUDE) == AMPLITUDE,
        mask=mask,
        whole=bool(data.attrs.get("whole_counts", False)),
    )
    return lazy, mask


def _matched(
    product: Product,
    frames_path: Path | None,
    measurement: str | None,
    follow_links: bool = False,
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Frames of a diffraction file, the product's rows that they belong to, and the mask."""
    if frames_path is None:
        raise MissingKeyError(
            "a ptychodus product holds no frames",
            where=product.path,
            expected=f"{FRAMES}, or a diffraction file beside it",
            got="positions, object, probe",
            fix=f"ptycho convert {product.path} SCAN.npz --frames DIFFRACTION.h5",
        )
    counts, numbers, mask = read_diffraction(frames_path, measurement, follow_links)
    known = {int(number): row for row, number in enumerate(product.index)}
    keep = np.array([k for k, number in enumerate(numbers) if int(number) in known], np.int64)
    if keep.size == 0:
        raise ShapeError(
            "no frame of the diffraction file has a position in the product",
            where=frames_path,
            expected=f"indexes among {product.index[:3]}…",
            got=f"{numbers[:3]}…",
        )
    rows = np.array([known[int(number)] for number in numbers[keep]])
    return _take(counts, keep), rows, mask


def _take(counts: Any, keep: np.ndarray) -> Any:
    if isinstance(counts, LazyFrames):
        return replace(counts, keep=keep)
    return counts[keep]


def read_diffraction(
    path: Path, measurement: str | None = None, follow_links: bool = False
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Frames, their indexes and the mask (True = valid) of a ptychodus diffraction file.

    HDF5 or NPZ: `patterns` (N, H, W) counts, `indexes` (N,), `bad_pixels` (True = bad).
    """
    amplitude = measurement == AMPLITUDE
    with path.open("rb") as stream:
        is_hdf5 = stream.read(8) == hdf5.MAGIC
    if not is_hdf5:
        arrays = npz_arrays.load_arrays(path, ("patterns",))
        patterns = npz_arrays.frames(npz_arrays.need(arrays, path, "patterns"), path)
        bad = arrays.get("bad_pixels")
        mask = None if bad is None else ~bad.astype(bool)
        numbers = arrays.get("indexes", np.arange(len(patterns))).astype(np.int64).ravel()
        good = mask if mask is not None and mask.shape == patterns.shape[1:] else None
        counts: Any
        if isinstance(patterns, LazyFrames):
            counts = replace(patterns, amplitude=amplitude, mask=good)
        else:
            patterns = patterns if good is None else np.where(good, patterns, 0)
            counts = np.square(patterns.astype(np.float64)) if amplitude else patterns
        _require_paired(path, numbers, patterns.shape)
    else:
        with hdf5.opened(path, follow_links=follow_links) as file:
            key = next((key for key in PATTERNS if hdf5.find(file, key) is not None), PATTERNS[0])
            data, group = hdf5.frame_stack(file, key), key.rpartition("/")[0]
            at = hdf5.find(file, f"{group}/indexes")
            numbers = np.arange(len(data)) if at is None else hdf5.array(at, np.int64).ravel()
            if file.being_written:
                numbers = numbers[: frames_there(data)]
            else:
                _require_paired(path, numbers, data.shape)
            bad_at = hdf5.find(file, f"{group}/bad_pixels")
            mask = None if bad_at is None else ~hdf5.array(bad_at, bool)
            shape = (int(data.shape[-2]), int(data.shape[-1]))
            counts = LazyFrames(
                (replace(part_of(data), count=len(numbers)),),
                shape,
                amplitude=amplitude,
                mask=mask,
            )
    return counts, numbers, mask


def _require_paired(path: Path, numbers: np.ndarray, shape: tuple[int, ...]) -> None:
    if len(numbers) != shape[0]:
        raise LayoutError(
            "patterns and indexes do not belong together",
            where=path,
            expected=f"({len(numbers)}, H, W)",
            got=shape,
        )


def _probe(product: Product, counts: Any) -> np.ndarray | None:
    """(K, N, N): the modes of the first coherent probe, with the photons of a mean frame."""
    probe = _modes(product)
    if probe is None:
        return None
    if hdf5.text(product.ours.get("ptycho_probe_units")) == "sqrt(photons)":
        return probe
    return physical.scaled_probe(probe, physical.mean_photons(counts))


def _modes(product: Product) -> np.ndarray | None:
    """(K, N, N): the incoherent modes of the first coherent probe."""
    probe = product.probe
    if probe is None:
        return None
    return probe.reshape(-1, *probe.shape[-3:])[0] if probe.ndim > 2 else probe[None]


def _geometry(product: Product, n: int) -> Geometry | None:
    energy, distance = product.energy_ev, product.distance_m
    for value, what in ((energy, ENERGY[0]), (distance, "detector_object_distance_m")):
        if value != 0:  # which is how a product says that it does not know
            physical.require_positive(value, what, product.path)
    if not (energy and distance):
        return None
    where = f"{product.path}:{ENERGY[0]}"
    wavelength = physical.wavelength_from_joule(energy * physical.EV_J, where)
    if not product.far_field:
        height, width = product.pixel_m
        return Geometry(wavelength, distance, (float(height), float(width)), True, _gaps(product))
    row, col = wavelength * distance / (n * product.pixel_m)
    pixel = (float(row), float(col))
    return Geometry(wavelength, distance, pixel, layer_distances_m=_gaps(product))


def write(scan: Scan, path: Path) -> Path:
    """Write a product with its frames in `/raw_data` (amplitudes); atomic; needs the geometry."""
    geometry = physical.require_geometry(scan, "a ptychodus product", path, "write NPZ")
    return hdf5.write_atomically(path, lambda file: _fill(file, scan, geometry))


def _fill(file: h5py.File, scan: Scan, g: Geometry) -> None:
    pixel = np.array(g.object_pixel_m(scan.N))
    attrs = {
        "name": scan.name,
        "comments": "written by ptycho",
        "detector_object_distance_m": g.distance_m,
        **energies(g),
        FAR_FIELD: not g.near_field,
        "probe_photon_count": float(scan.photons_per_frame().mean()),
        "exposure_time_s": 0.0,
        "ptycho_background": scan.background,
        "ptycho_probe_units": "sqrt(photons)",
    }
    file.attrs.update(attrs)
    hdf5.note_duplicates(file, scan.metadata)
    layers, origin = _object(scan)
    file.attrs["ptycho_object"] = "truth" if scan.truth else "empty"
    file.attrs["ptycho_origin_px"] = np.array(origin)
    local = (scan.positions_px - np.array(origin) - np.array(layers.shape[1:]) / 2) * pixel
    file[INDEXES] = np.arange(scan.n_frames)
    file[Y_M], file[X_M] = local.T
    stacks = {"object": layers}
    file[SPACING] = np.array(g.layer_distances_m)
    if scan.probe is not None:
        stacks["probe"] = scan.probe[None]
    for name, value in stacks.items():
        file.create_dataset(name, data=value)
        file[name].attrs["pixel_height_m"], file[name].attrs["pixel_width_m"] = pixel
    file["object"].attrs["center_x_m"] = file["object"].attrs["center_y_m"] = 0.0
    _fill_frames(file, scan)


def energies(g: Geometry) -> dict[str, float]:
    """The photon energy under today's name and the older one, so that every version reads it."""
    return dict.fromkeys(ENERGY, physical.H_C_J_M / g.wavelength_m / physical.EV_J)


def _object(scan: Scan) -> tuple[np.ndarray, tuple[float, float]]:
    """The truth (L, H, W), or empty layers that all patches fit into, and the origin."""
    gaps = () if scan.geometry is None else scan.geometry.layer_distances_m
    if scan.truth is not None and scan.truth.layers is not None:
        return scan.truth.layers, scan.truth.origin_px
    if scan.truth is not None:  # where the layers are not known, the first holds all of it
        rest = np.ones((len(gaps), *scan.truth.object.shape), np.complex64)
        return np.concatenate([scan.truth.object[None], rest]), scan.truth.origin_px
    low, high = scan.positions_px.min(axis=0), scan.positions_px.max(axis=0)
    origin = np.floor(low) - scan.N // 2
    side = np.ceil(high - origin).astype(int) + scan.N // 2 + 1
    return np.ones((len(gaps) + 1, *side), np.complex64), (float(origin[0]), float(origin[1]))


def _fill_frames(file: h5py.File, scan: Scan) -> None:
    frames = file.create_dataset(
        FRAMES,
        (scan.n_frames, scan.N, scan.N),
        np.float32,
        chunks=(1, scan.N, scan.N),
        compression="gzip",
        shuffle=True,
    )
    whole = True
    for part, block in scan.blocks():
        frames[part] = np.sqrt(block)
        whole = whole and bool(np.array_equal(block, np.rint(block)) and block.max() < 2**22)
    frames.attrs["axis_canonical"], frames.attrs["measurement"] = "NHW", AMPLITUDE
    frames.attrs["whole_counts"] = whole
    if scan.mask is not None:
        file["raw_data/good_pixels"] = scan.mask
