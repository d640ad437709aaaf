"""Proof 4, small: what grows with every cycle stays within its bounds, and so does its benchmark.

The whole run: `python scripts/benchmarks/long_run.py --cycles 500`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from orchestration.core.policy import SHOWN, ItemFacts, PolicyConfig, decide
from orchestration.core.state import ItemState, State

BENCHMARKS = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks"


def test_what_grows_in_a_run_of_many_cycles_is_bounded(tmp_path: Path) -> None:
    argv = [str(BENCHMARKS / "long_run.py"), "--cycles", "12", "--keep", str(tmp_path / "repo")]
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert (found["cycles"], found["broken"]) == (12, [])
    assert found["landed"] + found["rejected"] == 12 and found["rejected"] >= 1
    assert found["commits_on_main"] == 1 + found["landed"] + found["closing_commits"]
    assert 0 < found["ledger_growth_bytes_per_cycle"] <= 512
    assert found["log_objects"] > 2 * found["cycles"]
    assert 0 < found["memory_last_bytes"] <= found["memory_max_bytes"]


def test_the_evidence_of_a_decision_does_not_grow_with_the_ledger() -> None:
    def facts(name: str, status: str, priority: int = 2) -> ItemFacts:
        return ItemFacts(name, status, priority=priority, criteria_open=("C1",), criteria_total=1)

    items = [facts(f"DONE-{n}", "done") for n in range(300)]
    items += [facts(f"OPEN-{n}", "open") for n in range(300)]
    items += [facts(f"REST-{n}", "open", 0) for n in range(30)]
    items += [facts(f"STUCK-{n}", "blocked") for n in range(300)]
    items += [facts("LAST-1", "open", 0)]
    resting = {f"REST-{n}": ItemState(cooldown_until=9, pivot_reason="stuck") for n in range(30)}
    state = State(cycle=5, items=resting)
    decision = decide(state, items, PolicyConfig(playbook=False))
    assert (decision.action, decision.item) == ("work", "LAST-1")
    names = [row.id for row in decision.evidence.items]
    assert "LAST-1" in names and len(names) <= 3 * SHOWN + 30
    assert {name for name in names if name.startswith("REST")} == set(resting)
    more = decision.evidence.not_shown
    assert (more["finished"], more["runnable"]) == (300, 301 - SHOWN)
    assert len(names) + sum(more.values()) == len(items)
