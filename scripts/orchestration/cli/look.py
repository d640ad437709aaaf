"""`orchestrate status`, `why`, `show`, `tail`: what a person looks at; nothing is changed."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import typer

from orchestration.cli.turn_text import details
from orchestration.core import Event, Standing, payloads
from orchestration.documents.grammar import printable, printable_lines
from orchestration.errors import HarnessError
from orchestration.git import Repo, short_ref
from orchestration.log import Stage, read_stages
from orchestration.views import ROWS, WIDTH, load, read_events, render_status

REPO = typer.Option(Path("."), "--repo", "-C", help="The repository.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")
WIDEST = 120
"""Columns that a line of `status` may take in a wide terminal."""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("status")(status)
    app.command("why")(why)
    app.command("show")(show)
    app.command("tail")(tail)


def status(
    everything: bool = typer.Option(False, "--all", help="All there is, however long."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """One screen: live or dead, what it is at, last progress, what blocks, what to type next."""
    loaded = load(path)
    if json_output:
        _print_json(loaded.view.as_dict())
        return
    screen = shutil.get_terminal_size((WIDTH, ROWS + 1))
    rows = None if everything else screen.lines - 1
    text = render_status(loaded.view, width=min(screen.columns, WIDEST), rows=rows)
    print(_in_columns(text, sys.stdout.encoding or "ascii"), end="")


def _in_columns(text: str, encoding: str) -> str:
    """The text with a sign of one column for each that the terminal cannot write."""
    known = text.replace("…", "~") if "…".encode(encoding, "ignore") == b"" else text
    return known.encode(encoding, "replace").decode(encoding)


def why(path: Path = REPO, json_output: bool = JSON) -> None:
    """The last decision and its evidence: each item, and why it may or may not run."""
    events = read_events(Repo(path))
    kinds = ("decision", "block", "close", "pivot", "run_end")
    last = next((event for event in reversed(events) if event.kind in kinds), None)
    decision = next((event for event in reversed(events) if event.kind == "decision"), None)
    if last is None:
        raise HarnessError("nothing was decided yet", fix="orchestrate run --dry-run")
    if json_output:
        _print_json({"last": _plain(last), "decision": _plain(decision) if decision else None})
        return
    said = [event.payload for event in (last, decision) if event is not None]
    weighed = [getattr(one, "evidence", None) for one in said]
    told = next((one for one in weighed if one is not None), payloads.Weighed())
    for event in [last] if decision in (None, last) else [last, decision]:
        print(_folded(_headline(event)))
    for row in told.items:
        note = "runnable" if row.runnable else row.why_not
        print(_folded(f"  {row.id}: {note} ({_numbers(row)})"))
    rest = ", ".join(f"{count} {name}" for name, count in told.not_shown.items() if count)
    if rest:
        print(f"  not shown: {rest}")


def _numbers(row: Standing) -> str:
    """What the policy weighed about an item; older logs lack some of it."""
    words = [f"dwell {row.dwell}", f"attempts {row.attempts}"]
    if row.open_criteria:
        words.append(f"open {', '.join(row.open_criteria)}")
    if row.runnable and row.action_state:
        words.append(f"state {row.action_state}")
        if "planning" not in row.allowed_actions:
            words.append("no more planning")
    return ", ".join(words)


def _folded(text: str, width: int = 80) -> str:
    """A long line folded for a terminal, what belongs to it indented."""
    first = len(text) - len(text.lstrip())
    return "\n".join(
        textwrap.wrap(
            text.strip(),
            width,
            initial_indent=" " * first,
            subsequent_indent=" " * (first + 4),
            break_on_hyphens=False,
            break_long_words=False,
        )
    )


def show(
    turn: int = typer.Argument(..., min=0, help="The turn's number."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """All that happened in a turn: order, agent, checks, verdict, landing."""
    events = [event for event in read_events(Repo(path)) if event.turn == turn]
    if not events:
        raise HarnessError("there is no such turn", got=turn, fix="orchestrate status")
    if json_output:
        _print_json({"turn": turn, "events": [_plain(event) for event in events]})
        return
    for event in events:
        print(_folded(_headline(event)))
        more = details(event)
        if more:
            print(printable_lines(more))


def tail(
    lines: int = typer.Option(20, "--lines", "-n", min=0, help="How many events to begin with."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Keep printing new events."),
    path: Path = REPO,
    json_output: bool = typer.Option(False, "--json", help="One JSON object a line."),
) -> None:
    """The last events of the log; with `-f` every stage between them too, as they come."""
    repo = Repo(path)
    events = read_events(repo)
    for event in events[len(events) - min(lines, len(events)) :]:
        print(event.line() if json_output else printable(_headline(event)))
    seen = len(events)
    stages, offset = read_stages(repo.state_dir)  # what was said before is in the events
    while follow:
        time.sleep(0.5)
        stages, offset = read_stages(repo.state_dir, offset)
        events = read_events(repo)
        told: list[Event | Stage] = [stage for stage in stages if stage.kind != "over"]
        for one in sorted([*told, *events[seen:]], key=lambda one: one.at):  # stages first
            print(_followed(one, json_output), flush=True)
        seen = len(events)


def _followed(one: Event | Stage, json_output: bool) -> str:
    """A line of `tail -f`: an event, or a stage between events (`begins: …`, or what was said)."""
    if isinstance(one, Event):
        return one.line() if json_output else printable(_headline(one))
    if json_output:
        return json.dumps({"kind": "stage", "stage": vars(one)}, ensure_ascii=False)
    begins = "begins: " if one.kind == "begun" else ""
    return printable(f"{one.at} turn {one.turn} - {begins}{one.what}")


def _plain(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.line())
    return found


def _headline(event: Event) -> str:
    item = f" {event.item}" if event.item else ""
    first = _words(event.payload).strip().split("\n")[0]
    line = f"{event.at} turn {event.turn} {event.kind}{item}" + (f": {first}" if first else "")
    return printable(line)  # an agent's words are in it


def _words(said: payloads.Payload) -> str:
    """What an event says in one line."""
    match said:
        case payloads.RunStarted():
            return f"run with {said.agent} on {said.target}"
        case payloads.RunEnded():
            return f"{said.reason} ({said.code}): {said.text}"
        case payloads.Ordered():
            row = f", row {said.row}" if said.row else ""
            return f"mode {said.mode}{row}, hash {said.hash[:12]}"
        case payloads.AgentStarted():
            return said.agent
        case payloads.Dispatched():
            return f"attempt {said.attempt} on {said.base[:12]}"
        case payloads.Outage():
            return f"{said.agent}: {said.outage}: {said.text}"
        case payloads.AgentEnded():
            return f"{said.outcome} in {said.seconds} s"
        case payloads.Judged():
            return f"{said.verdict}: {said.reason}"
        case payloads.Answered():
            word = "accepted" if said.accept else "turned down"
            return f"turn {said.turn} {word} by {said.by or 'a person'}: {said.reason}"
        case payloads.JudgedAgain():
            return f"the accepted attempt of turn {said.held} on {said.base[:12]}"
        case payloads.Committed(commit=None):
            return "nothing to commit"
        case payloads.Committed(commit=str(sha)):
            return f"{said.purpose} commit {sha[:12]} on {short_ref(said.ref)} by {said.via}"
        case payloads.Announced():
            return f"{said.commit[:12]} {said.subject}"
        case payloads.Polled():
            return said.how
        case payloads.TurnEnded():
            return said.outcome
        case payloads.Supervised(valid=True):
            return f"{said.agent} wrote a valid order"
        case payloads.Supervised():
            return f"{said.agent} wrote no valid order: {'; '.join(said.errors)}"
        case payloads.Chosen():
            return f"in place of {said.former}: {said.reason}"
        case payloads.Imported(claim=claim):
            return str(claim.get("reason") or claim.get("text") or "")
    return str(getattr(said, "reason", "") or getattr(said, "text", ""))


def _print_json(content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, default=str)
    print(text.translate({n: f"\\u{n:04x}" for n in range(0x7F, 0xA0)}))  # a terminal obeys these
