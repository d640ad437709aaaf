"""What goes on right now: stages of a turn that are no events, for `status`, `tail` and the page.

`<state dir>/activity.jsonl` holds what a run says to a person and, for each long piece of work,
when it began, where its output goes and when it ended. It is no record: nothing is decided from it,
it is not chained and not published, and its older half goes when it grows.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestration.core import Clock, stamp

FILE = "activity.jsonl"
MOST_BYTES = 1 << 20
TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Stage:
    """One line: `what` is said, begun or over.

    `log` is the file (or the folder of a turn) that the work writes to, relative to the state
    folder; `tests` is how many tests a guard runs.
    """

    at: str
    turn: int
    kind: str
    what: str
    log: str = ""
    tests: int = 0


class Activity:
    """Writes the stages of one process; a line that cannot be written is left out."""

    def __init__(self, state_dir: Path, clock: Clock, masked: Callable[[str], str]) -> None:
        """`masked` blacks out credentials in what is written."""
        self.state_dir, self.clock, self.masked = state_dir, clock, masked

    def said(self, what: str, turn: int) -> None:
        """A word to the person."""
        self._write(Stage(self._now(), turn, "said", what))

    def begun(self, what: str, turn: int, log: Path | None = None, tests: int = 0) -> None:
        """A long piece of work begins."""
        place = ""
        if log is not None and log.is_relative_to(self.state_dir):
            place = log.relative_to(self.state_dir).as_posix()
        self._write(Stage(self._now(), turn, "begun", what, place, tests))

    def over(self, what: str, turn: int) -> None:
        """The piece of work that began last is over."""
        self._write(Stage(self._now(), turn, "over", what))

    def _now(self) -> str:
        return stamp(self.clock.now())

    def _write(self, stage: Stage) -> None:
        path = self.state_dir / FILE
        line = json.dumps({**asdict(stage), "what": self.masked(stage.what)}) + "\n"
        # What a run does must not hang on whether it can be watched.
        with contextlib.suppress(OSError):
            if not self.state_dir.is_dir():
                return
            if path.is_file() and path.stat().st_size > MOST_BYTES:
                os.replace(path, path.with_suffix(".earlier.jsonl"))
            with path.open("a", encoding="utf-8") as file:
                file.write(line)


def read_stages(state_dir: Path, offset: int = 0) -> tuple[list[Stage], int]:
    """The stages written since `offset`, and where to go on; a shorter file begins anew."""
    path = state_dir / FILE
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0 if size < offset else offset)
            data = file.read()
            start = 0 if size < offset else offset
    except OSError:
        return [], 0
    whole, newline, _ = data.rpartition(b"\n")
    return [found for row in whole.split(b"\n") if (found := _stage(row))], start + len(
        whole + newline
    )


def last_stages(state_dir: Path) -> list[Stage]:
    """The last stages of a state folder, oldest first."""
    try:
        size = (state_dir / FILE).stat().st_size
    except OSError:
        return []
    return read_stages(state_dir, max(0, size - TAIL_BYTES))[0]


def _stage(row: bytes) -> Stage | None:
    try:
        found: Any = json.loads(row)
        return Stage(
            str(found["at"]),
            int(found["turn"]),
            str(found["kind"]),
            str(found["what"]),
            str(found.get("log", "")),
            int(found.get("tests", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # a line that is cut, or of a later version


def going_on(stages: list[Stage]) -> Stage | None:
    """The piece of work that has begun last and is not over."""
    depth: list[Stage] = []
    for stage in stages:
        if stage.kind == "begun":
            depth.append(stage)
        elif stage.kind == "over" and depth:
            depth.pop()
    return depth[-1] if depth else None
