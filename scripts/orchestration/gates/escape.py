"""Did a turn touch anything outside its worktree? Snapshot before, compare after, put back.

Watched: every ref and HEAD of the repository, its config, hooks, info files, stashes and the marks
of an unfinished operation, the index (with its flags) of the user's checkout, the harness's log,
and every file of that checkout that git tracks or would show as untracked. Ignored files are not
watched. What was changed is put back byte for byte; what the turn had put there is kept aside
first, so that nothing is lost whichever side was right.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestration.git import OURS, Repo

CONTROL = (
    *("config", "config.worktree", "info/attributes", "info/exclude", "info/grafts", "hooks"),
    *("objects/info/alternates", "shallow", "orchestration/log", "logs/refs/stash"),
    *(
        "MERGE_HEAD",
        "CHERRY_PICK_HEAD",
        "REVERT_HEAD",
        "BISECT_LOG",
        "rebase-merge",
        "rebase-apply",
    ),
)
STASH_LOG = "logs/refs/stash"
BACKUP_CAP_BYTES = 256 << 20

Mark = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Escape:
    """One change outside the worktree: the file or ref, and what was done to it."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass(frozen=True)
class Watch:
    """State before the turn. Copies of watched files that git cannot give back are in `store`.

    Refs whose names begin with one of `ignore_refs` may move.
    """

    repo: Repo
    refs: dict[str, str]
    files: dict[str, Mark]
    control: dict[str, bytes]
    index: bytes | None
    staged: bytes
    store: Path
    ignore_refs: tuple[str, ...] = OURS


