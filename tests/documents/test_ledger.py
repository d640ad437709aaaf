"""The ledger: historic forms, the dependency graph, and edits that touch one span only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from orchestration.documents.fix import canonical
from orchestration.documents.grammar.commands import parse_command
from orchestration.documents.grammar.diagnostics import DocumentError
from orchestration.documents.grammar.graph import cycles
from orchestration.documents.ledger import (
    Attempt,
    Status,
    Waiting,
    add_item,
    append_attempt,
    check_ledger,
    parse_ledger,
    set_status,
    tick,
)
from orchestration.documents.ledger.render import meaning

FIXTURES = Path(__file__).parents[1] / "fixtures" / "documents"


def text_of(form: int) -> str:
    return (FIXTURES / f"ledger_form{form}.md").read_text(encoding="utf-8")


def test_form_1_in_detail() -> None:
    ledger = parse_ledger(text_of(1))
    assert [item.id for item in ledger] == ["STUDY-DOSE-001", "FIX-SHIFT-001", "AWAIT-DATA-003"]
    assert ledger.active_focus == "STUDY-DOSE-001"
    study, fix, data = ledger.items
    assert (study.status, study.reason) == (Status.IN_PROGRESS, "Phase D: run all doses")
    assert (study.priority, study.depends) == ("P0", ["FIX-SHIFT-001"])
    assert study.external == ["legacy grid pipeline (`a.b`, `c`)"]
    assert [(c.id, c.met) for c in study.criteria] == [("C1", True), ("C2", False)]
    assert study.criteria[1].command is not None
    assert study.criteria[1].command.within_s == 1800
    assert study.criteria[1].command.argv[:2] == ("python", "scripts/check_doses.py")
    assert [(a.label, a.at is not None) for a in study.attempts] == [
        ("Stage A audit", True),
        ("Stage B", True),
        ("Tasks 2-7", True),
    ]
    assert study.attempts[2].until == datetime(2026, 1, 28, tzinfo=UTC)
    assert fix.status is Status.DONE and fix.deferred == [("D4", "STUDY-DOSE-001")]
    assert data.waiting is not None and data.waiting.poll_s == 600
    assert data.waiting.check.argv == ("test", "-f", "data/frames.h5")
    assert not data.waiting.expired(datetime(2029, 12, 31, tzinfo=UTC))
    assert data.waiting.expired(datetime(2030, 1, 1, tzinfo=UTC))
    run, apply = data.recipes
    assert run.command is not None and run.command.argv[-1] == "data/frames.h5"
    assert (run.within_s, run.artifacts) == (600.0, ("out/*.png", "out/report.md"))
    assert run.may_edit_tests == ("tests/test_frames.py",)
    assert (apply.kind, apply.patch) == ("apply", "plans/active/AWAIT-DATA-003/frames.patch")
    assert data.guard == "tests/test_frames.py::test_shape"
    assert [d.code for d in check_ledger(ledger)] == ["W05", "W09", "W08"]


def test_forms_0_and_2() -> None:
    old = parse_ledger(text_of(0))
    assert [(i.id, i.status) for i in old] == [
        ("FIX-SHIFT-001", Status.IN_PROGRESS),
        ("PLOT-COLOURS-002", Status.DONE),
    ]
    assert [a.turn for a in old.items[0].attempts] == [1, 2]
    assert [c.meaning for c in old.items[0].criteria] == ["The guard passes", "The study runs"]
    dose = parse_ledger(text_of(2))
    assert dose.form == "report" and dose.active_focus == "seed"
    seed, debug = dose.items
    assert (seed.status, debug.id) == (Status.IN_PROGRESS, "DEBUG-DOSE-001")
    assert [(c.id, c.state) for c in seed.criteria] == [("S1", "x"), ("S2", "x"), ("S4", " ")]
    assert [c.id for c in debug.criteria] == ["F1"]
    assert len(seed.attempts) == 1 and "1 passed" in seed.attempts[0].text
    assert [a.label for a in debug.attempts] == ["follow-up"]


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("pending", "open", ""),
        ("`in_progress`", "in_progress", ""),
        ("In Progress (phase 2)", "in_progress", "(phase 2)"),
        ("blocked_escalation — see log", "blocked", "see log"),
        ("✅ done", "done", ""),
        ("**Complete**: shipped", "done", "shipped"),
        ("flying", "unknown", ""),
        ("archived", "done", ""),
        ("✅", "done", ""),
        ("", "unknown", ""),
    ],
)
def test_status_words(text: str, status: str, reason: str) -> None:
    item = parse_ledger(f"### [A-1] x\n- Status: {text}\n").items[0]
    assert (item.status.value, item.reason) == (status, reason)


def test_a_wait_needs_a_check_and_a_deadline() -> None:
    def codes(value: str) -> list[str]:
        ledger = parse_ledger(f"### [A-1] x\n- Status: waiting — {value}\n")
        return [d.code for d in ledger.diagnostics]

    assert codes("On: me; Check: test -f a; Until: 2030-01-01") == []
    assert codes("On: me; Check: test -f a") == ["E21"]
    assert codes("for the data") == ["E21"]
    assert codes("On: me; Check: a | b; Until: 2030-01-01") == ["E21"]
    assert codes("On: me; Check: a; Poll: soon; Until: 2030-01-01") == ["E21"]
    ledger = parse_ledger(
        "### [A-1] x\n- Status: waiting —\n  - On: me\n  - Check: `test -f a`\n"
        "  - Until: 2030-01-01\n"
    )
    assert ledger.items[0].waiting is not None and not ledger.diagnostics


def test_the_dependency_graph() -> None:
    def codes(*edges: tuple[str, str]) -> list[str]:
        text = "".join(
            f"### [{a}] x\n- Status: open\n- Depends: {b}\n- Exit:\n  - [ ] C1 `a`\n\n"
            for a, b in edges
        )
        return [d.code for d in check_ledger(parse_ledger(text))]

    assert codes(("A-1", "None"), ("B-1", "A-1")) == []
    assert codes(("A-1", "B-1"), ("B-1", "C-1"), ("C-1", "A-1")) == ["E24"]
    assert codes(("A-1", "A-1")) == ["E24"]
    assert codes(("A-1", "Z-9")) == ["E23"]
    assert codes(("A-1", "none"), ("A-1", "none")) == ["E22"]


def test_done_with_open_rows_and_bad_commands() -> None:
    text = "### [A-1] x\n- Status: done\n- Exit:\n  - [ ] C1 `a | b` — y\n  - [x] C1 `b`\n"
    assert {d.code for d in check_ledger(parse_ledger(text))} == {"E12", "E25", "E26"}


def spans(old: str, new: str) -> tuple[str, str]:
    """The differing middle of two texts, after the common beginning and end."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    limit = min(len(old), len(new)) - start
    while end < limit and old[len(old) - 1 - end] == new[len(new) - 1 - end]:
        end += 1
    return old[start : len(old) - end], new[start : len(new) - end]


