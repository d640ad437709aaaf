"""`orchestrate status`, `why`, `show`, `tail`: what a person looks at; nothing is changed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import typer

from orchestration.core.events import Event
from orchestration.errors import HarnessError
from orchestration.gitio import Repo
from orchestration.views.load import load, read_events
from orchestration.views.terminal import render_status

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
    print(_headline(last))
    if decision is not None:
        if decision is not last:
            print(_headline(decision))
        for row in decision.data["evidence"]["items"]:
            note = "runnable" if row["runnable"] else row["why_not"]
            print(f"  {row['id']}: {note} (dwell {row['dwell']}, attempts {row['attempts']})")
        more = decision.data["evidence"].get("not_shown", {})
        if any(more.values()):
            print("  not shown: " + ", ".join(f"{count} {name}" for name, count in more.items()))


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
        print(_headline(event))
        if event.kind == "order":
            print("    " + event.data["text"].rstrip().replace("\n", "\n    "))


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
        "order": lambda: f"{data['mode']} row {data['row']}, order {data['hash'][:12]}",
        "dispatch": lambda: f"attempt {data['attempt']} on {data['base'][:12]}",
        "agent_exit": lambda: f"{data['outcome']} in {data['seconds']} s",
        "verdict": lambda: f"{data['verdict']}: {data['reason']}",
        "commit": lambda: f"{data['purpose']} {str(data['commit'])[:12]} {data.get('via', '')}",
        "land": lambda: f"{data['commit'][:12]} {data['subject']}",
        "poll": lambda: data["how"],
        "turn_end": lambda: data["outcome"],
    }
    text = words.get(event.kind, lambda: data.get("reason") or data.get("text") or "")()
    first = str(text).strip().split("\n")[0]
    return f"{event.at} turn {event.turn} {event.kind}{item}: {first}"


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, ensure_ascii=False, default=str))
