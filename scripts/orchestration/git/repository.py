"""Everything the harness does with git, on one class.

Rules kept here: no call forces anything; a ref moves only by compare-and-swap; a branch that is
checked out somewhere is advanced only by `git merge --ff-only` in that checkout; commits are made
by plumbing from a temporary index, so the user's index and files are never touched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestration.git.command import GitError, GitTimeout, MergeRefused, RefMoved, safe_ref
from orchestration.git.objects import DiffEntry, ObjectStore, TreeEntry
from orchestration.git.refs import LOG_REF, short_ref
from orchestration.git.unfinished import holder, unfinished

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

FAST_FORWARD = (
    "--ff-only",
    "--quiet",
    "--commit",
    "--no-squash",
    "--no-autostash",
    "--no-overwrite-ignore",
    "--no-verify-signatures",
)
"""A person's `merge.*` and `branch.*.mergeOptions` never make more of it, or less."""
MERGE_S = 600.0
"""A merge that is killed leaves a lock and half of the files, so it has long."""


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
        result = self.run(*args, old or "0" * len(new), check=False)
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
        lines = self.text("for-each-ref", "--format=%(objectname) %(refname)", prefix).split("\n")
        return {name: sha for sha, name in (line.split(" ", 1) for line in lines if line)}

    def snapshot_refs(self) -> dict[str, str]:
        """Every ref, and HEAD (`ref: refs/heads/x` or a hash)."""
        symbolic = os.fsdecode(self.run("symbolic-ref", "--quiet", "HEAD", check=False).stdout)
        symbolic = symbolic.rstrip("\n")
        head = f"ref: {symbolic}" if symbolic else self.try_resolve("HEAD") or ""
        return {**self.refs(), "HEAD": head}

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` contains `old`."""
        return self.run("merge-base", "--is-ancestor", old, new, check=False).status == 0

    def line_times(self, path: str) -> dict[int, datetime]:
        """When each line (from 1) of a tracked file was committed; uncommitted lines are left out.

        Empty for a file that git does not track.
        """
        done = self.run("blame", "--line-porcelain", "--", path, check=False)
        times: dict[int, datetime] = {}
        line, known = 0, False
        for row in done.stdout.split(b"\n") if done.status == 0 else ():
            words = row.split(b" ")
            if len(words) in (3, 4) and len(words[0]) in (40, 64) and not row.startswith(b"\t"):
                line, known = int(words[2]), bool(words[0].strip(b"0"))
            elif row.startswith(b"committer-time ") and known:
                times[line] = datetime.fromtimestamp(int(words[1]), UTC)
        return times

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
        found: list[Worktree] = []
        raw = os.fsdecode(self.run("worktree", "list", "--porcelain", "-z").stdout)
        for block in raw.split("\0\0"):
            pairs = dict(line.partition(" ")[::2] for line in block.split("\0") if line)
            if "worktree" in pairs:
                place = Path(pairs["worktree"])
                if not found and self.git_dir == self.common_dir and "bare" not in pairs:
                    place = self.root  # git names a git directory elsewhere itself
                row = Worktree(place, pairs.get("HEAD"), pairs.get("branch"), "bare" in pairs)
                found.append(row)
        return found

    def _tip(self, path: Path) -> str:
        return self.text("rev-parse", "HEAD", cwd=path)

    def checked_out_at(self, branch: str) -> Path | None:
        """The worktree that has `branch` checked out, if any."""
        name = f"refs/heads/{branch}"
        return next((w.path for w in self.worktrees() if w.branch == name and not w.bare), None)

    def log_tip(self) -> str | None:
        """The published log's commit: that of our branch, or, in a fresh clone, of its remote's."""
        name = short_ref(LOG_REF)
        copies = (f"refs/remotes/origin/{name}", *sorted(self.refs("refs/remotes/")))
        refs = (LOG_REF, *(ref for ref in copies if ref.endswith(f"/{name}")))
        return next(filter(None, map(self.try_resolve, refs)), None)

    def merge_ff_only(self, branch: str, sha: str) -> Path | None:
        """Advance `branch` to `sha`, fast-forward only; returns the checkout it was done in.

        Checked out: `git merge --ff-only` there, which keeps unrelated edits and refuses overlaps.
        Not checked out: compare-and-swap. MergeRefused when git refuses or histories diverged.
        """
        held = holder(self.common_dir, branch)
        if held is not None:
            raise MergeRefused(
                f"{branch} was not advanced: {held[1]} of it is not finished",
                where=held[0],
                got=f"{held[1]} of {branch} is not finished",
                fix=f"finish it, then: git merge {sha[:12]}",
            )
        place = self.checked_out_at(branch)
        if place is not None:
            self._fast_forward(place, branch, sha)
            return place
        ref = f"refs/heads/{branch}"
        old = self.try_resolve(ref)
        if old is not None and not self.is_ancestor(old, sha):
            raise MergeRefused(f"{branch} has commits that {sha[:12]} lacks", expected=old, got=sha)
        self.update_ref(ref, sha, old, message="orchestrate: fast-forward")
        return None

    def _fast_forward(self, place: Path, branch: str, sha: str) -> None:
        """`git merge --ff-only` in a checkout, whatever its configuration would add to that."""
        fix = f"commit or stash your changes, then: git merge --ff-only {sha[:12]}"
        going_on = unfinished(Path(self.text("rev-parse", "--absolute-git-dir", cwd=place)))
        deleted = self._deleted(place)
        if deleted:
            deleted &= set(self.diff_names(self._tip(place), sha))
        problem = f"{going_on} is not finished" if going_on else ""
        if deleted and not problem:
            problem = f"you deleted {', '.join(sorted(deleted)[:5])}, which the commits change"
        if not problem:
            original = self.run("rev-parse", "-q", "--verify", "ORIG_HEAD", check=False, cwd=place)
            done = self.run("merge", *FAST_FORWARD, sha, check=False, cwd=place, timeout_s=MERGE_S)
            self._put_back(place, original.stdout.decode().strip())
            problem = done.stderr.strip() or "git merge failed" if done.status else ""
        if problem:
            what = f"{branch} was not advanced: git refused the fast-forward"
            raise MergeRefused(what, where=place, got=problem, fix=fix)

    def _deleted(self, place: Path) -> set[str]:
        """Files that a person deleted without telling git; a merge would bring them back."""
        asked = ("diff-files", "--name-only", "--diff-filter=D", "-z")
        return set(os.fsdecode(self.run(*asked, cwd=place).stdout).split("\0")) - {""}

    def _put_back(self, place: Path, original: str) -> None:
        """Restore ORIG_HEAD, which is the person's way back from their own last merge or reset."""
        if original:
            self.run("update-ref", "ORIG_HEAD", original, cwd=place)
        else:
            self.run("update-ref", "-d", "ORIG_HEAD", check=False, cwd=place)
