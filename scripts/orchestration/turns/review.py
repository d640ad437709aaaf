"""Held attempts: what a reviewer is shown, what a program may answer, and judging again.

An attempt with unanswered flags is held. A reviewer (a program, or a person by `orchestrate
review`) accepts the flags or turns the attempt down; accepted, it is laid on the present tip and
judged again from the beginning, and only that verdict lands it.
"""

from __future__ import annotations

import shutil

from orchestration.core import Held, payloads
from orchestration.errors import HarnessError
from orchestration.gates import artifacts
from orchestration.harness import Harness, ReviewRequest
from orchestration.turns.work import LEFT, turn_dir


def held_at(harness: Harness, turn: int) -> Held:
    """The attempt of a turn that waits for a review; HarnessError where there is none."""
    found = next((one for one in harness.state.held.values() if one.turn == turn), None)
    if found is None:
        waiting = ", ".join(str(one.turn) for one in harness.state.held.values())
        raise HarnessError(
            "no attempt of that turn waits for a review",
            got=turn,
            expected=waiting or "none waits",
            fix="orchestrate review",
        )
    return found


def request_for(harness: Harness, held: Held, *, program: bool) -> ReviewRequest:
    """What a reviewer sees; a `program` is not asked about flags that need a person."""
    ended = payloads.AgentEnded.from_json(held.facts[payloads.AgentEnded.KIND])
    dispatch = payloads.Dispatched.from_json(held.facts[payloads.Dispatched.KIND])
    judged = payloads.Judged.from_json(held.facts[payloads.Judged.KIND])
    order = payloads.Ordered.from_json(held.facts[payloads.Ordered.KIND])
    sides = (f"{name} {side.verdict} ({side.tests})" for name, side in judged.guard.items())
    return ReviewRequest(
        turn=held.turn,
        item=held.item,
        order=order.text,
        diff=harness.repo.diff_text(dispatch.base, ended.snapshot),
        flags=[flag for flag in held.unanswered if not (program and flag.person)],
        guard=", ".join(sides) or "none ran",
    )


def ask_reviewer(harness: Harness, asked: set[int]) -> None:
    """Let the reviewer program answer what it may, once for each held attempt."""
    if harness.reviewer is None:
        return
    for held in list(harness.state.held.values()):
        request = request_for(harness, held, program=True)
        if held.turn in asked or held.accepted or not request.flags:
            continue
        asked.add(held.turn)
        name = harness.reviewer.name
        harness.say(f"{name} reviews turn {held.turn} ({len(request.flags)} flags)")
        answer = harness.reviewer.review(request)
        if answer is None:
            harness.say(f"{name} has no answer: a person must look")
            continue
        word = "accepted" if answer.accept else "turned down"
        harness.say(f"{name}: {word}: {answer.reason}")
        said = payloads.Answered(
            turn=held.turn, accept=answer.accept, reason=answer.reason, by=name
        )
        harness.log.append(said, role="reviewer", item=held.item)


def lay_on_tip(harness: Harness, held: Held, turn: int) -> payloads.JudgedAgain:
    """The accepted attempt on the present tip, with its evidence in the folder of a new turn."""
    repo = harness.repo
    dispatch = payloads.Dispatched.from_json(held.facts[payloads.Dispatched.KIND])
    ended = payloads.AgentEnded.from_json(held.facts[payloads.AgentEnded.KIND])
    tip = harness.tip().sha
    commit, conflict = ended.snapshot, list[str]()
    if tip != dispatch.base:
        tree, conflict = repo.merged(tip, ended.snapshot)
        if not conflict:
            commit = repo.commit_tree(tree, [tip], f"attempt of turn {held.turn}, accepted")
    _keep_evidence(harness, held.turn, turn)
    return payloads.JudgedAgain(
        held=held.turn,
        base=dispatch.base if conflict else tip,
        commit=commit,
        tree=repo.tree_of(commit),
        changed=tuple(repo.diff_names(dispatch.base if conflict else tip, commit)),
        flags=tuple(held.answered),
        reason=held.accepted,
        conflict=tuple(conflict),
    )


def _keep_evidence(harness: Harness, old: int, new: int) -> None:
    """Copy what the agent left as evidence; a folder that is there is a killed run's."""
    source, goal = turn_dir(harness, old), turn_dir(harness, new)
    if goal.exists():
        shutil.rmtree(goal)
    for part in artifacts.FOLDERS:
        (goal / "report" / part).mkdir(parents=True)
    (goal / "logs").mkdir()
    if (source / "report").is_dir():
        shutil.copytree(source / "report", goal / "report", dirs_exist_ok=True)
    if (source / LEFT).is_file():
        shutil.copyfile(source / LEFT, goal / LEFT)
