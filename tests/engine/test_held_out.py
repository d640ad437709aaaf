"""Held-out guards judge an attempt; an agent is told a count and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import TurnContext
from orchestration.git import Repo

Make = Callable[..., Any]
GUARD = "### [A-001] add works\n- Status: open\n- Guard: `tests/test_calc.py`\n"
FILES = {
    "calc/__init__.py": "def add(a, b):\n    return a - b\n",
    "tests/test_calc.py": "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n",
}
SECRET = """\
from calc import add


def test_secret_zebra():
    assert add(40, 2) == 42, "zebra says forty-two"


def test_secret_okapi():
    assert add(0, 0) == 0
"""
NAMES = ("zebra", "okapi", "forty-two", "test_secret")
GOOD = "def add(a, b):\n    return a + b\n"
GAMED = "def add(a, b):\n    return a - b if a - 2 else 5 * (b > 2)\n"


def orchestrate(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = "from orchestration.cli import main; main()"
    command = [sys.executable, "-c", code, *words, "-C", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def writes(text: str) -> Callable[[TurnContext, int], None]:
    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "calc/__init__.py").write_text(text)

    return work


def with_secret(here: Any, tmp_path: Path, *words: str) -> None:
    (tmp_path / "test_more.py").write_text(SECRET)
    said = orchestrate(
        here.root, "held-out", "add", "A-001", str(tmp_path / "test_more.py"), *words
    )
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("text", [GOOD, GAMED], ids=["honest", "gamed"])
def test_a_held_out_guard_decides_and_tells_a_count(
    place: Make, stub: Any, tmp_path: Path, text: str
) -> None:
    here = place(GUARD + "- Held-out: deep\n", **FILES)
    with_secret(here, tmp_path)
    agent = stub(writes(text))
    summary = here.run(agent, cycles=2)
    landed = text == GOOD
    assert summary.landed == (["A-001"] if landed else [])
    if not landed:
        reasons = [e.data["reason"] for e in here.harness().log.events if e.kind == "verdict"]
        assert reasons[0] == "held-out guard deep: 1 of 2 passed"
    told = [turn.brief for turn in agent.turns]
    told += [event.line() for event in here.harness().log.events]
    told += [orchestrate(here.root, *w).stdout for w in (("status", "--json"), ("why",))]
    state = Repo(here.root).state_dir
    told += [p.read_text(errors="replace") for p in (state / "turns").rglob("*") if p.is_file()]
    told += [here.git("log", "-p", "--all")]
    shown = "\n".join(told)
    assert [word for word in NAMES if word in shown] == []
    [log] = (
        (state / "held-out-logs").glob("*.log")
        if landed
        else [*(state / "held-out-logs").glob("*.log")][:1]
    )
    assert "test_secret_zebra" in log.read_text()  # for a person


def test_no_object_of_the_repository_holds_a_held_out_file(
    place: Make, stub: Any, tmp_path: Path
) -> None:
    here = place(GUARD + "- Held-out: deep\n", **FILES)
    with_secret(here, tmp_path)
    here.run(stub(writes(GOOD)), cycles=1)
    sha = here.git("hash-object", str(tmp_path / "test_more.py")).strip()
    known = subprocess.run(["git", "cat-file", "-e", sha], cwd=here.root, check=False)
    assert known.returncode != 0


def test_an_item_whose_held_out_guard_is_elsewhere_waits_for_a_person(
    place: Make, stub: Any
) -> None:
    here = place(GUARD + "- Held-out: deep\n", **FILES)
    agent = stub(writes(GOOD))
    summary = here.run(agent)
    assert (summary.reason, summary.blocked, agent.turns) == ("BLOCKED_ON_USER", ["A-001"], [])
    assert "orchestrate held-out add A-001 FILE" in here.harness().state.items["A-001"].blocked


def test_the_commands_list_and_remove(place: Make, tmp_path: Path) -> None:
    here = place(GUARD, **FILES)
    with_secret(here, tmp_path, "--as", "tests/deep/test_x.py")
    rows = json.loads(orchestrate(here.root, "held-out", "list", "--json").stdout)["held_out"]
    assert rows == [
        {"item": "A-001", "name": "A-001", "named": False, "files": ["tests/deep/test_x.py"]}
    ]
    assert "- Held-out: A-001" in orchestrate(here.root, "held-out", "list").stdout
    assert orchestrate(here.root, "held-out", "remove", "A-001", "nothing").returncode == 2
    assert (
        orchestrate(here.root, "held-out", "remove", "A-001", "tests/deep/test_x.py").returncode
        == 0
    )
    said = orchestrate(
        here.root, "held-out", "add", "A-001", str(tmp_path / "test_more.py"), "--as", "calc/x.py"
    )
    assert said.returncode == 2 and "where tests lie" in said.stderr


def test_a_folder_inside_the_repository_is_refused(place: Make, tmp_path: Path) -> None:
    here = place(GUARD, **FILES, **{"orchestration.yaml": "held_out: secret\n"})
    said = orchestrate(here.root, "held-out", "list")
    assert said.returncode == 2 and "inside the repository" in said.stderr


def test_a_folder_elsewhere(place: Make, stub: Any, tmp_path: Path) -> None:
    place_of = tmp_path / "private"
    (place_of / "deep" / "tests").mkdir(parents=True)
    (place_of / "deep" / "tests" / "test_more.py").write_text(SECRET)
    here = place(
        GUARD + "- Held-out: deep\n", **FILES, **{"orchestration.yaml": f"held_out: {place_of}\n"}
    )
    assert here.run(stub(writes(GOOD)), cycles=1).landed == ["A-001"]
    known = here.harness().state.items["A-001"]
    assert known.last_verdict == "land"
