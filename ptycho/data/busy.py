"""A file that cannot be read, because another program is still writing it: that is no damage."""

from __future__ import annotations

from pathlib import Path

import psutil

from ptycho.errors import BusyFileError, PtychoError


def being_written(path: Path, error: object) -> BusyFileError:
    """What is said of such a file."""
    return BusyFileError(
        "the file is being written now, and cannot be read yet",
        where=path,
        expected="a file that is closed, or one written with SWMR (h5py: file.swmr_mode = True)",
        got=error,
        fix="wait until it is written; if its writer was killed: h5clear -s FILE",
    )


def of_a_part(error: PtychoError, path: Path, frames: str | Path | None) -> PtychoError:
    """The same error, or that a part of a file was read, where a program holds it for writing.

    A copy under way has no lock and no mark in it, so that its writer is asked for. Looked for
    after an error only, since all processes are gone through.
    """
    for one in (path, *([] if frames is None else [Path(frames)])):
        if (writer := _writer(one)) is not None:
            return being_written(one, f"process {writer} holds it open for writing; {error.what}")
    return error


def _writer(path: Path) -> int | None:
    """A process of ours that has the file open for writing, where the system tells."""
    try:
        mine = path.stat()
    except OSError:
        return None
    for process in psutil.process_iter():
        try:
            for held in process.open_files():
                mode = str(getattr(held, "mode", "r"))
                if mode != "r" and Path(held.path).name == path.name:
                    theirs = Path(held.path).stat()
                    if (theirs.st_ino, theirs.st_dev) == (mine.st_ino, mine.st_dev):
                        return int(process.pid)
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
    return None
