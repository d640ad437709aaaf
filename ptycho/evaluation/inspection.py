"""What can be said about a scan before anything is computed from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ptycho.errors import ValueRangeError
from ptycho.evaluation.metrics import scan_overlap
from ptycho.frames import clean_scan, fits_in_memory, most_distance_m
from ptycho.scan import Scan, forward_model

FEW_PHOTONS = 1e3
BASE_BYTES = 900 << 20
ESTIMATE_CACHE_BYTES = 384 << 20
MAX_COVERAGE_PX = 4e8
LOW_OVERLAP = 0.6


def inspect_scan(scan: Scan) -> dict[str, Any]:
    """Facts about a scan with units in the keys.

    `warnings` is a list of sentences; `findings` are those of `ptycho.frames.clean_scan` as
    records. A scan that was not looked at yet is looked at here, and not changed.
    """
    scan = clean_scan(scan, "report")
    found = scan.sanity.findings if scan.sanity is not None else ()
    photons = scan.photons_per_frame()
    extent = np.ptp(scan.positions_px, axis=0)
    diameter = None if scan.probe is None else probe_diameter_px(scan.probe)
    shared = scan_overlap(scan.positions_px, diameter or scan.N)
    overlap = None if diameter is None else shared.linear
    pixel = None if scan.geometry is None else scan.geometry.object_pixel_m(scan.N)
    step = _nearest_px(scan.positions_px)
    facts: dict[str, Any] = {
        "layout": scan.metadata.get("layout", "ptycho"),
        "frames": scan.n_frames,
        "frame_shape_px": [scan.N, scan.N],
        "units": {"counts": "photons per pixel", "positions": "object pixels (row, col)"},
        "counts_type": str(scan.counts.dtype),
        "frames_in_memory": isinstance(scan.counts, np.ndarray),
        "frames_mib": round(4 * scan.n_frames * scan.N**2 / 2**20, 1),
        "photons_per_frame_min_median_max": [
            float(photons.min()),
            float(np.median(photons)),
            float(photons.max()),
        ],
        "extent_px": [float(value) for value in extent],
        "nearest_neighbour_px": step,
        "probe_modes": 0 if scan.probe is None else len(scan.probe),
        "probe_diameter_px": diameter,
        "probe_photons": None if scan.probe is None else float(np.sum(np.abs(scan.probe) ** 2)),
        "overlap": overlap,
        "overlap_area": None if diameter is None else shared.between_frames,
        **_coverage(scan),
        "masked_pixels": 0 if scan.mask is None else int((~scan.mask).sum()),
        "background_per_pixel": scan.background,
        **_lengths(scan, pixel, step),
        "forward_model": _forward_model(scan),
        "has_truth": scan.truth is not None,
        "training_memory_mib": round(training_bytes(scan) / 2**20),
    }
    told = [finding.sentence() for finding in found]
    return {
        **facts,
        "clean": None if scan.sanity is None else scan.sanity.clean,
        "frames_left_out": [] if scan.sanity is None else scan.sanity.left_out,
        "findings": [finding.record() for finding in found],
        "warnings": told + _warnings(scan, photons, overlap),
    }


def coverage_map(scan: Scan) -> tuple[np.ndarray, tuple[int, int]]:
    """(H, W) number of frames that light each pixel, and the (row, col) of pixel [0, 0].

    Lit: where the probe has a tenth of its peak intensity; without a probe, a whole frame.
    """
    N = scan.N
    lit = np.ones((N, N), bool)
    if scan.probe is not None:
        power = np.sum(np.abs(scan.probe) ** 2, axis=0)
        lit = power >= 0.1 * power.max()
    height, width = np.ptp(np.rint(scan.positions_px), axis=0) + N
    if float(height) * float(width) > MAX_COVERAGE_PX:
        raise ValueRangeError(
            "the positions span more than can be an object",
            where="positions_px",
            expected=f"an extent of at most {MAX_COVERAGE_PX:.0e} pixels²",
            got=f"{height:.4g} × {width:.4g} px",
            fix="check the unit of the positions: pixels of the object grid",
        )
    corners = np.rint(scan.positions_px).astype(int) - N // 2
    origin = corners.min(axis=0)
    coverage = np.zeros((int(height), int(width)), np.int32)
    for row, col in corners - origin:
        coverage[row : row + N, col : col + N] += lit
    return coverage, (int(origin[0]), int(origin[1]))


def _coverage(scan: Scan) -> dict[str, Any]:
    try:
        coverage, _ = coverage_map(scan)
    except ValueRangeError:  # said as a warning; the other facts still help
        return {"object_shape_px": None}
    seen = coverage[coverage > 0]
    return {
        "object_shape_px": list(coverage.shape),
        "lit_pixels": int(seen.size),
        "frames_per_lit_pixel_min_median_max": [
            int(seen.min()),
            float(np.median(seen)),
            int(seen.max()),
        ],
    }


def _lengths(scan: Scan, pixel: tuple[float, float] | None, step: float | None) -> dict[str, Any]:
    """The same in metres, where the geometry is known."""
    if scan.geometry is None or pixel is None:
        return {"object_pixel_m": None}
    extent = np.ptp(scan.positions_px, axis=0) * pixel
    return {
        "object_pixel_m": list(pixel),
        "wavelength_m": scan.geometry.wavelength_m,
        "distance_m": scan.geometry.distance_m,
        "detector_pixel_m": list(scan.geometry.detector_pixel_m),
        "extent_m": [float(value) for value in extent],
        "nearest_neighbour_m": None if step is None else step * float(np.mean(pixel)),
    }


def _forward_model(scan: Scan) -> str:
    """Which model of the frames is used, and why."""
    if scan.geometry is None:
        return "far field: the default, since there is no geometry"
    gaps = scan.geometry.layer_distances_m
    if gaps:
        apart = ", ".join(f"{gap:.3g} m" for gap in gaps)
        return f"{forward_model(scan)}, since the file says so; apart by {apart}"
    if not scan.geometry.near_field:
        return "far field: the default, since the file does not say near field"
    most = most_distance_m(scan.N, scan.geometry.detector_pixel_m, scan.geometry.wavelength_m)
    return (
        f"near field, since the file says so: {scan.geometry.distance_m:.4g} m of the "
        f"{most:.4g} m that a frame of {scan.N} pixels can follow"
    )


def probe_diameter_px(probe: np.ndarray, energy: float = 0.9) -> float:
    """Diameter of the disk with the area that holds this share of the probe's energy."""
    power = np.sort(np.sum(np.abs(probe) ** 2, axis=0).ravel())[::-1]
    pixels = int(np.searchsorted(np.cumsum(power), energy * power.sum())) + 1
    return float(2 * np.sqrt(pixels / np.pi))


