"""Ways in: which frames and pixels of a file are used, and how they lie.

`Ways` is what a person asks for; `select` (which frames, how they lie, squares) comes before the
frames are looked at, `fit` (centre, crop, bin) after it, since a bin would hide a bad pixel. All of
it is done to each frame when it is read.

A window of S pixels instead of N leaves the photons of a pixel as they are and changes the pitch
of the object: λz/(N·d) becomes λz/(S·d), so positions are multiplied by S/N. Bins of b×b pixels
leave the pitch and make the field of view N/b.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field
from scipy import ndimage

from ptycho.config import Clean, Settings
from ptycho.errors import MaskPolarityError, ShapeError, UsageError
from ptycho.frames.planes import is_near
from ptycho.frames.views import FrameView, Selected, ceiling_of, gather, raw_frames

if TYPE_CHECKING:
    from ptycho.scan import Measured

UNITS_M = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "nm": 1e-9, "pm": 1e-12}


class Ways(Settings):
    """How the frames of a file are taken in; the defaults take them as they are."""

    crop: int | None = Field(default=None, ge=8, description="side of the window that is kept")
    bin: int = Field(default=1, ge=1, description="sum so many × so many pixels")
    center: Literal["auto"] | tuple[float, float] | None = Field(
        default=None, description="pixel (row, col) of the direct beam; auto: where the light is"
    )
    transpose: bool = Field(default=False, description="exchange rows and columns of the frames")
    flip: Literal["rows", "cols", "both"] | None = Field(
        default=None, description="reverse rows or columns about the zero frequency"
    )
    frames: str | None = Field(default=None, description="frames a:b:c, as Python slices")
    leave_out: str | None = Field(default=None, description="frames not to use: 3,17,40:50")
    mask: Path | None = Field(default=None, description="file with a mask, true = valid")
    match: Literal["first", "nearest"] | None = Field(
        default=None,
        description="more positions than frames, or fewer; first: as many as there are of both; "
        "nearest: positions (or frames) at the nearest share of the whole",
    )
    positions_unit: Literal["m", "mm", "um", "µm", "nm", "pm"] | None = Field(
        default=None, description="what the positions are in, where the file does not say"
    )
    orientation: dict[str, Any] | None = Field(
        default=None, description="how transpose and flip were found, for the record"
    )
    follow_links: bool = Field(
        default=False, description="read external links to files in the folder of the scan"
    )
    clean: Clean | None = Field(default=None, description="see ptycho.frames.clean_scan")

    def asked(self) -> dict[str, Any]:
        """What differs from the defaults, JSON-able."""
        return self.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True, eq=False)
class Arranged(FrameView):
    """Frames transposed, flipped, shifted into a window and binned as they are read.

    Args:
        source: (M, rows, cols).
        transpose: exchange rows and columns first.
        flips: reverse (rows, cols) about pixel N//2 then.
        corner: pixel of the source that becomes [0, 0] of the window; outside: `fill`.
        window: side of the window.
        bins: b, sum b × b pixels.
        fill: what stands outside.
    """

    source: Any
    transpose: bool = False
    flips: tuple[bool, bool] = (False, False)
    corner: tuple[int, int] = (0, 0)
    window: int = 0
    bins: int = 1
    fill: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """(M, S/b, S/b)."""
        side = self.window // self.bins
        return (int(self.source.shape[0]), side, side)

    @property
    def ceiling(self) -> float:
        """The source's, which sums of pixels do not have."""
        return float("inf") if self.bins > 1 else ceiling_of(self.source)

    def rows(self, indices: Any) -> np.ndarray:
        """See `FrameView.rows`."""
        wanted = np.asarray(indices)
        frames = self.arranged(gather(self.source, wanted.ravel()).astype(np.float32, copy=False))
        return frames.reshape(*wanted.shape, *self.shape[1:])

    def raw(self, indices: Any) -> np.ndarray:
        """See `raw_frames`."""
        return self.arranged(raw_frames(self.source, np.asarray(indices).ravel()))

    def arranged(self, frames: np.ndarray) -> np.ndarray:
        """(…, rows, cols) → (…, S/b, S/b)."""
        if self.transpose:
            frames = np.swapaxes(frames, -1, -2)
        for axis, flipped in zip((-2, -1), self.flips, strict=True):
            if flipped:
                frames = np.flip(frames, axis)
                if frames.shape[axis] % 2 == 0:  # the zero frequency stays at N//2
                    frames = np.roll(frames, 1, axis)
        frames = _window(frames, self.corner, self.window, self.fill)
        if self.bins == 1:
            return frames
        side = self.window // self.bins
        split = frames.reshape(*frames.shape[:-2], side, self.bins, side, self.bins)
        return split.sum(axis=(-3, -1))


