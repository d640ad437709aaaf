"""Landing beside a person's work, the guard's red-first, receipts, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import TurnContext
from orchestration.cli.turn_text import details
from orchestration.core import payloads
from orchestration.core.events import CorruptLog
from orchestration.engine.loop import Engine
from orchestration.errors import HarnessError
from orchestration.harness import SystemClock
from orchestration.landing.receipts import Verification, trust_of, verify_branch
from orchestration.log.store import EventLog, recover
from orchestration.views import load, render_status

Make = Callable[..., Any]
ITEM = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}
GUARDED = """### [FIX-001] Addition subtracts
- Status: open
- Type: bugfix
- Guard: tests/test_add.py::test_add
- Exit:
  - [ ] C1 `pytest tests/test_add.py::test_add` — the sum is right
- Recipe:
  - apply: fix.patch
"""
PRODUCT = {
    "pkg/__init__.py": "def add(a, b):\n    return a - b\n",
    "tests/test_add.py": "from pkg import add\n\ndef test_add():\n    assert add(2, 3) == 5\n",
    "fix.patch": "--- a/pkg/__init__.py\n+++ b/pkg/__init__.py\n@@ -1,2 +1,2 @@\n"
    " def add(a, b):\n-    return a - b\n+    return a + b\n",
    ".gitignore": "__pycache__/\n",
}


def verified(here: Any) -> list[Verification]:
    harness = here.harness()
    return verify_branch(harness.repo, "main", trust_of(harness.log.events))


def fix(turn: TurnContext, n: int) -> None:
    (turn.workspace / "value.txt").write_text("right\n")


def test_a_guarded_fix_lands_as_one_commit_with_trailers_and_a_receipt(place: Make) -> None:
    here = place(GUARDED, **PRODUCT)
    summary = here.run()
    assert (summary.reason, summary.landed, summary.cycles) == ("DONE", ["FIX-001"], 1)
    assert len(here.subjects()) == 2
    assert here.subjects()[0] == "RALPH FIX-001: Addition subtracts (tests: 1 passed)"
    message = here.git("log", "-1", "--format=%B", "main")
    trailers = dict(line.split(": ", 1) for line in message.strip().split("\n\n")[-1].splitlines())
    assert set(trailers) == {"Turn-Id", "Role", "Order", "Guard", "Receipt", "Signature"}
    assert trailers["Guard"] == "tests/test_add.py::test_add (pass, fail on the base)"
    receipt = json.loads(here.read(trailers["Receipt"].split()[0]))
    assert receipt["guard"]["base"]["verdict"] == "fail"
    assert receipt["guard"]["attempt"]["nodes"] == {"tests/test_add.py::test_add": "passed"}
    assert receipt["agent"]["tokens"] is None and receipt["agent"]["cost"] is None
    assert receipt["base"] == here.git("rev-parse", "main^").strip()
    inventory = receipt["artifacts"]
    assert {entry["path"].rsplit("/", 1)[-1] for entry in inventory} == {
        "guard_base.log",
        "guard_attempt_1.log",
    }
    assert "return a + b" in here.read("pkg/__init__.py")
    assert here.read("input.md").startswith("# Order 0001")
    assert "ralph_last_commit" in here.read("galph_memory.md")
    assert here.git("status", "--porcelain") == ""
    assert [row.problems for row in verified(here)] == [()]


def test_a_criterion_may_name_tests_that_the_work_is_to_write(place: Make) -> None:
    new = "--- /dev/null\n+++ b/tests/test_new.py\n@@ -0,0 +1,4 @@\n"
    new += "+from pkg import add\n+\n+def test_new():\n+    assert add(0, 3) == 3\n"
    item = GUARDED.replace("tests/test_add.py::test_add` —", "tests/test_new.py` —")
    item += "    may edit tests: tests/test_new.py\n"
    here = place(item, **dict(PRODUCT, **{"fix.patch": PRODUCT["fix.patch"] + new}))
    summary = here.run()
    assert (summary.reason, summary.landed) == ("DONE", ["FIX-001"])


def test_that_an_item_needs_another_agent_is_said_once_and_stays_in_sight(place: Make) -> None:
    """The ledger never has that word, so a landing's commit neither lifts it nor hides it."""
    words = "### [ASK-001] Propose something\n- Status: open\n- Needs: agent\n- Priority: P3\n"
    here = place(f"{GUARDED}\n{words}- Exit:\n  - [ ] C1 `test -s proposal.md`\n", **PRODUCT)
    summary = here.run()
    assert (summary.reason, summary.landed) == ("BLOCKED_ON_USER", ["FIX-001"])
    events = here.harness().log.events
    assert [e.item for e in events if e.kind in ("block", "reopen")] == ["ASK-001"]
    assert words in here.read("docs/fix_plan.md")
    (stands,) = load(here.root).view.group("blocked")
    assert stands.id == "ASK-001" and "needs an agent" in stands.reason
    assert here.run().cycles == 0, "a second run of the same agent has nothing to do"