def _nearest_px(positions_px: np.ndarray) -> float | None:
    if len(positions_px) < 2:
        return None
    return float(np.median(cKDTree(positions_px).query(positions_px, k=2)[0][:, 1]))


def training_bytes(scan: Scan) -> int:
    """Peak memory of a training: TensorFlow and its programs, frames, physics estimates.

    Measured (`docs/formats.md`): 0.9 GB for a small scan; frames, inputs and targets as float32
    up to 256 MiB, above which they are read by batch; estimates up to `estimate_cache_mib`.
    """
    frames = 4 * scan.n_frames * scan.N**2
    held = 3 * frames if fits_in_memory(scan.n_frames, scan.N) else 0
    loaded = scan.n_frames * scan.N**2 * np.dtype(scan.counts.dtype).itemsize
    own = loaded if isinstance(scan.counts, np.ndarray) else 0
    estimates = min(ESTIMATE_CACHE_BYTES, 20 * scan.n_frames * int(1.25 * scan.N) ** 2)
    return int(BASE_BYTES + own + held + estimates)


def _warnings(scan: Scan, photons: np.ndarray, overlap: float | None) -> list[str]:
    found = list(scan.metadata.get("notes", ()))
    if np.median(photons) < FEW_PHOTONS:
        found.append(f"a median of {np.median(photons):.3g} photons a frame is little: counts?")
    if np.prod(np.ptp(scan.positions_px, axis=0) + scan.N) > MAX_COVERAGE_PX:
        found.append("the positions span more than can be an object: are they in pixels?")
    if "note" in scan.metadata:
        found.append(str(scan.metadata["note"]))
    if scan.geometry is None:
        found.append("no geometry: lengths are in pixels; CXI and ptychodus cannot be written")
    if scan.truth is not None:
        half = scan.N // 2
        local = scan.positions_px - np.array(scan.truth.origin_px)
        over = (local < half) | (local > np.array(scan.truth.object.shape) - half)
        if (count := int(over.any(axis=1).sum())) > 0:
            found.append(f"{count} patches stick out of the object that comes with the scan")
    if scan.probe is None:
        found.append("the file has no probe; training needs one, refine can find one")
    if overlap is not None and overlap < LOW_OVERLAP:
        found.append(f"neighbouring frames overlap by {overlap:.0%}; below 60 % is hard")
    repeated = scan.n_frames - len(np.unique(scan.positions_px, axis=0))
    if repeated:
        found.append(
            f"{repeated} frames repeat the same position as another; opening the file for work "
            "takes `ptycho convert IN OUT --accept duplicate-positions`"
        )
    whole = np.array_equal(scan.positions_px, np.rint(scan.positions_px))
    if whole and scan.metadata.get("layout") == "earlier package":
        found.append("all positions are whole numbers: are they pixels of the object grid?")
    return found
