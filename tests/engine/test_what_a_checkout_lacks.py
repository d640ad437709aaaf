"""Guards that need what git ignores or the environment: carried, kept, and named where absent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import TurnContext
from orchestration.errors import HarnessError

Make = Callable[..., Any]
ITEM = """### [FIX-1] Add adds
- Status: open
- Guard: tests/test_calc.py::test_add
- Exit:
  - [ ] C1 `pytest tests/test_calc.py::test_add` — it adds
"""
WRONG = "def add(a, b):\n    return a - b\n"
TEST = """from calc import add
{needs}

def test_add():
    assert add(2, 3) == WANTED
"""
READ = "from pathlib import Path\nWANTED = int(Path('data/wanted.txt').read_text())\n"


def library(place: Make, needs: str, settings: str = "") -> Any:
    return place(
        ITEM,
        **{
            "calc.py": WRONG,
            "tests/test_calc.py": TEST.format(needs=needs),
            ".gitignore": "data/\n.env\n",
            "orchestration.yaml": settings or "budgets: {attempts_per_item: 1}\n",
        },
    )


def right(turn: TurnContext, n: int) -> None:
    (turn.workspace / "calc.py").write_text(WRONG.replace("-", "+"))


def test_a_kept_variable_is_there_at_collection(
    place: Make, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = "import os\nWANTED = int(os.environ['SERVICE_WANTED'])\n"
    here = library(place, needs, "keep_env: [SERVICE_WANTED]\n")
    monkeypatch.setenv("SERVICE_WANTED", "5")
    assert here.run(stub(right)).landed == ["FIX-1"]


def test_pytests_own_reason_is_told_where_nothing_is_collected(place: Make, stub: Any) -> None:
    here = library(place, READ)
    agent = stub(right)
    assert here.run(agent).blocked == ["FIX-1"]
    assert agent.turns == []
    (told,) = [e.data["reason"] for e in here.harness().log.events if e.kind == "block"]
    assert "FileNotFoundError" in told and "data/wanted.txt" in told


def test_what_git_ignores_is_carried_to_agent_and_guard(place: Make, stub: Any) -> None:
    """`.env` goes to guards only, and what an attempt puts in the place of data is not used."""
    needs = READ + "assert Path('.env').read_text() == 'TOKEN=t'\n"
    here = library(place, needs, "carry: [data, .env]\n")
    here.write("data/wanted.txt", "5")
    here.write(".env", "TOKEN=t")
    seen: list[tuple[str, bool]] = []

    def work(turn: TurnContext, n: int) -> None:
        data = turn.workspace / "data/wanted.txt"
        seen.append((data.read_text(), (turn.workspace / ".env").exists()))
        data.write_text("-1")
        right(turn, n)

    assert here.run(stub(work)).landed == ["FIX-1"]
    assert seen == [("5", False)]
    assert (here.root / "data/wanted.txt").read_text() == "5"
    assert "data/wanted.txt" not in here.git("ls-tree", "-r", "--name-only", "main")


def test_what_is_left_out_since_git_ignores_it_is_named(place: Make, stub: Any) -> None:
    here = library(place, "WANTED = 5\n")
    said: list[str] = []

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "data").mkdir()
        (turn.workspace / "data/add.py").write_text("x = 1\n")
        (turn.workspace / "__pycache__").mkdir()
        right(turn, n)

    assert here.run(stub(work), say=said.append).landed == ["FIX-1"]
    (told,) = [line for line in said if "git ignores" in line]
    assert "data" in told


def test_no_link_of_an_attempt_leads_carried_files_out(
    place: Make, tmp_path: Path, stub: Any
) -> None:
    from orchestration.turns.checkouts import carry_into

    here = library(place, READ)
    here.write("data/deep/wanted.txt", "5")
    outside, checkout = tmp_path / "outside", tmp_path / "checkout"
    outside.mkdir()
    checkout.mkdir()
    (checkout / "data").symlink_to(outside)
    carry_into(here.harness().repo, checkout, ["data"])
    assert list(outside.iterdir()) == []
    assert (checkout / "data/deep/wanted.txt").read_text() == "5"
    here.write("new/file.txt", "not ignored")
    with pytest.raises(HarnessError, match="does not ignore"):
        carry_into(here.harness().repo, checkout, ["new"])
    with pytest.raises(HarnessError, match="carry"):
        carry_into(here.harness().repo, checkout, ["../outside"])
