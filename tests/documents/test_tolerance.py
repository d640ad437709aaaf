"""The tolerance matrix: every historic spelling loads into the canonical value, one test a row."""

from __future__ import annotations

import pytest
from orchestration.documents import ledger, order
from orchestration.documents.grammar.refs import Ref, parse_refs, selector_of, split_focus
from orchestration.documents.historic import canonical_mode
from orchestration.documents.historic.claims import (
    ClaimedCheck,
    claimed_checks,
    claimed_rows,
    claimed_sync,
)
from orchestration.documents.ledger.check import unmet_dependencies
from orchestration.documents.ledger.model import Item, Status
from orchestration.documents.memory import reader as memory
from orchestration.documents.past.events import ledger_events, memory_events


def item(*lines: str, title: str = "### [FIX-A-001] t") -> Item:
    return ledger.parse_ledger("\n".join([title, *lines]) + "\n").items[0]


def entry(*lines: str) -> memory.Entry:
    return memory.parse_memory("\n".join(["## 2026-01-06T14:00:00Z: x", *lines]) + "\n").entries[0]


def test_status_in_progress_with_a_note() -> None:
    read = item("- Status: **in_progress** — Phase D: the rest")
    assert (read.status, read.reason) == (Status.IN_PROGRESS, "Phase D: the rest")


def test_status_done_with_a_deferral_is_a_warning() -> None:
    text = "### [FIX-A-001] t\n- Status: done — All phases complete. D4 deferred to STUDY-X-001\n"
    read = ledger.parse_ledger(text)
    assert read.items[0].status is Status.DONE
    assert read.items[0].deferred == [("D4", "STUDY-X-001")]
    assert "W08" in {d.code for d in read.diagnostics}


def test_a_tick_behind_a_dependency_is_not_trusted() -> None:
    text = (
        "### [FIX-A-001] t\n- Status: open\n- Depends on: GRID-LINES-001 ✅ (test harness complete)"
    )
    text += "\n### [GRID-LINES-001] g\n- Status: open\n"
    read = ledger.parse_ledger(text)
    assert read.items[0].depends == ["GRID-LINES-001"]
    assert unmet_dependencies(read, read.items[0]) == ["GRID-LINES-001"]


def test_a_dependency_in_words_is_external() -> None:
    read = item("- Status: open", "- Depends on: legacy grid pipeline (`a.b`, `c`)")
    assert read.depends == [] and read.external == ["legacy grid pipeline (`a.b`, `c`)"]


def test_priority_critical_is_p0() -> None:
    assert item("- Status: open", "- Priority: **Critical** (Highest Priority)").priority == "P0"


@pytest.mark.parametrize("bullet", ["- ", "-  - "])
def test_an_attempt_bullet(bullet: str) -> None:
    read = item(
        "- Status: open",
        "- Attempts History:",
        f"  {bullet}*2026-01-29T08:30:00Z (Stage A audit):* looked at it",
    )
    (attempt,) = read.attempts
    assert (f"{attempt.at:%Y-%m-%dT%H:%M}", attempt.label, attempt.text) == (
        "2026-01-29T08:30",
        "Stage A audit",
        "looked at it",
    )


def test_an_attempt_with_a_range() -> None:
    (attempt,) = item(
        "- Status: open", "- Attempts History:", "  - *2026-01-27 – 2026-01-28 (Tasks 2-7):* done"
    ).attempts
    assert (attempt.at.day, attempt.until.day, attempt.label) == (27, 28, "Tasks 2-7")


def test_an_attempt_as_a_heading_of_the_single_focus_ledger() -> None:
    read = ledger.parse_ledger(
        "## Status\n`open`\n\n## Current Focus\n**seed — t**\n\n## Attempts History\n\n"
        "### 2026-01-22T02:40Z — seed S1–S2 (initial)\n**Test:** `pytest tests/a.py` — PASSED "
        "(1 passed, 5 warnings)\n\n## TODOs\n- [ ] seed.S3: x\n\n"
        "### 2026-01-23T02:40Z — later (b)\n"
    )
    first, second = read.items[0].attempts
    assert (first.at.hour, first.criteria, first.label) == (2, "S1, S2", "initial")
    assert second.label == "b", "attempts after the TODOs count"
    told = ledger_events(read)[1].data
    assert told["rows"] == ["S1", "S2"]
    assert told["checks"] == [
        {"selector": "tests/a.py", "passed": 1, "failed": None, "ok": True, "source": "claim"}
    ]


def test_a_claimed_test_result() -> None:
    text = "**Test:** `pytest tests/a.py::test_b -q` — PASSED (1 passed, 5 warnings)"
    assert claimed_checks(text) == [ClaimedCheck("tests/a.py::test_b", 1, None, True)]
    failed = claimed_checks("`pytest tests/a.py` FAILED (2 failed, 3 passed)")
    assert failed == [ClaimedCheck("tests/a.py", 3, 2, False)]
    assert claimed_checks("`pytest tests/a.py` will be run; `ls` PASSED") == []


@pytest.mark.parametrize(
    ("text", "dwell"), [("3 (third consecutive planning loop)", 3), ("n/a", None), ("0", 0)]
)
def test_dwell_is_a_claim_or_nothing(text: str, dwell: int | None) -> None:
    assert entry(f"- dwell: {text}").dwell == dwell


