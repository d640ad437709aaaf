"""The compiled update behind plain arrays: feeds mini-batches, keeps the gauge, scores states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ptycho.physics import xla_enabled
from ptycho.refinement import step
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.start import Canvas, Frames


@dataclass(frozen=True)
class Score:
    """Sums over valid pixels of a set of counts."""

    residual: float  # Σ|√I−√y| / Σ√y
    deviance_per_pixel: float  # Poisson half-deviance; about ½ where noise is all that is left


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
        self._measured_px = self.positions_px.copy()
        self.uneven: float | None = None  # the spread of the light, where it had to be fitted
        self._sign = step.checkerboard(canvas.N)
        canvas_field, probe = fields
        self.state = step.State(
            tf.constant(canvas_field, tf.complex64),
            tf.zeros(canvas_field.shape, tf.complex64),
            tf.constant(probe * self._sign, tf.complex64),
            tf.zeros(probe.shape, tf.complex64),
        )
        self._energy = float(np.sum(np.abs(probe) ** 2))
        self._mask = tf.constant(frames.mask, tf.float32)
        self._background = tf.constant(background, tf.float32)
        self._update = step.compile_update(
            positions=config.positions, flux=config.clean == "auto", xla=xla_enabled()
        )
        self._score = step.compile_scores(xla=xla_enabled())

    def run_pass(self, order: np.ndarray, factor: float, *, move: bool) -> float:
        """One pass over the frames in `order`, `factor` on all steps; the residual as it went."""
        rates = self._rates(factor, move)
        error = measured = 0.0
        for indices in _batches(order, self.batch):
            amplitude, dose = self.frames.training(indices)
            corner, fraction = self.canvas.corners(self.positions_px[indices])
            batch = step.Batch(*map(tf.constant, (amplitude, corner, fraction, dose)))
            self.state, batch_error, moves, *light = self._update(
                self.state, batch, rates, self._mask, self._background
            )
            error += batch_error
            measured += float(np.einsum("bij,b->", amplitude.clip(0), dose))
            if move:
                self._move(indices, moves.numpy())
            for factors in light:
                self.frames.brighten(indices, factors)
        self._fix_gauge(move)
        return float(error) / max(measured, 1e-30)

    def _rates(self, factor: float, move: bool) -> step.Rates:
        config = self.config
        probe_step = config.probe_step * factor if config.update_probe else 0.0
        position_step = config.position_step * factor if move else 0.0
        damping = float(config.damping)
        values = (config.object_step * factor, probe_step, config.momentum, damping)
        return step.Rates(*(tf.constant(v, tf.float32) for v in (*values, position_step)))

    def _move(self, indices: np.ndarray, moves: np.ndarray) -> None:
        limit = self.config.position_limit_px
        moved = self.positions_px[indices] + np.clip(moves, -0.5, 0.5)
        home = self._measured_px[indices]
        self.positions_px[indices] = np.clip(moved, home - limit, home + limit)

    def _fix_gauge(self, move: bool) -> None:
        """Probe energy as at the start (the object takes the scale); positions do not drift."""
        state = self.state
        energy = tf.reduce_sum(tf.abs(state.probe) ** 2)
        scale = tf.cast(tf.sqrt(energy / self._energy), tf.complex64)
        self.state = step.State(
            state.object * scale,
            state.object_velocity * scale,
            state.probe / scale,
            state.probe_velocity / scale,
        )
        if move:
            self.positions_px -= (self.positions_px - self._measured_px).mean(0)

    def held_out_deviance(self) -> float | None:
        """Half-deviance per pixel of the held-out counts, or None if nothing is held out."""
        frames = self.frames
        if not len(frames.held):
            return None
        sums = np.zeros(3)
        for first in range(0, len(frames.held), self.batch):
            part = slice(first, first + self.batch)
            sums += self._sums(frames.held[part], frames.held_counts[part], frames.share)
        return float(sums[2] / (len(frames.held) * frames.mask.sum()))

    def score(self) -> Score:
        """Residual and deviance of the present state on all measured counts."""
        sums = np.zeros(3)
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
        where = np.resize(indices, self.batch)
        corner, fraction = self.canvas.corners(self.positions_px[where])
        values = self._score(
            self.state.object,
            self.state.probe,
            *map(tf.constant, (corner, fraction, padded, dose)),
            self._mask,
            self._background,
        )
        return values.numpy().astype(np.float64)

    def match_intensity(self) -> None:
        """Scale the probe so that the model's total equals the measured total of the frames."""
        n = self.frames.scan.n_frames
        indices = np.unique(np.linspace(0, n - 1, self.batch).astype(int))
        counts = self.frames.counts(indices)
        corner, fraction = self.canvas.corners(self.positions_px[indices])
        model = step.intensity(self.state.object, self.state.probe, corner, fraction, 0.0)
        modelled = float(
            tf.reduce_sum(model * self._mask * self.frames.flux(indices)[:, None, None])
        )
        scale = np.sqrt(counts.sum() / max(modelled, 1e-30))
        self.state = self.state._replace(probe=self.state.probe * tf.cast(scale, tf.complex64))
        self._energy *= float(scale) ** 2
        self._first: step.State | None = self.state

    def look_at_the_light(self) -> None:
        """Whether the light of the frames is even; if not, it is fitted and the fields begin anew.

        Fields that were fitted to uneven light hold it, and keep it for long.
        """
        self.uneven = self.frames.require_even_light()
        if self.uneven is not None and self._first is not None:
            self.state = self._first
        self._first = None

    def fields(self) -> tuple[np.ndarray, np.ndarray]:
        """Object (H, W) and probe (K, N, N), without the checkerboard."""
        return self.state.object.numpy(), self.state.probe.numpy() * self._sign


def _batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Mini-batches of equal size (one compiled shape); the last is filled up from the first."""
    count = -(-len(order) // size)
    return list(np.resize(order, count * size).reshape(count, size))
