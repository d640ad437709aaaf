"""`train`: fit a network to the counts of one or several scans, without any truth.

The input of a step is one part of each count, its loss is against the independent rest
(`thinning`), so that noise cannot be learned. Held-out frames lie apart in space; their deviance
decides when to stop and which weights are kept. Row 0 of the history is that deviance before
training: for the default network this is the untrained control.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.config import Clean, Progress, TrainConfig, Watch
from ptycho.data import write_json
from ptycho.errors import ModelError, UsageError
from ptycho.frames import allowance_bytes, clean_scan
from ptycho.model import CONFIG, MANIFEST, save_run
from ptycho.provenance import versions
from ptycho.quiet import load_tensorflow
from ptycho.report import MADE
from ptycho.scan import Scan, require_far_field
from ptycho.training.checkpoint import CHECKPOINT, fingerprint, load_checkpoint, save_checkpoint
from ptycho.training.data import (
    _HELD_OUT,
    _SHUFFLE,
    _THIN,
    GroupSet,
    TrainingData,
    assemble,
    generator,
    in_order,
    shuffled,
)
from ptycho.training.history import Row, write_history

if TYPE_CHECKING:
    from ptycho.model import PtychoPINN

SANITY = "sanity.json"
Build = Callable[[TrainingData, TrainConfig], "PtychoPINN"]


@dataclass(frozen=True)
class TrainResult:
    """A finished training: the run folder, the history (one dict an epoch) and the model."""

    run_dir: Path
    history: list[Row]
    model: PtychoPINN
    best_epoch: int
    seconds: float
    collapse_ratio: float


@dataclass
class _State:
    """Everything that a checkpoint carries besides the variables of model and optimizer."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_value: float = math.inf
    history: list[Row] = field(default_factory=list)
    best_weights: list[np.ndarray] = field(default_factory=list)


