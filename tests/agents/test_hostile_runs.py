"""Hostile workers through the real command line; the page's table names them all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts/benchmarks"))

import hostile_workers as hostile  # noqa: E402
from hostile_attacks import ATTACKS  # noqa: E402

SAMPLE = (
    "writes to the main checkout by absolute path",
    "code under test writes to the main checkout",
    "a .git file that points elsewhere",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_an_attack_does_harm_unprotected_and_none_through_the_harness(
    tmp_path: Path, name: str
) -> None:
    attack = next(a for a in ATTACKS if a.name == name)
    source = hostile.template(tmp_path / "template")
    row = hostile.one(attack, ["scan"], tmp_path / "work", source)
    assert row["fooled"]
    assert row["wrong"] == []


def test_the_page_lists_every_attack_that_the_script_runs() -> None:
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    table = page.partition(hostile.MARKS[0])[2].partition(hostile.MARKS[1])[0]
    names = [line.split(" | ")[0][2:] for line in table.splitlines() if line.startswith("| ")]
    assert names[1:] == [attack.name for attack in ATTACKS]
    assert len(ATTACKS) >= 30
