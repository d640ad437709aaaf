"""Accelerated passes over the whole scan with total variation, whose weight held-out counts choose.

After the mini-batches (which find the probe, and where whole-scan steps alone stick on measured
frames) the fields go down the likelihood of all frames at once, with Nesterov's momentum and the
proximal map of total variation after each step. The weight is c·σ, σ = 1/(2·√(largest light)) the
error that the counts leave in a lit pixel. Trials of equal length from one state, some way down,
are judged by counts that none of them saw; the last run goes on from the best with all counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ptycho.errors import ModelError
from ptycho.prior import Prior
from ptycho.refinement import gate
from ptycho.refinement.checkpoint import Saved
from ptycho.refinement.config import FIRST_WEIGHT, RefineConfig
from ptycho.refinement.engine import Engine
from ptycho.refinement.told import Snapshot, Told

WEIGHTS = (0.0, 0.05, 0.1, 0.17, 0.25, 0.4, 0.65, 1.0, 1.6)
FIRST_SHARE, TRIAL_SHARE = 1 / 6, 1 / 12
"""Of the whole-scan passes: before the trials, and for each trial. The last run has the rest."""
FEWEST_PASSES = 4
"""Before the trials, and of each trial."""
MOST_TRIALS = 6
PLAINER = 2.0
"""Standard errors of the held-out gain within which the Poisson likelihood stays."""
JUDGED_EVERY = 5
"""Passes on the way to the trials between two looks at held-out counts; a look takes a tenth of a
pass (484 frames of 64²)."""
Tell = Callable[[float, float | None, dict[str, Any]], None]


@dataclass(frozen=True)
class Work:
    """What a descent needs of its surroundings.

    Args:
        clock: share of the time that is gone, 0 where there is no limit.
        tell: called after each pass with (residual, held-out deviance where it was looked at,
            facts).
        write: a checkpoint, called as (phase, facts, **trees) where one may be written.
        at: what was saved in a phase, or None.
        prior: the network whose image the gate judges, or None.
    """

    clock: Callable[[], float]
    tell: Tell
    write: Callable[..., None] = lambda *_facts, **_trees: None
    at: Callable[[str], Saved | None] = lambda _phase: None
    prior: Prior | None = None


@dataclass
class Descent:
    """What was chosen, what was tried, and what the counts kept apart say of it."""

    loss: str
    weight: float
    trials: list[dict[str, Any]] = field(default_factory=list)
    held_out_deviance: float | None = None
    reported_deviance: float | None = None
    passes: int = 0
    gate: dict[str, Any] | None = None
    background: dict[str, Any] | None = None


def descend(engine: Engine, config: RefineConfig, passes: int, work: Work) -> Descent:
    """Choose loss and weight where they are `auto`, then descend on all counts.

    Args:
        engine: after the mini-batches; holds the result afterwards.
        config: `loss` and `regularise` (a number or `auto`).
        passes: for all of it, trials included.
        work: clock, progress and checkpoints.

    Raises:
        ModelError: the fields became infinite.
    """
    saved = work.at("descent")
    if saved is None:
        found, done = _chosen(engine, config, passes, work), 0
        if work.prior is not None and found.trials:
            found.gate = asdict(gate.judge(engine, found.loss, found.weight, work.prior))
        found.background = engine.background_told()
        engine.give_back()
    else:
        found, done = Descent(**saved.facts["found"]), saved.facts["done"]
        engine.give_back()
    judged = found.held_out_deviance
    facts = {} if judged is None else {"held-out": f"{judged:.4g} before, now fitted"}
    while not done or found.passes < passes:
        found.passes += 1
        done += 1
        work.tell(_pass(engine, found.loss, found.weight).residual, None, facts)
        # Nothing looked before, where all passes are these and nothing was chosen.
        if engine.look_back(anew=passes - found.passes >= FEWEST_PASSES):
            engine.begin_whole()
        if work.clock() >= 1:
            break
        work.write("descent", {"found": asdict(found), "done": done})
    return found


def _chosen(engine: Engine, config: RefineConfig, passes: int, work: Work) -> Descent:
    """Loss and weight, and what the held-out counts say of the state before the last run."""
    # The way down, a trial of each loss and the last run; with fewer there is nothing to choose by.
    judged = len(engine.frames.held) > 0 and passes >= 4 * FEWEST_PASSES
    loss = config.loss if config.loss != "auto" else "poisson"
    weight = FIRST_WEIGHT if config.regularise == "auto" else float(config.regularise)
    found = Descent(loss, weight)
    if judged and "auto" in (config.loss, config.regularise):
        _choose(engine, config, passes, work, found)
    else:
        engine.begin_whole()
        found.held_out_deviance = engine.held_out_deviance()
        found.reported_deviance = engine.held_out_deviance(report=True)
    return found


def _choose(engine: Engine, config: RefineConfig, passes: int, work: Work, found: Descent) -> None:
    clock, saved = work.clock, work.at("trials")
    first, trial = (
        max(FEWEST_PASSES, math.ceil(passes * share)) for share in (FIRST_SHARE, TRIAL_SHARE)
    )
    limit, over, now = clock() + (1 - clock()) / 2, [], None
    start: Any = engine.snapshot()
    best, least = None, np.zeros(0)
    before: dict[str, Any] | None = {"done": 0}
    if saved is not None:  # the trials that are over answer from what was noted of them
        facts = saved.facts
        limit, now, before = facts["limit"], facts["now"], facts["before"]
        over, least = facts["found"].pop("trials"), np.array(facts["least"])
        for name, value in facts["found"].items():
            setattr(found, name, value)
        best = saved.tree("best", start) if over else None
        start = saved.tree("start", start)

    def note(trees: dict[str, Any], **more: Any) -> None:
        facts = {"limit": limit, "found": asdict(found), "least": least.tolist()}
        work.write("trials", {**facts, "now": None, "before": None, **more}, **trees)

    if before is not None:
        start = _before(engine, first, work, found, limit, before["done"], note)

    def run(loss: str, weight: float) -> tuple[int, np.ndarray]:
        """The passes of a trial, and the held-out deviance of each frame after them."""
        nonlocal now
        done, each = 0, None
        until = clock() + (limit - clock()) / max(1, MOST_TRIALS - len(found.trials))
        if now is not None:  # cut off in the middle: the engine holds it
            done, until, now = now["done"], now["until"], None
        else:
            engine.restore(start)
        over = done > 0 and (done >= trial or clock() >= until)
        while not over:
            residual = _pass(engine, loss, weight).residual
            done += 1
            over = done >= trial or clock() >= until
            each = engine.held_out_deviances() if over else None
            facts = {"trial": f"{loss}, regularise {weight:g}"}
            work.tell(residual, None if each is None else float(each.mean()), facts)
            note({"start": start, "best": best}, now={"done": done, "until": until})
        found.passes += done
        return done, engine.held_out_deviances() if each is None else each

    def better(loss: str, weight: float, errors: float = 0.0) -> bool:
        """One trial; whether it is better than the best so far by this many standard errors."""
        nonlocal best, least
        if over:
            found.trials.append(over.pop(0))
            return bool(found.trials[-1]["better"])
        done, each = run(loss, weight)
        row: dict[str, Any] = {
            "loss": loss,
            "regularise": weight,
            "held_out_deviance": float(each.mean()),
        }
        wins = True
        if best is not None:
            gain = least - each
            row["gain"], error = float(gain.mean()), float(gain.std()) / math.sqrt(len(gain))
            row["standard_error"], wins = error, row["gain"] > errors * error
        found.trials.append(row | {"passes": done, "better": wins})
        if wins:
            best, least = engine.snapshot(), each
            found.loss, found.weight = loss, weight
            found.held_out_deviance = row["held_out_deviance"]
            found.reported_deviance = engine.held_out_deviance(report=True)
        return wins

    def room() -> bool:
        """Whether another trial leaves the last run as much as a trial."""
        return bool(over) or (
            len(found.trials) < MOST_TRIALS and found.passes + 2 * trial <= passes
        )

    weight = FIRST_WEIGHT if config.regularise == "auto" else float(config.regularise)
    better("poisson" if config.loss == "auto" else config.loss, weight)
    if config.loss == "auto" and room():
        better("amplitude", weight, PLAINER)
    if config.regularise == "auto" and room():
        middle = WEIGHTS.index(FIRST_WEIGHT)
        upwards = [better(found.loss, WEIGHTS[middle + 1])]
        way = WEIGHTS[middle + 2 :] if upwards[0] else WEIGHTS[middle - 1 :: -1]
        for weight in way:
            if not room() or not better(found.loss, weight):
                break
    assert best is not None
    engine.restore(best)


def _before(
    engine: Engine,
    passes: int,
    work: Work,
    found: Descent,
    limit: float,
    done: int,
    note: Callable[..., None],
) -> Snapshot:
    """Some way down with the first weight: the state that all trials begin with.

    At least to where the light of the frames is looked at: a trial is judged by it.
    """
    share = FIRST_SHARE / (FIRST_SHARE + MOST_TRIALS * TRIAL_SHARE)
    until = work.clock() + (limit - work.clock()) * share
    if not done:
        engine.begin_whole()
    while True:
        while (done < passes or engine.passes_to_look_back()) and (
            done == 0 or work.clock() < until
        ):
            judge = (done + 1) % JUDGED_EVERY == 0
            told = _pass(engine, found.loss, found.weight, judge=judge)
            work.tell(told.residual, told.held_out, {"trial": "before the trials"})
            found.passes, done = found.passes + 1, done + 1
            note({}, before={"done": done})
        # Where passes of mini-batches came before, the light was looked at in them.
        if not engine.look_back():
            return engine.snapshot()
        engine.begin_whole()
        done = 0


def _pass(engine: Engine, loss: str, weight: float, *, judge: bool = False) -> Told:
    told = engine.run_whole(loss, weight, judge=judge)
    if not math.isfinite(told.residual):
        raise ModelError(
            "the whole-scan descent diverged",
            where=f"loss {loss}, regularise {weight:g}",
            expected="a finite residual",
            got=told.residual,
            fix="lower --set whole_object_step=0.7 or --set whole_probe_step=0.1",
        )
    return told
