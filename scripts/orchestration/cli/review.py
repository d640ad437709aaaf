"""`orchestrate review`: a person looks at held attempts and answers their flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from orchestration.core import Held, payloads
from orchestration.documents.grammar import printable
from orchestration.engine import Engine
from orchestration.errors import HarnessError
from orchestration.harness import Harness, RandomIds, ReviewRequest
from orchestration.log import inbox
from orchestration.setup import open_harness
from orchestration.turns import held_at, request_for

REPO = typer.Option(Path("."), "--repo", "-C", help="The repository.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("review")(review)


def review(
    turn: int | None = typer.Argument(None, min=0, help="The turn; without it all are listed."),
    accept: bool = typer.Option(False, "--accept", help="Every flag is answered: judge it again."),
    reject: bool = typer.Option(False, "--reject", help="The attempt is turned down."),
    reason: str = typer.Option("", "--reason", help="Why; log and receipt keep it."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Held attempts: their diffs, flag by flag. An accepted one is judged again on the tip."""
    harness = open_harness(path, say=lambda text: None if json_output else print(printable(text)))
    answering = accept or reject
    if (turn is None and answering) or (accept and reject) or (answering and not reason.strip()):
        raise HarnessError(
            "an answer names a turn, one of --accept and --reject, and a reason",
            got=f"turn {turn}, accept {accept}, reject {reject}, reason {reason!r}",
            fix="orchestrate review TURN --accept --reason WORDS",
        )
    if turn is None:
        _list(harness, json_output)
        return
    held = held_at(harness, turn)
    if not answering:
        _show(request_for(harness, held, program=False), json_output)
        return
    said = payloads.Answered(turn=turn, accept=accept, reason=reason.strip())
    inbox.post(harness.repo.state_dir, said, held.item)
    _go_on(harness, held, json_output)


def _list(harness: Harness, json_output: bool) -> None:
    held = list(harness.state.held.values())
    if json_output:
        print(json.dumps({"held": [_row(one) for one in held]}))
        return
    if not held:
        print("no attempt waits for a review")
    for one in held:
        count = len(one.unanswered)
        state = "accepted" if one.accepted else f"{count} flag{'s' * (count != 1)}"
        print(f"turn {one.turn}  {one.item}  {state}")
        for flag in one.unanswered:
            print(f"  {_flag(flag)}")


def _row(held: Held) -> dict[str, Any]:
    flags = [flag.to_json() for flag in held.unanswered]
    return {"turn": held.turn, "item": held.item, "accepted": held.accepted, "flags": flags}


def _flag(flag: payloads.Flag) -> str:
    return printable(str(flag)) + (" (only a person may answer)" if flag.person else "")


def _show(request: ReviewRequest, json_output: bool) -> None:
    if json_output:
        flags = [flag.to_json() for flag in request.flags]
        print(json.dumps({**vars(request), "flags": flags}, ensure_ascii=True))
        return
    print(f"turn {request.turn} of {request.item}; guard: {printable(request.guard)}\n")
    shown = request.diff.split("\n")
    for number, flag in enumerate(request.flags, start=1):
        print(f"flag {number}: {_flag(flag)}")
    print()
    for line in shown:
        print(printable(line))
    print(f"orchestrate review {request.turn} --accept --reason WORDS   (or --reject)")


def _go_on(harness: Harness, held: Held, json_output: bool) -> None:
    """Take the answer at once where no run is at work, and say what came of it."""
    later = ""
    try:
        Engine(harness, RandomIds().run_id).after_review()
    except HarnessError as problem:
        if "another run" not in problem.what and "was killed" not in problem.what:
            raise
        later = problem.what
    state = harness.state.items.get(held.item)
    verdict = "" if later or state is None else state.last_verdict
    if json_output:
        print(json.dumps({"turn": held.turn, "item": held.item, "verdict": verdict or None}))
    elif later:
        print(f"noted, taken at the next boundary of a run ({later})")
    else:
        assert state is not None
        print(printable(f"{held.item}: {verdict}: {state.last_reason}"))
