"""What a guard run does for honest projects: layouts, selectors, editable installs, flaky tests."""

from __future__ import annotations

import py_compile
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from orchestration.errors import HarnessError
from orchestration.gates.guard import GuardSpec, run_guard, run_twice
from orchestration.gates.selectors import collect
from orchestration.sandbox import available
from orchestration.turns.workspace import export, fresh_checkout, lay_over
from project import BROKEN, FIXED, GUARD, TESTS, Project, make_project

UNCHECKED_HASH = py_compile.PycInvalidationMode.UNCHECKED_HASH


def test_selector_forms_collect_the_same_ids(project: Project) -> None:
    root = project.repo.root
    for selector in ("./tests/", " ".join(GUARD)):
        assert collect(root, selector) == list(GUARD), selector
    assert collect(root, "tests/test_calc.py::test_zero") == [GUARD[1]]
    assert collect(root, "tests/test_calc.py::test_z") == []
    assert collect(root, "tests/absent.py") == []


def test_collect_says_why_a_file_cannot_be_read(project: Project) -> None:
    (project.repo.root / "tests/test_bad.py").write_text("import no_such_module\n")
    assert collect(project.repo.root, "tests/test_bad.py") == []
    with pytest.raises(HarnessError, match="no_such_module"):
        collect(project.repo.root, "tests/test_bad.py", strict=True)


def test_missing_and_empty_selections_are_not_run(project: Project) -> None:
    result = project.guard({"calc/__init__.py": FIXED}, ["tests/test_calc.py::test_gone"])
    assert (result.verdict, result.nodes) == (
        "not-run",
        {"tests/test_calc.py::test_gone": "missing"},
    )
    assert project.guard({}, ["tests/absent.py::test_x"]).verdict == "not-run"
    assert project.guard({}, []).verdict == "not-run"
    assert project.guard({}, None, selector="tests/test_calc.py::nope").verdict == "not-run"


def test_one_missing_id_spoils_the_others(project: Project) -> None:
    result = project.guard({"calc/__init__.py": FIXED}, [*GUARD, "tests/test_calc.py::test_gone"])
    assert result.verdict == "not-run"
    assert result.counts == {"missing": 1, "passed": 2}


def test_a_guard_that_cannot_be_imported_is_red(project: Project) -> None:
    """A new test that imports what does not exist yet must count as red on the base."""
    result = project.guard({"calc/__init__.py": "x = 1\n"})
    assert result.verdict == "fail"
    assert "ImportError" in result.reason


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("import pytest\ndef test_x(): pytest.skip('no')", "skipped"),
        ("import pytest\n@pytest.mark.xfail\ndef test_x(): assert 0", "xfailed"),
        ("import pytest\n@pytest.mark.xfail(strict=False)\ndef test_x(): pass", "xpassed"),
        (
            "import pytest\n@pytest.fixture\ndef f():\n    yield\n    assert 0\n"
            "def test_x(f): pass",
            "error",
        ),
        ("import pytest\n@pytest.fixture\ndef f(): assert 0\ndef test_x(f): pass", "error"),
    ],
    ids=["a skip", "an expected failure", "an unexpected pass", "at its end", "before its begin"],
)
def test_only_passed_is_passed(tmp_path: Path, body: str, outcome: str) -> None:
    project = make_project(tmp_path / "u", {"calc.py": FIXED, "tests/test_x.py": body + "\n"})
    result = project.guard({}, ["tests/test_x.py::test_x"])
    assert result.nodes == {"tests/test_x.py::test_x": outcome}
    assert result.verdict == "fail"


