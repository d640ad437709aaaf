"""A small broken project under git; its guard run bare, and as the harness runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestration.gates.guard import GuardResult, GuardSpec, run_guard
from orchestration.git.repository import Repo
from orchestration.turns.workspace import fresh_checkout

BROKEN = "def add(a, b):\n    return a - b\n"
FIXED = "def add(a, b):\n    return a + b\n"
TESTS = """\
from calc import add


def test_add():
    assert add(2, 3) == 5


def test_zero():
    assert add(0, 7) == 7
"""
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
GUARD = ("tests/test_calc.py::test_add", "tests/test_calc.py::test_zero")
BASE = {"calc/__init__.py": BROKEN, "tests/test_calc.py": TESTS, "conftest.py": ""}


def git(cwd: Path, *argv: str) -> None:
    subprocess.run(["git", *argv], cwd=cwd, check=True, capture_output=True)


@dataclass(frozen=True)
class Project:
    """The repository and its trusted commit."""

    repo: Repo
    base: str

    def attempt(self, changes: Mapping[str, str | None]) -> str:
        """A commit with the agent's changes on the base."""
        blobs = {k: v.encode() if v is not None else None for k, v in changes.items()}
        tree = self.repo.write_tree(self.base, blobs)
        return self.repo.commit_tree(tree, [self.base], "attempt")

    def bare(self, changes: Mapping[str, str | None], *files: str) -> int:
        """Exit code of plain pytest in the agent's own tree: what a naive loop believes."""
        place = fresh_checkout(self.repo, self.attempt(changes))
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        env |= {"PYTHONPATH": str(place), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(
            [*PYTEST, *(files or ("tests/test_calc.py",))],
            cwd=place,
            env=env,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode

    def guard(
        self,
        changes: Mapping[str, str | None],
        node_ids: Sequence[str] | None = GUARD,
        *,
        may_edit: Sequence[str] = (),
        new: Sequence[str] = (),
        **options: object,
    ) -> GuardResult:
        """The harness's verdict on the agent's changes."""
        place = fresh_checkout(
            self.repo, self.attempt(changes), overlay_from=self.base, may_edit=may_edit, new=new
        )
        settings: dict[str, object] = {"timeout_s": 60.0, "isolation": "scan"} | options
        return run_guard(GuardSpec(place, node_ids=node_ids, **settings))  # type: ignore[arg-type]


def make_project(root: Path, files: Mapping[str, str] = BASE) -> Project:
    """A repository at `root` with one commit of `files`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "A Person")
    git(root, "config", "user.email", "p@example.org")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "base")
    repo = Repo(root)
    return Project(repo, repo.head())
