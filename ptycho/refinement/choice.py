"""Modes, eigenprobes and damping chosen by held-out counts, where the configuration says `auto`.

Short refinements with one setting each are judged by the deviance of the same counts, which none of
them saw. Modes first: one more is tried as long as the last one paid; eigenprobes likewise. Then
the damping. The full refinement goes on from the best of them, with its setting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ptycho.errors import DataError
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.outcome import RefineResult
from ptycho.result import Reconstruction

MODES = (1, 2, 3)
EIGENPROBES = (0, 1, 2)
DAMPINGS = (0.5, 0.1)
TRIAL_SHARE = 1 / 3
"""Of the passes, for each trial; of a time budget, for all trials that there can be together."""
MIN_TRIAL_PASSES = 5
GAIN = 2e-3
"""A further mode or eigenprobe must lower the held-out deviance by this share: each costs time and
noise. One eigenprobe on two scans whose probe does not vary gained -0.004 and -0.0007; on one with
a tenth of the light in an eigenmode, 0.94."""
Run = Callable[[RefineConfig, Reconstruction | None], RefineResult]


@dataclass(frozen=True)
class Choice:
    """The configuration without `auto`, where to go on, and what was tried."""

    config: RefineConfig
    start: Reconstruction | None
    trials: list[dict[str, Any]]
    seconds: float
    iterations: int


def wanted(config: RefineConfig) -> bool:
    """Whether something is left to choose."""
    return "auto" in (config.modes, config.opr, config.damping)


def choose(run: Run, config: RefineConfig, start: Reconstruction | None) -> Choice:
    """Try settings with `run` and take the one that explains held-out counts best.

    Raises:
        DataError: no counts are held out, so nothing can be chosen.
    """
    trial = _Trials(run, config, start)
    first = DAMPINGS[0] if config.damping == "auto" else config.damping
    least = EIGENPROBES[0] if config.opr == "auto" else config.opr
    for number in [config.modes] if config.modes != "auto" else MODES:
        if not trial.pays(modes=number, opr=least, damping=first):
            break
    for number in EIGENPROBES[1:] if config.opr == "auto" else ():
        if not trial.pays(modes=trial.best["modes"], opr=number, damping=first):
            break
    if config.damping == "auto":
        for damping in DAMPINGS[1:]:
            trial.run(modes=trial.best["modes"], opr=trial.best["opr"], damping=damping)
    return trial.choice()


class _Trials:
    """The trials so far and the best of them."""

    def __init__(self, run: Run, config: RefineConfig, start: Reconstruction | None) -> None:
        self._run, self._config, self._start = run, config, start
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self._result: RefineResult | None = None
        self._spent, self._passes = 0.0, 0

    @property
    def best_deviance(self) -> Any:
        """Held-out deviance of the best trial, or None before the first."""
        return self.best.get("held_out_deviance")

    def pays(self, **setting: Any) -> bool:
        """Whether this trial is better by more than its price than the best before it."""
        before = self.best_deviance
        self.run(**setting)
        return before is None or bool(self.best_deviance <= before * (1 - GAIN))

    def run(self, **setting: Any) -> None:
        """One trial; kept if it is better by more than the price of its modes."""
        config = self._config
        budget: dict[str, Any] = {
            "passes": max(MIN_TRIAL_PASSES, round(config.passes * TRIAL_SHARE))
        }
        if config.seconds is not None:
            most = len(MODES) + len(DAMPINGS) - 1
            most += len(EIGENPROBES) - 1 if config.opr == "auto" else 0
            budget = {"seconds": config.seconds * TRIAL_SHARE / most, "passes": config.passes}
        if config.regularise == "auto":
            budget["regularise"] = "off"  # its weight is chosen afterwards
        result = self._run(config.model_copy(update=setting | budget), self._start)
        held_out = result.reconstruction.meta["held_out_deviance"]
        if held_out is None:
            raise DataError(
                "modes, eigenprobes and damping are chosen by held-out counts, none are held out",
                where="modes=auto, opr=auto or damping=auto",
                expected="whole counts and held_out_fraction > 0",
                got="fractional counts, a single frame, or held_out_fraction=0",
                fix="give the numbers: --set modes=1 --set opr=0 --set damping=0.5",
            )
        row = setting | {"held_out_deviance": held_out, "passes": result.iterations}
        self.rows.append(row)
        self._spent += result.seconds
        self._passes += result.iterations
        more = any(self.best and setting[key] != self.best[key] for key in ("modes", "opr"))
        if not self.best or held_out < self.best_deviance * (1 - GAIN * more):
            self.best, self._result = row, result

    def choice(self) -> Choice:
        """What to go on with."""
        assert self._result is not None
        rest = {key: self.best[key] for key in ("modes", "opr", "damping")}
        if self._config.seconds is not None:
            rest["seconds"] = max(self._config.seconds - self._spent, 0.1)
        config = self._config.model_copy(update=rest)
        found = self._result.reconstruction
        return Choice(config, found, self.rows, self._spent, self._passes)
