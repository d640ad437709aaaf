"""Held attempts: a suspicion holds one back, an answer decides, and the run goes on with others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from orchestration.agents.base import TurnContext
from orchestration.core import replay
from orchestration.harness import ReviewAnswer, ReviewRequest

Make = Callable[..., Any]
CHECK = "import sys\nfrom calc import add\nsys.exit(add(2, 3) != 5)\n"
FIXED = "def add(a, b):\n    return a + b\n"
ODD = FIXED + "import inspect\nWHERE = inspect.stack\n"
FILES = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "checks/one.py": CHECK,
    "README.md": "calc\n",
}


def item(name: str) -> str:
    return (
        f"### [{name}] One thing\n- Status: open\n- Exit:\n"
        f"  - [ ] C1 `python checks/one.py` — {name} is right\n\n"
    )


OTHER = "### [B-001] Another\n- Status: open\n- Exit:\n  - [ ] C1 `test -f b.txt` — there\n\n"


def writes(files: dict[str, str]) -> Callable[[TurnContext, int], None]:
    def work(turn: TurnContext, n: int) -> None:
        chosen = {"b.txt": "b"} if "B-001" in turn.brief.splitlines()[0] + turn.brief else files
        if turn.item.id == "A-001":
            chosen = files
        for name, text in chosen.items():
            (turn.workspace / name).parent.mkdir(parents=True, exist_ok=True)
            (turn.workspace / name).write_text(text)

    return work


def orchestrate(root: Any, *words: str) -> subprocess.CompletedProcess[str]:
    code = "from orchestration.cli import main; main()"
    command = [sys.executable, "-c", code, *words, "-C", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def test_a_held_attempt_costs_nothing_and_the_run_goes_on(place: Make, stub: Any) -> None:
    here = place(item("A-001") + OTHER, **FILES)
    agent = stub(writes({"calc.py": ODD}))
    summary = here.run(agent)
    assert (summary.reason, summary.exit_code) == ("BLOCKED_ON_USER", 6)
    assert (summary.landed, summary.held, summary.rejected) == (["B-001"], ["A-001"], [])
    assert "held for review: A-001" in summary.text
    assert len(agent.turns) == 2
    state = here.harness().state
    known = state.items["A-001"]
    assert (known.rejected, known.dwell, known.last_verdict) == (0, 0, "held")
    [flag] = state.held["A-001"].unanswered
    assert (flag.rule, flag.path, flag.person) == ("P04", "calc.py", False)
    again = here.run(agent)  # nothing else to do: no turn is spent on it
    assert (again.reason, again.cycles, len(agent.turns)) == ("BLOCKED_ON_USER", 0, 2)
    assert replay(here.harness().log.events).held == state.held


def test_review_shows_the_diff_and_accepting_judges_again_on_the_tip(
    place: Make, stub: Any
) -> None:
    here = place(item("A-001"), **FILES)
    here.run(stub(writes({"calc.py": ODD})))
    here.write("README.md", "calc, by a person\n")
    here.commit("a person's own")
    turn = here.harness().state.held["A-001"].turn
    shown = orchestrate(here.root, "review", str(turn)).stdout
    assert "flag 1: calc.py:" in shown
    assert "+WHERE = inspect.stack" in shown
    listed = json.loads(orchestrate(here.root, "review", "--json").stdout)
    assert [one["item"] for one in listed["held"]] == ["A-001"]
    said = orchestrate(here.root, "review", str(turn), "--accept", "--reason", "wanted", "--json")
    assert json.loads(said.stdout.splitlines()[-1])["verdict"] == "land", said
    assert here.read("calc.py") == ODD
    assert here.read("README.md") == "calc, by a person\n"
    state = here.harness().state
    assert (state.held, state.items["A-001"].verified) == ({}, ["C1"])
    receipt = json.loads(here.read(state.landings[-1].receipt))
    assert receipt["review"]["reason"] == "wanted"
    assert "calc.py" in receipt["review"]["flags"][0]
    assert here.run("playbook").reason == "DONE"


def test_an_accepted_attempt_that_is_red_on_the_tip_does_not_land(place: Make, stub: Any) -> None:
    here = place(item("A-001"), **FILES)
    here.run(stub(writes({"calc.py": ODD})))
    here.write("checks/one.py", CHECK.replace("!= 5", "!= 6"))
    here.commit("the check asks for something else")
    turn = here.harness().state.held["A-001"].turn
    orchestrate(here.root, "review", str(turn), "--accept", "--reason", "fine")
    state = here.harness().state
    assert (state.held, state.items["A-001"].last_verdict) == ({}, "reject")
    assert "inspect" not in here.read("calc.py")


def test_an_accepted_attempt_that_does_not_merge_frees_its_item(place: Make, stub: Any) -> None:
    here = place(item("A-001"), **FILES)
    here.run(stub(writes({"calc.py": ODD})))
    here.write("calc.py", "def add(a, b):\n    return sum((a, -b))\n")
    here.commit("a person changes the same line")
    turn = here.harness().state.held["A-001"].turn
    orchestrate(here.root, "review", str(turn), "--accept", "--reason", "fine")
    state = here.harness().state
    assert (state.held, state.items["A-001"].last_verdict) == ({}, "stale")
    assert (state.items["A-001"].rejected, state.items["A-001"].dwell) == (0, 0)


def test_rejecting_is_an_attempt_that_failed(place: Make, stub: Any) -> None:
    here = place(item("A-001"), **FILES)
    here.run(stub(writes({"calc.py": ODD})))
    turn = here.harness().state.held["A-001"].turn
    said = orchestrate(here.root, "review", str(turn), "--reject", "--reason", "no frames please")
    assert "no frames please" in said.stdout
    known = here.harness().state.items["A-001"]
    assert (known.rejected, known.dwell, known.last_verdict) == (1, 1, "reject")
    agent = stub(writes({"calc.py": FIXED}))
    assert here.run(agent).landed == ["A-001"]
    assert "no frames please" in agent.turns[0].brief


@pytest.mark.parametrize(
    "words",
    [
        ("--accept",),
        ("3", "--accept"),
        ("3", "--accept", "--reject", "--reason", "x"),
        ("999", "--accept", "--reason", "x"),
        ("999",),
    ],
)
def test_an_answer_needs_a_turn_a_word_and_a_reason(place: Make, words: tuple[str, ...]) -> None:
    here = place(item("A-001"), **FILES)
    said = orchestrate(here.root, "review", *words)
    assert said.returncode == 2
    assert "Traceback" not in said.stderr


class Reviewer:
    """A scripted reviewer."""

    name = "script"

    def __init__(self, answer: ReviewAnswer | None) -> None:
        self.answer, self.requests = answer, list[ReviewRequest]()

    def review(self, request: ReviewRequest) -> ReviewAnswer | None:
        self.requests.append(request)
        return self.answer


def run_reviewed(here: Any, agent: Any, reviewer: Reviewer) -> Any:
    from orchestration.engine.loop import Engine

    harness = here.harness(agent)
    harness.reviewer = reviewer
    return Engine(harness, lambda: "run").run()


def test_a_reviewer_program_answers_through_the_same_door(place: Make, stub: Any) -> None:
    here = place(item("A-001"), **FILES)
    reviewer = Reviewer(ReviewAnswer(True, "asked for"))
    summary = run_reviewed(here, stub(writes({"calc.py": ODD})), reviewer)
    assert (summary.reason, summary.landed) == ("DONE", ["A-001"])
    [request] = reviewer.requests
    assert "+WHERE = inspect.stack" in request.diff
    answer = next(e for e in here.harness().log.events if e.kind == "answer")
    assert (answer.role, answer.data["by"]) == ("reviewer", "script")


def test_a_reviewer_that_turns_down(place: Make, stub: Any) -> None:
    here = place(item("A-001"), **FILES)
    reviewer = Reviewer(ReviewAnswer(False, "looks at frames"))
    agent = stub(lambda turn, n: writes({"calc.py": ODD if n == 1 else FIXED})(turn, n))
    assert run_reviewed(here, agent, reviewer).landed == ["A-001"]
    assert len(agent.turns) == 2


def test_what_runs_elsewhere_needs_a_person(place: Make, stub: Any) -> None:
    here = place(item("A-001"), **FILES)
    reviewer = Reviewer(ReviewAnswer(True, "fine with me"))
    agent = stub(writes({"calc.py": ODD, ".github/workflows/ci.yml": "on: push\n"}))
    summary = run_reviewed(here, agent, reviewer)
    assert (summary.reason, summary.held) == ("BLOCKED_ON_USER", ["A-001"])
    assert len(reviewer.requests) == 1
    held = here.harness().state.held["A-001"]
    assert [flag.path for flag in held.unanswered] == [".github/workflows/ci.yml"]
    orchestrate(here.root, "review", str(held.turn), "--accept", "--reason", "I read it")
    assert here.read(".github/workflows/ci.yml") == "on: push\n"


def test_a_path_that_a_person_approved_is_no_flag(place: Make, stub: Any) -> None:
    here = place(item("A-001"), **FILES)
    orchestrate(here.root, "approve", "A-001", ".github/**")
    agent = stub(writes({"calc.py": FIXED, ".github/workflows/ci.yml": "on: push\n"}))
    assert here.run(agent).landed == ["A-001"]


def test_a_guard_file_is_a_guard_file_wherever_it_lies(place: Make, stub: Any) -> None:
    ledger = "### [A-001] One thing\n- Status: open\n- Guard: `checks/calc_checks.py::test_add`\n"
    test = "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
    here = place(ledger, **{**FILES, "checks/calc_checks.py": test})
    vacuous = "def test_add():\n    pass\n"
    agent = stub(writes({"checks/calc_checks.py": vacuous, "calc.py": FIXED}))
    summary = here.run(agent, cycles=1)
    assert summary.landed == []
    assert "checks/calc_checks.py" in here.harness().state.items["A-001"].last_reason
