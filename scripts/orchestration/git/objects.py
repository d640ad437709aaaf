"""Git objects and differences: blobs, trees, commits and patches, made by plumbing.

Nothing here moves a ref or touches a checkout's index; `gitio.Repo` adds those.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestration.errors import HarnessError
from orchestration.git.command import GitError, Result, run_git, safe_ref
from orchestration.git.place import claim, settled_state

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
TREES_KEPT, LARGEST_TREE, BLOBS_KEPT, LARGEST_BLOB = 12, 5_000, 64, 200_000
_INDEX_LINE = re.compile(rb"^index [0-9a-f]+\.\.[0-9a-f]+", re.MULTILINE)
IDENTITY = {"GIT_AUTHOR_NAME": "orchestrate", "GIT_AUTHOR_EMAIL": "orchestrate@localhost"}
IDENTITY |= {"GIT_COMMITTER_NAME": "orchestrate", "GIT_COMMITTER_EMAIL": "orchestrate@localhost"}


@dataclass(frozen=True)
class DiffEntry:
    """One changed path: status is git's letter (A M D T); modes are octal strings."""

    status: str
    path: str
    old_mode: str
    mode: str
    old_sha: str
    sha: str


@dataclass(frozen=True)
class TreeEntry:
    """A file of a tree: octal mode (120000 symbolic link, 160000 submodule) and blob hash."""

    mode: str
    sha: str


def _keep(memory: dict[Any, Any], rev: str, key: object, value: object, most: int) -> None:
    """Remember what `rev` says where it is a full hash; the oldest answers go."""
    if _HASH.fullmatch(rev):
        for old in list(memory)[: max(0, len(memory) - most + 1)]:
            memory.pop(old, None)
        memory[key] = value


