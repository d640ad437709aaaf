"""The doors that outlive any redrawing: what is imported, what is typed, what is called."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import harness_pins as pins
import pytest
import typer


def test_the_console_command_is_the_main_of_the_cli() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts")
    (entry,) = scripts.select(name="orchestrate")
    assert entry.value == "orchestration.cli:main"
    assert entry.load() is importlib.import_module("orchestration.cli").main


def test_the_package_offers_its_version() -> None:
    package = importlib.import_module("orchestration")
    assert package.__version__ == "0.1.0"
    assert package.__doc__


def test_the_app_behind_the_command_is_a_typer_app() -> None:
    assert pins.command_paths()[0] == []  # loads every part
    app = importlib.import_module("orchestration.cli.app").app
    assert isinstance(app, typer.Typer) and app.info.name == "orchestrate"


def test_the_package_lies_in_scripts() -> None:
    package = importlib.import_module("orchestration")
    assert Path(str(package.__file__)).parent == pins.ROOT / "scripts" / "orchestration"


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (
            "orchestration.core.events",
            "CorruptLog Event GENESIS KINDS ROLES canonical_json follow parse_event verify_chain",
        ),
        ("orchestration.core.reduce", "reduce HANDLERS"),
        ("orchestration.core.state", "ItemState OpenCycle Pending Run State PHASES"),
        ("orchestration.core.policy", "Decision ItemFacts PolicyConfig decide"),
        ("orchestration.core.reasons", "ExitReason"),
        ("orchestration.core.clock", "Clock stamp parse_stamp compact_stamp"),
        ("orchestration.errors", "HarnessError"),
        ("orchestration.cli", "main"),
    ],
)
def test_import_paths_that_stay(module: str, names: str) -> None:
    loaded = importlib.import_module(module)
    assert [name for name in names.split() if not hasattr(loaded, name)] == []


def test_import_of_the_cli_costs_nothing() -> None:
    code = "import sys, orchestration.cli as c; print('typer' in sys.modules, callable(c.main))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "True"]


def test_the_installed_program_says_its_version(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "orchestrate"
    if not program.exists():
        pytest.skip("the program is not installed beside this interpreter")
    done = subprocess.run(
        [str(program), "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "orchestrate 0.1.0\n")


def test_the_reasons_of_an_end_keep_their_codes() -> None:
    reasons = importlib.import_module("orchestration.core.reasons").ExitReason
    assert {reason.name: reason.code for reason in reasons} == {
        "DONE": 0,
        "CHECKS_RED": 1,
        "USAGE": 2,
        "BUDGET": 3,
        "STALLED": 4,
        "TAMPER": 5,
        "BLOCKED_ON_USER": 6,
        "DISK_FULL": 74,
        "RETRY_LATER": 75,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize("name", ["loop.py", "supervisor.py", "tools/validate_input_md.py"])
def test_scripts_are_there_under_their_earlier_names(name: str) -> None:
    assert (pins.ROOT / "scripts" / name).is_file()


def test_the_thin_scripts_refuse_the_other_role(published: Path) -> None:
    for name, role in (("loop.py", "galph"), ("supervisor.py", "ralph")):
        said = pins.script(name, "--role", role, cwd=published)
        assert said.code == 2 and "this command has another role" in said.err
