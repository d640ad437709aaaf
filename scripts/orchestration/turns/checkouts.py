"""Fresh checkouts made ready for pytest, and the one specification of its every start.

`carry:` copies git-ignored files of the person's checkout (data, generated versions, compiled
extensions, `.env`) into each of them, so that a guard finds what a clone lacks.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.errors import HarnessError
from orchestration.gates import GuardSpec, collect_ids, defined_tests
from orchestration.git import Repo
from orchestration.harness import Harness
from orchestration.turns.workspace import export, remove_checkout, remove_tree

MOST_OF_A_REASON = 400
MISSING_CODE = ("ImportError", "ModuleNotFoundError", "AttributeError", "NameError")
"""Why a test of code that does not exist yet cannot be collected; the rest is the machine's."""
SUBMODULE = "160000"


@dataclass(frozen=True)
class Collected:
    """The exact node ids of a selector, and what pytest said about files it could not read."""

    ids: list[str]
    problems: tuple[str, ...] = ()
    defined: tuple[str, ...] = ()
    """Where nothing could be collected: the tests that the files define, read from their text."""

    @property
    def names(self) -> list[str]:
        """The ids, or what is known of them before the files can be imported."""
        return self.ids or list(self.defined)

    @property
    def because(self) -> str:
        """Pytest's own words for what it could not read, in one line; "" where all was read."""
        if not self.problems:
            return ""
        lines = [line.strip() for line in self.problems[0].splitlines() if line.strip()]
        errors = [line[1:].strip() for line in lines if line.startswith("E ")]
        return " | ".join(errors or lines[-3:])[:MOST_OF_A_REASON]


def guard_spec(harness: Harness, checkout: Path, **more: Any) -> GuardSpec:
    """How pytest is started in `checkout`, to collect and to run alike."""
    config = harness.config
    return GuardSpec(
        checkout,
        python=config.python,
        import_roots=config.import_roots,
        timeout_s=config.budgets.guard_s,
        env=harness.extra_env,
        keep_env=config.keep_env,
        plugins=config.plugins,
        isolation=config.isolation,
        opened=config.for_guards(),
        max_processes=config.max_processes,
        **more,
    )


def collect_in(harness: Harness, tree: str, head: str, selector: str) -> Collected:
    """What a selector names in a tree, in a fresh checkout of it."""
    checkout = export(harness.repo, tree, head=head, name="collect")
    try:
        carry_into(harness.repo, checkout, harness.config.carry)
        with harness.busy(f"collecting {selector}"):
            ids, problems = collect_ids(guard_spec(harness, checkout, selector=selector))
        why = " ".join(problems)
        missing = not ids and any(error in why for error in MISSING_CODE)
        defined = defined_tests(checkout, selector) if missing else []
    finally:
        remove_checkout(harness.repo, checkout)
    return Collected(ids, tuple(problems), tuple(defined))


def carry_into(repo: Repo, checkout: Path, carry: Iterable[str], *, secrets: bool = True) -> None:
    """Copy what `carry` names from the person's checkout: every file that is not committed there.

    They are the person's, so they replace what an attempt put in their place. Links stay links;
    FIFOs, sockets and `.git` are left out. `secrets=False` also leaves out `.env` and `.env.*`.
    Raises HarnessError for a path that is not there, lies outside, or cannot be copied.
    """
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
        try:
            for path in _files_of(repo.root, Path(name)):
                secret = path.name == ".env" or path.name.startswith(".env.")
                if str(path) not in committed and (secrets or not secret):
                    _lay(repo.root / path, checkout, path)
        except OSError as problem:
            raise HarnessError(
                "cannot copy what `carry:` names", where=repo.root / name, got=str(problem)
            ) from None


def _files_of(root: Path, name: Path) -> Iterator[Path]:
    """Regular files and links at and below `name`, relative to `root`; links are not followed."""
    mode = os.lstat(root / name).st_mode
    if stat.S_ISDIR(mode):
        for child in sorted(os.listdir(root / name)):
            if child != ".git":
                yield from _files_of(root, name / child)
    elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        yield name


def _lay(source: Path, checkout: Path, path: Path) -> None:
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
