"""The compiled update behind plain arrays: feeds batches, keeps the gauge, scores states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from ptycho.config import BACKGROUND_FLOOR
from ptycho.physics import backend, illumination
from ptycho.refinement import step
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.start import Canvas, Frames
from ptycho.refinement.variation import compiled_prox

CHUNK_PIXELS = 1 << 19
"""Pixels of the frames that a whole-scan pass works on at once."""
WHOLE_DAMPING = 0.05
FIRST_WEIGHT = 0.25
"""Of total variation, where held-out counts are to choose it."""
BATCH_WEIGHT = 2.5
"""Times it after a pass of mini-batches, which moves the object farther than a whole-scan one."""
RINGS_START = 0.01
RINGS_FROM = 5
"""Passes before background and flux are fitted: until then the model is not one yet."""


@dataclass(frozen=True)
class Score:
    """Sums over valid pixels of a set of counts."""

    residual: float  # Σ|√I−√y| / Σ√y
    deviance_per_pixel: float  # Poisson half-deviance; about ½ where noise is all that is left


class Snapshot(NamedTuple):
    """What a pass changes."""

    state: step.State
    positions_px: np.ndarray
    background: np.ndarray
    light: np.ndarray | None


class _Tally:
    """What the batches of one pass saw, summed."""

    def __init__(self) -> None:
        self._error: Any = 0.0
        self._ratio: Any = 0.0
        self._measured = self._dose = 0.0

    def add(self, counts: np.ndarray, dose: np.ndarray, seen: step.Seen) -> None:
        """One batch."""
        self._error = self._error + seen.residual
        self._ratio = self._ratio + seen.ratio
        self._measured += float(np.einsum("bij,b->", np.sqrt(counts.clip(0)), dose))
        self._dose += float(dose.sum())

    @property
    def residual(self) -> float:
        """Σ|√I−√y| / Σ√y."""
        return float(_numpy(self._error)) / max(self._measured, 1e-30)

    @property
    def mean_ratio(self) -> np.ndarray:
        """(N, N): mean of y/I."""
        return _numpy(self._ratio) / self._dose


def rings_of(side: int) -> np.ndarray:
    """(side, side) int: the distance of each pixel from the centre, rounded."""
    return np.round(np.hypot(*(np.indices((side, side)) - side // 2))).astype(int)


def ring_mean(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N, N) float32: the mean of each ring over the valid pixels, never below the floor."""
    ring = rings_of(len(mask)).ravel()
    sums, pixels = (np.bincount(ring, each.ravel()) for each in (mask * image, mask))
    value = np.maximum(sums / np.maximum(pixels, 1.0), BACKGROUND_FLOOR)
    return value[ring].reshape(mask.shape).astype(np.float32)