def _mark(path: Path) -> Mark | None:
    """What changes whenever a file is written, replaced or re-timed (ctime cannot be set)."""
    try:
        seen = path.lstat()
    except OSError:
        return None
    return (seen.st_mode, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _watched(repo: Repo) -> list[str]:
    out = repo.run("ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    return sorted({os.fsdecode(name) for name in out.split(b"\0") if name})


def _control(repo: Repo) -> Iterator[Path]:
    for name in CONTROL:
        place = repo.common_dir / name
        if place.is_dir():
            yield from (p for p in sorted(place.rglob("*")) if p.is_file())
        elif place.is_file():
            yield place


def take(repo: Repo, store: Path, ignore_refs: tuple[str, ...] = OURS) -> Watch:
    """Remember the state of `repo` before a turn.

    `store` is a folder of the harness for copies of the files that differ from HEAD, so that
    uncommitted work can be put back as well; files past 256 MiB in all are watched, not copied.
    """
    shutil.rmtree(store / "files", ignore_errors=True)  # of a turn that is done again
    index = repo.git_dir / "index"
    names = _watched(repo)
    dirty = {entry.path for entry in repo.status()}
    files, copied = {}, 0
    for name in names:
        path = repo.root / name
        mark = _mark(path)
        if mark is None:
            continue
        files[name] = mark
        if name in dirty and stat.S_ISREG(mark[0]) and copied + mark[2] <= BACKUP_CAP_BYTES:
            goal = store / "files" / name
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, goal)
            copied += mark[2]
    control = {str(p.relative_to(repo.common_dir)): p.read_bytes() for p in _control(repo)}
    saved = index.read_bytes() if index.is_file() else None
    refs, staged = repo.snapshot_refs(), _staged(repo)
    return Watch(repo, refs, files, control, saved, staged, store, ignore_refs)


def _staged(repo: Repo) -> bytes:
    """Entries and flags of the index without the times that a mere `git status` renews."""
    return repo.run("ls-files", "--stage", "-v", "-z").stdout


def changes(watch: Watch) -> list[Escape]:
    """Everything outside the worktree that is no longer as it was; [] when nothing is."""
    repo, found = watch.repo, list[Escape]()
    now = repo.snapshot_refs()
    for name in sorted({*now, *watch.refs}):
        if now.get(name) != watch.refs.get(name) and not name.startswith(watch.ignore_refs):
            before, after = watch.refs.get(name, "absent"), now.get(name, "deleted")
            found.append(Escape(name, f"{before} → {after}"))
    control = {str(p.relative_to(repo.common_dir)): p.read_bytes() for p in _control(repo)}
    for name in sorted({*control, *watch.control}):
        if control.get(name) != watch.control.get(name):
            found.append(Escape(f".git/{name}", _verb(name in watch.control, name in control)))
    if _staged(repo) != watch.staged:
        found.append(Escape(".git/index", "changed"))
    for name in sorted({*_watched(repo), *watch.files}):
        mark = _mark(repo.root / name)
        if mark != watch.files.get(name):
            found.append(Escape(name, _verb(name in watch.files, mark is not None)))
    return found


def _verb(before: bool, after: bool) -> str:
    return "changed" if before and after else "added" if after else "deleted"


def restore(watch: Watch, found: Iterable[Escape]) -> Path:
    """Put every change back; returns the folder that holds what was there instead.

    What was known before comes first: control files, refs, the index, then files, from the copy or
    from HEAD. Only then is it certain which files are new: a changed ignore file hides some, and
    shows a person's ignored ones, which must stay. New ignore files go before other new files.
    """
    aside = watch.store / "escaped"
    aside.mkdir(parents=True, exist_ok=True)
    left, done = list(found), set[str]()
    while left:
        group = _first_group(watch, left)
        _put_back(watch, group, aside)
        done.update(group)
        left = [one for one in changes(watch) if one.place not in done]
    return aside


def _first_group(watch: Watch, found: Iterable[Escape]) -> list[str]:
    """Places to put back next: what was known, else new ignore files, else the other new files."""
    known, ignores, new = list[str](), list[str](), list[str]()
    for name in (one.place for one in found):
        if name.startswith((".git/", "refs/")) or name == "HEAD" or name in watch.files:
            known.append(name)
        elif name.rsplit("/", 1)[-1] == ".gitignore":
            ignores.append(name)
        else:
            new.append(name)
    return known or ignores or new


def _put_back(watch: Watch, places: Iterable[str], aside: Path) -> None:
    names = list(places)
    for name in names:
        if name.startswith(".git/") and name != ".git/index":
            _put_back_control(watch, name.removeprefix(".git/"), aside)
    if any(name.startswith(("refs/", ".git/")) or name == "HEAD" for name in names):
        watch.repo.restore_refs(watch.refs, ignore=watch.ignore_refs)
        log = watch.repo.common_dir / STASH_LOG  # moving the ref back has written a line into it
        if STASH_LOG in watch.control and log.read_bytes() != watch.control[STASH_LOG]:
            _replace(log, watch.control[STASH_LOG])
    index = watch.repo.git_dir / "index"
    if watch.index is not None and ".git/index" in names:
        _replace(index, watch.index)
    for name in names:
        if not name.startswith((".git/", "refs/")) and name != "HEAD":
            _put_back_file(watch, name, aside)


def _put_back_control(watch: Watch, name: str, aside: Path) -> None:
    path = watch.repo.common_dir / name
    if path.is_file():
        goal = aside / "git" / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, goal)
    if name in watch.control:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, watch.control[name])
    else:
        path.unlink(missing_ok=True)


def _put_back_file(watch: Watch, name: str, aside: Path) -> None:
    path, copy = watch.repo.root / name, watch.store / "files" / name
    if os.path.lexists(path):
        goal = aside / "files" / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, goal)
    if name not in watch.files:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if copy.is_file():
        shutil.copy2(copy, path)
        return
    # Clean before the turn: the index (already put back) has its content.
    watch.repo.run("checkout-index", "--quiet", "--", name)


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".orchestrate")
    part.write_bytes(data)
    if path.exists():
        shutil.copymode(path, part)
    os.replace(part, path)
