"""The program `ptycho` as a person meets it: help at 80 columns, words for mistakes, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rich.markup
import typer.core
import typer.main

from ptycho.cli.app import app


def ptycho(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "ptycho", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["refine", "-h"]])
def test_help_fits_80_columns(words: list[str], tmp_path: Path) -> None:
    done = ptycho(*words, cwd=tmp_path)
    assert done.returncode == 0 and "Usage: ptycho" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_no_word_of_a_help_text_is_taken_for_markup() -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    for name, each in command.commands.items():
        for text in (each.help, *(getattr(param, "help", None) for param in each.params)):
            said = (text or "").replace("\b", "")  # click's mark of lines that stay as they are
            assert rich.markup.render(said).plain == said, f"ptycho {name}"


MISTAKES = {
    "unknown command": (["reconstuct"], 2, "No such command"),
    "unknown flag": (["simulate", "-o", "a.npz", "--photns", "1"], 2, "--photns"),
    "unknown key": (["simulate", "-o", "a.npz", "--set", "photns=1"], 2, "photns"),
    "impossible value": (["simulate", "-o", "a.npz", "--set", "photons=-1"], 2, "photons"),
    "missing scan": (["inspect", "no-such.npz"], 3, "no-such.npz"),
    "junk scan": (["inspect", "junk.npz"], 3, "junk.npz"),
    "pickled scan": (["inspect", "pickle.npz"], 3, "pickle.npz"),
    "missing run": (["reconstruct", "no-run", "good.npz", "-o", "b.h5"], 3, "no-run"),
    "missing result": (["evaluate", "no.h5", "--truth", "good.npz"], 3, "no.h5"),
    "one tile for many workers": (
        ["refine", "good.npz", "-o", "b.h5", "--scheduler", "local"],
        2,
        "one tile: a scheduler brings nothing",
    ),
    "config that is no file": (["train", "good.npz", "-o", "r", "--config", "x.yml"], 2, "x.yml"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one good scan and two bad files."""
    place = tmp_path_factory.mktemp("mistakes")
    done = ptycho("simulate", "-o", "good.npz", "--set", "n_frames=9", cwd=place)
    assert done.returncode == 0, done.stderr
    (place / "junk.npz").write_bytes(b"\x00\x01junk")
    np.savez(place / "pickle.npz", counts=np.array([{}]), positions_px=np.zeros((1, 2)))
    return place


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_words_and_an_exit_code(name: str, folder: Path) -> None:
    """Never a traceback; the words name what was wrong; nothing is written."""
    words, code, named = MISTAKES[name]
    before = sorted(folder.iterdir())
    done = ptycho(*words, cwd=folder)
    said = done.stderr.replace("\n", " ")
    assert done.returncode == code, done.stderr
    assert named in said and "Traceback" not in said
    assert sorted(folder.iterdir()) == before


def test_json_mistakes_are_json(folder: Path) -> None:
    done = ptycho("inspect", "no-such.npz", "--json", cwd=folder)
    answer = json.loads(done.stdout)
    assert done.returncode == 3 and answer["error"] and "no-such.npz" in answer["where"]


def test_json_results_are_one_object(folder: Path) -> None:
    done = ptycho("inspect", "good.npz", "--json", cwd=folder)
    answer = json.loads(done.stdout)
    assert answer["frames"] == 9 and answer["frame_shape_px"] == [64, 64]
    assert answer["has_truth"] is True
