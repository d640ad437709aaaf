"""An NPZ file that this package wrote for itself: arrays, and one JSON object in bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data.npz_arrays import load_arrays
from ptycho.errors import ArchiveError, PtychoError


@contextmanager
def own_file(path: Path, what: str, *, writer: str, fix: str) -> Iterator[None]:
    """What reading such a file and its arrays raises, as an ArchiveError.

    Args:
        path: of the file. what: is said of one that cannot be read.
        writer: the command that wrote it. fix: what to type then.
    """
    try:
        yield
    except (PtychoError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArchiveError(
            what,
            where=path,
            expected=f"a file that `{writer}` wrote",
            got=_words(error),
            fix=fix,
        ) from error


def load_own(
    path: Path, told: str | None, *, most_bytes: int | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All arrays of the file, and the JSON object in the array `told` (None: {}).

    Args:
        path: of a regular file; a pipe or device would never end.
        most_bytes: that the file may unpack to, beside what is likely of any file.

    Raises:
        Exception: of the kinds that `own_file` turns into words.
    """
    if not path.is_file():
        raise ValueError("no such file" if not path.exists() else "a folder, pipe or device")
    arrays = load_arrays(path, most_bytes=most_bytes)
    content = {} if told is None else json.loads(arrays.pop(told).tobytes())
    if not isinstance(content, dict):
        raise TypeError(f"{told!r} is no JSON object")
    return arrays, content


def _words(error: Exception) -> str:
    if isinstance(error, PtychoError):
        return error.what if error.got is None else f"{error.what}: {error.got}"
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error)
