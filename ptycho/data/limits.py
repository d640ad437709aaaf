"""How much a file may declare before anything is read: what memory can take, and what is likely."""

from __future__ import annotations

import shutil
import tempfile

import numpy as np

from ptycho.errors import TooLargeError
from ptycho.frames import free_bytes

ALWAYS_BYTES = 256 << 20
LIKELY_RATIO = 400
SMALL_BYTES = 1 << 30  # of what must be read at once
DISK_SHARE = 0.8  # of what is free, for frames that are unpacked


def likely_bytes(file_bytes: int) -> int:
    """Decompressed bytes that a file of this size may have in all reason.

    Sparse counts compress a hundredfold; a file that says more than 400-fold is a bomb, unless
    it stays below 256 MiB.
    """
    return max(ALWAYS_BYTES, LIKELY_RATIO * file_bytes)


def require_likely(declared: float, file_bytes: int, where: object) -> None:
    """Raise TooLargeError if `declared` bytes are more than `likely_bytes`."""
    _require(declared, likely_bytes(file_bytes), f"a file of {file_bytes} bytes", where)


def require_allowed(declared: float, file_bytes: int, where: object) -> None:
    """Raise TooLargeError if `declared` bytes are more than is likely, or than memory takes."""
    allowed = min(free_bytes(), likely_bytes(file_bytes))
    _require(declared, allowed, f"a file of {file_bytes} bytes and this memory", where)


def _require(declared: float, allowed: int, by: str, where: object) -> None:
    if declared > allowed:
        raise TooLargeError(
            "the file declares more data than is read",
            where=where,
            expected=f"≤ {allowed} bytes for {by}",
            got=f"{declared:.6g} bytes",
            fix="numpy.load shows what the file holds; write again without what is no measurement",
        )


def require_small(what: str, shape: tuple[int, ...], dtype: np.dtype, where: object) -> None:
    """Raise TooLargeError if one `what` (frame, chunk) of the frames is above 1 GiB."""
    size = float(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    if size > SMALL_BYTES:
        raise TooLargeError(
            f"one {what} of the frames declares a huge size",
            where=where,
            expected=f"≤ {SMALL_BYTES} bytes",
            got=f"{shape} {dtype}, {size:.3g} bytes",
        )


def require_room(needed: int, where: object) -> None:
    """Raise TooLargeError if `needed` bytes do not fit into the folder of temporary files."""
    folder = tempfile.gettempdir()
    room = int(DISK_SHARE * shutil.disk_usage(folder).free)
    if needed > room:
        raise TooLargeError(
            "the frames have to be unpacked into a temporary file, and there is no room for it",
            where=where,
            expected=f"≤ {room} bytes in {folder}",
            got=f"{needed} bytes",
            fix="TMPDIR=FOLDER ptycho …, with room in FOLDER; or numpy.savez, not savez_compressed",
        )
