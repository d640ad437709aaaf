"""Orders: every historic shape loads, renders canonically, and keeps its meaning."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from orchestration.documents.fix import canonical, rewrite
from orchestration.documents.order import (
    KEPT_TITLE,
    content_hash,
    meaning,
    parse_order,
    render_order,
)

FIXTURES = Path(__file__).parents[1] / "fixtures" / "documents"
SHAPES = {name: f"order_{name.lower()}.md" for name in ("A", "B", "C", "D", "E", "F")}
SHAPES["canonical"] = "order_canonical.md"


def text_of(name: str) -> str:
    return (FIXTURES / SHAPES[name]).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_names_the_same_work(name: str) -> None:
    order = parse_order(text_of(name))
    assert order.source == name
    assert order.item_id == "FIX-SHIFT-001"
    assert order.selector == "tests/test_shift.py::test_broadcast"
    assert order.goal or name == "F"
    places = {ref.path for task in order.tasks for ref in task.refs}
    assert "pkg/shift.py" in places or name in ("A", "C")
    legacy = [d.code for d in order.diagnostics if d.code == "W06"]
    assert legacy == ([] if name == "canonical" else ["W06"])


@pytest.mark.parametrize("name", SHAPES)
def test_fix_gives_a_canonical_order_that_says_the_same(name: str) -> None:
    text = text_of(name)
    new = canonical("order", text, "input.md")
    order = parse_order(new)
    assert order.source == "canonical"
    order.sections = [section for section in order.sections if section.title != KEPT_TITLE]
    assert meaning(order) == meaning(parse_order(text))
    assert canonical("order", new, "input.md") == new
    assert content_hash(order) == content_hash(parse_order(text))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("change", ["crlf", "bom", "cr", "no-final-newline"])
def test_encodings_do_not_change_the_meaning(name: str, change: str) -> None:
    text = text_of(name)
    other = {
        "crlf": text.replace("\n", "\r\n"),
        "cr": text.replace("\n", "\r"),
        "bom": "\ufeff" + text,
        "no-final-newline": text.rstrip("\n"),
    }[change]
    first, second = parse_order(text), parse_order(other)
    assert meaning(first) == meaning(second)
    assert first.lines == second.lines


def test_the_canonical_order_in_detail() -> None:
    order = parse_order(text_of("canonical"))
    assert (order.number, order.row, order.mode, order.base) == ("0042", "C2", "TDD", "1a2b3c4")
    assert (order.budget, order.hypothesis, order.branch) == ("20m/1 attempt", "H3", "main")
    assert order.contracts[0].ref is not None and order.contracts[0].ref.lines == (3, 3)
    assert order.contracts[1].ref is None
    one, two = order.tasks
    assert (one.row_id, one.verb, one.verify) == ("T1", "Implement", "pytest tests/test_shift.py")
    assert one.text.split("\n")[2] == "- raise a ShapeError otherwise"
    assert (two.verb, two.new) == ("Implement (test)", True)
    assert order.checks[1].within_s == 300 and order.checks[1].env == {"USE_XLA_TRANSLATE": "1"}
    assert order.may_edit_tests == ["tests/test_shift.py"]
    assert order.findings[0].id == "SHAPE-001"
    assert order.line("tasks") == 24


def test_shape_b_keeps_everything() -> None:
    order = parse_order(text_of("B"))
    assert order.rows == ["C2"]
    assert [ref.path for ref in order.tasks[2].refs] == ["docs/spec.md", "docs/index.md"]
    assert order.checks[0].env == {"AUTHORITATIVE_CMDS_DOC": "./docs/TESTING_GUIDE.md"}
    assert "$HUB/green/guard.log" in [a.name for a in order.artifacts]
    kept = "\n".join(section.text for section in order.sections)
    for words in (
        "nothing else is needed",
        "No new dependencies",
        "must collect",
        "index.",
        "guard is red",
        "See docs/spec.md",
        "The study.",
    ):
        assert words in kept, words


def test_a_fence_in_a_task_is_opaque() -> None:
    order = parse_order(text_of("F"))
    assert len(order.tasks) == 2 and "# Tasks" in order.tasks[0].text
    assert order.tasks[1].verb == "Run"


def test_two_foci_are_an_error() -> None:
    order = parse_order("Focus: FIX-A-001\nFocus: FIX-B-002\n")
    assert [d.code for d in order.diagnostics if d.severity == "error"] == ["E11"]
    assert not [
        d for d in parse_order("Focus: FIX-A-001 — see CONFIG-002").diagnostics if d.code == "E11"
    ]


def test_the_hash_ignores_stamps_numbers_base_and_ticks_only() -> None:
    text = text_of("canonical")
    same = text.replace("0042", "43").replace("1a2b3c4", "fffffff").replace("- [ ] T1", "- [x] T1")
    assert content_hash(parse_order(same)) == content_hash(parse_order(text))
    stamped = text_of("B").replace("2026-01-06T140000Z", "2026-02-07T150000Z")
    assert content_hash(parse_order(stamped)) == content_hash(parse_order(text_of("B")))
    retried = text.replace("Intent:", "Retry-reason: new data\nIntent:")
    assert content_hash(parse_order(retried)) == content_hash(parse_order(text))
    other = text.replace("four images", "five images")
    assert content_hash(parse_order(other)) != content_hash(parse_order(text))


BITS = st.sampled_from(
    ["Focus: FIX-A-001", "Focus: FIX-A-001.B2  Mode: TDD", "Mode: Perf", "# Order 7 · FIX-A-001",
     "Selector: tests/a.py::t", "## Goal", "## Tasks", "## Checks", "### Sub", "# Big", "Goal",
     "- [ ] T1 `a/b.py::f` — x (verify: `pytest t`)", "- new: `a/c.py`", "  more", "    deep",
     "- a — b", "1. step `pytest x`", "```sh", "pytest x", "```", "text", "", "Do Now",
     "If Blocked: say", "## Artifacts", "## Findings", "- CONFIG-001 — y", "<!-- # c", "-->",
     "Unknown: key", "- Implement: a.py::g — z", "## Odd title", "Rows: A1, B2", "\ttab", "* x",
     "## May edit tests", "- tests/*.py, b", "## Contracts", "- a.md:3-4 — rule", "Brief", "~~~"]
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.lists(BITS, max_size=25))
@example(["## Tasks", "## Tasks", "- a — b", "Focus: FIX-A-001"])  # the second list of tasks
def test_parse_render_parse_is_the_identity_on_meaning(lines: list[str]) -> None:
    order = parse_order("\n".join(lines) + "\n")
    text = render_order(order)
    assert meaning(parse_order(text)) == meaning(order)
    assert render_order(parse_order(text)) == text


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("Selector: ", "Selector: tests/other.py::test_b\nSelector: ", "E27"),
        ("Budget: ", "Budget: 5\nBudget: ", "E27"),
        ("Focus: ", "Focus: FIX-OTHER-002\nFocus: ", "E11"),
        ("Mode: TDD", "Mode: TDD\nMode: Perf", "E27"),
    ],
)
def test_a_header_that_says_two_things_is_an_error_that_fix_does_not_hide(
    old: str, new: str, code: str
) -> None:
    text = (FIXTURES / "order_canonical.md").read_text(encoding="utf-8")
    assert old in text
    text = text.replace(old, new, 1)
    assert code in {d.code for d in parse_order(text).diagnostics}
    fixed = rewrite("order", text, "input.md")
    assert fixed.text == text and fixed.reason


@pytest.mark.timeout(60)
def test_marks_before_a_text_are_dropped_however_many() -> None:
    """A million take no time; where each makes a copy of the rest, many minutes."""
    marks = "- — " * 500_000
    read = parse_order(f"Focus: A-B\n## Contracts\n- `a.py:1` {marks}rule\n")
    assert [c.rule for c in read.contracts] == ["rule"]
    read = parse_order(f"Focus: A-B\n## Tasks\n- `a.py::f` {marks}change\n")
    assert [t.text for t in read.tasks] == ["change"]


def test_the_file_of_a_tee_is_an_artifact_once_in_an_order_of_many_checks() -> None:
    """Each section looked at the checks of all: twice the artifacts, and quadratic time."""
    section = "## Checks\n\n```sh\n{}\n```\n\n"
    text = "# Order\n\n" + "".join(
        section.format(command) for command in ("pytest a.py | tee a.log", "pytest b.py", "make c")
    )
    assert [artifact.name for artifact in parse_order(text).artifacts] == ["a.log"]
