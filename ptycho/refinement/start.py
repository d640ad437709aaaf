"""Where a refinement starts: canvas, probe modes, the held-out counts. NumPy only."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from ptycho.config import BACKGROUND_FLOOR
from ptycho.errors import DataError, ShapeError, UsageError
from ptycho.frames import (
    Joined,
    Selected,
    allowance_bytes,
    block_bytes,
    free_bytes,
    transfer_function,
    without_ramp,
)
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.tiles import Tiling, halo_px, side_of_two, tiling
from ptycho.result import Reconstruction
from ptycho.scan import Scan

CANVAS_BYTES = 160
"""A pixel of the object that a refinement holds: fields, momentum, slopes, total variation."""
HELD_SHARE = 1 / 24
"""Of the allowance (64 MiB) for held-out counts, which are kept up to three times."""
UNEVEN = 0.03
LIGHT_STEP, LIGHT_MOMENTUM = 0.3, 0.9
"""Of each pass, on the logarithm of the light. Without momentum it stays behind: the fields explain
most of a wrong light, and what a pass tells of it is the small rest. A whole-scan step on the
object is 1, and Nesterov's bound for both together (2 + 2μ)/(1 + 2μ) = 1.36: 0.5 made a known
probe's descent swing (`tests/refinement/test_light.py`)."""
FEWEST_HELD = 8
_SECOND_MODE_ENERGY = 0.02


