"""The pinned repository, cloned once from its bundle, with the pinned log imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `harness_pins`

import harness_pins as pins


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone: branches only, no log of its own."""
    return pins.clone(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone that took over the exported log."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "log.jsonl").write_text(pins.pinned("log.jsonl"))
    root = pins.clone(folder)
    said = pins.orchestrate("log", "import", str(folder / "log.jsonl"), cwd=root)
    assert said.code == 0, said.err
    return root
