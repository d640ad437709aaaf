"""Find and end every process that a child left behind.

Three nets, because each has a hole: the process group (a daemon leaves it with `setsid`), the
environment marker (a daemon may clear its environment), and on Linux the adoption of orphans
(`PR_SET_CHILD_SUBREAPER`: whoever lost its parent becomes a child of this process). A PID
namespace (see `isolation`) has no hole.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from orchestration.sandbox.kernel import MARKER

SPAWN_LOCK = threading.Lock()
_PR_SET_CHILD_SUBREAPER = 36
_users = 0
_live: set[int] = set()


def _subreaper(on: bool) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def marked(marker: str) -> list[psutil.Process]:
    """Processes whose environment carries `marker` (those of other users cannot be read)."""
    needle = f"{MARKER}={marker}".encode()
    proc = Path("/proc")
    if not proc.is_dir():
        return _marked_by_psutil(marker)
    found = []
    for entry in os.scandir(proc):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = Path(entry.path, "environ").read_bytes()
        except OSError:
            continue
        if needle in environment.split(b"\0"):
            with contextlib.suppress(psutil.Error):
                found.append(psutil.Process(int(entry.name)))
    return found


def _marked_by_psutil(marker: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == marker:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


class Family:
    """The processes of one `run_child` call."""

    def __init__(self, marker: str) -> None:
        self.marker = marker
        self.pid = 0
        self.known = {child.pid for child in psutil.Process().children()}

    def started(self, pid: int) -> None:
        """Tell the pid of the child, which is also its group and session."""
        self.pid = pid
        _live.add(pid)

    def orphans(self) -> list[psutil.Process]:
        """Adopted processes: children of ours that we did not start, in another session."""
        ours = os.getsid(0)
        found = []
        for process in psutil.Process().children():
            if process.pid in self.known or process.pid in _live:
                continue
            with contextlib.suppress(psutil.Error, OSError):
                foreign = os.getsid(process.pid) != ours
                if foreign and not self._of_another(process):
                    found.append(process)
        return found

    def _of_another(self, process: psutil.Process) -> bool:
        """Whether it belongs to a `run_child` in another thread."""
        try:
            return process.environ().get(MARKER, self.marker) != self.marker
        except (psutil.Error, OSError):
            return False

    def members(self) -> list[psutil.Process]:
        """Everything alive that the child started, the child's own process not included."""
        found = {p.pid: p for p in marked(self.marker)}
        with SPAWN_LOCK:
            roots = [*found.values(), *self.orphans()]
        for process in roots:
            found[process.pid] = process
            with contextlib.suppress(psutil.Error):
                found.update({p.pid: p for p in process.children(recursive=True)})
        found.pop(self.pid, None)
        return [p for p in found.values() if _running(p)]

    def ask(self, child: subprocess.Popen[bytes], grace_s: float) -> None:
        """Let a child that still runs clean up: SIGTERM to its group, and `grace_s` seconds."""
        if child.poll() is None and grace_s > 0:
            _signal_group(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(grace_s)

    def end(self, child: subprocess.Popen[bytes]) -> int:
        """Kill the child and all of its kin; returns how many of the kin were still alive."""
        killed: set[int] = set()
        deadline = time.monotonic() + 10.0
        while True:
            alive = self.members()
            killed.update(process.pid for process in alive)
            _signal_group(self.pid, signal.SIGKILL)
            child.wait()
            if not alive or time.monotonic() > deadline:
                break
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            _reap(alive)
        _live.discard(self.pid)
        return len(killed)


def _running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _reap(processes: list[psutil.Process]) -> None:
    """Collect adopted children that we killed, so that they do not stay as zombies."""
    for process in processes:
        for _ in range(50):
            try:
                if os.waitpid(process.pid, os.WNOHANG)[0]:
                    break
            except ChildProcessError:
                break  # somebody else's child: its parent collects it
            time.sleep(0.01)


@contextlib.contextmanager
def adopting_orphans(marker: str) -> Iterator[Family]:
    """While inside, processes that lose their parent become ours (Linux only)."""
    global _users
    with SPAWN_LOCK:
        family = Family(marker)
        _users += 1
        if _users == 1:
            _subreaper(True)
    try:
        yield family
    finally:
        with SPAWN_LOCK:
            _live.discard(family.pid)
            _users -= 1
            if _users == 0:
                _subreaper(False)
                _collect_dead(family)


def _collect_dead(family: Family) -> None:
    """Zombies that were adopted and ended by themselves."""
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error, OSError):
            dead = process.status() == psutil.STATUS_ZOMBIE
            if dead and process.pid not in family.known and os.getsid(process.pid) != os.getsid(0):
                os.waitpid(process.pid, os.WNOHANG)
