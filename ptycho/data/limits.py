"""How much a file may declare before anything is read: what memory can take, and what is likely."""

from __future__ import annotations

from ptycho.errors import TooLargeError
from ptycho.frames import free_bytes

ALWAYS_BYTES = 256 << 20
LIKELY_RATIO = 400


def allowed_bytes(file_bytes: int) -> int:
    """Decompressed bytes that a file of this size may have: memory bounds it, and so does reason.

    Sparse counts compress a hundredfold; a file that says more than 400-fold is a bomb, unless
    it stays below 256 MiB.
    """
    return min(free_bytes(), max(ALWAYS_BYTES, LIKELY_RATIO * file_bytes))


def require_allowed(declared: float, file_bytes: int, where: object) -> None:
    """Raise TooLargeError if `declared` bytes are more than `allowed_bytes`."""
    allowed = allowed_bytes(file_bytes)
    if declared > allowed:
        raise TooLargeError(
            "the file declares more data than is read",
            where=where,
            expected=f"≤ {allowed} bytes for a file of {file_bytes} bytes and this memory",
            got=f"{declared:.6g} bytes",
            fix="frames larger than memory: use CXI, which is read a block at a time",
        )
