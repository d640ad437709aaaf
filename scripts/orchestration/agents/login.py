"""A private HOME for one turn: what the program needs of the person's is copied into it.

Only a login file goes back, when the program renewed it and nobody else did meanwhile; then the
copy is wiped. A note beside the copy says what was copied, so that `bring_home` does both for a
turn that was killed: a token that was renewed has made the person's invalid.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from orchestration.errors import HarnessError
from orchestration.sandbox import remove_tree

MAX_BYTES = 1 << 20
"""A login or settings file that is larger is not one."""
HOME, NOTE = "home", "logins.json"
"""In the harness's folder of a turn: the copy, and what was copied into it (hashes alone)."""


@dataclass(frozen=True)
class Login:
    """A login file below HOME; `renewed` where the program writes a new token into it."""

    path: str
    renewed: bool = False


def origin(path: str, home: Path, moved: Mapping[str, str], person: Mapping[str, str]) -> Path:
    """Where a file of a program lies among the person's own.

    `moved` says, by the place below HOME, which variable of `person` leads elsewhere:
    `.codex: $CODEX_HOME`. An empty one leads nowhere, nor does a relative one.
    """
    for place, instead in moved.items():
        if path == place or path.startswith(place + "/"):
            variable, _, rest = instead[1:].partition("/")
            folder = person.get(variable, "")
            if os.path.isabs(folder):
                return Path(folder) / rest / path[len(place) :].lstrip("/")
    return home / path


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
    moved: Mapping[str, str] | None = None,
    person: Mapping[str, str] | None = None,
) -> Iterator[Path]:
    """Make `folder` a HOME from the person's (`source`), and wipe it at the end.

    What the variables of `person` have `moved` (see `origin`) comes from there, to its usual place.
    `files` are laid where the person has none. `path` is the PATH that login shells get, since
    /etc/profile resets it. `locks` is the folder of the lock that writing back holds.
    """
    bring_home(folder.parent)
    folder.mkdir(parents=True, mode=0o700)
    note = folder.with_name(NOTE)
    try:
        lies = {
            name: origin(name, source, moved or {}, person or {})
            for name in (*(login.path for login in logins), *settings)
        }
        copied = {login: _read(lies[login.path]) for login in logins}
        renewable = {
            login.path: _hash(content)
            for login, content in copied.items()
            if login.renewed and content is not None
        }
        told = {
            "source": str(source),
            "locks": str(locks or source),
            "logins": renewable,
            "places": {name: str(lies[name]) for name in renewable},
        }
        note.write_text(json.dumps(told), encoding="utf-8")
        for login, content in copied.items():
            if content is not None:
                _lay(folder / login.path, content)
        for name in settings:
            content = _read(lies[name])
            if content is not None:
                _lay(folder / name, content)
        for name, text in (files or {}).items():
            if not (folder / name).exists():
                _lay(folder / name, text.encode())
        quoted = "'" + path.replace("'", "'\\''") + "'"
        _lay(folder / ".profile", f"export PATH={quoted}\n".encode() if path else b"")
        yield folder
    finally:  # an interrupt too may have come after a renewal
        bring_home(folder.parent)


def bring_home(turn: Path) -> None:
    """End what is left of a turn's HOME: renewed logins go back, then the copy is wiped.

    `turn` is the harness's folder of the turn, whose programs must have ended. Nothing happens
    where there is no copy. A login that the person made read-only stays as it is.

    Raises:
        HarnessError: a renewed login could not be written (a full disk); the copy is kept.
    """
    home, note = turn / HOME, turn / NOTE
    try:
        told = json.loads(note.read_bytes())
        source, locks = Path(told["source"]), Path(told["locks"])
        logins = dict(told["logins"])
        places = {path: Path(place) for path, place in told.get("places", {}).items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        logins, places = {}, {}  # nothing was copied yet, or by an earlier version
    for path, before in logins.items():
        theirs = places.get(path, source / path)
        try:
            _write_back(home / path, theirs, before, locks)
        except OSError as problem:
            if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                continue
            raise HarnessError(
                "a login that the agent's program renewed cannot be written back",
                where=theirs,
                got=str(problem),
                fix=f"make room, then orchestrate run; until then it is in {home / path}",
            ) from problem
    if os.path.lexists(home):
        remove_tree(home)
    note.unlink(missing_ok=True)


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


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_back(copy: Path, original: Path, before: str, locks: Path) -> None:
    """Put a renewed login in the original's place, unless that is another than was copied.

    `before` is the hash of what was copied.
    """
    after = _unlinked(copy)
    if after is None or _hash(after) == before:
        return
    locks.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(locks / f".{original.name}.lock", timeout=30):
        target = original.resolve()
        present = _read(target)
        if present is None or _hash(present) != before or not _same_shape(present, after):
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
