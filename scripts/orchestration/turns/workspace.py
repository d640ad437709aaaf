"""Where attempts happen: a worktree for the agent, and fresh checkouts for the gates.

All of it lies under `<git common dir>/orchestration/`, so the user's tree shows nothing.

- An attempt is a linked worktree on the branch `orchestration/attempts/<item>/<n>`.
- A fresh checkout is *not* a linked worktree: it is a plain export with a tiny private repository
  (borrowed objects, detached shallow HEAD). A test that runs git in it, honest or not, cannot reach
  the user's refs or config, and finds no later commits to copy an answer from.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.core import matches
from orchestration.errors import HarnessError
from orchestration.gates import is_guarded
from orchestration.git import ATTEMPTS, Repo, TreeEntry


@dataclass(frozen=True)
class Snapshot:
    """The files of a workspace at one moment, as a commit whose only parent is the base."""

    commit: str
    tree: str
    changed: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing differs from the base."""
        return not self.changed


@dataclass(frozen=True)
class Workspace:
    """One attempt's worktree. `git_dir` is its private git directory as the harness made it."""

    path: Path
    branch: str
    base: str
    item: str
    n: int
    git_dir: Path
    repo: Repo = field(repr=False, compare=False)

    def intact(self) -> str | None:
        """None, or what the agent did to the worktree's own ties (link, `.git` file)."""
        if self.path.is_symlink() or not self.path.is_dir():
            return f"{self.path} is no longer a folder"
        tie = self.path / ".git"
        if tie.is_symlink() or not tie.is_file():
            return f"{tie} is no longer git's file"
        if tie.read_text(errors="replace").strip() != f"gitdir: {self.git_dir}":
            return f"{tie} points elsewhere: {tie.read_text(errors='replace').strip()[:200]}"
        return None

    def snapshot(self, message: str = "attempt", *, exclude: Iterable[str] = ()) -> Snapshot:
        """Commit the files as they are on the attempt's branch, whatever the agent did to git.

        The commit's only parent is the base: commits the agent made are flattened into it.
        `exclude` names files of the harness (the order) that stay as in the base. Raises
        HarnessError when the worktree's ties were tampered with.
        """
        broken = self.intact()
        if broken:
            raise HarnessError("the attempt's worktree was tampered with", got=broken, exit_code=5)
        env = {"GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(self.path)}
        tree = self.repo.snapshot_tree(self.path, env=env)
        before, after = self.repo.list_tree(self.base), self.repo.list_tree(tree)
        moved = [p for p in exclude if before.get(p) != after.get(p)]
        if moved:
            tree = self.repo.write_tree(tree, {p: before.get(p) for p in moved})
        changed = tuple(self.repo.diff_names(self.base, tree))
        commit = self.base
        if changed:
            commit = self.repo.commit_tree(tree, [self.base], message)
        self._settle(commit, env)
        return Snapshot(commit, tree, changed)

    def _settle(self, commit: str, env: dict[str, str]) -> None:
        """Make branch, HEAD and index of the worktree say what its files already are."""
        ref = f"refs/heads/{self.branch}"
        old = self.repo.try_resolve(ref)
        if old != commit:
            self.repo.update_ref(ref, commit, old, message="orchestrate: attempt")
        self.repo.run("symbolic-ref", "HEAD", ref, env=env, cwd=self.path)
        self.repo.run("read-tree", commit, env=env, cwd=self.path)

    def remove(self, *, discard: Iterable[str] = ()) -> bool:
        """Remove the worktree if it is clean; the branch stays. False: it was kept.

        `discard` names files that the harness itself wrote there (the order).
        """
        if self.intact() is None:
            known = self.repo.list_tree(self.branch)
            for name in discard:
                if name in known:
                    self.repo.run("checkout", "--quiet", "--", name, cwd=self.path)
                else:
                    (self.path / name).unlink(missing_ok=True)
        return self.repo.worktree_remove(self.path)


def slug(item: str) -> str:
    """`item` as one path and ref component."""
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", item).strip(".-")
    while ".." in text:
        text = text.replace("..", ".")
    if not text or text.endswith(".lock"):
        raise HarnessError("an item id must hold a letter or digit", got=item)
    return text


def attempts_dir(repo: Repo) -> Path:
    """Folder of all attempt worktrees."""
    return repo.state_dir / "worktrees"


def branch_of(item: str, n: int) -> str:
    """The branch of attempt `n` of `item`."""
    return f"{ATTEMPTS}/{slug(item)}/{n}"


def create(repo: Repo, item: str, n: int, base: str) -> Workspace:
    """Worktree for attempt `n` of `item` at `base`; resumes one that a crash left behind."""
    branch = branch_of(item, n)
    path = attempts_dir(repo) / slug(item) / str(n)
    base_sha = repo.resolve(base)
    here = next((w for w in repo.worktrees() if w.branch == f"refs/heads/{branch}"), None)
    if here is not None and here.path.exists():
        return _open(repo, here.path, branch, base_sha, item, n)
    if path.exists():
        raise HarnessError(
            f"the folder of attempt {n} of {item} is in the way",
            where=path,
            fix="look into it, move what you need, then remove it",
        )
    if here is not None:
        repo.worktree_remove(here.path)
    known = repo.try_resolve(f"refs/heads/{branch}")
    repo.worktree_add(path, branch, None if known else base_sha)
    return _open(repo, path, branch, base_sha, item, n)


def _open(repo: Repo, path: Path, branch: str, base: str, item: str, n: int) -> Workspace:
    """The workspace at `path`, once its private git directory is known to belong to `repo`."""
    for entry in (repo.common_dir / "worktrees").iterdir():
        tie = entry / "gitdir"
        if tie.is_file() and Path(tie.read_text().strip()) == path / ".git":
            return Workspace(path, branch, base, item, n, entry, repo)
    raise HarnessError("git does not know this worktree", where=path, fix="git worktree prune")


def compose(
    repo: Repo,
    sha: str,
    *,
    overlay_from: str | None = None,
    may_edit: Iterable[str] = (),
    new: Iterable[str] = (),
    overlay: Iterable[str] = (),
) -> str:
    """Tree of `sha` whose tests and configuration are those of `overlay_from`.

    Paths that match `may_edit` or `new` (globs the order allows) stay as in `sha`; everything else
    that `gates.scope.is_guarded` names, or that matches `overlay`, is taken from the trusted
    commit, and removed where that has none (a stray conftest.py, an undeclared test).
    """
    if overlay_from is None:
        return repo.tree_of(sha)
    mine, trusted = repo.list_tree(sha), repo.list_tree(overlay_from)
    allowed, extra = (*may_edit, *new), tuple(overlay)
    changes: dict[str, bytes | TreeEntry | None] = {}
    for path in {*mine, *trusted}:
        guarded = is_guarded(path) or matches(path, extra)
        if guarded and mine.get(path) != trusted.get(path) and not matches(path, allowed):
            changes[path] = trusted.get(path)
    changes |= _clear_the_way(mine, changes)
    return repo.write_tree(sha, changes)


def lay_over(repo: Repo, base: str, attempt: str, paths: Iterable[str]) -> str:
    """Tree of `base` with the files that match `paths` taken from `attempt` (red first)."""
    mine, theirs = repo.list_tree(base), repo.list_tree(attempt)
    globs = tuple(paths)
    names = [p for p in {*mine, *theirs} if matches(p, globs) and mine.get(p) != theirs.get(p)]
    return repo.write_tree(base, {p: theirs.get(p) for p in names})


def _clear_the_way(
    mine: dict[str, TreeEntry], changes: dict[str, bytes | TreeEntry | None]
) -> dict[str, None]:
    """Files or links of the attempt that sit where a trusted path needs a folder."""
    wanted = [path for path, entry in changes.items() if entry is not None]
    parents = {str(parent) for path in wanted for parent in Path(path).parents}
    return {path: None for path in mine if path in parents}


def fresh_checkout(
    repo: Repo,
    sha: str,
    *,
    overlay_from: str | None = None,
    may_edit: Iterable[str] = (),
    new: Iterable[str] = (),
    overlay: Iterable[str] = (),
    name: str = "",
) -> Path:
    """Export `sha` (see `compose` for the overlay) into a new private folder; returns it.

    Remove it with `remove_checkout`. Submodule folders are left empty.
    """
    tree = compose(
        repo, sha, overlay_from=overlay_from, may_edit=may_edit, new=new, overlay=overlay
    )
    return export(repo, tree, head=repo.try_resolve(sha), name=name)


def export(repo: Repo, tree: str, *, head: str | None = None, name: str = "") -> Path:
    """Write `tree` into a new folder with a private repository whose history is `head` alone."""
    label = f"{slug(name)}-" if name else ""
    path = repo.state_dir / "checkouts" / f"{label}{uuid.uuid4().hex[:12]}"
    path.mkdir(parents=True)
    with repo.temporary_index(tree) as env:
        work = {**env, "GIT_WORK_TREE": str(path), "GIT_DIR": str(repo.common_dir)}
        repo.run("checkout-index", "--all", "--quiet", env=work, cwd=path)
    _private_repository(repo, path, head)
    return path


def _private_repository(repo: Repo, path: Path, head: str | None) -> None:
    repo.run("init", "--quiet", "--template=", cwd=path)
    git_dir = path / ".git"
    (git_dir / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (git_dir / "objects" / "info" / "alternates").write_text(f"{repo.common_dir}/objects\n")
    if head is not None:
        (git_dir / "shallow").write_text(f"{head}\n")
        (git_dir / "HEAD").write_text(f"{head}\n")
        repo.run("read-tree", head, cwd=path)


def remove_checkout(repo: Repo, path: Path) -> None:
    """Delete a fresh checkout. Refuses any folder that this module did not make."""
    home = (repo.state_dir / "checkouts").resolve()
    if path.is_symlink() or path.resolve().parent != home:
        raise HarnessError("not a fresh checkout; nothing was deleted", where=path)
    shutil.rmtree(path, onerror=_make_writable)


def _make_writable(function: object, path: str, _problem: object) -> None:
    """A test may leave read-only folders behind; open them and try once more."""
    parent = os.path.dirname(path)
    os.chmod(parent, stat.S_IRWXU)
    if not os.path.islink(path):
        os.chmod(path, stat.S_IRWXU)
    function(path)  # type: ignore[operator]


def leftovers(repo: Repo) -> list[Path]:
    """Fresh checkouts that a killed run left behind (safe to remove: nobody works in them)."""
    home = repo.state_dir / "checkouts"
    return sorted(p for p in home.iterdir() if p.is_dir()) if home.is_dir() else []
