"""What goes on right now: live or dead, in which phase and since when, and its last words.

The log says how far a run has come, the run lock whether its process is still there, the activity
file what it is at. Nothing here is a record: a clone has the log alone and shows no more than that.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestration.core import State, parse_stamp
from orchestration.gates import secrets
from orchestration.log import Holder, Stage, at_work, going_on, has_died, last_stages

TAIL_BYTES = 64 << 10
WORDS = 200
PHASE_WORDS = {
    "": "choosing what to work on",
    "decided": "writing an order",
    "ordered": "preparing the attempt",
    "dispatched": "preparing the attempt",
    "agent": "the agent works",
    "exited": "verifying the attempt",
    "verified": "landing or keeping the attempt",
    "landing": "landing the attempt",
    "landed": "ending the turn",
}
_OUTCOME = re.compile(r"^(\S+::.*?) (?:PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
_CANARY = re.compile(r"(?:^|/)test_[0-9a-f]{12}\.py::")


@dataclass(frozen=True)
class Now:
    """`state` is none, live, dead, elsewhere (on another machine) or ended.

    `what` is the phase or the piece of work, `seconds` how long it has gone on, `said` the last
    line of its output, `said_s` how old that is. A guard runs `tests` tests, of which
    `done` are over.
    """

    state: str = "none"
    pid: int | None = None
    item: str = ""
    turn: int = 0
    what: str = ""
    since: str = ""
    seconds: float | None = None
    said: str = ""
    said_s: float | None = None
    done: int = 0
    tests: int = 0

    @property
    def advice(self) -> str:
        """What to type where the run is dead, else ""."""
        dead = self.state == "dead"
        return "the next run goes on where it was: orchestrate run" if dead else ""


def now_of(state: State, state_dir: Path, now: datetime, known: Sequence[str] = ()) -> Now:
    """How the run stands at `now`; `known` are secret values that no view shows."""
    holder, stages = at_work(state_dir), last_stages(state_dir)
    how = standing_of(state, holder, died=has_died(state_dir))
    if how in ("none", "ended"):
        return Now(how)
    stage = going_on(stages) if how == "live" else None
    opened = state.open
    item, turn = (opened.item if opened else ""), state.turn
    pid = holder.pid if holder else None
    if stage is None:
        phase = PHASE_WORDS[opened.phase if opened else ""]
        spoken = [one for one in stages if one.kind == "said"][-1:]
        said = spoken[0].what if spoken else ""
        age = _since(spoken[0].at, now) if spoken else None
        return Now(how, pid, item, turn, phase, state.at, _since(state.at, now), said, age)
    words, age, done = _heard(stage, state_dir, now)
    said = secrets.redact(words, known)
    seconds = _since(stage.at, now)
    what = "" if stage.what.startswith("held-out") else said
    return Now(how, pid, item, turn, stage.what, stage.at, seconds, what, age, done, stage.tests)


def standing_of(state: State, holder: Holder | None, *, died: bool) -> str:
    """What log and run lock say of the run; `died`: a run of this machine left the lock.

    A log that was imported or fetched tells of a run elsewhere, of which nothing is known here.
    """
    if state.run is None:
        return "none"
    if state.run.ended is not None:
        return "ended"
    return "live" if holder else "dead" if died else "elsewhere"


def _since(at: str, now: datetime) -> float | None:
    try:
        return max(0.0, (now - parse_stamp(at)).total_seconds())
    except ValueError:
        return None


def _heard(stage: Stage, state_dir: Path, now: datetime) -> tuple[str, float | None, int]:
    """The last line of a piece of work, its age, and how many tests are over."""
    if not stage.log:
        return "", None, 0
    place = state_dir / stage.log
    newest = max(_files(place, state_dir), key=lambda one: one[0], default=None)
    if newest is None:
        return "", None, 0
    written, path = newest
    lines = _tail(path)
    said = next((words for line in reversed(lines) if (words := words_of(line))), "")
    age = max(0.0, now.timestamp() - written)
    if not stage.tests:
        return said, age, 0
    over = {m[1] for line in lines if (m := _OUTCOME.match(line)) and not _CANARY.search(m[1])}
    running = next((line for line in reversed(lines) if "::" in line), "")
    test = "" if _CANARY.search(running) else running.split(" ")[0]
    return test, age, min(len(over), stage.tests)


def _files(place: Path, state_dir: Path) -> Iterator[tuple[float, Path]]:
    """Logs at a place with their times; an agent may lay a link there, which is not followed."""
    top = os.path.realpath(state_dir)
    found = [place] if place.suffix == ".log" else [*place.glob("logs/*.log")]
    found += [] if place.suffix == ".log" else place.glob("report/cli/recipe-*.log")
    for path in found:
        try:
            inside = os.path.realpath(path) == os.path.join(top, path.relative_to(state_dir))
            if inside and path.is_file():
                yield path.stat().st_mtime, path
        except (OSError, ValueError):
            continue


def _tail(path: Path) -> list[str]:
    """The last lines of a file, the one that is being written included."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def words_of(line: str) -> str:
    """What a line of a program's output says to a person; "" for a line of bookkeeping."""
    text = line.strip()
    if text[:1] == "{":
        with contextlib.suppress(ValueError, RecursionError):
            text = _said(json.loads(text))
    return " ".join(text.split())[:WORDS]


_SAYING = ("text", "message", "result", "command", "description", "file_path", "filePath", "path")
_HOLDING = ("message", "item", "part", "content", "changes", "parameters", "input", "state")


def _said(value: Any, depth: int = 0) -> str:
    """The words in an event of a program's stream; what a user or tool said is not the agent's."""
    if isinstance(value, list):
        return next((s for one in reversed(value) if (s := _said(one, depth + 1))), "")
    if not isinstance(value, dict) or depth > 6 or value.get("role") == "user":
        return ""
    if value.get("type") in ("user", "system", "tool_result"):
        return ""
    if isinstance(value.get("content"), str) and value.get("role") == "assistant":
        return str(value["content"])
    named = str(value.get("tool_name") or value.get("name") or value.get("tool") or "")
    for key in _SAYING:
        if isinstance(value.get(key), str) and value[key].strip():
            return f"{named}: {value[key]}" if named else str(value[key])
    inner = next((s for k in _HOLDING if (s := _said(value.get(k), depth + 1))), "")
    return f"{named}: {inner}" if named and inner else inner
