"""Five public libraries of different build, each with a planted bug that a scripted agent fixes.

Each sdist is downloaded with pip and becomes a repository as its authors have it: what their build
generates is ignored by git and absent in a clone. The library's environment is its own (another
interpreter than the harness's, if `--python` says so). Then come the three commands of a first
hour: `orchestrate init`, an edited ledger, `orchestrate run --commit`. Nothing of the libraries is
kept.

    python scripts/benchmarks/strangers.py --python PYTHON3.12 -o docs/evidence/strangers.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ORCHESTRATE = Path(sys.executable).with_name("orchestrate")
IGNORED = ("__pycache__/", "*.so", "build/", "*.egg-info/", ".coverage", "htmlcov/", "environment/")


@dataclass(frozen=True)
class Library:
    """One library: what is special about it, the bug, and what its repository needs said."""

    name: str
    version: str
    build: str
    file: str
    right: str
    wrong: str
    guard: str
    needs: tuple[str, ...]
    settings: str = ""
    check: str = ""
    """A further criterion, in the library's own way of running tests."""
    generated: tuple[str, ...] = ()
    """Files of the sdist that a clone does not have."""
    edits: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Changes that make the situation: file -> (text, its replacement)."""


LIBRARIES = (
    Library(
        "platformdirs",
        "4.2.2",
        "src layout, hatch-vcs; its version file is generated and ignored; pytest-mock",
        "src/platformdirs/unix.py",
        'os.environ.get("XDG_CONFIG_HOME", "")',
        'os.environ.get("XDG_CONFIG_HOMES", "")',
        "tests/test_unix.py::test_xdg_variable_custom_value",
        ("pytest", "pytest-mock", "hatchling", "hatch-vcs"),
        "prepare: SETUPTOOLS_SCM_PRETEND_VERSION=4.2.2 python -m hatchling build --hooks-only\n",
        generated=("src/platformdirs/version.py",),
    ),
    Library(
        "markupsafe",
        "3.0.2",
        "C extension in a src layout; without it half of the tests are skipped",
        "src/markupsafe/_native.py",
        '.replace(">", "&gt;")',
        '.replace(">", "&lt;")',
        "tests/test_escape.py",
        ("pytest", "setuptools"),
        "prepare: python setup.py build_ext --inplace\n",
    ),
    Library(
        "aiosignal",
        "1.3.1",
        "setup.cfg with `-n auto --cov` and warnings as errors; asyncio, strict",
        "aiosignal/__init__.py",
        "await receiver(*args, **kwargs)",
        "await receiver(*args)",
        "tests/test_signals.py::test_function_signal_dispatch_kwargs",
        ("pytest==8.3.4", "pytest-asyncio==0.23.8", "pytest-cov", "pytest-xdist", "frozenlist"),
        edits={"setup.cfg": ("addopts = --cov=aiosignal", "addopts = -n auto --cov=aiosignal")},
    ),
    Library(
        "pyasn1",
        "0.6.1",
        "unittest, with a runner of its own (`python -m tests`); flat layout",
        "pyasn1/type/tag.py",
        "return self.__class__(self.__baseTag, *self.__superTags + (superTag,))",
        "return self.__class__(self.__baseTag, *self.__superTags + (superTag, superTag))",
        "tests/type/test_tag.py",
        ("pytest",),
        # `tests.__main__` names two files that the sdist lacks: its own suite is red by itself.
        check="python -m unittest tests.type.__main__.suite tests.codec.__main__.suite",
    ),
    Library(
        "async-lru",
        "2.0.4",
        "asyncio, auto; setup.cfg with --cov, --no-cov-on-fail and a time limit of pytest-timeout",
        "async_lru/__init__.py",
        "self.__hits += 1",
        "self.__hits += 2",
        "tests/test_cache_info.py::test_cache_info",
        ("pytest==8.3.4", "pytest-asyncio==0.23.8", "pytest-cov", "pytest-timeout"),
    ),
)
AGENT = """\
import pathlib
path = pathlib.Path({file!r})
text = path.read_text()
if {wrong!r} in text:
    path.write_text(text.replace({wrong!r}, {right!r}))
"""
ITEM = """
### [FIX-001] A planted bug
- Status: open
- Priority: P0
- Guard: {guard}
- Exit:
  - [ ] C1 `pytest {guard}` — the test passes
