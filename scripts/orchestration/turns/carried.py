"""`carry:`: git-ignored files of the person's checkout (data, generated versions, `.env`).

They are copied into fresh checkouts and workspaces, so that a guard finds what a clone lacks.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from orchestration.errors import HarnessError
from orchestration.git import Repo
from orchestration.turns.workspace import remove_tree

SUBMODULE = "160000"
SECRETS = (
    *(".env", ".env.*", "*.env", ".envrc", ".netrc", ".pypirc", ".npmrc", ".git-credentials"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "id_rsa", "id_ed25519", "credentials.json"),
)
"""Names of files that guards get and agents do not, unless `carry_to_agents:` names them."""


def carry_into(
    repo: Repo,
    checkout: Path,
    carry: Iterable[str],
    *,
    secrets: bool = True,
    named: Iterable[str] = (),
) -> None:
    """Copy what `carry` names from the person's checkout: every file that is not committed there.

    They are the person's, so they replace what an attempt put in their place. Links stay links;
    FIFOs, sockets and `.git` are left out. `secrets=False` leaves out files that are called as
    secrets are, but those below `named`. Raises HarnessError for a path that is not there, lies
    outside, or cannot be copied.
    """
    for path in carried_files(repo, carry, secrets=secrets, named=named):
        try:
            lay_file(repo.root / path, checkout, path)
        except OSError as problem:
            raise HarnessError(
                "cannot copy what `carry:` names", where=repo.root / path, got=str(problem)
            ) from None


def carried_files(
    repo: Repo, carry: Iterable[str], *, secrets: bool = True, named: Iterable[str] = ()
) -> Iterator[Path]:
    """The files that `carry_into` copies, relative to the root; the same errors."""
    open_to_all = tuple(Path(one) for one in named)
    for name in carry:
        if os.path.isabs(name) or ".." in Path(name).parts or not os.path.lexists(repo.root / name):
            raise HarnessError(
                "cannot carry this into a checkout",
                where="orchestration.yaml: carry",
                expected="a file or folder of your checkout, relative to its root",
                got=name,
                fix="make it (build it, download it), or take it out of `carry:`",
            )
        listed = ("ls-files", "--others", "--exclude-standard", "-z", "--", f":(literal){name}")
        if new := os.fsdecode(repo.run(*listed, cwd=repo.root).stdout).split("\0")[0]:
            raise HarnessError(
                "git does not ignore what `carry:` names: it would be taken for work of an agent",
                where="orchestration.yaml: carry",
                got=new,
                fix=f"git add it, or add it to .gitignore (or to {repo.common_dir}/info/exclude)",
            )
        committed = {
            path for path, entry in repo.list_tree("HEAD", name).items() if entry.mode != SUBMODULE
        }
        for path in _files_of(repo.root, Path(name)):
            shown = secrets or not is_secret(path) or any(map(path.is_relative_to, open_to_all))
            if str(path) not in committed and shown:
                yield path


def is_secret(path: Path) -> bool:
    """Whether a file is called as files with passwords and keys are."""
    return any(fnmatchcase(path.name, glob) for glob in SECRETS)


def _files_of(root: Path, name: Path) -> Iterator[Path]:
    """Regular files and links at and below `name`, relative to `root`; links are not followed."""
    mode = os.lstat(root / name).st_mode
    if stat.S_ISDIR(mode):
        for child in sorted(os.listdir(root / name)):
            if child != ".git":
                yield from _files_of(root, name / child)
    elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        yield name


def lay_file(source: Path, checkout: Path, path: Path) -> None:
    """Copy one file; no link of an attempt leads it out of the checkout."""
    for parent in reversed(path.parents[:-1]):
        if os.path.lexists(checkout / parent) and not _is_folder(checkout / parent):
            (checkout / parent).unlink()
        (checkout / parent).mkdir(exist_ok=True)
    goal = checkout / path
    if os.path.lexists(goal):
        remove_tree(goal)
    shutil.copy2(source, goal, follow_symlinks=False)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