def test_action_types_with_an_arrow() -> None:
    assert memory.claimed_actions("Planning → Implementation handoff (code task ready)") == [
        "planning",
        "implementation_handoff",
    ]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("Implementation", "Implementation"),
        ("Implementation handoff", "Implementation"),
        ("Documentation", "Docs"),
    ],
)
def test_modes_of_memory_and_orders(text: str, mode: str) -> None:
    assert canonical_mode(text) == mode
    assert order.parse_order(f"Focus: FIX-A-001\nMode: {text}\n").mode == mode
    read = memory.parse_memory(f"## 2026-01-06T14:00:00Z: x\n- dwell: 0\n- Mode: {text}\n")
    assert memory_events(read)[0].data["mode"] == mode


@pytest.mark.parametrize(
    ("text", "sync"),
    [
        (
            "`git stash push -u -m 'x'` → `timeout 30 git pull --rebase` → `git stash pop`",
            "stash-pull-pop",
        ),
        ("git pull --rebase is still blocked by local dirt", "blocked"),
        ("`git pull --rebase` → Already up to date.", "pull"),
        ("", None),
    ],
)
def test_git_sync(text: str, sync: str | None) -> None:
    assert claimed_sync(text) == sync
    read = memory.parse_memory(f"## 2026-01-06T14:00:00Z: x\n- dwell: 0\n- Git sync: {text}\n")
    assert memory_events(read)[0].data["sync"] == sync


def test_no_worker_commit() -> None:
    assert entry("focus=FIX-A-001 ralph_last_commit=none next_action=x").commit is None
    assert entry("focus=FIX-A-001 ralph_last_commit=1a2b next_action=x").commit == "1a2b"


@pytest.mark.parametrize(("text", "value"), [("N/A", None), ("none", None), ("dir/", "dir/")])
def test_artifacts(text: str, value: str | None) -> None:
    assert entry(f"focus=FIX-A-001 artifacts={text} next_action=x").artifacts == value


def test_next_action_ends_at_the_action_state() -> None:
    read = entry("focus=seed next_action=write a=b now <Action State>=ready_for_implementation")
    assert (read.next_action, read.state) == ("write a=b now", "ready_for_implementation")


@pytest.mark.parametrize(
    ("text", "item_id", "row"),
    [("seed", "seed", None), ("INIT", "INIT", None), ("DEBUG-A-001.F1", "DEBUG-A-001", "F1")],
)
def test_focus_forms(text: str, item_id: str, row: str | None) -> None:
    assert split_focus(text) == (item_id, row)
    read = entry(f"focus={text} next_action=x")
    assert (read.item_id, read.row) == (item_id, row)


def test_a_hub_with_a_sub_hub() -> None:
    hub = "plans/active/X-1/reports/2026-01-06T140000Z/phase_g_dense_full_run_verifier"
    read = order.parse_order(f"Focus: FIX-A-001\nHub: {hub}\n\n## Checks\n```\nHUB={hub} ls\n```\n")
    assert read.artifacts[0].name == hub and read.checks[0].env == {"HUB": hub}


def test_braces_name_two_files() -> None:
    refs = parse_refs("plans/active/X/{implementation.md,summary.md}")
    assert refs == [Ref("plans/active/X/implementation.md"), Ref("plans/active/X/summary.md")]


def test_a_range_of_lines_with_a_note() -> None:
    read = order.parse_order(
        "Focus: FIX-A-001\n## Contracts\n- ptycho/tf_helper.py:716-805 (translate_core)\n"
    )
    assert read.contracts[0].ref == Ref("ptycho/tf_helper.py", (716, 805))
    assert read.contracts[0].rule == "(translate_core)"


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("tests/a.py::Class::test_x", "tests/a.py::Class::test_x"),
        ("tests/a.py -k expr", "tests/a.py -k expr"),
        ("tests/a.py::{a,b}", "tests/a.py::a tests/a.py::b"),
    ],
)
def test_selectors(text: str, selector: str) -> None:
    assert selector_of(text) == selector
    assert order.parse_order(f"Focus: FIX-A-001\nSelector: {text}\n").selector == selector


def test_environment_before_a_command() -> None:
    line = "AUTHORITATIVE_CMDS_DOC=./docs/T.md HUB=$PWD/plans/x pytest tests/a.py"
    (command,) = order.parse_order(f"Focus: A-1\n## Checks\n```\n{line}\n```\n").checks
    assert command.env == {"AUTHORITATIVE_CMDS_DOC": "./docs/T.md", "HUB": "$PWD/plans/x"}
    assert command.argv == ("pytest", "tests/a.py")


def test_braces_after_colons_name_two_symbols() -> None:
    read = order.parse_order(
        "Focus: A-1\n## Tasks\n"
        "- [ ] T1 `a/b.py::{append_history_jsonl,append_history_markdown}` — x"
    )
    assert [ref.symbol for ref in read.tasks[0].refs] == [
        "append_history_jsonl",
        "append_history_markdown",
    ]


def test_next_up_is_a_list() -> None:
    read = order.parse_order("Focus: A-1\nDo Now:\n- x\nNext Up (optional):\n1. One\n2. Two\n")
    assert read.sections[-1].title.startswith("Next Up")
    assert read.sections[-1].text.split("\n") == ["1. One", "2. Two"]


def test_row_ranges() -> None:
    assert claimed_rows("seed S1–S3, A2 and B4-6; FIX-A1-001") == [
        "S1",
        "S2",
        "S3",
        "A2",
        "B4",
        "B5",
        "B6",
    ]
