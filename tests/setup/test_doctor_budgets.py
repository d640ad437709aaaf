"""doctor, and so a run, refuses limits that can never take effect."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from orchestration.core.payloads import AgentEnded
from orchestration.core.policy import PolicyConfig, unmeasured
from orchestration.sandbox import pids
from orchestration.setup import examine

CUSTOM = "agent: custom\nagent_command: [sh, -c, 'true']\n"


def told(root: Path, settings: str, name: str = "budgets") -> list[str]:
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "orchestration.yaml").write_text(settings)
    rows = examine(root, ask=False)
    return [row.found for row in rows if row.name == name and row.state == "fail"]


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        (CUSTOM + "budgets: {money: 1}\n", 1),
        (CUSTOM + "budgets: {money: 1, tokens: 9}\n", 2),
        (CUSTOM + "budgets: {agent_s: 1h}\n", 0),
        ("budgets: {money: 1, tokens: 9}\n", 0),
        ("agent: codex\nbudgets: {money: 1, tokens: 9}\n", 1),
        ("agent: claude\nbudgets: {money: 1, tokens: 9}\n", 0),
        ("agent: claude\nreviewer_agent: gemini\nbudgets: {money: 1}\n", 1),
    ],
)
def test_a_budget_of_what_no_agent_reports_is_refused(
    tmp_path: Path, settings: str, count: int
) -> None:
    assert len(told(tmp_path, settings)) == count


def test_a_limit_of_processes_that_nothing_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pids, "kind", lambda: "none")
    assert told(tmp_path, "max_processes: 100\n", "max_processes")
    assert not told(tmp_path, "", "max_processes")


def test_a_turn_that_did_not_report_what_a_budget_limits_is_named() -> None:
    limits = PolicyConfig(money=1.0, tokens=5)
    assert unmeasured(AgentEnded(), limits) == "cost and no tokens"
    assert unmeasured(AgentEnded(cost=0.1, tokens=4), limits) == ""
    assert unmeasured(AgentEnded(), PolicyConfig()) == ""
