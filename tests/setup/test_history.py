"""`init --from-history`: a repository with old documents moves in, and nothing is changed there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ORCHESTRATE = str(Path(sys.executable).with_name("orchestrate"))
LEDGER = """# Ledger

## [OVEN-HEAT-002] Heat
- Priority: High
- Status: in_planning
- Plan Reference: `plans/active/heat.md`
- Attempts History:
  * [2026-01-05] Attempt #1 — Result: partial. Numbers in notes/a.md.
  * no date here
- Exit Criteria:
  - The table has a row for each speed

## [OVEN-DOOR-003] Door
- Status: in_progress (waiting on `[OVEN-HEAT-002]`)
- Exit Criteria:
  - `pytest tests/test_oven.py` passes
"""
FILES = {
    "oven.py": "def heat():\n    return 200\n",
    "tests/test_oven.py": "from oven import heat\n\n\ndef test_heat():\n    assert heat() == 200\n",
    "docs/fix_plan.md": LEDGER,
    "fix_plan.md": "# an old copy\n",
    "galph_memory.md": "## 2026-01-05 (galph loop - start)\n- <Action State>: [planning]\n",
    "plans/active/heat.md": "# Plan for the oven\n\n### Phase A\n- [ ] A1: Measure\n",
    "input.md": "Summary: s\nFocus: OVEN-HEAT-002\nMapped tests: none — notes\nDo Now: heat it\n",
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "config", "user.name", "t")
    git(tmp_path, "config", "user.email", "t@example.org")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "as it was")
    return tmp_path


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def orchestrate(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ORCHESTRATE, *words], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


def test_it_says_what_it_read_what_it_could_not_and_what_is_left(old: Path) -> None:
    done = orchestrate(old, "init", "--from-history")
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert out.index("read:") < out.index("could not be read:") < out.index("to do by hand:")
    first, rest = out.split("could not be read:")
    unread, by_hand = rest.split("to do by hand:")
    assert "docs/fix_plan.md: 2 items (1 open, 1 in_progress), 2 criteria (1 with a command), " in (
        first
    )
    assert "1 attempts, 1 plans" in first and "1 entries (1 of the supervisor)" in first
    assert "plans/active: 1 plans, 1 rows" in first
    assert "an order of form A for OVEN-HEAT-002" in first
    assert "W27" in unread and "read 1 of 2 bullets" in unread
    assert "`in_planning` is read as open" in unread
    assert "OVEN-HEAT-002: C1 names no command" in by_hand
    assert "a second ledger" in by_hand
    assert "orchestrate history import galph_memory.md" in by_hand
    told = json.loads(orchestrate(old, "init", "--from-history", "--json").stdout)["history"]
    assert list(told) == ["read", "unread", "by_hand"]
    assert all(told.values())


def test_init_and_the_default_agent_change_nothing_that_was_there(old: Path) -> None:
    orchestrate(old, "init", "--from-history")
    git(old, "add", "-A")
    git(old, "commit", "-q", "-m", "moved in")
    before = git(old, "rev-parse", "HEAD^{tree}")
    orchestrate(old, "run")
    assert {name: (old / name).read_text(encoding="utf-8") for name in FILES} == FILES
    assert git(old, "rev-parse", "main^{tree}") == before
    assert git(old, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# L\n\n| ID | Status |\n|---|---|\n| A-1 | open |\n| B-2 | done |\n", "0 of 2"),
        ("# L\n\n- [ ] A-1: do it\n- [x] B-2: did it\n- [ ] third\n", "0 of 3"),
        ("# L\n\n## Oven heat\n- Status: open\n- Exit:\n  - x\n", "0 of 1"),
        ("# L\n\n## [A-1] x\n- Status: done\n\n## Oven\n- Status: open\n", "1 of 2"),
    ],
)
def test_a_ledger_of_which_items_are_not_read_says_so(old: Path, text: str, told: str) -> None:
    (old / "docs/fix_plan.md").write_text(text)
    out = orchestrate(old, "init", "--from-history").stdout
    unread = out.partition("could not be read:")[2].partition("to do by hand:")[0]
    assert "W27" in unread and f"read {told}" in unread, out


def test_a_ledger_at_the_top_is_named_where_there_is_no_other(old: Path) -> None:
    (old / "docs/fix_plan.md").unlink()
    (old / "fix_plan.md").write_text(LEDGER)
    out = orchestrate(old, "init", "--from-history").stdout
    by_hand = out.partition("to do by hand:")[2]
    assert "fix_plan.md" in by_hand and "`ledger: fix_plan.md`" in by_hand


def test_a_criterion_that_was_put_off_is_not_left_to_do(old: Path) -> None:
    place = old / "docs/fix_plan.md"
    item = "\n## [OVEN-LATE-003] Later\n- Status: open\n- Exit:\n  - [-] a word\n  - [D] another\n"
    place.write_text(place.read_text() + item)
    out = orchestrate(old, "init", "--from-history").stdout
    assert "OVEN-LATE-003: every criterion is met or put off" in out.split("to do by hand:")[1]
