"""Help texts, exit codes and first error lines of every command, as f264b61 gives them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import harness_pins as pins

MADE = json.loads(pins.pinned("made.json"))


def flags_of(text: str) -> set[str]:
    """The option names of a help text."""
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))


def test_help_of_every_command_keeps_its_options(tmp_path: Path) -> None:
    wanted: dict[str, Any] = json.loads(pins.pinned("help.json"))
    found = pins.help_texts(tmp_path)
    assert set(wanted) <= set(found)
    for name, row in wanted.items():
        assert found[name]["code"] == row["code"] == 0, name
        # Words may improve and options may be added; no option that was there is lost.
        lost = flags_of(row["out"]) - flags_of(found[name]["out"])
        assert not lost, f"{name}: {', '.join(sorted(lost))}"


def test_exit_codes_and_first_error_lines(imported: Path) -> None:
    wanted = json.loads(pins.pinned("exit_codes.json"))
    found = pins.exit_codes(imported)
    assert list(found) == [" ".join(["orchestrate", *words]) for words in pins.READING]
    for name, row in wanted.items():
        assert found[name] == row, name


def test_exit_codes_outside_of_a_repository(tmp_path: Path) -> None:
    wanted, found = json.loads(pins.pinned("outside_codes.json")), pins.outside_codes(tmp_path)
    assert {name: found[name] for name in wanted} == wanted  # commands may be added


def test_validate_input_md_valid_invalid_and_missing(tmp_path: Path) -> None:
    wanted = json.loads(pins.pinned("validate_input_md.json"))
    found = pins.validations(tmp_path / "orders")
    for name, row in found.items():
        assert row == wanted[name], name
    assert {name: row["code"] for name, row in found.items()} == {
        "valid.md": 0,
        "invalid.md --no-collect": 1,
        "unknown.md --no-collect": 1,
        "missing.md": 1,
        "valid.md invalid.md": 1,
    }
