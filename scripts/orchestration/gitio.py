"""Everything the harness does with git, on one class.

Rules kept here: no call forces anything; a ref moves only by compare-and-swap; a branch that is
checked out somewhere is advanced only by `git merge --ff-only` in that checkout; commits are made
by plumbing from a temporary index, so the user's index and files are never touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestration.git_command import GitError, GitTimeout, MergeRefused, RefMoved, safe_ref
from orchestration.git_objects import ZERO, DiffEntry, ObjectStore, TreeEntry

__all__ = [
    "DiffEntry",
    "GitError",
    "GitTimeout",
    "MergeRefused",
    "RefMoved",
    "Repo",
    "StatusEntry",
    "TreeEntry",
    "Worktree",
]


@dataclass(frozen=True)
class StatusEntry:
    """One line of `git status --porcelain=v2`: `xy` is index and worktree state, `??` untracked."""

    xy: str
    path: str


@dataclass(frozen=True)
class Worktree:
    """A registered worktree; `branch` is the full ref name, None when detached or bare."""

    path: Path
    head: str | None
    branch: str | None
    bare: bool = False


class Repo(ObjectStore):
    """A git repository seen from one checkout (main or linked worktree).

    `root` is that checkout, `git_dir` its private directory, `common_dir` the shared one; the
    harness keeps all of its own files under `state_dir`, which no checkout shows.
    """

    # -- refs ------------------------------------------------------------------------------

    def head(self) -> str:
        """Hash of HEAD; GitError in a repository without a commit."""
        return self.resolve("HEAD")

    def branch(self) -> str | None:
        """Short name of the checked-out branch (also when unborn); None when detached."""
        found = self.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False)
        return os.fsdecode(found.stdout).strip() or None

    def resolve(self, ref: str) -> str:
        """Commit hash that `ref` names; GitError when there is none."""
        sha = self.try_resolve(ref)
        if sha is None:
            raise GitError(
                f"no commit is named {ref!r}",
                where=self.root,
                fix="make a first commit" if ref == "HEAD" else "check `git branch --all`",
            )
        return sha

    def try_resolve(self, ref: str) -> str | None:
        """Commit hash that `ref` names, or None."""
        spec = f"{safe_ref(ref)}^{{commit}}"
        found = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", spec, check=False)
        return found.stdout.decode().strip() or None

    def update_ref(self, ref: str, new: str, old: str | None, *, message: str = "") -> None:
        """Move `ref` from `old` to `new` atomically (`old` None: it must not exist yet).

        Raises RefMoved when the ref is not at `old`. The full name is required, so that a branch
        is never mistaken for a tag. Never call it for a branch that is checked out.
        """
        if not ref.startswith("refs/"):
            raise GitError("a ref is updated by its full name", expected="refs/heads/…", got=ref)
        args = ("update-ref", "--create-reflog", "-m", message or "orchestrate", ref, new)
        result = self.run(*args, old or ZERO, check=False)
        if result.status:
            raise RefMoved(
                f"{ref} moved while the harness worked",
                expected=old or "not to exist",
                got=self.try_resolve(ref) or result.stderr.strip(),
                fix="run the command again: it starts from the new place",
            )

    def delete_ref(self, ref: str, old: str) -> None:
        """Delete `ref` only while it is at `old`; RefMoved otherwise."""
        if self.run("update-ref", "-d", safe_ref(ref), old, check=False).status:
            raise RefMoved(f"{ref} moved; it was not deleted", expected=old)

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """All refs under `prefix` with the object each names (tags unpeeled)."""
        lines = self.text("for-each-ref", "--format=%(objectname) %(refname)", prefix).splitlines()
        return {name: sha for sha, name in (line.split(" ", 1) for line in lines)}

    def snapshot_refs(self) -> dict[str, str]:
        """Every ref, and HEAD (`ref: refs/heads/x` or a hash), for `restore_refs`."""
        symbolic = self.run("symbolic-ref", "--quiet", "HEAD", check=False).stdout.decode().strip()
        head = f"ref: {symbolic}" if symbolic else self.try_resolve("HEAD") or ""
        return {**self.refs(), "HEAD": head}

    def restore_refs(self, snapshot: Mapping[str, str], *, ignore: Iterable[str] = ()) -> list[str]:
        """Put every ref back where `snapshot` has it; returns a line for each that had moved.

        `ignore` holds prefixes the harness itself moves. Nothing is lost: what a ref pointed to
        stays in the object store and in the returned line.
        """
        skip = tuple(ignore)
        now, lines = self.snapshot_refs(), []
        for name in sorted({*now, *snapshot} - {"HEAD"}):
            before, after = snapshot.get(name), now.get(name)
            if before == after or (skip and name.startswith(skip)):
                continue
            if before is None:
                self.run("update-ref", "-d", name, after or ZERO)
            else:
                self.run("update-ref", "-m", "orchestrate: restored", name, before, after or ZERO)
            lines.append(f"{name}: {after or 'deleted'} put back to {before or 'absent'}")
        if snapshot["HEAD"] != now["HEAD"] and snapshot["HEAD"]:
            if snapshot["HEAD"].startswith("ref: "):
                self.run("symbolic-ref", "HEAD", snapshot["HEAD"][5:])
            else:
                self.run("update-ref", "--no-deref", "HEAD", snapshot["HEAD"])
            lines.append(f"HEAD: {now['HEAD'] or 'unborn'} put back to {snapshot['HEAD']}")
        return lines

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` contains `old`."""
        return self.run("merge-base", "--is-ancestor", old, new, check=False).status == 0

    def merge_base(self, left: str, right: str) -> str | None:
        """Best common ancestor, or None for unrelated histories."""
        return self.run("merge-base", left, right, check=False).stdout.decode().strip() or None

    # -- worktree state --------------------------------------------------------------------

    def status(self, *, untracked: bool = True, cwd: Path | None = None) -> list[StatusEntry]:
        """Changed and untracked paths of a checkout (submodules are not looked into)."""
        args = ["status", "--porcelain=v2", "-z", "--ignore-submodules=all"]
        args.append("--untracked-files=all" if untracked else "--untracked-files=no")
        records = iter(os.fsdecode(self.run(*args, cwd=cwd).stdout).split("\0"))
        entries = []
        for record in records:
            if record.startswith("1 "):
                fields = record.split(" ", 8)
                entries.append(StatusEntry(fields[1], fields[8]))
            elif record.startswith("2 "):
                fields = record.split(" ", 9)
                entries.append(StatusEntry(fields[1], fields[9]))
                next(records, None)
            elif record.startswith("u "):
                fields = record.split(" ", 10)
                entries.append(StatusEntry(fields[1], fields[10]))
            elif record.startswith("? "):
                entries.append(StatusEntry("??", record[2:]))
        return entries

    def is_dirty(self, *, untracked: bool = True) -> bool:
        """Whether this checkout differs from HEAD."""
        return bool(self.status(untracked=untracked))

    def worktrees(self) -> list[Worktree]:
        """All registered worktrees, the main one first."""
        found = []
        raw = os.fsdecode(self.run("worktree", "list", "--porcelain", "-z").stdout)
        for block in raw.split("\0\0"):
            pairs = dict(line.partition(" ")[::2] for line in block.split("\0") if line)
            if "worktree" in pairs:
                place = Path(pairs["worktree"])
                row = Worktree(place, pairs.get("HEAD"), pairs.get("branch"), "bare" in pairs)
                found.append(row)
        return found

    def worktree_add(self, path: Path, branch: str | None, base: str) -> None:
        """New worktree at `path` on a new `branch` (None: detached) from `base`."""
        how = ["-b", safe_ref(branch)] if branch else ["--detach"]
        path.parent.mkdir(parents=True, exist_ok=True)
        base_sha = self.resolve(base)
        self.run("worktree", "add", "--quiet", "--no-track", *how, "--", str(path), base_sha)

    def worktree_remove(self, path: Path) -> bool:
        """Remove a clean worktree. False when git refuses (dirty or locked): it is then kept."""
        if not path.exists():
            self.run("worktree", "prune")
            return True
        return self.run("worktree", "remove", "--", str(path), check=False).status == 0

    def checked_out_at(self, branch: str) -> Path | None:
        """The worktree that has `branch` checked out, if any."""
        name = f"refs/heads/{branch}"
        return next((w.path for w in self.worktrees() if w.branch == name and not w.bare), None)

    def merge_ff_only(self, branch: str, sha: str) -> Path | None:
        """Advance `branch` to `sha`, fast-forward only; returns the checkout it was done in.

        Checked out: `git merge --ff-only` there, which keeps unrelated edits and refuses overlaps.
        Not checked out: compare-and-swap. MergeRefused when git refuses or histories diverged.
        """
        place = self.checked_out_at(branch)
        if place is not None:
            done = self.run("merge", "--ff-only", "--quiet", sha, check=False, cwd=place)
            if done.status:
                raise MergeRefused(
                    f"{branch} was not advanced: git refused the fast-forward",
                    where=place,
                    got=done.stderr.strip(),
                    fix=f"commit or stash your changes, then: git merge --ff-only {sha[:12]}",
                )
            return place
        ref = f"refs/heads/{branch}"
        old = self.try_resolve(ref)
        if old is not None and not self.is_ancestor(old, sha):
            raise MergeRefused(f"{branch} has commits that {sha[:12]} lacks", expected=old, got=sha)
        self.update_ref(ref, sha, old, message="orchestrate: fast-forward")
        return None
