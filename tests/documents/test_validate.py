"""The validator: each code fires on its cause, at its line, and on nothing else."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from orchestration.core import matches
from orchestration.documents.grammar.codes import CODES, explain
from orchestration.documents.ledger import parse_ledger
from orchestration.documents.order import content_hash, parse_order
from orchestration.documents.order.place import python_symbols
from orchestration.documents.order.rules import ValidationContext
from orchestration.documents.order.validate import validate_order
from orchestration.documents.repository import Checkout, cached
from orchestration.errors import HarnessError

ROOT = Path(__file__).parents[2]
LINTER = ROOT / "scripts" / "tools" / "validate_input_md.py"
ORDER = (ROOT / "tests/fixtures/documents/order_canonical.md").read_text(encoding="utf-8")
LEDGER = """### [FIX-SHIFT-001] shift
- Status: open
- Depends: DONE-001
- Exit:
  - [x] C1 `true`
  - [ ] C2 `pytest tests/test_shift.py`
  - [ ] C3 `true`

### [DONE-001] done
- Status: done

### [BLOCKED-001] blocked
- Status: blocked — no data

### [LATER-001] later
- Status: open
- Depends: BLOCKED-001
"""
FILES = {
    "pkg/shift.py": "import os\n\n\nclass Shift:\n    def run(self):\n        pass\n\n\n"
    "def translate():\n    pass\n",
    "pkg/core.py": "x = 1\n",
    "docs/spec.md": "# a\n\nrule\n",
    "docs/index.md": "# index\n",
    "docs/findings.md": "| SHAPE-001 | 2026-01-01 | k | s | pkg/shift.py | Active |\n",
    "docs/fix_plan.md": LEDGER,
    "tests/test_old.py": "from pkg import shift\n\n\ndef test_old():\n    assert shift\n",
    "tests/test_other.py": "def test_other():\n    assert True\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def context(tree: Path, **changes: object) -> ValidationContext:
    files = Checkout(tree)
    values: dict[str, object] = {
        "exists": files.exists,
        "read_lines": files.read_lines,
        "ledger": files.ledger(),
        "finding_ids": files.finding_ids,
        "now": datetime(2026, 3, 1, tzinfo=UTC),
        "branch": "main",
        "resolve": lambda ref: "1a2b3c4d" if ref == "1a2b3c4" else None,
    }
    return ValidationContext(**{**values, **changes})  # type: ignore[arg-type]


def codes(text: str, where: ValidationContext) -> list[str]:
    return [d.code for d in validate_order(text, where)]


def test_a_sound_order_has_no_diagnostic(tree: Path) -> None:
    assert [d.render() for d in validate_order(ORDER, context(tree))] == []


OLD = ORDER.replace("new: `tests/test_shift.py::test_broadcast`", "`tests/test_old.py::test_old`")
OLD = OLD.replace("tests/test_shift.py::test_broadcast", "tests/test_old.py::test_old")


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        (("Focus: FIX-SHIFT-001.C2", "Focus: NOT-HERE-001"), "E01", 3),
        (("Focus: FIX-SHIFT-001.C2", "Focus: BLOCKED-001"), "E02", 3),
        (("Focus: FIX-SHIFT-001.C2", "Focus: LATER-001"), "E02", 3),
        (("Selector: tests/test_old.py::test_old", "Selector: tests/test_no.py"), "E03", 6),
        (("Selector: tests/test_old.py::test_old", "Selector: none"), "E03", 6),
        (("`pkg/shift.py::translate`", "`pkg/gone.py::f`"), "E04", 26),
        (("`pkg/shift.py::translate`", "`pkg/shift.py::gone`"), "E04", 26),
        (("pytest tests/test_old.py::test_old", "pytest tests/test_other.py"), "E05", 31),
        (("`pkg/shift.py::translate`", "`pkg/core.py`"), "E07", 26),
        (("Mode: TDD", "Mode: Docs"), "E07", 26),
        (("FIX-SHIFT-001.C2", "FIX-SHIFT-001"), "E08", 3),
        (("1a2b3c4", "fffffff"), "E10", 5),
        (("USE_XLA_TRANSLATE=1\n", "USE_XLA_TRANSLATE=1\ntrue | false\n"), "E12", 35),
        (("`pkg/shift.py::translate` — repeat", "repeat"), "E13", 26),
        (("Mode: TDD", "Mode: Fast"), "E15", 3),
        (("docs/spec.md:3", "docs/spec.md:9"), "E16", 14),
        (("docs/spec.md:3", "docs/gone.md:3"), "E16", 14),
        (("Branch: main", "Branch: other"), "E17", 5),
        (("green/shift.log", "green/2027-01-01T000000Z.log"), "E09", 41),
        (("SHAPE-001 — keep", "SHAPE-009 — keep"), "W04", 57),
        (("`pkg/shift.py::translate`", "`docs/index.md::Main`"), "W03", 26),
        (("## Findings", "## Odd"), "W05", 55),
        (("Mode: TDD", ""), "W10", 0),
        (("python -m pkg.bench", "python -m pkg.bench data/*.h5"), "W07", 36),
    ],
)
def test_each_code_at_its_line(tree: Path, change: tuple[str, str], code: str, line: int) -> None:
    assert codes(OLD, context(tree)) == []
    assert change[0] in OLD
    text = (
        OLD.replace(change[0], change[1], 1)
        if change[0] != "FIX-SHIFT-001.C2"
        else OLD.replace("FIX-SHIFT-001.C2", "FIX-SHIFT-001").replace("(advances C2)", "")
    )
    found = [(d.code, d.line) for d in validate_order(text, context(tree))]
    assert (code, line) in found, found


def test_the_third_extension_of_plan_local_tools_is_a_warning(tree: Path) -> None:
    """From the files of the plan's bin/, or from the orders that the log holds."""
    text = OLD.replace("`pkg/shift.py::translate`", "new: `plans/active/FIX-SHIFT-001/bin/c.py`")
    folder = tree / "plans" / "active" / "FIX-SHIFT-001" / "bin"
    folder.mkdir(parents=True)
    checkout = Checkout(tree)
    for name, expected in (("a.py", []), ("b.py", ["W13"])):
        (folder / name).write_text("x = 1\n")
        where = context(tree, plan_local=checkout.context("input.md").plan_local)
        assert codes(text, where) == expected
        assert codes(OLD, where) == [], "product code is touched"
    for before, expected in ((1, []), (2, ["W13"])):
        other = Checkout(tree.parent).context("input.md", extended=lambda item: before)  # noqa: B023
        assert codes(text, context(tree, plan_local=other.plan_local)) == expected


