"""What `orchestrate show` prints below the headline of an event: all that a person may ask for."""

from __future__ import annotations

import textwrap
from typing import Any

from orchestration.core import Event
from orchestration.views import guard_words


def details(event: Event) -> str:
    """Return the indented lines of one event, "" where its headline says everything."""
    lines = TELLERS[event.kind](event.data) if event.kind in TELLERS else []
    lines += [f"note: {note['path']}" for note in event.data.get("notes", [])]
    return textwrap.indent("\n".join(line.rstrip() for line in lines), "    ")


def _order(data: dict[str, Any]) -> list[str]:
    return [f"written by: {data['source']}", *str(data["text"]).rstrip().split("\n")]


def _dispatch(data: dict[str, Any]) -> list[str]:
    steers = [f"told by a person: {steer['text']}" for steer in data.get("steers", [])]
    return [f"evidence: {data['report']}", *steers]


def _agent_exit(data: dict[str, Any]) -> list[str]:
    lines = [f"isolation: {data['isolation']}"] if data.get("isolation") else []
    if data.get("exit_code") or data.get("signal"):
        lines.append(f"exit code {data['exit_code']}, signal {data['signal']}")
    lines += [f"{name}: {data[name]}" for name in ("cost", "tokens") if data.get(name) is not None]
    for name in ("changed", "denials", "escaped", "refs_moved"):
        if data.get(name):
            lines.append(f"{name.replace('_', ' ')}: {', '.join(map(str, data[name]))}")
    said = str(data.get("text") or "").strip()
    return [*lines, "said:", *(f"  {line}" for line in said.split("\n"))] if said else lines


def _verdict(data: dict[str, Any]) -> list[str]:
    lines = []
    guard = data.get("guard") or {}
    for name in ("base", "attempt"):
        side = guard.get(name)
        if side:
            lines.append(f"guard on the {name}: {guard_words(side)} - {side.get('reason', '')}")
    for row in data.get("checks", []):
        passed = "passed" if row["passed"] else "failed"
        lines.append(f"check {row['name']}: {passed} ({row['how']}): {row['command']}")
    return lines


def _supervise(data: dict[str, Any]) -> list[str]:
    return [f"error: {line}" for line in data["errors"]]


TELLERS = {
    "order": _order,
    "dispatch": _dispatch,
    "agent_exit": _agent_exit,
    "verdict": _verdict,
    "supervise": _supervise,
}
