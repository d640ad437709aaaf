"""Positions that cannot be meant, and what they say about overlap and geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ptycho.errors import TooLargeError
from ptycho.frames.findings import Finding
from ptycho.frames.memory import free_bytes
from ptycho.frames.planes import is_near, most_distance_m

FAR_SPANS = 8.0
OVERLAP_LOW = 0.6
WAVELENGTHS_M = (1e-13, 1e-5)  # electrons of some MeV to the infrared
DISTANCES_M = (1e-6, 1e3)
DETECTOR_PIXELS_M = (1e-8, 1e-2)
FEW_PLACES = 16
WITHIN = 0.5  # of the lit width: a scan does not stay within that
STEADY = 0.97  # correlation of the slow axis of a scan with time
# Object, velocity, gradient and best, what the program holds between them, dual and coverage:
# measured 385 with total variation (tests/refinement/test_canvas_memory.py), without 311. With 64
# an object of 2.6e8 pixels was let in, and the system ended the process.
BYTES_A_PIXEL = 512
UNITS = {1e3: "mm for m, µm for mm or nm for µm", 1e6: "µm for m or nm for mm", 1e9: "nm for m"}


def far_positions(positions_px: np.ndarray, N: int) -> np.ndarray:
    """(M,) bool: single positions that lie far outside what all others span."""
    finite = np.isfinite(positions_px).all(axis=1)
    far = np.zeros(len(positions_px), bool)
    if finite.sum() < 8:
        return far
    low, middle, high = np.quantile(positions_px[finite], [0.1, 0.5, 0.9], axis=0)
    span = np.maximum(high - low, N)
    away = (np.abs(positions_px - middle) > FAR_SPANS * span).any(axis=1)
    far[finite] = away[finite]
    return far if far.mean() <= 0.05 else np.zeros_like(far)


def diameter_px(kernel: np.ndarray, energy: float = 0.9) -> float:
    """Diameter of the disk with the area that holds this share of |P|² (N, N)."""
    power = np.sort(kernel.ravel())[::-1]
    pixels = int(np.searchsorted(np.cumsum(power), energy * power.sum())) + 1
    return float(2 * np.sqrt(pixels / np.pi))


def judge_places(
    positions_px: np.ndarray, N: int, kernel: np.ndarray | None, geometry: Any
) -> list[Finding]:
    """Unit, order, overlap and far field; positions are finite."""
    found: list[Finding] = []
    if len(positions_px) < 4:
        return found
    step = float(np.median(cKDTree(positions_px).query(positions_px, k=2)[0][:, 1]))
    span = np.ptp(positions_px, axis=0)
    lit = float(N) if kernel is None else diameter_px(kernel)
    for factor, words in UNITS.items():
        if step > 3 * lit and 0.02 * lit < step / factor < lit:
            found.append(_unit(step, lit, factor, words))
        elif span.max() < 0.5 and 0.02 * lit < step * factor < lit:
            found.append(_unit(step, lit, 1 / factor, words))
    if not found and len(positions_px) >= FEW_PLACES and span.max() < WITHIN * lit:
        evidence = {"span_px": float(span.max()), "lit_px": lit}
        found.append(Finding("positions-unit", evidence | {"perhaps": "metres for pixels"}))
    if step > lit * (1 - OVERLAP_LOW):
        found.append(
            Finding(
                "overlap-small",
                {"linear_overlap": max(0.0, 1 - step / lit), "step_px": step, "lit_px": lit},
            )
        )
    needed, free = canvas_bytes(positions_px, N), free_bytes()
    if needed > free:
        evidence = {"object_gib": needed / 2**30, "free_gib": free / 2**30}
        found.append(Finding("positions-too-wide", evidence))
    if geometry is not None:
        found += _lengths(geometry, N)
    if geometry is not None and geometry.layer_distances_m:
        gaps = [float(gap) for gap in geometry.layer_distances_m]
        found.append(Finding("layers", {"layers": len(gaps) + 1, "apart_m": gaps}))
    if is_near(geometry):
        found += _near_field(geometry, N)
    elif geometry is not None and kernel is not None:
        found += _far_field(geometry, N, diameter_px(kernel))
    return found


def _unit(step: float, lit: float, factor: float, words: str) -> Finding:
    evidence = {"step_px": step, "lit_px": lit, "a_factor_of": factor, "perhaps": words}
    return Finding("positions-unit", evidence)


def _lengths(geometry: Any, N: int) -> list[Finding]:
    """Lengths that no instrument has; the object pixel λz/(N·d) is at least λ/2 (sin θ ≤ 1)."""
    pixel = float(min(geometry.object_pixel_m(N)))
    wrong = {
        key: value
        for key, value, (low, high) in (
            ("wavelength_m", geometry.wavelength_m, WAVELENGTHS_M),
            ("distance_m", geometry.distance_m, DISTANCES_M),
            ("detector_pixel_m", float(max(geometry.detector_pixel_m)), DETECTOR_PIXELS_M),
            ("object_pixel_m", pixel, (0.4 * geometry.wavelength_m, np.inf)),
        )
        if not low <= value <= high
    }
    return [Finding("geometry-unit", wrong)] if wrong else []


def descending(positions_px: np.ndarray, numbers: np.ndarray) -> list[Finding]:
    """Whether an axis runs steadily down from the first frame to the last.

    Many scans do so rightly. One that should not is the point reflection of what was measured,
    which with a free probe fits as well; so it is told, and nothing is done.
    """
    if len(positions_px) < FEW_PLACES or not numbers.std():
        return []
    found = []
    for axis, places in zip(("row", "column"), positions_px.T, strict=True):
        if not places.std():
            continue
        together = float(np.corrcoef(numbers, places)[0, 1])
        if together < -STEADY:
            span = float(places[-1] - places[0])
            evidence = {"axis": axis, "correlation_with_time": together, "first_to_last_px": span}
            found.append(Finding("positions-descending", evidence))
    return found


def _far_field(geometry: Any, N: int, lit: float) -> list[Finding]:
    """Fresnel number W²/(λz) of the lit width W, and the near-field distance W²/λ."""
    width = lit * float(np.mean(geometry.object_pixel_m(N)))
    near = width**2 / geometry.wavelength_m
    number = near / geometry.distance_m
    if number <= 1:
        return []
    evidence = {
        "fresnel_number": number,
        "near_field_distance_m": near,
        "distance_m": geometry.distance_m,
    }
    return [Finding("far-field", evidence)]


def _near_field(geometry: Any, N: int) -> list[Finding]:
    """Whether a frame has N·pixel² ≥ λz, as the sampling of the near field asks for."""
    most = most_distance_m(N, geometry.detector_pixel_m, geometry.wavelength_m)
    if geometry.distance_m <= most:
        return []
    evidence = {"distance_m": geometry.distance_m, "at_most_m": most}
    return [Finding("near-field-grid", evidence)]


def repeated(positions_px: np.ndarray) -> list[np.ndarray]:
    """Numbers of the frames that share a position, a list for each such position."""
    _, inverse, counts = np.unique(positions_px, axis=0, return_inverse=True, return_counts=True)
    return [np.flatnonzero(inverse.ravel() == one) for one in np.flatnonzero(counts > 1)]


def canvas_bytes(positions_px: np.ndarray, N: int) -> float:
    """Bytes that the object of these positions takes in a refinement."""
    sides = np.ptp(positions_px, axis=0) + N + 2
    return float(np.prod(sides)) * BYTES_A_PIXEL


def require_canvas(positions_px: np.ndarray, N: int, where: object) -> None:
    """Raise TooLargeError if the object of these positions does not fit into memory."""
    needed, free = canvas_bytes(positions_px, N), free_bytes()
    if needed > free:
        height, width = np.ptp(positions_px, axis=0) + N
        raise TooLargeError(
            "the positions span more than memory can hold: another unit?",
            where=f"{where}: positions_px",
            expected=f"an object within {free / 2**30:.3g} GiB of free memory",
            got=f"{height:.5g} × {width:.5g} px, {needed / 2**30:.3g} GiB",
            fix="ptycho inspect SCAN shows the step; --positions-unit um (or mm, nm) corrects it",
        )
