"""When to lower the step and when to stop: a small state machine without tensors or clocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from ptycho.refinement.config import RefineConfig

VARIES_FROM, SETTLED = 20, 10
"""Passes before the probe may vary from frame to frame at the latest; from there on until the
eigenprobes explain what they can."""
LIGHT_FROM = 5
"""Passes after which the fields explain a clean scan to 2 % of the light of a frame."""


def varies_from(config: RefineConfig) -> int:
    """The pass after which eigenprobes begin, where there are any."""
    return min(VARIES_FROM, max(3, round(0.2 * config.passes)))


def light_pass(config: RefineConfig) -> int:
    """The pass after which the light of frames is looked at: the model explains it by then.

    A probe that may vary is let to do so first: what an eigenprobe adds to a frame is not light
    (fitted as light, a 10 % eigenmode cost .05 of the likeness). While mini-batches last: they
    have four tenths of the passes at least, unless `whole_share` says otherwise.
    """
    if config.opr == 0:
        return LIGHT_FROM
    return min(varies_from(config) + SETTLED, math.floor(0.4 * config.passes))


@dataclass
class Schedule:
    """Full step while the budget's first part lasts and held-out deviance falls, then cosine.

    The decay matters: with mini-batches the fields jitter around the minimum by an amount that
    follows the step. So a held-out deviance that no longer falls starts the decay, early, and
    does not simply stop; the best state is kept by the caller.
    """

    config: RefineConfig
    best: float = math.inf
    best_pass: int = 0
    reason: str = "budget"
    _cool_from: float | None = None
    _cool_length: float = 0.0

    def record(self) -> dict[str, Any]:
        """Where it stands, as JSON: `Schedule(config, **record)` goes on from there."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "config"}

    def step(self, used: float) -> float:
        """Factor on the step sizes when the share `used` in [0, 1] of the budget is gone."""
        if self._cool_from is None:
            hold = self.config.hold_fraction
            if used < hold or hold >= 1:
                return 1.0
            self._cool_from, self._cool_length = hold, 1 - hold
        into = min(1.0, max(0.0, (used - self._cool_from) / max(self._cool_length, 1e-9)))
        low = self.config.final_step_fraction
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * into))

    def begin_anew(self, done: int) -> None:
        """After pass `done` the fields begin anew: what they had reached is no measure of them."""
        self.best, self.best_pass = math.inf, done

    def judge(self, done: int, used: float, held_out: float | None) -> bool:
        """Note the held-out deviance after pass `done`; True if this state is to be kept."""
        if held_out is None:
            return True
        better = held_out < self.best
        if better:
            self.best, self.best_pass = held_out, done
        stalled = done - self.best_pass >= self.config.patience
        if stalled and self._cool_from is None and used < self.config.hold_fraction:
            ratio = (1 - self.config.hold_fraction) / max(self.config.hold_fraction, 1e-9)
            self._cool_from = used
            self._cool_length = max(used * min(ratio, 1.0), 1e-9)
            self._cool_length = min(self._cool_length, 1 - used)
            self.best_pass = done
            self.reason = "held-out deviance stopped falling"
        return better

    def finished(self, done: int, used: float) -> bool:
        """Whether to stop after pass `done` with the share `used` of the budget gone."""
        if used >= 1 or done >= self.config.passes:
            return True
        if self._cool_from is None:
            return False
        if done - self.best_pass >= self.config.patience and math.isfinite(self.best):
            self.reason = "held-out deviance stopped falling"
            return True
        return used >= self._cool_from + self._cool_length
