"""`validate` on a ledger: checks that can never pass, and those that run no test today."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from orchestration.documents.grammar import coverage_fault

ORCHESTRATE = str(Path(sys.executable).with_name("orchestrate"))
SHOP = '''def total(prices):
    """Add up.

    >>> total([1, 2])
    3
    """
    return sum(prices)
'''
TESTS = """import pytest

from shop import total


@pytest.mark.quick
def test_total():
    assert total([1]) == 1


class TestMore:
    def test_none(self):
        assert total([]) == 0
"""
ROWS = {
    "pytest tests/test_shop.py::test_total": "",
    "pytest -q tests -k total": "",
    "pytest tests -m quick": "",
    "pytest tests/test_shop.py::TestMore": "",
    "pytest --doctest-modules shop.py": "",
    "python -m pytest -p no:cacheprovider tests": "",
    "python -m unittest discover tests": "",
    "python -m unittest -v tests.test_shop": "",
    "python -m unittest tests.test_shop.TestMore.test_none": "",
    "python -m unittest tests/test_shop.py": "",
    "python -m unittest tests.nosuch": "W28 unittest finds no `tests.nosuch`",
    "python -m unittest tests.test_shop.Gone": "W28 unittest finds no",
    "python -m unittest tests/gone.py": "W28",
    "python -m unittest nosuch": "W28 unittest finds no `nosuch`",
    "pytest --doctest-modules other.py": "W28",
    "pytest tests/test_shop.py::test_gone": "W28 no test of that name",
    "pytest tests/test_gone.py": "W28 does not exist",
    "pytest -rA tests/test_shop.py::TestMore::test_gone": "W28 not found",
    "python tools/gone.py": "W28 does not exist",
    "pytest tests -k nosuch": "E28 leaves no test",
    "pytest tests/test_shop.py -k 'nosuch or neither'": "E28 leaves no test",
    "pytest tests -m nosuch": "E28 leaves no test",
    "pytest -rA tests -k nosuch": "E28",
    "pytest tests/test_shop.py::test_total --deselect tests/test_shop.py": "E28 deselected",
    "pytest --collect-only tests": "E28 runs no test",
    "echo ok": "E28 cannot fail",
    "true": "E28 cannot fail",
    "pytest tests --no-such-option": "E28 unrecognized arguments: --no-such-option",
    "pytest tests --cov-fail-under=101": "E28 above 100",
    "pytest tests --cov-fail-under 80": "E28 measures nothing",
}


def repository(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=root, check=True)
    return root


def files(rows: list[str], more: str = "") -> dict[str, str]:
    criteria = "".join(f"  - [ ] C{n} `{row}` — right\n" for n, row in enumerate(rows, 1))
    return {
        "shop.py": SHOP,
        "other.py": "x = 1\n",
        "tests/test_shop.py": TESTS,
        "pytest.ini": "[pytest]\nmarkers = quick\n",
        "docs/fix_plan.md": f"# Plan\n\n### [A-001] T\n- Status: open\n{more}- Exit:\n{criteria}",
    }


def told(root: Path, *more: str) -> list[dict[str, str]]:
    words = [ORCHESTRATE, "validate", "docs/fix_plan.md", "--json", *more]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)["diagnostics"]  # type: ignore[no-any-return]


def test_each_check_of_a_ledger_is_asked_what_it_runs(tmp_path: Path) -> None:
    root = repository(tmp_path, files(list(ROWS)))
    by_row = {f"C{n}": row for n, row in enumerate(ROWS, 1)}
    found = {by_row[d["message"].split()[1].rstrip(":")]: d for d in told(root)}
    for row, wanted in ROWS.items():
        code, _, why = wanted.partition(" ")
        one = found.get(row)
        assert (one["code"] if one else "") == code, (row, one)
        assert one is None or why in one["message"], (row, one)
    left = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True)
    assert left.stdout == b"", "asking leaves nothing in the checkout"
    assert not list(root.rglob("__pycache__")) and not list(root.rglob(".pytest_cache"))
    assert {d["code"] for d in told(root, "--no-collect")} == {"E28", "W28"}


def test_a_guard_is_a_check_and_a_test_that_may_be_written_is_no_error(tmp_path: Path) -> None:
    guard = "- Guard: tests/test_shop.py -k nosuch\n"
    root = repository(tmp_path, files(["pytest tests/test_shop.py::test_total"], guard))
    (one,) = told(root)
    assert one["code"] == "E28" and "A-001 Guard" in one["message"] and one["line"] == 3
    text = (root / "docs/fix_plan.md").read_text()
    text += "- Recipe:\n  - apply: a.patch\n    may edit tests: tests/test_shop.py\n"
    (root / "docs/fix_plan.md").write_text(text)
    assert [d["code"] for d in told(root)] == ["W28"]


def test_a_guard_without_the_settings_that_made_it_a_test_is_told(tmp_path: Path) -> None:
    made = files(["pytest shop.py"]) | {"pytest.ini": "[pytest]\naddopts = --doctest-modules\n"}
    (one,) = told(repository(tmp_path, made))
    assert one["code"] == "E28" and "--doctest-modules" in one["message"]


@pytest.mark.parametrize(
    ("words", "addopts", "configured", "why"),
    [
        ("tests/t.py::test_a", "--cov=shop --cov-fail-under=90", 0, "--cov-fail-under=90"),
        ("tests -k one", "--cov=shop", 95, "fail_under = 95"),
        ("tests", "--cov=shop --cov-fail-under=90", 0, ""),
        ("tests/t.py --no-cov", "--cov=shop --cov-fail-under=90", 0, ""),
        ("tests/t.py -o addopts=", "--cov=shop --cov-fail-under=90", 0, ""),
        ("tests/t.py --cov=shop --cov-fail-under=50", "", 0, ""),
        ("tests/t.py --cov-fail-under=50", "--cov=shop", 0, ""),
        ("tests/t.py --cov-fail-under=50", "", 0, "measures nothing"),
        ("tests/t.py", "", 95, ""),
    ],
)
def test_coverage_of_everything_is_not_asked_of_a_part(
    words: str, addopts: str, configured: float, why: str
) -> None:
    found = coverage_fault(words.split(), addopts.split(), configured)
    assert (found is None) == (not why) and why in (found or "")