def test_a_guard_that_is_green_on_the_base_proves_nothing(place: Make) -> None:
    easy = dict(PRODUCT, **{"tests/test_add.py": "def test_add():\n    assert True\n"})
    here = place(GUARDED, **easy)
    summary = here.run(cycles=1)
    assert (summary.reason, summary.landed) == ("CHECKS_RED", [])
    verdict = next(e.data for e in here.harness().log.events if e.kind == "verdict")
    assert "pass on the base, and must fail there" in verdict["reason"]


def test_an_agent_that_edits_the_guard_is_turned_down(place: Make, stub: Any) -> None:
    here = place(GUARDED, **PRODUCT)

    def cheat(turn: TurnContext, n: int) -> str:
        (turn.workspace / "tests/test_add.py").write_text("def test_add():\n    pass\n")
        return "all tests pass"

    summary = here.run(stub(cheat), cycles=1)
    assert (summary.reason, summary.landed) == ("CHECKS_RED", [])
    verdict = next(e.data for e in here.harness().log.events if e.kind == "verdict")
    assert verdict["reason"].startswith("out of scope: tests/test_add.py")


def test_what_a_turned_down_attempt_left_is_found_by_what_note_show_and_status_say(
    place: Make, stub: Any, tmp_path: Path
) -> None:
    here = place(GUARDED, **PRODUCT)

    def cheat(turn: TurnContext, n: int) -> str:
        (turn.workspace / "tests/test_add.py").write_text("def test_add():\n    pass\n")
        return ""

    here.run(stub(cheat), cycles=1)
    events = here.harness().log.events
    judged = next(e.payload for e in events if isinstance(e.payload, payloads.Judged))
    told = re.search(r"- Work: git (diff (\S+) (\S+)) \(another", judged.notes[0].text)
    assert told is not None
    words, base, branch = told.groups()
    shown = next(details(e) for e in events if isinstance(e.payload, payloads.Dispatched))
    assert f"work: git {words} (another clone: git fetch REPOSITORY {branch})" in shown
    assert f"git show {branch}" in render_status(load(here.root).view)
    assert "+    pass" in here.git(*words.split())
    other = str(tmp_path / "other")
    here.git("clone", "-q", str(here.root), other)
    here.git("-C", other, "fetch", "-q", str(here.root), branch)
    assert "+    pass" in here.git("-C", other, "diff", base, "FETCH_HEAD")


def test_what_a_person_has_unsaved_stays_byte_for_byte(place: Make, stub: Any) -> None:
    here = place(ITEM, **VALUES, **{"notes.txt": "one\n"})
    here.write("notes.txt", "unsaved\n")
    here.write("new.txt", "untracked\n")
    here.write("staged.txt", "staged\n")
    here.git("add", "staged.txt")
    before = here.git("status", "--porcelain")
    summary = here.run(stub(fix))
    assert summary.landed == ["A-001"]
    assert here.git("status", "--porcelain") == before
    assert (here.root / "notes.txt").read_text() == "unsaved\n"
    assert (here.root / "value.txt").read_text() == "right\n"
    changed = here.git("diff", "--name-only", "main^", "main").split()
    assert not {"notes.txt", "new.txt", "staged.txt"} & set(changed)


