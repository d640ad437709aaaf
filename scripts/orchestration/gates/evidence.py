"""Taking an agent's report: its folder becomes one that the harness made, with regular files in it.

What the harness later writes, reads, redacts and commits lies in the new folder, so no link, hard
link, FIFO, file in place of a folder or name in the old one can lead it anywhere. Files of the
agent in `green/` and `red/`, which are the harness's own, are laid into `cli/`.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestration.errors import HarnessError
from orchestration.gates.artifacts import FILE_CAP_BYTES, FILES_CAP, FOLDERS, TOTAL_CAP_BYTES

HARNESS = ("green", "red")
CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True)
class ReportBounds:
    """What one report may hold."""

    file_bytes: int = FILE_CAP_BYTES
    bytes: int = TOTAL_CAP_BYTES
    files: int = FILES_CAP
    depth: int = 16
    seconds: float = 30.0


def take_evidence(report: Path, bounds: ReportBounds | None = None) -> list[str]:
    """Put a folder of the harness in place of `report`; returns a line for all that is left out.

    Raises:
        HarnessError: a bound was passed; the folder then holds what was taken up to there.
    """
    old = report.with_name(report.name + ".left")
    os.replace(report, old)
    for part in FOLDERS:
        (report / part).mkdir(parents=True)
    if old.is_symlink() or not old.is_dir():
        old.unlink()
        return ["the report is no folder any more"]
    taking = _Taking(report, bounds or ReportBounds())
    taking.run(old)
    return taking.left_out


class _Taking:
    def __init__(self, goal: Path, bounds: ReportBounds) -> None:
        self.goal, self.bounds = goal, bounds
        self.ends = time.monotonic() + bounds.seconds
        self.left_out: list[str] = []
        self.files = self.entries = self.bytes = 0

    def run(self, old: Path) -> None:
        top = os.open(old, _FOLDER)
        try:
            self._folder(top, "", 0)
        finally:
            os.close(top)

    def _folder(self, handle: int, place: str, depth: int) -> None:
        if depth > self.bounds.depth:
            self._past("lies deeper than", self.bounds.depth, place)
        for name, facts in self._entries(handle, place):
            path = f"{place}/{name}" if place else name
            if stat.S_ISDIR(facts.st_mode):
                below = os.open(name, _FOLDER, dir_fd=handle)
                try:
                    self._folder(below, path, depth + 1)
                finally:
                    os.close(below)
            elif stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
                self._file(handle, name, path, facts.st_size)
            else:
                what = "has several names" if stat.S_ISREG(facts.st_mode) else "is no regular file"
                self.left_out.append(f"{path} {what}")

    def _entries(self, handle: int, place: str) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(handle) as entries:
            for entry in entries:
                self.entries += 1
                if self.entries > 2 * self.bounds.files:
                    self._past("holds more files and folders than", 2 * self.bounds.files, place)
                if time.monotonic() > self.ends:
                    self._past("takes longer to read, in seconds, than", self.bounds.seconds, place)
                try:
                    entry.name.encode()
                except UnicodeEncodeError:
                    self.left_out.append(f"{place or '.'}: a name that is no UTF-8")
                    continue
                yield entry.name, entry.stat(follow_symlinks=False)

    def _file(self, handle: int, name: str, path: str, size: int) -> None:
        self.files += 1
        self.bytes += size
        for number, bound, what in (
            (self.files, self.bounds.files, "holds more files than"),
            (size, self.bounds.file_bytes, "has a file of more bytes than"),
            (self.bytes, self.bounds.bytes, "holds more bytes than"),
        ):
            if number > bound:
                self._past(what, bound, path)
        top, _, rest = path.partition("/")
        if top in HARNESS:
            path = f"cli/{top}_{rest}" if rest else f"cli/{top}"
        goal = self.goal / path
        goal.parent.mkdir(parents=True, exist_ok=True)
        source = os.open(name, _FILE, dir_fd=handle)
        with os.fdopen(source, "rb") as read, goal.open("wb") as write:
            while size > 0 and (data := read.read(min(size, CHUNK))):
                size -= write.write(data)

    def _past(self, what: str, bound: float, place: str) -> None:
        raise HarnessError(
            f"the report {what} {bound:g}",
            where=place or ".",
            fix="leave in $HUB only what proves the work",
        )
