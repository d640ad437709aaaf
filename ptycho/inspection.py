"""What can be said about a scan before anything is computed from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ptycho.scan import Scan

FEW_PHOTONS = 1e3
LOW_OVERLAP = 0.6


def inspect_scan(scan: Scan) -> dict[str, Any]:
    """Facts about a scan with units in the keys; `warnings` is a list of sentences."""
    photons = scan.photons_per_frame()
    extent = np.ptp(scan.positions_px, axis=0)
    step = _nearest_px(scan.positions_px)
    diameter = None if scan.probe is None else probe_diameter_px(scan.probe)
    overlap = None if diameter is None or step is None else max(0.0, 1 - step / diameter)
    pixel = None if scan.geometry is None else scan.geometry.object_pixel_m(scan.N)
    facts: dict[str, Any] = {
        "layout": scan.metadata.get("layout", "ptycho"),
        "frames": scan.n_frames,
        "frame_shape_px": [scan.N, scan.N],
        "counts_type": str(scan.counts.dtype),
        "photons_per_frame_min_median_max": [
            float(photons.min()),
            float(np.median(photons)),
            float(photons.max()),
        ],
        "extent_px": [float(value) for value in extent],
        "nearest_neighbour_px": step,
        "probe_modes": 0 if scan.probe is None else len(scan.probe),
        "probe_diameter_px": diameter,
        "overlap": overlap,
        "masked_pixels": 0 if scan.mask is None else int((~scan.mask).sum()),
        "object_pixel_m": None if pixel is None else list(pixel),
        "has_truth": scan.truth is not None,
        "training_memory_mib": round(_training_bytes(scan) / 2**20),
    }
    return {**facts, "warnings": _warnings(scan, photons, overlap)}


def probe_diameter_px(probe: np.ndarray, energy: float = 0.9) -> float:
    """Diameter of the disk with the area that holds this share of the probe's energy."""
    power = np.sort(np.sum(np.abs(probe) ** 2, axis=0).ravel())[::-1]
    pixels = int(np.searchsorted(np.cumsum(power), energy * power.sum())) + 1
    return float(2 * np.sqrt(pixels / np.pi))


def _nearest_px(positions_px: np.ndarray) -> float | None:
    if len(positions_px) < 2:
        return None
    return float(np.median(cKDTree(positions_px).query(positions_px, k=2)[0][:, 1]))


def _training_bytes(scan: Scan) -> int:
    """Frames as float32 and the groups' cached physics estimates, above TensorFlow's own 0.6 GB."""
    frames = 4 * scan.n_frames * scan.N**2
    return 600 * 2**20 + 2 * frames + 5 * frames


def _warnings(scan: Scan, photons: np.ndarray, overlap: float | None) -> list[str]:
    found = []
    if (photons == 0).any():
        found.append(f"{int((photons == 0).sum())} frames are empty")
    if np.median(photons) < FEW_PHOTONS:
        found.append(f"a median of {np.median(photons):.3g} photons a frame is little: counts?")
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
    return found
