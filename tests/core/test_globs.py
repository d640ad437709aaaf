"""One glob language: what the linter calls protected is what the gate calls protected."""

from __future__ import annotations

import pytest
from orchestration.documents.order import ValidationContext, validate_order
from orchestration.gates.scope import check

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