class ObjectStore:
    """One repository's objects, and the means to run git in it.

    `root` is that checkout, `git_dir` its private directory, `common_dir` the shared one; the
    harness keeps all of its own files under `state_dir`, which no checkout shows.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout_s: float = 60.0) -> None:
        start = Path(path)
        if not start.is_dir():
            raise GitError("no such directory", where=start, fix="name the repository's folder")
        self.timeout_s = timeout_s
        ask = ("rev-parse", "--path-format=absolute")
        places = ("--show-toplevel", "--git-dir", "--git-common-dir")
        found = run_git(start, (*ask, *places), timeout_s=timeout_s)
        if found.status:
            raise GitError(
                "not a git checkout",
                where=start,
                got=found.stderr.strip() or None,
                fix="run it inside a repository with files, or `git init` first",
            )
        said = os.fsdecode(found.stdout).split("\n")[:-1]
        if len(said) != 3:  # a path with a line break in it: one question at a time
            rows = [run_git(start, (*ask, one), timeout_s=timeout_s).stdout for one in places]
            said = [os.fsdecode(row)[:-1] for row in rows]
        root, git_dir, common = said
        self.root = Path(root)
        self.git_dir = Path(git_dir).resolve()
        self.common_dir = Path(common).resolve()
        # What a full hash names never changes. A cycle asks for its base's and its attempt's files
        # again and again, and each question is a process.
        self._trees: dict[str, str] = {}
        self._listed: dict[str, dict[str, TreeEntry]] = {}
        self._read: dict[tuple[str, str], bytes] = {}

    @cached_property
    def state_dir(self) -> Path:
        """The harness's own folder, outside checkout and `.git`; whoever writes there makes it."""
        return settled_state(self.root, self.common_dir)

    def claim_state(self) -> None:
        """Make the state folder, as this repository's and no other's at the same path."""
        claim(self.state_dir, self.common_dir)

    # -- running ---------------------------------------------------------------------------

    def run(
        self,
        *args: str,
        check: bool = True,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        cwd: Path | None = None,
    ) -> Result:
        """One git command; GitError with git's own words when `check` and it failed."""
        limit = self.timeout_s if timeout_s is None else timeout_s
        result = run_git(cwd or self.root, args, timeout_s=limit, env=env, stdin=stdin)
        if check and result.status:
            raise GitError(
                f"git {' '.join(args[:2])} failed (exit {result.status})",
                where=cwd or self.root,
                got=result.stderr.strip() or result.stdout.decode("utf-8", "replace").strip(),
            )
        return result

    def text(self, *args: str, **options: object) -> str:
        """Standard output of one git command as text, without the final newline."""
        return os.fsdecode(self.run(*args, **options).stdout).rstrip("\n")  # type: ignore[arg-type]

    # -- objects ---------------------------------------------------------------------------

    def read_blob(self, rev: str, path: str) -> bytes:
        """Bytes of `path` in commit or tree `rev`; GitError when absent."""
        known = self._read.get((rev, path))
        if known is not None:
            return known
        data = self.run("cat-file", "blob", f"{safe_ref(rev)}:{path}").stdout
        if len(data) <= LARGEST_BLOB:
            _keep(self._read, rev, (rev, path), data, BLOBS_KEPT)
        return data

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Bytes of blobs by their hash, in one git command; what is not here is left out."""
        asked = "".join(f"{name}\n" for name in names).encode()
        said = self.run("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked).stdout
        rows = (line.split() for line in said.decode().splitlines())
        return {name: int(size) for name, size in rows if size.isdigit()}

    def read_blobs(self, names: Iterable[str], *, most: int | None = None) -> dict[str, bytes]:
        """Bytes of blobs by their hash; what is not here, or larger than `most`, is left out."""
        if most is not None:
            names = [name for name, size in self.sizes(names).items() if size <= most]
        asked = "".join(f"{name}\n" for name in names).encode()
        said = self.run("cat-file", "--batch=%(objectname) %(objectsize)", stdin=asked).stdout
        found, at = dict[str, bytes](), 0
        while at < len(said):
            end = said.index(b"\n", at)
            name, size = said[at:end].decode().split()
            at = end + 1
            if size.isdigit():
                found[name] = said[at : at + int(size)]
                at += int(size) + 1
        return found

    def exists_in(self, rev: str, path: str) -> bool:
        """Whether commit or tree `rev` has `path`."""
        if (rev, path) in self._read:
            return True
        return self.run("cat-file", "-e", f"{safe_ref(rev)}:{path}", check=False).status == 0

    def list_tree(self, rev: str, *paths: str) -> dict[str, TreeEntry]:
        """All files of `rev` (below `paths`) with mode and hash."""
        if not paths and rev in self._listed:
            return dict(self._listed[rev])
        args = (
            "ls-tree",
            "-r",
            "-z",
            "--full-tree",
            safe_ref(rev),
            *(("--", *paths) if paths else ()),
        )
        entries = {}
        for record in os.fsdecode(self.run(*args).stdout).split("\0"):
            if record:
                meta, path = record.split("\t", 1)
                mode, _, sha = meta.split()
                entries[path] = TreeEntry(mode, sha)
        if not paths and len(entries) <= LARGEST_TREE:
            _keep(self._listed, rev, rev, dict(entries), TREES_KEPT)
        return entries

    def tree_of(self, rev: str) -> str:
        """Tree hash of a commit (or of a tree itself)."""
        if rev in self._trees:
            return self._trees[rev]
        tree = self.text("rev-parse", "--verify", f"{safe_ref(rev)}^{{tree}}")
        self._trees_are(tree, rev)
        return tree

    def _trees_are(self, tree: str, *revs: str) -> None:
        for rev in (tree, *revs):
            _keep(self._trees, rev, rev, tree, BLOBS_KEPT)

    @cached_property
    def object_format(self) -> str:
        """`sha1`, or `sha256`."""
        return self.text("rev-parse", "--show-object-format")

    def blob_hash(self, size: int) -> Any:
        """A digest that holds the head of a blob of `size` bytes, for its data."""
        head = b"blob %d\0" % size
        return hashlib.new(self.object_format, head, usedforsecurity=False)

    def write_blob(self, data: bytes) -> str:
        """Store bytes as they are (no filters); returns the hash."""
        digest = self.blob_hash(len(data))
        digest.update(data)
        self.store_blob(digest.hexdigest(), len(data), [data])
        return str(digest.hexdigest())

    def store_blob(self, sha: str, size: int, chunks: Iterable[bytes]) -> None:
        """Write a blob as git's loose object, piece by piece; its hash must be `sha`."""
        goal = self.common_dir / "objects" / sha[:2] / sha[2:]
        if goal.exists():
            return
        goal.parent.mkdir(exist_ok=True)
        digest, pack = self.blob_hash(size), zlib.compressobj(1)
        with tempfile.NamedTemporaryFile(dir=goal.parent, prefix="tmp_obj_", delete=False) as file:
            file.write(pack.compress(b"blob %d\0" % size))
            for data in chunks:
                digest.update(data)
                file.write(pack.compress(data))
            file.write(pack.flush())
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha:
            os.unlink(file.name)
            raise HarnessError("a file of the workspace changed while it was read")
        os.chmod(file.name, 0o444)
        os.replace(file.name, goal)

    @contextmanager
    def temporary_index(self, tree: str | None = None) -> Iterator[dict[str, str]]:
        """Environment for commands on a throw-away index, filled from `tree` if given."""
        self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=self.state_dir, prefix="index-") as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.run("read-tree", tree if tree else "--empty", env=env)
            yield env

    def write_tree(self, base: str | None, changes: Mapping[str, bytes | TreeEntry | None]) -> str:
        """Tree of `base` (commit, tree or None) with `changes`: bytes, an entry, None deletes."""
        if base and not changes:
            return self.tree_of(base)
        lines = []
        for path, value in changes.items():
            if value is None:
                none = "0" * (64 if self.object_format == "sha256" else 40)
                lines.append(f"0 {none}\t{path}")
            elif isinstance(value, TreeEntry):
                lines.append(f"{value.mode} {value.sha}\t{path}")
            else:
                lines.append(f"100644 {self.write_blob(value)}\t{path}")
        data = os.fsencode("".join(f"{line}\0" for line in lines))
        with self.temporary_index(self.tree_of(base) if base else None) as env:
            self.run("update-index", "-z", "--replace", "--index-info", env=env, stdin=data)
            tree = self.text("write-tree", env=env)
        self._trees_are(tree)
        return tree

    def commit_tree(
        self,
        tree: str,
        parents: Iterable[str],
        message: str,
        *,
        identity: Mapping[str, str] | None = None,
        date: str | None = None,
    ) -> str:
        """Commit `tree` without touching any ref; returns the hash.

        The user's git identity is used where one is set, the harness's own otherwise. `date` (git's
        `<unix seconds> +0000` form) makes the hash a function of the contents alone.
        """
        env = dict(identity) if identity is not None else self._identity()
        if date is not None:
            env |= {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        flags = [part for parent in parents for part in ("-p", parent)]
        text = message.encode()
        return self.text("commit-tree", tree, *flags, "-F", "-", env=env, stdin=text)

    def _identity(self) -> dict[str, str]:
        known = self.run("var", "GIT_COMMITTER_IDENT", check=False).status == 0
        return {} if known else dict(IDENTITY)

    # -- differences -----------------------------------------------------------------------

    def diff_entries(self, base: str, head: str) -> list[DiffEntry]:
        """Changed files between two commits or trees; a rename is a deletion and an addition."""
        args = ("diff-tree", "-r", "-z", "--no-renames", self.tree_of(base), self.tree_of(head))
        fields = iter(os.fsdecode(self.run(*args).stdout).split("\0"))
        entries = []
        for meta in fields:
            if not meta:
                break
            old_mode, mode, old_sha, sha, letter = meta.lstrip(":").split()
            entries.append(DiffEntry(letter[0], next(fields), old_mode, mode, old_sha, sha))
        return entries

    def diff_names(self, base: str, head: str) -> list[str]:
        """Paths that differ between two commits or trees, sorted."""
        return sorted(entry.path for entry in self.diff_entries(base, head))

    def diff_text(self, base: str, head: str, *paths: str) -> str:
        """The patch between two commits or trees (binary files included, ready for `git apply`)."""
        flags = ("diff", "--no-ext-diff", "--no-textconv", "--binary", "--full-index", "--no-color")
        out = self.run(*flags, self.tree_of(base), self.tree_of(head), "--", *paths).stdout
        return out.decode("utf-8", "surrogateescape")

    def diffs(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """The patch of each `(base, head)` pair of commits, "" where either is not here.

        One git process for all of them; binary files are named only, bytes that are not UTF-8
        become question marks.
        """
        names = sorted({sha for pair in pairs for sha in pair})
        asked = self.run("cat-file", "--batch-check", stdin="\n".join([*names, ""]).encode())
        rows = asked.stdout.decode().splitlines()
        here = {n for n, row in zip(names, rows, strict=True) if row.split(" ")[1:2] == ["commit"]}
        known = [pair for pair in pairs if here.issuperset(pair)]
        flags = ("-p", "-r", "--always", "--no-renames", "--no-ext-diff", "--no-textconv")
        lines = "".join(f"{head} {base}\n" for base, head in known).encode()
        out = self.run("diff-tree", "--stdin", *flags, "--no-color", stdin=lines).stdout
        found = re.split(rb"(?m)^[0-9a-f]{40,64}\n", out)[1:]
        texts = dict(zip(known, found, strict=True))
        return [texts.get(pair, b"").decode("utf-8", "replace") for pair in pairs]

    def added_lines(self, base: str, head: str, *paths: str) -> bytes:
        """The patch without context, every file as text: no attribute or NUL byte hides a line."""
        flags = ("--text", "--unified=0", "--no-ext-diff", "--no-textconv", "--no-color")
        trees = (self.tree_of(base), self.tree_of(head))
        return self.run("diff", *flags, "--no-renames", *trees, "--", *paths).stdout

    def merged(self, ours: str, theirs: str) -> tuple[str, list[str]]:
        """The tree of two commits merged, and the files that do not merge (then the tree is "")."""
        words = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages")
        said = self.run(*words, ours, theirs, check=False)
        tree, *names = os.fsdecode(said.stdout).split("\0")
        if said.status == 0:
            return tree, []
        return "", sorted({name for name in names if name}) or [said.stderr[:200] or "no merge"]

    def patch_id(self, base: str, head: str) -> str:
        """Hash of a change: paths, modes and every byte of its lines; "" for no change.

        Only the names of whole files (`index 12ab..34cd`) are left out: they change with lines
        that the change does not touch. White space is meaning.
        """
        patch = _INDEX_LINE.sub(b"", self.diff_text(base, head).encode("utf-8", "surrogateescape"))
        return hashlib.sha256(patch).hexdigest() if patch else ""
