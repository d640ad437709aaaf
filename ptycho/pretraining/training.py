"""`ptycho prior train`: the prior's weights from folders of solved scans.

The loss is relative to the input's own, crop by crop, so that scans of all doses count alike
(`ptycho.pretraining.loss`). Every draw is of (seed, step): a run that was cut off and goes on gives
the weights of one that was not.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.config import Progress
from ptycho.data import load_own, own_file, whole_file
from ptycho.errors import ArchiveError, ConfigError, ModelError, UsageError
from ptycho.nn import PRIOR_WIDTH, build_prior_net
from ptycho.pretraining.crops import Plate, batch, plate
from ptycho.pretraining.loss import relative_loss
from ptycho.pretraining.made import data_hash, samples
from ptycho.pretraining.recipes import PROBES, made_of
from ptycho.pretraining.specimens import KINDS
from ptycho.prior import CHANNELS, MOST_WIDTH, load_prior, save_prior
from ptycho.quiet import keras, ops

BATCH = 4
RATE, DECAY = 1.2e-3, 1e-4
TUNING_RATE = 2e-4
"""From weights that are there: the full rate would throw away what they know."""
VALIDATION_EVERY = 20
"""One scan in so many is not trained on, and tells the curve of what was not seen."""
VALIDATION_BATCHES = 24
TOLD_EVERY = 100
_CLOCKS = "seconds", "cpu_seconds"
CHECKPOINT, PRIOR = "checkpoint.npz", "prior.npz"


@dataclass(frozen=True)
class PriorTraining:
    """How the weights are trained.

    Args:
        steps: of the optimiser, with the rate going down along a cosine.
        seed: of weights and crops.
        without: kinds of specimens and of probes that are left out (for the evaluation).
        start: a prior whose weights are gone on from (`auto`: the one in the package), or None.
        width: of the network (filters at half size); None: that of `start`, or the usual one.
        rate: the optimiser's highest; None: 1.2e-3, and from `start` on 2e-4.
        checkpoint_s: seconds between checkpoints.
    """

    steps: int = 12000
    seed: int = 0
    without: tuple[str, ...] = ()
    start: str | None = None
    width: int | None = None
    rate: float | None = None
    checkpoint_s: float = 60.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError("a training needs steps", where="steps", got=self.steps)
        if self.width is not None and (not 1 <= self.width <= MOST_WIDTH or self.start):
            raise ConfigError(
                "a network that begins with weights has their width"
                if self.start
                else "no network has so many filters",
                where="width",
                expected=f"1 to {MOST_WIDTH} filters at half size",
                got=self.width,
            )
        if self.rate is not None and not 0 < self.rate <= 0.1:
            raise ConfigError(
                "no rate to learn at", where="rate", expected="0 to 0.1", got=self.rate
            )
        unknown = sorted(set(self.without) - {*KINDS, *PROBES})
        if unknown:
            raise ConfigError(
                "no such kind of specimen or of probe",
                where="without",
                expected=f"specimens: {', '.join(KINDS)}; probes: {', '.join(PROBES)}",
                got=", ".join(unknown),
            )


def train_prior(
    data: Sequence[Path],
    folder: Path,
    config: PriorTraining,
    *,
    resume: bool = False,
    facts: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on the scans of `data`; `folder` gets `prior.npz` and `curves.csv`.

    Args:
        data: folders that `make_data` filled; one scan counts as much as another.
        folder: of the result; while it works also the state, from which `resume` goes on.
        config: steps, seeds, what is left out.
        resume: go on from the state that is there.
        facts: more for the record of the weights.
        progress: called with (steps done, steps, {"loss", "unseen"}).

    Returns:
        The record that stands in the weights' file.

    Raises:
        UsageError: a training in `folder` is finished, or there is a state and `resume` was not
            said; one of `data` is named twice.
        ArchiveError: the state is of other data or settings, or `start` is no prior.
        DataError: no scans.
        ModelError: the loss is not finite.
    """
    _require_once(data)
    require_free(folder, resume)
    folder.mkdir(parents=True, exist_ok=True)
    hashed = data_hash(data)
    seen, unseen = _plates(data, config)
    begun_with = load_prior(config.start) if config.start else None
    before: float | None = None
    width = begun_with.width if begun_with else config.width or PRIOR_WIDTH
    net = _network(config, width)
    state = folder / CHECKPOINT
    identity = {"data": hashed, "steps": config.steps, "seed": config.seed}
    identity |= {"width": width, "rate": config.rate}
    identity["without"] = sorted(config.without)
    if begun_with:
        net.set_weights(begun_with.weights)
        before = _unseen_loss(net, _apart(unseen))
        identity["start_sha256"] = begun_with.record["sha256"]
    begun = {"step": 0, "seconds": 0.0, "cpu_seconds": 0.0, "rows": [], "losses": []}
    if state.exists():
        begun = _restore(net, state, identity)
    else:  # so that a second training in the folder is told, and one that may not write here
        _save(net, state, identity, begun)
    told = _loop(net, config, seen, unseen, begun, state, identity, progress)
    record = {
        "data_sha256": hashed,
        "scans": len(seen) + len(unseen),
        "without": list(config.without),
        "start_sha256": identity.get("start_sha256"),
        "start": begun_with.record if begun_with else None,
        "unseen_before": before,
        "seed": config.seed,
        "steps": config.steps,
        "batch": BATCH,
        "width": width,
        "rate": _rate(config),
        "hours": told["seconds"] / 3600,
        "cpu_hours": told["cpu_seconds"] / 3600,
        "last": told["rows"][-1],
        **(facts or {}),
    }
    save_prior(folder / PRIOR, net.get_weights(), record)
    _write_curves(folder / "curves.csv", told["rows"])
    state.unlink(missing_ok=True)
    return record


