"""The inbox: what a person says to a running harness; each message is taken exactly once.

A message is a small JSON file in `<state dir>/inbox/`, written atomically; the engine turns it
into an event that carries the file's name, and only then removes the file.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from orchestration.core import Event, State, payloads, replay, stamp
from orchestration.errors import HarnessError
from orchestration.log.store import EventLog

KINDS = {
    kind.KIND: kind
    for kind in (
        payloads.Steered,
        payloads.Paused,
        payloads.Resumed,
        payloads.Approved,
        payloads.Answered,
        payloads.Reopened,
    )
}


def post(state_dir: Path, said: payloads.Said, item: str | None = None) -> str:
    """Leave a message; returns its id."""
    folder = state_dir / "inbox"
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.iterdir()))
    name = f"{number:04d}-{uuid.uuid4().hex[:8]}"
    temporary = folder / f".{name}.tmp"
    message = {"kind": said.KIND, "item": item, "data": said.to_json()}
    temporary.write_text(json.dumps(message), encoding="utf-8")
    os.replace(temporary, folder / f"{name}.json")
    return name


def waiting(state_dir: Path) -> list[tuple[str, payloads.Said, str | None]]:
    """Messages not yet taken, oldest first: name, what is said, and about which item."""
    folder = state_dir / "inbox"
    if not folder.is_dir():
        return []
    return [(p.stem, *_read(p)) for p in sorted(folder.glob("*.json"))]


def _read(path: Path) -> tuple[payloads.Said, str | None]:
    """One message; raises HarnessError where a file is none."""
    try:
        message = json.loads(path.read_text("utf-8"))
        if message["kind"] in KINDS:
            data = {**message["data"], "id": path.stem}
            return KINDS[message["kind"]].from_json(data), message.get("item")
        got = message["kind"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        got = f"{type(error).__name__}: {error}"
    raise HarnessError(
        "a message in the inbox cannot be read",
        where=path,
        expected=f"a message of {', '.join(KINDS)}",
        got=got,
        fix=f"rm '{path}'",
    )


def foresee(state_dir: Path, log: EventLog) -> State:
    """The state as it will be when the waiting messages have been taken; nothing is changed."""
    state = replay(log.events)
    now = stamp(log.clock.now())
    for name, said, item in waiting(state_dir):
        if name not in state.consumed:
            data = said.to_json()
            event = Event(state.seq + 1, now, state.turn, "user", said.KIND, item, data)
            replay([event], state)
    return state


def take(state_dir: Path, log: EventLog) -> int:
    """Turn every waiting message into an event; returns how many were new."""
    count = 0
    for name, said, item in waiting(state_dir):
        if name not in log.state.consumed:
            log.append(said, role="user", item=item)
            count += 1
        (state_dir / "inbox" / f"{name}.json").unlink(missing_ok=True)
    return count
