"""The brief: what a worker and a supervisor are told, in 12 KB, whatever is written where."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orchestration.turns
import pytest
from orchestration.agents.base import TurnContext
from orchestration.core import payloads
from orchestration.log.inbox import post
from orchestration.turns.brief import BRIEF_LIMIT, Piece, cut, fill, guard_command, template

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from conftest import Stub, place  # noqa: F401 - the fixture

Make = Callable[..., Any]
LEDGER = """### [A-001] Totals are off by one
- Status: open
- Guard: tests/test_shop.py::test_total
- Plan: plans/active/A-001/implementation.md
- Held-out: secret_total
- Exit:
  - [ ] C1 `pytest tests/test_shop.py` — totals are right

The cashier counts the carrier bag twice, but only on Sundays.
"""
PLAN = """# Plan A-001
## Phase A
- [x] A.1 Reproduce it
- [ ] A.2 Drop the second count of the bag (verify: `pytest tests/test_shop.py`)
"""
FINDINGS = """# Findings
| Finding ID | Date | Keywords | Synopsis | Evidence Pointer | Status |
| --- | --- | --- | --- | --- | --- |
| BAG-001 | 2026-01-01 | bag | Bags have no barcode | shop.py:1 | Active |
| TAX-001 | 2026-01-01 | tax | Tax is rounded down | tax.py:1 | Active |
| OLD-001 | 2026-01-01 | bag | Bags are free | shop.py:1 | Resolved |
"""
FILES = {
    "shop.py": "def total():\n    return 2\n",
    "tax.py": "",
    "tests/test_shop.py": "import shop\n\n\ndef test_total():\n    assert shop.total() == 3\n",
    "plans/active/A-001/implementation.md": PLAN,
    "docs/findings.md": FINDINGS,
}
ORDER = """# Order
Focus: A-001
Mode: none
Selector: tests/test_shop.py::test_total
## Goal
Totals.

## Tasks
- [ ] T1 Edit `shop.py::total`

## Checks
```sh
pytest tests/test_shop.py::test_total
```

## Forbidden
- tax.py stays

## If blocked
- say so