def test_parametrised_classes_and_subtests(tmp_path: Path) -> None:
    body = (
        "import unittest, pytest\n"
        "@pytest.mark.parametrize('x', ['a b', 'c::d', '[e]'])\ndef test_p(x): pass\n"
        "class TestC(unittest.TestCase):\n"
        "    def test_sub(self):\n"
        "        for i in range(3):\n"
        "            with self.subTest(i=i): self.assertNotEqual(i, 1)\n"
        "    def test_ok(self): pass\n"
    )
    project = make_project(tmp_path / "u", {"calc.py": FIXED, "tests/test_x.py": body})
    ids = collect(project.repo.root, "tests/test_x.py")
    assert len(ids) == 5
    good = [name for name in ids if "test_sub" not in name]
    assert project.guard({}, good).verdict == "pass"
    assert project.guard({}, ids).verdict == "fail"


@pytest.mark.parametrize(
    ("roots", "where"), [((".",), "calc/__init__.py"), (("src",), "src/calc/__init__.py")]
)
def test_flat_and_src_layout(tmp_path: Path, roots: tuple[str, ...], where: str) -> None:
    project = make_project(tmp_path / "u", {where: FIXED, "tests/test_calc.py": TESTS})
    result = project.guard({}, import_roots=roots)
    assert result.verdict == "pass", result.reason
    assert not any(str(project.repo.root) in place for place in result.origins["calc"])


def test_settings_that_say_what_a_test_is_are_carried_over_and_addopts_not(tmp_path: Path) -> None:
    config = (
        "[tool.pytest.ini_options]\npython_files = ['check_*.py']\n"
        "python_functions = ['should_*']\naddopts = '-x --co --import-mode=importlib'\n"
        "markers = ['mine: ours']\nfilterwarnings = ['error']\n"
    )
    body = (
        "import pytest\nfrom calc import add\n"
        "@pytest.mark.mine\ndef should_add(): assert add(1, 1) == 2\n"
    )
    files = {"pyproject.toml": config, "calc.py": FIXED, "t/check_it.py": body, "t/other.py": ""}
    project = make_project(tmp_path / "u", files)
    assert collect(project.repo.root, "t") == ["t/check_it.py::should_add"]
    result = project.guard({}, ["t/check_it.py::should_add"])
    assert result.verdict == "pass", result.output_tail
    warned = body + "import warnings\ndef should_warn(): warnings.warn('x')\n"
    red = project.guard(
        {"t/check_it.py": warned}, ["t/check_it.py::should_warn"], may_edit=["t/check_it.py"]
    )
    assert red.verdict == "fail"


@pytest.mark.parametrize(
    ("name", "table"),
    [("pytest.toml", "pytest"), (".pytest.toml", "pytest"), ("pyproject.toml", "tool.pytest")],
)
def test_the_settings_of_pytest_9_are_carried_over(tmp_path: Path, name: str, table: str) -> None:
    config = f"[{table}]\npython_files = ['check_*.py']\nfilterwarnings = ['error']\n"
    files = {
        name: config,
        # pytest reads the first of its files, and no other.
        "setup.cfg": "[tool:pytest]\npython_files = other_*.py\n",
        "calc.py": FIXED,
        "t/check_it.py": "from calc import add\ndef test_add(): assert add(1, 1) == 2\n",
    }
    project = make_project(tmp_path / "u", files)
    assert collect(project.repo.root, "t") == ["t/check_it.py::test_add"]
    assert project.guard({}, ["t/check_it.py::test_add"]).verdict == "pass"


def test_red_first_a_new_test_on_the_old_code(project: Project) -> None:
    changes = {
        "calc/__init__.py": FIXED + "def double(a): return 2 * a\n",
        "tests/test_new.py": "from calc import double\ndef test_double(): assert double(2) == 4\n",
    }
    new = ["tests/test_new.py::test_double"]
    attempt = project.attempt(changes)
    on_base = export(project.repo, lay_over(project.repo, project.base, attempt, new))
    red = run_guard(GuardSpec(on_base, node_ids=new, isolation="scan"))
    assert red.verdict == "fail"
    assert project.guard(changes, new, new=new).verdict == "pass"
    assert project.guard(changes, new).verdict == "not-run"  # undeclared: not taken over


