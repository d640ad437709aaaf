"""Hostile workers through the real command line; the page's table names them all."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/evidence/reliability.md"
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
    row = hostile.one(attack, ["kernel"], tmp_path / "work", source)
    assert row["fooled"]
    assert row["wrong"] == []


def test_the_page_shows_what_a_run_wrote_for_every_attack() -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = json.loads(PAGE.with_name(hostile.RESULTS).read_text(encoding="utf-8"))
    shown = page.partition(hostile.MARKS[0])[2].partition(hostile.MARKS[1])[0]
    assert shown.strip() == hostile.table(found)
    assert [row["name"] for row in found] == [attack.name for attack in ATTACKS]
    assert len(ATTACKS) >= 30


def test_the_verdicts_of_that_run_are_those_that_are_expected() -> None:
    found = json.loads(PAGE.with_name(hostile.RESULTS).read_text(encoding="utf-8"))
    for row, attack in zip(found, ATTACKS, strict=True):
        assert row["fooled"] == hostile.SAID[attack.fooled], row["name"]
        assert row["wrong"] == []
        for level, verdict in row["verdicts"].items():
            assert verdict.split()[0] == attack.verdict, (row["name"], level)
