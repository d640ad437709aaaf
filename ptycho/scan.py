"""`Scan`: the one data object — what was measured, where, with which light.

Conventions (`docs/conventions.md`): counts are photons per pixel with the zero frequency in the
centre; positions are float64 pixels of the object grid, `(row, col)`, of the patch centre, so that
at an integer position `patch = object[r - N/2 : r + N/2, c - N/2 : c + N/2]`; the probe carries
the dose, Σ|probe|² = expected photons of a frame where the object is 1 (unitary FFT).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ptycho.errors import (
    MaskPolarityError,
    NearFieldError,
    ProbeSizeError,
    ShapeError,
    UnitError,
    UsageError,
    ValueRangeError,
    WrongTypeError,
)
from ptycho.frames import (
    Report,
    Selected,
    Thinned,
    are_counts,
    block_bytes,
    ceiling_of,
    fits_in_memory,
    gather,
    is_near,
    raw_frames,
)

POLARITY_FRAMES = 5


SAME_PIXEL = 0.01
"""Relative difference of two sizes of a pixel that are one and the same."""


def same_pixel(one_m: Sequence[float], other_m: Sequence[float]) -> bool:
    """Whether two object pixels, (row, col) in metres, are of one size."""
    return bool(np.allclose(one_m, other_m, rtol=SAME_PIXEL, atol=0))


@dataclass(frozen=True)
class Geometry:
    """Lengths in metres; the object pixel follows from them.

    Args:
        wavelength_m: of the light.
        distance_m: specimen to detector.
        detector_pixel_m: (row, col) pitch of the (binned) detector pixels.
        near_field: whether the detector stands in the near field, where the light has gone on by
            its angular spectrum; else in the far field, where it is a Fourier transform. The light
            of a near field is parallel: for a cone distance and pixel are both divided by its
            magnification first (the Fresnel scaling theorem).
        layer_distances_m: the gaps between the layers of a thick specimen, in the order of the
            light; empty: one layer.
    """

    wavelength_m: float
    distance_m: float
    detector_pixel_m: tuple[float, float]
    near_field: bool = False
    layer_distances_m: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        own = (self.wavelength_m, self.distance_m, *self.detector_pixel_m)
        values = (*own, *self.layer_distances_m)
        if not all(1e-30 < v < 1e30 for v in values):
            raise UnitError(
                "a length of the geometry is not positive, or beyond sense",
                where="Scan.geometry",
                expected="wavelength_m, distance_m, detector_pixel_m > 0, in metres",
                got=values,
            )

    def object_pixel_m(self, N: int) -> tuple[float, float]:
        """(row, col) pitch of the object grid.

        Far field: wavelength · distance / (N · detector pixel). Near field: the detector pixel.
        """
        row, col = self.detector_pixel_m
        if self.near_field:
            return row, col
        length = self.wavelength_m * self.distance_m / N
        return length / row, length / col


@dataclass(frozen=True, eq=False)
class Truth:
    """The object that a simulation started from.

    Args:
        object: (H, W) complex64; of a thick one the product of its layers.
        origin_px: scan-frame (row, col) of array pixel [0, 0].
        layers: (L, H, W) complex64 in the order of the light, or None: one layer.
        pixel_m: (row, col) pitch in metres, where it stands without its scan.
    """

    object: np.ndarray
    origin_px: tuple[float, float] = (0.0, 0.0)
    layers: np.ndarray | None = None
    pixel_m: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What a file holds, before anything is asked of it: the fields of a `Scan`.

    Only the types are checked: frames may be oblong, not match the positions, or hold NaN.

    Readers return it; `ptycho.data.open_scan` crops, cleans and makes a `Scan` of it.
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
    frame_mask: Any = None
    flux: np.ndarray | None = None
    numbers: np.ndarray | None = None
    sanity: Report | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "positions_px", _real(self.positions_px, "Scan.positions_px"))
        if self.probe is not None:
            probe = _numbers(self.probe, "Scan.probe").astype(np.complex64)
            put(self, "probe", probe[None] if probe.ndim == 2 else probe)
        if self.mask is not None:
            put(self, "mask", np.asarray(self.mask))
        if not hasattr(self.counts, "shape"):
            put(self, "counts", np.asarray(self.counts))
        if np.dtype(self.counts.dtype).kind not in "iuf":
            raise WrongTypeError(
                "counts are not real numbers",
                where="Scan.counts",
                expected="unsigned integers or floats, photons per pixel",
                got=self.counts.dtype,
            )

    @property
    def n_frames(self) -> int:
        """M, the number of frames."""
        return int(self.counts.shape[0])

    @property
    def N(self) -> int:
        """Side of a frame in pixels."""
        return int(self.counts.shape[-1])

    def frames(self, indices: Any) -> np.ndarray:
        """(len(indices), N, N) float32 counts, in any order and with repetitions."""
        return gather(self.counts, indices).astype(np.float32, copy=False)

    def raw(self, indices: Any) -> np.ndarray:
        """(len(indices), N, N) float32 as stored: NaN, negative and masked values too."""
        return raw_frames(self.counts, indices)

    def ceiling(self) -> float:
        """The count from which on a value is the maximum of the stored type; infinity: none is."""
        return ceiling_of(self.counts)

    def rows_of(self, indices: np.ndarray, **changed: Any) -> dict[str, Any]:
        """Everything that has a row for each frame, `indices` of it; `changed` replaces fields."""
        out: dict[str, Any] = {}
        for name in ("counts", "positions_px", "frame_mask", "flux", "numbers"):
            value = changed.get(name, getattr(self, name))
            if name == "numbers" and value is None:
                value = np.arange(len(self.positions_px))
            if value is None or isinstance(value, np.ndarray):
                out[name] = None if value is None else value[indices]
            else:
                out[name] = Selected(value, np.arange(len(value))[indices])
        return out


@dataclass(frozen=True, eq=False)
class Scan(Measured):
    """Frames with their positions, and what is known about the light and the detector.

    Args:
        counts: (M, N, N) photons per pixel, DC-centred: an array, or an HDF5 dataset or view of
            frames, which is read a block at a time: three frames are checked at once, the others
            when they are read.
        positions_px: (M, 2) float64 (row, col) of the patch centres.
        probe: (K, N, N) complex64 modes (or (N, N)), or None.
        mask: (N, N) bool, True = valid, or None.
        geometry: lengths in metres, or None.
        truth: the simulated object, or None.
        background: expected counts per pixel besides the specimen's.
        name: for titles and file names.
        metadata: JSON-able facts.
        frame_mask: (M, N, N) bool array or view, True = valid, for what is wrong in single
            frames only; or None.
        flux: (M,) light of each frame relative to the mean, or None: even.
        numbers: (M,) numbers that the frames have in their file, or None: 0, 1, ….
        sanity: what was found when the frames were looked at (`ptycho.frames.clean_scan`).

    Raises:
        ShapeError: two arrays that do not fit, both shapes named (ProbeSizeError for a probe).
        WrongTypeError: counts, positions or probe that are not numbers.
        ValueRangeError: counts, positions or a probe that are not finite, counts below zero.
        MaskPolarityError: a mask whose True pixels are the bad ones, or that leaves none.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shapes(self)
        _check_values(self)

    @property
    def frame_numbers(self) -> np.ndarray:
        """(M,) numbers that the frames have in their file."""
        return np.arange(self.n_frames) if self.numbers is None else self.numbers

    def frames(self, indices: Any) -> np.ndarray:
        """(len(indices), N, N) float32 counts, in any order and with repetitions."""
        frames = super().frames(indices)
        if not isinstance(self.counts, np.ndarray):
            _check_frames(frames, np.asarray(indices).ravel())
        return frames

    def valid(self, indices: Any) -> np.ndarray:
        """(len(indices), N, N) bool: which counts of these frames are measurements."""
        shape = (*np.shape(indices), self.N, self.N)
        mask = np.ones((self.N, self.N), bool) if self.mask is None else self.mask
        if self.frame_mask is None:
            return np.broadcast_to(mask, shape)
        return (gather(self.frame_mask, indices) != 0) & mask

    def even_frames(self, indices: Any) -> np.ndarray:
        """Like `frames`, divided by the flux of each frame, for what takes the light as even."""
        frames = self.frames(indices)
        if self.flux is None:
            return frames
        return frames / self.flux[np.asarray(indices)].astype(np.float32)[..., None, None]

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """(slice, (m, N, N) float32 counts) in order, at most 16 MiB at a time."""
        rows = max(1, block_bytes() // (4 * self.N * self.N))
        for start in range(0, self.n_frames, rows):
            stop = min(start + rows, self.n_frames)
            yield slice(start, stop), self.frames(np.arange(start, stop))

    def photons_per_frame(self) -> np.ndarray:
        """(M,) float64 sum of the valid counts of each frame."""
        valid = np.ones((self.N, self.N), bool) if self.mask is None else self.mask
        return np.concatenate(
            [block[:, valid].sum(axis=1, dtype=np.float64) for _, block in self.blocks()]
        )

    def subset(self, indices: Any) -> Scan:
        """The frames `indices` (numbers, or a bool for each), in that order; lazy ones stay so."""
        indices = np.asarray(indices)
        if indices.dtype == bool:
            indices = np.flatnonzero(indices)
        return replace(self, **self.rows_of(indices))

    def thin(self, rng: np.random.Generator, fraction: float) -> tuple[Scan, Scan]:
        """Split every count binomially: Poisson counts become two independent Poisson parts.

        A scan above 256 MiB is split frame by frame as it is read; memory stays bounded.

        Returns:
            Two scans with the same positions, Bin(y, fraction) and the rest; the probe's power
            and the background are shared out likewise.
        """
        if not 0 < fraction < 1:
            raise UsageError(
                "a thinning fraction lies between 0 and 1",
                where="Scan.thin(fraction)",
                expected="0 < fraction < 1",
                got=fraction,
            )
        if fits_in_memory(self.n_frames, self.N):
            counts = np.rint(self.frames(np.arange(self.n_frames))).astype(np.int64)
            first = rng.binomial(counts, fraction)
            halves: tuple[Any, Any] = (
                first.astype(np.float32),
                (counts - first).astype(np.float32),
            )
        else:
            seed = int(rng.integers(2**63))
            halves = (
                Thinned(self.counts, fraction, seed),
                Thinned(self.counts, fraction, seed, rest=True),
            )
        return self._share(halves[0], fraction), self._share(halves[1], 1 - fraction)

    def _share(self, counts: Any, share: float) -> Scan:
        probe = None if self.probe is None else self.probe * np.float32(np.sqrt(share))
        return replace(self, counts=counts, probe=probe, background=self.background * share)


def _numbers(values: Any, where: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biufc":
        raise WrongTypeError("no numbers", where=where, expected="numbers", got=array.dtype)
    return array


def _real(values: Any, where: str) -> np.ndarray:
    array = _numbers(values, where)
    if array.dtype.kind in "bc":
        raise WrongTypeError(
            "positions are real numbers", where=where, expected="float64 pixels", got=array.dtype
        )
    return array.astype(np.float64)


def require_stacks(scan: Measured) -> None:
    """Raise a ShapeError if frames are not a stack of images and positions not a list of pairs."""
    frames, places = tuple(scan.counts.shape), scan.positions_px.shape
    if len(frames) != 3 or 0 in frames:
        raise ShapeError(
            "frames are not a stack of squares",
            where="Scan.counts",
            expected="(M, N, N)",
            got=frames,
        )
    if len(places) != 2 or places[1] != 2:
        raise ShapeError(
            "positions are not a list of pairs",
            where="Scan.positions_px",
            expected=f"({frames[0]}, 2) for frames {frames}",
            got=places,
        )


def forward_model(scan: Measured) -> str:
    """`near field` or `far field`, and the layers, by what the scan says."""
    field = "near field" if is_near(scan.geometry) else "far field"
    gaps = () if scan.geometry is None else scan.geometry.layer_distances_m
    return f"{field}, {len(gaps) + 1} layers" if gaps else field


def require_far_field(scan: Measured, what: str) -> None:
    """Raise a NearFieldError where the scan says near field, which `what` does not model."""
    if is_near(scan.geometry):
        raise NearFieldError(
            f"the scan was measured in the near field, and {what} knows the far field only",
            where=scan.name,
            expected="far field: the detector sees the Fourier transform of the exit wave",
            got="near field",
            fix="ptycho refine SCAN -o OUT.h5, which models both",
        )


def check_shapes(scan: Measured) -> None:
    """Raise a ShapeError if frames, positions, probe and masks do not fit one another."""
    require_stacks(scan)
    shape = tuple(scan.counts.shape)
    if shape[1] != shape[2]:
        raise ShapeError(
            "frames are not a stack of squares",
            where="Scan.counts",
            expected="(M, N, N)",
            got=shape,
        )
    size = shape[1]
    if scan.positions_px.shape != (shape[0], 2):
        raise ShapeError(
            "frames and positions do not belong together",
            where="Scan.positions_px",
            expected=f"({shape[0]}, 2) for frames {shape}",
            got=scan.positions_px.shape,
        )
    if scan.frame_mask is not None and tuple(scan.frame_mask.shape) != shape:
        raise ShapeError(
            "the masks of the frames do not fit them",
            where="Scan.frame_mask",
            expected=f"{shape} bool, True = valid",
            got=tuple(scan.frame_mask.shape),
        )
    if scan.flux is not None and np.shape(scan.flux) != (shape[0],):
        raise ShapeError(
            "the flux is not one number for each frame",
            where="Scan.flux",
            expected=(shape[0],),
            got=np.shape(scan.flux),
        )
    if scan.probe is not None and (scan.probe.ndim != 3 or scan.probe.shape[1:] != (size, size)):
        raise ProbeSizeError(
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
        raise ValueRangeError(
            "positions contain NaN or infinity",
            where="Scan.positions_px",
            expected="finite (row, col) pixels",
            got=f"row {int(np.argmin(np.isfinite(scan.positions_px).all(axis=1)))}",
        )
    if scan.probe is not None and not np.isfinite(scan.probe).all():
        raise ValueRangeError("the probe contains NaN or infinity", where="Scan.probe")
    if scan.probe is not None and not scan.probe.any():
        raise ValueRangeError(
            "the probe is zero everywhere",
            where="Scan.probe",
            expected="a probe that carries photons, or none",
            got="all zeros",
            fix="ptycho refine SCAN without a probe recovers one",
        )
    if not (np.isfinite(scan.background) and scan.background >= 0):
        raise ValueRangeError(
            "the background is no count",
            where="Scan.background",
            expected="≥ 0",
            got=scan.background,
        )
    if isinstance(scan.counts, np.ndarray):
        for part, block in scan.blocks():
            _check_frames(block, np.arange(part.start, part.stop))
    else:
        scan.frames(np.unique([0, scan.n_frames // 2, scan.n_frames - 1]))
    if scan.mask is not None:
        _check_polarity(scan, scan.mask)


def _check_frames(frames: np.ndarray, numbers: np.ndarray) -> None:
    """Finite and not negative. The extremes tell: NaN spoils both, infinity one of them."""
    if frames.size == 0 or are_counts(np.array([frames.min(), frames.max()])).all():
        return
    bad = ~are_counts(frames).all(axis=(1, 2))
    if bad.any():
        first = int(bad.argmax())
        pixel = np.argwhere(~are_counts(frames[first]))[0]
        raise ValueRangeError(
            "counts are negative, not finite or beyond counting",
            where=f"frame {int(numbers[first])}, pixel ({pixel[0]}, {pixel[1]})",
            expected="photons ≥ 0 in every pixel (mask bad pixels, set them to 0)",
            got=float(frames[first][tuple(pixel)]),
        )


def _check_polarity(scan: Scan, mask: np.ndarray) -> None:
    """True = valid. Upside down, few pixels are valid and the light falls on the others.

    Single hot pixels may hold any number, so that lit pixels are counted, not photons.
    """
    few = np.unique(np.linspace(0, scan.n_frames - 1, POLARITY_FRAMES).astype(int))
    unmasked = getattr(scan.counts, "unmasked", None)
    frames = scan.frames(few) if unmasked is None else unmasked(few)
    lit = np.count_nonzero(frames > 0, axis=0)
    inside, outside = int(lit[mask].sum()), int(lit[~mask].sum())
    if not mask.any() or (2 * mask.sum() < mask.size and outside > 4 * inside):
        raise MaskPolarityError(
            "the mask leaves no pixel" if not mask.any() else "the mask looks upside down",
            where="Scan.mask",
            expected="True = valid pixel",
            got=f"{int(mask.sum())} of {mask.size} pixels valid, {outside} of {outside + inside} "
            "lit pixels masked",
            fix="invert the mask if it marks the bad pixels",
        )
