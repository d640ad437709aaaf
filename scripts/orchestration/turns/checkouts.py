"""Fresh checkouts made ready for pytest, and the one specification of its every start.

What a clone lacks is laid into each of them: what `carry:` names and what `prepare:` makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from orchestration.config import HarnessConfig
from orchestration.gates import GuardSpec, collect_ids, defined_tests, environment_fault, is_guarded
from orchestration.git import Repo
from orchestration.harness import Harness
from orchestration.turns.carried import carry_into, lay_file
from orchestration.turns.prepared import build_of, files_in
from orchestration.turns.workspace import export, remove_checkout

MOST_OF_A_REASON = 400
DECLARING = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "Pipfile", "environment.yml")
"""Files that name a library's dependencies, beside `*requirements*.txt`."""
MISSING_CODE = ("ImportError", "ModuleNotFoundError", "AttributeError", "NameError")
"""Why a test of code that does not exist yet cannot be collected; the rest is the machine's."""


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


def furnish(
    repo: Repo,
    config: HarnessConfig,
    checkout: Path,
    base: str,
    attempt: tuple[str, str] | None = None,
) -> None:
    """Lay into a guard's checkout what a clone lacks: what is prepared, then what is carried.

    `base` is the trusted commit. `attempt` is the tree of an attempt's files and its commit, where
    they are in the checkout: they are built anew, but tests and settings that a build makes are
    the base's. Raises Stop and PrepareFailed (see `build_of`), and HarnessError.
    """
    trusted = build_of(repo, config, repo.tree_of(base), base, trusted=True)
    own = trusted
    if attempt and attempt[0] != repo.tree_of(base):
        own = build_of(repo, config, *attempt, trusted=False)
    _lay_build(trusted, checkout, guarded=True)
    _lay_build(own, checkout, guarded=False)
    carry_into(repo, checkout, config.carry)


def _lay_build(build: Path | None, checkout: Path, *, guarded: bool) -> None:
    for path in files_in(build) if build else ():
        if is_guarded(path.as_posix()) == guarded:
            lay_file(build / path, checkout, path)  # type: ignore[operator]


def furnish_workspace(repo: Repo, config: HarnessConfig, workspace: Path, base: str) -> None:
    """Lay the same into an agent's workspace, without files that are called as secrets are."""
    build = build_of(repo, config, repo.tree_of(base), base, trusted=True)
    for guarded in (True, False):
        _lay_build(build, workspace, guarded=guarded)
    named = config.carry_to_agents
    carry_into(repo, workspace, config.carry, secrets=False, named=named)


def guard_spec(harness: Harness, checkout: Path, **more: Any) -> GuardSpec:
    """How pytest is started in `checkout`, to collect and to run alike."""
    return spec_of(harness.config, checkout, harness.extra_env, **more)


def spec_of(
    config: HarnessConfig, checkout: Path, env: Mapping[str, str] | None = None, **more: Any
) -> GuardSpec:
    """The same from the settings alone, for `doctor`."""
    return GuardSpec(
        checkout,
        python=config.python,
        import_roots=config.import_roots,
        timeout_s=config.budgets.guard_s,
        env=env or {},
        keep_env=config.keep_env,
        plugins=config.plugins,
        isolation=config.isolation,
        opened=config.for_guards(),
        max_processes=config.max_processes,
        **more,
    )


def fault_of(
    repo: Repo, config: HarnessConfig, base: str, messages: Mapping[str, str], red: Sequence[str]
) -> str:
    """Why tests fail on a commit by their environment and not by its code; "" where they do not."""
    files = repo.list_tree(base)
    declared = [name for name in files if fnmatch(name, "*requirements*.txt") or name in DECLARING]
    return environment_fault(
        messages,
        red,
        files=files,
        home=repo.root,
        import_roots=config.import_roots,
        declared="\n".join(repo.read_blob(base, n).decode("utf-8", "replace") for n in declared),
    )


def collect_in(
    harness: Harness, tree: str, head: str, selector: str, *, base: str | None = None
) -> Collected:
    """What a selector names in a tree, in a fresh checkout of it.

    `base` is the trusted commit where `head` is an attempt's, whose files are built for it.
    """
    checkout = export(harness.repo, tree, head=head)
    try:
        attempt = (tree, head) if base else None
        furnish(harness.repo, harness.config, checkout, base or head, attempt)
        with harness.busy(f"collecting {selector}"):
            return collect_from(guard_spec(harness, checkout, selector=selector))
    finally:
        remove_checkout(harness.repo, checkout)


def collect_from(spec: GuardSpec) -> Collected:
    """What the selector of `spec` names in its checkout."""
    ids, problems = collect_ids(spec)
    why = " ".join(problems)
    missing = not ids and any(error in why for error in MISSING_CODE)
    defined = defined_tests(spec.checkout, spec.selector) if missing else []
    return Collected(ids, tuple(problems), tuple(defined))
