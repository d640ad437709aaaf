"""What every command says to `--help`, what its settings are, and with which code it ends."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pins_library as pins
import pytest

PINNED = json.loads((pins.FIXTURES / "commands.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("commands")
    pins.fill_work_folder(place)
    return place


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command lines name files of the folder; a failure leaves no new file in it."""
    monkeypatch.chdir(folder)
    before = _files(folder)
    yield
    assert _files(folder) == before


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_left_out() -> None:
    assert list(PINNED["help"]) == list(pins.HELP)
    assert list(PINNED["mistakes"]) == list(pins.MISTAKES)


@pytest.mark.parametrize("line", pins.HELP)
def test_help(line: str) -> None:
    code, out, err = pins.say(line)
    pinned, text = PINNED["help"][line], (out + "\n" + err).strip("\n").split("\n")
    assert code == pinned["code"]
    # Words may improve and options may be added; no option that was there is lost.
    assert _flags(pinned["text"]) <= _flags(text)


def _flags(text: list[str]) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", "\n".join(text)))


# `parity` compares TensorFlow with PyTorch unless told otherwise; and first asks for both.
NEEDS_TORCH = "ptycho parity absent scan.npz -o out"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, marks=pytest.mark.torch) if line == NEEDS_TORCH else line
        for line in pins.MISTAKES
    ],
)
def test_a_mistake_ends_with_its_code_and_words(line: str) -> None:
    # Without PyTorch the command ends rightly at that, before the mistake that is pinned.
    if line == NEEDS_TORCH and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed (make test BACKENDS=torch)")
    code, out, err = pins.say(line)
    pinned: dict[str, Any] = PINNED["mistakes"][line]
    assert code == pinned["code"], err
    assert out == pinned["stdout"]
    assert pins.first_words(err) == pinned["message"]
    assert "Traceback" not in err
