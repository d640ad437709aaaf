"""Read a diff for the ways to make tests pass without doing the work (syntax trees, no execution).

Each finding is `harm` (a fact that turns the attempt down), a `suspicion` (a reviewer must answer
before it lands) or a `note`. Only what the attempt adds or weakens counts: the same construct on
both sides is the repository's own. A test that moved to another file of the same diff is not a
removed one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import PurePosixPath
from typing import Literal

from orchestration.core import matches
from orchestration.gates import source_rules
from orchestration.gates.scope import folded, is_test
from orchestration.git import DiffEntry, Repo

Severity = Literal["harm", "suspicion", "note"]
ORDER = {"harm": 0, "suspicion": 1, "note": 2}
LINK, SUBMODULE = "120000", "160000"
COMPILED = {".pyc", ".pyo", ".so", ".pyd", ".dll", ".dylib"}
# A folder or a `.py` file at the top of a distribution's RECORD; one with a dot is neither.
_TOP = re.compile(r'^"?([\w-]+)(?:\.py)?(?=[/,])', re.MULTILINE)


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
    found = _files(entries, import_roots, (*may_edit, *new))
    found += _names(repo, base, head, entries, import_roots)
    changed = [e for e in entries if SUBMODULE not in (e.old_mode, e.mode)]
    python = [e for e in changed if e.path.endswith(".py") and LINK not in (e.mode, e.old_mode)]
    if python:
        found += _of_sources(repo, base, head, python, guard, (*may_edit, *new), import_roots)
    return sorted(set(found), key=lambda f: (ORDER[f.severity], f.path, f.line, f.rule))


def _of_sources(
    repo: Repo,
    base: str,
    head: str,
    python: Sequence[DiffEntry],
    guard: Sequence[str],
    asked: tuple[str, ...],
    import_roots: Sequence[str],
) -> list[Finding]:
    """What the rules find in the text of the changed Python files."""
    sizes = repo.sizes({sha for e in python for sha in (e.old_sha, e.sha)})
    largest = max(python, key=lambda e: sizes.get(e.sha, 0)).path
    if (total := sum(sizes.values())) > source_rules.MOST:
        words = f"{total} bytes of changed Python are more than the rules read"
        return [Finding("P00", "suspicion", largest, 0, words)]
    try:
        sources = _sources(repo, base, head, python, guard, asked, import_roots)
        marks = source_rules.read(sources)
    except source_rules.TooMuch as problem:
        return [Finding("P00", "suspicion", largest, 0, str(problem))]
    return [
        Finding(m.rule, "note" if m.mild else "suspicion", m.path, m.line, m.message) for m in marks
    ]


def _sources(
    repo: Repo,
    base: str,
    head: str,
    python: Sequence[DiffEntry],
    guard: Sequence[str],
    asked: tuple[str, ...],
    import_roots: Sequence[str],
) -> source_rules.Sources:
    before, after = repo.list_tree(base), repo.list_tree(head)
    wanted: dict[str, set[str]] = {}
    for node_id in guard:
        path, _, rest = node_id.partition("::")
        if path.endswith(".py"):  # of a folder the files are not known without collecting
            wanted.setdefault(path, set()).add(rest.split("::")[-1].split("[")[0])
    tests = {*wanted, *(path for path in before if PurePosixPath(path).name == "conftest.py")}
    folders = tuple(f"{n.partition('::')[0].rstrip('/')}/" for n in guard if ".py" not in n)
    tests |= {p for p in before if folders and p.startswith(folders) and p.endswith(".py")}
    trusted = {path: before.get(path) or after.get(path) for path in tests}
    known = {path: entry.sha for path, entry in trusted.items() if entry is not None}
    blobs = repo.read_blobs({*known.values(), *(s for e in python for s in (e.old_sha, e.sha))})
    text = {sha: data.decode("utf-8", "replace") for sha, data in blobs.items()}
    texts = {path: text[sha] for path, sha in known.items() if sha in text}
    sides = {e.path: (text.get(e.old_sha), text.get(e.sha)) for e in python}
    product = {path: pair for path, pair in sides.items() if not _is_test_code(path)}
    # Only what an import root holds is the product's: `calc/math.py` does not make `math` its own.
    own = _tops(after, import_roots)
    return source_rules.Sources(
        {path: pair for path, pair in sides.items() if path not in product},
        product,
        {path: tuple(sorted(names)) for path, names in wanted.items()},
        {path: texts[path] for path in wanted if path in texts},
        texts,
        asked,
        tuple(sorted((_installed() | sys.stdlib_module_names | {"builtins"}) - own)),
    )


def serious(findings: Iterable[Finding]) -> list[Finding]:
    """Those with which an attempt does not land by itself."""
    return [finding for finding in findings if finding.severity != "note"]


def _is_test_code(path: str) -> bool:
    return is_test(path) or PurePosixPath(path).name == "conftest.py"


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


def _names(
    repo: Repo, base: str, head: str, entries: Sequence[DiffEntry], import_roots: Sequence[str]
) -> list[Finding]:
    """New names that another file system, or a test's import, takes for something else's."""
    new = [entry.path for entry in entries if entry.status == "A"]
    if not new:
        return []
    spelled: dict[str, str] = {}
    for path in sorted(repo.list_tree(head), key=lambda path: path in new):
        for place in (path, *map(str, PurePosixPath(path).parents)):
            spelled.setdefault(folded(place), place)
    before = repo.list_tree(base)
    helpers = {PurePosixPath(p).stem for p in before if is_test(p) and p.endswith(".py")}
    helpers -= {"__init__", *_tops(before, import_roots)}
    found = []
    for path in new:
        places = (path, *map(str, PurePosixPath(path).parents))
        twin = next((t for p in places if (t := spelled[folded(p)]) != p), None)
        if twin:
            words = f"some file systems take it for {twin}"
            found.append(Finding("F05", "suspicion", path, 0, words))
        if not is_test(path) and helpers & _tops([path], import_roots):
            words = "hides a module that lies beside the tests"
            found.append(Finding("F04", "suspicion", path, 0, words))
    return found


def _inside(path: str, root: str) -> PurePosixPath | None:
    """The path of a Python file as seen from an import root; None where it lies elsewhere."""
    pure = PurePosixPath(path)
    if pure.suffix != ".py" or not pure.is_relative_to(root):
        return None
    return pure.relative_to(root)


def _tops(paths: Iterable[str], import_roots: Sequence[str]) -> set[str]:
    """Names under which Python files are imported: the first part below an import root."""
    inside = (_inside(path, root) for path in paths if not is_test(path) for root in import_roots)
    return {path.parts[0].removesuffix(".py") for path in inside if path is not None}


def _shadowed(path: PurePosixPath, import_roots: Sequence[str]) -> str | None:
    """Top-level module that a new file would hide from everything that imports it."""
    for root in import_roots:
        inside = _inside(path.as_posix(), root)
        if inside is None:
            continue
        top = inside.parts[0].removesuffix(".py")
        if top in sys.stdlib_module_names or top in _installed():
            return top
    return None


@cache
def _installed() -> frozenset[str]:
    """Top-level names of installed distributions, editable ones (the product itself) left out.

    Read from the text of RECORD: `packages_distributions` makes a path of each of its lines, which
    took as long as the rest of a small landing.
    """
    names = set()
    for found in distributions():
        listed = found.read_text("RECORD")
        if listed is None:  # a form older than wheels
            listed = "".join(f"{path},\n" for path in found.files or ())
        there = set(_TOP.findall(listed)) - {"__pycache__"}
        named = (found.read_text("top_level.txt") or "").split()
        names |= there.intersection(named) if named else there
    return frozenset(names)
