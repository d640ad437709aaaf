"""Proof 2 through the command line: what must end by itself does, in a process of its own.

Real repositories, `orchestrate run --json` in a fresh process, and the playbook or an agent that is
a script: nothing here shares memory with the engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Make = Callable[..., Any]
RUN = [sys.executable, "-c", "from orchestration.cli import main; main()"]
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}
ITEM = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
LETTER = """### [ACK-001] The other side answers
- Status: waiting — On: the maintainer; Check: test -f ack.txt; Poll: 1s; Until: 2090-01-01
"""


def orchestrate(here: Any, *args: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [*RUN, *args, "--json"], cwd=here.root, capture_output=True, text=True, timeout=180
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def agent(here: Any, script: str) -> None:
    """Make `--agent custom` a Python script that lies outside of the repository."""
    path = here.root.parent / "agent.py"
    path.write_text(script)
    command = json.dumps([sys.executable, str(path)])
    here.write("orchestration.yaml", f"agent: custom\nagent_command: {command}\n")
    here.commit("settings")


def kinds(here: Any) -> list[str]:
    return [event.kind for event in here.harness().log.events]


def test_an_acknowledgement_that_never_comes_costs_no_turn_however_often_it_is_run(
    place: Make,
) -> None:
    here = place(LETTER, **VALUES)
    for _ in range(3):
        code, summary = orchestrate(here, "run")
        assert (code, summary["reason"]) == (6, "BLOCKED_ON_USER")
        assert (summary["cycles"], summary["waiting"]) == (0, ["ACK-001"])
    assert "dispatch" not in kinds(here)
    assert here.subjects() == ["start"]


def test_other_work_is_done_first_and_the_wait_is_then_the_reason(place: Make) -> None:
    recipe = "- Recipe:\n  - run: cp wanted.txt value.txt\n"
    here = place(LETTER + "\n" + ITEM + recipe, **VALUES)
    code, summary = orchestrate(here, "run", "--wait", "2s")
    assert (code, summary["reason"]) == (6, "BLOCKED_ON_USER")
    assert (summary["landed"], summary["waiting"]) == (["A-001"], ["ACK-001"])
    assert kinds(here).count("dispatch") == 1


def test_an_agent_that_only_waits_for_an_answer_gets_no_third_turn(place: Make) -> None:
    """The measured failure: a worker that polls for an acknowledgement, turn after turn."""
    here = place(ITEM, **VALUES)
    agent(here, "open('docs/ack_check.md', 'a').write('checked: nothing yet\\n')\n")
    code, summary = orchestrate(here, "run")
    assert (code, summary["reason"]) == (4, "STALLED")
    assert kinds(here).count("dispatch") <= 2
    assert here.git("diff", "--name-only", "main~1", "main").split() != []
    assert "docs/ack_check.md" not in here.git("ls-tree", "-r", "--name-only", "main")


def test_the_same_failure_is_left_and_says_so(place: Make) -> None:
    here = place(ITEM, **VALUES)
    agent(here, "import uuid\nopen('value.txt', 'w').write(uuid.uuid4().hex)\n")
    code, summary = orchestrate(here, "run")
    assert (code, summary["reason"], summary["rejected"]) == (4, "STALLED", ["A-001"] * 2)
    events = here.harness().log.events
    pivot = next(event for event in events if event.kind == "pivot")
    assert pivot.data["reason"].startswith("the same failure 2 times: criterion C1")


def test_diffs_that_alternate_are_stopped(place: Make) -> None:
    here = place(ITEM, **VALUES)
    script = (
        "import os, pathlib\nmark = pathlib.Path(__file__).with_name('count')\n"
        "n = len(mark.read_text()) if mark.exists() else 0\nmark.write_text('x' * (n + 1))\n"
        "open('value.txt', 'w').write('this way\\n' if n % 2 else 'that way\\n')\n"
    )
    agent(here, script)
    code, summary = orchestrate(here, "run")
    assert (code, summary["reason"]) == (4, "STALLED")
    assert kinds(here).count("dispatch") == 2


def test_an_identical_order_is_not_dispatched_again_by_the_next_run(place: Make) -> None:
    recipe = "- Recipe:\n  - run: cp wanted.txt copy.txt\n"
    here = place(ITEM + recipe, **VALUES)
    for _ in range(2):
        code, summary = orchestrate(here, "run")
        assert summary["reason"] in ("STALLED", "BLOCKED_ON_USER") and code in (4, 6)
    orders = [e.data["hash"] for e in here.harness().log.events if e.kind == "order"]
    assert len(orders) == len(set(orders)) == 1
    assert kinds(here).count("dispatch") == 1


def test_a_plan_that_is_complete_is_done_without_a_turn(place: Make) -> None:
    here = place(ITEM.replace("[ ]", "[x]"), **VALUES)
    agent(here, "raise SystemExit('must not be started')\n")
    for _ in range(2):
        code, summary = orchestrate(here, "run")
        assert (code, summary["reason"], summary["cycles"]) == (0, "DONE", 0)
    assert "dispatch" not in kinds(here)


def test_three_legitimate_cycles_of_the_same_kind_never_trip_a_rule(place: Make) -> None:
    rows = 3
    text = "".join(f"  - [ ] C{n} `test -f part{n}.txt` — part {n}\n" for n in range(1, rows + 1))
    here = place("### [A-001] Parts\n- Status: open\n- Exit:\n" + text, **VALUES)
    script = (
        "import pathlib\nhere = pathlib.Path('.')\n"
        "n = len(list(here.glob('part*.txt'))) + 1\n"
        "(here / f'part{n}.txt').write_text('the same text\\n')\n"
    )
    agent(here, script)
    code, summary = orchestrate(here, "run")
    assert (code, summary["reason"], summary["rejected"]) == (0, "DONE", [])
    assert set(summary["landed"]) == {"A-001"}
    assert kinds(here).count("dispatch") == rows
    assert not {"pivot", "block"} & set(kinds(here))