## Findings
- none
"""


def briefs(here: Any, cycles: int = 2, **options: Any) -> list[str]:
    worker = Stub(lambda turn, n: (turn.workspace / "shop.py").write_text(WRONG.format(n)) and None)
    hidden = here.harness().repo.state_dir / "held-out/secret_total/tests/test_hidden.py"
    hidden.parent.mkdir(parents=True)
    hidden.write_text("def test_hidden():\n    pass\n")
    here.run(worker, cycles=cycles, **options)
    return [turn.brief for turn in worker.turns]


WRONG = "def total():\n    return {0} + 40\n"


def test_a_worker_is_told_all_that_is_known(place: Make) -> None:  # noqa: F811
    here = place(LEDGER, **FILES)

    def plan(turn: TurnContext, n: int) -> None:
        retry = f"retry-reason: time {n}\n" if n > 1 else ""
        (turn.workspace / "input.md").write_text(ORDER.replace("## Goal", f"{retry}## Goal"))

    boss = Stub(plan, name="boss")
    first, second = briefs(here, supervisor=boss)
    assert first.startswith("# A-001 — Totals are off by one\n")
    python = here.harness().config.python
    for words in (
        "carrier bag twice, but only on Sundays",
        "A.2 Drop the second count of the bag",
        "BAG-001: Bags have no barcode",
        f"`{python} -m pytest tests/test_shop.py::test_total`",
        "product code (`shop.py`)",
        "tax.py stays",
        "outcome.json",
        "Focus: A-001",
    ):
        assert words in first, words
    for words in ("TAX-001", "OLD-001", "A.1", "secret_total", "last attempts failed"):
        assert words not in first, words
    # The second is told what the first failed on, in the guard's own words.
    told = second.partition("## What the last attempts failed on")[2]
    assert "turn 1: reject" in told or "turn 2: reject" in told, second
    assert "assert 41 == 3" in told
    again = boss.turns[1].brief
    assert "## The last turns" in again and "assert 41 == 3" in again
    assert "Drop the second count" in again and "BAG-001" not in again  # the draft names no file
    assert max(len(b.encode()) for b in (first, second, again)) <= BRIEF_LIMIT


@pytest.mark.parametrize("what", ["prose", "plan", "findings", "title", "steer", "order"])
def test_no_brief_passes_its_bound_and_the_rules_are_never_cut(
    what: str,
    place: Make,  # noqa: F811
) -> None:
    long = "ünending words " * 3_000
    ledger, files, order = LEDGER, dict(FILES), ORDER
    if what == "prose":
        ledger += "\n" + long
    elif what == "title":
        ledger = ledger.replace("off by one", long)
    elif what == "plan":
        files["plans/active/A-001/implementation.md"] = PLAN + f"- [ ] A.3 {long}\n" * 20
    elif what == "findings":
        row = "| BAG-{} | d | bag | {} | shop.py:1 | Active |\n"
        files["docs/findings.md"] = FINDINGS + "".join(
            row.format(100 + n, long[:300]) for n in range(200)
        )
    elif what == "order":
        order = ORDER.replace("Totals.", long)
    here = place(ledger, **files)
    if what == "steer":
        post(here.harness().repo.state_dir, payloads.Steered(text=long))
    boss = Stub(lambda turn, n: (turn.workspace / "input.md").write_text(order) and None)
    (brief,) = briefs(here, 1, supervisor=boss)
    for text in (brief, boss.turns[0].brief):
        assert len(text.encode()) <= BRIEF_LIMIT
    assert "How to report" in brief and "outcome.json" in brief and "## The order" in brief
    if what in ("prose", "order"):
        assert "[cut here; the whole is in `" in brief


def test_no_command_of_a_brief_is_cut_and_a_shell_takes_it() -> None:
    """However many tests a guard names, and however long everything else is, at once."""
    long = "ü" * 3_000
    names = [
        "title",
        "focus",
        "python",
        "guard",
        "prepare",
        "report",
        "order_path",
        "may",
        "may_not",
    ]
    pieces = {"order": Piece("", long * 4, 5_500, "`input.md`")}
    pieces |= dict.fromkeys(
        ["steers", "failures", "item", "plan", "findings", "retro"], Piece("x", long)
    )
    text = fill("worker.md", dict.fromkeys(names, long), pieces)
    assert len(text.encode()) <= BRIEF_LIMIT and "the whole is in `input.md`" in text

    named = guard_command("/p/python", "tests/a.py::test_total[a 'b' $c] tests/b.py -k 'x or y'")
    assert shlex.split(named.strip("`")) == [
        "/p/python", "-m", "pytest", "tests/a.py::test_total[a 'b' $c]", "tests/b.py",
        "-k", "x or y",
    ]  # fmt: skip
    assert guard_command("/p/python", "") == ""


def test_a_guard_of_many_tests_is_named_not_cut(place: Make) -> None:  # noqa: F811
    files = {f"tests/test_number_{n}.py": "def test_a():\n    assert False\n" for n in range(60)}
    many = LEDGER.replace("tests/test_shop.py::test_total", " ".join(files))
    (brief,) = briefs(place(many, **FILES, **files), 1)
    assert re.search(r"Run the guard: `\S+ -m pytest` on what `Guard:` of the item names\.", brief)


def test_a_cut_is_said_and_exact() -> None:
    assert cut("short", 100) == "short"
    text = cut("ü" * 1_000, 300, "`x.md`")
    assert len(text.encode()) <= 300 and text.endswith("[cut here; the whole is in `x.md`]")
    assert Piece("Head", "").within(5_000) == Piece("Head", "text").within(100) == ""


# -- the templates ------------------------------------------------------------------------------

TEMPLATES = sorted((Path(orchestration.turns.__path__[0]) / "templates").glob("*.md"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_a_template_is_short_and_names_only_commands_that_exist(path: Path) -> None:
    text = path.read_text()
    assert len(text.encode()) <= 3_000
    template(path.name)
    known = subprocess.run(
        [sys.executable, "-c", "from orchestration.cli import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in re.findall(r"orchestrate (\w+)", text):
        assert re.search(rf"│ {name} ", known), name
    for words in re.findall(r"`([^`]+)`", text):
        if words.split()[0] in ("git", "pytest", "make") or " -m " in words:
            assert words == "{{ python }} -m pytest {{ guard }}", words


def test_every_template_is_looked_at() -> None:
    assert [p.name for p in TEMPLATES] == ["reviewer.md", "supervisor.md", "worker.md"]
