"""Looking through and deleting a folder that hostile code filled."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from orchestration.errors import HarnessError
from orchestration.sandbox.process import run_child, scrub_env

FEW = 5_000
"""Entries that Python removes itself: it holds the names of a whole folder in memory."""


def remove_tree(path: Path) -> None:
    """Delete a folder of the harness, however deep and whatever its modes; links are not followed.

    `rm` and `chmod` where Python's own walk does not do: it ends at a depth that hostile code
    passes with ease, and at closed folders. A path that is not there is fine.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if sum(1 for _ in islice(entries_below(path), FEW)) < FEW:
        with suppress(OSError, RecursionError):
            shutil.rmtree(path)
            return
    remove = ["rm", "-rf", "--", str(path)]
    done = run_child(remove, path.parent, scrub_env(), total_s=600.0)
    if os.path.lexists(path):  # folders that somebody closed
        reopen = ["chmod", "-R", "u+rwX", "--", str(path)]
        run_child(reopen, path.parent, scrub_env(), total_s=600.0)
        done = run_child(remove, path.parent, scrub_env(), total_s=600.0)
    if os.path.lexists(path):
        raise HarnessError(
            "a folder of the harness cannot be removed", where=path, got=done.output_tail[-300:]
        )


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
        remove_tree(folder)
