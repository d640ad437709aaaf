"""Where attempts happen: a workspace for the agent, and fresh checkouts for the gates.

All of it lies outside the person's checkout and outside `.git`: workspaces in the state folder,
checkouts in the folder for temporary files, so that their paths do not name the harness.

- A workspace is a private repository: one branch at the base, no remote, its objects borrowed from
  a store of the harness that holds the base's history and nothing else. The agent's git may do what
  it likes there; the harness runs no git in it and reads its files only (`git.import_files`).
- A fresh checkout is a plain export with a tiny private repository (one branch, one commit). A test
  that runs git in it, honest or not, cannot reach the person's refs or config, and finds no later
  commits to copy an answer from.
"""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.core import matches
from orchestration.errors import HarnessError
from orchestration.gates import is_guarded
from orchestration.git import (
    ATTEMPTS,
    Imported,
    Repo,
    TreeEntry,
    import_files,
    lay_out,
    private_repository,
    store_with,
)
from orchestration.sandbox import remove_tree

AGENTS_OWN = (
    "*cache*",
    "*history*",
    "*.log",
    "debug",
    "log",
    "logs",
    "node_modules",
    "projects",
    "session*",
    "shell-snapshots",
    "statsig",
    "tmp",
    "todos",
    "version.json",
)
"""Sessions, logs and caches of agents' programs, in the folder that each calls its own.

What steers an agent lies there too (settings, rules, commands): that is no litter, and is flagged.
"""
LITTER = (
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    ".coverage",
    ".coverage.*",
    ".tox",
    ".nox",
    ".ipynb_checkpoints",
    ".DS_Store",
    "node_modules",
    # `pip install -e .` in the workspace: pip's own, which names commands and plug-ins of pytest.
    "./*.egg-info",
    "src/*.egg-info",
    ".aider.*",
    ".claude/settings.local.json",
    *(
        f"{folder}/{name}"
        for folder in (".claude", ".codex", ".gemini", ".opencode", ".cursor", ".aider")
        for name in AGENTS_OWN
    ),
)
"""What running Python, and agents' programs, leave where no .gitignore names it: no work."""


@dataclass(frozen=True)
class Snapshot:
    """The files of a workspace at one moment, as a commit whose only parent is the base."""

    commit: str
    tree: str
    changed: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    """What lay there and is no file (FIFOs, sockets, hard links, repositories), one line each."""
    ignored: tuple[str, ...] = ()
    """What git ignores of what lay there, caches aside."""
    litter: tuple[str, ...] = ()
    """What agents' programs left of their own, and caches."""

    @property
    def empty(self) -> bool:
        """Whether nothing differs from the base."""
        return not self.changed


@dataclass(frozen=True)
class Workspace:
    """One attempt's private repository, and the attempt's branch in the person's."""

    path: Path
    branch: str
    base: str
    item: str
    n: int
    repo: Repo = field(repr=False, compare=False)
    untouched_files: Imported | None = field(default=None, repr=False, compare=False)
    """What lay in it before the agent came, where that is more than the base."""

    def files(self) -> Imported:
        """The files as they are, in a tree."""
        return import_files(self.repo, self.path, self.base, litter=LITTER)

    def _changes(self, exclude: Iterable[str]) -> tuple[str, Imported]:
        """The tree with the agent's changes and nobody else's, and what was read."""
        read = self.files()
        before, after = self.repo.list_tree(self.base), self.repo.list_tree(read.tree)
        brought = self.untouched_files
        laid = self.repo.list_tree(brought.tree) if brought else before
        own = [
            p
            for p in {*laid, *after}
            if laid.get(p) != before.get(p) and laid.get(p) == after.get(p)
        ]
        moved = [p for p in {*own, *exclude} if before.get(p) != after.get(p)]
        tree = read.tree
        if moved:
            tree = self.repo.write_tree(tree, {p: before.get(p) for p in moved})
        return tree, read

    def snapshot(self, message: str = "attempt", *, exclude: Iterable[str] = ()) -> Snapshot:
        """Commit the files as they are on the attempt's branch, whatever the agent did to git.

        The commit's only parent is the base: commits the agent made are flattened into it.
        `exclude` names files of the harness (the order) that stay as in the base. Raises
        HarnessError for a workspace that passes a bound or is no longer a folder.
        """
        tree, read = self._changes(exclude)
        changed = tuple(self.repo.diff_names(self.base, tree))
        commit = self.base
        if changed:
            commit = self.repo.commit_tree(tree, [self.base], message)
        self.point_at(commit)
        lists = (read.skipped, read.ignored, read.litter)
        return Snapshot(commit, tree, changed, *map(tuple, lists))

    def untouched(self, *, exclude: Iterable[str] = ()) -> bool:
        """Whether the files are those of the base; what cannot be read is not."""
        try:
            tree, _ = self._changes(exclude)
        except (HarnessError, OSError):
            return False
        return not self.repo.diff_names(self.base, tree)

    def point_at(self, commit: str) -> None:
        """Make the attempt's branch name `commit`."""
        ref = f"refs/heads/{self.branch}"
        old = self.repo.try_resolve(ref)
        if old != commit:
            self.repo.update_ref(ref, commit, old, message="orchestrate: attempt")

    def remove(self) -> None:
        """Delete the workspace, whatever lies in it; what was taken from it is on the branch."""
        remove_tree(self.path)
        _made(self.path).unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Move a workspace that could not be read out of the way; a person may look into it."""
        number = 1
        while os.path.lexists(goal := self.path.with_name(f"{self.n}-unread-{number}")):
            number += 1
        self.path.rename(goal)
        _made(self.path).unlink(missing_ok=True)
        return goal


def slug(item: str) -> str:
    """`item` as one path and ref component."""
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", item).strip(".-")
    while ".." in text:
        text = text.replace("..", ".")
    if not text or text.endswith(".lock"):
        raise HarnessError("an item id must hold a letter or digit", got=item)
    return text


def attempts_dir(repo: Repo) -> Path:
    """Folder of all workspaces."""
    return repo.state_dir / "workspaces"


def branch_of(item: str, n: int) -> str:
    """The branch of attempt `n` of `item`."""
    return f"{ATTEMPTS}/{slug(item)}/{n}"


def where_to_look(item: str, n: int, base: str) -> str:
    """How a person sees what attempt `n` of `item` left, here and from another clone."""
    branch = branch_of(item, n)
    return f"git diff {base[:12]} {branch} (another clone: git fetch REPOSITORY {branch})"


def create(repo: Repo, item: str, n: int, base: str) -> Workspace:
    """Workspace for attempt `n` of `item` at `base`; resumes one that a crash left behind."""
    branch = branch_of(item, n)
    path = _place(repo, item, n)
    base_sha = repo.resolve(base)
    workspace = Workspace(path, branch, base_sha, item, n, repo)
    if not is_laid(repo, item, n):
        if os.path.lexists(path):
            raise HarnessError(
                f"the folder of attempt {n} of {item} is in the way",
                where=path,
                fix="look into it, move what you need, then remove it",
            )
        _lay(repo, path, base_sha)
    if repo.try_resolve(f"refs/heads/{branch}") is None:
        workspace.point_at(base_sha)
    return workspace


def is_laid(repo: Repo, item: str, n: int) -> bool:
    """Whether the workspace of attempt `n` is there, and whole: it was laid out before."""
    path = _place(repo, item, n)
    return _made(path).is_file() and os.path.lexists(path)


def _place(repo: Repo, item: str, n: int) -> Path:
    return attempts_dir(repo) / slug(item) / str(n)


def _made(path: Path) -> Path:
    """The harness's word that it laid a workspace out, and whole; beside it, out of reach."""
    return path.with_name(f"{path.name}.made")


