"""One owner for each fact: what is open, what the log knows better than the ledger, the tip."""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orchestration.core as core
from orchestration.core import PolicyConfig, State, decide
from orchestration.documents.ledger import parse_ledger
from orchestration.harness import item_facts
from orchestration.turns.order import choose_row
from orchestration.views import load

PACKAGE = Path(core.__file__).parents[1]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [x] C1 `cmp a a` — met
  - [D] C2 `cmp b b` — deferred by a person
  - [ ] C3 `cmp value.txt wanted.txt` — open
- Recipe:
  - run: cp wanted.txt value.txt
    row: C3
"""
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}


def test_a_deferred_row_is_neither_met_nor_open_and_the_policy_says_so() -> None:
    item = parse_ledger(LEDGER).items[0]
    assert [(c.id, c.met, c.open) for c in item.criteria] == [
        ("C1", True, False),
        ("C2", False, False),
        ("C3", False, True),
    ]
    assert choose_row(item) == "C3"
    facts = item_facts(item, datetime.now(UTC))
    assert facts.criteria_open == ("C3",)
    rest = parse_ledger(LEDGER.replace("[ ] C3", "[x] C3")).items[0]
    decision = decide(State(), [item_facts(rest, datetime.now(UTC))], PolicyConfig())
    assert decision.action == "close"
    assert decision.reason == "2 criteria are verified, 1 is deferred: nothing is left to do"


def test_nobody_else_decides_what_an_open_row_is() -> None:
    """A comparison of a row's state character stands in `documents/grammar/keys.py` only."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
            words = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
            if isinstance(node, ast.Compare) and "state" in names and words & {"D", "xD"}:
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert found == []


def test_marks_of_the_log_are_laid_over_the_ledger_in_one_place() -> None:
    """Who asks for an item's status asks `Pending`; nobody else reads its marks and ticks."""
    readers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("marks", "ticks"):
                owner = node.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                if name == "pending":
                    readers.add(path.relative_to(PACKAGE).as_posix())
    # reduce writes them, landing/branch writes them into the ledger's text, commits names them,
    # and the loop asks whether anything but blocks waits for a closing commit.
    known = {"core/reduce.py", "landing/branch.py", "turns/commits.py", "engine/loop.py"}
    assert readers == known


def test_status_shows_the_tip_that_the_next_attempt_starts_from(
    place: Callable[..., Any], tmp_path: Path
) -> None:
    here = place(LEDGER, **VALUES)
    far = tmp_path / "far.git"
    here.git("clone", "-q", "--bare", str(here.root), str(far))
    here.git("remote", "add", "origin", str(far))
    here.git("push", "-q", "-u", "origin", "main")
    here.write("docs/fix_plan.md", LEDGER + "\n### [B-001] From upstream\n- Status: open\n")
    here.git("commit", "-q", "-am", "a colleague's item")
    here.git("push", "-q")
    here.git("reset", "-q", "--hard", "HEAD~1")
    ahead = here.git("rev-parse", "origin/main").strip()
    here.run(cycles=1)  # what a run fetched counts, not what the remote-tracking branch says
    view = load(here.root).view
    here.git("merge-base", "--is-ancestor", ahead, view.head)
    assert [item.id for item in view.items] == ["A-001", "B-001"]
