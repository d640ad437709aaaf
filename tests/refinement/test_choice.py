"""`auto`: held-out counts choose modes and damping; the trials are told, nothing is guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ptycho.config import validated
from ptycho.errors import ConfigError, DataError
from ptycho.refinement.choice import choose
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.outcome import RefineResult
from ptycho.refinement.run import refine
from ptycho.result import Reconstruction
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

AUTO = RefineConfig(passes=30, modes="auto", damping="auto")


def _run(deviance: dict[tuple[int, float], float], calls: list[RefineConfig]) -> Any:
    """A stand-in for a refinement whose held-out deviance is known."""

    def run(config: RefineConfig, start: Reconstruction | None) -> RefineResult:
        calls.append(config)
        held_out = deviance.get((config.modes, config.damping), 9.0)  # type: ignore[arg-type]
        rec = Reconstruction(
            np.ones((2, 2)), np.ones((2, 2)), (0, 0), meta={"held_out_deviance": held_out}
        )
        return RefineResult(rec, 0.1, 0.5, 2.0, config.passes)

    return run


def test_modes_are_added_while_they_pay_then_damping_is_chosen() -> None:
    calls: list[RefineConfig] = []
    found = choose(
        _run({(1, 0.5): 0.6, (2, 0.5): 0.5, (3, 0.5): 0.4999, (2, 0.1): 0.49}, calls), AUTO, None
    )
    assert (found.config.modes, found.config.damping) == (2, 0.1)
    assert [(c.modes, c.damping) for c in calls] == [(1, 0.5), (2, 0.5), (3, 0.5), (2, 0.1)]
    assert {c.passes for c in calls} == {10} and found.config.passes == 30
    assert found.iterations == 40 and found.seconds == 8
    assert found.start is not None and found.start.meta["held_out_deviance"] == 0.49


def test_a_mode_that_does_not_pay_ends_the_search() -> None:
    calls: list[RefineConfig] = []
    config = RefineConfig(passes=30, modes="auto", damping=0.3, seconds=30)
    found = choose(_run({(1, 0.3): 0.5, (2, 0.3): 0.51}, calls), config, None)
    assert found.config.modes == 1 and len(calls) == 2
    assert calls[0].seconds == pytest.approx(2.5)
    assert found.config.seconds == pytest.approx(26), "what the trials took is taken off"


@pytest.mark.parametrize(
    ("deviance", "tried", "chosen"),
    [
        ((0.5, 0.4999, 0.1), [0, 1], 0),
        ((0.5, 0.4, 0.3999), [0, 1, 2], 1),
        ((0.5, 0.4, 0.3), [0, 1, 2], 2),
    ],
)
def test_eigenprobes_are_added_while_they_pay(deviance, tried, chosen) -> None:
    calls: list[RefineConfig] = []

    def run(config: RefineConfig, start: Reconstruction | None) -> RefineResult:
        told = {(config.modes, config.damping): deviance[int(config.opr)]}
        return _run(told, calls)(config, start)

    found = choose(run, RefineConfig(passes=30, opr="auto"), None)
    assert [config.opr for config in calls] == tried and found.config.opr == chosen


def test_one_mode_of_light_is_found_to_be_one_and_the_trials_are_told() -> None:
    scan = simulate(SimulationConfig(N=32, n_frames=64, photons=1e5, probe_diameter_px=16))
    calls: list[dict[str, Any]] = []
    result = refine(
        scan,
        config=RefineConfig(passes=15, modes="auto"),
        progress=lambda done, total, info: calls.append(info),
    )
    meta = result.reconstruction.meta
    assert meta["config"]["modes"] == 1 and meta["started_from"] == "scratch"
    assert [row["modes"] for row in meta["trials"]] == [1, 2]
    assert result.iterations == sum(row["passes"] for row in meta["trials"]) + len(result.history)
    assert calls[0]["trial"] == "modes 1, damping 0.5" and "trial" not in calls[-1]


def test_nothing_is_chosen_without_a_judge() -> None:
    scan = simulate(SimulationConfig(N=32, n_frames=20, photons=1e5, probe_diameter_px=16))
    fractional = Scan(
        scan.counts * np.linspace(0.3, 0.4, scan.N), scan.positions_px, probe=scan.probe
    )
    with pytest.raises(DataError, match="held out"):
        refine(fractional, config=RefineConfig(passes=15, modes="auto"))
    with pytest.raises(ConfigError, match="modes"):
        validated(RefineConfig, modes="many")
