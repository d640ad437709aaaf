"""A check that cannot fail or cannot pass is none; a shell is the judge of what is certain."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from orchestration.documents import kinds, ledger
from orchestration.documents.grammar.certain import outcome
from orchestration.documents.order import ValidationContext

HEAD = "Summary: s\nMode: TDD\nFocus: OVEN-HEAT-002.B1 — heat\nBranch: work\n"


def codes(text: str, **lookups: object) -> list[str]:
    context = ValidationContext(path="input.md", **lookups)  # type: ignore[arg-type]
    return [d.code for d in kinds.check_document("order", text, context)]


CHECKS = HEAD + "Selector: tests/t.py::test_one\n\n## Goal\ng\n## Checks\n```sh\n{}\n```\n"


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ("echo pytest tests/t.py::test_one", "cannot fail"),
        ("true", "cannot fail"),
        ("false", "cannot pass"),
        ("env A=1 printf ok", "cannot fail"),
        ("pytest --collect-only tests/t.py::test_one", "runs no test"),
        ("python -m pytest tests/t.py::test_one --co -q", "runs no test"),
        ("pytest tests/t.py::test_one --deselect tests/t.py::test_one", "deselected"),
        ("pytest tests/t.py::test_one --deselect=tests/t.py", "deselected"),
        ("pytest tests/t.py --ignore tests/t.py", "deselected"),
        ("pytest tests/t.py::test_one -k nosuch", "leaves no test"),
        ("pytest tests/t.py::test_one -k 'not test_one'", "leaves no test"),
        ("pytest tests/t.py::test_one -k 'one and nosuch'", "leaves no test"),
        ("rm -rf out", "removes"),
        ("tools/", "folder"),
        ("tools/gone.sh --all", "does not exist"),
        ("nosuchprogram --x", "no program here"),
        ("make sure the log is green.", "sentence"),
        ("pytest should pass on tests/t.py", "sentence"),
        ("python -c pass", "cannot fail"),
        ("python3 -c 'import sys; print(1); sys.exit(0)'", "cannot fail"),
        ("python -c 'assert 1 == 1'", "cannot fail"),
        ("python -c 'raise SystemExit(3)'", "cannot pass"),
        ("python -c 'is no python'", "cannot pass"),
        ("python -m site", "cannot fail"),
        ("python --version", "cannot fail"),
        ("python", "cannot fail"),
        ("bash -c true", "cannot fail"),
        ("sh -c 'echo pytest tests/t.py::test_one'", "cannot fail"),
        ("bash -lc 'pytest tests/t.py::test_one || true'", "cannot fail"),
        ("sh -c 'pytest tests/t.py::test_one; exit 0'", "cannot fail"),
        ("bash -c 'pytest tests/t.py::test_one | tee a.log'", "cannot fail"),
        ("timeout -s KILL 30 sh -c 'pytest tests/t.py & '", "cannot fail"),
        ("sh -c 'make check && false'", "cannot pass"),
        ("sh -c 'pytest --collect-only tests/t.py'", "runs no test"),
        ("bash -c 'rm -rf out'", "removes"),
        ("sh -c '(pytest tests/t.py; true)'", "cannot fail"),
        ("sh -c 'if pytest tests/t.py; then :; fi'", "cannot fail"),
        ("sh -c 'trap \"exit 0\" EXIT; pytest tests/t.py'", "cannot fail"),
        ("sh -c 'for i in 1 2; do pytest tests/t.py; true; done'", "cannot fail"),
        ("perl -e 1", "cannot fail"),
        ("expr 1 + 1", "cannot fail"),
        ("expr 1 - 1", "cannot pass"),
        ("test 1", "cannot fail"),
        ("test -n word", "cannot fail"),
        ("[ 2 -gt 1 ]", "cannot fail"),
        ("test a = b", "cannot pass"),
        ("test ! -e .", "cannot pass"),
        ("env A=1", "no program"),
        ("nice -n 5 env -u B true", "cannot fail"),
        ("uv run --frozen true", "cannot fail"),
        ("git status", "cannot fail"),
        ("git clean -fdx", "removes"),
        ("find out -delete", "removes"),
        ("make -n check", "runs nothing"),
        ("ruff check --help", "cannot fail"),
        ("pytest -VV", "runs no test"),
        ("PYTEST_ADDOPTS=--co pytest tests/t.py::test_one", "runs no test"),
        ("pytest -o addopts=--collect-only tests/t.py::test_one", "runs no test"),
        ("pytest tests/t.py::test_one -k=nosuch", "leaves no test"),
        (
            "pytest tests/t.py --deselect=tests/t.py::test_one --deselect tests/t.py::test_t",
            "desel",
        ),
        ("pytest tests/t.py --ignore-glob 'tests/*'", "deselected"),
        ("pytest tests/gone.py", "does not exist"),
        ("python tools/gone.py --all", "does not exist"),
        ("./tools --all", "folder"),
        ("env PYTEST_ADDOPTS=--co pytest tests/t.py::test_one", "runs no test"),
        ("pytest tests/t.py::test_one --collect-only=1", "runs no test"),
        ("pytest tests/t.py::test_one -p no:python", "runs no test"),
        ("git checkout -- .", "changes"),
        ("git add -A", "changes"),
        ("git fetch origin", "changes"),
        ("git show", "cannot fail"),
        ("git ls-files", "cannot fail"),
        ("git rev-parse HEAD", "cannot fail"),
        ("git diff --quiet HEAD HEAD", "cannot fail"),
        ("ls -la .", "cannot fail"),
        ("find . -name '*.py'", "cannot fail"),
        ("test -e /dev/null", "cannot fail"),
        ("test -f out/a.txt -o 1 = 1", "cannot fail"),
        ("test -f out/a.txt -a 1 = 2", "cannot pass"),
        ("cmp tests/t.py tests/t.py", "cannot fail"),
        ("diff -q tests/t.py ./tests/t.py", "cannot fail"),
        ("make --touch check", "runs nothing"),
        ("make -i check", "does not count"),
        ("make -ik check", "does not count"),
        ("ruff check --exit-zero .", "does not count"),
        ("flake8 --exit-zero", "does not count"),
        ("python -m http.server", "cannot pass"),
        ("python -m unittest --help", "cannot fail"),
        ("python -m pip --version", "cannot fail"),
        ("python -c 'import os; os.system(\"pytest tests/t.py\")'", "cannot fail"),
        ("python -c 'import subprocess as s; s.run([\"pytest\"])'", "cannot fail"),
        ("python -c 'import pytest; pytest.main([\"tests/t.py\"])'", "cannot fail"),
        (". venv/bin/activate", "word of the shell"),
        ("eval pytest tests/t.py", "word of the shell"),
        ("tests/t.py", "no program"),
        ("mypy is clean", "sentence"),
        ("pytest passes", "sentence"),
        ("ruff reports nothing", "sentence"),
        ("pytest --ignore=.", "deselected"),
        ("pytest tests/t.py --ignore=./tests", "deselected"),
        ("pytest ./tests/t.py --ignore tests/", "deselected"),
        ("pytest tests/t.py -m 'slow and not slow'", "leaves no test"),
        ("pytest tests/t.py -m 'not (a or not a)'", "leaves no test"),
        ("pytest -k 'one and not one'", "leaves no test"),
        ("pytest tests/t.py --lf --lfnf=none", "runs no test"),
        ("pytest tests/t.py --last-failed --last-failed-no-failures none", "runs no test"),
        ("mv a.txt b.txt", "changes"),
        ("chmod +x tests/t.py", "changes"),
        ("truncate -s 0 a.txt", "changes"),
        ("cat /dev/null", "cannot fail"),
        ("make -v", "cannot fail"),
        ("go version", "cannot fail"),
        ("conda list", "cannot fail"),
        ("pre-commit --version", "cannot fail"),
        ("tox -l", "cannot fail"),
        ("nox --list", "cannot fail"),
        ("tox --notest", "runs no test"),
        ("coverage erase", "cannot fail"),
        ("python -m coverage erase", "cannot fail"),
        ("python -m pip list", "cannot fail"),
        ("python tools", "folder"),
    ],
)
def test_a_check_that_says_nothing_is_an_error_with_its_reason(check: str, why: str) -> None:
    context = ValidationContext(
        exists=lambda path: path in ("tests/t.py", "tools"),
        read_lines=lambda path: (
            None if path == "tools" else ["def test_one(): assert 1", "def test_two(): assert 2"]
        ),
        program=lambda name: (
            name in ("pytest", "python", "make", "test", "ruff", "mypy", "git", "tox", "nox")
        ),
    )
    found = kinds.check_document("order", CHECKS.format(check), context)
    told = [d for d in found if d.code in ("E28", "E12") and why in d.message]
    assert told and told[0].line == CHECKS[: CHECKS.index("{}")].count("\n") + 1
    assert "E05" in {d.code for d in found}, "a check that is none does not run the selector"


@pytest.mark.parametrize(
    "check",
    [
        "sh -c 'if ! pytest tests/t.py::test_one; then exit 1; fi; echo ok'",
        "sh -c 'if pytest tests/t.py::test_one; then echo ok; else exit 1; fi'",
        "sh -c '{ pytest tests/t.py::test_one || exit 1; }; true'",
        "sh -c 'for i in 1 2; do pytest tests/t.py::test_one || exit 1; done'",
        "sh -c '(cd . && pytest tests/t.py::test_one)'",
        "sh -c 'trap \"rm -f a.tmp\" EXIT; pytest tests/t.py::test_one'",
        "pytest tests/t.py::test_one -k 'one or nosuch'",
        "pytest tests/t.py::test_one -k one",
        "pytest tests/t.py::test_one --deselect tests/t.py::test_two",
        "pytest tests/t.py::test_one -q --tb=short",
        "timeout 30 python -m pytest tests/t.py::test_one",
        "test -s out/a.txt",
        "ruff check .",
        "make check",
        "sh -c 'pytest tests/t.py::test_one'",
        "bash -c 'cd out && pytest tests/t.py'",
        "bash -c 'set -e; pytest tests/t.py; true'",
        "bash -euo pipefail -c 'pytest tests/t.py | tee a.log'",
        "sh -c 'pytest tests/t.py | grep passed'",
        "sh -c 'for i in 1 2; do pytest tests/t.py; done'",
        "bash -c 'if pytest tests/t.py; then exit 0; else exit 1; fi'",
        "python -c 'import tests.t; tests.t.test_one()'",
        "python -c 'import os; assert os.path.exists(\"out\")'",
        "python tests/t.py --all",
        "python $HUB/probe.py",
        "test ! -e out/a.txt",
        "test $COUNT -gt 3",
        "git diff --exit-code",
        "make --help-me",
        "pytest tests/t.py --deselect tests/t.py::test_two",
        "[ -f out/a.txt ]",
        "pytest tests/t.py::test_one[a-1]",
        "git ls-files --error-unmatch out/a.txt",
        "git rev-parse --verify v1.0",
        "git diff --quiet HEAD HEAD~1",
        "git merge-base --is-ancestor v1.0 HEAD",
        "ls out/a.txt",
        "find out -name a.txt",
        "find . -name '*.py' -exec python -m py_compile {} +",
        "test -f out/a.txt -o -f out/b.txt",
        "diff -q tests/t.py out/t.py",
        "make -k check",
        "make -j4 check",
        "python -m tests.t --help",
        "python -c 'import subprocess; subprocess.run([\"pytest\"], check=True)'",
        "python -c 'import pytest, sys; sys.exit(pytest.main([\"tests/t.py\"]))'",
        "python -c 'import subprocess; subprocess.check_call([\"pytest\"])'",
        "env PYTEST_ADDOPTS=-q pytest tests/t.py::test_one",
        "pytest tests/t.py -m 'slow and not quick'",
        "pytest tests/t.py -m 'slow or not slow'",
        "pytest --ignore=out",
        "pytest tests/t.py --lf",
        "tox -e py311",
        "coverage report --fail-under=90",
        "bash -c '(set -e; pytest tests/t.py; true)'",
        "bash -c '(pytest tests/t.py)'",
        "bash -c 'if pytest tests/t.py; then true; else false; fi'",
        "bash -c 'trap \"rm -f a\" EXIT; pytest tests/t.py'",
    ],
)
def test_a_check_that_can_fail_and_pass_is_none_of_them(check: str) -> None:
    context = ValidationContext(
        exists=lambda path: path == "tests/t.py",
        read_lines=lambda path: ["def test_one(): assert 1"],
        program=lambda name: (
            name in ("pytest", "python", "make", "test", "ruff", "bash", "sh", "git", "ls", "[")
            or name in ("find", "diff", "mypy", "tox", "coverage")
        ),
    )
    found = kinds.check_document("order", CHECKS.format(check), context)
    assert "E28" not in {d.code for d in found}, found


@pytest.mark.parametrize(
    "check",
    [
        "grep -c assert tests/t.py::test_one",
        "command -v pytest tests/t.py::test_one",
        "ls tests/t.py::test_one",
        "python tests/t.py tests/t.py::test_one",
    ],
)
def test_a_command_that_only_names_the_selector_does_not_run_it(check: str) -> None:
    read = lambda path: ["def test_one(): assert 1"]  # noqa: E731
    assert "E05" in codes(CHECKS.format(check), read_lines=read)
    runs = "xvfb-run -a mpirun -n 2 coverage run -m pytest tests/t.py::test_one"
    assert "E05" not in codes(CHECKS.format(runs), read_lines=read)


def test_what_prepares_is_no_check_of_its_own() -> None:
    """`mkdir -p` before a test belongs to it; alone, or as a criterion, it says nothing."""
    for prepares in ("mkdir -p out", "touch out/a.txt", "tee out/a.log", "chmod +x out/a"):
        assert "E28" in codes(CHECKS.format(prepares))
        assert "E28" not in codes(CHECKS.format(f"{prepares}\npytest tests/t.py::test_one"))
        text = f"### [OVEN-HEAT-002] x\n- Status: open\n- Exit:\n  - [ ] C1 `{prepares}` — made\n"
        assert [d.code for d in kinds.check_document("ledger", text, ValidationContext())] == [
            "E28"
        ]
    assert "E28" in codes(CHECKS.format("mkdir -p out\ntouch out/a.txt"))


def test_what_a_criterion_of_the_item_runs_may_be_the_works_to_write() -> None:
    read = ledger.parse_ledger(
        "### [OVEN-HEAT-002] x\n- Status: open\n- Exit:\n  - [ ] C1 `pytest tests/new.py`\n"
    )
    for check, told in (("pytest tests/new.py", False), ("pytest tests/other.py", True)):
        found = codes(CHECKS.format(check), exists=lambda path: False, ledger=read)
        assert ("E28" in found) is told, check


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["; ", " && ", " || ", " | ", "\n", " & "]),
            st.sampled_from(
                ["true", "false", "$U", "! false", "! $U", "exit 0", "exit 1", "(false)", "set -e",
                 "set -o pipefail", "{ true; }", "if $U; then false; fi", "test 1", "A=1 false",
                 "if ! $U; then exit 1; fi", "if $U; then :; fi", "(exit 0)", "{ exit 1; }",
                 "($U; true)", "if $U; then true; else false; fi", "if true; then $U; fi",
                 "while $U; do break; done", "for i in a b; do $U; done", "A=1", "A=$($U)",
                 "for i in a; do true; done", "trap 'exit 0' EXIT", "case a in a) exit 0;; esac",
                 "if false; then exit 0; elif $U; then true; fi", "! { $U; }", "[[ a && b ]]",
                 "until true; do false; done", "{ $U; exit 0; }", "f() { exit 1; }", "f"]
            ),
        ),
        min_size=1,
        max_size=5,
    )
)  # fmt: skip
@example([("; ", "! { $U; }"), (" | ", "true")])  # `!` is of the whole pipeline
def test_what_is_certain_of_a_script_is_what_a_shell_does(parts: list[tuple[str, str]]) -> None:
    script = "".join(mark + word for mark, word in parts)[len(parts[0][0]) :]
    ends = outcome(["bash", "-c", script])
    for value in ("true", "false"):
        done = subprocess.run(["bash", "-c", script], env={"U": value, "PATH": os.environ["PATH"]})
        assert ends is None or ends is (done.returncode == 0), (script, value)
