"""Who holds the run lock: the kernel lets go of it when its process dies, however it dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

LOCK, HOLDER = "run.lock", "run.holder"


@dataclass(frozen=True)
class Holder:
    """The process of a run: `began` is its start (seconds since 1970), as a pid is used again."""

    pid: int
    began: float
    host: str


def note_holder(state_dir: Path) -> None:
    """Write down that this process holds the lock."""
    me = Holder(os.getpid(), psutil.Process().create_time(), socket.gethostname())
    (state_dir / HOLDER).write_text(json.dumps(asdict(me)) + "\n", encoding="utf-8")


def at_work(state_dir: Path) -> Holder | None:
    """The process that works here now; None where nobody does, a dead run included.

    The lock is asked, since a pid of another namespace or one that was given again tells nothing.
    """
    try:
        descriptor = os.open(state_dir / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _noted(state_dir)
    finally:
        os.close(descriptor)
    return None


def has_died(state_dir: Path) -> bool:
    """Whether a run was begun on this machine and no process works here now.

    An imported or fetched log tells of runs elsewhere, of which nothing is known here.
    """
    return _noted(state_dir).host == socket.gethostname() and at_work(state_dir) is None


def _noted(state_dir: Path) -> Holder:
    try:
        return Holder(**json.loads((state_dir / HOLDER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Holder(0, 0.0, "")  # held, by a command that is not a run or has only just begun