def _lay(repo: Repo, path: Path, base: str) -> None:
    half = path.with_name(f"{path.name}.half")
    if half.exists():
        remove_tree(half)  # a kill came while it was laid out; nobody has worked in it
    half.mkdir(parents=True, mode=0o700)
    lay_out(repo, base, half)
    private_repository(repo, half, base, store_with(repo, base))
    # The word comes first: a kill between the two leaves a word without a folder, which is laid out
    # again; a folder without a word would be a stranger's.
    _made(path).write_text(f"{base}\n", encoding="ascii")
    half.rename(path)


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
) -> Path:
    """Export `sha` (see `compose` for the overlay) into a new private folder; returns it.

    Remove it with `remove_checkout`. Submodule folders are left empty.
    """
    tree = compose(
        repo, sha, overlay_from=overlay_from, may_edit=may_edit, new=new, overlay=overlay
    )
    return export(repo, tree, head=repo.try_resolve(sha))


def export(repo: Repo, tree: str, *, head: str | None = None) -> Path:
    """Write `tree` into a new folder with a private repository whose history is `head` alone.

    The code under test runs there, so its name, and what git keeps in it, say nothing of the
    harness: it lies in the folder for temporary files, and the state folder has a link to it.
    """
    name = uuid.uuid4().hex[:12]
    path = Path(os.path.realpath(_temporary())) / name
    link = repo.state_dir / "checkouts" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(path)  # first: what a kill leaves is then found
    path.mkdir(mode=0o700)
    lay_out(repo, tree, path)
    private_repository(repo, path, head, None)
    return path


def _temporary() -> str:
    """A folder on a disk, where the system has the usual one: /tmp can be in memory."""
    usual = "/var/tmp"
    asked = "TMPDIR" in os.environ or not os.access(usual, os.W_OK)
    return tempfile.gettempdir() if asked else usual


def remove_checkout(repo: Repo, path: Path) -> None:
    """Delete a fresh checkout. Refuses any folder that this module did not make."""
    home = repo.state_dir / "checkouts"
    link = home / path.name
    ours = os.path.islink(link) and os.readlink(link) == str(path)
    earlier = path.parent == home  # earlier versions laid them into the state folder itself
    if path.is_symlink() or not (ours or (earlier and path.exists())):
        raise HarnessError("not a fresh checkout; nothing was deleted", where=path)
    remove_tree(path)
    if ours:
        link.unlink()


def leftovers(repo: Repo) -> list[Path]:
    """Fresh checkouts that a killed run left behind (safe to remove: nobody works in them)."""
    home = repo.state_dir / "checkouts"
    kept = sorted(home.iterdir()) if home.is_dir() else []
    links = [Path(os.readlink(path)) for path in kept if path.is_symlink()]
    return links + [path for path in kept if path.is_dir() and not path.is_symlink()]
