"""`orchestrate status`, `why`, `show`, `tail`: what a person looks at; nothing is changed."""

from __future__ import annotations

import json
import textwrap
import time
from pathlib import Path
from typing import Any

import typer

from orchestration.cli.turn_text import details
from orchestration.core import Event
from orchestration.errors import HarnessError
from orchestration.git import Repo, short_ref
from orchestration.views import load, read_events, render_status

REPO = typer.Option(Path("."), "--repo", "-C", help="The repository.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("status")(status)
    app.command("why")(why)
    app.command("show")(show)
    app.command("tail")(tail)


def status(path: Path = REPO, json_output: bool = JSON) -> None:
    """What is going on, the last progress, what blocks, what to type next."""
    loaded = load(path)
    if json_output:
        _print_json(loaded.view.as_dict())
    else:
        print(render_status(loaded.view), end="")


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
    told = last if "evidence" in last.data else decision
    for event in [last] if decision in (None, last) else [last, decision]:
        print(_folded(_headline(event)))
    for row in told.data["evidence"]["items"] if told is not None else ():
        note = "runnable" if row["runnable"] else row["why_not"]
        print(_folded(f"  {row['id']}: {note} ({_numbers(row)})"))
    more = told.data["evidence"].get("not_shown", {}) if told is not None else {}
    rest = ", ".join(f"{count} {name}" for name, count in more.items() if count)
    if rest:
        print(f"  not shown: {rest}")


def _numbers(row: dict[str, Any]) -> str:
    """What the policy weighed about an item; older logs lack some of it."""
    words = [f"dwell {row['dwell']}", f"attempts {row['attempts']}"]
    if row["open_criteria"]:
        words.append(f"open {', '.join(row['open_criteria'])}")
    if row["runnable"] and "action_state" in row:
        words.append(f"state {row['action_state']}")
        if "planning" not in row["allowed_actions"]:
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
            print(more)


def tail(
    lines: int = typer.Option(20, "--lines", "-n", min=0, help="How many events to begin with."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Keep printing new events."),
    path: Path = REPO,
    json_output: bool = typer.Option(False, "--json", help="One JSON object a line."),
) -> None:
    """The last events of the log."""
    repo = Repo(path)
    events = read_events(repo)
    for event in events[len(events) - min(lines, len(events)) :]:
        print(event.line() if json_output else _headline(event))
    seen = len(events)
    while follow:
        time.sleep(0.5)
        events = read_events(repo)
        for event in events[seen:]:
            print(event.line() if json_output else _headline(event), flush=True)
        seen = len(events)


def _plain(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.line())
    return found


def _headline(event: Event) -> str:
    data, item = event.data, f" {event.item}" if event.item else ""
    words: dict[str, Any] = {
        "run_start": lambda: f"run with {data['agent']} on {data['target']}",
        "run_end": lambda: f"{data['reason']} ({data['code']}): {data['text']}",
        "decision": lambda: data["reason"],
        "order": lambda: (
            f"mode {data['mode']}"
            + (f", row {data['row']}" if data["row"] else "")
            + f", hash {data['hash'][:12]}"
        ),
        "agent_start": lambda: data["agent"],
        "dispatch": lambda: f"attempt {data['attempt']} on {data['base'][:12]}",
        "agent_exit": lambda: f"{data['outcome']} in {data['seconds']} s",
        "verdict": lambda: f"{data['verdict']}: {data['reason']}",
        "commit": lambda: (
            f"{data['purpose']} commit {data['commit'][:12]} on "
            f"{short_ref(str(data['ref']))} by {data['via']}"
            if data.get("commit")
            else "nothing to commit"
        ),
        "land": lambda: f"{data['commit'][:12]} {data['subject']}",
        "poll": lambda: data["how"],
        "turn_end": lambda: data["outcome"],
        "supervise": lambda: (
            f"{data['agent']} wrote "
            + ("a valid order" if data["valid"] else "no valid order: " + "; ".join(data["errors"]))
        ),
        "choice": lambda: f"in place of {data['from']}: {data['reason']}",
    }
    text = words.get(event.kind, lambda: data.get("reason") or data.get("text") or "")()
    first = str(text).strip().split("\n")[0]
    return f"{event.at} turn {event.turn} {event.kind}{item}" + (f": {first}" if first else "")


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, ensure_ascii=False, default=str))
