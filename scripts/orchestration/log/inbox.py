"""The inbox: what a person says to a running harness; each message is taken exactly once.

A message is a small JSON file in `<state dir>/inbox/`, written atomically; the engine turns it
into an event that carries the file's name, and only then removes the file. A message is signed with
the key of the state folder (`voices`); one that is not, or cannot be read, is moved to `refused/`
and told: whoever wrote it had no part in the person's voice.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.core import Event, State, payloads, replay, stamp
from orchestration.log.store import EventLog
from orchestration.voices import known_voice, own_voice, spoken_by

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


MAX_BYTES = 1 << 20


def post(state_dir: Path, said: payloads.Said, item: str | None = None) -> str:
    """Leave a message; returns its id."""
    folder = state_dir / "inbox"
    folder.mkdir(parents=True, exist_ok=True)
    number = sum(path.is_file() for path in folder.iterdir())
    name = f"{number:04d}-{uuid.uuid4().hex[:8]}"
    temporary = folder / f".{name}.tmp"
    message = {"kind": said.KIND, "item": item, "data": said.to_json()}
    signature = own_voice(state_dir).sign("message", _signed(name, message))
    temporary.write_text(json.dumps({**message, "signature": signature}), encoding="utf-8")
    os.replace(temporary, folder / f"{name}.json")
    return name


def _signed(name: str, message: Mapping[str, Any]) -> bytes:
    """What is signed: the message with its name, so that no copy is taken as another one."""
    body = {"id": name, **{key: message[key] for key in ("kind", "item", "data")}}
    return json.dumps(body, sort_keys=True).encode()


def waiting(state_dir: Path) -> list[tuple[str, payloads.Said, str | None]]:
    """Messages not yet taken, oldest first: name, what is said, and about which item."""
    read = ((name, _read(state_dir, name)) for name in _names(state_dir))
    return [(name, *found) for name, found in read if not isinstance(found, str)]


def _names(state_dir: Path) -> list[str]:
    return sorted(path.stem for path in (state_dir / "inbox").glob("*.json"))


def _read(state_dir: Path, name: str) -> tuple[payloads.Said, str | None] | str:
    """One message, or why it is refused."""
    path = state_dir / "inbox" / f"{name}.json"
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_BYTES:
            return f"no regular file of at most {MAX_BYTES} bytes"
        message = json.loads(path.read_text("utf-8"))
        voice, signature = known_voice(state_dir), message.get("signature")
        if not isinstance(signature, str):
            return "it is not signed"
        signed = _signed(name, message)
        if voice is None or not spoken_by(voice.public, "message", signed, signature):
            return "its signature is not that of this repository's key"
        if message["kind"] not in KINDS:
            return f"its kind is {message['kind']}, expected one of {', '.join(KINDS)}"
        data = {**message["data"], "id": name}
        return KINDS[message["kind"]].from_json(data), message["item"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"it cannot be read ({type(error).__name__}: {error})"


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
    """Turn every waiting message into an event; returns how many were new.

    What is refused lies in `inbox/refused/` afterwards, and a warning names it.
    """
    count, folder = 0, state_dir / "inbox"
    for name in _names(state_dir):
        found = _read(state_dir, name)
        if isinstance(found, str):
            (folder / "refused").mkdir(exist_ok=True)
            os.replace(folder / f"{name}.json", folder / "refused" / f"{name}.json")
            text = (
                f"the message {name} in the inbox was refused: {found}; say it again if it was you"
            )
            log.append(payloads.Warned(text))
            continue
        if name not in log.state.consumed:
            log.append(found[0], role="user", item=found[1])
            count += 1
        (folder / f"{name}.json").unlink(missing_ok=True)
    return count
