"""Where the code under test finds itself: nothing that it can see names the harness."""

from __future__ import annotations

import json
import shutil

import pytest
from orchestration.gates.guard import GuardSpec, run_guard
from orchestration.sandbox import available
from orchestration.turns.workspace import fresh_checkout, leftovers, remove_checkout
from project import FIXED, Project

LOOK = """\
import glob
import json
import os
import sys
import traceback


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def test_add(request):
    try:
        raise ValueError
    except ValueError:
        told = traceback.format_exc() + "".join(traceback.format_stack())
    seen = {
        "cwd": os.getcwd(), "environ": dict(os.environ), "path": sys.path, "argv": sys.argv,
        "original": sys.orig_argv, "file": __file__, "root": str(request.config.rootpath),
        "options": repr(request.config.invocation_params), "stack": told,
        "frames": [m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", "")],
        "git": {p: read(p) for p in glob.glob(".git/**", recursive=True)
                if os.path.isfile(p) and "/objects/pack" not in p and not p.endswith("/index")},
    }
    if FENCED:
        for name in ("mounts", "mountinfo", "cmdline", "environ", "maps"):
            for path in glob.glob(f"/proc/[0-9]*/{name}"):
                seen[path] = read(path)
    print("SEEN" + json.dumps(seen) + "SEEN")


def test_zero():
    pass
"""


@pytest.mark.parametrize("level", available())
def test_nothing_that_a_guard_can_see_names_the_harness(project: Project, level: str) -> None:
    text = LOOK.replace("FENCED", str(level in ("bwrap", "kernel")))
    tree = project.attempt({"calc/__init__.py": FIXED, "tests/test_calc.py": text})
    place = fresh_checkout(project.repo, tree)
    log = project.repo.root.parent / "guard.log"
    spec = GuardSpec(place, selector="tests", isolation=level, timeout_s=60, log_path=log)
    shown = GuardSpec(**{**vars(spec), "node_ids": ["tests/test_calc.py::test_add"]})
    conftest = place / "conftest.py"  # what passes is not printed: a terminal hook says it
    conftest.write_text(
        "def pytest_runtest_logreport(report):\n"
        "    if report.when == 'call' and report.capstdout:\n"
        "        import sys; sys.__stdout__.write(report.capstdout)\n"
    )
    result = run_guard(shown)
    assert result.verdict == "pass", result.reason
    seen = json.loads(log.read_text().split("SEEN")[1])
    if level != "bwrap":  # its first process has its own command line
        assert any("cmdline" in name for name in seen) == (level == "kernel")
    states = str(project.repo.state_dir)
    for what, value in seen.items():
        told = json.dumps(value)
        if level == "bwrap" and what == "/proc/1/cmdline":
            continue
        assert states not in told, (what, told)
        assert "orchestrat" not in told.lower(), (what, told)
    remove_checkout(project.repo, place)
    assert not place.exists()


def test_git_answers_in_a_checkout_behind_the_fence(project: Project) -> None:
    """Honest tests ask git for a version, a list of files, what a file was."""
    test = (
        "import subprocess\n\ndef git(*words):\n"
        "    return subprocess.run(['git', *words], capture_output=True, text=True,\n"
        "                          check=True).stdout\n\n"
        "def test_add():\n"
        "    assert 'attempt' in git('log', '--format=%s')\n"
        "    assert 'return' in git('show', 'HEAD:calc/__init__.py')\n"
        "    assert git('status', '--porcelain', '--untracked-files=no') == ''\n"
        "\ndef test_zero(): pass\n"
    )
    files = {"calc/__init__.py": FIXED, "tests/test_calc.py": test}
    place = fresh_checkout(project.repo, project.attempt(files))
    result = run_guard(GuardSpec(place, selector="tests", timeout_s=60))
    assert result.verdict == "pass", (result.reason, result.messages)
    remove_checkout(project.repo, place)


def test_a_checkout_that_a_killed_run_left_is_found_and_removed(project: Project) -> None:
    place = fresh_checkout(project.repo, project.base)
    old = project.repo.state_dir / "checkouts" / "of-an-earlier-version"
    old.mkdir()
    lost = fresh_checkout(project.repo, project.base)
    shutil.rmtree(lost)  # the kill came when its link was made, or its files were gone
    found = leftovers(project.repo)
    assert sorted(found) == sorted([place, old, lost])
    for path in found:
        remove_checkout(project.repo, path)
    assert leftovers(project.repo) == []
    assert not any(path.exists() for path in (place, old, lost))