"""


@dataclass
class Row:
    """What happened with one library."""

    library: Library
    landed: bool = False
    reason: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    changed: str = ""
    guard: str = ""
    verified: str = ""

    def line(self) -> str:
        """One row of the table."""
        lib = self.library
        took = ", ".join(f"{name} {value:.0f} s" for name, value in self.seconds.items())
        cells = (
            f"{lib.name} {lib.version}",
            lib.build,
            "yes" if self.landed else f"no: {self.reason}",
            self.guard,
            self.changed,
            self.verified,
            took,
        )
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def run(words: list[str], cwd: Path, **more: object) -> subprocess.CompletedProcess[str]:
    """Run a command; its output in text."""
    options: dict[str, object] = {"capture_output": True, "text": True, "timeout": 1800, **more}
    return subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload,no-any-return]


def must(words: list[str], cwd: Path) -> str:
    """The output of a command that must not fail."""
    done = run(words, cwd)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed in {cwd}:\n{done.stdout}{done.stderr}")
    return done.stdout


def repository(library: Library, sdists: Path, home: Path) -> Path:
    """A repository as the authors have it, with the bug and the situation in it."""
    label = f"{library.name}=={library.version}"
    stem = f"{library.name}-{library.version}"
    if not (sdists / f"{stem}.tar.gz").is_file():
        words = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", label]
        must([sys.executable, "-m", "pip", *words, "--dest", str(sdists)], home)
    with tarfile.open(sdists / f"{stem}.tar.gz") as packed:
        packed.extractall(home, filter="data")
    root = home / stem
    for name in ("PKG-INFO", *library.generated):
        (root / name).unlink(missing_ok=True)
    ignore = root / ".gitignore"
    known = ignore.read_text() if ignore.exists() else ""
    ignore.write_text("\n".join([known.rstrip(), *IGNORED, *library.generated]).lstrip() + "\n")
    bug = {library.file: (library.right, library.wrong)}
    for name, (text, other) in {**library.edits, **bug}.items():
        found = (root / name).read_text()
        if found.count(text) != 1:
            raise SystemExit(f"{name} of {label}: {text!r} is there {found.count(text)} times")
        (root / name).write_text(found.replace(text, other))
    for words in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "author"],
        ["config", "user.email", "author@example.org"],
        ["add", "-A"],
        ["commit", "-q", "-m", label],
    ):
        must(["git", *words], root)
    return root


def try_one(library: Library, python: str, sdists: Path, home: Path) -> Row:
    """Take one library from its sdist to a landed fix."""
    row, began = Row(library), time.monotonic()
    root = repository(library, sdists, home)
    must([python, "-m", "venv", "environment"], root)
    must(["environment/bin/python", "-m", "pip", "install", "-q", *library.needs], root)
    row.seconds["environment"] = time.monotonic() - began
    agent = home / f"fix-{library.name}.py"
    facts = {"file": library.file, "wrong": library.wrong, "right": library.right}
    agent.write_text(AGENT.format(**facts))
    began = time.monotonic()
    command = f"{{python}} {agent}"
    must([str(ORCHESTRATE), "init", "--agent-command", command], root)
    row.seconds["init"] = time.monotonic() - began
    ledger, settings = root / "docs/fix_plan.md", root / "orchestration.yaml"
    own = ITEM.format(guard=library.guard)
    own += f"  - [ ] C2 `{library.check}` — its own runner\n" if library.check else ""
    ledger.write_text(ledger.read_text().partition("### [SUITE")[0] + own.lstrip())
    settings.write_text(settings.read_text() + library.settings)
    began = time.monotonic()
    done = run([str(ORCHESTRATE), "run", "--commit", "--json"], root)
    row.seconds["run"] = time.monotonic() - began
    told = json.loads(done.stdout or "{}")
    row.landed = done.returncode == 0 and told.get("landed") == ["FIX-001"]
    row.reason = " ".join(f"{told.get('reason')}: {told.get('text')} {done.stderr[-600:]}".split())
    if row.landed:
        names = must(["git", "diff", "--name-only", "HEAD~1"], root).split()
        product = [one for one in names if not one.startswith(("plans/", "docs/fix_plan"))]
        product = [one for one in product if one not in ("input.md", "galph_memory.md")]
        row.changed = ", ".join(f"`{one}`" for one in product)
        row.guard = must(["git", "log", "-1", "--format=%(trailers:key=Guard,valueonly)"], root)
        row.guard = row.guard.strip().rpartition("(")[2].rstrip(")")
        checked = run([str(ORCHESTRATE), "verify"], root)
        row.verified = "yes" if checked.returncode == 0 else "no"
        if must(["git", "status", "--porcelain"], root):
            row.verified += ", but the checkout is not clean"
    return row


def main() -> None:
    """Try all libraries, or those named, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="libraries; all without")
    parser.add_argument("--python", default=sys.executable, help="what environments are made with")
    parser.add_argument("--sdists", type=Path, help="where sdists lie or are downloaded to")
    parser.add_argument("--keep", type=Path, help="a folder for the repositories; else none stay")
    parser.add_argument("-o", "--output", type=Path, help="the page to write")
    asked = parser.parse_args()
    chosen = [one for one in LIBRARIES if not asked.names or one.name in asked.names]
    rows = []
    with tempfile.TemporaryDirectory(prefix="strangers-") as folder:
        sdists = (asked.sdists or Path(folder)).resolve()
        home = (asked.keep or Path(folder)).resolve()
        for library in chosen:
            row = try_one(library, asked.python, sdists, home)
            print(row.line(), flush=True)
            rows.append(row)
    version = must([asked.python, "--version"], Path.cwd()).strip()
    page = PAGE.format(
        python=version, own=sys.version.split()[0], rows="\n".join(row.line() for row in rows)
    )
    if asked.output:
        asked.output.write_text(page, encoding="utf-8")
    sys.exit(0 if all(row.landed for row in rows) else 1)


PAGE = """# Five libraries that the harness was not written for

Made by `python scripts/benchmarks/strangers.py -o docs/evidence/strangers.md`: sdists from the
package index become repositories (what their build generates is ignored and absent in a clone), a
bug is planted in each, and a scripted agent fixes it. The commands are `orchestrate init`, an
edited ledger, `orchestrate run --commit`. The libraries' environments are {python} with their own
pytest; the harness runs in Python {own}. "Guard" is the guard on the attempt and on the base;
"changed" is what landed beside the ledger, the order, the memory and the reports; "verify" is
`orchestrate verify` and a clean checkout afterwards.

The two asyncio libraries have the pytest and pytest-asyncio of their time: their settings make a
warning of today's an error, with this harness or without. `-n auto` was added to aiosignal's
settings. pyasn1's own `python -m tests` names two files that its sdist lacks, so its criterion runs
the suites of types and codecs.

| library | build | landed | guard | changed | verify | time |
|---|---|---|---|---|---|---|
{rows}
"""

if __name__ == "__main__":
    main()
