"""Attacks on the verdict: each is first shown to work on plain pytest, then judged by the guard."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from project import BASE, BROKEN, FIXED, GUARD, TESTS, Project, make_project

ALL_PASSED = """\
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    out = yield
    report = out.get_result()
    report.outcome, report.longrepr = "passed", None
"""
ATTACKS = {
    "A reports set to passed by conftest": ({"conftest.py": ALL_PASSED}, 0, "fail"),
    "B exit code 0 at exit": (
        {"calc/__init__.py": "import atexit, os\natexit.register(os._exit, 0)\n" + BROKEN},
        0,
        "fail",
    ),
    "C module-level skip": (
        {"tests/test_calc.py": "import pytest\npytestmark = pytest.mark.skip\n" + TESTS},
        0,
        "fail",
    ),
    "D deselected in the ini": (
        {"pytest.ini": "[pytest]\naddopts = --deselect tests/test_calc.py\n"},
        5,
        "fail",
    ),
    "E collection emptied by conftest": (
        {"conftest.py": "def pytest_collection_modifyitems(items): items[:] = []\n"},
        5,
        "fail",
    ),
    "F calls made empty by conftest": (
        {"conftest.py": "def pytest_pyfunc_call(pyfuncitem): return True\n"},
        0,
        "fail",
    ),
    "G exit at import": (
        {"calc/__init__.py": "import os\nos._exit(0)\n"},
        0,
        "not-run",
    ),
    "I product patches pytest's reports": (
        {
            "calc/__init__.py": BROKEN
            + "from _pytest.reports import TestReport as T\n"
            + "old = T.from_item_and_call.__func__\n"
            + "def new(cls, item, call):\n"
            + "    call.excinfo = None\n"
            + "    return old(cls, item, call)\n"
            + "T.from_item_and_call = classmethod(new)\n"
        },
        0,
        "tampered",
    ),
    "J skip raised by the product": (
        {"calc/__init__.py": "import pytest\npytest.skip('not today', allow_module_level=True)\n"},
        5,
        "fail",
    ),
    "K a pytest package in the tree": (
        {"pytest/__init__.py": "", "pytest/__main__.py": "raise SystemExit(0)\n"},
        0,
        "error",
    ),
    "L product forges our report": (
        {
            "calc/__init__.py": BROKEN
            + "import gc\n"
            + "row = dict(outcome='passed', xfail=False, seconds=0, text='')\n"
            + "class Forged(dict):\n"
            + "    def setdefault(self, key, value):\n"
            + "        self[key] = [row | {'when': w} for w in ('setup', 'call', 'teardown')]\n"
            + "        return []\n"
            + "for thing in gc.get_objects():\n"
            + "    if type(thing).__name__ == 'Reporter':\n"
            + "        thing.phases = Forged()\n"
        },
        None,
        "tampered",
    ),
    "M xfail mark added to the tests": (
        {"tests/test_calc.py": "import pytest\npytestmark = pytest.mark.xfail\n" + TESTS},
        0,
        "fail",
    ),
    "N tests deleted": (
        {"tests/test_calc.py": "def test_nothing(): pass\n"},
        0,
        "fail",
    ),
    "O start-up file in the import root": (
        {"sitecustomize.py": "import os, sys\nif 'pytest' in sys.orig_argv: os._exit(0)\n"},
        0,
        "fail",
    ),
    "P conftest beside the tests": ({"tests/conftest.py": ALL_PASSED}, 0, "fail"),
    "Q asserts switched off by a stray ini": (
        {
            "pytest.ini": "[pytest]\naddopts = -p calc.plug\n",
            "calc/plug.py": "import pytest\n" + ALL_PASSED.partition("\n")[2],
        },
        0,
        "fail",
    ),
    "R exit inside the test call": (
        {"calc/__init__.py": "import os\ndef add(a, b): os._exit(0)\n"},
        0,
        "not-run",
    ),
    "S session stopped as successful": (
        {
            "calc/__init__.py": "import pytest\n"
            "def add(a, b): pytest.exit('all done', returncode=0)\n"
        },
        0,
        "not-run",
    ),
    "T exception swallowed by a hung clock": (
        {"calc/__init__.py": "import time\ndef add(a, b): time.sleep(60)\n"},
        None,
        "fail",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(project: Project, name: str) -> None:
    changes, bare, verdict = ATTACKS[name]
    if bare is not None:
        assert project.bare(changes) == bare, "the attack must work on plain pytest"
    result = project.guard(changes, timeout_s=3.0 if name.startswith("T") else 60.0)
    assert result.verdict == verdict, result.reason
    assert not result.passed


def test_honest_work_passes_and_broken_work_fails(project: Project) -> None:
    assert project.bare({}) == 1, "without an attack plain pytest is red"
    good = project.guard({"calc/__init__.py": FIXED})
    assert good.verdict == "pass", good.reason
    assert good.nodes == dict.fromkeys(GUARD, "passed")
    assert good.counts == {"passed": 2}
    bad = project.guard({})
    assert bad.verdict == "fail"
    assert bad.nodes == dict.fromkeys(GUARD, "failed")
    assert "assert" in bad.messages[GUARD[0]]


@pytest.mark.parametrize("name", ["A reports set to passed by conftest", "F", "E"])
def test_a_conftest_the_order_opens_still_cannot_hide_the_canary(
    project: Project, name: str
) -> None:
    changes = next(v[0] for k, v in ATTACKS.items() if k.startswith(name))
    result = project.guard(changes, may_edit=["conftest.py"])
    assert result.verdict in ("tampered", "not-run")
    assert result.verdict == "tampered" or name == "E"


def test_an_always_equal_object_is_beyond_any_runner(project: Project) -> None:
    """The known limit: only the source scan (`tamper`) sees it."""
    code = "class Yes:\n    def __eq__(self, other): return True\ndef add(a, b): return Yes()\n"
    assert project.bare({"calc/__init__.py": code}) == 0
    result = project.guard({"calc/__init__.py": code})
    assert (result.verdict, result.reason) == ("pass", "2 passed")


def test_a_report_written_by_another_process_is_not_believed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # or it would forge everybody's
    code = (
        "import os\n\ndef add(a, b):\n"
        f"    place = {tempfile.gettempdir()!r}\n"
        "    for name in os.listdir(place):\n"
        "        if os.path.isdir(os.path.join(place, name, 'shim')):\n"
        "            target = os.path.join(place, name, 'report')\n"
        "            open(target, 'w').write('x\\n{}')\n"
        "    os._exit(1)\n"
    )
    result = project.guard({"calc/__init__.py": code})
    assert result.verdict == "tampered"


def test_nothing_of_the_run_is_left_in_the_checkout_or_shown_to_the_tests(
    project: Project,
) -> None:
    probe = (
        "import os, sys\n\ndef test_add():\n"
        "    text = ' '.join(sys.argv) + repr(dict(os.environ))\n"
        "    assert 'nonce' not in text and 'report' not in text\n"
        "\ndef test_zero(): pass\n"
    )
    place_result = project.guard(
        {"tests/test_calc.py": probe, "calc/__init__.py": FIXED}, may_edit=["tests/test_calc.py"]
    )
    assert place_result.verdict == "pass", place_result.messages
    checkout = next((project.repo.state_dir / "checkouts").iterdir())
    left = [p.name for p in checkout.rglob("*") if p.is_file() and ".git" not in p.parts[-3:-1]]
    assert not [n for n in left if n.startswith("test_") and n != "test_calc.py"]


PLANTS = """\
import importlib.metadata, importlib.util, os, pathlib, py_compile, sys, tempfile
LATE = pathlib.Path(__file__).resolve().parents[1] / "tests/test_late.py"
def plant():
    place = os.path.dirname(importlib.util.cache_from_source(str(LATE)))
    kind = f"{sys.implementation.cache_tag}-pytest-{importlib.metadata.version('pytest')}"
    goal = pathlib.Path(place, f"test_late.{kind}.pyc")
    fake = pathlib.Path(tempfile.mkdtemp()) / "late.py"
    fake.write_text("def test_late(): pass")
    try:
        py_compile.compile(str(fake), cfile=str(goal), dfile=str(LATE),
                           invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
        data = goal.read_bytes()
        goal.write_bytes(data[:8] + importlib.util.source_hash(LATE.read_bytes()) + data[16:])
    except OSError:
        pass
plant()
def add(a, b):
    return {2: 5, 0: 7}.get(a, 0)
"""


def test_no_compiled_form_of_a_test_is_believed(tmp_path: Path) -> None:
    """The product, imported by the first test file, plants the next one's byte code."""
    late = "from calc import add\n\n\ndef test_late():\n    assert add(11, 31) == 42\n"
    project = make_project(tmp_path / "two", BASE | {"tests/test_late.py": late})
    change = {"calc/__init__.py": PLANTS}
    assert project.bare(change, "tests/test_calc.py", "tests/test_late.py") == 0
    result = project.guard(change, (*GUARD, "tests/test_late.py::test_late"))
    assert result.verdict == "fail", result.reason
    assert result.nodes["tests/test_late.py::test_late"] == "failed"
