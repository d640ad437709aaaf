"""Path classes, scope, and the inventory of evidence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.core import matches
from orchestration.gates.artifacts import inventory, write_inventory
from orchestration.gates.scope import check, classify, is_guarded, kind_of, steers


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("pkg/a.py", "product"),
        ("src/pkg/data.json", "product"),
        ("tests/test_a.py", "test"),
        ("pkg/tests/golden.npz", "test"),
        ("pkg/test_inline.py", "test"),
        ("conftest.py", "test"),
        ("scripts/run.py", "tool"),
        ("Makefile", "tool"),
        ("pyproject.toml", "tool"),
        ("docs/guide.md", "docs"),
        ("README.md", "docs"),
        ("plans/active/X/summary.md", "plan-local"),
        ("pkg/latest.py", "product"),
    ],
)
def test_kind(path: str, kind: str) -> None:
    assert kind_of(path) == kind


def test_a_folder_named_like_tools_can_be_product() -> None:
    assert kind_of("scripts/harness/a.py", product_roots=["scripts/harness"]) == "product"
    assert kind_of("scripts/harness/tests/test_a.py", product_roots=["scripts/harness"]) == "test"


def test_classify_keeps_every_path_once() -> None:
    groups = classify(["b.py", "a.py", "tests/t.py", "docs/x.md"])
    assert groups["product"] == ("a.py", "b.py")
    assert groups["tool"] == ()
    assert sum(len(found) for found in groups.values()) == 4


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("tests/a/b.py", "tests/*.py", False),
        ("tests/a/b.py", "tests/**/*.py", True),
        ("tests/b.py", "tests/**/*.py", True),
        ("tests/a/b.py", "tests", True),
        ("tests/a/b.py", "tests/", True),
        ("tests_other/b.py", "tests", False),
        ("tests/b.py", "tests/b.py::test_x", True),
        ("tests/[b].py", "tests/[b].py", True),
        ("tests/b.py", "./tests/?.py", True),
    ],
)
def test_globs(path: str, glob: str, expected: bool) -> None:
    assert matches(path, [glob]) is expected


@pytest.mark.parametrize(
    "path",
    [
        "a/conftest.py",
        "x.pth",
        "sitecustomize.py",
        "p/__pycache__/m.pyc",
        "pytest.toml",
        "tox.ini",
        "src/usercustomize.cpython-311-x86_64-linux-gnu.so",
    ],
)
def test_whatever_steers_python_is_guarded(path: str) -> None:
    assert is_guarded(path)


def test_scope_names_each_violation_with_its_reason() -> None:
    report = check(
        [
            "pkg/a.py",
            "input.md",
            "tests/t.py",
            "tests/new.py",
            "pkg/secret.py",
            "orchestration.yaml",
        ],
        new=["tests/new.py"],
        forbidden=["pkg/secret.py"],
    )
    assert not report.ok
    assert [line.split(":")[0] for line in report.violations] == [
        "input.md",
        "orchestration.yaml",
        "pkg/secret.py",
        "tests/t.py",
    ]
    assert check(["pkg/a.py"]).ok


@pytest.mark.parametrize(
    "path",
    [".github/workflows/ci.yml", "sub/.GitHub/x", ".gitlab-ci.yml", ".envrc", "a/.vscode/x.json",
     ".devcontainer/devcontainer.json", ".pre-commit-config.yaml", "AGENTS.md", "pkg/agents.md",
     "CLAUDE.md", ".cursorrules", ".cursor/rules/a.mdc", "x.code-workspace", ".claude/x.json",
     ".github/copilot-instructions.md", "Jenkinsfile"],
)  # fmt: skip
def test_files_that_run_elsewhere_or_steer_agents_are_known_wherever_they_lie(path: str) -> None:
    assert steers(path)


@pytest.mark.parametrize(
    "path", ["pkg/agents.py", "docs/agents.txt", "github/x.py", "Makefile", "README.md", "a/env.py"]
)
def test_ordinary_files_steer_nobody(path: str) -> None:
    assert not steers(path)


def test_a_package_called_testing_is_product_and_a_folder_at_the_top_is_not() -> None:
    assert not is_guarded("calc/testing/__init__.py")
    assert is_guarded("testing/helpers.py")
    assert check(["calc/testing/shapes.py"]).ok


def test_what_the_order_forbids_is_not_opened_by_may_edit() -> None:
    assert not check(["tests/t.py"], may_edit=["tests/**"], forbidden=["tests/t.py"]).ok


def test_inventory_round_trip_and_tamper(tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "run.log").write_text("ok\n")
    (tmp_path / "green").mkdir()
    (tmp_path / "green" / "a  b.txt").write_bytes(b"\0\1")
    found = inventory(tmp_path, producers={"cli": "harness"})
    assert [(e.path, e.bytes, e.producer) for e in found.entries] == [
        ("cli/run.log", 3, "harness"),
        ("green/a  b.txt", 2, "agent"),
    ]
    page = write_inventory(tmp_path, found)
    assert inventory(tmp_path).entries[2:] == ()  # the page itself is no evidence
    digests = [hashlib.sha256(data).hexdigest() for data in (b"ok\n", b"\0\1")]
    assert page.read_text().splitlines() == [
        "# sha256  bytes  producer  path",
        f"{digests[0]}  3  harness  cli/run.log",
        f"{digests[1]}  2  agent  green/a  b.txt",
    ]
    (tmp_path / "cli" / "run.log").write_text("forged\n")
    assert inventory(tmp_path).entries[0].sha256 != digests[0]


def test_inventory_leaves_out_links_and_what_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 100)
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").symlink_to("/etc")
    (tmp_path / "small").write_bytes(b"x")
    found = inventory(tmp_path, file_cap_bytes=50)
    assert [e.path for e in found.entries] == ["small"]
    assert len(found.problems) == 3
    many = inventory(tmp_path, file_cap_bytes=200, total_cap_bytes=100)
    assert [e.path for e in many.entries] == ["big"]


def _plainly(path: str, glob: str) -> bool:
    """What a glob means, tried in every way."""
    if not glob:
        return not path
    if glob == "/**" and not path:
        return True
    if glob.startswith("**/") and _plainly(path, glob[3:]):
        return True
    if glob.startswith("**/"):
        return any(c == "/" and _plainly(path[n + 1 :], glob[3:]) for n, c in enumerate(path))
    if glob.startswith("**"):
        return any(_plainly(path[n:], glob[2:]) for n in range(len(path) + 1))
    if glob[0] == "*":
        free = len(path.partition("/")[0])
        return any(_plainly(path[n:], glob[1:]) for n in range(free + 1))
    fits = path[:1] == glob[0] or (glob[0] == "?" and path[:1] not in ("", "/"))
    return fits and _plainly(path[1:], glob[1:])


@settings(max_examples=500)
@given(st.text("ab/", min_size=1, max_size=9), st.text("ab/**?", min_size=1, max_size=8))
def test_a_glob_means_what_trying_everything_says(path: str, glob: str) -> None:
    if path.startswith(glob.rstrip("/") + "/") or glob.endswith("/"):
        return  # a named folder
    assert matches(path, [glob]) == _plainly(path, glob)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("glob", ["*a" * 40 + "b", "**/" * 40 + "b", "a/**/" * 12 + "b"])
def test_a_glob_of_many_stars_takes_no_exponential_time(glob: str) -> None:
    assert not matches("a" * 200, [glob])
    assert not matches("a/" * 40 + "c", [glob])