def ring_background(background: np.ndarray, ratio: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N, N): b(r) ← mean over the ring of b·mean(y/I), never below the floor.

    This is the step of expectation maximisation for a background that is one number a ring
    (one pixel wide): it raises the likelihood and keeps b positive.
    """
    return ring_mean(background * ratio, mask)


class Engine:
    """State of one refinement: fields as tensors, positions as a NumPy array."""

    def __init__(
        self,
        frames: Frames,
        canvas: Canvas,
        fields: tuple[np.ndarray, np.ndarray],
        positions_px: np.ndarray,
        config: RefineConfig,
        batch: int,
        background: float,
    ) -> None:
        self.frames, self.canvas, self.config, self.batch = frames, canvas, config, batch
        self.positions_px = np.array(positions_px, np.float64)
        self.uneven: float | None = None  # the spread of the light, where it had to be fitted
        self._measured_px = self.positions_px.copy()
        image, probe = (backend.tensor(np.asarray(field, np.complex64)) for field in fields)
        self.state = step.State(image, ops.zeros_like(image), probe, ops.zeros_like(probe))
        self._energy = float(np.sum(np.abs(fields[1]) ** 2))
        self.background = np.full((canvas.N, canvas.N), background, np.float32)
        self._mask = np.asarray(frames.mask, np.float32)
        if config.background == "rings":
            # A step multiplies, and would take long from the floor: 1 % of the light.
            light = self._few_counts().mean(axis=0) * RINGS_START
            self.background = np.maximum(self.background, ring_mean(light, self._mask))
        self._chunk = min(frames.scan.n_frames, max(batch, CHUNK_PIXELS // canvas.N**2))
        self._dual = backend.tensor(np.zeros((4, *canvas.shape), np.float32))
        self._passes = self._whole = 0

    def _few_counts(self) -> np.ndarray:
        n = self.frames.scan.n_frames
        return self.frames.counts(np.unique(np.linspace(0, n - 1, min(n, 64)).astype(int)))

    def run_pass(self, order: np.ndarray, factor: float, *, move: bool) -> float:
        """One pass over the frames in `order`, `factor` on all steps; the residual as it went."""
        config, detector = self.config, self._detector()
        rates = _rates(
            config.object_step * factor,
            config.probe_step * factor if config.update_probe else 0.0,
            config.momentum,
            float(config.damping),
            config.position_step * factor if move else 0.0,
        )
        update = step.compiled_update(step.Model(config.kernel, "amplitude", config.positions))
        tally = _Tally()
        for indices in _batches(order, self.batch):
            counts, dose = self.frames.training(indices)
            batch = self._batch(indices, counts, dose)
            self.state, seen = update(self.state, batch, rates, detector)
            tally.add(counts, dose, seen)
            if move:
                self._move(indices, _numpy(seen.moves))
            self._brighten(indices, seen)
        if self.config.regularise != "off":
            auto = self.config.regularise == "auto"
            self.smooth(BATCH_WEIGHT * (FIRST_WEIGHT if auto else float(self.config.regularise)))
        return self._after(tally, move)

    def run_whole(self, loss: str, weight: float) -> float:
        """One accelerated pass over all frames at once, then total variation of `weight`."""
        config, detector = self.config, self._detector()
        momentum = self._whole / (self._whole + 3)
        rates = _rates(
            config.whole_object_step if not config.update_probe else 0.7 * config.whole_object_step,
            config.whole_probe_step if config.update_probe else 0.0,
            min(momentum, 0.9) if config.update_probe else momentum,
            WHOLE_DAMPING,
            config.position_step if config.positions else 0.0,
        )
        part = step.compiled_part(step.Model(config.kernel, loss, config.positions))
        tally, found = _Tally(), step.no_slopes(self.state)
        n = self.frames.scan.n_frames
        moves = np.zeros((n, 2))
        for first in range(0, n, self._chunk):
            indices = np.arange(first, min(first + self._chunk, n))
            counts, dose = self.frames.training(indices)
            padded = _padded(counts, self._chunk), _padded(dose, self._chunk)
            batch = self._batch(np.resize(indices, self._chunk), *padded)
            found, seen = part(self.state, batch, rates, detector, found)
            tally.add(counts, dose, seen)
            if config.positions:
                moves[indices] = _numpy(seen.moves)[: len(indices)]
            self._brighten(indices, seen)
        before = self.state.object
        self.state = step.compiled_apply()(self.state, found, rates)
        if config.positions:
            self._move(np.arange(n), moves)
        if weight:
            self.smooth(weight)
            moved = self.state.object - before
            self.state = self.state._replace(object_velocity=moved)
        self._whole += 1
        return self._after(tally, config.positions)

    def smooth(self, weight: float) -> None:
        """The proximal map of total variation, `weight` in units of the counts' own error."""
        strength = backend.scalar(weight / self.error_unit(), "float32")
        image, self._dual = compiled_prox()(self.state.object, self._dual, strength)
        self.state = self.state._replace(object=image)

    def begin_whole(self) -> None:
        """Without the momentum of what came before."""
        still = ops.zeros_like(self.state.object), ops.zeros_like(self.state.probe)
        self.state = self.state._replace(object_velocity=still[0], probe_velocity=still[1])
        self._dual, self._whole = ops.zeros_like(self._dual), 0

    def error_unit(self) -> float:
        """2·√(largest light): its inverse is the error that the counts leave in a lit pixel."""
        light = illumination(
            _numpy(self.state.probe),
            self.positions_px,
            shape=self.canvas.shape,
            origin_px=self.canvas.origin_px,
        )
        return 2.0 * float(np.sqrt(light.max()))

    def snapshot(self) -> Snapshot:
        """All that a pass changes; `restore` goes back to it."""
        light = self.frames.light
        light = None if light is None else light.copy()
        return Snapshot(self.state, self.positions_px.copy(), self.background, light)

    def restore(self, snapshot: Snapshot) -> None:
        """The state that `snapshot` noted."""
        self.state, positions, self.background, light = snapshot
        self.positions_px = positions.copy()
        self.frames.light = None if light is None else light.copy()

    def _detector(self) -> step.Detector:
        return step.Detector(backend.tensor(self._mask), backend.tensor(self.background))

    def _after(self, tally: _Tally, move: bool) -> float:
        self._passes += 1
        if self.config.background == "rings" and self._passes > RINGS_FROM:
            self.background = ring_background(self.background, tally.mean_ratio, self._mask)
        self._fix_gauge(move)
        return tally.residual

    def _brighten(self, indices: np.ndarray, seen: step.Seen) -> None:
        if self.frames.light is not None or self.config.clean == "auto":
            self.frames.brighten(indices, _numpy(seen.light)[: len(indices)])

    def _batch(self, indices: np.ndarray, counts: np.ndarray, dose: np.ndarray) -> step.Batch:
        corners = self.canvas.corners(self.positions_px[indices])
        arrays = (counts, corners, dose)
        return step.Batch(*(backend.tensor(array) for array in arrays))

    def _move(self, indices: np.ndarray, moves: np.ndarray) -> None:
        limit = self.config.position_limit_px
        moved = self.positions_px[indices] + np.clip(moves, -0.5, 0.5)
        home = self._measured_px[indices]
        self.positions_px[indices] = np.clip(moved, home - limit, home + limit)

    def _fix_gauge(self, move: bool) -> None:
        """Probe energy as at the start (the object takes the scale); positions do not drift."""
        state = self.state
        scale = float(np.sqrt(float(_numpy(ops.sum(step.power(state.probe)))) / self._energy))
        self.state = step.State(
            state.object * scale,
            state.object_velocity * scale,
            state.probe / scale,
            state.probe_velocity / scale,
        )
        if move:
            self.positions_px -= (self.positions_px - self._measured_px).mean(0)

    def held_out_deviance(self, *, report: bool = False) -> float | None:
        """Half-deviance per pixel of the held-out counts, or None if nothing is held out.

        Args:
            report: of those that chose nothing, instead of those that choose.
        """
        frames = self.frames
        counts = frames.report_counts if report else frames.choosing
        if counts is None or not len(frames.held):
            return None
        share = frames.share if frames.report_counts is None else frames.share / 2
        sums = np.zeros(4)
        for first in range(0, len(frames.held), self.batch):
            part = slice(first, first + self.batch)
            sums += self._sums(frames.held[part], counts[part], share)
        return float(sums[2] / (len(frames.held) * frames.mask.sum()))

    def score(self) -> Score:
        """Residual and deviance of the present state on all measured counts."""
        sums = np.zeros(4)
        n = self.frames.scan.n_frames
        for first in range(0, n, self.batch):
            indices = np.arange(first, min(first + self.batch, n))
            sums += self._sums(indices, self.frames.measured(indices), 1.0)
        pixels = n * self.frames.mask.sum()
        return Score(float(sums[0] / max(sums[1], 1e-30)), float(sums[2] / pixels))

    def _sums(self, indices: np.ndarray, counts: np.ndarray, share: float) -> np.ndarray:
        """`step.scores`, padded to the batch size by frames of no dose and no counts."""
        dose = np.zeros(self.batch, np.float32)
        dose[: len(indices)] = share * self.frames.flux(indices)
        padded = np.zeros((self.batch, *counts.shape[1:]), np.float32)
        padded[: len(indices)] = counts
        batch = self._batch(np.resize(indices, self.batch), padded, dose)
        score = step.compiled_scores(self.config.kernel)
        values = score(self.state.object, self.state.probe, batch, self._detector())
        return _numpy(values).astype(np.float64)

    def match_intensity(self) -> None:
        """Scale the probe so that the model's total equals the measured total of the frames."""
        n = self.frames.scan.n_frames
        indices = np.unique(np.linspace(0, n - 1, self.batch).astype(int))
        counts = self.frames.counts(indices)
        modelled = self._sums(indices, counts, 1.0)[3]
        dark = float(np.sum(self.frames.flux(indices)) * np.sum(self.background * self._mask))
        scale = float(np.sqrt(counts.sum() / max(modelled - dark, 1e-30)))
        self.state = self.state._replace(probe=self.state.probe * scale)
        self._energy *= scale**2
        self._first: step.State | None = self.state

    def look_at_the_light(self) -> None:
        """Whether the light of the frames is even; if not, it is fitted and the fields begin anew.

        Fields that were fitted to uneven light hold it, and keep it for long.
        """
        self.uneven = self.frames.require_even_light()
        if self.uneven is not None and self._first is not None:
            self.state = self._first
        self._first = None

    def background_profile(self) -> list[float] | None:
        """Counts per pixel at each distance from the centre, where they were fitted."""
        if self.config.background != "rings":
            return None
        ring = rings_of(self.canvas.N).ravel()
        sums = np.bincount(ring, self.background.ravel()) / np.bincount(ring)
        return [float(value) for value in sums]

    def fields(self) -> tuple[np.ndarray, np.ndarray]:
        """Object (H, W) and probe (K, N, N)."""
        return _numpy(self.state.object), _numpy(self.state.probe)


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(backend.concrete(tensor))


def _rates(
    by_object: float, by_probe: float, momentum: float, damping: float, positions: float
) -> step.Rates:
    values = (by_object, by_probe, momentum, momentum, damping, positions)
    return step.Rates(*(backend.scalar(value, "float32") for value in values))


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    out = np.zeros((length, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out


def _batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Mini-batches of equal size (one compiled shape); the last is filled up from the first."""
    count = -(-len(order) // size)
    return list(np.resize(order, count * size).reshape(count, size))
