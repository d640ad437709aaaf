"""Every recorded stream of a real program, played by a real process, with the outcome it had."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from orchestration.agents.base import Clocks, Outcome, TurnContext
from orchestration.agents.registry import get_agent
from orchestration.sandbox.process import scrub_env

FOLDER = Path(__file__).parents[1] / "fixtures/recordings"
INDEX = json.loads((FOLDER / "index.json").read_text())
PLAYER = """#!{python}
import os, signal, sys, time
if "--version" in sys.argv:
    print("9.9.9"); raise SystemExit
sys.stdin.buffer.read()
sys.stdout.buffer.write(open({stream!r}, "rb").read())
sys.stdout.flush()
if {hang}:
    time.sleep(600)
if {code} < 0:
    os.kill(os.getpid(), -{code})
raise SystemExit({code})
"""
# outcome, and for a timeout the clock; all that a program hung in is ended by the idle clock.
WANTED = {
    "aider-401": "auth", "aider-429": "rate_limit", "aider-500": "overloaded",
    "aider-hang": "timeout", "aider-malformed": "overloaded", "aider-ok": "done",
    "claude-401": "auth", "claude-401-r1": "auth", "claude-429": "rate_limit",
    "claude-429-r1": "rate_limit", "claude-429once": "done", "claude-500": "overloaded",
    "claude-500-r1": "overloaded", "claude-budget": "partial", "claude-cut": "done",
    "claude-denied": "done", "claude-hang": "timeout", "claude-malformed": "network",
    "claude-maxturns2": "partial", "claude-ok": "done", "claude-term-child": "done",
    "codex-401": "auth", "codex-429": "rate_limit", "codex-429-noretry": "rate_limit",
    "codex-429once": "done", "codex-500": "overloaded", "codex-500-noretry": "overloaded",
    "codex-bare401": "auth", "codex-cut": "network", "codex-hang": "timeout",
    "codex-hang-idle5": "network", "codex-malformed": "network", "codex-ok": "done",
    "codex-ok-danger": "done", "codex-ok-ws": "done", "codex-ok-ws-sed": "done",
    "codex-term-child": "crash", "gemini-401": "auth", "gemini-429": "timeout",
    "gemini-500": "timeout", "gemini-hang": "timeout", "gemini-malformed": "network",
    "gemini-ok": "done", "gemini-termgroup": "crash", "opencode-401": "auth",
    "opencode-429": "rate_limit", "opencode-500": "timeout", "opencode-hang": "timeout",
    "opencode-malformed": "timeout", "opencode-ok": "done", "opencode-term-child": "crash",
    "opencode-term-group": "crash",
}  # fmt: skip


def play(name: str, tmp_path: Path) -> Outcome:
    facts = INDEX[name]
    stream = next(path for path in FOLDER.glob(f"{name}.*"))
    program = tmp_path / "bin" / facts["cli"]
    program.parent.mkdir()
    (tmp_path / "home").mkdir()
    hang = facts["wall"] > 70 and (facts["exit_code"] < 0 or facts["exit_code"] == 143)
    text = PLAYER.format(
        python=sys.executable, stream=str(stream), hang=hang, code=facts["exit_code"]
    )
    program.write_text(text)
    program.chmod(0o755)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    env = scrub_env({"HOME": str(tmp_path / "home")})
    env["PATH"] = f"{program.parent}{os.pathsep}{env['PATH']}"
    context = TurnContext(
        workspace,
        None,
        None,
        "fix it",
        env,
        Clocks(60, 0.7 if hang else 30, 0.3),
        tmp_path / "turn/logs",
        tmp_path / "turn/report",
        isolation="scan",
    )
    return get_agent(facts["cli"]).run(context)


def test_every_recording_has_its_outcome() -> None:
    assert set(WANTED) == set(INDEX)
    assert {p.stem for p in FOLDER.glob("*-*")} == set(INDEX)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_recorded_stream_has_the_outcome_of_its_run(name: str, tmp_path: Path) -> None:
    outcome = play(name, tmp_path)
    assert outcome.kind == WANTED[name], outcome
    assert (outcome.clock == "idle") == (outcome.clock is not None)
    if outcome.kind == "timeout":
        assert outcome.clock == "idle"
    if name.endswith("-ok"):
        assert outcome.tokens is not None
        assert outcome.session or name.startswith("aider")
    assert not (tmp_path / "turn/home").exists()


def test_what_a_good_run_reports(tmp_path: Path) -> None:
    found = {n: play(f"{n}-ok", tmp_path / n) for n in _folders(tmp_path)}
    said = "Fixed add() in calc.py; the test passes now."
    assert [found[n].text for n in ("claude", "codex", "opencode", "gemini")] == [said] * 4
    assert found["claude"].cost == pytest.approx(0.003308)
    assert {n: o.cost for n, o in found.items() if n != "claude"} == dict.fromkeys(
        ("codex", "opencode", "gemini", "aider")
    )
    totals = {n: sum((o.tokens or {}).values()) for n, o in found.items()}
    assert totals == {"claude": 540, "codex": 360, "opencode": 480, "gemini": 480, "aider": 120}


def _folders(tmp_path: Path) -> list[str]:
    names = ["claude", "codex", "opencode", "gemini", "aider"]
    for name in names:
        (tmp_path / name).mkdir()
    return names


def test_denials_and_times_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert play("claude-denied", tmp_path / "a").denials[0].startswith("Bash: touch hello")
    assert play("opencode-429", tmp_path / "b").retry_at is not None
