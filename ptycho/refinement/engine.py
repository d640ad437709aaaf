"""The compiled update behind plain arrays: feeds batches, keeps the gauge, scores states."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from scipy import ndimage

from ptycho.physics import Optics, backend
from ptycho.quiet import ops
from ptycho.refinement import eigenprobes, seeking, step, summing
from ptycho.refinement.config import FIRST_WEIGHT, RefineConfig
from ptycho.refinement.places import Places, affine_part, smooth_field
from ptycho.refinement.rings import ring_background, ring_mean, rings_of
from ptycho.refinement.scatter import told_apart
from ptycho.refinement.schedule import light_pass, varies_from
from ptycho.refinement.spread import Spread
from ptycho.refinement.start import Canvas, Frames
from ptycho.refinement.summing import padded
from ptycho.refinement.tiles import Tile, Tiling
from ptycho.refinement.told import Score, Snapshot, Told

CHUNK_PIXELS = 1 << 18
"""Pixels of the frames that one program of a whole-scan pass works on at once."""
LANE_PIXELS = 1 << 19
"""Least pixels of a mini-batch for each lane: less is done before another thread has begun (idle,
two cores, N = 128: batches of 21 take .44 ms a frame in one lane and .50 in two, of 43 .35 and .35,
of 64 .36 and .32)."""
WHOLE_DAMPING = 0.05
BATCH_WEIGHT = 2.5
"""Times it after a pass of mini-batches, which moves the object farther than a whole-scan one."""
RINGS_START = 0.01
TIDY_EVERY, SWAY = 5, 0.7  # passes between two tidyings of the eigenprobes; step of their weights
POSITIONS_FROM = 10
"""Passes after which positions move at the latest: before, there is no image to place frames by."""
TOLD_PIXELS = 1 << 22
"""Of held-out frames by which scatter and shrinkage are told apart (256 frames of 128²)."""
RINGS_FROM = 5
"""Passes before background, flux and gauge are looked at: until then the model is not one yet."""


class Engine:
    """State of one refinement: fields as tensors, positions as a NumPy array."""

    def __init__(
        self,
        frames: Frames,
        canvas: Canvas,
        fields: tuple[np.ndarray, np.ndarray],
        positions_px: tuple[np.ndarray, np.ndarray],
        config: RefineConfig,
        batch: int,
        background: float,
        optics: Optics = Optics(),
        tiling: Tiling | None = None,
    ) -> None:
        self.frames, self.canvas, self.config, self.batch = frames, canvas, config, batch
        self.positions_px, self._home_px = (np.array(p, np.float64) for p in positions_px)
        self.uneven: float | None = None  # the spread of the light, where it had to be fitted
        image, probe = (backend.tensor(np.asarray(field, np.complex64)) for field in fields)
        self.state = step.State(image, ops.zeros_like(image), probe, ops.zeros_like(probe))
        self._energy = float(np.sum(np.abs(fields[1]) ** 2))
        self.background = np.full((canvas.N, canvas.N), background, np.float32)
        self._optics = step.on_device(optics)
        self._mask = np.asarray(frames.mask, np.float32)
        if config.background == "rings":
            # A step multiplies, and would take long from the floor: 1 % of the light.
            light = self._few(64)[1].mean(axis=0) * RINGS_START
            self.background = np.maximum(self.background, ring_mean(light, self._mask))
        n = frames.scan.n_frames
        self._chunk = min(n, max(1, CHUNK_PIXELS // canvas.N**2))
        self._tiling = tiling or Tiling.of_one(canvas.shape, n)
        self._layers = 1 if fields[0].ndim == 2 else len(fields[0])
        self._dual = backend.tensor(np.zeros((*fields[0].shape[:-2], 4, *canvas.shape), np.float32))
        self._passes = self._whole = 0
        self._light: Any = None
        self._first: step.State | None = None
        self._kept: dict[int, Any] = {}
        self.spread: Spread | None = None  # the tiles on other processes
        self._lanes = backend.lanes()
        self.places: Places | None = None  # frames move together by these, or each by itself
        self._moves = config.positions != "off"
        self.weights: np.ndarray | None = None  # (M, E) of the eigenprobes
        self.varies: float | None = None  # share of the first component of the frames' own steps
        self._modes = len(fields[1])

    def _few(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and counts of at most so many frames from all over the scan."""
        n = self.frames.scan.n_frames
        indices = np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))
        return indices, self.frames.counts(indices)

    def run_pass(self, order: np.ndarray, factor: float, *, move: bool) -> Told:
        """One pass over the frames in `order`, `factor` on all steps."""
        config, detector = self.config, self._detector()
        rates = step.rates(
            config.object_step * factor / self._layers,
            config.probe_step * factor if config.update_probe else 0.0,
            config.momentum,
            float(config.damping),
            config.position_step * factor if move else 0.0,
        )
        model = step.Model(config.kernel, "amplitude", self._moves, config.update_probe)
        light, ratio, told = 0.0, 0.0, []
        lanes = min(self._lanes, max(1, self.batch * self.canvas.N**2 // LANE_PIXELS))
        size = -(-self.batch // lanes)
        if len(self._tiling.tiles) > 1:
            size = min(size, self._chunk)
        for indices in summing.batches(order, self.batch):
            found, seen = self._slopes(model, indices, size, rates, detector)
            self.state = step.compiled_apply()(self.state, found, rates)
            light, ratio = light + found.light, ratio + found.ratio
            told += seen
            if move:  # at once: a frame that fills the last batch up is seen where it is now
                self._move_by(seen)
        weight = 0.0
        if config.regularise != "off":
            first_weight = FIRST_WEIGHT if config.regularise == "auto" else config.regularise
            weight = BATCH_WEIGHT * float(first_weight)
        self._finish(self.state.object, light, weight, whole=False)
        return self._after(told, ratio, move=move, moved=True)

    def run_whole(
        self, loss: str, weight: float, *, judge: bool = False, hold: bool = False
    ) -> Told:
        """One accelerated pass over all frames at once, then total variation of `weight`.

        `hold`: probe and positions stay.
        """
        config, detector = self.config, self._detector()
        first_move = min(config.position_start * config.passes, POSITIONS_FROM)
        move = self._moves and not hold and self._passes >= first_move
        momentum = self._whole / (self._whole + 3)
        by_object = config.whole_object_step / self._layers
        rates = step.rates(
            by_object if not config.update_probe else 0.7 * by_object,
            config.whole_probe_step if config.update_probe and not hold else 0.0,
            min(momentum, 0.9) if config.update_probe else momentum,
            WHOLE_DAMPING,
            config.position_step if move else 0.0,
        )
        # The illumination stays as it is while neither probe, positions nor light of frames move.
        still = not (config.update_probe or self._moves) and self.frames.light is None
        lit = self._light if still else None
        model = step.Model(config.kernel, loss, self._moves, config.update_probe, light=lit is None)
        every = np.arange(self.frames.scan.n_frames)
        found, told = self._slopes(model, every, self._chunk, rates, detector, keep=True)
        found = found if lit is None else found._replace(light=lit)
        self._light = found.light
        before = self.state.object
        self.state = step.compiled_apply()(self.state, found, rates)
        self._finish(before, found.light, weight, whole=True)
        self._whole += 1
        return self._after(told, found.ratio, move=move, judge=judge)

    def _slopes(
        self,
        model: step.Model,
        numbers: np.ndarray,
        size: int,
        rates: step.Rates,
        detector: step.Detector,
        *,
        keep: bool = False,
    ) -> tuple[step.Slopes, list[tuple[np.ndarray, step.Seen]]]:
        """Slopes of these frames (each part filled up to `size`), and what was seen of each."""
        work = summing.Work(model, rates, detector, bool(self.frames.streams))
        if self.spread is not None:
            return self.spread.slopes(self.state, numbers, size, self._beside, work)
        batch_of = functools.partial(self._training, size=size, keep=keep)
        return summing.by_tile(self._tiling, self.state, numbers, size, batch_of, work)

    def _training(
        self, indices: np.ndarray, size: int, *, keep: bool, low: tuple[int, int] = (0, 0)
    ) -> step.Batch:
        """The counts that may be seen, as tensors; kept on the device if they fit and return."""
        first, beside = int(indices[0]), self._beside(indices, size, low)
        counts = self._kept.get(first) if keep else None
        if counts is None:
            counts = backend.tensor(padded(self.frames.training(indices), len(beside.dose)))
            if keep and not self.frames.streams:
                self._kept[first] = counts
                self.frames.leave()
        return backend.tensors(beside._replace(counts=counts))

    def _beside(self, indices: np.ndarray, size: int, low: tuple[int, int]) -> step.Batch:
        """What is known of these frames beside their counts, as arrays."""
        size = self._tiling.filled(len(indices), size)
        corners = self.canvas.corners(self.positions_px[np.resize(indices, size)], low)
        dose = padded(self.frames.dose(indices), size)
        return step.Batch(None, corners, dose, self._weights_of(indices, size))

    def _weights_of(self, indices: np.ndarray, size: int) -> np.ndarray | None:
        return None if self.weights is None else padded(self.weights[indices], size)

    def _finish(self, before: Any, light: Any, weight: float, *, whole: bool) -> None:
        """Total variation of `weight` (0: none), and the gauge."""
        finish = step.compiled_finish(smooth=weight > 0)
        scalars = (backend.scalar(value, "float32") for value in (weight, self._energy, whole))
        self.state, self._dual = finish(self.state, before, light, self._dual, *scalars)
        if self.weights is not None:
            self.state = step.compiled_apart(self._modes)(self.state)

    def begin_whole(self) -> None:
        """Without the momentum of what came before."""
        still = ops.zeros_like(self.state.object), ops.zeros_like(self.state.probe)
        self.state = self.state._replace(object_velocity=still[0], probe_velocity=still[1])
        self._dual, self._whole, self._light = ops.zeros_like(self._dual), 0, None

    def give_back(self) -> None:
        """From now on the refinement sees all counts."""
        self.frames.give_back()
        self._forget()

    def _forget(self) -> None:
        """The counts that were kept, which are others now, and what followed from them."""
        self._kept, self._light = {}, None
        if self.spread is not None:
            self.spread.forget()

    def snapshot(self) -> Snapshot:
        """All that a pass changes; `restore` goes back to it."""
        light = self.frames.light
        light = None if light is None else light.copy()
        positions, pace = self.positions_px.copy(), self.frames.light_pace
        weights = None if self.weights is None else self.weights.copy()
        return Snapshot(
            self.state, positions, self.background, light, pace, self._dual, self._whole, weights
        )

    def restore(self, snapshot: Snapshot) -> None:
        """The state that `snapshot` noted."""
        self.state, positions, self.background, light, pace, self._dual, whole, weights = snapshot
        self.weights = None if weights is None else weights.copy()
        self._whole = int(whole)
        self.positions_px = positions.copy()
        self.frames.light = None if light is None else light.copy()
        self.frames.light_pace = pace.copy()

    def saved(self) -> dict[str, Any]:
        """All that the next pass depends on, for a checkpoint; `resume` goes on from it."""
        uneven = np.nan if self.uneven is None else self.uneven
        return {
            "now": self.snapshot(),
            "first": self._first,
            "dual": self._dual,
            "factors": self.frames.factors,
            "numbers": np.array([self._energy, self._passes, self._whole, uneven]),
        }

    def resume(self, saved: dict[str, Any]) -> None:
        """Go on from what `saved` said, in an engine that was made from the same scan."""
        self.restore(saved["now"])
        self._first, self._dual = saved["first"], saved["dual"]
        self.frames.factors[:] = saved["factors"]
        energy, passes, whole, uneven = saved["numbers"].tolist()
        self._energy, self._passes, self._whole = energy, int(passes), int(whole)
        self.uneven = None if np.isnan(uneven) else uneven
        self._forget()

    def _detector(self) -> step.Detector:
        mask, background = backend.tensor(self._mask), backend.tensor(self.background)
        return step.Detector(mask, background, self._optics)

    def _after(
        self,
        told: list[tuple[np.ndarray, step.Seen]],
        ratio: Any,
        *,
        move: bool,
        judge: bool = True,
        moved: bool = False,
    ) -> Told:
        """What the pass saw comes to the host, once; background, light and positions follow it."""
        self._passes += 1
        config, frames = self.config, self.frames
        rings = config.background == "rings" and self._passes > RINGS_FROM
        bright = frames.light is not None or config.clean == "auto"
        every = [seen for _, seen in told]
        wanted = [
            ops.stack([sum(seen.residual for seen in every), sum(seen.measured for seen in every)])
        ]
        judge = judge and len(frames.held) > 0
        held = self._held_sums() if judge and not move else None
        if held is not None:
            wanted.append(held)
        if rings:
            wanted.append(ratio)
        if bright:
            wanted.append(ops.concatenate([seen.light for seen in every]))
        if move and not moved:
            steps = [ops.concatenate([seen.moves, seen.grip], axis=1) for seen in every]
            wanted.append(ops.concatenate(steps))
        if self.weights is not None:
            wanted.append(ops.concatenate([seen.sway for seen in every]))
        (error, measured), *more = backend.read(*wanted)
        deviance = None if held is None else self._deviance(more.pop(0))
        if rings:
            self.background = ring_background(
                self.background, more.pop(0) / self._doses(told), self._mask
            )
        indices, row = summing.places_of(told)
        if bright:
            frames.brighten(indices, more.pop(0)[row])
        if move and not moved:
            self._move_at_once(indices, more.pop(0)[row])
        self._vary(indices, None if self.weights is None else more.pop(0)[row])
        if move and self.places is None and self._passes % seeking.EVERY == 0:
            self._seek()
        if move:
            self._hold_the_gauge()
        if judge and move:  # by the positions of now, which the host has moved: a second read
            deviance = self.held_out_deviance()
        return Told(float(error) / max(float(measured), 1e-30), deviance)

    def _vary(self, indices: np.ndarray, sways: np.ndarray | None) -> None:
        """Each frame's own probe: eigenprobes from their pass on, weights by their steps."""
        count = int(self.config.opr)
        if self.weights is not None and sways is not None:
            self.weights[indices] += SWAY * np.clip(sways, -1.0, 1.0)
            if self._passes % TIDY_EVERY == 0:
                self._tidy()
        elif count and self._passes == varies_from(self.config) and self.config.update_probe:
            self._begin_to_vary(count)

    def _begin_to_vary(self, count: int) -> None:
        """Eigenprobes from the steps that frames ask for one by one, and each frame's weight."""
        few = np.unique(np.linspace(0, self.frames.scan.n_frames - 1, eigenprobes.SEEN).astype(int))
        steps = np.concatenate([self._own_probes(part) for part in self._parts(few)])
        probe = _numpy(self.state.probe)
        found, self.varies = eigenprobes.principal(steps, probe[0], count)
        light = np.maximum(np.sum(np.abs(found) ** 2, axis=(1, 2)), 1e-30)
        weights = np.zeros((self.frames.scan.n_frames, len(found)), np.float32)
        for part in self._parts(np.arange(len(weights))):
            along = np.tensordot(self._own_probes(part), found.conj(), axes=([1, 2], [1, 2])).real
            weights[part] = np.clip(along / light, -3.0, 3.0)
        self._set_probe(np.concatenate([probe, found]), weights)
        self._tidy()

    def _parts(self, indices: np.ndarray) -> list[np.ndarray]:
        return np.split(indices, range(self._chunk, len(indices), self._chunk))

    def _own_probes(self, indices: np.ndarray) -> np.ndarray:
        batch = self._training(indices, self._chunk, keep=False)
        run = step.compiled_own_probes(self.config.kernel)
        return _numpy(run(self.state, batch, self._detector()))[: len(indices)]

    def _tidy(self) -> None:
        assert self.weights is not None
        probe, modes = _numpy(self.state.probe), self._modes
        first, varying, weights = eigenprobes.tidy(probe[0], probe[modes:], self.weights)
        self._set_probe(np.concatenate([first[None], probe[1:modes], varying]), weights)

    def _set_probe(self, probe: np.ndarray, weights: np.ndarray) -> None:
        """Modes and eigenprobes; the momentum of the modes stays, that of eigenprobes does not."""
        still = np.zeros((len(probe) - self._modes, *probe.shape[1:]), np.complex64)
        velocity = ops.concatenate(
            [self.state.probe_velocity[: self._modes], backend.tensor(still)]
        )
        self.state = self.state._replace(
            probe=backend.tensor(np.asarray(probe, np.complex64)), probe_velocity=velocity
        )
        self.weights = weights

    def _move_by(self, told: list[tuple[np.ndarray, step.Seen]]) -> None:
        moves = backend.read(*(seen.moves for _, seen in told))
        for (indices, _), each in zip(told, moves, strict=True):
            self._move(indices, each[: len(indices)])

    def _move_at_once(self, indices: np.ndarray, steps: np.ndarray) -> None:
        """After a pass: each frame by its own step, or all by what they share."""
        if self.places is None:
            self._move(indices, steps[:, :2])
            return
        own, grip = np.zeros((2, *self.positions_px.shape))
        own[indices], grip[indices] = steps[:, :2], steps[:, 2:]
        moves = self.places.step(own, grip)
        before = self.positions_px.copy()
        self._move(np.arange(len(moves)), moves)
        self._carry(before, self.positions_px - before)

    def _carry(self, positions_px: np.ndarray, moves: np.ndarray) -> None:
        """The object goes along with frames that move together: O(x) ← O(x − u(x))."""
        image = _numpy(self.state.object)
        places = np.indices(self.canvas.shape).reshape(2, -1).T
        origin = np.asarray(self.canvas.origin_px)
        source = places - smooth_field(positions_px, moves, places + origin)
        layers = image.reshape(-1, *self.canvas.shape)
        warped = np.stack(
            [ndimage.map_coordinates(each, source.T, order=3, mode="nearest") for each in layers]
        )
        warped = warped.reshape(image.shape).astype(np.complex64)
        self.state = self.state._replace(object=backend.tensor(warped))

    def _move(self, indices: np.ndarray, moves: np.ndarray) -> None:
        limit = self.config.position_limit_px
        moved = self.positions_px[indices] + np.clip(moves, -0.5, 0.5)
        home = self._home_px[indices]
        self.positions_px[indices] = np.clip(moved, home - limit, home + limit)

    def _seek(self) -> None:
        limit = self.config.position_limit_px
        self.positions_px = seeking.seek(self._fits, self.positions_px, self._home_px, limit)

    def _hold_the_gauge(self) -> None:
        """Frames do not move all together: not at all, and with a free probe not as an affine map.

        That is nearly a gauge (a larger object under a larger probe), along which the steps of the
        frames drift: 0.15 px of it grew to 0.6 in 120 passes, and the image with it.
        """
        away = self.positions_px - self._home_px
        free = self.config.update_probe and self._passes > RINGS_FROM
        if self.places is None and free:
            self.positions_px = self._home_px + affine_part(self._home_px, away)[1]
        else:
            self.positions_px -= away.mean(0)

    def _fits(self, indices: np.ndarray, positions_px: np.ndarray) -> np.ndarray:
        """(B,) half-deviance of what each frame may be seen of, with the frames at these places."""
        every, found = [], []
        for tile, parts in self._tiling.rows(indices, self._chunk):
            view = self._seen_from(tile)
            for rows in parts:
                part, counts = indices[rows], self.frames.training(indices[rows])
                sums = self._sums(part, counts, self.frames.dose(part), view, positions_px[rows])
                found.append(backend.read(sums)[0] if self.frames.streams else sums)
                every.append(rows)
        out = np.zeros(len(indices))
        for rows, each in zip(every, backend.read(*found), strict=True):
            out[rows] = each[2, : len(rows)]
        return out

    def _seen_from(self, tile: Tile) -> tuple[Any, tuple[int, int]]:
        """The object's window of a tile, and where it begins."""
        if len(self._tiling.tiles) == 1:
            return self.state.object, tile.low
        return summing.window(self.state.object, tile.low, self._tiling.shape), tile.low

    def _doses(self, told: list[tuple[np.ndarray, step.Seen]]) -> float:
        return float(sum(self.frames.dose(indices).sum() for indices, _ in told))

    def held_out_deviance(self, *, report: bool = False) -> float | None:
        """Half-deviance per pixel of the held-out counts, or None if nothing is held out.

        Args:
            report: of those that chose nothing, instead of those that choose.
        """
        if not len(self.frames.held) or (report and self.frames.report_counts is None):
            return None
        return self._deviance(backend.read(self._held_sums(report=report))[0])

    def held_out_deviances(self) -> np.ndarray:
        """(frames,) half-deviance per pixel of the held-out counts of each frame."""
        sums = backend.read(self._held_sums())[0]
        return sums[2, : len(self.frames.held)] / self.frames.mask.sum()

    def _deviance(self, sums: np.ndarray) -> float:
        return float(sums[2].sum() / (len(self.frames.held) * self.frames.mask.sum()))

    def _held_sums(self, *, report: bool = False) -> Any:
        frames = self.frames
        counts = frames.report_counts if report else frames.choosing
        assert counts is not None
        share = frames.share if frames.report_counts is None else frames.share / 2
        parts = [slice(at, at + self._chunk) for at in range(0, len(frames.held), self._chunk)]
        dose = share * frames.flux(frames.held)
        sums = [self._sums(frames.held[part], counts[part], dose[part]) for part in parts]
        return sums[0] if len(sums) == 1 else ops.concatenate(sums, axis=1)

    def score(self) -> Score:
        """Residual and deviance of the present state on all measured counts."""
        n, size = self.frames.scan.n_frames, self._chunk
        sums = np.zeros((4, n))

        def lane(mine: list[np.ndarray], view: tuple[Any, tuple[int, int]]) -> None:
            for part in mine:
                counts, dose = self.frames.measured(part), self.frames.flux(part)
                each = self._sums(part, counts, dose, view)
                sums[:, part] = backend.read(each)[0][:, : len(part)]

        for tile, parts in self._tiling.parts(np.arange(n), size):
            lanes = min(backend.lanes(), len(parts))
            run = functools.partial(lane, view=self._seen_from(tile))
            backend.side_by_side(run, [parts[first::lanes] for first in range(lanes)])
        pixels = self.frames.mask.sum()
        error, measured, deviance, _ = sums.sum(axis=1)
        return Score(
            float(error / max(measured, 1e-30)), float(deviance / (n * pixels)), sums[2] / pixels
        )

    def _sums(
        self,
        indices: np.ndarray,
        counts: np.ndarray,
        dose: np.ndarray,
        view: tuple[Any, tuple[int, int]] | None = None,
        positions_px: np.ndarray | None = None,
    ) -> Any:
        """`step.scores` (4, chunk), filled up to the chunk by frames of no dose and no counts.

        Args:
            indices, counts, dose: of the frames. positions_px: of them; None: those of now.
            view: a window of the object and where it begins; None: the whole.
        """
        size, (canvas, low) = self._chunk, view or (self.state.object, (0, 0))
        places = self.positions_px[indices] if positions_px is None else positions_px
        corners = self.canvas.corners(np.resize(places, (size, 2)), low)
        seen, light = (padded(each, size) for each in (counts, dose))
        batch = backend.tensors(step.Batch(seen, corners, light, self._weights_of(indices, size)))
        score = step.compiled_scores(self.config.kernel)
        return score(canvas, self.state.probe, batch, self._detector())

    def match_intensity(self) -> None:
        """Scale the probe so that the model's total equals the measured total of the frames."""
        indices, counts = self._few(self.batch)
        dose, parts = self.frames.flux(indices), self._parts(np.arange(len(indices)))
        sums = sum(self._sums(indices[part], counts[part], dose[part]) for part in parts)
        modelled = float(backend.read(sums)[0][3].sum())
        dark = float(np.sum(dose) * np.sum(self.background * self._mask))
        scale = float(np.sqrt(counts.sum() / max(modelled - dark, 1e-30)))
        self.state = self.state._replace(probe=self.state.probe * scale)
        self._energy *= scale**2
        self._first = self.state

    def passes_to_look_back(self) -> int:
        """Passes until `look_back` looks; 0 where it has or would now."""
        looks = self.config.clean == "auto" or self.config.opr
        return max(0, light_pass(self.config) - self._passes) if self._first and looks else 0

    def look_back(self, *, anew: bool = True) -> bool:
        """Whether the fields begin anew, since what they were fitted to was not so (asked once).

        Fitted to uneven light they hold it for long. Fitted to one probe where it varies, the
        object holds a phase that bends over the whole scan: it alone begins anew, if `anew` and if
        positions stay (in an object that is not there yet they would go anywhere).
        """
        if self._first is None or self.passes_to_look_back():
            return False
        first, self._first = self._first, None
        if self.config.clean == "auto":
            self.uneven = self.frames.require_even_light()
        if not anew or (self.uneven is None if self.weights is None else self._moves):
            return False
        if self.weights is not None:
            first = self.state._replace(object=first.object, object_velocity=first.object_velocity)
        self.state = first
        return True

    def background_profile(self) -> list[float] | None:
        """Counts per pixel at each distance from the centre, where they were fitted."""
        if self.config.background != "rings":
            return None
        ring = rings_of(self.canvas.N).ravel()
        sums = np.bincount(ring, self.background.ravel()) / np.bincount(ring)
        return [float(value) for value in sums]

    def background_told(self) -> dict[str, Any] | None:
        """Scatter and shrinkage in the fitted rings, while counts are held out; else None."""
        frames, held = self.frames, self.frames.held
        if self.config.background != "rings" or not frames.visible.rows:
            return None
        rows = np.arange(0, len(held), -(-len(held) * self.canvas.N**2 // TOLD_PIXELS))
        counts = frames.visible.marked(frames.held_counts[rows], held[rows])
        dose = frames.share * frames.flux(held[rows])
        model = self._modelled(held[rows]) - self.background
        told = told_apart(counts, model, self.background, dose, self._mask)
        return None if told is None else told.record()

    def sample(self) -> tuple[np.ndarray, np.ndarray, float]:
        """For `misfit.nothing_explained`: counts of some frames, the model's, numbers fitted."""
        indices, counts = self._few(max(8, min(128, TOLD_PIXELS // 4 // self.canvas.N**2)))
        model = self._modelled(indices) * self.frames.flux(indices)[:, None, None]
        fitted = sum(np.prod(field.shape) for field in self.state[::2])
        return np.where(self._mask > 0, counts, -1), model, 2 * float(fitted)

    def _modelled(self, indices: np.ndarray) -> np.ndarray:
        """(M, N, N) expected counts of frames at full light; few, so that nothing is compiled."""
        parts = [self._beside(part, len(part), (0, 0)) for part in self._parts(indices)]
        fields, rest = self.state[::2], (self._detector(), self.config.kernel)
        every = (step.intensity(*fields, backend.tensors(part), *rest) for part in parts)
        return np.concatenate([_numpy(each) for each in every])

    def light(self) -> np.ndarray:
        """(H, W) photons that each pixel saw in the last whole-scan pass."""
        return _numpy(self._light)

    def fields(self) -> tuple[np.ndarray, np.ndarray]:
        """Object (H, W), or its layers (L, H, W), and probe (K, N, N)."""
        return _numpy(self.state.object), _numpy(self.state.probe)[: self._modes]

    def eigenprobes(self) -> np.ndarray | None:
        """(E, N, N), where the probe varies."""
        return None if self.weights is None else _numpy(self.state.probe)[self._modes :]


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(backend.concrete(tensor))
