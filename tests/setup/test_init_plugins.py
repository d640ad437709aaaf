"""`orchestrate init` names the pytest plugins that a repository's tests need, and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from orchestration.config import load_config
from orchestration.setup.init import prepare
from orchestration.setup.plugins import needed_plugins

ORCHESTRATE = str(Path(sys.executable).with_name("orchestrate"))
TICKS = '''"""Coroutines as tests, and a clock for them."""
import asyncio
import inspect

import pytest


def pytest_addoption(parser):
    parser.addini("ticks_mode", "when coroutines are run", default="strict")


def pytest_configure(config):
    config.addinivalue_line("markers", "ticks: run a coroutine as a test")


@pytest.fixture(
    scope="function",
)
def clock():
    return asyncio.sleep


@pytest.fixture(name="calendar")
def _calendar():
    return []


def _made():
    return 1


made = pytest.fixture()(_made)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    asked = pyfuncitem.get_closest_marker("ticks")
    asked = asked or pyfuncitem.config.getini("ticks_mode") == "auto"
    if not asked or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
'''
SHOP = (
    "import asyncio\n\n\nasync def total(prices):\n    await asyncio.sleep(0)\n"
    "    return max(prices)\n"
)
TEST = (
    "import pytest\nfrom shop import total\n\n\n@pytest.mark.ticks\n"
    "async def test_total(clock):\n    await clock(0)\n    assert await total([1, 2]) == 3\n"
)
ITEM = """### [FIX-1] Totals
- Status: open
- Guard: tests/test_shop.py::test_total
- Exit:
  - [ ] C1 `pytest tests/test_shop.py::test_total` — it adds
