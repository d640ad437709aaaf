"""EventLog: the append-only log on disk, one file a turn, every line flushed to the platter.

`<state dir>/log/000042.jsonl`. A line counts as soon as its newline is written; a last line
without one is what a killed process leaves, was never acknowledged, and is set aside by the next
run. Anything else that does not verify refuses to open (CorruptLog) and names the recovery command.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestration.core import (
    GENESIS,
    RECOVER,
    Clock,
    CorruptLog,
    Event,
    Payload,
    State,
    follow,
    parse_event,
    replay,
    stamp,
    verify_chain,
)
from orchestration.errors import HarnessError


class EventLog:
    """The log of one repository: append, read, verify. Not safe for two writers: hold the lock."""

    def __init__(
        self, state_dir: Path, clock: Clock, *, hook: Callable[[str, Event], None] | None = None
    ) -> None:
        """Open and verify the log under `state_dir`; raises CorruptLog.

        `hook(when, event)` is called with "before" and "after" each append, for tests that
        stop the process at every boundary.
        """
        self.directory = state_dir / "log"
        self.clock, self.hook = clock, hook
        self.listeners: list[Callable[[Event], None]] = []
        """Called with each event once it is written."""
        self.refresh()

    def refresh(self, *, repair: bool = False) -> None:
        """Read the log again. `repair` (only under the run lock) sets a torn last line aside."""
        if repair:
            self._repair_torn_tail()
        self.events = read_folder(self.directory)
        self.state: State = replay(self.events)

    def append(
        self,
        payload: Payload,
        *,
        role: str = "harness",
        item: str | None = None,
        turn: int | None = None,
    ) -> Event:
        """Write one event durably, fold it into `state`, and return it."""
        last = self.events[-1] if self.events else None
        event = Event(
            seq=1 if last is None else last.seq + 1,
            at=stamp(self.clock.now()),
            turn=self.state.turn if turn is None else turn,
            role=role,
            kind=payload.KIND,
            item=item,
            data=payload.to_json(),
            prev_sha=GENESIS if last is None else last.sha,
        )
        where = f"{self._file(event.turn).name}:new"
        event = parse_event(event.line(), where)
        follow(last, event, where)
        if self.hook:
            self.hook("before", event)
        self._write(event)
        self.events.append(event)
        replay([event], self.state)
        if self.hook:
            self.hook("after", event)
        for listener in self.listeners:
            listener(event)
        return event

    def turn_events(self, turn: int) -> list[Event]:
        """Return the events of one turn."""
        return [event for event in self.events if event.turn == turn]

    def _file(self, turn: int) -> Path:
        return self.directory / f"{turn:06d}.jsonl"

    def _write(self, event: Event) -> None:
        path = self._file(event.turn)
        is_new = not path.exists()
        if is_new:
            self.directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(descriptor).st_size
        try:
            data = (event.line() + "\n").encode()
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:  # a full disk: no half line for the next event to be glued to
            os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)
        if is_new:
            fsync_directory(self.directory)

    def _repair_torn_tail(self) -> None:
        """Set aside an unfinished last line of the last file (and an empty last file)."""
        files = files_of(self.directory)
        if not files:
            return
        data = files[-1].read_bytes()
        if data.endswith(b"\n"):
            return
        keep, _, torn = data.rpartition(b"\n")
        (self.directory / f"torn-{files[-1].stem}").write_bytes(torn)
        if keep:
            _replace(files[-1], keep + b"\n")
        else:
            files[-1].unlink()


def files_of(directory: Path) -> list[Path]:
    """The log's files in a folder, in order."""
    return sorted(directory.glob("[0-9]*.jsonl"))


def read_folder(directory: Path) -> list[Event]:
    """The verified events in a folder; raises CorruptLog.

    A last line without its newline is being written right now and does not count yet.
    """
    return verify_chain(_lines(directory))


def _lines(directory: Path) -> Iterator[tuple[str, str]]:
    for path in files_of(directory):
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise CorruptLog(
                "the event log is corrupt",
                where=path,
                expected="UTF-8",
                got=str(error),
                fix=RECOVER,
            ) from None
        for number, line in enumerate(text.split("\n")[:-1], start=1):
            yield f"{path}:{number}", line


def fsync_directory(directory: Path) -> None:
    """Make a new name in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, data: bytes) -> None:
    """Write a file atomically: temporary name, fsync, rename."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)
    fsync_directory(path.parent)


def recover(state_dir: Path, clock: Clock) -> tuple[int, Path]:
    """Keep the longest valid beginning of a corrupt log; set all of the old log aside.

    Returns the number of events kept and where the old files went. Nothing is deleted.
    """
    directory = state_dir / "log"
    if not directory.is_dir():
        raise HarnessError("there is no log to recover", where=directory)
    files = files_of(directory)
    kept: list[Event] = []
    try:
        for path in files:
            for line in path.read_bytes().decode(errors="replace").split("\n")[:-1]:
                event = parse_event(line, str(path))
                follow(kept[-1] if kept else None, event, str(path))
                kept.append(event)
    except CorruptLog:
        pass
    aside = set_aside(state_dir)
    assert aside is not None
    import_events(state_dir, kept)
    return len(kept), aside


def set_aside(state_dir: Path) -> Path | None:
    """Move the log's folder away under a free name; None when there is no log."""
    directory = state_dir / "log"
    if not directory.is_dir():
        return None
    number = 1
    while (aside := state_dir / f"log.aside-{number}").exists():
        number += 1
    directory.rename(aside)
    return aside


def import_events(state_dir: Path, events: list[Event]) -> None:
    """Write events as a fresh log; refuses where a log is already there."""
    directory = state_dir / "log"
    if directory.exists() and files_of(directory):
        raise HarnessError(
            "a log is already there",
            where=directory,
            fix="import into a fresh clone, or move the old log away first",
        )
    directory.mkdir(parents=True, exist_ok=True)
    turns: dict[int, list[str]] = {}
    for event in events:
        turns.setdefault(event.turn, []).append(event.line())
    for turn, lines in turns.items():
        _replace(directory / f"{turn:06d}.jsonl", ("\n".join(lines) + "\n").encode())


def read_export(text: str, where: str) -> list[Event]:
    """Read an exported log and verify its chain; raises CorruptLog with the line."""
    lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
    return verify_chain((f"{where}:{n}", line) for n, line in enumerate(lines, start=1))