def train(
    scans: Scan | Sequence[Scan],
    config: TrainConfig | None = None,
    out_dir: str | Path = "run",
    *,
    progress: Progress | None = None,
    resume: bool = False,
    build: Build | None = None,
    watch: Watch | None = None,
    made: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train a network and write its run folder.

    Args:
        scans: one or several scans of the same probe; each needs a probe (a guess will do).
        config: see `TrainConfig`; None: the defaults.
        out_dir: the run folder; made if missing. It must not hold a run, unless `resume`.
        progress: called after each step as `(step, total steps, info)`.
        resume: go on from the checkpoint in `out_dir` (bit-equal to an uninterrupted run on a
            CPU, without `time_budget_s`); starts anew where there is none.
        build: what makes the model of the data; None: `new_model`.
        watch: called after each step with a function that gives the history so far.
        made: noted in `made.json` of the run, beside the versions and the names of the scans.

    Returns:
        The trained model (best held-out weights) and its history.

    Raises:
        DataError, ConfigError: scans or settings that cannot be trained on.
        UsageError: `out_dir` already holds a run.
        NearFieldError: a scan of the near field.
        CollapseError: the network answers with a constant.
    """
    scans = list(scans) if isinstance(scans, Sequence) else [scans]
    config = config or TrainConfig()
    for scan in scans:
        require_far_field(scan, "a network")
    scans = _cleaned(scans, config.clean)
    folder = _run_folder(out_dir, resume)
    load_tensorflow()
    from ptycho.physics import backend

    with backend.deterministic(config.deterministic):
        return _run(scans, config, folder, progress, resume, build or new_model, watch, made or {})


def _cleaned(scans: list[Scan], clean: Clean) -> list[Scan]:
    """Each scan looked at; those that had one mask keep one: what is bad in one is bad in all."""
    masks = [None if scan.mask is None else scan.mask.tobytes() for scan in scans]
    scans = [clean_scan(scan, clean) for scan in scans]
    found = [scan.mask for scan in scans if scan.mask is not None]
    if not found or len(set(masks)) > 1 or len({scan.N for scan in scans}) > 1:
        return scans
    both = np.logical_and.reduce(found)
    return [replace(scan, mask=both) for scan in scans]


def _run(
    scans: Sequence[Scan],
    config: TrainConfig,
    folder: Path,
    progress: Progress | None,
    resume: bool,
    build: Build,
    watch: Watch | None,
    made: Mapping[str, Any],
) -> TrainResult:
    data = assemble(scans, config)
    model = build(data, config)
    identity = fingerprint(config, data)
    state = _State()
    if resume:
        load_checkpoint(folder, model, state, identity)
    if not (folder / MANIFEST).exists():  # a finished run stays whole until the next is saved
        write_json(folder / CONFIG, config.model_dump(mode="json"))
        looked = {s.name: s.sanity.record() for s in scans if s.sanity is not None}
        write_json(folder / SANITY, looked)
        told = {"scans": [scan.name for scan in scans], "versions": versions(), **made}
        write_json(folder / MADE, told)
    trainer = _Trainer(model, data, config, state, progress, watch)
    trainer.prepare()
    while trainer.wants_another():
        trainer.epoch()
        write_history(state.history, folder)
        if config.checkpoint:
            save_checkpoint(folder, model, state, identity)
    ratio = trainer.finish()
    save_run(model, config, folder)
    write_history(state.history, folder)
    return TrainResult(folder, state.history, model, state.best_epoch, state.seconds, ratio)


def _run_folder(out_dir: str | Path, resume: bool) -> Path:
    folder = Path(out_dir)
    if folder.is_file():
        raise UsageError("the run folder is a file", where=folder, expected="a folder", got="file")
    if not resume and any((folder / name).exists() for name in (MANIFEST, CHECKPOINT)):
        raise UsageError(
            "this folder already holds a run",
            where=folder,
            expected="a new folder",
            got="manifest.json or checkpoint.h5",
            fix=f"choose another folder, or --resume, or remove {folder}",
        )
    if resume and (folder / MANIFEST).exists() and not (folder / CHECKPOINT).exists():
        raise UsageError(
            "this run is finished, and it kept no checkpoint to go on from",
            where=folder,
            expected=CHECKPOINT,
            got=f"{MANIFEST} alone (trained with checkpoint=false)",
            fix="train into a new folder",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def new_model(data: TrainingData, config: TrainConfig) -> PtychoPINN:
    """A compiled model for this data, its canvas grown to all groups, its optimizer built."""
    import keras

    from ptycho.model import PtychoPINN

    model = PtychoPINN(
        data.N,
        config.gridsize,
        data.probe,
        data.scaling,
        network=config.network,
        network_options=config.network_options,
        loss=config.loss,
        probe_trainable=config.probe_trainable,
        scale_trainable=config.scale_trainable,
        estimate_steps=config.estimate_steps,
        mask=data.mask,
        seed=config.seed,
    )
    sets = [data.training, data.held_out] if data.held_out is not None else [data.training]
    for groups in sets:
        model.fit_canvas(groups.offsets)
    optimizer = keras.optimizers.Adam(
        config.learning_rate, global_clipnorm=config.clip_norm, epsilon=1e-8
    )
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)
    return model


class _Trainer:
    """One training run: owns the order of things; all numbers that last live in `state`."""

    def __init__(
        self,
        model: PtychoPINN,
        data: TrainingData,
        config: TrainConfig,
        state: _State,
        progress: Progress | None,
        watch: Watch | None = None,
    ) -> None:
        self.model, self.data, self.config, self.state = model, data, config, state
        self.report = progress or (lambda done, total, info: None)
        self.watch = watch or (lambda made: None)
        self.per_epoch = max(len(data.training) // config.batch_size, 1)
        self.thinned_in: int | None = None
        self.share = 1.0 if config.thinning is None else 1.0 - config.thinning
        self.begun = time.perf_counter() - state.seconds

    def prepare(self) -> None:
        """Thin the held-out frames once, and note their deviance before training."""
        held_out = self.data.held_out
        if held_out is not None:
            held_out.thin(self.config.thinning, generator(self.config.seed, _HELD_OUT))
            self._estimate(held_out)
        if not self.state.best_weights:
            self.state.best_weights = self.model.get_weights()
            value = self._held_out_deviance()
            self.state.best_value = math.inf if value is None else value
            self.state.history.append(self._row(loss=None, held_out=value, best=True, speed=None))

    def wants_another(self) -> bool:
        """False once epochs, time or patience have run out."""
        config, state = self.config, self.state
        if state.epoch >= config.epochs:
            return False
        late = config.time_budget_s is not None and self._elapsed() >= config.time_budget_s
        if late and state.epoch > 0:  # one step is taken in any case
            return False
        return config.patience is None or state.epoch - state.best_epoch < config.patience

    def epoch(self) -> None:
        """One pass over the training groups, then the judgement of the held-out ones."""
        self._thin()
        state, config = self.state, self.config
        rng = generator(config.seed, _SHUFFLE, state.epoch)
        self.model.reset_metrics()
        begun, steps, loss = time.perf_counter(), 0, math.nan
        for groups in shuffled(len(self.data.training), config.batch_size, rng):
            self.model.optimizer.learning_rate = self._learning_rate()
            inputs, target = self.data.training.batch(self.model.prepared, groups)
            loss = float(self.model.train_on_batch(inputs, target))
            if not math.isfinite(loss):
                raise ModelError(
                    "the loss is not finite any more",
                    where=f"epoch {state.epoch + 1}, step {state.step}",
                    got=loss,
                    fix="--set learning_rate=3e-4, or check the scan with ptycho inspect",
                )
            steps, state.step = steps + 1, state.step + 1
            speed = steps * groups.size * config.gridsize**2 / (time.perf_counter() - begun)
            self._tell(loss, speed)
            if config.time_budget_s is not None and self._elapsed() >= config.time_budget_s:
                break
        state.epoch += 1
        value = self._held_out_deviance()
        better = value is None or value < state.best_value
        if better:
            state.best_epoch, state.best_weights = state.epoch, self.model.get_weights()
            state.best_value = math.inf if value is None else value
        state.seconds = self._elapsed()
        state.history.append(self._row(loss=loss, held_out=value, best=better, speed=speed))

    def finish(self) -> float:
        """Put the best weights back; refuse a collapsed network. Returns the collapse ratio."""
        from ptycho.physics import backend, group_estimate
        from ptycho.training.collapse import check_collapse

        model = self.model
        self.state.seconds = self._elapsed()
        model.set_weights(self.state.best_weights)
        groups = self.data.held_out or self.data.training
        if groups is self.data.training:
            self._thin()
        chosen = np.resize(np.arange(len(groups)), self.config.batch_size)
        counts, offsets = groups.drawn(groups.counts, chosen), groups.offsets[chosen]
        prediction, coverage = model.predict_objects(counts, offsets)
        reference = group_estimate(
            counts,
            offsets,
            model.probe,
            steps=model.estimate_steps,
            lit_px=model.lit_px,
            canvas_size=prediction.shape[-1],
            mask=model.mask,
            background=model.scaling.background,
        )
        planes = np.asarray(backend.concrete(reference))
        return check_collapse(prediction, planes[..., 0] + 1j * planes[..., 1], coverage)

    def _thin(self) -> None:
        """A new thinning every `rethin_epochs`; the estimates are made again with it."""
        rounds = (
            0 if self.config.thinning is None else self.state.epoch // self.config.rethin_epochs
        )
        if self.thinned_in != rounds:
            rng = generator(self.config.seed, _THIN, rounds)
            self.data.training.thin(self.config.thinning, rng)
        if self.thinned_in != rounds or self._probe_moves():
            # A moving probe: the estimates are those of its state at the start of the epoch.
            self._estimate(self.data.training)
        self.thinned_in = rounds

    def _probe_moves(self) -> bool:
        return self.config.probe_trainable or self.config.scale_trainable

    def _estimate(self, groups: GroupSet) -> None:
        """Keep the physics estimates in memory where there are any and they fit."""
        groups.forget()
        size = 20 * len(groups) * self.model.require_canvas() ** 2
        room = min(self.config.estimate_cache_mib * 2**20, allowance_bytes() / 4)
        if self.model.sight.estimates and size <= room:
            groups.prepare(self.model.prepared, self.config.batch_size)

    def _held_out_deviance(self) -> float | None:
        """Loss per pixel over the held-out groups, in the units of the thinned counts."""
        groups = self.data.held_out
        if groups is None:
            return None
        if self._probe_moves():
            self._estimate(groups)
        self.model.reset_metrics()
        value = math.nan
        for chosen in in_order(len(groups), self.config.batch_size):
            value = float(self.model.test_on_batch(*groups.batch(self.model.prepared, chosen)))
        return value * self._unit()

    def _unit(self) -> float:
        share = self.share if self.config.loss == "poisson" else math.sqrt(self.share)
        return self.model.loss_unit * share

    def _learning_rate(self) -> float:
        """Warm-up, then a cosine down to the final share, over steps or time if that is shorter."""
        config, step = self.config, self.state.step
        done = step / (config.epochs * self.per_epoch)
        if config.time_budget_s is not None:
            done = max(done, self._elapsed() / config.time_budget_s)
        low = config.final_learning_rate_fraction
        cosine = low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
        warm = min((step + 1) / config.warmup_steps, 1.0) if config.warmup_steps else 1.0
        return config.learning_rate * warm * cosine

    def _elapsed(self) -> float:
        return time.perf_counter() - self.begun

    def _tell(self, loss: float, speed: float) -> None:
        total = self.config.epochs * self.per_epoch
        budget = self.config.time_budget_s
        if budget is not None:
            share = max(self._elapsed() / budget, self.state.step / total)
            total = max(round(self.state.step / share), self.state.step)
        info: dict[str, Any] = {
            "epoch": self.state.epoch + 1,
            "loss": loss,
            "deviance/px": loss * self._unit(),
            "patterns/s": round(speed),
        }
        if math.isfinite(self.state.best_value):
            info["held out"] = self.state.best_value
        self.report(self.state.step, total, info)
        self.watch(lambda: list(self.state.history))

    def _row(
        self, *, loss: float | None, held_out: float | None, best: bool, speed: float | None
    ) -> Row:
        return {
            "epoch": self.state.epoch,
            "step": self.state.step,
            "seconds": round(self._elapsed(), 3),
            "learning_rate": float(np.asarray(self.model.optimizer.learning_rate)),
            "loss": loss,
            "deviance_per_px": None if loss is None else loss * self._unit(),
            "held_out_deviance_per_px": held_out,
            "best": int(best),
            "patterns_per_s": None if speed is None else round(speed, 1),
        }