"""
AGENT = (
    "from pathlib import Path\nfile = Path('shop.py')\n"
    "file.write_text(file.read_text().replace('max', 'sum'))\n"
)


def git(root: Path, *words: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", *names, *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout


def installed(environment: Path, module: str, text: str) -> None:
    """Put a plugin into an environment as an installer does."""
    site = next(environment.glob("lib/python*/site-packages"))
    place = site.joinpath(*module.split(".")).with_suffix(".py")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    name = module.split(".")[0]
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\n{name}_short = {module}\n")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """An asyncio library with an environment of its own, which holds two plugins and pytest."""
    root = tmp_path / "library"
    (root / "tests").mkdir(parents=True)
    (root / "shop.py").write_text(SHOP)
    (root / "tests/test_shop.py").write_text(TEST)
    (root / ".gitignore").write_text(".venv/\n__pycache__/\n")
    venv.create(root / ".venv", symlinks=True)
    site = next((root / ".venv").glob("lib/python*/site-packages"))
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    installed(root / ".venv", "pytest_ticks", TICKS)
    installed(root / ".venv", "pytest_idle", "import pytest\n\n\n@pytest.fixture\ndef idle(): ...")
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@example.org")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def test_an_asyncio_library_goes_from_init_to_a_landed_fix(library: Path, tmp_path: Path) -> None:
    (tmp_path / "fix.py").write_text(AGENT)
    words = ["init", "--agent-command", f"{sys.executable} {tmp_path / 'fix.py'}"]
    told = subprocess.run(
        [ORCHESTRATE, *words],
        cwd=library,
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    ).stdout
    assert "plugins pytest_ticks (mark ticks)" in told and "idle" not in told
    assert load_config(library).plugins == ("pytest_ticks",)
    ledger = library / "docs/fix_plan.md"
    ledger.write_text(ledger.read_text().partition("### [SUITE")[0] + ITEM)
    ran = subprocess.run(
        [ORCHESTRATE, "run", "--commit", "--json"], cwd=library, capture_output=True, text=True
    )
    assert json.loads(ran.stdout or "{}").get("landed") == ["FIX-1"], ran.stdout + ran.stderr
    assert "sum(prices)" in git(library, "show", "HEAD:shop.py")


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("import pytest\n\n\n@pytest.mark.ticks\nasync def test_a(): ...\n", "mark ticks"),
        ("from pytest import mark\n\npytestmark = [mark.ticks]\n", "mark ticks"),
        ("class TestA:\n    def test_a(self, clock): ...\n", "fixture clock"),
        ("def test_a(*, calendar): ...\n", "fixture calendar"),
        (
            "import pytest\n\n\n@pytest.fixture\ndef b(made): ...\n\n\ndef test_a(b): ...\n",
            "fixture made",
        ),
        (
            "import pytest\n\n\n@pytest.mark.usefixtures('clock')\ndef test_a(): ...\n",
            "fixture clock",
        ),
        ("def test_a(request):\n    request.getfixturevalue('clock')\n", "fixture clock"),
        ("from pytest_ticks import TICK\n\n\ndef test_a(): ...\n", "import pytest_ticks"),
        ("def test_a(tmp_path): ...\n", None),
        ("def of(clock): ...\n\n\ndef test_a(): ...\n", None),
        (
            "import pytest\n\n\n@pytest.fixture\ndef clock(): ...\n\n\ndef test_a(clock): ...\n",
            None,
        ),
        ("def test_a(:\n", None),
    ],
)
def test_a_plugin_is_named_where_the_tests_ask_for_it(
    library: Path, test: str, why: str | None
) -> None:
    (library / "tests/test_shop.py").write_text(test)
    (library / "tests/test_plain.py").write_text("def test_plain(): ...\n")
    found = prepare(library).plugins
    assert found == ({"pytest_ticks": why} if why else {})
    assert ("plugins" in (library / "orchestration.yaml").read_text()) == bool(why)


def test_a_setting_or_a_conftest_above_the_tests_asks_too(library: Path) -> None:
    tests, environment = library / "tests", library / ".venv"
    (tests / "test_shop.py").write_text("async def test_a(): ...\n")

    def found(*settings: str) -> dict[str, str]:
        return needed_plugins(environment, library, "tests", ["."], settings)

    assert found("testpaths") == {}
    assert found("testpaths", "ticks_mode") == {"pytest_ticks": "setting ticks_mode"}
    (library / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef always(clock): ...\n"
    )
    assert found() == {"pytest_ticks": "fixture clock"}


def test_a_folder_of_tests_with_the_environment_in_it_needs_what_its_tests_need(
    library: Path,
) -> None:
    site = next((library / ".venv").glob("lib/python*/site-packages"))
    (site / "test_idle.py").write_text("def test_a(idle): ...\n")
    (library / ".venv").rename(library / "env")
    assert [*needed_plugins(library / "env", library, ".", ["."], ())] == ["pytest_ticks"]


def test_a_library_is_not_its_plugin_and_what_a_guard_does_itself_is_left_out(
    library: Path,
) -> None:
    environment = library / ".venv"
    installed(environment, "waves.testing", "import pytest\n\n\n@pytest.fixture\ndef sea(): ...\n")
    installed(environment, "pytest_cov", "import pytest\n\n\n@pytest.fixture\ndef cov(): ...\n")
    test = library / "tests/test_shop.py"
    test.write_text("import waves\nimport pytest_cov\n\n\ndef test_a(cov): ...\n")
    assert prepare(library).plugins == {}
    test.write_text("def test_a(sea): ...\n")
    assert prepare(library).plugins == {"waves": "fixture sea"}


def test_a_repository_that_is_a_plugin_names_itself(library: Path) -> None:
    site = next((library / ".venv").glob("lib/python*/site-packages"))
    (library / "src").mkdir()
    (site / "pytest_ticks.py").rename(library / "src/pytest_ticks.py")
    found = needed_plugins(library / ".venv", library, "tests", ["src", "."], ())
    assert found == {"pytest_ticks": "mark ticks"}


def test_plugins_that_are_really_installed_are_read(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "import pytest\n\n\n@pytest.mark.timeout(5)\ndef test_a(worker_id): ...\n"
    )
    found = needed_plugins(Path(sys.prefix), tmp_path, "test_a.py", ["."], ())
    assert found == {"pytest_timeout": "mark timeout"}


def test_a_harmful_or_unreadable_plugin_does_no_harm(library: Path, tmp_path: Path) -> None:
    site = next((library / ".venv").glob("lib/python*/site-packages"))
    ran = tmp_path / "ran"
    installed(
        library / ".venv", "pytest_loud", f"open({str(ran)!r}, 'w')\n" + TICKS.replace("ticks", "l")
    )
    marks = "config.addinivalue_line('markers', 'ticks')\n"
    for name, points in {
        "yaml": "[pytest11]\na = x]\n  agent: codex #:p\n",
        "above": "[pytest11]\na = ..secret\nb = /etc.passwd\nc =\n",
        "twice": "[pytest11]\na = one\na = one\n[pytest11]\n",
        "broken": "a = 1\n[pytest11\n",
        "deep": "[pytest11]\na = deep\n",
        "wrong": "[pytest11]\na = wrong\n",
        "pipe": "[pytest11]\na = pipe\n",
        "loop": "[pytest11]\na = loop\n",
        "folder": "[pytest11]\na = folder\n",
    }.items():
        (site / f"{name}.dist-info").mkdir()
        (site / f"{name}.dist-info/entry_points.txt").write_text(points)
    (site / "bytes.dist-info").mkdir()
    (site / "bytes.dist-info/entry_points.txt").write_bytes(b"[pytest11]\na = \xff\x00\n")
    (site / "point.dist-info/entry_points.txt").mkdir(parents=True)
    (site.parent / "secret.py").write_text(marks)
    (site / "deep.py").write_text("(" * 5000 + ")" * 5000)
    (site / "wrong.py").write_bytes(b"\x00\xff" + marks.encode())
    (site / "folder/x.py").mkdir(parents=True)
    (site / "loop.py").symlink_to("loop.py")
    os.mkfifo(site / "pipe.py")
    os.mkfifo(library / "tests/test_pipe.py")
    told = subprocess.run(
        [ORCHESTRATE, "init", "--json"],
        cwd=library,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0 and "Traceback" not in told.stderr, told.stderr
    plugins = json.loads(told.stdout)["plugins"]
    assert plugins == {"pytest_loud": "fixture clock", "pytest_ticks": "mark ticks"}
    assert load_config(library).plugins == ("pytest_loud", "pytest_ticks")
    assert not ran.exists(), "a plugin's source is read, never run"