def test_collection_history_protection_and_size(tree: Path) -> None:
    def broken(selector: str) -> list[str]:
        raise HarnessError("import error")

    assert codes(OLD, context(tree, collect=lambda s: ["tests/test_old.py::test_old"])) == []
    assert codes(OLD, context(tree, collect=lambda s: [])) == ["E03"]
    assert codes(OLD, context(tree, collect=broken)) == ["E03"]
    assert codes(ORDER, context(tree, collect=broken)) == [], "a new: test is not collected"
    known = [content_hash(parse_order(OLD))]
    assert codes(OLD, context(tree, known_orders=known)) == ["E06"]
    retry = OLD.replace("Intent:", "Retry-reason: new data\nIntent:")
    assert codes(retry, context(tree, known_orders=known)) == []
    assert codes(OLD, context(tree, protected=["pkg/**"])) == ["E07"]
    assert codes(OLD, context(tree, protected=["pkg/**"], approved=["pkg/shift.py"])) == []
    assert codes(OLD, context(tree, surfaces=["docs/*"]))[0] == "E07"
    assert "W02" in codes(OLD + "\n## Notes\n\n" + "word " * 3000, context(tree))
    assert [c for c in codes("Mode: TDD\n", context(tree)) if c < "W"] == [
        "E01",
        "E03",
        "E13",
        "E14",
    ]
    two = OLD.replace("Intent:", "Focus: DONE-001\nIntent:")
    assert "E11" in codes(two, context(tree))
    other = OLD.replace("tests/test_old.py::test_old", "tests/test_other.py::test_other")
    other = other.replace(", `tests/test_other.py::test_other`", "")
    lines = [row for row in other.split("\n") if not row.startswith("- [ ] T2")]
    assert "W01" in codes("\n".join(lines), context(tree))


def test_every_code_is_explained_and_every_used_code_exists() -> None:
    source = "".join(
        p.read_text("utf-8") for p in (ROOT / "scripts/orchestration/documents").rglob("*.py")
    )
    import re

    used = set(re.findall(r'"([EW]\d\d)"', source))
    assert used <= set(CODES)
    assert len(used) >= 40
    assert "why:" in str(explain("e03")) and explain("E99") is None


def test_symbols_and_globs() -> None:
    names = python_symbols("class A:\n  x: int = 1\n  def f(self): pass\nif 1:\n  b = 2\n")
    assert names == {"A", "A.x", "A.f", "b"}
    assert python_symbols("def (") is None and python_symbols("(" * 5000) is None
    assert matches("a/b/c.py", ["a/**"]) and matches("a/b.py", ["a/"]) and matches("x", ["**"])
    assert not matches("a/b/c.py", ["a/*"]) and not matches("ab/c.py", ["a/**"])


