"""A guard that runs none of the changed lines is told so; one that does is not."""

from __future__ import annotations

import subprocess
import sys

import pytest
from orchestration.gates import relevance
from project import BROKEN, FIXED, GUARD, Project

OTHER = "def times(a, b):\n    return a * b\n"


@pytest.mark.parametrize(
    ("product", "changed", "ran", "words"),
    [
        (FIXED, 1, 1, ""),
        (FIXED + "\n\n" + OTHER, 2, 1, ""),
        (BROKEN + "\n\n" + OTHER, 1, 0, "none of the 1 changed lines (calc/__init__.py)"),
        ("LIMIT = 3\n" + BROKEN, 1, 1, ""),
        ("# only words\n" + BROKEN, 0, 0, ""),
    ],
    ids=["the line that is tested", "one of two", "another function", "top level", "a comment"],
)
def test_changed_lines_are_seen(
    project: Project, product: str, changed: int, ran: int, words: str
) -> None:
    changes = {"calc/__init__.py": product}
    commit = project.attempt(changes)
    touched = relevance.touched_lines(project.repo, project.base, commit, list(changes))
    result = project.guard(changes, GUARD[:1], touched=touched)
    coverage = result.coverage or {"changed_lines": 0, "ran": 0}
    assert (coverage["changed_lines"], coverage["ran"]) == (changed, ran)
    assert words in relevance.finding(coverage) if words else not relevance.finding(coverage)


def test_the_trace_of_older_interpreters_sees_the_same() -> None:
    code = (
        "import sys; del sys.monitoring; sys.path.append(sys.argv[1]); import launcher\n"
        "def f():\n    return 1\n"
        "lines = launcher.Lines({'<string>': [3]}); lines.begin(); f(); sys.settrace(None)\n"
        "print(lines.found())"
    )
    place = relevance.__file__.rsplit("/", 1)[0]
    if not hasattr(sys, "monitoring"):
        code = code.replace("del sys.monitoring; ", "")
    done = subprocess.run(
        [sys.executable, "-c", code, place], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "{'<string>': [3]}\n"


def test_tests_and_broken_files_do_not_count(project: Project) -> None:
    changes = {"tests/test_calc.py": "x = 1\n", "calc/__init__.py": "def add(:\n"}
    commit = project.attempt(changes)
    assert relevance.touched_lines(project.repo, project.base, commit, list(changes)) == {}


@pytest.mark.parametrize("text", [b"x = " + b"-" * 100_000 + b"1\n", b"\0", b"def (:\n"])
def test_what_cannot_be_compiled_has_no_lines(text: bytes) -> None:
    assert relevance.executable_lines(text, "a.py") == (set(), set())
