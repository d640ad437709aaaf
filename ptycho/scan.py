"""`Scan`: the one data object — what was measured, where, with which light.

Conventions (`docs/conventions.md`): counts are photons per pixel with the zero frequency in the
centre; positions are float64 pixels of the object grid, `(row, col)`, of the patch centre, so that
at an integer position `patch = object[r - N/2 : r + N/2, c - N/2 : c + N/2]`; the probe carries
the dose, Σ|probe|² = expected photons of a frame where the object is 1 (unitary FFT).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ptycho.errors import DataError, ShapeError

CHUNK_BYTES = 64 << 20


@dataclass(frozen=True)
class Geometry:
    """Far-field geometry in metres; the object pixel follows from it.

    Args:
        wavelength_m: of the light.
        distance_m: specimen to detector.
        detector_pixel_m: (row, col) pitch of the (binned) detector pixels.
    """

    wavelength_m: float
    distance_m: float
    detector_pixel_m: tuple[float, float]

    def __post_init__(self) -> None:
        values = (self.wavelength_m, self.distance_m, *self.detector_pixel_m)
        if not all(np.isfinite(v) and v > 0 for v in values):
            raise DataError(
                "a length of the geometry is not positive",
                where="Scan.geometry",
                expected="wavelength_m, distance_m, detector_pixel_m > 0",
                got=values,
            )

    def object_pixel_m(self, N: int) -> tuple[float, float]:
        """(row, col) pitch of the object grid: wavelength · distance / (N · detector pixel)."""
        row, col = self.detector_pixel_m
        length = self.wavelength_m * self.distance_m / N
        return length / row, length / col


@dataclass(frozen=True, eq=False)
class Truth:
    """The object that a simulation started from.

    Args:
        object: (H, W) complex64.
        origin_px: scan-frame (row, col) of array pixel [0, 0].
    """

    object: np.ndarray
    origin_px: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Scan:
    """Frames with their positions, and what is known about the light and the detector.

    Args:
        counts: (M, N, N) photons per pixel, DC-centred: an array, or anything with `shape`,
            `dtype` and `[indices]` (an HDF5 dataset is read a block at a time).
        positions_px: (M, 2) float64 (row, col) of the patch centres.
        probe: (K, N, N) complex64 modes (or (N, N)), or None.
        mask: (N, N) bool, True = valid, or None.
        geometry: lengths in metres, or None.
        truth: the simulated object, or None.
        background: expected counts per pixel besides the specimen's.
        name: for titles and file names.
        metadata: JSON-able facts.

    Raises:
        ShapeError: two arrays that do not fit, both shapes named.
        DataError: counts or positions that are not finite, counts below zero.
    """

    counts: Any
    positions_px: np.ndarray
    probe: np.ndarray | None = None
    mask: np.ndarray | None = None
    geometry: Geometry | None = None
    truth: Truth | None = None
    background: float = 0.0
    name: str = "scan"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "positions_px", np.asarray(self.positions_px, np.float64))
        if self.probe is not None:
            probe = np.asarray(self.probe, np.complex64)
            put(self, "probe", probe[None] if probe.ndim == 2 else probe)
        if self.mask is not None:
            put(self, "mask", np.asarray(self.mask))
        _check_shapes(self)
        _check_values(self)

    @property
    def n_frames(self) -> int:
        """M, the number of frames."""
        return int(self.counts.shape[0])

    @property
    def N(self) -> int:
        """Side of a frame in pixels."""
        return int(self.counts.shape[-1])

    def frames(self, indices: Any) -> np.ndarray:
        """(len(indices), N, N) float32 counts; HDF5 wants increasing indices, callers do not."""
        indices = np.asarray(indices, np.int64)
        if isinstance(self.counts, np.ndarray):
            return self.counts[indices].astype(np.float32, copy=False)
        unique, inverse = np.unique(indices, return_inverse=True)
        return np.asarray(self.counts[unique])[inverse].astype(np.float32, copy=False)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """(slice, (m, N, N) float32 counts) in order, at most 64 MiB at a time."""
        rows = max(1, CHUNK_BYTES // (4 * self.N * self.N))
        for start in range(0, self.n_frames, rows):
            part = slice(start, min(start + rows, self.n_frames))
            yield part, np.asarray(self.counts[part]).astype(np.float32, copy=False)

    def photons_per_frame(self) -> np.ndarray:
        """(M,) float64 sum of the valid counts of each frame."""
        valid = np.ones((self.N, self.N), bool) if self.mask is None else self.mask
        return np.concatenate(
            [block[:, valid].sum(axis=1, dtype=np.float64) for _, block in self.blocks()]
        )

    def subset(self, indices: Any) -> Scan:
        """The frames `indices`, in that order."""
        indices = np.asarray(indices)
        if indices.dtype == bool:
            indices = np.flatnonzero(indices)
        return replace(self, counts=self.frames(indices), positions_px=self.positions_px[indices])

    def thin(self, rng: np.random.Generator, fraction: float) -> tuple[Scan, Scan]:
        """Split every count binomially: Poisson counts become two independent Poisson parts.

        Returns:
            Two scans with the same positions, Bin(y, fraction) and the rest; the probe's power
            and the background are shared out likewise.
        """
        if not 0 < fraction < 1:
            raise DataError(
                "a thinning fraction lies between 0 and 1",
                where="Scan.thin(fraction)",
                expected="0 < fraction < 1",
                got=fraction,
            )
        counts = np.rint(self.frames(np.arange(self.n_frames))).astype(np.int64)
        first = rng.binomial(counts, fraction).astype(np.float32)
        parts = []
        for share, part in ((fraction, first), (1 - fraction, counts - first)):
            probe = None if self.probe is None else self.probe * np.float32(np.sqrt(share))
            parts.append(
                replace(
                    self,
                    counts=part.astype(np.float32),
                    probe=probe,
                    background=self.background * share,
                )
            )
        return parts[0], parts[1]


def _check_shapes(scan: Scan) -> None:
    shape = tuple(scan.counts.shape)
    if len(shape) != 3 or shape[1] != shape[2] or 0 in shape:
        raise ShapeError(
            "frames are no stack of squares", where="Scan.counts", expected="(M, N, N)", got=shape
        )
    size = shape[1]
    if scan.positions_px.shape != (shape[0], 2):
        raise ShapeError(
            "frames and positions do not belong together",
            where="Scan.positions_px",
            expected=f"({shape[0]}, 2) for frames {shape}",
            got=scan.positions_px.shape,
        )
    if scan.probe is not None and (scan.probe.ndim != 3 or scan.probe.shape[1:] != (size, size)):
        raise ShapeError(
            "the probe does not have the size of the frames",
            where="Scan.probe",
            expected=f"(modes, {size}, {size}) for frames {shape}",
            got=scan.probe.shape,
        )
    if scan.mask is not None and (scan.mask.shape != (size, size) or scan.mask.dtype != bool):
        raise ShapeError(
            "the mask does not fit the frames",
            where="Scan.mask",
            expected=f"({size}, {size}) bool, True = valid, for frames {shape}",
            got=f"{scan.mask.shape} {scan.mask.dtype}",
        )


def _check_values(scan: Scan) -> None:
    if not np.isfinite(scan.positions_px).all():
        raise DataError(
            "positions contain NaN or infinity",
            where="Scan.positions_px",
            expected="finite (row, col) pixels",
            got=f"row {int(np.argmin(np.isfinite(scan.positions_px).all(axis=1)))}",
        )
    if scan.probe is not None and not np.isfinite(scan.probe).all():
        raise DataError("the probe contains NaN or infinity", where="Scan.probe")
    if not isinstance(scan.counts, np.ndarray):
        return  # lazy frames are checked block by block by their reader
    for part, block in scan.blocks():
        bad = ~(np.isfinite(block) & (block >= 0)).all(axis=(1, 2))
        if bad.any():
            raise DataError(
                "counts are negative or not finite",
                where=f"frame {part.start + int(bad.argmax())}",
                expected="photons ≥ 0 in every pixel (mask bad pixels, set them to 0)",
                got=float(np.nan_to_num(block, nan=-1.0).min()),
            )
