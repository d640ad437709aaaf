"""Read a diff for the ways to make tests pass without doing the work (syntax trees, no execution).

Each finding is `harm` (a fact that turns the attempt down), a `suspicion` (a reviewer must answer
before it lands) or a `note`. Only what the attempt adds or weakens counts: the same construct on
both sides is the repository's own. A test that moved to another file of the same diff is not a
removed one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import PurePosixPath
from typing import Literal

from orchestration.core import matches
from orchestration.gates import (
    special_cases,
    taken_names,
    tamper_product,
    tamper_tests,
    tamper_trees,
)
from orchestration.gates.scope import is_test
from orchestration.gates.tamper_trees import Mark, added, parse
from orchestration.git import DiffEntry, Repo

Severity = Literal["harm", "suspicion", "note"]
ORDER = {"harm": 0, "suspicion": 1, "note": 2}
LINK, SUBMODULE = "120000", "160000"
COMPILED = {".pyc", ".pyo", ".so", ".pyd", ".dll", ".dylib"}


@dataclass(frozen=True)
class Finding:
    """One suspicious change: rule, severity, place (line 0: the file as a whole), and words."""

    rule: str
    severity: Severity
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message} [{self.rule}]"


def scan(
    repo: Repo,
    base: str,
    head: str,
    *,
    guard: Sequence[str] = (),
    may_edit: Sequence[str] = (),
    new: Sequence[str] = (),
    import_roots: Sequence[str] = (".",),
) -> list[Finding]:
    """Findings for everything between `base` and `head`, the most serious first.

    `guard` are the node ids that judge the attempt: their names, and their cases with the expected
    values, must not turn up in product code. Files that `may_edit` or `new` open may change, but
    are read all the same.
    """
    entries = repo.diff_entries(base, head)
    changed = [e for e in entries if SUBMODULE not in (e.old_mode, e.mode)]
    python = [e for e in changed if e.path.endswith(".py") and LINK not in (e.mode, e.old_mode)]
    sides = {e.path: (_source(repo, base, e.path), _source(repo, head, e.path)) for e in python}
    tests = {path: pair for path, pair in sides.items() if _is_test_code(path)}
    product = {path: pair for path, pair in sides.items() if path not in tests}
    found = _files(entries, import_roots, (*may_edit, *new))
    gone = tamper_trees.removed_names(product.values())
    found += _as_findings(tamper_tests.compare(tests, gone, asked=(*may_edit, *new)))
    secrets = _expected(repo, base, head, guard)
    own = {PurePosixPath(path).parts[-1].removesuffix(".py") for path in product}
    own |= {part for path in product for part in PurePosixPath(path).parts[:-1]}
    foreign = (_installed() | sys.stdlib_module_names | {"builtins"}) - own
    for path, (old, after) in product.items():
        marks = tamper_product.marks(after, secrets, foreign)
        found += _as_findings(added(tamper_product.marks(old, secrets, foreign), marks), path)
    if product:
        found += _as_findings(taken_names.marks(_test_texts(repo, base, head, guard), product))
    return sorted(set(found), key=lambda f: (ORDER[f.severity], f.path, f.line, f.rule))


def serious(findings: Iterable[Finding]) -> list[Finding]:
    """Those with which an attempt does not land by itself."""
    return [finding for finding in findings if finding.severity != "note"]


def _is_test_code(path: str) -> bool:
    return is_test(path) or PurePosixPath(path).name == "conftest.py"


def _source(repo: Repo, rev: str, path: str) -> str | None:
    if not repo.exists_in(rev, path):
        return None
    return repo.read_blob(rev, path).decode("utf-8", "replace")


def _as_findings(marks: Iterable[Mark], path: str | None = None) -> list[Finding]:
    return [
        Finding(m.rule, "note" if m.mild else "suspicion", path or m.path, m.line, m.message)
        for m in marks
    ]


def _expected(repo: Repo, base: str, head: str, guard: Sequence[str]) -> tamper_product.Expected:
    """Names and cases of the guard's tests, from the trusted side where it exists."""
    names: set[str] = set()
    cases: list[special_cases.Tried] = []
    wanted: dict[str, set[str]] = {}
    for node_id in guard:
        path, _, rest = node_id.partition("::")
        if not path.endswith(".py"):
            continue  # a folder: its files are not known without collecting
        wanted.setdefault(path, set()).add(rest.split("::")[-1].split("[")[0])
    for path, functions in wanted.items():
        text = _source(repo, base, path) or _source(repo, head, path)
        tree = parse(text)
        if "" in functions and tree is not None:  # the whole file
            functions |= {f.name for f in tamper_trees.functions(tree) if f.name[:4] == "test"}
        names |= functions
        if tree is not None:
            cases += special_cases.tried_by(tree, functions)
    return tamper_product.Expected(frozenset(n for n in names if n), tuple(cases))


