"""CXI 1.6 (and what producers make of it): reader and writer.

Frames are `(scan, y, x)`; the specimen moves by `translation`, so the light moves by its
negative, which is projected on the detector's axes (`basis_vectors`, (2, 3) rows slow, fast as in
the specification, or (3, 2) columns). The default basis, slow (0, −1, 0) and fast (−1, 0, 0),
turns that into row = +t_y, col = +t_x. Object pixel: λ·z/(N·detector pixel).
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np

from ptycho.data import hdf5, physical
from ptycho.data.hdf5_frames import part_of
from ptycho.data.lazy_frames import LazyFrames
from ptycho.data.measurement import AMPLITUDE, COUNTS, agreed
from ptycho.errors import MissingKeyError, ShapeError, UnitError
from ptycho.scan import Geometry, Measured, Scan, Truth

E, D, S = "entry_1", "entry_1/instrument_1/detector_1", "entry_1/instrument_1/source_1"
FRAMES_AT = ("data_1", "instrument_1/detector_1")
FRAMES_ALONE = (
    *(f"{E}/{place}" for place in FRAMES_AT),
    "entry/data",
    "entry/instrument/detector",
    "exchange",
    "/",
)
NUMBERED = re.compile(r"data_\d+")
TRANSLATION = (
    "data_1/translation",
    "sample_1/geometry_1/translation",
    "instrument_1/detector_1/translation",
    "sample_1/geometry/translation",
)
INTENSITIES = tuple(
    f"{place}/intensities" for place in (f"{E}/data_1", f"{E}/sample_1/geometry_1", D)
)
NEAR_FIELD, LAYERS = "ptycho_near_field", "ptycho_layer_distances_m"
UNEVEN = 0.01  # darks and fluxes that differ by less are called even


def recognises(file: h5py.File) -> bool:
    """A CXI file says its version; some producers only follow the paths."""
    if "cxi_version" in file:
        return True
    return hdf5.find(file, D) is not None and hdf5.find(file, S) is not None


def read(
    path: Path,
    file: hdf5.ScanFile,
    measurement: str | None = None,
    frames_path: Path | None = None,
) -> Measured:
    """Read a CXI file; frames stay in it.

    Args:
        path: of the file.
        file: the same, opened.
        measurement: the caller's word, where the frames do not say.
        frames_path: HDF5 file with the frames, where they are in another one.
    """
    notes: list[str] = []
    entries = _entries(file)
    if frames_path is None:
        places = [f"{entry}/{place}" for entry in entries for place in FRAMES_AT]
        stacks = _stacks(file, *places)
    else:
        entries = entries[:1]
        stacks = _stacks(hdf5.also(file, frames_path), *FRAMES_ALONE)
    data = _alike(path, stacks, frames_path)
    n = int(data.shape[-1])
    said = agreed(
        hdf5.text(data.attrs.get("ptycho_measurement")), measurement, f"{path}:{data.name}"
    )
    geometry, basis = _geometry(path, file, n)
    notes += _contradiction(file, geometry)
    pixel = np.array(geometry.object_pixel_m(n))
    positions = positions_px(_translation(path, file, entries, geometry, n), basis, pixel)
    if len(entries) > 1:
        notes.append(f"frames of {len(entries)} entries with one geometry are read as one scan")
    mask_at = hdf5.find(file, f"{D}/mask")
    mask = None if mask_at is None else physical.cxi_good(hdf5.array(mask_at, np.uint32))
    gain = _gain(file, geometry)
    scale, mask = _efficiency(file, gain, mask, tuple(data.shape[-2:]), notes)
    counts = LazyFrames(
        tuple(part_of(stack) for stack in stacks),
        (int(data.shape[-2]), n),
        scale=scale,
        amplitude=said == AMPLITUDE,
        mask=mask if mask is None or mask.ndim == 2 else None,
    )
    metadata = {"layout": "CXI"} | hdf5.kept_duplicates(file)
    flux = _flux(file, len(counts), notes)
    background = _background(file, mask, gain, notes)
    scan = Measured(
        counts=counts,
        positions_px=positions,
        mask=mask,
        geometry=geometry,
        truth=_truth(file),
        background=background,
        name=hdf5.text(hdf5.find(file, f"{E}/title")) or path.stem,
        flux=flux,
        metadata=metadata | ({"notes": notes} if notes else {}),
    )
    return _with_probe(scan, file)


def positions_px(translation_m: np.ndarray, basis_m: np.ndarray, pixel_m: np.ndarray) -> np.ndarray:
    """(M, 2) (row, col) px: −translation in coordinates along the detector's axes.

    Args:
        translation_m: (M, 3) of the specimen.
        basis_m: (2, 3) steps along the slow and the fast axis of the detector.
        pixel_m: (2,) object pixel (row, col).
    """
    unit = basis_m / np.linalg.norm(basis_m, axis=1, keepdims=True)
    known = np.isfinite(translation_m).all(axis=1, keepdims=True)
    placed = -np.where(known, translation_m, 0.0) @ np.linalg.pinv(unit) / pixel_m
    return np.where(known, placed, np.nan)


def _entries(file: h5py.File) -> list[str]:
    """entry_1 and, where the scan is split, those after it that hold frames."""
    later = [name for name in file if re.fullmatch(r"entry_\d+", name) and name != E]
    later.sort(key=lambda name: int(name[6:]))
    return [E, *(n for n in later if _stacks(file, *(f"{n}/{place}" for place in FRAMES_AT)))]


def _stacks(file: h5py.File, *groups: str) -> list[h5py.Dataset]:
    """Frames: `data` of the first group of each entry that has it, or its data_000001, ….

    The groups of one entry are places of the same frames (they are links to each other).
    """
    found: dict[str, list[h5py.Dataset]] = {}
    for group in groups:
        entry = group.split("/")[0]
        if found.get(entry):
            continue
        whole = hdf5.find(file, f"{group}/data")
        if isinstance(whole, h5py.Dataset):
            found[entry] = [hdf5.frame_stack(file, f"{group}/data")]
            continue
        place = f"{group}/data" if isinstance(whole, h5py.Group) else group
        held = hdf5.find(file, place)
        names = held if isinstance(held, h5py.Group) else ()
        numbered = sorted(name for name in names if NUMBERED.fullmatch(name))
        if isinstance(whole, h5py.Group) and not numbered:
            hdf5.need(file, place)  # the error that says what a group is not
        found[entry] = [hdf5.frame_stack(file, f"{place}/{name}") for name in numbered]
    return [stack for stacks in found.values() for stack in stacks]


def _alike(path: Path, stacks: list[h5py.Dataset], frames_path: Path | None) -> h5py.Dataset:
    """The first stack; all of them hold frames of one size."""
    if not stacks:
        raise MissingKeyError(
            "there are no frames",
            where=frames_path or path,
            expected=f"{E}/data_1/data or {D}/data, or data_000001, … there",
            got="none",
            fix=f"ptycho inspect {path} --frames FILE.h5, if they are in a file of their own",
        )
    for stack in stacks:
        if stack.shape[-2:] != stacks[0].shape[-2:]:
            raise ShapeError(
                "the parts of a split scan have frames of different sizes",
                where=f"{stack.file.filename}:{stack.name}",
                expected=stacks[0].shape[-2:],
                got=stack.shape[-2:],
            )
    return stacks[0]


def _translation(
    path: Path, file: h5py.File, entries: list[str], geometry: Geometry, n: int
) -> np.ndarray:
    """(M, 3) metres of all entries, which must have been measured in one geometry."""
    out = []
    for entry in entries:
        found = hdf5.need(file, *(f"{entry}/{place}" for place in TRANSLATION))
        out.append(hdf5.lengths_m(found, hdf5.vectors(found, 3)))
        other = geometry if entry == E else _geometry(path, file, n, entry)[0]
        numbers = [(g.wavelength_m, g.distance_m, *g.detector_pixel_m) for g in (geometry, other)]
        if not np.allclose(numbers[0], numbers[1], rtol=1e-6, atol=0):
            raise ShapeError(
                "the entries of the file were measured in different geometries",
                where=f"{path}:{entry}",
                expected=f"wavelength, distance, pixels of {E}: {numbers[0]}",
                got=numbers[1],
                fix="one file for each of them",
            )
    return np.concatenate(out)


def _geometry(path: Path, file: h5py.File, n: int, entry: str = E) -> tuple[Geometry, np.ndarray]:
    D, S = (f"{entry}/instrument_1/{part}" for part in ("detector_1", "source_1"))
    wavelength_at = hdf5.find(file, f"{S}/wavelength")
    if wavelength_at is not None:
        wavelength = hdf5.length_m(wavelength_at)
    else:
        wavelength = hdf5.wavelength_m(hdf5.need(file, f"{S}/energy"))
    basis = _basis(path, file, D)
    col_m, row_m = (
        float(np.linalg.norm(basis[1])),
        float(np.linalg.norm(basis[0])),
    )
    distance_at = hdf5.find(file, f"{D}/distance")
    if distance_at is not None:
        distance = hdf5.length_m(distance_at)
    else:  # the distance of the detector's plane from the origin
        corner_at = hdf5.need(file, f"{D}/corner_position", f"{D}/distance")
        corner = hdf5.lengths_m(corner_at, hdf5.array(corner_at)).ravel()
        normal = np.cross(basis[0], basis[1])
        distance = abs(float(corner @ normal / np.linalg.norm(normal)))
    distance = physical.require_positive(distance, "the detector distance", path)
    wavelength = physical.require_positive(wavelength, "the wavelength", path)
    if wavelength > 1e-4:
        raise UnitError(
            "the wavelength cannot be in metres", where=path, expected="< 1e-4 m", got=wavelength
        )
    near_at = hdf5.find(file, f"{D}/{NEAR_FIELD}")
    near = near_at is not None and bool(hdf5.number(near_at))
    gaps_at = hdf5.find(file, f"{D}/{LAYERS}")
    gaps = () if gaps_at is None else tuple(map(float, hdf5.array(gaps_at).ravel()))
    return Geometry(wavelength, distance, (row_m, col_m), near, gaps), basis


def _contradiction(file: h5py.File, geometry: Geometry) -> list[str]:
    """What is said where the energy is not that of the wavelength, which is taken."""
    energy_at = hdf5.find(file, f"{S}/energy")
    if energy_at is None or hdf5.find(file, f"{S}/wavelength") is None:
        return []
    said = hdf5.number(energy_at) * physical.energy_j(1.0, hdf5.units(energy_at), energy_at.name)
    meant = physical.H_C_J_M / geometry.wavelength_m
    if abs(said - meant) < 0.01 * meant:
        return []
    return [
        f"{energy_at.name} ({said:.4g} J) is not the energy of the wavelength ({meant:.4g} J), "
        "which is taken"
    ]


def _basis(path: Path, file: h5py.File, D: str) -> np.ndarray:
    found = hdf5.find(file, f"{D}/basis_vectors")
    if found is not None:
        basis = hdf5.lengths_m(found, hdf5.array(found))
        if basis.ndim == 3 and len(basis) and np.allclose(basis, basis[0]):
            basis = basis[0]  # one for each frame, all alike
        if basis.shape == (3, 2):
            basis = basis.T
        if basis.shape != (2, 3) or not (np.isfinite(basis).all() and basis.any(axis=1).all()):
            raise ShapeError(
                "basis vectors have no meaning",
                where=f"{path}:{D}/basis_vectors",
                expected="(2, 3) or (3, 2), finite, not zero, the same for all frames",
                got=basis.tolist() if basis.shape == (2, 3) else basis.shape,
            )
        return basis
    sizes = [hdf5.find(file, f"{D}/{axis}_pixel_size") for axis in "yx"]
    if all(size is None for size in sizes):
        hdf5.need(file, f"{D}/basis_vectors", f"{D}/x_pixel_size")
    row, col = (hdf5.length_m(size or sizes[0] or sizes[1]) for size in sizes)
    for value in (col, row):
        physical.require_positive(value, "the detector pixel", path)
    return np.array([[0.0, -row, 0.0], [-col, 0.0, 0.0]])


def _gain(file: h5py.File, geometry: Geometry) -> float:
    """Photons per stored count."""
    found = hdf5.find(file, f"{D}/counts_per_joule")
    if found is None:
        return 1.0
    per_joule = physical.require_positive(hdf5.number(found), "counts_per_joule", found.name)
    return geometry.wavelength_m / physical.H_C_J_M / per_joule


def _efficiency(
    file: h5py.File,
    gain: float,
    mask: np.ndarray | None,
    shape: tuple[int, ...],
    notes: list[str],
) -> tuple[float | np.ndarray, np.ndarray | None]:
    """Photons per stored count, for each pixel where `qe_mask` (cdtools) gives its efficiency.

    A pixel that sees nothing is masked.
    """
    found = hdf5.find(file, f"{D}/qe_mask")
    if found is None:
        return gain, mask
    efficiency = hdf5.array(found)
    if efficiency.shape != shape:
        raise ShapeError(
            "the efficiency of the pixels does not fit the frames",
            where=f"{file.filename}:{found.name}",
            expected=shape,
            got=efficiency.shape,
        )
    sees = np.isfinite(efficiency) & (efficiency > 0)
    if (efficiency[sees] == 1).all() and sees.all():
        return gain, mask
    notes.append(
        f"qe_mask: counts are divided by the efficiency of their pixel "
        f"({efficiency[sees].min():.3g} … {efficiency[sees].max():.3g}); "
        f"{int((~sees).sum())} pixels without any are masked"
    )
    return gain / np.where(sees, efficiency, 1.0), sees if mask is None else mask & sees


def _flux(file: h5py.File, count: int, notes: list[str]) -> np.ndarray | None:
    """Light of each frame that a monitor measured (cdtools: `intensities`), 1 on average."""
    found = hdf5.first(file, INTENSITIES)
    if found is None:
        return None
    light = hdf5.array(found).ravel()
    if light.shape != (count,) or not (np.isfinite(light) & (light > 0)).all():
        raise ShapeError(
            "the intensities are not one positive number for each frame",
            where=f"{file.filename}:{found.name} (intensities)",
            expected=f"({count},) > 0",
            got=f"{light.shape}, least {np.nan_to_num(light, nan=-1).min(initial=np.inf):.3g}",
            fix="if the monitor did not work, take it out of a copy: python -c "
            f"\"import h5py; del h5py.File('COPY.cxi', 'r+')['{found.name}']\"",
        )
    flux = light / light.mean()
    if np.ptp(flux) > UNEVEN:
        notes.append(
            f"intensities: the light of the frames differs, {flux.min():.3g} … {flux.max():.3g} "
            "of its mean; each frame is compared with its share"
        )
    return np.asarray(flux)


def _background(file: h5py.File, mask: np.ndarray | None, gain: float, notes: list[str]) -> float:
    """Mean dark photons per valid pixel: the model adds them, the frames stay Poisson."""
    own = hdf5.find(file, f"{D}/ptycho_background")
    if own is not None:
        return hdf5.number(own)
    found = hdf5.find(file, f"{D}/data_dark")
    if found is None:
        return 0.0
    dark = hdf5.array(found)
    stack = dark.reshape(-1, *dark.shape[-2:])
    known = np.isfinite(stack)
    image = np.where(known, stack, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    valid = known.any(axis=0) if mask is None else known.any(axis=0) & mask
    if not valid.any():
        return 0.0
    level, spread = float(image[valid].mean()), float(np.ptp(image[valid]))
    if spread > UNEVEN * max(level, UNEVEN):
        notes.append(
            f"data_dark differs from pixel to pixel ({image[valid].min():.3g} … "
            f"{image[valid].max():.3g}); its mean, {level:.3g}, is the background of all"
        )
    return max(0.0, gain * level)


def _truth(file: h5py.File) -> Truth | None:
    found = hdf5.find(file, "ptycho_truth/object")
    if found is None:
        return None
    row, col = hdf5.array(hdf5.need(file, "ptycho_truth/origin_px")).ravel()
    image, layers = hdf5.array(found, np.complex64), None
    layers_at = hdf5.find(file, "ptycho_truth/layers")
    if layers_at is not None:
        layers = hdf5.array(layers_at, np.complex64)
        physical.require_layers(layers, image.shape, f"{file.filename}:ptycho_truth/layers")
    return Truth(image, (float(row), float(col)), layers)


def _with_probe(scan: Measured, file: h5py.File) -> Measured:
    from dataclasses import replace

    found = hdf5.find(file, f"{S}/illumination")
    if found is None:
        return scan
    probe = hdf5.array(found, np.complex128).reshape(-1, *found.shape[-2:])
    meta = dict(scan.metadata)
    if hdf5.text(found.attrs.get("units")) != "sqrt(photons)":
        probe, meta["probe_was_shifted"] = physical.centred_probe(probe)
        probe = physical.scaled_probe(probe, physical.mean_photons(scan.counts, scan.mask))
        meta["probe_scaled"] = True
    return replace(scan, probe=probe.astype(np.complex64), metadata=meta)


def write(scan: Scan, path: Path) -> Path:
    """Write CXI 1.6, atomic; needs the geometry.

    Raises:
        UnitError: the scan has no geometry, so that pixels cannot become metres.
    """
    geometry = physical.require_geometry(scan, "CXI", path, "write NPZ")
    return hdf5.write_atomically(path, lambda file: _fill(file, scan, geometry))


def _fill(file: h5py.File, scan: Scan, g: Geometry) -> None:
    pixel = np.array(g.object_pixel_m(scan.N))
    row_m, col_m = scan.positions_px.T * pixel[:, None]
    hdf5.note_duplicates(file, scan.metadata)
    file["cxi_version"], file["number_of_entries"] = 160, 1
    file[f"{E}/title"] = scan.name
    file[f"{S}/energy"] = physical.H_C_J_M / g.wavelength_m
    file[f"{S}/wavelength"] = g.wavelength_m
    file[f"{D}/distance"] = g.distance_m
    file[f"{D}/y_pixel_size"], file[f"{D}/x_pixel_size"] = g.detector_pixel_m
    dy, dx = g.detector_pixel_m
    file[f"{D}/basis_vectors"] = np.array([[0, -dy, 0], [-dx, 0, 0]])
    file[f"{D}/ptycho_background"] = scan.background
    if g.near_field:  # CXI has no word for it
        file[f"{D}/{NEAR_FIELD}"] = 1
    if g.layer_distances_m:
        file[f"{D}/{LAYERS}"] = np.array(g.layer_distances_m)
    file[f"{D}/data_dark"] = np.full((scan.N, scan.N), scan.background, np.float32)
    file[f"{E}/sample_1/geometry_1/translation"] = np.column_stack([col_m, row_m, 0 * row_m])
    mask = np.zeros((scan.N, scan.N), np.uint32)
    file[f"{D}/mask"] = mask if scan.mask is None else np.where(scan.mask, mask, np.uint32(1))
    frames = file.create_dataset(
        f"{D}/data",
        (scan.n_frames, scan.N, scan.N),
        np.float32,
        chunks=(1, scan.N, scan.N),
        compression="gzip",
        shuffle=True,
    )
    frames.attrs["axes"], frames.attrs["ptycho_measurement"] = "translation:y:x", COUNTS
    for part, block in scan.blocks():
        frames[part] = block
    if scan.probe is not None:
        file[f"{S}/illumination"] = scan.probe
        file[f"{S}/illumination"].attrs["units"] = "sqrt(photons)"
    if scan.truth is not None:
        file["ptycho_truth/object"] = scan.truth.object
        file["ptycho_truth/origin_px"] = np.array(scan.truth.origin_px)
        if scan.truth.layers is not None:
            file["ptycho_truth/layers"] = scan.truth.layers
    if scan.flux is not None:
        file[f"{E}/data_1/intensities"] = scan.flux
    file[f"{E}/data_1/data"] = h5py.SoftLink(f"/{D}/data")
    moved = h5py.SoftLink(f"/{E}/sample_1/geometry_1/translation")
    file[f"{E}/data_1/translation"] = moved
    file[f"{D}/translation"] = moved
