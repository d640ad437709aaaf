"""init: make any git repository with pytest ready, and touch nothing that is already there.

Two small files are written where they are missing: orchestration.yaml (with the import roots, the
environment and the pytest plugins that were found, and what was asked for) and the ledger with one
first issue that can be run at once.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestration.agents import get_agent
from orchestration.config import load_config
from orchestration.documents.grammar import split_words
from orchestration.errors import HarnessError
from orchestration.gates import repository_settings
from orchestration.git import Repo
from orchestration.setup.plugins import needed_plugins

SKIPPED = {"node_modules", "build", "dist", "venv", "env", "site-packages", "__pycache__"}
TEST_FOLDERS = ("tests", "test", "testing")
MOST_LOOKED_AT = 500
"""Files of tests whose imports are read for a folder that they put on the path."""
NEXT = "write an issue of your own into docs/fix_plan.md, then: orchestrate run --commit"
CONFIG = """# How `orchestrate` works on this repository; every key has a default.
{python}import_roots: [{roots}]
{more}"""
LEDGER = """# Fix plan: the ledger

A focus issue has exit criteria that the harness runs itself; nobody else ticks them.

<!-- An issue of your own, about a bug that a test shows (write the test first):

### [FIX-001] What is wrong
- Status: open
- Guard: tests/test_NAME.py::test_NAME
- Exit:
  - [ ] C1 `pytest tests/test_NAME.py::test_NAME` — what will be right
-->

## Items

### [SUITE-GREEN-001] Every test passes in a fresh checkout
- Status: open
- Priority: P1
- Type: evidence
- Depends: none
- Exit:
  - [ ] C1 `python -m pytest -q -p no:cacheprovider {tests}` — no test fails, some may be skipped
- Recipe:
  - run: PYTHONDONTWRITEBYTECODE=1 python -m pytest -q -p no:cacheprovider {tests}
    within: 30m
"""


@dataclass(frozen=True)
class Layout:
    """How a repository is laid out: folders to import from, where tests are, its interpreter."""

    import_roots: tuple[str, ...]
    tests: str
    packages: tuple[str, ...]
    python: str | None


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did: files written and kept, and what was found; a plugin has its reason."""

    root: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    import_roots: tuple[str, ...]
    tests: str
    packages: tuple[str, ...]
    plugins: dict[str, str]
    next_command: str

    @property
    def summary(self) -> str:
        """The layout in one line."""
        names = ", ".join(self.packages) or "no package"
        roots = ", ".join(self.import_roots)
        needed = ", ".join(f"{name} ({why})" for name, why in self.plugins.items())
        plugins = f"; plugins {needed}" if needed else ""
        return f"{names}; tests in {self.tests}; import roots {roots}{plugins}"

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class Wishes:
    """What a person asks `init` to write; None: the default, which is not written."""

    python: str | None = None
    target: str | None = None
    agent: str | None = None
    agent_command: str | None = None
    evidence: str | None = None


def prepare(root: Path, wishes: Wishes | None = None) -> Prepared:
    """Write what is missing in the repository around `root`.

    Raises HarnessError when there is no repository, no test that pytest would find, or a wish that
    nothing here answers.
    """
    repo, wishes = Repo(root), wishes or Wishes()
    layout = find_layout(repo.root)
    chosen = wishes.python or layout.python
    if wishes.python and not (repo.root / Path(wishes.python).expanduser()).exists():
        raise HarnessError("no such interpreter", expected="a file", got=wishes.python)
    quoted = ", ".join(f'"{name}"' for name in layout.import_roots)
    # `bin/python` is a link: the environment is where it is written, not where it leads.
    environment = (repo.root / Path(chosen or sys.executable).expanduser()).parent.parent
    asked = repository_settings(repo.root)
    plugins = needed_plugins(environment, repo.root, layout.tests, layout.import_roots, asked)
    own = f"plugins: [{', '.join(plugins)}]\n" if plugins else ""
    settings = CONFIG.format(
        python=f"python: {json.dumps(chosen)}\n" if chosen else "",
        roots=quoted,
        more=own + _more(repo, wishes),
    )
    load_config(repo.root, settings)
    files = {"orchestration.yaml": settings, "docs/fix_plan.md": LEDGER.format(tests=layout.tests)}
    written, kept = [], []
    for name, text in files.items():
        path = repo.root / name
        if path.exists():
            kept.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(name)
    return Prepared(
        root=str(repo.root),
        written=tuple(written),
        kept=tuple(kept),
        import_roots=layout.import_roots,
        tests=layout.tests,
        packages=layout.packages,
        plugins=plugins,
        next_command=NEXT if written else "orchestrate doctor && orchestrate run",
    )


def _more(repo: Repo, wishes: Wishes) -> str:
    """The lines for the target branch, the evidence and the agent."""
    lines = []
    if wishes.target:
        if repo.try_resolve(f"refs/heads/{wishes.target}") is None:
            fix = f"git branch {wishes.target}"
            raise HarnessError("no such branch", expected="a branch", got=wishes.target, fix=fix)
        lines.append(f"target: {json.dumps(wishes.target)}")
    if wishes.evidence:
        lines.append(f"evidence: {json.dumps(wishes.evidence)}")
    agent = wishes.agent or ("custom" if wishes.agent_command else None)
    words = split_words(wishes.agent_command or "")
    if agent:
        get_agent(agent, **({"command": words} if agent == "custom" else {}))
        lines.append(f"agent: {agent}")
    if words:
        lines.append(f"agent_command: {json.dumps(words)}")
    return "".join(f"{line}\n" for line in lines)


