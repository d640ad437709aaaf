"""Looking through and deleting a folder that hostile code filled."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestration.errors import HarnessError
from orchestration.sandbox.process import run_child, scrub_env


def remove_tree(path: Path) -> None:
    """Delete a folder of the harness, however deep and whatever its modes; links are not followed.

    `rm` and `chmod`, since Python's own walk ends at a depth that hostile code passes with ease.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    remove = ["rm", "-rf", "--", str(path)]
    done = run_child(remove, path.parent, scrub_env(), total_s=600.0)
    if os.path.lexists(path):  # folders that somebody closed
        reopen = ["chmod", "-R", "u+rwX", "--", str(path)]
        run_child(reopen, path.parent, scrub_env(), total_s=600.0)
        done = run_child(remove, path.parent, scrub_env(), total_s=600.0)
    if os.path.lexists(path):
        raise HarnessError("a folder of the harness cannot be removed", where=path,
                           got=done.output_tail[-300:])  # fmt: skip


def entries_below(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Everything below `folder`, however deep; links are not followed, closed folders are passed.

    Python's own walk ends with a RecursionError at a depth of 1000.
    """
    waiting = [os.fspath(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A new folder in the temporary one, removed at the end whatever a program left in it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        wipe(folder)


def wipe(folder: Path) -> None:
    """Remove a folder that may be there: quickly where that works, else by `remove_tree`."""
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        remove_tree(folder)
