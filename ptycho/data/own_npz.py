"""An NPZ file that this package wrote for itself: arrays, and one JSON object in bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data.npz_arrays import load_arrays
from ptycho.errors import ArchiveError, PtychoError


def load_own(
    path: Path,
    what: str,
    *,
    told: str | None,
    writer: str,
    fix: str,
    most_bytes: int | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All arrays of the file, and the JSON object in the array `told` (None: {}).

    Args:
        path: of a regular file; a pipe or device would never end.
        what: is said of a file that cannot be read. writer: the command that wrote it.
        fix: what to type then.
        most_bytes: that the file may unpack to, beside what is likely of any file.

    Raises:
        ArchiveError: no such file, damaged, hostile, or without the JSON object.
    """
    try:
        if not path.is_file():
            raise ValueError("no such file" if not path.exists() else "a folder, pipe or device")
        arrays = load_arrays(path, most_bytes=most_bytes)
        content = {} if told is None else json.loads(arrays.pop(told).tobytes())
        if not isinstance(content, dict):
            raise TypeError(f"{told!r} is no JSON object")
    except (PtychoError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArchiveError(
            what,
            where=path,
            expected=f"a file that `{writer}` wrote",
            got=_words(error),
            fix=fix,
        ) from error
    return arrays, content


def _words(error: Exception) -> str:
    if isinstance(error, PtychoError):
        return error.what if error.got is None else str(error.got)
    if isinstance(error, KeyError):
        return f"no array {error}"
    return str(error)
