"""`ptycho prior train`: every option reaches the training (`--rate` did not, for one commit)."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ptycho import pretraining
from ptycho.cli.app import app

OPTIONS = {
    "steps": 7,
    "seed": 3,
    "without": ("blobs", "disk"),
    "start": "auto",
    "width": None,
    "rate": 5e-4,
}


def test_the_options_of_a_training_reach_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def train(data: list[Path], folder: Path, config: Any, **more: Any) -> dict[str, Any]:
        asked.update(vars(config))
        return {}

    monkeypatch.setattr(pretraining, "train_prior", train)
    words = ["prior", "train", str(tmp_path), "-o", str(tmp_path / "out")]
    for name, value in OPTIONS.items():
        for each in value if isinstance(value, tuple) else [value] if value is not None else []:
            words += [f"--{name}", str(each)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert {name: asked[name] for name in OPTIONS} == OPTIONS
    known = set(inspect.signature(pretraining.PriorTraining).parameters) - {"checkpoint_s"}
    assert known == set(OPTIONS)
