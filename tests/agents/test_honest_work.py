"""Honest work goes through the whole engine: what an order allows is not taken for an attack."""

from __future__ import annotations

import subprocess
from pathlib import Path

from orchestration.engine import Engine, Summary
from orchestration.session import open_harness

BROKEN = "def add(a, b):\n    return a - b\n"
FIXED = "def add(a, b):\n    return a + b\n"
TEST = "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
LEDGER = """# Plan

### [FIX-1] Addition subtracts
- Status: open
- Guard: {guard}
- Recipe:
  - run: true
    may edit tests: {opened}
"""
WRITE = "import os, pathlib\ndef write(name, text):\n    pathlib.Path(name).write_text(text)\n"


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def work(
    tmp_path: Path,
    code: str,
    *,
    guard: str = "tests/test_calc.py",
    opened: str = "",
    files: dict[str, str] | None = None,
    settings: str = "",
) -> tuple[Path, Summary, dict[str, object]]:
    """One cycle of an agent that runs `code`; the repository, the summary and the verdict."""
    root = tmp_path / "repo"
    ledger = LEDGER.format(guard=guard, opened=opened)
    if not opened:
        ledger = ledger[: ledger.index("- Recipe")]
    agent = tmp_path / "agent.py"
    tmp_path.mkdir(exist_ok=True)
    agent.write_text(WRITE + code)
    base = {"calc/__init__.py": BROKEN, "tests/test_calc.py": TEST, "docs/fix_plan.md": ledger}
    base["orchestration.yaml"] = (
        f'agent: custom\nisolation: scan\nagent_command: ["{{python}}", "{agent}"]\n{settings}'
    )
    for name, text in (base | (files or {})).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for words in (
        ("init", "-q", "-b", "main"),
        ("config", "user.name", "P"),
        ("config", "user.email", "p@example.org"),
        ("add", "."),
        ("commit", "-qm", "start"),
    ):
        git(root, *words)
    harness = open_harness(root, cycles=1)
    summary = Engine(harness, lambda: "run1").run()
    verdict = next(e.data for e in reversed(harness.log.events) if e.kind == "verdict")
    return root, summary, verdict


FIX = f"write('calc/__init__.py', {FIXED!r})\n"


def test_a_refactoring_that_moves_tests_lands(tmp_path: Path) -> None:
    code = FIX + "os.rename('tests/test_calc.py', 'tests/test_addition.py')\n"
    root, summary, verdict = work(
        tmp_path, code, guard="tests", opened="tests/test_calc.py, tests/test_addition.py"
    )
    assert summary.landed == ["FIX-1"], verdict["reason"]
    names = git(root, "ls-tree", "-r", "--name-only", "main").split()
    assert "tests/test_addition.py" in names and "tests/test_calc.py" not in names


def test_a_new_test_file_lands_and_was_red_on_the_base(tmp_path: Path) -> None:
    code = (
        FIX
        + f"write('tests/test_new.py', {TEST!r}.replace('2, 3', '4, 5').replace('5\\n', '9\\n'))"
    )
    _, summary, verdict = work(
        tmp_path, code, guard="tests/test_calc.py", opened="tests/test_new.py"
    )
    assert summary.landed == ["FIX-1"], verdict["reason"]
    guard = verdict["guard"]
    assert isinstance(guard, dict)
    assert (guard["base"]["verdict"], guard["attempt"]["verdict"]) == ("fail", "pass")
    assert guard["attempt"]["coverage"] == {"changed_lines": 1, "ran": 1, "never_run": []}


def test_a_fixture_that_the_order_opens_may_change(tmp_path: Path) -> None:
    test = "import json\nfrom calc import add\n\n\ndef test_add():\n"
    test += "    a, b, c = json.load(open('tests/data/sum.json'))\n    assert add(a, b) == c\n"
    files = {"tests/test_calc.py": test, "tests/data/sum.json": "[2, 3, 5]"}
    code = FIX + "write('tests/data/sum.json', '[20, 30, 50]')"
    _, closed, verdict = work(tmp_path / "closed", code, files=files)
    assert closed.landed == [] and "tests/data/sum.json" in str(verdict["reason"])
    root, summary, verdict = work(tmp_path, code, files=files, opened="tests/data/*.json")
    assert summary.landed == ["FIX-1"], verdict["reason"]
    assert git(root, "show", "main:tests/data/sum.json") == "[20, 30, 50]"


def test_a_slow_guard_is_waited_for(tmp_path: Path) -> None:
    slow = "import time\n" + TEST.replace("    assert", "    time.sleep(2)\n    assert")
    _, summary, verdict = work(
        tmp_path, FIX, files={"tests/test_calc.py": slow}, settings="budgets: {idle_s: 1}\n"
    )
    assert summary.landed == ["FIX-1"], verdict["reason"]


def test_a_flaky_guard_is_called_flaky_and_never_green(tmp_path: Path) -> None:
    once = tmp_path / "times"
    flaky = (
        "import pathlib\nfrom calc import add\n\n\ndef test_add():\n"
        f"    seen = pathlib.Path({str(once)!r})\n"
        "    good = add(2, 3) == 5 and seen.exists()\n"
        "    if add(2, 3) == 5:\n        seen.touch()\n    assert good\n"
    )
    _, summary, verdict = work(tmp_path, FIX, files={"tests/test_calc.py": flaky})
    assert summary.landed == []
    assert "flaky: tests/test_calc.py::test_add failed, then passed" in str(verdict["reason"])


def test_caches_left_behind_in_a_repository_without_gitignore_do_no_harm(tmp_path: Path) -> None:
    code = FIX + (
        "import subprocess, sys\n"
        "env = {**os.environ, 'PYTHONPATH': os.getcwd()}\n"
        "subprocess.run([sys.executable, '-m', 'pytest', '-q', 'tests'], env=env)\n"
        "assert os.path.isdir('.pytest_cache') and os.path.isdir('calc/__pycache__')\n"
    )
    root, summary, verdict = work(tmp_path, code)
    assert summary.landed == ["FIX-1"], verdict["reason"]
    names = git(root, "ls-tree", "-r", "--name-only", "main").split()
    assert not [name for name in names if "cache" in name]
