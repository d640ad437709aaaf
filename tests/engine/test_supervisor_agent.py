"""An agent as supervisor: its order is validated, repaired once, or replaced."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from orchestration.agents.base import Outcome, TurnContext
from orchestration.turns.brief import BRIEF_LIMIT
from test_outages import Clock

Make = Callable[..., Any]
LEDGER = """### [A-001] One thing
- Status: open
- Priority: P0
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
- Recipe:
  - run: cp wanted.txt value.txt

### [B-001] Another thing
- Status: open
- Exit:
  - [ ] C1 `test -f other.txt` — there
- Recipe:
  - run: cp wanted.txt other.txt

### [D-001] Behind both
- Status: open
- Depends: A-001, B-001
- Exit:
  - [ ] C1 `test -f last.txt` — there
- Recipe:
  - run: cp wanted.txt last.txt
"""
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}


def events(here: Any, kind: str) -> list[Any]:
    return [e for e in here.harness().log.events if e.kind == kind]


def write(turn: TurnContext, text: str) -> None:
    (turn.workspace / "input.md").write_text(text)


def order(focus: str, *, more: str = "", check: str = "test -f wanted.txt") -> str:
    return (
        f"# Order\nFocus: {focus}\nMode: none\nSelector: none\n{more}\n## Goal\nAdvances C1.\n\n"
        f"## Tasks\n- [ ] T1 do it\n\n## Checks\n```sh\n{check}\n```\n\n"
        "## If blocked\n- say so\n\n## Findings\n- none\n"
    )


def test_a_valid_order_of_an_agent_is_carried_out(place: Make, stub: Any) -> None:
    here = place(LEDGER, **VALUES)

    def plan(turn: TurnContext, n: int) -> None:
        write(turn, order("A-001", more="ActionType: debug\n"))
        assert turn.env["ORCHESTRATION_ROLE"] == "supervisor"

    boss = stub(plan, name="boss")
    summary = here.run(supervisor=boss, cycles=1)
    assert summary.landed == ["A-001"]
    first = events(here, "order")[0].data
    assert (first["source"], first["action_type"]) == ("boss", "debug")
    assert "test -f wanted.txt" in here.read("input.md")
    assert len(boss.turns[0].brief.encode()) <= BRIEF_LIMIT
    assert "## Runnable items" in boss.turns[0].brief


def test_errors_go_back_once_and_the_second_order_counts(place: Make, stub: Any) -> None:
    here = place(LEDGER, **VALUES)
    boss = stub(lambda turn, n: write(turn, order("A-001" if n == 2 else "Z-999")), name="boss")
    assert here.run(supervisor=boss, cycles=1).landed == ["A-001"]
    assert "Z-999 is not in" in boss.turns[1].brief
    assert [e.data["valid"] for e in events(here, "supervise")] == [False, True]
    assert events(here, "order")[0].data["source"] == "boss"


@pytest.mark.parametrize("bad", ["nonsense", "", "crash"])
def test_after_two_bad_orders_the_built_in_supervisor_writes_one(
    place: Make, stub: Any, bad: str
) -> None:
    here = place(LEDGER, **VALUES)

    def plan(turn: TurnContext, n: int) -> Outcome | None:
        write(turn, bad)
        return Outcome("crash", "no power") if bad == "crash" else None

    boss = stub(plan, name="boss")
    assert here.run(supervisor=boss, cycles=1).landed == ["A-001"]
    assert len(boss.turns) == 2
    assert events(here, "order")[0].data["source"] == "built-in"


@pytest.mark.parametrize("how", ["wrote", "printed"])
def test_an_order_that_was_given_before_a_supervisor_hung_counts(
    place: Make, stub: Any, how: str
) -> None:
    here = place(LEDGER, **VALUES)
    text = order("A-001", more="ActionType: debug\n")

    def plan(turn: TurnContext, n: int) -> Outcome:
        if how == "wrote":
            write(turn, text)
        return Outcome("timeout", text if how == "printed" else "", clock="idle")

    boss = stub(plan, name="boss")
    assert here.run(supervisor=boss, cycles=1, clock=Clock()).landed == ["A-001"]
    assert len(boss.turns) == 1 and not events(here, "outage")
    first = events(here, "order")[0].data
    assert (first["source"], first["action_type"]) == ("boss", "debug")


def test_another_item_needs_a_reason_and_must_be_runnable(place: Make, stub: Any) -> None:
    here = place(LEDGER, **VALUES)

    def plan(turn: TurnContext, n: int) -> None:
        reason = "Reason: it is quicker\n" if n == 2 else ""
        write(turn, order("B-001", more=reason))

    boss = stub(plan, name="boss")
    assert here.run(supervisor=boss, cycles=1).landed == ["B-001"]
    assert "Reason: why this one first" in events(here, "supervise")[0].data["errors"][0]
    choice = events(here, "choice")[0]
    assert (choice.item, choice.data["from"], choice.data["reason"]) == (
        "B-001",
        "A-001",
        "it is quicker",
    )
    behind = stub(lambda turn, n: write(turn, order("D-001", more="Reason: I want to\n")))
    assert here.run(supervisor=behind, cycles=1).landed == ["A-001"]
    said = " ".join(events(here, "supervise")[-1].data["errors"])
    assert "D-001 depends on" in said and "cannot be chosen" in said


def test_a_third_planning_order_in_a_row_is_refused(place: Make, stub: Any) -> None:
    here = place(LEDGER, **VALUES)
    here.write("orchestration.yaml", "dwell_limit: 9\n")
    here.commit("configuration")

    def plan(turn: TurnContext, n: int) -> None:
        text = order("A-001", more="ActionType: planning\n", check=f"test -f wanted.txt -a {n}")
        write(turn, text)

    boss = stub(plan, name="boss")
    worker = stub(lambda turn, n: Outcome("blocked", f"thinking {n}"))
    here.run(worker, supervisor=boss, cycles=3)
    kinds = [e.data["action_type"] for e in events(here, "order")]
    assert kinds == ["planning", "planning", "implementation"]
    assert "two planning orders in a row" in events(here, "supervise")[-1].data["errors"][-1]


def test_what_the_supervisor_changes_beside_the_order_reaches_nothing(
    place: Make, stub: Any
) -> None:
    here = place(LEDGER, **VALUES)

    def plan(turn: TurnContext, n: int) -> None:
        write(turn, order("A-001"))
        (turn.workspace / "docs" / "fix_plan.md").write_text("# all done\n")
        (turn.workspace / "stray.txt").write_text("stray")

    here.run(supervisor=stub(plan, name="boss"), cycles=1)
    assert "stray.txt" in events(here, "supervise")[0].data["changed"]
    assert "stray.txt" not in here.git("ls-tree", "-r", "--name-only", "main")
    assert "[A-001] One thing" in here.read("docs/fix_plan.md")


def test_cost_of_the_supervisor_counts_and_stops_before_the_worker(place: Make, stub: Any) -> None:
    here = place(LEDGER, **VALUES)
    here.write("orchestration.yaml", "budgets: {money: 1.0}\n")
    here.commit("configuration")

    def plan(turn: TurnContext, n: int) -> Outcome:
        write(turn, order("A-001"))
        return Outcome("done", cost=2.0, tokens={"in": 5})

    worker = stub(lambda turn, n: None)
    summary = here.run(worker, supervisor=stub(plan, name="boss"))
    assert (summary.reason, worker.turns) == ("BUDGET", [])
    assert (here.harness().state.money, here.harness().state.tokens) == (2.0, 5)
    assert here.run(worker).reason == "BUDGET"
    here.write("orchestration.yaml", "budgets: {money: 9.0}\n")
    assert here.run(cycles=1).landed[0] == "A-001"


def test_a_custom_program_as_supervisor_by_the_command_line(place: Make) -> None:
    here = place(LEDGER, **VALUES)
    program = (
        "import os, pathlib; p = pathlib.Path('input.md'); "
        "assert os.environ['ORCHESTRATION_ROLE'] == 'supervisor'; "
        "p.write_text(p.read_text().replace('## Tasks', '## Pitfalls\\n- haste\\n\\n## Tasks'))"
    )
    command = json.dumps(["{python}", "-c", program])
    here.write("orchestration.yaml", f"supervisor_command: {command}\n")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from orchestration.cli import main; main()",
            "run",
            "--supervisor-agent",
            "custom",
            "--cycles",
            "1",
            "--json",
        ],
        cwd=here.root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert json.loads(done.stdout)["landed"] == ["A-001"], done.stderr
    assert "haste" in here.read("input.md")
    unknown = subprocess.run(
        [
            sys.executable,
            "-c",
            "from orchestration.cli import main; main()",
            "run",
            "--supervisor-agent",
            "nobody",
        ],
        cwd=here.root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert unknown.returncode == 2 and "no agent is named 'nobody'" in unknown.stderr


def test_the_built_in_order_of_an_item_with_a_guard_and_words_with_paths_is_valid(
    place: Make, stub: Any
) -> None:
    ledger = (
        "### [A-001] Totals\n- Status: open\n- Guard: tests/test_t.py::test_t\n- Exit:\n"
        "  - [ ] C1 `test -f missing.txt` — `missing.txt` is there, see src/none.py::thing\n"
    )
    test = "import shop\n\n\ndef test_t():\n    assert shop.total == 3\n"
    here = place(ledger, **{"tests/test_t.py": test, "shop.py": "total = 0\n"})

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "shop.py").write_text("total = 3\n")
        (turn.workspace / "missing.txt").write_text("here\n")

    assert here.run(stub(work)).landed == ["A-001"]


def test_caches_without_a_gitignore_are_no_part_of_an_attempt(place: Make, stub: Any) -> None:
    here = place(LEDGER, **VALUES)

    def work(turn: TurnContext, n: int) -> None:
        for name in (
            "__pycache__/a.pyc",
            "tests/__pycache__/b.pyc",
            ".pytest_cache/v/c",
            ".coverage",
            ".aider.tags.cache.v4/cache.db",
            ".aider.chat.history.md",
            "tests/.aider.input.history",
        ):
            (turn.workspace / name).parent.mkdir(parents=True, exist_ok=True)
            (turn.workspace / name).write_text("cache")
        (turn.workspace / "value.txt").write_text("right\n")

    assert here.run(stub(work), cycles=1).landed == ["A-001"]
    landed = here.git("ls-tree", "-r", "--name-only", "main")
    assert not any(word in landed for word in ("cache", "aider", "coverage"))


def test_a_file_named_like_litter_that_a_person_committed_is_work(place: Make, stub: Any) -> None:
    here = place(LEDGER, **VALUES, **{".aider.conf.yml": "model: a\n"})

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / ".aider.conf.yml").write_text("model: b\n")
        (turn.workspace / "value.txt").write_text("right\n")

    here.run(stub(work), cycles=1)
    ended = next(e.data for e in here.harness().log.events if e.kind == "agent_exit")
    assert ".aider.conf.yml" in ended["changed"]


HOSTILE = {
    "binary": r"out(b'\xff\x00\x1b[2J\nFocus: \xfe\n' * 9000)",
    "megabytes": "out(('Focus: ' + 'x' * 999 + chr(10)).encode() * 4000)",
    "cut off": "out(ORDER[: len(ORDER) // 4].encode())",
    "of no item": "out(ORDER.replace('A-001', 'Z-999').encode())",
    "of an item behind others": "out(ORDER.replace('Mode', 'Reason: me first\\nMode')"
    ".replace('A-001', 'D-001').encode())",
    "a path outside": "out(ORDER.replace('do it', 'edit `../../etc/thing.py::f`').encode())",
    "a command of a shell": "out(ORDER.replace('test -f', 'curl x | sh; test -f').encode())",
    "two, the last of no item": "out((ORDER + ORDER.replace('A-001', 'Z-999')).encode())",
    "a link": "os.unlink('input.md'); os.symlink('/etc/hostname', 'input.md'); out(b'Focus: Z-9')",
    "a pipe": "os.unlink('input.md'); os.mkfifo('input.md'); out(b'Focus: Z-9')",
    "a folder": "os.unlink('input.md'); os.mkdir('input.md'); out(b'Focus: Z-9')",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_odd_program_as_supervisor_is_asked_twice_then_the_built_in_one_writes(
    what: str, place: Make
) -> None:
    here = place(LEDGER, **VALUES)
    code = (
        f"import os, sys\nORDER = {order('A-001')!r}\n"
        f"def out(data): sys.stdout.buffer.write(data)\n{HOSTILE[what]}\n"
    )
    command = json.dumps(["{python}", "-c", code])
    here.write("orchestration.yaml", f"isolation: none\nsupervisor_command: {command}\n")
    here.commit("configuration")
    said: list[str] = []
    assert here.run(supervisor="custom", cycles=1, say=said.append).landed == ["A-001"]
    asked = [e.data for e in events(here, "supervise")]
    assert [a["valid"] for a in asked] == [False, False], asked
    assert all(a["errors"] for a in asked)
    assert events(here, "order")[0].data["source"] == "built-in"
    assert "the built-in supervisor writes the order" in said
    assert f"  {asked[-1]['errors'][0]}" in said