def test_edits_of_the_fixture_change_one_span() -> None:
    text = text_of(1)
    new = set_status(text, "FIX-SHIFT-001", "open", "again")
    assert spans(text, new) == (
        "done — All phases complete. D4 deferred to STUDY-DOSE-001",
        "open — again",
    )
    new = tick(text, "STUDY-DOSE-001", "C2")
    assert spans(text, new) == (" ", "x")
    new = append_attempt(text, "STUDY-DOSE-001", Attempt(turn=4, outcome="landed", criteria="C2"))
    assert spans(text, new)[0] == "" and "| 4 | - | landed | C2 | - | - |" in spans(text, new)[1]
    more = append_attempt(new, "STUDY-DOSE-001", Attempt(turn=5, outcome="a|b\nc"))
    assert spans(new, more)[0] == ""
    attempts = parse_ledger(more).items[0].attempts
    assert [(a.turn, a.outcome) for a in attempts[-2:]] == [(4, "landed"), (5, "a|b c")]
    wait = Waiting("me", parse_command("test -f 'a b'"), 90.0, datetime(2031, 2, 3, tzinfo=UTC))
    waiting = parse_ledger(set_status(text, "FIX-SHIFT-001", "waiting", wait)).items[1].waiting
    assert waiting is not None
    assert (waiting.on, waiting.check.argv, waiting.poll_s, waiting.until) == (
        "me",
        ("test", "-f", "a b"),
        90.0,
        wait.until,
    )


