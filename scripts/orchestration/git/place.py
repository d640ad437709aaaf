"""Where the harness keeps its own: one folder for a repository, outside its checkout and `.git`.

`$XDG_STATE_HOME/orchestration/<name>-<hash>/`, or what `state_dir:` in orchestration.yaml names. An
earlier version kept all of it in `.git/orchestration`, where an agent's git could reach it; that
folder is moved here once, whole. A kill in the middle of the move loses nothing: the old folder
goes only after the new one is complete.

The path alone does not make a repository: one that is cloned anew where another was has no part in
its records. A folder and its repository therefore hold the same word (`OWNER`, `ID`); a folder of
another word is renamed, and told.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import uuid
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from orchestration.errors import HarnessError

MARK = "moved-from"
OWNER, ID = "repository", "orchestration-id"


def state_folder(root: Path, common_dir: Path) -> Path:
    """The state folder of a repository; all of its checkouts share it. Nothing is made.

    Raises HarnessError when it would lie where an agent or a commit can reach it.
    """
    home = _home(root, common_dir)
    named = _named(home / "orchestration.yaml")
    if named:
        folder = Path(os.path.abspath(home / Path(named).expanduser()))
        if folder.is_relative_to(home) or folder.is_relative_to(common_dir):
            raise HarnessError(
                "state_dir lies inside the repository, where an agent's work lies too",
                where=home / "orchestration.yaml",
                expected="a folder outside the checkout and outside .git",
                got=named,
                fix="take the line out: the default is outside",
            )
        return folder
    base = os.environ.get("XDG_STATE_HOME", "")
    states = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"
    digest = hashlib.sha256(os.fsencode(common_dir)).hexdigest()[:12]
    earlier = states / "orchestration" / f"{home.name or 'root'}-{digest}"
    # Paths below it stand in pytest's settings and in agents' commands: no odd sign is in its name.
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", home.name)[:80] or "root"
    return earlier if _is_dir(earlier) else earlier.with_name(f"{plain}-{digest}")


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # the name is too long
        return False


def claim(folder: Path, common_dir: Path) -> None:
    """Make the folder, and note in it and in the repository that the two belong together."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    word = _word(common_dir / ID)
    if not word:
        try:
            (common_dir / ID).write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
        except OSError:
            return  # a repository that cannot be written keeps its folder by its path
        word = _word(common_dir / ID)
    (folder / OWNER).write_text(f"{word}\n", encoding="ascii")


def _of_this_repository(folder: Path, common_dir: Path) -> None:
    """Rename a folder that belongs to a repository which was at this path before."""
    owner = _word(folder / OWNER)
    if not owner:
        claim(folder, common_dir)
    elif owner != _word(common_dir / ID):
        number = 1
        while (aside := folder.with_name(f"{folder.name}.earlier-{number}")).exists():
            number += 1
        folder.rename(aside)
        print(
            f"orchestrate: the repository at {common_dir} is another than before; "
            f"the records of the earlier one are kept in {aside}",
            file=sys.stderr,
        )


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _home(root: Path, common_dir: Path) -> Path:
    """The main checkout, whose settings count for all."""
    return common_dir.parent if common_dir.name == ".git" else root


def _named(path: Path) -> str:
    """What `state_dir:` says; a file that cannot be read is told when the settings are loaded."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return ""
    value = said.get("state_dir") if isinstance(said, dict) else None
    return value if isinstance(value, str) else ""


def settled_state(root: Path, common_dir: Path) -> Path:
    """`state_folder`, with what an earlier version kept in `.git/orchestration` moved into it.

    Raises HarnessError while a run of the earlier version is at work, and when both folders have
    a log of their own.
    """
    folder, old = state_folder(root, common_dir), common_dir / "orchestration"
    if folder.is_dir() and not _named(_home(root, common_dir) / "orchestration.yaml"):
        _of_this_repository(folder, common_dir)
    if old.is_dir() and not old.is_symlink():
        _move(old, folder)
    else:  # a kill came after the old folder went: what may appear there later is another one
        (folder / MARK).unlink(missing_ok=True)
    return folder


def _move(old: Path, folder: Path) -> None:
    # A lock beside the folders: the one inside is moved with them.
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(f"{folder}.moving.lock"):
        if not old.is_dir():
            return  # another process was first
        try:
            run = FileLock(old / "run.lock")
            run.acquire(timeout=0)
        except Timeout:
            raise HarnessError(
                "a run of an earlier version is at work in this repository",
                where=old,
                fix="wait for its end, or stop it; then run the command again",
            ) from None
        try:
            _move_alone(old, folder)
        finally:
            run.release()


def _move_alone(old: Path, folder: Path) -> None:
    mark = folder / MARK
    if folder.exists() and not mark.is_file():
        if any(old.glob("log/*.jsonl")):
            raise HarnessError(
                "the repository has two state folders, each with a log",
                where=old,
                got=str(folder),
                fix=f"look which log is right (orchestrate log), then move the other away: {old}",
            )
        return  # an earlier version looked in here after the move; it left no log
    if not mark.is_file():
        half = folder.with_name(folder.name + ".half")
        if half.exists():
            shutil.rmtree(half)  # a copy that a kill cut short; all of it is still in `old`
        shutil.copytree(old, half, symlinks=True, ignore=_no_sockets)
        (half / MARK).write_text(f"{old}\n", encoding="utf-8")
        os.sync()
        half.rename(folder)
    shutil.rmtree(old)
    mark.unlink()
    print(f"orchestrate: moved {old} to {folder}", file=sys.stderr)


def _no_sockets(folder: str, names: list[str]) -> set[str]:
    """What cannot be copied and holds nothing: sockets, FIFOs, devices."""
    paths = {name: Path(folder, name) for name in names}
    return {
        name
        for name, path in paths.items()
        if not (path.is_symlink() or path.is_file() or path.is_dir())
    }