def require_free(folder: Path, resume: bool) -> None:
    """Whether a training may write into `folder`; `resume`: it is to go on with what is there.

    Raises:
        UsageError: a training there is finished; or it was cut off, and `resume` is not said.
    """
    state, prior = folder / CHECKPOINT, folder / PRIOR
    if prior.exists():
        raise UsageError(
            "a training is finished here",
            where=folder,
            expected="a folder without a prior",
            got=prior,
            fix="another folder; weights are gone on from with --start (ptycho prior train)",
        )
    if state.exists() and not resume:
        raise UsageError(
            "a training was cut off here, or is under way",
            where=folder,
            expected="--resume, or another folder",
            got=state,
            fix=f"--resume, or rm {state}",
        )


def _require_once(data: Sequence[Path]) -> None:
    """A folder named twice would count twice."""
    if len({each.resolve() for each in data}) < len(data):
        raise UsageError(
            "a folder of data is named twice",
            where="data",
            expected="each folder once",
            got=" ".join(map(str, data)),
        )


def _plates(data: Sequence[Path], config: PriorTraining) -> tuple[list[Plate], list[Plate]]:
    """What is trained on and what is not; scans of what is left out are neither."""
    seen: list[Plate] = []
    unseen: list[Plate] = []
    for folder in data:
        for path, sample in samples(folder):
            if made_of(sample.recipe) & set(config.without):
                continue
            (seen if int(path.stem) % VALIDATION_EVERY else unseen).append(plate(sample))
    if not seen or not unseen:
        raise ConfigError(
            "too few scans to train on",
            where=", ".join(map(str, data)),
            expected=f"some, and one in {VALIDATION_EVERY} of them kept apart",
            got=f"{len(seen)} and {len(unseen)}",
            fix=f"ptycho prior make-data {data[0]} --scans 1000",
        )
    return seen, unseen


def _rate(config: PriorTraining) -> float:
    return config.rate or (TUNING_RATE if config.start else RATE)


def _network(config: PriorTraining, width: int) -> Any:
    net = build_prior_net(CHANNELS, width=width, seed=config.seed)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        config.steps,
        warmup_target=_rate(config),
        warmup_steps=min(200, config.steps // 10),
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=DECAY, global_clipnorm=1.0)
    net.compile(optimizer, loss=relative_loss)
    optimizer.build(net.trainable_variables)
    return net


def _loop(
    net: Any,
    config: PriorTraining,
    seen: list[Plate],
    unseen: list[Plate],
    begun: dict[str, Any],
    state: Path,
    identity: dict[str, Any],
    progress: Progress | None,
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = list(begun["rows"])
    losses: list[float] = list(begun["losses"])
    start, cpu, written = time.monotonic(), time.process_time(), time.monotonic()

    def facts(step: int) -> dict[str, Any]:
        return {
            "step": step,
            "seconds": begun["seconds"] + time.monotonic() - start,
            "cpu_seconds": begun["cpu_seconds"] + time.process_time() - cpu,
            "rows": rows,
            "losses": losses,
        }

    check = _apart(unseen)
    for step in range(begun["step"], config.steps):
        x, y = batch(seen, BATCH, np.random.default_rng((config.seed, step)))
        losses.append(float(net.train_on_batch(x, y)))
        if not math.isfinite(losses[-1]):
            raise ModelError("the training diverged", where=f"step {step + 1}", got=losses[-1])
        if (step + 1) % TOLD_EVERY == 0 or step + 1 == config.steps:
            apart = _unseen_loss(net, check)
            row = {"step": step + 1, "seconds": facts(step)["seconds"]}
            rows.append({**row, "loss": float(np.mean(losses)), "unseen": apart})
            losses.clear()
            if progress:
                told = {"loss": rows[-1]["loss"], "unseen": apart}
                progress(step + 1, config.steps, told)
        if time.monotonic() - written > config.checkpoint_s:
            _save(net, state, identity, facts(step + 1))
            written = time.monotonic()
    return facts(config.steps)


def _apart(unseen: list[Plate]) -> list[tuple[Any, Any]]:
    """The same crops of the scans kept apart whenever they are asked."""
    rngs = (np.random.default_rng((1, number)) for number in range(VALIDATION_BATCHES))
    return [batch(unseen, BATCH, rng) for rng in rngs]


def _unseen_loss(net: Any, check: list[tuple[Any, Any]]) -> float:
    return float(np.mean([net.test_on_batch(*each) for each in check]))


def _variables(net: Any) -> list[Any]:
    return [*net.weights, *net.optimizer.variables]


def _save(net: Any, path: Path, identity: dict[str, Any], facts: dict[str, Any]) -> None:
    values = [np.asarray(ops.convert_to_numpy(each)) for each in _variables(net)]
    text = json.dumps({"identity": identity, **facts})
    with whole_file(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {f"v{number:03d}": each for number, each in enumerate(values)}
        np.savez(file, **arrays, facts=np.frombuffer(text.encode(), np.uint8))


def _restore(net: Any, path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    fix = f"rm {path}, and train anew"
    what = "the state of the training cannot be read"
    with own_file(path, what, writer="ptycho prior train", fix=fix):
        arrays, facts = load_own(path, "facts")
        if facts["identity"] == identity:
            for number, variable in enumerate(_variables(net)):
                variable.assign(arrays[f"v{number:03d}"])
            return {name: facts[name] for name in ("step", "rows", "losses", *_CLOCKS)}
    raise ArchiveError(
        "the state is one of other data or settings",
        where=path,
        expected=identity,
        got=facts["identity"],
        fix="the same data and settings (--steps, --seed, --without, --start, --width, --rate); or "
        "another folder",
    )


def _write_curves(path: Path, rows: list[dict[str, Any]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