def test_overlapping_work_makes_the_results_wait_and_then_arrive(place: Make, stub: Any) -> None:
    here = place(ITEM, **VALUES)
    here.write("value.txt", "my own idea\n")
    start = here.git("rev-parse", "main")
    agent = stub(fix)
    summary = here.run(agent)
    assert (summary.reason, summary.landed) == ("DONE", ["A-001"])
    assert here.git("rev-parse", "main") == start
    assert (here.root / "value.txt").read_text() == "my own idea\n"
    assert here.read("value.txt", "orchestration/results/main") == "right\n"
    assert here.run(agent).reason == "DONE"
    assert len(agent.turns) == 1
    here.git("checkout", "-q", "--", "value.txt")
    here.git("merge", "-q", "--ff-only", "orchestration/results/main")
    assert here.run(agent).reason == "DONE"
    assert "orchestration/results" not in here.git("branch", "--list", "orchestration/*")
    assert [row.problems for row in verified(here)] == [()]


def test_a_commit_made_while_the_agent_works_is_kept_and_the_attempt_made_again(
    place: Make, stub: Any
) -> None:
    here = place(ITEM, **VALUES)

    def slow(turn: TurnContext, n: int) -> None:
        fix(turn, n)
        if n == 1:
            here.write("mine.txt", "mine\n")
            here.commit("a person's commit")

    agent = stub(slow)
    summary = here.run(agent)
    assert (summary.reason, summary.landed, summary.rejected) == ("DONE", ["A-001"], [])
    assert len(agent.turns) == 2
    assert [s.split(":")[0] for s in here.subjects()] == [
        "RALPH A-001",
        "a person's commit",
        "start",
    ]
    assert here.harness().state.items["A-001"].dwell == 0


def test_a_person_may_switch_branch_and_make_refs_while_an_agent_works(
    place: Make, stub: Any
) -> None:
    here = place(ITEM, **VALUES)

    def work(turn: TurnContext, n: int) -> None:
        fix(turn, n)
        here.git("switch", "-q", "-c", "side")
        here.git("tag", "mark")

    summary = here.run(stub(work))
    assert (summary.reason, summary.landed) == ("DONE", ["A-001"])
    assert here.git("branch", "--show-current").strip() == "side"
    assert here.git("tag").strip() == "mark"
    assert here.read("value.txt", "main") == "right\n"
    assert (here.root / "value.txt").read_text() == "wrong\n"


def test_a_changed_receipt_or_product_file_does_not_verify(place: Make, stub: Any) -> None:
    here = place(ITEM, **VALUES)
    here.run(stub(fix))
    message = here.git("log", "-1", "--format=%B")
    receipt = message.split("Receipt: ")[1].split()[0]
    text = here.read(receipt)
    for name, new, word in (
        (receipt, text.replace('"attempt": 1', '"attempt": 2'), "SHA-256"),
        (receipt, "[1]\n", "no JSON object"),
        (receipt, "[" * 100_000, "no JSON object"),
        ("value.txt", "other\n", "value.txt differs"),
    ):
        here.git("reset", "-q", "--hard", "main")
        tip = here.git("rev-parse", "main").strip()
        here.write(name, new)
        here.git("add", "-A")
        here.git("commit", "-q", "--amend", "--no-edit")
        problems = verified(here)[0].problems
        assert any(word in line for line in problems), problems
        here.git("reset", "-q", "--hard", tip)


def test_only_one_run_at_a_time(place: Make, stub: Any) -> None:
    here = place(ITEM, **VALUES)
    said: list[str] = []

    def second(turn: TurnContext, n: int) -> None:
        with pytest.raises(HarnessError) as caught:
            here.run(stub(fix))
        said.append(caught.value.what)
        fix(turn, n)

    assert here.run(stub(second)).landed == ["A-001"]
    assert said == ["another run is at work in this repository"]