def _test_texts(repo: Repo, base: str, head: str, guard: Sequence[str]) -> dict[str, str]:
    """The guard's files, and every conftest.py, on the trusted side where they exist there."""
    wanted = {node.partition("::")[0] for node in guard}
    tree = repo.list_tree(base)
    wanted |= {path for path in tree if PurePosixPath(path).name == "conftest.py"}
    folders = tuple(f"{path.rstrip('/')}/" for path in wanted if not path.endswith(".py"))
    wanted |= {path for path in tree if folders and path.startswith(folders)}
    texts = {}
    for path in wanted:
        if path.endswith(".py"):
            text = _source(repo, base, path) or _source(repo, head, path)
            if text is not None:
                texts[path] = text
    return texts


def _files(
    entries: Sequence[DiffEntry], import_roots: Sequence[str], opened: Sequence[str]
) -> list[Finding]:
    """What file names and kinds alone tell."""
    found = []
    for entry in entries:
        path, pure = entry.path, PurePosixPath(entry.path)
        if entry.status == "D":
            if is_test(path) and not path.endswith(".py") and not matches(path, opened):
                found.append(Finding("T09", "suspicion", path, 0, "test data deleted"))
            continue
        if entry.mode == SUBMODULE and entry.old_mode != SUBMODULE:
            found.append(Finding("F01", "harm", path, 0, "a nested repository hides its files"))
        if entry.mode == LINK:
            found.append(Finding("F02", "suspicion", path, 0, "a symbolic link is new or other"))
        if pure.suffix in COMPILED or "__pycache__" in pure.parts:
            found.append(Finding("F03", "suspicion", path, 0, "a compiled file cannot be reviewed"))
        shadow = _shadowed(pure, import_roots) if entry.status == "A" else None
        if shadow:
            found.append(Finding("F04", "suspicion", path, 0, f"hides the installed `{shadow}`"))
        if entry.status == "M" and is_test(path) and not path.endswith(".py"):
            mild: Severity = "note" if matches(path, opened) else "suspicion"
            found.append(Finding("T09", mild, path, 0, "test data (fixture, golden file) changed"))
    return found


def _shadowed(path: PurePosixPath, import_roots: Sequence[str]) -> str | None:
    """Top-level module that a new file would hide from everything that imports it."""
    for root in import_roots:
        try:
            inside = path.relative_to(root)
        except ValueError:
            continue
        if inside.suffix != ".py" or not inside.parts:
            continue
        top = inside.parts[0].removesuffix(".py")
        if top in sys.stdlib_module_names or top in _installed():
            return top
    return None


@cache
def _installed() -> frozenset[str]:
    """Top-level names of installed distributions, editable ones (the product itself) left out."""
    names = set()
    for name, owners in packages_distributions().items():
        for owner in owners:
            files = distribution(owner).files or []
            if any(file.parts[0] in (name, f"{name}.py") for file in files):
                names.add(name)
    return frozenset(names)
