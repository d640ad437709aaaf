"""What `orchestrate show` prints below the headline of an event: all that a person may ask for."""

from __future__ import annotations

import textwrap

from orchestration.core import Event, payloads
from orchestration.turns import where_to_look
from orchestration.views import SIDES, side_words


def details(event: Event) -> str:
    """Return the indented lines of one event, "" where its headline says everything."""
    return textwrap.indent("\n".join(line.rstrip() for line in _lines(event)), "    ")


def _lines(event: Event) -> list[str]:
    said = event.payload
    if isinstance(said, payloads.Ordered):
        return [f"written by: {said.source}", *said.text.rstrip().split("\n")]
    if isinstance(said, payloads.Dispatched):
        return [
            f"evidence: {said.report}",
            f"work: {where_to_look(event.item or said.item, said.attempt, said.base)}",
            *(f"told by a person: {steer.text}" for steer in said.steers),
        ]
    if isinstance(said, payloads.AgentEnded):
        return _agent_ended(said)
    if isinstance(said, payloads.Judged):
        return [*_judged(said), *_notes(said.notes)]
    if isinstance(said, payloads.Blocked):
        return _notes(said.notes)
    if isinstance(said, payloads.Supervised):
        return [f"error: {line}" for line in said.errors]
    return []


def _notes(notes: tuple[payloads.Note, ...]) -> list[str]:
    return [f"note: {note.path}" for note in notes]


def _agent_ended(ended: payloads.AgentEnded) -> list[str]:
    lines = [f"isolation: {ended.isolation}"] if ended.isolation else []
    if ended.exit_code or ended.signal:
        lines.append(f"exit code {ended.exit_code}, signal {ended.signal}")
    costs = (("cost", ended.cost), ("tokens", ended.tokens))
    lines += [f"{name}: {value}" for name, value in costs if value is not None]
    for name in ("changed", "denials", "escaped", "refs_moved"):
        words = getattr(ended, name)
        if words:
            lines.append(f"{name.replace('_', ' ')}: {', '.join(words)}")
    said = ended.text.strip()
    return [*lines, "said:", *(f"  {line}" for line in said.split("\n"))] if said else lines


def _judged(judged: payloads.Judged) -> list[str]:
    lines = []
    for name in SIDES:
        side = judged.guard.get(name)
        if side:
            lines.append(f"guard on the {name}: {side_words(side)} - {side.reason}")
    for row in judged.checks:
        passed = "passed" if row.passed else "failed"
        lines.append(f"check {row.name}: {passed} ({row.how}): {row.command}")
    return [*lines, *(f"flag: {flag}" for flag in judged.flags)]
