"""A ceiling on the number of processes, so that a fork bomb ends in an error of its own.

`cgroup`: a control group with `pids.max`, which also names every member, whatever it did to its
session, parent or environment. `rlimit`: RLIMIT_NPROC, which counts all processes of the user and
does not bind root. `none`: neither can be had.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import psutil

Kind = Literal["cgroup", "rlimit", "none"]
MAX_PROCESSES = 4096
_ROOT = Path("/sys/fs/cgroup")
# The shell enters the group and becomes the program: nothing of it ever runs outside.
_ENTER = ("/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"')


def _homes() -> list[Path]:
    """Folders of the control groups of this process in which a pids group may be made."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "pids":
            found.append(_ROOT / "pids" / place.lstrip("/"))
        elif not controllers:
            found.append(_ROOT / place.lstrip("/"))
    return [home for home in found if home.is_dir() and os.access(home, os.W_OK)]


@cache
def _home() -> Path | None:
    """Where a pids group works (tried once), or None."""
    for home in _homes():
        trial = home / _name()
        try:
            trial.mkdir()
        except OSError:
            continue
        try:
            usable = (trial / "pids.max").exists()
            (trial / "pids.max").write_text("8" if usable else "")
        except OSError:
            usable = False
        with contextlib.suppress(OSError):
            trial.rmdir()
        if usable:
            _clear(home)
            return home
    return None


def _name() -> str:
    """A new group's name: it says whose it is."""
    return f"orchestrate-{os.getpid()}-{uuid.uuid4().hex[:12]}"


def _clear(home: Path) -> None:
    """Remove the groups that killed runs left; one that still has members stays."""
    for folder in home.glob("orchestrate-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            with contextlib.suppress(OSError):
                folder.rmdir()  # the kernel refuses while a process is in it


def kind() -> Kind:
    """What can bound the number of processes here."""
    if _home() is not None:
        return "cgroup"
    return "rlimit" if os.geteuid() != 0 and shutil.which("prlimit") else "none"


@dataclass
class Ceiling:
    """The bound of one child: `prefix` goes before its argv."""

    kind: Kind
    prefix: tuple[str, ...] = ()
    folder: Path | None = None

    def end(self, child: int) -> int:
        """Kill every member and remove the group; returns how many there were besides `child`.

        `child` is left to whoever started it: only its parent may learn its exit code.
        """
        if self.folder is None:
            return 0
        killed: set[int] = set()
        deadline = time.monotonic() + 10.0
        with contextlib.suppress(OSError):
            (self.folder / "pids.max").write_text("0")  # no member can fork any more
        while time.monotonic() < deadline:
            members = self._members()
            if not members:
                break
            for pid in members:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            killed.update(members)
            time.sleep(0.005)
            _collect(killed - {child})
        _collect(killed - {child})
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        return len(killed - {child})

    def _members(self) -> list[int]:
        assert self.folder is not None
        try:
            return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]
        except OSError:
            return []


def _collect(pids: set[int]) -> None:
    """Dead members that this process adopted stay as zombies unless somebody waits for them."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def ceiling(limit: int | None) -> Ceiling:
    """A bound of `limit` processes and threads for one child; None means no bound."""
    if limit is None:
        return Ceiling("none")
    home = _home()
    if home is not None:
        folder = home / _name()
        try:
            folder.mkdir()
            (folder / "pids.max").write_text(str(limit))
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
        else:
            return Ceiling("cgroup", (*_ENTER, str(folder / "cgroup.procs")), folder)
    if kind() == "rlimit":
        mine = sum(p.num_threads() for p in _of_user())
        return Ceiling("rlimit", ("prlimit", f"--nproc={mine + limit}"))
    return Ceiling("none")


def _of_user() -> list[psutil.Process]:
    me, found = os.geteuid(), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().effective == me:
                process.num_threads()
                found.append(process)
    return found