def test_a_corrupt_log_refuses_to_start_and_recovers(place: Make, stub: Any) -> None:
    here = place(ITEM, **VALUES)
    here.run(stub(fix))
    state = here.harness().repo.state_dir
    events = len(here.harness().log.events)
    path = sorted((state / "log").glob("*.jsonl"))[-1]
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace('"at":"20', '"at":"21', 1)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(CorruptLog) as caught:
        here.harness()
    assert str(caught.value.where) == f"{path}:3"
    assert "orchestrate log recover" in str(caught.value)
    kept, aside = recover(state, SystemClock())
    assert 0 < kept < events and any(aside.iterdir())
    with pytest.raises(CorruptLog) as forked:
        here.run(stub(fix))
    assert "published log is longer" in str(forked.value)


def test_a_torn_last_line_is_set_aside_and_a_reader_ignores_it(place: Make, stub: Any) -> None:
    here = place(ITEM, **VALUES)
    here.run(stub(fix))
    state = here.harness().repo.state_dir
    path = sorted((state / "log").glob("*.jsonl"))[-1]
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq":99,"at')
    assert EventLog(state, SystemClock()).state.run is not None
    assert path.read_bytes() != whole
    assert here.run(stub(fix)).reason == "DONE"
    assert EventLog(state, SystemClock()).events


def test_steering_pause_and_resume_reach_the_run_exactly_once(place: Make, stub: Any) -> None:
    from orchestration.log import inbox

    rows = "".join(f"  - [ ] C{n} `test -f part{n}.txt` — part {n}\n" for n in (1, 2))
    here = place("### [A-001] Two parts\n- Status: open\n- Exit:\n" + rows)
    state = here.harness().repo.state_dir

    def part(turn: TurnContext, n: int) -> None:
        if n == 1:
            inbox.post(state, payloads.Steered(text="use the short name"))
        (turn.workspace / f"part{n}.txt").write_text("x")

    agent = stub(part)
    inbox.post(state, payloads.Paused(reason="lunch"))
    first = here.run(agent)
    assert (first.reason, first.text, agent.turns) == ("BLOCKED_ON_USER", "lunch", [])
    inbox.post(state, payloads.Resumed())
    assert here.run(agent).reason == "DONE"
    assert ["use the short name" in turn.brief for turn in agent.turns] == [False, True]
    assert inbox.waiting(state) == []


def test_revert_takes_a_landing_back_and_reopens_the_item(place: Make) -> None:
    here = place(GUARDED, **PRODUCT)
    here.run()
    harness = here.harness()
    result = Engine(harness, lambda: "r").revert(2)
    assert result["item"] == "FIX-001"
    assert "return a - b" in here.read("pkg/__init__.py")
    assert "- [ ] C1" in here.read("docs/fix_plan.md")
    with pytest.raises(HarnessError):
        Engine(here.harness(), lambda: "r").revert(77)
    assert here.run().landed == ["FIX-001"]


def test_the_brief_is_bounded(place: Make, stub: Any) -> None:
    long = ITEM.replace("One thing", "One thing " + "very " * 5000)
    here = place(long, **VALUES)
    agent = stub(fix)
    here.run(agent)
    assert len(agent.turns[0].brief.encode()) <= 12_000


def test_a_guard_sees_the_attempt_and_not_the_installed_tree(place: Make) -> None:
    """The product starts as `python -c`, and must be the checkout's."""
    test = (
        "import subprocess, sys\n\ndef test_add():\n"
        "    code = 'from pkg import add; print(add(2, 3))'\n"
        "    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)\n"
        "    assert out.stdout.strip() == '5', out.stderr\n"
    )
    here = place(GUARDED, **dict(PRODUCT, **{"tests/test_add.py": test}))
    assert sys.executable
    assert here.run().landed == ["FIX-001"]


def test_a_guard_that_collects_nothing_is_blocked_before_any_turn(place: Make) -> None:
    here = place(GUARDED.replace("::test_add", "::test_sum"), **PRODUCT)
    summary = here.run()
    assert (summary.reason, summary.blocked) == ("BLOCKED_ON_USER", ["FIX-001"])
    assert not any(e.kind == "dispatch" for e in here.harness().log.events)
    assert "its guard collects nothing" in here.read("docs/fix_plan.md")