def _window(frames: np.ndarray, corner: tuple[int, int], side: int, fill: float) -> np.ndarray:
    if corner == (0, 0) and frames.shape[-2:] == (side, side):
        return frames
    out = np.full((*frames.shape[:-2], side, side), fill, frames.dtype)
    theirs, ours = [], []
    for first, size in zip(corner, frames.shape[-2:], strict=True):
        low, high = max(first, 0), max(min(first + side, size), max(first, 0))
        theirs.append(slice(low, high))
        ours.append(slice(low - first, high - first))
    out[..., ours[0], ours[1]] = frames[..., theirs[0], theirs[1]]
    return out


def select(scan: Measured, ways: Ways, mask: np.ndarray | None) -> Measured:
    """Frames chosen and matched with positions, turned as asked, and made square.

    Args:
        scan: as it was read.
        ways: what is asked for.
        mask: the content of `ways.mask`, True = valid.

    Raises:
        UsageError, ShapeError: something asked for that these frames cannot give.
    """
    if ways.positions_unit is not None:
        scan = _in_unit(scan, ways.positions_unit)
    scan = _matched(scan, ways.match)
    scan = _chosen(scan, ways)
    scan = _frame_masks(scan)
    if mask is not None:
        scan = _masked(scan, mask)
    rows, cols = (int(side) for side in scan.counts.shape[1:])
    grid = cols  # readers take the last axis for both (`Geometry.object_pixel_m(cols)`)
    flips = (ways.flip in ("rows", "both"), ways.flip in ("cols", "both"))
    if ways.transpose:
        rows, cols = cols, rows
    if not (ways.transpose or any(flips) or rows != cols):
        return scan
    if rows != cols and scan.geometry is None and ways.crop is None:
        raise ShapeError(
            "frames are not a stack of squares, and without a geometry their pixel is not known",
            where="frames",
            expected="(M, N, N), or a wavelength, a distance and a detector pixel in the file",
            got=tuple(scan.counts.shape),
            fix=f"--crop {min(rows, cols) - min(rows, cols) % 2}",
        )
    side = max(rows, cols)
    corner = (rows // 2 - side // 2, cols // 2 - side // 2)
    turned = Arranged(scan.counts, ways.transpose, flips, corner, side)
    scan = replace(
        scan, mask=_arranged_mask(scan, turned), frame_mask=_arranged_masks(scan, turned)
    )
    scan = replace(scan, counts=_applied(turned, scan.counts))
    return _regridded(scan, grid, side)


def fit(scan: Measured, ways: Ways) -> Measured:
    """Centre, crop and bin (square) frames.

    Raises:
        UsageError: a window larger than the frame, or a bin that does not divide it.
    """
    if (ways.crop, ways.bin, ways.center) == (None, 1, None) and scan.N % 2 == 0:
        return scan
    if ways.bin > 1 and is_near(scan.geometry):
        raise UsageError(
            "bins of a near field are pixels of the object too, and its detail would be lost",
            where="--bin",
            expected="--crop alone, where the scan says that it is the near field",
            got=f"bin {ways.bin}",
        )
    side = ways.crop or scan.N - scan.N % (2 * ways.bin)
    if not 0 < side <= scan.N or side % ways.bin or (side // ways.bin) % 2:
        bins = min(ways.bin, scan.N // 2)
        raise UsageError(
            "the frames cannot be cut like that",
            where="--crop, --bin",
            expected=f"a side of at most {scan.N} px whose bins are an even number",
            got=f"crop {side}, bin {ways.bin}",
            fix=f"--crop {scan.N - scan.N % (2 * bins)} --bin {bins}",
        )
    middle = _middle(scan, ways.center)
    corner = (middle[0] - side // 2, middle[1] - side // 2)
    view = Arranged(scan.counts, corner=corner, window=side, bins=ways.bin)
    scan = replace(scan, mask=_arranged_mask(scan, view), frame_mask=_arranged_masks(scan, view))
    scan = replace(scan, counts=_applied(view, scan.counts))
    scan = _regridded(scan, int(view.source.shape[-1]), side)
    return _binned(scan, ways.bin) if ways.bin > 1 else scan


def _applied(view: Arranged, counts: Any) -> Any:
    return view.raw(np.arange(len(counts))) if isinstance(counts, np.ndarray) else view


def _arranged_mask(scan: Measured, view: Arranged) -> np.ndarray | None:
    """The mask in the window; what lies outside is not valid, a bin is if all its pixels are."""
    mask = np.ones(scan.counts.shape[1:], bool) if scan.mask is None else scan.mask
    found: Any = replace(view, bins=1).arranged(mask)
    if view.bins > 1:
        side = view.window // view.bins
        found = found.reshape(side, view.bins, side, view.bins).all(axis=(1, 3))
    return None if found.all() else np.asarray(found)


def _arranged_masks(scan: Measured, view: Arranged) -> Any:
    if scan.frame_mask is None:
        return None
    bad = _Inverted(scan.frame_mask)  # a bin is bad if one of its pixels is
    return _Inverted(replace(view, source=bad))


@dataclass(frozen=True, eq=False)
class _Inverted(FrameView):
    """1 where the source is 0, and 0 elsewhere."""

    source: Any

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        return tuple(self.source.shape)  # type: ignore[return-value]

    def rows(self, indices: Any) -> np.ndarray:
        return (gather(self.source, indices) == 0).astype(np.float32)


def _regridded(scan: Measured, grid: int, side: int) -> Measured:
    """Positions and probe on the grid of a window of `side` instead of `grid` pixels.

    A truth on another grid would have to be interpolated; it is left away.
    """
    probe = scan.probe
    if is_near(scan.geometry):  # the grid of the object is that of the detector, whatever its size
        if probe is not None and probe.ndim == 3 and probe.shape[-2:] != (side, side):
            height, width = probe.shape[-2:]
            probe = _window(probe, (height // 2 - side // 2, width // 2 - side // 2), side, 0)
        return replace(scan, probe=probe)
    if probe is not None and probe.ndim == 3 and probe.shape[-2:] != (side, side):
        far = np.fft.fftshift(np.fft.fft2(probe, norm="ortho"), axes=(-2, -1))
        height, width = far.shape[-2:]
        far = _window(far, (height // 2 - side // 2, width // 2 - side // 2), side, 0)
        probe = np.fft.ifft2(np.fft.ifftshift(far, axes=(-2, -1)), norm="ortho")
        # the centre of the array stays the centre of the field
        probe = _recentred(probe, scan.probe.shape[-2:], side)  # type: ignore[union-attr]
    scale = side / grid
    truth = scan.truth if scale == 1 else None
    return replace(scan, positions_px=scan.positions_px * scale, probe=probe, truth=truth)


def _recentred(probe: np.ndarray, before: tuple[int, int], side: int) -> np.ndarray:
    """Undo the shift of pixel n//2 that a change of the grid brings: (n//2)·S/n against S//2."""
    shift = [side // 2 - (n // 2) * side / n for n in before]
    if not any(shift):
        return probe.astype(np.complex64)
    ramp = 1.0
    for axis, amount in enumerate(shift):
        k = np.fft.fftfreq(side)
        wave = np.exp(-2j * np.pi * k * amount)
        ramp = ramp * (wave[:, None] if axis == 0 else wave[None, :])
    return np.fft.ifft2(np.fft.fft2(probe) * ramp).astype(np.complex64)


def _binned(scan: Measured, bins: int) -> Measured:
    side, probe, geometry = scan.N, scan.probe, scan.geometry
    if probe is not None:
        low = probe.shape[-1] // 2 - side // 2
        probe = probe[:, low : low + side, low : low + side]
    if geometry is not None:
        row, col = geometry.detector_pixel_m
        geometry = replace(geometry, detector_pixel_m=(row * bins, col * bins))
    return replace(scan, probe=probe, geometry=geometry, background=scan.background * bins**2)


def _middle(scan: Measured, center: Any) -> tuple[int, int]:
    """The pixel that becomes the centre."""
    if center is None:
        return scan.N // 2, scan.N // 2
    if center != "auto":
        if not all(0 <= place <= scan.N - 1 for place in center):
            raise UsageError(
                "the direct beam lies beside the frame",
                where="--center",
                expected=f"ROW,COL between 0 and {scan.N - 1}",
                got=f"{center[0]:g},{center[1]:g}",
                fix="--center auto looks where the light is",
            )
        return round(center[0]), round(center[1])
    few = np.unique(np.linspace(0, scan.n_frames - 1, 64).astype(int))
    mean = np.nan_to_num(raw_frames(scan.counts, few), posinf=0.0).clip(0).mean(axis=0)
    if scan.mask is not None:
        mean = np.where(scan.mask, mean, 0)
    smooth = ndimage.gaussian_filter(ndimage.median_filter(mean, 3), 1.0)
    row, col = ndimage.center_of_mass(np.where(smooth > 0.1 * smooth.max(), smooth, 0))
    return round(row), round(col)


def _in_unit(scan: Measured, unit: str) -> Measured:
    said = str(scan.metadata.get("positions_unit", ""))
    if said and UNITS_M.get(said) != UNITS_M[unit]:
        raise UsageError(
            "the file says in which unit its positions are",
            where="--positions-unit",
            expected=said,
            got=unit,
            fix="leave the option away",
        )
    if scan.geometry is None:
        raise UsageError(
            "a unit of the positions needs a geometry: pixels of the object are in metres then",
            where=f"--positions-unit {unit}",
            expected="wavelength, distance and detector pixel in the file",
            got="none",
            fix="ptycho convert SCAN NEW.npz --wavelength-m … --distance-m … --detector-pixel-m …",
        )
    return replace(scan, positions_px=scan.positions_px * (1.0 if said else UNITS_M[unit]))


def _matched(scan: Measured, match: str | None) -> Measured:
    frames, places = len(scan.counts), len(scan.positions_px)
    if frames == places:
        return scan
    if match is None:
        raise ShapeError(
            "frames and positions do not belong together",
            where="positions",
            expected=f"{frames} positions for frames {tuple(scan.counts.shape)}",
            got=scan.positions_px.shape,
            fix="--match first (as many as there are of both) or --match nearest (spread evenly)",
        )
    count = min(frames, places)
    if match == "nearest":
        of_frames = np.rint(np.linspace(0, frames - 1, count)).astype(int)
        of_places = np.rint(np.linspace(0, places - 1, count)).astype(int)
    else:
        of_frames = of_places = np.arange(count)
    return replace(
        scan,
        counts=_rows(scan.counts, of_frames),
        frame_mask=_rows(scan.frame_mask, of_frames),
        positions_px=scan.positions_px[of_places],
        numbers=of_frames if scan.numbers is None else scan.numbers[of_frames],
    )


def _rows(source: Any, numbers: np.ndarray) -> Any:
    if source is None or isinstance(source, np.ndarray):
        return None if source is None else source[numbers]
    return Selected(source, numbers)


def _chosen(scan: Measured, ways: Ways) -> Measured:
    count = scan.n_frames
    keep = np.ones(count, bool)
    if ways.frames is not None:
        keep[:] = False
        keep[_numbers(ways.frames, count, "--frames")] = True
    if ways.leave_out is not None:
        keep[_numbers(ways.leave_out, count, "--leave-out")] = False
    if keep.all():
        return scan
    if not keep.any():
        raise UsageError(
            "no frame is left",
            where="--frames, --leave-out",
            expected=f"some of {count} frames",
            got=f"frames {ways.frames}, leave out {ways.leave_out}",
            fix="ptycho inspect SCAN shows how many there are",
        )
    return replace(scan, **scan.rows_of(np.flatnonzero(keep)))


def _numbers(text: str, count: int, where: str) -> np.ndarray:
    """Frame numbers of `3,17,40:50:2`."""
    found: list[np.ndarray] = []
    every = np.arange(count)
    for part in text.split(","):
        try:
            bounds = [int(p) if p.strip() else None for p in part.split(":")]
            if bounds == [None]:
                raise ValueError("no number")
            if len(bounds) == 1:
                found.append(np.atleast_1d(every[bounds[0]]))  # type: ignore[arg-type]
            else:
                found.append(every[slice(*bounds)])
        except (ValueError, TypeError, IndexError) as error:
            raise UsageError(
                "these are not numbers of frames",
                where=where,
                expected=f"numbers below {count} and slices a:b:c, such as 3,17,40:50",
                got=text,
                fix="ptycho inspect SCAN shows how many there are",
            ) from error
    return np.concatenate(found)


def _frame_masks(scan: Measured) -> Measured:
    """A mask (M, rows, cols) as a mask for all frames and, where they differ, one for each."""
    mask = scan.mask
    if mask is None:
        return scan
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.shape == tuple(scan.counts.shape[1:]):
        return replace(scan, mask=mask)
    if mask.shape != tuple(scan.counts.shape):
        raise ShapeError(
            "the masks do not fit the frames",
            where="mask",
            expected=f"{tuple(scan.counts.shape[1:])} or {tuple(scan.counts.shape)}",
            got=mask.shape,
            fix="--mask FILE gives one mask for all frames",
        )
    often = mask.mean(axis=0) > 0.5
    if (mask == often).all():
        return replace(scan, mask=often)
    return replace(scan, mask=often, frame_mask=mask | ~often)


def _masked(scan: Measured, mask: np.ndarray) -> Measured:
    if mask.shape != tuple(scan.counts.shape[1:]):
        raise ShapeError(
            "the mask does not fit the frames",
            where="--mask",
            expected=tuple(scan.counts.shape[1:]),
            got=mask.shape,
        )
    if not mask.any():
        raise MaskPolarityError(
            "the mask leaves no pixel",
            where="--mask",
            expected="True = valid",
            got="no valid pixel",
            fix="invert the mask: true or nonzero means valid",
        )
    return replace(scan, mask=mask if scan.mask is None else scan.mask & mask)
