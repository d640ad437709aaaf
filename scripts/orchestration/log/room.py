"""A full disk: how it is told, and the reserve that is freed so that a run can log its end."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

from orchestration.core import ExitReason, Stop

NAME = "reserve"
RESERVED_BYTES = 4 << 20
"""What the last events of a run, their commit and the page need."""
LEAST_BYTES = 1 << 20
"""With less than this free, what a program has failed at is the disk's fault, not its own."""
_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WORDS = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))


def reserve(state_dir: Path) -> None:
    """Hold room back in the state folder; raises Stop(DISK_FULL) where there is none.

    The bytes are random, since a file system that compresses would hold zeros in no room at all.
    """
    path = state_dir / NAME
    if path.is_file() and path.stat().st_size == RESERVED_BYTES:
        return
    try:
        path.write_bytes(os.urandom(RESERVED_BYTES))
    except OSError as problem:
        path.unlink(missing_ok=True)
        if problem.errno not in _ERRNOS:
            raise
        raise disk_full(str(problem)) from None


def free_reserve(state_dir: Path) -> None:
    """Give the room back."""
    with contextlib.suppress(OSError):
        (state_dir / NAME).unlink(missing_ok=True)


def is_full(problem: BaseException, *folders: Path) -> bool:
    """Whether an error comes of a full disk: by its number, its words, or what is free."""
    if isinstance(problem, Stop):
        return problem.reason is ExitReason.DISK_FULL
    if isinstance(problem, OSError) and problem.errno in _ERRNOS:
        return True
    return any(words in str(problem) for words in _WORDS) or bool(_full_ones(folders))


def require_room(*folders: Path) -> None:
    """Raise Stop(DISK_FULL) where a disk that work needs is full."""
    for folder in _full_ones(folders):
        raise disk_full(f"less than {LEAST_BYTES >> 20} MiB free in {folder}")


def disk_full(got: str) -> Stop:
    """The end of a run for want of room."""
    fix = "make room (orchestrate doctor tells what the harness keeps), then: orchestrate run"
    return Stop(ExitReason.DISK_FULL, "the disk is full", got=got, fix=fix)


def _full_ones(folders: tuple[Path, ...]) -> list[Path]:
    found = []
    for folder in dict.fromkeys((*folders, Path(tempfile.gettempdir()))):
        with contextlib.suppress(OSError):
            if shutil.disk_usage(folder).free < LEAST_BYTES:
                found.append(folder)
    return found