def test_flaky_is_named_and_never_green(project: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    body = (
        f"import pathlib\n\ndef test_add():\n    p = pathlib.Path({str(count)!r})\n"
        "    n = int(p.read_text()) if p.exists() else 0\n    p.write_text(str(n + 1))\n"
        "    assert n % 2 == 1\n\ndef test_zero(): pass\n"
    )
    place = fresh_checkout(
        project.repo,
        project.attempt({"tests/test_calc.py": body}),
        overlay_from=project.base,
        may_edit=["tests/test_calc.py"],
    )
    spec = GuardSpec(place, node_ids=GUARD, isolation="scan", log_path=tmp_path / "g.log")
    result = run_twice(spec)
    assert result.flaky == (GUARD[0],)
    assert result.verdict == "fail"
    assert "flaky" in result.reason
    assert (tmp_path / "g.log").exists()
    assert (tmp_path / "g-again.log").exists()


def test_a_silent_hang_is_red_with_its_clock(project: Project) -> None:
    code = "import time\ndef add(a, b): time.sleep(60)\n"
    result = project.guard({"calc/__init__.py": code}, timeout_s=30.0, idle_s=2.0)
    assert (result.verdict, result.timed_out) == ("fail", "idle")


def test_secrets_of_the_environment_do_not_reach_the_tests(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    body = (
        "import os\n\ndef test_add():\n    assert 'SECRET_TOKEN' not in os.environ\n"
        "    assert os.environ['MINE'] == '1'\n\ndef test_zero(): pass\n"
    )
    result = project.guard(
        {"tests/test_calc.py": body}, may_edit=["tests/test_calc.py"], env={"MINE": "1"}
    )
    assert result.verdict == "pass", result.messages


@pytest.mark.parametrize("level", [x for x in available() if x in ("bwrap", "kernel")])
def test_no_mark_of_the_harness_is_in_the_process_under_test(project: Project, level: str) -> None:
    """The kernel shows what a process was started with, whatever it has unset since."""
    body = (
        "def test_add():\n    assert 'ORCHESTRATION' not in open('/proc/self/environ').read()\n"
        "\ndef test_zero(): pass\n"
    )
    files = {"tests/test_calc.py": body}
    result = project.guard(files, may_edit=["tests/test_calc.py"], isolation=level)
    assert result.verdict == "pass", result.messages


# -- installed in editable mode elsewhere -------------------------------------------------------

STARTS = """\
import subprocess
import sys
from pathlib import Path

import calc

HERE = Path(__file__).resolve().parent.parent


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import():
    assert calc.add(2, 3) == 5


def test_code():
    assert run(sys.executable, "-c", "import calc; print(calc.add(2, 3))") == "5"


def test_script():
    assert run(sys.executable, str(HERE / "tool.py")) == "5"


def test_module():
    assert run(sys.executable, "-m", "calc") == "5"


def test_command():
    assert run("calc-add") == "5"
"""
INSTALLED = {
    "src/calc/__init__.py": "def add(a, b):\n    return a - b\n\n\n"
    "def main():\n    print(add(2, 3))\n",
    "src/calc/__main__.py": "from calc import main\nmain()\n",
    "tool.py": "import calc\ncalc.main()\n",
    "tests/test_start.py": STARTS,
}
KINDS = ("import", "code", "script", "module", "command")
STARTED = [f"tests/test_start.py::test_{kind}" for kind in KINDS]
FINDER = """\
import importlib.machinery, importlib.util, sys
class Editable:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "calc":
            return importlib.util.spec_from_file_location(
                name, {init!r}, submodule_search_locations=[{folder!r}])
sys.meta_path.{how}
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that sees this one's pytest and has room for an editable install."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, with_pip=False, symlinks=True)
    inside = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    (inside / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


@pytest.fixture(params=["path", "finder-last", "finder-first"])
def installed(
    request: pytest.FixtureRequest, interpreter: Path, tmp_path: Path
) -> tuple[Project, str]:
    """A repository installed as pip's editable mode does it: by path, or by a finder."""
    project = make_project(tmp_path / "user", INSTALLED)
    inside = Path(sysconfig.get_path("purelib", vars={"base": str(interpreter)}))
    for old in inside.glob("*editable*"):
        old.unlink()
    folder = project.repo.root / "src/calc"
    if request.param == "path":
        (inside / "_editable.pth").write_text(f"{folder.parent}\n")
    else:
        how = "append(Editable)" if request.param == "finder-last" else "insert(0, Editable)"
        text = FINDER.format(init=str(folder / "__init__.py"), folder=str(folder), how=how)
        (inside / "__editable___calc_finder.py").write_text(text)
        (inside / "__editable__.pth").write_text("import __editable___calc_finder\n")
    command = interpreter / "bin" / "calc-add"
    command.write_text(f"#!{interpreter}/bin/python\nfrom calc import main\nmain()\n")
    command.chmod(0o755)
    done = subprocess.run([command], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == "-1\n", "outside the guard the user's tree is what is installed"
    return project, str(interpreter / "bin" / "python")


def test_a_fix_only_in_the_attempt_is_green_though_the_users_tree_is_installed(
    installed: tuple[Project, str],
) -> None:
    project, python = installed
    options = {"python": python, "import_roots": ("src",)}
    red = project.guard({}, STARTED, **options)
    assert red.verdict == "fail"
    assert red.nodes == dict.fromkeys(STARTED, "failed")
    fix = INSTALLED["src/calc/__init__.py"].replace("a - b", "a + b")
    green = project.guard({"src/calc/__init__.py": fix}, STARTED, **options)
    assert green.verdict == "pass", (green.reason, green.messages)


@pytest.mark.parametrize("installed", ["finder-first"], indirect=True)
def test_wrong_import_roots_are_an_error_never_a_verdict(installed: tuple[Project, str]) -> None:
    project, python = installed
    result = project.guard({}, STARTED[:1], python=python, import_roots=(".",), products=("calc",))
    assert result.verdict == "error"
    assert "outside the checkout" in result.reason


@pytest.mark.parametrize("installed", ["path"], indirect=True)
def test_the_users_copy_being_right_does_not_help_a_wrong_attempt(
    installed: tuple[Project, str],
) -> None:
    project, python = installed
    init = project.repo.root / "src/calc/__init__.py"
    init.write_text(init.read_text().replace("a - b", "a + b"))
    result = project.guard({}, STARTED, python=python, import_roots=("src",))
    assert result.nodes == dict.fromkeys(STARTED, "failed")


def test_bytecode_is_believed_where_it_is_installed_and_not_in_the_checkout(
    project: Project, tmp_path: Path
) -> None:
    """An attempt's product plants compiled files that say what its sources do not."""
    source = tmp_path / "good.py"
    source.write_text(FIXED)
    lie = tmp_path / "lie.pyc"
    py_compile.compile(str(source), str(lie), invalidation_mode=UNCHECKED_HASH)
    where = f"calc/__pycache__/more.{sys.implementation.cache_tag}.pyc"
    plant = "import os, pathlib\n"
    plant += f"place = pathlib.Path(__file__).parents[1] / {where!r}\n"
    plant += "place.parent.mkdir(exist_ok=True)\n"
    plant += f"place.write_bytes({lie.read_bytes()!r})\n"
    changes = {"calc/__init__.py": f"{plant}from calc.more import add\n", "calc/more.py": BROKEN}
    assert project.bare(changes) == 0, "plain Python believes it"
    assert project.guard(changes).verdict == "fail"
    test = "import json.tool, pytest, sys\n\ndef test_installed():\n"
    test += "    for module in (json.tool, pytest):\n"
    test += "        assert not module.__cached__.startswith(sys.pycache_prefix)\n"
    new = "tests/test_new.py"
    result = project.guard({new: test}, [f"{new}::test_installed"], new=[new])
    assert result.verdict == "pass", result.messages


def test_guards_run_at_every_isolation_level(project: Project) -> None:
    from orchestration.sandbox import fence as isolation

    for level in isolation.available():
        result = project.guard({"calc/__init__.py": FIXED}, isolation=level)
        assert (result.verdict, result.isolation) == ("pass", level), result.output_tail


def test_a_repository_in_a_folder_with_a_space(tmp_path: Path) -> None:
    """Under every fence that works here; pytest splits its `pythonpath` at spaces."""
    from orchestration.sandbox.fence import available

    project = make_project(tmp_path / "a user's folder")
    for level in available():
        assert project.guard({}, isolation=level).verdict == "fail", level
        result = project.guard({"calc/__init__.py": FIXED}, isolation=level)
        assert result.verdict == "pass", (level, result.reason)


@pytest.mark.bwrap
def test_a_linked_interpreter_below_tmp_starts_behind_bubblewrap(tmp_path: Path) -> None:
    """A virtual environment's python is a link; its folder is bound, the link itself is not."""
    import tempfile

    from orchestration.sandbox.fence import available, wrap

    if "bwrap" not in available():
        pytest.skip("bubblewrap does not work here (Debian: apt-get install bubblewrap)")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="two words ") as folder:
        venv.create(Path(folder) / "venv", symlinks=True)
        python = f"{folder}/venv/bin/python"
        argv = wrap([python, "-c", "print(6 * 7)"], "bwrap", cwd=Path("/"), readable=[python])
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "42\n", done.stderr


def test_a_fixture_with_parameters_that_every_test_uses(tmp_path: Path) -> None:
    """The canaries get the parameters too; one parameter may be skipped on this machine."""
    fixture = (
        "import pytest\n\nSKIP = pytest.mark.skipif(True, reason='not built')\n\n\n"
        "@pytest.fixture(scope='session', autouse=True, params=[1, 2{more}])\n"
        "def backend(request):\n    return request.param\n"
    )
    for number, more in enumerate(("", ", pytest.param(3, marks=SKIP)")):
        files = {"calc.py": FIXED, "tests/test_calc.py": TESTS, "conftest.py": ""}
        files["tests/conftest.py"] = fixture.format(more=more)
        project = make_project(tmp_path / f"p{number}", files)
        ids = [f"{name}[{n}]" for name in GUARD for n in (1, 2)]
        assert project.guard({}, ids).verdict == "pass"
        wrong = {"calc.py": FIXED.replace("+", "-")}
        assert project.guard(wrong, ids).verdict == "fail"


def test_settings_that_a_conftest_registers_are_carried_and_others_named(tmp_path: Path) -> None:
    """An unknown setting under `error` would stop pytest; what is registered reaches the tests."""
    files = {
        "calc.py": FIXED,
        "pytest.ini": "[pytest]\naddopts = --no-such\nfilterwarnings = error\n"
        "mine = 7\ntimeout = 9\n",
        "conftest.py": "def pytest_addoption(parser):\n    parser.addini('mine', 'a number')\n",
        "tests/test_x.py": "def test_x(pytestconfig):\n"
        "    assert pytestconfig.getini('mine') == '7'\n",
    }
    result = make_project(tmp_path / "s", files).guard({}, ["tests/test_x.py::test_x"])
    assert (result.verdict, result.dropped) == ("pass", ("timeout",)), result.output_tail


def test_a_plugin_is_loaded_by_module_distribution_or_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata as metadata

    from orchestration.gates.launcher import plugin_options

    class Dist:
        name = "pytest-asyncio"

    class Entry:
        name, value, module, dist = (
            "asyncio",
            "pytest_asyncio.plugin",
            "pytest_asyncio.plugin",
            Dist,
        )

    monkeypatch.setattr(metadata, "entry_points", lambda group: [Entry])
    for given in ("asyncio", "pytest_asyncio", "pytest-asyncio"):
        assert plugin_options([given]) == ["-p", "asyncio"]
    for own in ("pytest_asyncio.plugin", "tests.own"):
        assert plugin_options([own]) == ["-p", own]