def test_nothing_outside_the_checkout_is_visible(tree: Path) -> None:
    files = Checkout(tree / "pkg")
    assert files.exists("core.py")
    for path in ("../docs/spec.md", "/etc/hostname", "x\0y", "~"):
        assert not files.exists(path) and files.read_lines(path) is None


def test_collection_is_asked_again_only_when_a_source_changes(tree: Path) -> None:
    asked: list[str] = []

    def collect(selector: str) -> list[str]:
        asked.append(selector)
        return [selector]

    cache = tree / ".cache" / "c.json"
    for _ in range(2):
        assert cached(collect, tree, cache)("tests/a.py") == ["tests/a.py"]
    assert len(asked) == 1
    (tree / "pkg" / "core.py").write_text("x = 2\n", encoding="utf-8")
    cached(collect, tree, cache)("tests/a.py")
    assert len(asked) == 2
    cache.write_text("{]", encoding="utf-8")
    cached(collect, tree, cache)("tests/a.py")
    assert len(asked) == 3


def lint(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(LINTER), *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_linter_keeps_its_command_line(tree: Path) -> None:
    (tree / ".git").mkdir()
    place = tree / "input.md"
    place.write_text(OLD.replace("Base: 1a2b3c4   ", ""), encoding="utf-8")
    done = lint("--no-collect", cwd=tree)
    assert (done.returncode, done.stdout.strip()) == (0, "input.md schema OK"), done.stderr
    place.write_text(OLD.replace("Mode: TDD", "Mode: Fast"), encoding="utf-8")
    done = lint("input.md", "--no-collect", cwd=tree)
    assert done.returncode == 1 and "E15 input.md:3" in done.stderr and not done.stdout
    assert lint("gone.md", "--no-collect", cwd=tree).returncode == 1
    place.write_bytes(bytes(range(256)) * 10)
    done = lint("input.md", "--no-collect", cwd=tree)
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_the_linter_imports_only_light_modules(tree: Path) -> None:
    """Each would cost milliseconds of every start; findings are read where an order names some."""
    text = OLD[: OLD.index("## Findings")] + "## Findings\n\n- none (searched: shift)\n"
    (tree / "input.md").write_text(text, encoding="utf-8")
    code = (
        "import runpy, sys\nsys.argv = ['v', 'input.md', '--no-collect']\n"
        f"try: runpy.run_path({str(LINTER)!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    heavy = {"pydantic", "typer", "git", "yaml", "rich", "numpy", "markdown_it", "json", "hashlib"}
    heavy |= {"shutil", "subprocess", "tempfile", "dataclasses", "inspect", "logging"}
    assert not heavy & loaded
    ours = {name for name in loaded if name.startswith("orchestration.")}
    rooms = ("orchestration.core", "orchestration.documents", "orchestration.errors")
    assert {name for name in ours if not name.startswith(rooms)} == set()
    rare = {"findings", "memory", "plan", "past", "historic.ledger_report", "ledger.edit", "fix"}
    rare |= {"grammar.codes", "kinds"}
    assert not {f"orchestration.documents.{name}" for name in rare} & ours


def test_the_linter_and_the_command_see_the_same_files(tree: Path) -> None:
    """A ledger at another place, and a folder that is no repository of git."""
    (tree / "input.md").write_text(OLD.replace("Base: 1a2b3c4   ", ""), encoding="utf-8")
    assert lint(cwd=tree).returncode == lint("--no-collect", cwd=tree).returncode == 0
    (tree / "orchestration.yaml").write_text("ledger: plans/other.md\n")
    (tree / "plans").mkdir(exist_ok=True)
    (tree / "plans/other.md").write_text("### [OTHER-001] other\n- Status: open\n")
    done = lint("--no-collect", cwd=tree)
    assert done.returncode == 1 and "E01" in done.stderr
    done = lint("--help", cwd=tree)
    assert done.returncode == 0 and "usage" in done.stdout


def test_the_ledger_of_the_fixture_is_sound() -> None:
    assert parse_ledger(LEDGER).item("LATER-001") is not None


@pytest.mark.timeout(60)
def test_a_glob_of_many_folders_takes_no_exponential_time() -> None:
    assert not matches("a/" * 60 + "c", ["**/a/" * 20 + "b"])
    assert matches("a/" * 60 + "b", ["**/a/" * 20 + "b"])