def test_edits_of_the_report_form() -> None:
    text = text_of(2)
    assert spans(text, set_status(text, "seed", "done")) == ("`in_progress`", "done")
    assert spans(text, tick(text, "DEBUG-DOSE-001", "F1", "W")) == (" ", "W")


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda t: set_status(t, "NO-1", "open"), "no such item"),
        (lambda t: tick(t, "A-1", "C9"), "no such criterion"),
        (lambda t: tick(t, "A-1", "C1", "?"), "unknown checklist state"),
        (lambda t: set_status(t, "A-1", "unknown"), "no status"),
        (lambda t: add_item(t, "A-1", "again"), "already"),
        (lambda t: set_status(t + t, "A-1", "open"), "two items"),
        (lambda t: add_item(t, "not an id", "x"), "no item id"),
        (lambda t: append_attempt(t + "```\n", "A-1", Attempt()), "fence"),
    ],
)
def test_bad_edits_say_what(edit, what: str) -> None:
    with pytest.raises(DocumentError, match=what):
        edit("### [A-1] x\n- Status: open\n- Exit:\n  - [ ] C1 `a`\n")


def test_add_item_appends_and_is_read_back() -> None:
    text = "\ufeff# Plan\r\n\r\n### [A-1] x\r\n- Status: open"
    new = add_item(text, "B-2", "new one", depends="A-1", exit="`pytest t` — green\n`true`")
    assert new.startswith(text) and "\n" not in new.replace("\r\n", "")
    item = parse_ledger(new).items[1]
    assert (item.title, item.depends, [c.id for c in item.criteria]) == (
        "new one",
        ["A-1"],
        ["C1", "C2"],
    )


@pytest.mark.parametrize("form", [0, 1, 2])
def test_fix_and_render_keep_the_meaning(form: int) -> None:
    text = text_of(form)
    new = canonical("ledger", text, "docs/fix_plan.md")
    ledger = parse_ledger(text)
    assert meaning(parse_ledger(new)) == meaning(ledger)
    assert not [d for d in parse_ledger(new).diagnostics if d.code == "W09"]


