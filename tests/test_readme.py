"""README.md promises nothing that does not exist: links, pictures, commands, flags, code."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from click import Group
from orchestration.cli.app import app as orchestrate_app

from ptycho.cli.app import app as ptycho_app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_lead_somewhere_and_pictures_are_small() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).is_file(), target
        if target.endswith(".png"):
            assert (ROOT / target).stat().st_size <= 300_000, target
    for name in re.findall(r"`((?:docs|demo|scripts)/[\w./-]+)`", README):
        assert (ROOT / name).exists(), name


def commands() -> list[list[str]]:
    """Command lines in fenced blocks and in backticks, without comments and paths."""
    text = re.findall(r"(?:^|`)(?:\.venv/bin/)?((?:ptycho|orchestrate) [^`\n#]+)", README, re.M)
    return [shlex.split(line) for line in text]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_and_their_flags_exist(words: list[str]) -> None:
    """Every command, subcommand and flag that README names is one of the program's."""
    app = ptycho_app if words[0] == "ptycho" else orchestrate_app
    command = typer.main.get_command(app)
    rest = words[1:]
    while isinstance(command, Group) or hasattr(command, "commands"):
        assert rest and rest[0] in command.commands, words
        command, rest = command.commands[rest[0]], rest[1:]
    flags = {flag for option in command.params for flag in option.opts}
    used = {word.split("=")[0] for word in rest if word.startswith("-")}
    assert used <= flags | {"--help"}, used - flags


def test_make_has_the_targets_that_are_named_and_ci_runs_one_of_them() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    pages = README + (ROOT / "AGENTS.md").read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`|\()(make(?: [a-z]+)?(?: [A-Z]+=\w+)?)(?= |`|\)|$)", pages, re.M)
    assert {word.split()[1] for word in named if " " in word} >= {"demo", "check", "test", "proofs"}
    assert {word.split()[1] for word in named if " " in word} <= targets
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "make test BACKENDS=torch" in ci and "make test BACKENDS=torch" in pages
    for target, left_out in (("check", "not slow and not training and not proof"), ("test", "")):
        done = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        (line,) = [row for row in done.stdout.splitlines() if " -m pytest " in row]
        assert left_out in line and "lint-imports" in done.stdout


@pytest.mark.training
@pytest.mark.slow
def test_the_python_example_runs_as_written(tmp_path: Path) -> None:
    """From an empty folder: it prints the metrics of a refined image that resembles the truth."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r"'ssim': (?:np\.float64\()?([0-9.]+)", done.stdout)
    assert found and float(found[1]) > 0.7, done.stdout
