"""Which line of `--version` is the program's own: notices of updates stand before or after it."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from orchestration.agents.programs import version_line
from orchestration.agents.registry import PROGRAMS, get_agent
from real_programs import bin_folders, installed

OWN = {
    "aider": "aider 0.86.2",
    "claude": "2.1.330 (Claude Code)",
    "codex": "codex-cli 0.171.0-alpha.2",
    "gemini": "0.61.0",
    "opencode": "1.18.33",
}
NOTICES = [
    "a new version is available 9.9.9",
    "\x1b[33mUpdate available!\x1b[0m 1.18.33 -> 9.9.9\nRun npm install -g it@9.9.9",
    "╭──────────────────────────╮\n│ New release 9.9.9 is out │\n╰──────────────────────────╯",
    "(node:71) [DEP0040] DeprecationWarning: punycode of v22.1.0 is deprecated",
    "npm notice New major version of npm available! 9.9.9",
    "Newest release: 9.9.9",
    "It is 9.9.9 now, install it.",
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_notice_before_or_after_it_is_not_the_version(name: str) -> None:
    titled = get_agent(name).program.titled  # type: ignore[attr-defined]
    for notice in NOTICES:
        for printed in (f"{notice}\n{OWN[name]}", f"{OWN[name]}\n\n{notice}", OWN[name]):
            assert version_line(printed, titled) == OWN[name], printed


def test_what_the_program_prints_is_read_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/claude"
    program.parent.mkdir()
    printed = shlex.quote(f"{NOTICES[0]}\n{OWN['claude']}\n{NOTICES[1]}")
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' {printed}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert get_agent("claude").version() == OWN["claude"]


@pytest.mark.parametrize(
    ("printed", "wanted"),
    [
        ("my-claude build 2.0.1\nUpdate available: 9.9.9", "my-claude build 2.0.1"),
        ("Update available: 9.9.9", None),
        ("hello", None),
        ("", None),
    ],
)
def test_a_program_that_prints_another_form_has_its_first_number_or_none(
    printed: str, wanted: str | None
) -> None:
    assert version_line(printed, r"\d+\.\d+\S* \(Claude Code\)") == wanted


@pytest.mark.agents
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_real_program_has_a_version_of_its_own_form(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installed(name) is None:
        # `.ci/run` installs what the registries give; elsewhere the recorded words above stand in.
        pytest.skip("not installed: make agents")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, bin_folders()), os.environ["PATH"]]))
    agent = get_agent(name)
    assert re.fullmatch(agent.program.titled, agent.version() or "")  # type: ignore[attr-defined]
