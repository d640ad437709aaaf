"""One glob language: what the linter calls protected is what the gate calls protected."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from orchestration.core import matches
from orchestration.documents.order import ValidationContext, validate_order
from orchestration.gates.scope import check

ROOT = Path(__file__).resolve().parents[2]
CASES = [
    # path, glob, covered
    ("tests/a.py", "tests", True),
    ("tests/a/b.py", "tests", True),
    ("tests/a/b.py", "tests/", True),
    ("tests/a/b.py", "./tests/", True),
    ("tests/x.py", "tests/x.py/", True),
    ("tests/x.py", "tests/x.py/**", True),
    ("tests_other/b.py", "tests", False),
    ("a/tests/b.py", "tests", False),
    ("tests/a.py", "tests/[ab].py", True),
    ("tests/c.py", "tests/[ab].py", False),
    ("tests/c.py", "tests/[!ab].py", True),
    ("tests/a.py", "tests/[!ab].py", False),
    ("tests/7.py", "tests/[0-9].py", True),
    ("tests/x.py", "tests/[0-9].py", False),
    ("tests/a/b.py", "tests[!a]a/b.py", False),
    ("tests/[ab].py", "tests/[ab].py", True),
    ("tests/[a.py", "tests/[a.py", True),
    ("tests/x_ab.py", "tests/**_ab.py", True),
    ("tests/x/y_ab.py", "tests/**_ab.py", True),
    ("tests/x/y_ac.py", "tests/**_ab.py", False),
    ("tests/a/b.py", "tests/*.py", False),
    ("tests/a/b.py", "tests/**/*.py", True),
    ("tests/b.py", "tests/**/*.py", True),
    ("tests/a/b/c.py", "tests/*", False),
    ("tests/b.py", "tests/?.py", True),
    ("tests/a/b.py", "tests?a/b.py", False),
    ("tests/.hidden.py", "tests/*", True),
    ("tests/B.py", "tests/b.py", False),
    ("tests/b.py", "tests/b.py::test_x", True),
    ("any/where/x.py", "**", True),
    ("any/where/x.py", "**/x.py", True),
    ("x.py", "**/x.py", True),
]


def _linter(path: str, glob: str) -> bool:
    """Whether the linter tells a task that names `path` that it is protected by `glob`."""
    order = f"Focus: A-1\nMode: none\nSelector: none\n\n## Tasks\n- [ ] T1 Change `{path}`\n"
    found = validate_order(order, ValidationContext(protected=(glob,)))
    return any(d.code == "E07" and "is protected" in d.message for d in found)


def _gate(path: str, glob: str) -> bool:
    """Whether the gate turns an attempt down that changed `path`, where `glob` is forbidden."""
    return not check([path], may_edit=["**"], forbidden=[glob]).ok


@pytest.mark.parametrize("user", [_linter, _gate])
@pytest.mark.parametrize(("path", "glob", "covered"), CASES)
def test_linter_and_gate_read_a_glob_alike(user, path: str, glob: str, covered: bool) -> None:
    assert user(path, glob) is covered


def _rows_of_the_page() -> list[tuple[str, str, bool]]:
    page = (ROOT / "docs/specs/globs-and-selectors.md").read_text(encoding="utf-8")
    table = page.partition("## Globs")[2].partition("## Selectors")[0]
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| `")]
    return [
        (path, re.findall(r"`(.*?)`", glob)[0], wanted)
        for glob, *cells in rows
        for cell, wanted in zip(cells, (True, False), strict=True)
        for path in re.findall(r"`(.*?)`", cell)
    ]


def test_the_page_says_what_globs_do() -> None:
    rows = _rows_of_the_page()
    assert len(rows) > 25
    assert [row for row in rows if matches(row[0], [row[1]]) is not row[2]] == []
