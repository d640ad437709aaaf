"""A private HOME for one turn: what the program needs of the person's is copied into it.

Only a login file goes back, when the program renewed it and nobody else did meanwhile; then the
copy is wiped.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from orchestration.sandbox import wipe

MAX_BYTES = 1 << 20
"""A login or settings file that is larger is not one."""


@dataclass(frozen=True)
class Login:
    """A login file below HOME; `renewed` where the program writes a new token into it."""

    path: str
    renewed: bool = False


@contextmanager
def private_home(
    folder: Path,
    source: Path,
    *,
    logins: Sequence[Login] = (),
    settings: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    path: str = "",
    locks: Path | None = None,
) -> Iterator[Path]:
    """Make `folder` a HOME from the person's (`source`), and wipe it at the end.

    `files` are laid where the person has none. `path` is the PATH that login shells get, since
    /etc/profile resets it. `locks` is the folder of the lock that writing back holds.
    """
    if folder.exists():
        wipe(folder)
    folder.mkdir(parents=True, mode=0o700)
    copied: dict[Login, bytes] = {}
    try:
        for login in logins:
            content = _read(source / login.path)
            if content is not None:
                copied[login] = content
                _lay(folder / login.path, content)
        for name in settings:
            content = _read(source / name)
            if content is not None:
                _lay(folder / name, content)
        for name, text in (files or {}).items():
            if not (folder / name).exists():
                _lay(folder / name, text.encode())
        quoted = "'" + path.replace("'", "'\\''") + "'"
        _lay(folder / ".profile", f"export PATH={quoted}\n".encode() if path else b"")
        yield folder
        for login, before in copied.items():
            if login.renewed:
                _write_back(folder / login.path, source / login.path, before, locks or source)
    finally:
        wipe(folder)


def _read(path: Path) -> bytes | None:
    """A small regular file of the person's (a link to one as well), None for anything else."""
    try:
        with path.open("rb") as file:
            known = os.fstat(file.fileno())
            if not stat.S_ISREG(known.st_mode) or known.st_size > MAX_BYTES:
                return None
            return file.read(MAX_BYTES)
    except OSError:
        return None


def _lay(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(content)


def _write_back(copy: Path, original: Path, before: bytes, locks: Path) -> None:
    """Put a renewed login in the original's place, unless that was renewed by somebody else."""
    after = _unlinked(copy)
    if after is None or after == before or not _same_shape(before, after):
        return
    locks.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(locks / f".{original.name}.lock", timeout=30):
        target = original.resolve()
        if _read(target) != before:
            return
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        _lay(fresh, after)
        os.replace(fresh, target)


def _unlinked(path: Path) -> bytes | None:
    """What the agent's side left: a regular file, no link on the way to its name."""
    try:
        return None if path.is_symlink() or path.parent.is_symlink() else _read(path)
    except OSError:
        return None


def _same_shape(before: bytes, after: bytes) -> bool:
    """Whether a renewed login is one at all: JSON with the keys that it had."""
    try:
        old, new = json.loads(before), json.loads(after)
    except (ValueError, RecursionError):
        return False
    return isinstance(old, dict) and isinstance(new, dict) and set(old) <= set(new)