LINE = st.sampled_from(
    ["# Plan", "### [A-1] First", "### [B-2] Second ✅", "## [C-3] Third", "-### [D-4] Stray",
     "- Status: open", "- Status: **in_progress** — x", "- Status:", "\t- Status: done",
     "- Status: waiting — On: a; Check: b; Until: 2030-01-01", "  continued text", "- Exit:",
     "  - [ ] C1 `pytest` — a", "  - [x] C2 b", "\t- [ ] C3: `c`", "- Attempts:", "- Attempts: ",
     "  | turn | outcome |", "  |---|---|", "  | 1 | x |", "- Attempts History:",
     "  - *2026-01-29T08:30:00Z (a):* b", "```", "~~~", "<!-- x", "-->", "", "   ", "---", "text",
     "- Priority: High", "é\u2028ü\x0c", "\tb", "## Other", "#### Sub", "> quote", "- Unknown: 1"]
)  # fmt: skip
DOCS = st.builds(
    lambda lines, newline, bom, final: (
        ("\ufeff" if bom else "") + newline.join(lines) + (newline if final else "")
    ),
    st.lists(LINE, min_size=1, max_size=22),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(DOCS, st.data())
def test_edits_preserve_every_other_byte(text: str, data: st.DataObject) -> None:
    ledger = parse_ledger(text)
    unique = [i for i in ledger if sum(o.id == i.id for o in ledger) == 1]
    assume(unique)
    item = data.draw(st.sampled_from(unique))
    others = [row for row in meaning(ledger) if row["id"] != item.id]

    new = set_status(text, item.id, "blocked", "a reason")
    old_span, _ = spans(text, new)
    read = parse_ledger(new)
    found = read.item(item.id)
    assert found is not None and (found.status, found.reason) == (Status.BLOCKED, "a reason")
    assert [row for row in meaning(read) if row["id"] != item.id] == others
    if item.status_span:
        start, end = item.status_span
        assert new.startswith(text[:start]) and new.endswith(text[end:])
        assert old_span in text[start:end] or not old_span
    else:
        assert old_span == ""

    rows = [c for c in item.criteria if sum(o.id == c.id for o in item.criteria) == 1]
    for criterion in [c for c in rows if c.state_offset >= 0][:1]:
        ticked = tick(text, item.id, criterion.id, "D")
        at = criterion.state_offset
        assert ticked == text[:at] + "D" + text[at + 1 :]

    try:
        longer = append_attempt(text, item.id, Attempt(turn=77, outcome="landed"))
    except DocumentError as error:
        assert "fence" in error.what or "comment" in error.what
        return
    assert spans(text, longer)[0] == ""
    again = parse_ledger(longer).item(item.id)
    assert again is not None and sum(a.turn == 77 for a in again.attempts) == 1
    assert len(again.attempts) == len(item.attempts) + 1


ITEMS = """### [FIX-001] first
- Status: open
- Exit:
  - [ ] C1 `pytest tests`

### [FIX-002] second
- Status: open
- Depends: FIX-001
- Exit:
  - [ ] C1 `pytest tests`
"""


@pytest.mark.parametrize(
    "section",
    [
        "TO-DO",
        "IN-PROGRESS",
        "FOLLOW-UPS",
        "CI-CD",
        "[Active]",
        "[Backlog]",
        "P0-CRITICAL items",
        "[EPIC-001] the whole",
    ],
)
def test_a_section_over_items_swallows_none(section: str) -> None:
    """`## TO-DO` looks like an id; an item in brackets is one wherever it stands."""
    ledger = parse_ledger(f"# Plan\n\n## {section}\n\n{ITEMS}")
    found = [item.id for item in ledger]
    assert found[-2:] == ["FIX-001", "FIX-002"]
    assert found[:-2] == (["EPIC-001"] if "EPIC" in section else [])
    assert [c.id for c in ledger.items[-1].criteria] == ["C1"]


@pytest.mark.parametrize(
    "text",
    [
        " FIX-001 and NOPE-009",
        " FIX-001 NOPE-009",
        " FIX-001 / NOPE-009",
        " `FIX-001` `NOPE-009`",
        " FIX-001 + NOPE-009",
        "\n  - FIX-001\n  - NOPE-009",
        " FIX-001, NOPE-009, FIX-001",
    ],
)
def test_no_dependency_is_lost_in_a_way_of_writing(text: str) -> None:
    ledger = parse_ledger(ITEMS.replace(" FIX-001\n", f"{text}\n"))
    assert ledger.items[1].depends == ["FIX-001", "NOPE-009"]
    assert [d.code for d in check_ledger(ledger)] == ["E23"]


def test_an_item_named_among_other_words_is_an_error_and_in_parentheses_is_not() -> None:
    for text, codes in (
        ("the tests of FIX-001 being green", ["E23"]),
        ("release of the data (see FIX-001)", []),
    ):
        ledger = parse_ledger(ITEMS.replace("Depends: FIX-001", f"Depends: {text}"))
        assert [d.code for d in check_ledger(ledger)] == codes


def test_a_second_status_is_an_error_and_an_unknown_key_is_told() -> None:
    ledger = parse_ledger(ITEMS + "- Status: blocked — a person said stop\n- Colour: red\n")
    assert [(d.code, d.line) for d in check_ledger(ledger)] == [("E27", 11), ("W05", 12)]


@given(st.dictionaries(st.sampled_from("ABCDEF"), st.lists(st.sampled_from("ABCDEFG"))))
def test_circles_are_found_where_there_are_some(edges: dict[str, list[str]]) -> None:
    """Against the closure of the relation; every circle that is returned is one."""
    found = cycles(edges)
    for circle in found:
        pairs = zip(circle, [*circle[1:], circle[0]], strict=True)
        assert all(after in edges[before] for before, after in pairs)
    reach = {name: {t for t in targets if t in edges} for name, targets in edges.items()}
    for _ in edges:
        reach = {n: set(r).union(*(reach[t] for t in r)) for n, r in reach.items()}
    assert bool(found) == any(name in r for name, r in reach.items())


def test_a_hostile_chain_of_circles_takes_no_quadratic_time() -> None:
    """100 000 nodes, an edge forth and an edge back each: a search of the path would not end."""
    edges = {f"N-{i}": [f"N-{i - 1}", f"N-{i + 1}"] for i in range(100_000)}
    assert len(cycles(edges)) == 100
