"""`orchestrate stats` of a log: orders that are issued again in other words; what a check loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestration.cli.documents import _alike
from orchestration.core import Event, payloads

ROOT = Path(__file__).resolve().parents[2]
ORDER = (
    "Focus: {item}\nMode: TDD\n\n## Goal\nThe mean of an empty list is an error.\n\n## Tasks\n"
    "- [ ] T1 calc/mean.py::mean raises ValueError for an empty list{more}\n"
)
OTHER = "Focus: A-1\nMode: Docs\n\n## Goal\nThe manual shows how a scan is opened and cropped.\n"
HEAVY = ("pydantic", "yaml", "git", "psutil", "rich", "typer", "pytest", "orchestration.gates")


def order(item: str, text: str) -> Event:
    ordered = payloads.Ordered(hash="", text=text, row=None, mode="TDD", source="built-in")
    return Event(
        seq=1, at="", turn=1, kind="order", role="supervisor", item=item, data=ordered.to_json()
    )


def test_an_order_that_only_changes_a_word_is_alike() -> None:
    first = order("A-1", ORDER.format(item="A-1", more=""))
    again = order("A-1", ORDER.format(item="A-1", more=" now"))
    assert _alike([first, again]) == 1
    assert _alike([first, order("A-1", OTHER)]) == 0
    assert _alike([first, order("B-2", ORDER.format(item="A-1", more=""))]) == 0, "another item"
    assert _alike([first, again, again]) == 2


LEDGER = """# Fix plan

## Items

### [HEAT-001] The oven heats
- Status: open
- Exit:
  - [ ] C1 `test -s wanted.txt` — it does
"""
SOUND = """# Order 0001 · HEAT-001 — The oven heats
Focus: HEAT-001
Mode: none
Selector: none — nothing runs

## Goal
The oven heats. Advances C1.

## Tasks
- [ ] T1 Run C1 until it passes

## Checks
```sh
test -s wanted.txt
```

## If blocked
- Say which command failed.

## Findings
- none (searched: heat)
"""


def test_a_check_without_collection_loads_light_modules_only(tmp_path: Path) -> None:
    """On an open item and its order: those of this repository may be done."""
    script = str(ROOT / "scripts/tools/validate_input_md.py")
    (tmp_path / "docs").mkdir()
    for name, text in (("docs/fix_plan.md", LEDGER), ("input.md", SOUND), ("wanted.txt", "1\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    words = (
        f"import runpy, sys; sys.argv = [{script!r}, '--no-collect', 'input.md']\n"
        f"try: runpy.run_path({script!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["input.md schema OK", "[]"]
