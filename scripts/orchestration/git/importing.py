"""Reading what an agent left in its workspace: files only, within bounds, and never by its git.

Every component is opened with O_NOFOLLOW. Regular files are hashed as they are, symbolic links as
their text; what is neither is skipped and named. Only what git would not ignore counts, by the
rules of the `.gitignore` files that were read and the person's own; git sees them in a folder of
the harness, never in the workspace.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from orchestration.errors import HarnessError
from orchestration.git.objects import ObjectStore, TreeEntry

CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
Entry = tuple[str, int, int, int]
"""What a folder holds: a path, and the file's mode, size and number of links."""


class PastBounds(HarnessError):
    """A workspace that is more than an attempt may be; the words say which bound was passed."""


@dataclass(frozen=True)
class Bounds:
    """What one attempt may hold."""

    changed: int = 10_000
    """Files that differ from the base."""
    looked_at: int = 50_000
    """Files and folders that are not ignored, beside those of the base."""
    file_bytes: int = 32 << 20
    bytes: int = 32 << 20
    """All files that differ: the gates hold their difference in memory several times over."""
    depth: int = 64
    seconds: float = 60.0


@dataclass
class Imported:
    """The tree that a workspace's files make, and what is in it that is no file."""

    tree: str
    skipped: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Files and folders that git ignores and that are no litter: they are in no tree."""
    litter: list[str] = field(default_factory=list)
    """Litter that is new, ignored or not: it is in no tree either."""


def import_files(
    repo: ObjectStore,
    path: Path,
    base: str,
    *,
    litter: Collection[str] = (),
    bounds: Bounds | None = None,
) -> Imported:
    """Make a tree of the files below `path`, which was laid out from `base`.

    `litter` are globs of names (caches) that are no work where they are new, or of a folder's name
    and one in it, `.claude/todos`; `./x` lies at the top. Raises PastBounds, and HarnessError where
    `path` is no longer a folder.
    """
    try:
        top = os.open(path, _FOLDER)
    except OSError as problem:
        raise HarnessError(
            "the workspace is no longer a folder", where=path, got=problem.strerror
        ) from None
    try:
        with tempfile.TemporaryDirectory(dir=repo.state_dir, prefix="ignored-") as scratch:
            return _Import(repo, top, base, Path(scratch), tuple(litter), bounds or Bounds()).run()
    finally:
        os.close(top)


def _is_bytes(name: str) -> bool:
    """Whether a name holds bytes that are no UTF-8: log, receipt and ledger are UTF-8."""
    return any("\udc80" <= letter <= "\udcff" for letter in name)


class _Import:
    def __init__(
        self,
        repo: ObjectStore,
        top: int,
        base: str,
        scratch: Path,
        litter: Sequence[str],
        bounds: Bounds,
    ) -> None:
        self.repo, self.top, self.scratch, self.litter = repo, top, scratch, litter
        self.bounds, self.ends = bounds, time.monotonic() + bounds.seconds
        self.base = repo.list_tree(base)
        self.base_tree = repo.tree_of(base)
        self.folders = {str(parent) for name in self.base for parent in Path(name).parents}
        self.changes: dict[str, bytes | TreeEntry | None] = {}
        self.skipped: list[str] = []
        self.left_out: list[str] = []
        self.dropped: list[str] = []
        self.seen: set[str] = set()
        self.count = self.bytes = 0

    def run(self) -> Imported:
        level, depth = [""], 0
        while level:
            if depth > self.bounds.depth:
                self._past("folders lie deeper than", self.bounds.depth, level[0])
            level = self._level(level)
            depth += 1
        for name, entry in self.base.items():
            if name not in self.seen and entry.mode != "160000":
                self.changes[name] = None
        tree = self.base_tree
        if self.changes:
            tree = self.repo.write_tree(self.base_tree, self.changes)
        return Imported(tree, self.skipped, self.left_out, self.dropped)

    def _is_litter(self, path: str) -> bool:
        """Whether a new file or folder is litter; it is noted then."""
        parts = f"./{path}".rsplit("/", 2)
        names = (parts[-1], "/".join(parts[-2:]))
        found = any(fnmatchcase(name, glob) for glob in self.litter for name in names)
        if found:
            self.dropped.append(path)
        return found

    def _level(self, folders: list[str]) -> list[str]:
        """Take the files of one level of folders; returns the folders below that count."""
        found = [entry for folder in folders for entry in self._listed(folder)]
        fresh = [e for e in found if e[0] not in self.base and e[0] not in self.folders]
        ignored = self._ignored(fresh)
        below = []
        for name, mode, size, links in found:
            if name in ignored:
                self.left_out.append(name)
                continue
            if stat.S_ISDIR(mode):
                if not self._is_submodule(name):
                    below.append(name)
            elif stat.S_ISLNK(mode):
                self._take_link(name)
            elif stat.S_ISREG(mode) and links == 1:
                self._take_file(name, mode, size)
            else:
                what = f"has {links} names (hard links)" if stat.S_ISREG(mode) else "is no file"
                self.skipped.append(f"{name} {what}")
                self.seen.add(name)  # what it was in the base stays
        return below

    def _is_submodule(self, name: str) -> bool:
        entry = self.base.get(name)
        return entry is not None and entry.mode == "160000"

    def _listed(self, folder: str) -> Iterator[Entry]:
        handle = self._open_folder(folder)
        try:
            with os.scandir(handle) as entries:
                for entry in entries:
                    self._in_time()
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name.lower() in (".git", "git~1"):
                        if folder:
                            self.skipped.append(f"{name} is a repository of its own")
                        continue
                    new = name not in self.base and name not in self.folders
                    if new and self._is_litter(name):
                        continue
                    if new:
                        self.count += 1
                        if self.count > self.bounds.looked_at:
                            self._past("more files than", self.bounds.looked_at, folder or ".")
                    facts = entry.stat(follow_symlinks=False)
                    if entry.name == ".gitignore" and stat.S_ISREG(facts.st_mode):
                        self._lay_rules(name, facts.st_size)
                    yield name, facts.st_mode, facts.st_size, facts.st_nlink
        finally:
            os.close(handle)

    def _open_folder(self, folder: str) -> int:
        """A descriptor of a folder, one component at a time, no link followed."""
        handle = os.dup(self.top)
        for part in folder.split("/") if folder else ():
            try:
                below = os.open(part, _FOLDER, dir_fd=handle)
            except PermissionError:
                os.chmod(part, 0o700, dir_fd=handle)  # the agent closed it: it is ours to open
                below = os.open(part, _FOLDER, dir_fd=handle)
            finally:
                os.close(handle)
            handle = below
        return handle

    def _open_file(self, name: str) -> int:
        folder, _, last = name.rpartition("/")
        handle = self._open_folder(folder)
        try:
            return os.open(last, _FILE, dir_fd=handle)
        finally:
            os.close(handle)

    # -- what git ignores ------------------------------------------------------------------

    def _lay_rules(self, name: str, size: int) -> None:
        if size > CHUNK:
            self._past("a .gitignore of more bytes than", CHUNK, name)
        handle = self._open_file(name)
        try:
            data = os.read(handle, CHUNK)
        finally:
            os.close(handle)
        goal = self.scratch / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.write_bytes(data)

    def _ignored(self, entries: list[Entry]) -> set[str]:
        if not entries:
            return set()
        for name, mode, _, _ in entries:
            if stat.S_ISDIR(mode):  # `build/` names folders only: git looks whether it is one
                (self.scratch / name).mkdir(parents=True, exist_ok=True)
        asked = os.fsencode("".join(f"./{entry[0]}\0" for entry in entries))
        env = {"GIT_DIR": str(self.repo.common_dir), "GIT_WORK_TREE": str(self.scratch)}
        said = self.repo.run(
            "check-ignore",
            "--stdin",
            "-z",
            "--no-index",
            env=env,
            stdin=asked,
            check=False,
            cwd=self.scratch,
        )
        if said.status not in (0, 1):
            raise HarnessError("git could not say what is ignored", got=said.stderr)
        return {name[2:] for name in os.fsdecode(said.stdout).split("\0") if name}

    # -- files -----------------------------------------------------------------------------

    def _take_link(self, name: str) -> None:
        folder, _, last = name.rpartition("/")
        handle = self._open_folder(folder)
        try:
            text = os.fsencode(os.readlink(last, dir_fd=handle))
        finally:
            os.close(handle)
        self._record(name, "120000", self._hashed(len(text), iter([text])), len(text), [text])

    def _take_file(self, name: str, mode: int, size: int) -> None:
        if size > self.bounds.file_bytes and not self._as_long_as_before(name, size):
            self._past("a file of more bytes than", self.bounds.file_bytes, name)
        handle = self._open_file(name)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise HarnessError("a file of the workspace was exchanged", where=name)
            sha = self._hashed(size, self._chunks(handle, size))
            kind = "100755" if mode & 0o100 else "100644"
            os.lseek(handle, 0, os.SEEK_SET)
            self._record(name, kind, sha, size, self._chunks(handle, size))
        finally:
            os.close(handle)

    def _as_long_as_before(self, name: str, size: int) -> bool:
        entry = self.base.get(name)
        return entry is not None and self.repo.text("cat-file", "-s", entry.sha) == str(size)

    def _chunks(self, handle: int, size: int) -> Iterator[bytes]:
        left = size
        while left:
            self._in_time()
            data = os.read(handle, min(CHUNK, left))
            if not data:
                raise HarnessError("a file of the workspace shrank while it was read")
            left -= len(data)
            yield data

    def _hashed(self, size: int, chunks: Iterator[bytes]) -> str:
        digest = self.repo.blob_hash(size)
        for data in chunks:
            digest.update(data)
        return str(digest.hexdigest())

    def _record(
        self, name: str, mode: str, sha: str, size: int, chunks: Iterator[bytes] | list[bytes]
    ) -> None:
        self.seen.add(name)
        entry = TreeEntry(mode, sha)
        before = self.base.get(name)
        if before == entry:
            return
        self.bytes += size
        if self.bytes > self.bounds.bytes:
            self._past("changed files of more bytes than", self.bounds.bytes, name)
        if len(self.changes) >= self.bounds.changed:
            self._past("more changed files than", self.bounds.changed, name)
        if not name.isprintable() or _is_bytes(name):
            raise HarnessError(
                "a changed file has a name that is no printable UTF-8", where=ascii(name)
            )
        self.changes[name] = entry
        if before is None or before.sha != sha:
            self.repo.store_blob(sha, size, chunks)

    # -- bounds ----------------------------------------------------------------------------

    def _in_time(self) -> None:
        if time.monotonic() > self.ends:
            self._past("reading the workspace took more seconds than", self.bounds.seconds, "")

    def _past(self, what: str, bound: float, where: str) -> None:
        raise PastBounds(f"the attempt passes a bound: {what} {bound:g}", where=where or None)
