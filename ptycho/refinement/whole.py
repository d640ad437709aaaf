"""Accelerated passes over the whole scan with total variation, whose weight held-out counts choose.

After the mini-batches (which find the probe, and where whole-scan steps alone stick on measured
frames) the fields go down the likelihood of all frames at once, with Nesterov's momentum and the
proximal map of total variation after each step. The weight is c·σ, σ = 1/(2·√(largest light)) the
error that the counts leave in a lit pixel. Trials of equal length from one state are judged by
counts that none of them saw; the last run has all counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ptycho.errors import ModelError
from ptycho.refinement.checkpoint import Saved
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.engine import FIRST_WEIGHT, Engine

WEIGHTS = (0.0, 0.05, 0.1, 0.17, 0.25, 0.4, 0.65, 1.0, 1.6)
TRIAL_SHARE = 1 / 3
"""Of the whole-scan passes, for each trial; of a time budget, for all that there can be."""
MOST_TRIALS = 6
Tell = Callable[[float, dict[str, Any]], None]


@dataclass(frozen=True)
class Work:
    """What a descent needs of its surroundings.

    Args:
        clock: share of the time that is gone, 0 where there is no limit.
        tell: called after each pass with (residual, facts).
        write: a checkpoint, called as (phase, facts, **trees) where one may be written.
        at: what was saved in a phase, or None.
    """

    clock: Callable[[], float]
    tell: Tell
    write: Callable[..., None] = lambda *_facts, **_trees: None
    at: Callable[[str], Saved | None] = lambda _phase: None


@dataclass
class Descent:
    """What was chosen, what was tried, and what the counts kept apart say of it."""

    loss: str
    weight: float
    trials: list[dict[str, Any]] = field(default_factory=list)
    held_out_deviance: float | None = None
    reported_deviance: float | None = None
    passes: int = 0


def descend(engine: Engine, config: RefineConfig, passes: int, work: Work) -> Descent:
    """Choose loss and weight where they are `auto`, then descend on all counts.

    Args:
        engine: after the mini-batches; holds the result afterwards.
        config: `loss` and `regularise` (a number or `auto`).
        passes: of the last run; a trial takes a third.
        work: clock, progress and checkpoints.

    Raises:
        ModelError: the fields became infinite.
    """
    saved = work.at("descent")
    if saved is None:
        found, done = _chosen(engine, config, passes, work), 0
        engine.give_back()
        engine.begin_whole()
    else:
        found, done = Descent(**saved.facts["found"]), saved.facts["done"]
        engine.give_back()
    while done < passes:
        found.passes += 1
        done += 1
        _pass(engine, found.loss, found.weight, work.tell, {})
        if work.clock() >= 1:
            break
        work.write("descent", {"found": asdict(found), "done": done})
    return found


def _chosen(engine: Engine, config: RefineConfig, passes: int, work: Work) -> Descent:
    """Loss and weight, and what the held-out counts say of the state before the last run."""
    judged = len(engine.frames.held) > 0
    loss = config.loss if config.loss != "auto" else "poisson"
    weight = FIRST_WEIGHT if config.regularise == "auto" else float(config.regularise)
    found = Descent(loss, weight)
    if judged and "auto" in (config.loss, config.regularise):
        _choose(engine, config, max(4, math.ceil(passes * TRIAL_SHARE)), work, found)
    elif judged:
        found.held_out_deviance = engine.held_out_deviance()
        found.reported_deviance = engine.held_out_deviance(report=True)
    return found


def _choose(engine: Engine, config: RefineConfig, passes: int, work: Work, found: Descent) -> None:
    clock, saved = work.clock, work.at("trials")
    start, best = engine.snapshot(), None
    limit, over, now = clock() + (1 - clock()) / 2, [], None
    if saved is not None:  # the trials that are over answer from what was noted of them
        facts = saved.facts
        limit, over, now = facts["limit"], facts["found"].pop("trials"), facts["now"]
        for name, value in facts["found"].items():
            setattr(found, name, value)
        best = saved.tree("best", start) if over else None
        start = saved.tree("start", start)

    def least() -> float:
        return min((row["held_out_deviance"] for row in found.trials), default=math.inf)

    def run(loss: str, weight: float) -> tuple[int, float]:
        """Passes and held-out deviance of a trial."""
        nonlocal now
        done = 0
        until = clock() + (limit - clock()) / max(1, MOST_TRIALS - len(found.trials))
        if now is not None:  # cut off in the middle: the engine holds it
            done, until, now = now["done"], now["until"], None
        else:
            engine.restore(start)
            engine.begin_whole()
        while done < passes and (done == 0 or clock() < until):
            _pass(engine, loss, weight, work.tell, {"trial": f"{loss}, regularise {weight:g}"})
            done += 1
            facts = {"limit": limit, "found": asdict(found), "now": {"done": done, "until": until}}
            work.write("trials", facts, start=start, best=best)
        found.passes += done
        deviance = engine.held_out_deviance()
        assert deviance is not None
        return done, deviance

    def better(loss: str, weight: float) -> bool:
        nonlocal best
        before = least()
        if over:
            found.trials.append(over.pop(0))
            return bool(found.trials[-1]["held_out_deviance"] < before)
        done, deviance = run(loss, weight)
        row = {"loss": loss, "regularise": weight, "held_out_deviance": deviance, "passes": done}
        found.trials.append(row)
        if deviance >= before:
            return False
        best = engine.snapshot()
        found.loss, found.weight, found.held_out_deviance = loss, weight, deviance
        found.reported_deviance = engine.held_out_deviance(report=True)
        return True

    first = FIRST_WEIGHT if config.regularise == "auto" else float(config.regularise)
    for loss in ("poisson", "amplitude") if config.loss == "auto" else (config.loss,):
        better(loss, first)
    if config.regularise == "auto":
        middle = WEIGHTS.index(FIRST_WEIGHT)
        upwards = [better(found.loss, WEIGHTS[middle + 1])]
        way = WEIGHTS[middle + 2 :] if upwards[0] else WEIGHTS[middle - 1 :: -1]
        for weight in way:
            if len(found.trials) >= MOST_TRIALS or not better(found.loss, weight):
                break
    assert best is not None
    engine.restore(best)


def _pass(engine: Engine, loss: str, weight: float, tell: Tell, facts: dict[str, Any]) -> None:
    residual = engine.run_whole(loss, weight).residual
    if not math.isfinite(residual):
        raise ModelError(
            "the whole-scan descent diverged",
            where=f"loss {loss}, regularise {weight:g}",
            expected="a finite residual",
            got=residual,
            fix="lower --set whole_object_step=0.7 or --set whole_probe_step=0.1",
        )
    tell(residual, facts)