@dataclass(frozen=True)
class Canvas:
    """The object array of a refinement, in the scan frame."""

    shape: tuple[int, int]
    origin_px: tuple[int, int]
    N: int

    @classmethod
    def around(
        cls,
        positions_px: np.ndarray,
        N: int,
        margin_px: int,
        least_px: int = 0,
        multiple_px: int = 1,
    ) -> Canvas:
        """The smallest canvas on which every patch fits with `margin_px` to spare on each side.

        No side is shorter than `least_px`, and each is a multiple of `multiple_px`: what has one
        shape is compiled once.
        """
        low = np.floor(positions_px.min(0)).astype(int) - N // 2 - margin_px
        high = np.floor(positions_px.max(0)).astype(int) + N // 2 + 1 + margin_px
        sides = (max(int(side), least_px) for side in high - low)
        height, width = (-(-side // multiple_px) * multiple_px for side in sides)
        return cls((height, width), (int(low[0]), int(low[1])), N)

    @property
    def held_bytes(self) -> int:
        """That a refinement holds for an object of this size."""
        return CANVAS_BYTES * self.shape[0] * self.shape[1]

    def corners(self, positions_px: np.ndarray, low: tuple[int, int] = (0, 0)) -> np.ndarray:
        """(M, 2) float32: where pixel [0, 0] of the patch at each position lies.

        On the canvas, or in the window of it that begins at `low`.
        """
        relative = positions_px - np.asarray(self.origin_px) - self.N // 2 - np.asarray(low)
        return relative.astype(np.float32)


@dataclass(frozen=True)
class Counts:
    """What a refinement may see of the frames of a scan; it can be sent to another process.

    Args:
        scan: whose counts they are; those of a file are read when they are asked for.
        mask: (N, N) bool, True = valid.
        rows: in `held_out`, of each frame (by its number) that gives some away.
        held_out: (H, N, N) float32 what is given away.
    """

    scan: Scan
    mask: np.ndarray
    rows: dict[int, int]
    held_out: np.ndarray

    def every(self, indices: np.ndarray) -> np.ndarray:
        """(B, N, N) float32 measured counts, zero under the mask whatever stands there."""
        counts = self.scan.frames(indices)  # an array of its own in any case
        return counts if self.mask.all() else np.where(self.mask, counts, np.float32(0))

    def training(self, indices: np.ndarray) -> np.ndarray:
        """(B, N, N) float32 the counts that may be seen.

        A count that is no measurement in its frame only is −1 (`Scan.valid`).
        """
        counts = self.every(indices)
        for row, index in enumerate(indices):
            if (kept := self.rows.get(int(index))) is not None:
                counts[row] = counts[row] - self.held_out[kept]
        return self.marked(counts, indices)

    def marked(self, counts: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """The same, and −1 where a frame has no measurement though others have."""
        if self.scan.frame_mask is None:
            return counts
        return np.where(self.scan.valid(indices) | ~self.mask, counts, np.float32(-1))

    def bare(self) -> Counts:
        """The same without what is not asked for: other facts of the scan, what was given back."""
        rest: dict[str, Any] = dict.fromkeys(("truth", "probe", "mask", "sanity"))
        held_out = self.held_out if self.rows else self.held_out[:0]
        return replace(self, scan=replace(self.scan, **rest, metadata={}), held_out=held_out)

    def of(self, numbers: np.ndarray) -> Counts:
        """Those of some frames alone, which are 0, 1, … from then on."""
        bare = self.bare()
        scan = replace(bare.scan, **self.scan.rows_of(numbers))
        held = [row for row, number in enumerate(numbers) if int(number) in self.rows]
        kept = [self.rows[int(numbers[row])] for row in held]
        return Counts(scan, self.mask, {r: k for k, r in enumerate(held)}, self.held_out[kept])


class Frames:
    """Counts by mini-batch; some frames give part of their photons away to be the judge.

    Of `held` frames the share `share` of the photons is drawn binomially into a held-out set; the
    rest is what the refinement sees. Both parts are independent Poisson counts, so held-out
    deviance rises as soon as noise is being fitted. Where settings are chosen, half of the held-out
    set chooses (`choosing`) and the other half only reports (`report_counts`), since what has
    chosen flatters its choice. Without integer counts nothing is held out. Of counts in a file as
    many frames are in memory as the allowance leaves room for, until the device has them (`leave`);
    those that fit into neither are read anew in every pass (`streams` says so), and few are held
    out.

    Args:
        scan: whose counts they are.
        config: what is held out, and whether the light is fitted.
        rng: draws what is held out.
        light: of each frame, or None: that of the scan.
        canvas_bytes: that the refinement takes for its object beside the frames.
    """

    def __init__(
        self,
        scan: Scan,
        config: RefineConfig,
        rng: np.random.Generator,
        light: np.ndarray | None = None,
        canvas_bytes: int = 0,
    ) -> None:
        self.scan = scan
        light = scan.flux if light is None else light
        self.light = None if light is None else np.array(light, np.float32)
        if self.light is None and config.flux:
            self.light = np.ones(scan.n_frames, np.float32)
        self.light_pace = np.zeros(scan.n_frames)
        self._ramp_is_gauge = config.update_probe
        self.factors = np.ones(scan.n_frames)
        self.mask = np.ones((scan.N, scan.N), bool) if scan.mask is None else scan.mask
        size = 4 * scan.n_frames * scan.N**2
        room = min(allowance_bytes(), free_bytes() / 2)
        self.streams = ""
        if size > room:
            self.streams = (
                f"in every pass: {size / 2**20:.4g} MiB, {room / 2**20:.4g} are kept at most"
            )
        self._near = _near(scan, int((room - canvas_bytes) // (4 * scan.N**2)))
        self._stays = bool(self.streams) or 2 * size + canvas_bytes <= room
        self.share = config.held_out_share
        self.visible = Counts(scan, self.mask, {}, np.zeros((0, scan.N, scan.N), np.float32))
        self.held, self.held_counts = self._hold_out(config, rng)
        self.report_counts: np.ndarray | None = None
        if config.regularise != "off" and len(self.held):
            half = _drawn(self.held_counts, 0.5, rng)
            self.report_counts, self.choosing = half, self.held_counts - half
        else:
            self.choosing = self.held_counts
        rows = {int(number): row for row, number in enumerate(self.held)}
        self.visible = replace(self.visible, rows=rows, held_out=self.held_counts)

    def _hold_out(
        self, config: RefineConfig, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        n = self.scan.n_frames
        wanted = 0 if config.held_out_fraction == 0 else max(1, round(config.held_out_fraction * n))
        room = int(HELD_SHARE * allowance_bytes() / (4 * self.scan.N**2))
        wanted = min(wanted, max(room, FEWEST_HELD))
        held = np.sort(rng.choice(n, wanted, replace=False)) if n > 1 else np.zeros(0, int)
        counts = self.counts(held)
        if not wanted or not np.array_equal(counts, np.round(counts)):
            return held[:0], counts[:0]
        return held, _drawn(counts, self.share, rng)

    def counts(self, indices: np.ndarray) -> np.ndarray:
        """(B, N, N) float32 measured counts, zero under the mask whatever stands there."""
        return self._here().every(indices)

    def _here(self) -> Counts:
        """`visible` with the frames that are in memory."""
        return replace(self.visible, scan=self._near)

    def leave(self) -> None:
        """The device keeps the counts from now on: the frames in memory go, unless both fit."""
        if not self._stays:
            self._near = self.scan

    def give_back(self) -> None:
        """From now on the refinement sees all counts: nothing is held out any more."""
        self.visible = replace(self.visible, rows={})

    def training(self, indices: np.ndarray) -> np.ndarray:
        """(B, N, N) the counts that the refinement may see, of `dose` (B,); see `Counts`."""
        return self._here().training(indices)

    def dose(self, indices: np.ndarray) -> np.ndarray:
        """(B,) float32: light of these frames, less the share that is held out."""
        dose = self.flux(indices).copy()
        for row, index in enumerate(indices):
            if int(index) in self.visible.rows:
                dose[row] *= 1 - self.share
        return dose

    def measured(self, indices: np.ndarray) -> np.ndarray:
        """Like `counts`, and −1 where a frame has no measurement though others have."""
        return self.visible.marked(self.counts(indices), indices)

    def flux(self, indices: np.ndarray) -> np.ndarray:
        """(B,) float32 light of these frames relative to the mean."""
        return np.ones(len(indices), np.float32) if self.light is None else self.light[indices]

    def brighten(self, indices: np.ndarray, factors: Any) -> None:
        """Where the light is uneven: a step to what explains these frames best.

        Nesterov's momentum on the logarithm, whose mean stays as it is, and with a free probe its
        ramp over the scan as well (`ptycho.frames.without_ramp`).
        """
        self.factors[indices] = factors
        if self.light is None:
            return
        wanted = np.zeros(len(self.light))
        wanted[indices] = LIGHT_STEP * np.log(np.clip(np.asarray(factors), 0.5, 2.0))
        wanted = self._told(wanted)
        self.light_pace = LIGHT_MOMENTUM * self.light_pace + wanted
        logs = np.log(self.light) + LIGHT_MOMENTUM * self.light_pace + wanted
        self.light = np.exp(logs - logs.mean()).astype(np.float32)

    def _told(self, logs: np.ndarray) -> np.ndarray:
        """What frames can tell of these (M,) logarithms of their light."""
        if self._ramp_is_gauge:
            return without_ramp(logs, self.scan.positions_px)
        return np.asarray(logs - logs.mean())

    def require_even_light(self) -> float | None:
        """From now on the light of each frame is fitted, if that of the model does not explain it.

        Returns:
            The spread of (measured / modelled light), if it is beyond photon noise: 3 % and three
            standard errors of a frame. Clean scans of all kinds stay below 2 % after five
            passes (`docs/evidence/data.md`).
        """
        photons = max(float(np.median(self.scan.photons_per_frame())), 1.0)
        logs = np.log(np.maximum(self.factors, 0.5 / photons))  # of a frame that saw none
        spread = float(np.std(logs - np.median(logs)))
        if self.light is not None or spread < UNEVEN + 3 / math.sqrt(photons):
            return None
        self.light = np.exp(self._told(logs)).astype(np.float32)
        return spread


def _near(scan: Scan, count: int) -> Scan:
    """The scan with its first `count` frames in memory, where they are in a file."""
    count = min(count, scan.n_frames)
    if isinstance(scan.counts, np.ndarray) or count <= 0:
        return scan
    near = np.empty((count, scan.N, scan.N), np.float32)
    step = max(1, block_bytes() // (4 * scan.N**2))
    for first in range(0, count, step):
        last = min(first + step, count)
        near[first:last] = scan.frames(np.arange(first, last))
    far = Selected(scan.counts, np.arange(count, scan.n_frames))
    return replace(scan, counts=Joined((near, far)))


def _drawn(counts: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Bin(counts, share) as float32, frame by frame: the 64-bit numbers in between are large."""
    out = np.empty_like(counts)
    for frame, part in zip(counts, out, strict=True):
        part[:] = rng.binomial(frame.astype(np.int64), share)
    return out


def home_of(scan: Scan, positions_px: np.ndarray, limit_px: float) -> np.ndarray:
    """(M, 2) float64: what positions are held near (`limit_px`), and on average at.

    The scan's own, in the frame of those to begin with, and no farther from them than the limit.
    """
    own = np.asarray(scan.positions_px, np.float64)
    own = own + (positions_px - own).mean(axis=0)
    return np.clip(own, positions_px - limit_px, positions_px + limit_px)


def require_tiles(scan: Scan, config: RefineConfig) -> None:
    """Raise a UsageError if the scan is one tile, which has nothing to share out."""
    home = home_of(scan, scan.positions_px, config.position_limit_px)
    canvas, tiled = cut(scan, scan.positions_px, home, config)
    if len(tiled.tiles) > 1:
        return
    side = side_of_two(canvas.shape, halo_px(scan.N, _reach_px(config)), scan.N)
    smaller = "" if side is None else f"--set tile_px={side} for two tiles or more, or "
    raise UsageError(
        "one tile: a scheduler brings nothing",
        where=scan.name,
        expected="an object in several windows",
        got=f"one of {canvas.shape[0]} × {canvas.shape[1]} px",
        fix=f"{smaller}the same command without --scheduler",
    )


def _reach_px(config: RefineConfig) -> int:
    """How far a patch may go from where it begins: a frame keeps near its home, as all do."""
    return 0 if config.positions == "off" else 2 * math.ceil(config.position_limit_px)


def cut(
    scan: Scan,
    positions_px: np.ndarray,
    home_px: np.ndarray,
    config: RefineConfig,
    least_px: int = 0,
    multiple_px: int = 1,
) -> tuple[Canvas, Tiling]:
    """The canvas, and the tiles that it is worked on in."""
    moves = config.positions != "off"
    margin = 1 + math.ceil(config.position_limit_px) if moves else 1
    places = np.concatenate([positions_px, home_px]) if moves else positions_px
    canvas = Canvas.around(places, scan.N, margin, least_px, multiple_px)
    centres = (home_px if moves else positions_px) - np.asarray(canvas.origin_px)
    return canvas, tiling(centres, _reach_px(config), canvas.shape, scan.N, config.tile_px)


def batch_size(n_frames: int, wanted: int | None, tiles: int = 1) -> int:
    """Frames in an update: about twelve updates a pass converge fastest on the measured star.

    At most 64, but in a scan of many tiles: an update moves the whole object, and with the
    object the updates would grow.
    """
    usual = max(8, round(n_frames / 12))
    return min(n_frames, wanted or (usual if tiles > 1 else min(64, usual)))


def start_layers(canvas: Canvas, start: Reconstruction | None, count: int) -> np.ndarray:
    """(L, H, W) complex64: the layers of `start`, or all of it in the first; 1 elsewhere."""
    if start is not None and start.layers is not None and len(start.layers) == count:
        each = (replace(start, object=layer) for layer in start.layers)
        return np.stack([start_object(canvas, layer) for layer in each])
    rest = np.ones((count - 1, *canvas.shape), np.complex64)
    return np.concatenate([start_object(canvas, start)[None], rest])


def start_object(canvas: Canvas, start: Reconstruction | None) -> np.ndarray:
    """(H, W) complex64: `start` moved onto the canvas, 1 where it says nothing."""
    out = np.ones(canvas.shape, np.complex64)
    if start is None:
        return out
    offset = np.asarray(start.origin_px) - np.asarray(canvas.origin_px)
    whole = np.round(offset).astype(int)
    known = start.coverage > 0
    values = np.where(known, start.object, 1)
    if np.abs(offset - whole).max() > 1e-6:
        values = ndimage.shift(values, offset - whole, order=3, mode="nearest")
    low = np.maximum(whole, 0)
    high = np.minimum(whole + values.shape, canvas.shape)
    if (high <= low).any():
        raise DataError(
            "the start and the scan do not overlap",
            expected=f"pixels near rows and columns {canvas.origin_px} … of the scan frame",
            got=f"a start of shape {values.shape} with origin {start.origin_px}",
            fix="give the --start that was made from this scan",
        )
    inside = tuple(slice(*pair) for pair in zip(low, high, strict=True))
    source = tuple(slice(*pair) for pair in zip(low - whole, high - whole, strict=True))
    out[inside] = np.where(known[source], values[source], 1)
    return out


def start_probe(scan: Scan, start: Reconstruction | None, modes: int | None) -> np.ndarray:
    """(K, N, N) complex64 modes to start from: those of `start`, of the scan, or an estimate.

    A missing probe is estimated as the focus of the mean pattern's amplitude. Missing modes are
    the first one times a coordinate, with 2 % of its energy each: a mode of zeros would stay zero.
    """
    probe = scan.probe if start is None or start.probe is None else start.probe
    if probe is None:
        probe = probe_from_mean(scan)
    probe = np.asarray(probe, np.complex64)
    if probe.shape[-1] != scan.N:
        raise ShapeError(
            "the probe does not fit the frames",
            where=scan.name,
            expected=f"({scan.N}, {scan.N})",
            got=probe.shape[-2:],
        )
    wanted = modes or len(probe)
    return probe[:wanted] if wanted <= len(probe) else _seed_modes(probe, wanted)


def probe_from_mean(scan: Scan, curvature: float = 0.0) -> np.ndarray:
    """(1, N, N): the focus of the mean pattern's amplitude, with exp(i·curvature·q²/⟨q²⟩).

    In the near field it is the mean pattern's amplitude, brought back to the specimen.
    """
    total = np.zeros((scan.N, scan.N))
    for _, block in scan.blocks():
        total += block.sum(0)
    if scan.mask is not None:
        total = np.where(scan.mask, total, 0.0)
    square = ((np.indices(total.shape) - scan.N // 2) ** 2).sum(0)
    phase = curvature * square * total.sum() / max(float(np.sum(total * square)), 1e-30)
    far = np.sqrt(total / scan.n_frames) * np.exp(1j * phase)
    geometry = scan.geometry
    if geometry is not None and geometry.near_field:
        lengths = geometry.detector_pixel_m, geometry.wavelength_m, -geometry.distance_m
        back = np.fft.ifftshift(transfer_function(scan.N, *lengths))
        return np.fft.ifft2(np.fft.fft2(far) * back)[None]
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(far), norm="ortho"))[None]


def middle_of(scan: Scan, frames: int) -> Scan:
    """The scan's frames nearest to its middle, in their order."""
    if scan.n_frames <= frames:
        return scan
    away = np.hypot(*(scan.positions_px - np.median(scan.positions_px, axis=0)).T)
    return scan.subset(np.sort(np.argsort(away, kind="stable")[:frames]))


def _seed_modes(probe: np.ndarray, wanted: int) -> np.ndarray:
    power = np.abs(probe[0]) ** 2
    axes = np.indices(power.shape) - np.array(ndimage.center_of_mass(power))[:, None, None]
    width = np.sqrt((axes**2 * power).sum((1, 2)) / power.sum())[:, None, None]
    row, col = axes / width
    row, col = row + col, row - col  # diagonals: a second mode along either axis finds a seed
    powers = [(i - j, j) for i in range(1, 9) for j in range(i + 1)]  # (1,0) (0,1) (2,0) (1,1) …
    modes = list(probe)
    for down, across in powers[len(probe) - 1 : wanted - 1]:
        mode = probe[0] * row**down * col**across
        for other in modes:  # Gram–Schmidt: a copy of another mode adds nothing
            mode = mode - other * (np.vdot(other, mode) / np.vdot(other, other))
        modes.append(mode * np.sqrt(_SECOND_MODE_ENERGY * power.sum() / np.sum(np.abs(mode) ** 2)))
    return np.stack(modes).astype(np.complex64)


def orthogonal_modes(probe: np.ndarray) -> np.ndarray:
    """The same mixed state in modes that are orthogonal, strongest first: (K, N, N)."""
    if len(probe) == 1:
        return probe
    _, singular, rows = np.linalg.svd(probe.reshape(len(probe), -1), full_matrices=False)
    return (singular[:, None] * rows).reshape(probe.shape).astype(np.complex64)


def background_of(scan: Scan, config: RefineConfig) -> float:
    """Counts per pixel added to the model; never zero, so that its gradient stays finite."""
    own = config.background is None or config.background == "rings"
    value: Any = scan.background if own else config.background
    return max(float(value or 0.0), BACKGROUND_FLOOR)
