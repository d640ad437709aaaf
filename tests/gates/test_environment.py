"""Failures that no change of code can fix are told from those that an agent is to fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from orchestration.gates import environment_fault

FILES = ("calc/__init__.py", "calc/_fast.pyx", "tests/test_calc.py", "pyproject.toml")
TEST = "tests/test_calc.py::test_add"
FAULTS = {
    "E   ModuleNotFoundError: No module named 'pytest_asyncio'": "pytest_asyncio",
    "ModuleNotFoundError: No module named 'lib_b.deep'": "not installed",
    "ModuleNotFoundError: No module named 'calc._version'": "calc/_version.py is in your checkout",
    "ImportError: cannot import name '_version' from 'calc'": "is in your checkout",
    "ModuleNotFoundError: No module named 'calc._fast'": "not built from calc/_fast.pyx",
    "pytest.PytestUnknownMarkWarning: Unknown pytest.mark.asyncio - is this a typo?": "asyncio",
    "E       fixture 'mocker' not found": "mocker",
    "Failed: async def functions are not natively supported.": "plugins",
    "FileNotFoundError: [Errno 2] No such file or directory: 'data/a.txt'": "carry: [data/a.txt]",
    "No such file or directory: '/tmp/checkouts/x1/data/a.txt'": "carry: [data/a.txt]",
    "ImportError: libgsl.so.27: cannot open shared object file: No such file": "libgsl.so.27",
}
HONEST = (
    "AssertionError: assert -1 == 5",
    "ModuleNotFoundError: No module named 'calc.newer'",
    "ModuleNotFoundError: No module named 'calc2'",
    "ImportError: cannot import name 'sub' from 'calc' (/x/calc/__init__.py)",
    "FileNotFoundError: [Errno 2] No such file or directory: 'data/none.txt'",
    "FileNotFoundError: [Errno 2] No such file or directory: 'calc/__init__.py'",
    "FileNotFoundError: [Errno 2] No such file or directory: '../data/a.txt'",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("calc/_version.py", "data/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def fault(text: str, home: Path) -> str:
    return environment_fault({TEST: text}, [TEST], files=FILES, home=home, declared="lib-b>=1\n")


@pytest.mark.parametrize("text", FAULTS)
def test_a_failure_of_the_environment_is_named(text: str, home: Path) -> None:
    assert FAULTS[text] in fault(text, home)


@pytest.mark.parametrize("text", HONEST)
def test_a_failure_of_the_code_is_no_fault_of_the_environment(text: str, home: Path) -> None:
    assert fault(text, home) == ""


def test_one_honest_failure_is_enough_to_be_red(home: Path) -> None:
    texts = {"t.py::a": next(iter(FAULTS)), "t.py::b": HONEST[0]}
    assert environment_fault(texts, [*texts], files=FILES, home=home) == ""
    assert environment_fault(texts, [], files=FILES, home=home) == ""
