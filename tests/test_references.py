"""docs/configuration.md and docs/commands.md say what the programs say."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main  # noqa: F401 - before the script switches rich off for its own process
from orchestration.agents.custom import PLACEHOLDERS
from orchestration.config import Budgets, HarnessConfig
from orchestration.engine import notify

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts/tools/write_references.py"
sys.path.append(str(SCRIPT.parent))


def test_the_pages_are_what_the_script_writes_today() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_key_and_every_placeholder_has_a_row() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip(" `") for line in page.splitlines() if line[:3] == "| `"]
    keys = [field.name for kind in (HarnessConfig, Budgets) for field in dataclasses.fields(kind)]
    assert rows == keys + [f"{{{name}}}" for name in (*PLACEHOLDERS, *notify.PLACEHOLDERS)]


@dataclass
class Silent:
    """A configuration with an unexplained key."""

    said: int = 1
    """What it is for."""
    unsaid: int = 2


def test_a_key_without_a_sentence_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TYPER_USE_RICH", "1")  # the script sets it for itself
    import write_references

    with pytest.raises(SystemExit, match=r"Silent\.unsaid has no sentence"):
        write_references.sentences(Silent)
