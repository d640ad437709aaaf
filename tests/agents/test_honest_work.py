"""Honest work goes through the whole engine: what an order allows is not taken for an attack."""

from __future__ import annotations

from pathlib import Path

from turns import FIX, TEST, git, work


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
