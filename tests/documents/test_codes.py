"""Every code: a document that triggers it, at its line, and an explanation for a person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from orchestration.cli.documents import register
from orchestration.documents import kinds
from orchestration.documents.grammar.codes import CODES, explain
from orchestration.documents.ledger import parse_ledger
from orchestration.documents.order import content_hash, parse_order
from orchestration.documents.order.rules import ValidationContext
from typer import Typer
from typer.testing import CliRunner

LEDGER = """### [FIX-A-001] a
- Status: open
- Exit:
  - [ ] C1 `pytest a` — x
  - [ ] C2 `pytest b` — y
### [DONE-A-002] b
- Status: done
- Depends: FIX-A-001
"""
ORDER = """# Order 1 · FIX-A-001 — t

Focus: FIX-A-001.C1
Mode: TDD
Selector: tests/t.py

## Goal

C1

## Tasks

- [ ] T1: `pkg/a.py::f` — x

## Findings

- none (searched: a)
"""
PY = {"pkg/a.py": "def f():\n    return 1\n", "tests/t.py": "from pkg import a\n", "d.md": "x\n"}
CONTEXT = ValidationContext(
    path="input.md",
    exists=lambda path: path in PY,
    read_lines=lambda path: PY[path].split("\n")[:-1] if path in PY else None,
    ledger=parse_ledger(LEDGER),
    finding_ids=lambda: {"SHAPE-1"},
    now=datetime(2026, 6, 1, tzinfo=UTC),
    branch="main",
    resolve=lambda ref: None,
    protected=["secret/**"],
    plan_local=lambda item: 2,
    known_orders=[content_hash(parse_order(ORDER.replace("C1\n\n## Tasks", "C1 old\n\n## Tasks")))],
)
ITEM = "### [A-1] x\n- Status: {}\n"
ENTRY = "# 2026-01-0{}T10:00:00Z: e\n- focus=A-1 state={} dwell={} next_action={}\n"


def changed(old: str, new: str) -> str:
    assert old in ORDER
    return ORDER.replace(old, new, 1)


#: code → (kind, document, line of the diagnostic)
TRIGGERS: dict[str, tuple[str, str, int]] = {
    "E00": ("order", "Focus: A\0", 1),
    "E01": ("order", changed("Focus: FIX-A-001.C1", "Focus: NOPE-A-009"), 3),
    "E02": ("order", changed("Focus: FIX-A-001.C1", "Focus: DONE-A-002"), 3),
    "E03": ("order", changed("tests/t.py", "tests/gone.py"), 5),
    "E04": ("order", changed("a.py::f", "a.py::g"), 13),
    "E05": ("order", changed("## Findings", "## Checks\n```\nls x\n```\n## Findings"), 15),
    "E06": ("order", changed("C1\n\n## Tasks", "C1 old\n\n## Tasks"), 1),
    "E07": ("order", changed("`pkg/a.py::f`", "new: `secret/a.py`"), 13),
    "E08": ("order", ORDER.replace(".C1", "").replace("C1\n", "Better.\n"), 3),
    "E09": ("order", changed("C1\n\n", "C1 2031-01-01T00:00:00Z\n\n"), 9),
    "E10": ("order", changed("Mode: TDD", "Mode: TDD\nBase: fffffff"), 5),
    "E11": ("order", changed("Mode: TDD", "Mode: TDD\nFocus: OTHER-A-003"), 3),
    "E12": ("order", changed("## Findings", "## Checks\n```\na | b\n```\n## Findings"), 17),
    "E13": ("order", changed("`pkg/a.py::f` — x", "work harder"), 13),
    "E14": ("order", changed("## Goal\n\nC1\n", ""), 0),
    "E15": ("order", changed("TDD", "Fast"), 4),
    "E16": ("order", changed("## Tasks", "## Contracts\n- `d.md:7` — r\n\n## Tasks"), 12),
    "E17": ("order", changed("Mode: TDD", "Mode: TDD\nBranch: other"), 5),
    "E20": ("ledger", ITEM.format("flying"), 2),
    "E21": ("ledger", ITEM.format("waiting — for a word"), 2),
    "E22": ("ledger", ITEM.format("open") * 2, 3),
    "E23": ("ledger", ITEM.format("open") + "- Depends: GONE-1\n", 1),
    "E24": ("ledger", ITEM.format("open") + "- Depends: A-1\n", 1),
    "E25": ("ledger", ITEM.format("done") + "- Exit:\n  - [ ] C1 `pytest a` — b\n", 1),
    "E26": ("ledger", ITEM.format("open") + "- Exit:\n" + "  - [ ] C1 `pytest a` — b\n" * 2, 1),
    "E27": ("ledger", ITEM.format("open") + "- Status: blocked — a person said stop\n", 3),
    "E30": ("findings", "| A-1 | d | k | s | gone.py:3 | Active |\n", 1),
    "E31": ("findings", "| A-1 | d | k | s | e | Active |\n\n## A-1\n- Supersedes: B-2\n", 1),
    "W01": ("order", changed("pkg/a.py::f", "d.py").replace("`d.py`", "new: `q/z.py`"), 5),
    "W02": ("order", ORDER + "\n## Notes\n\n" + "word " * 3000, 0),
    "W03": ("order", changed("`pkg/a.py::f`", "`d.md::Main`"), 13),
    "W04": ("order", changed("none (searched: a)", "LOST-7 — obeyed"), 17),
    "W05": ("order", changed("## Findings", "## Weather\n\nfine\n\n## Findings"), 15),
    "W06": ("order", changed("## Tasks", "## Do Now"), 1),
    "W07": ("order", changed("## Findings", "## Checks\n```\npytest tests/t.py d/*.py\n```"
            "\n## Findings"), 17),
    "W08": ("ledger", ITEM.format("done — D4 deferred to B-2"), 2),
    "W09": ("ledger", "-" + ITEM.format("open"), 1),
    "W10": ("ledger", "### [A-1] x\n", 1),
    "W11": ("memory", "# a\n```\n", 2),
    "W12": ("ledger", ITEM.format("open") + "- Priority: huge\n", 3),
    "W13": ("order", changed("`pkg/a.py::f`", "new: `plans/active/FIX-A-001/bin/c.py`"), 11),
    "W14": ("ledger", "".join(f"### [A-{n}] x\n- Status: in_progress\n" for n in range(3)), 0),
    "W15": ("ledger", ITEM.format("open"), 1),
    "W16": ("ledger", "### [B-2] y\n- Status: open\n" + ITEM.format("done")
            + "- Depends: B-2\n", 3),
    "W17": ("ledger", ITEM.format("waiting — On: a; Check: b; Until: 2020-01-01"), 1),
    "W18": ("findings", "| A-1 | d | k | s | e | Active |\n", 1),
    "W20": ("memory", ENTRY.format(1, "planning", 0, "a") + ENTRY.format(3, "planning", 1, "b")
            + ENTRY.format(2, "planning", 2, "c") + ENTRY.format(4, "planning", 3, "d"), 5),
    "W21": ("memory", ENTRY.format(1, "planning", "1 ralph_last_commit=ab", "a")
            + ENTRY.format(2, "planning", "1 ralph_last_commit=ab", "b"), 3),
    "W22": ("memory", ENTRY.format(1, "planning", 0, "a") + ENTRY.format(2, "planning", 1, "a"), 3),
    "W23": ("memory", "# 2026-01-01T10:00:00Z: e\n**Attempted:**\n`alpha beta gamma` did not work\n"
            "- dwell: 0\n# 2026-01-02T10:00:00Z: f\n**Fix design:**\n`alpha beta gamma`\n", 5),
    "W24": ("memory", ENTRY.format(1, "flying", 0, "a"), 1),
    "E28": ("order", changed("## Findings", "## Checks\n```\ntrue\n```\n## Findings"), 17),
    "W26": ("ledger", ITEM.format("planned"), 2),
    "W27": ("memory", "# 2026-01-01T10:00:00Z: a\n- dwell: 0\n#### 2026-01-02T10:00:00Z: b\n", 3),
    "W28": ("ledger", ITEM.format("open") + "- Exit:\n  - [ ] C1 `pytest tests/no.py` — b\n", 4),
    "W25": ("memory", "# 2026-01-01T10:00:00Z: words only\n", 1),
}  # fmt: skip
#: W19 speaks of a rewriting, not of a document (test_a_damaged_document_… below).
ELSEWHERE = {"W19"}


def test_the_base_documents_are_sound() -> None:
    assert [d.render() for d in kinds.check_document("order", ORDER, CONTEXT)] == []
    assert set(TRIGGERS) | ELSEWHERE == set(CODES)


@pytest.mark.parametrize("code", sorted(TRIGGERS))
def test_every_code_has_a_document_that_triggers_it(code: str) -> None:
    kind, text, line = TRIGGERS[code]
    found = {(d.code, d.line, d.severity) for d in kinds.check_document(kind, text, CONTEXT)}
    assert (code, line, "error" if code < "F" else "warning") in found, sorted(found)


def call(*words: str) -> tuple[int, str]:
    app = Typer()
    register(app)
    done = CliRunner().invoke(app, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_explained(code: str) -> None:
    text = str(explain(code.lower()))
    title, why, fix = text.split("\n")
    assert title.startswith(f"{code} ({'error' if code < 'F' else 'warning'}): ")
    assert why.startswith("  why: ") and fix.startswith("  fix: ") and len(why) > 20 < len(fix) + 10


def test_the_command_explains() -> None:
    assert call("explain", "w13") == (0, f"{explain('W13')}\n")


def test_a_damaged_document_that_cannot_be_rewritten_exactly_says_so(tmp_path: Path) -> None:
    binary = tmp_path / "input.md"
    binary.write_bytes(b"Focus: A-1\0")
    code, out = call("validate", str(binary), "--fix", "--no-collect")
    assert code == 1 and "W19" in out and "E00" in out
    assert binary.read_bytes() == b"Focus: A-1\0"


def test_exit_codes_of_validate(tmp_path: Path) -> None:
    place = tmp_path / "fix_plan.md"
    (tmp_path / "a").mkdir()
    sound = ITEM.format("open") + "- Exit:\n  - [ ] C1 `pytest a` — b\n"
    for text, words, expected in (
        (sound, [], 0),
        (sound, ["--strict"], 0),
        (ITEM.format("open"), [], 0),
        (ITEM.format("open"), ["--strict"], 3),
        (ITEM.format("flying"), ["--strict"], 1),
    ):
        place.write_text(text)
        assert call("validate", str(place), *words)[0] == expected