def environments(root: Path) -> list[str]:
    """Interpreters of the repository's own environments, whatever they are called, best first.

    A folder with a `pyvenv.cfg` or `conda-meta` is one; so is the one that is active now. One that
    holds pytest comes first.
    """
    places = [*root.glob("*"), *root.glob(".*"), *root.glob(".tox/*"), *root.glob(".nox/*")]
    places += [path for path in root.glob("*/*") if path.parent.name in ("envs", "venvs", "env")]
    found = [
        path
        for path in places
        if ((path / "pyvenv.cfg").is_file() or (path / "conda-meta").is_dir())
        and (path / "bin/python").exists()
    ]
    usual = (".venv", "venv")
    found.sort(key=lambda path: (not _has_pytest(path), path.name not in usual, str(path)))
    names = [path.relative_to(root).as_posix() for path in dict.fromkeys(found)]
    active = [os.environ.get(name, "") for name in ("VIRTUAL_ENV", "CONDA_PREFIX")]
    own = os.path.realpath(sys.prefix)
    names += [one for one in active if one and os.path.realpath(one) != own]
    return [f"{name}/bin/python" for name in names]


def _has_pytest(environment: Path) -> bool:
    return any(environment.glob("lib*/python*/site-packages/pytest/__init__.py"))


def find_layout(root: Path) -> Layout:
    """Return the layout of a repository, from its configuration first and its folders second."""
    project = _toml(root / "pyproject.toml")
    declared = [name for name in _declared_roots(root, project) if (root / name).is_dir()]
    roots = list(dict.fromkeys(declared))
    if not roots and _packages(root / "src"):
        roots = ["src"]
    tests = _tests(root)
    roots += _roots_of_tests(root, tests, roots)
    if "." not in roots:
        roots.append(".")
    packages = [name for folder in roots for name in _packages(root / folder)]
    # A package may hold its tests in a folder of its own, `calc/tests`.
    first = tests.split("/")[0]
    own = any(_is_test_name(path.name) for path in (root / first).glob("*.py"))
    found = [name for name in dict.fromkeys(packages) if name != first or not own]
    return Layout(tuple(roots), tests, tuple(found), next(iter(environments(root)), None))


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HarnessError("not valid TOML", where=path, got=str(error)) from None


def _pytest_option(root: Path, name: str) -> list[str]:
    """A list of folders among pytest's settings."""
    value = repository_settings(root).get(name, [])
    return value if isinstance(value, list) else value.split()


def _declared_roots(root: Path, project: dict[str, Any]) -> Iterable[str]:
    yield from _pytest_option(root, "pythonpath")
    tools = project.get("tool", {})
    yield from tools.get("hatch", {}).get("build", {}).get("dev-mode-dirs", [])
    setuptools = tools.get("setuptools", {})
    directory = setuptools.get("package-dir", {}).get("")
    if directory:
        yield str(directory)
    packages = setuptools.get("packages", {})
    if isinstance(packages, dict):
        yield from packages.get("find", {}).get("where", [])


def _packages(folder: Path) -> list[str]:
    """Return names that can be imported from a folder: packages and single modules."""
    if not folder.is_dir():
        return []
    names = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")) or path.name in SKIPPED | set(TEST_FOLDERS):
            continue
        is_package = path.is_dir() and (path / "__init__.py").is_file()
        is_module = path.suffix == ".py" and not _is_test_name(path.name)
        if is_package or (is_module and path.name not in ("setup.py", "conftest.py", "noxfile.py")):
            names.append(path.stem)
    return names


def _roots_of_tests(root: Path, tests: str, roots: list[str]) -> list[str]:
    """Return top folders with what the tests import and no root has: they put it on the path."""
    place = root / tests
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))[:MOST_LOOKED_AT]
    wanted = {name for path in files for name in _imports(path)}
    wanted -= sys.stdlib_module_names
    for folder in (*roots, ".", tests):
        wanted -= set(_packages(root / folder))
    found = []
    for path in sorted(root.iterdir()):
        skipped = path.name.startswith(".") or path.name in SKIPPED | set(TEST_FOLDERS)
        if skipped or not path.is_dir() or path.is_symlink() or path.name in (*roots, tests):
            continue
        # A package is imported by its own name, not looked through.
        if not (path / "__init__.py").is_file() and wanted.intersection(_packages(path)):
            found.append(path.name)
    return found


def _imports(path: Path) -> set[str]:
    """Return the first words of what a file imports (read, never run)."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _is_test_name(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test.py")


def _tests(root: Path) -> str:
    """Return the folder (or file) that holds the tests."""
    declared = _pytest_option(root, "testpaths")
    for name in (*declared, *TEST_FOLDERS):
        if _has_tests(root / name):
            return Path(name).as_posix()
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        hidden = any(p.startswith(".") or p in SKIPPED for p in parts[:-1])
        if not hidden and _is_test_name(path.name) and _defines_tests(path):
            return parts[0] if len(parts) > 1 else path.name
    raise HarnessError(
        "no test was found",
        where=root,
        expected="a file test_*.py or *_test.py with a test in it",
        fix="write a first test, for example tests/test_first.py, then: orchestrate init",
    )


def _has_tests(place: Path) -> bool:
    if place.is_file():
        return _defines_tests(place)
    return place.is_dir() and any(
        _is_test_name(path.name) and _defines_tests(path) for path in sorted(place.rglob("*.py"))
    )


def _defines_tests(path: Path) -> bool:
    """Tell whether a file has a test function or a class with test methods (read, never run)."""
    try:
        # A pipe with a test's name would be waited for.
        tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(
        isinstance(node, functions) and node.name.startswith("test") for node in ast.walk(tree)
    )
