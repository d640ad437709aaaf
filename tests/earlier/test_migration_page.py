"""docs/migration.md says what is so: its code runs and every name it gives exists."""

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")


def test_its_code_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/migration.md", "exec"), {})  # noqa: S102 - our own page


def test_its_names_exist():
    names = set(re.findall(r"`(ptycho(?:\.\w+)+)", PAGE))
    absent = {"ptycho.model.autoencoder", "ptycho.model.diffraction_to_obj"}
    assert absent < names
    assert len(names) > 15
    for name in sorted(names - absent):
        module, _, last = name.rpartition(".")
        try:
            found = hasattr(importlib.import_module(module), last)
        except ModuleNotFoundError:
            found = False
        assert found or importlib.util.find_spec(name), name
    for name in absent:
        module, _, last = name.rpartition(".")
        with pytest.raises(AttributeError, match="create_model_with_gridsize"):
            getattr(importlib.import_module(module), last)


def test_its_commands_exist():
    commands = set(re.findall(r"`ptycho ([a-z]+)`", PAGE))
    assert commands
    done = subprocess.run(
        [sys.executable, "-m", "ptycho", "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    for command in commands:
        assert re.search(rf"\b{command}\b", done.stdout), command
