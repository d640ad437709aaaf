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
from dataclasses import dataclass, field
from typing import Any

from ptycho.errors import ModelError
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.engine import FIRST_WEIGHT, Engine, Snapshot

WEIGHTS = (0.0, 0.05, 0.1, 0.17, 0.25, 0.4, 0.65, 1.0, 1.6)
TRIAL_SHARE = 1 / 3
"""Of the whole-scan passes, for each trial; of a time budget, for all that there can be."""
MOST_TRIALS = 6
Tell = Callable[[float, dict[str, Any]], None]


@dataclass
class Descent:
    """What was chosen, what was tried, and what the counts kept apart say of it."""

    loss: str
    weight: float
    trials: list[dict[str, Any]] = field(default_factory=list)
    held_out_deviance: float | None = None
    reported_deviance: float | None = None
    passes: int = 0


def descend(
    engine: Engine, config: RefineConfig, passes: int, clock: Callable[[], float], tell: Tell
) -> Descent:
    """Choose loss and weight where they are `auto`, then descend on all counts.

    Args:
        engine: after the mini-batches; holds the result afterwards.
        config: `loss` and `regularise` (a number or `auto`).
        passes: of the last run; a trial takes a third.
        clock: share of the time that is gone, 0 where there is no limit.
        tell: called after each pass with (residual, facts).

    Raises:
        ModelError: the fields became infinite.
    """
    judged = len(engine.frames.held) > 0
    loss = config.loss if config.loss != "auto" else "poisson"
    weight = FIRST_WEIGHT if config.regularise == "auto" else float(config.regularise)
    found = Descent(loss, weight)
    if judged and "auto" in (config.loss, config.regularise):
        _choose(engine, config, max(4, math.ceil(passes * TRIAL_SHARE)), clock, tell, found)
    elif judged:
        found.held_out_deviance = engine.held_out_deviance()
        found.reported_deviance = engine.held_out_deviance(report=True)
    engine.give_back()
    engine.begin_whole()
    for _ in range(passes):
        found.passes += 1
        _pass(engine, found.loss, found.weight, tell, {})
        if clock() >= 1:
            break
    return found


def _choose(
    engine: Engine,
    config: RefineConfig,
    passes: int,
    clock: Callable[[], float],
    tell: Tell,
    found: Descent,
) -> None:
    start = engine.snapshot()
    limit = clock() + (1 - clock()) / 2
    best: tuple[float, Snapshot] | None = None

    def better(loss: str, weight: float) -> bool:
        nonlocal best
        engine.restore(start)
        engine.begin_whole()
        until = clock() + (limit - clock()) / max(1, MOST_TRIALS - len(found.trials))
        done = 0
        while done < passes and (done == 0 or clock() < until):
            _pass(engine, loss, weight, tell, {"trial": f"{loss}, regularise {weight:g}"})
            done += 1
        found.passes += done
        deviance = engine.held_out_deviance()
        assert deviance is not None
        row = {"loss": loss, "regularise": weight, "held_out_deviance": deviance, "passes": done}
        found.trials.append(row)
        if best is not None and deviance >= best[0]:
            return False
        best = deviance, engine.snapshot()
        found.loss, found.weight, found.held_out_deviance = loss, weight, deviance
        found.reported_deviance = engine.held_out_deviance(report=True)
        return True

    for loss in ("poisson", "amplitude") if config.loss == "auto" else (config.loss,):
        better(loss, found.weight)
    if config.regularise == "auto":
        middle = WEIGHTS.index(FIRST_WEIGHT)
        upwards = [better(found.loss, WEIGHTS[middle + 1])]
        way = WEIGHTS[middle + 2 :] if upwards[0] else WEIGHTS[middle - 1 :: -1]
        for weight in way:
            if len(found.trials) >= MOST_TRIALS or not better(found.loss, weight):
                break
    assert best is not None
    engine.restore(best[1])


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
