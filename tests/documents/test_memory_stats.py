"""The memory: the genuine log loads completely, and its claims are recomputed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from orchestration.documents.fix import canonical, missing_lines
from orchestration.documents.grammar.refs import render_stamp
from orchestration.documents.ledger import parse_ledger
from orchestration.documents.memory.reader import (
    claimed_actions,
    meaning,
    parse_memory,
)
from orchestration.documents.past import ALIKE, likeness, memory_stats, waiting_cycles
from orchestration.documents.past.events import ledger_events, memory_events
from orchestration.git import Repo

FIXTURES = Path(__file__).parents[1] / "fixtures" / "documents"


def text_of(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def test_the_seed_file_loads_completely() -> None:
    text = text_of("seed_galph_memory.md")
    memory = parse_memory(text)
    assert len(memory.entries) == 9 and memory.newest_first
    assert [e.dwell for e in memory.in_order()] == [3, 1, 2, 0, 0, 1, 0, None, 0]
    assert [e.role for e in memory.in_order()].count("worker") == 1
    assert [e.commit for e in memory.in_order()] == [
        "11fd5fc4",
        "1945a45f",
        None,
        "3e877cde",
        "0206ff42",
        "b838de47",
        "347ce7d6",
        None,
        None,
    ]
    assert {e.state for e in memory.entries} == {"ready_for_implementation", None}
    assert memory.entries[-1].summary is not None and memory.entries[-1].artifacts is None
    assert claimed_actions(memory.entries[0].action) == ["planning", "implementation_handoff"]
    fixed = canonical("memory", text, "galph_memory.md")
    assert missing_lines(text, fixed) == [] and meaning(parse_memory(fixed)) == meaning(memory)
    assert fixed.count("T07:30:00Z") == 1 and "# 2026-01-07T073000Z" not in fixed


def test_the_seed_file_says_three_things() -> None:
    stats = memory_stats(parse_memory(text_of("seed_galph_memory.md")))
    seen = {o.kind: o for o in stats.observations}
    assert set(seen) == {"answer-before-event", "failed-before", "reissued-unexecuted"}
    answer = seen["answer-before-event"].message
    assert "newest entry (2026-01-06T14:00:00Z" in answer and "event it answers" in answer
    failed = seen["failed-before"].message
    assert "broadcast" in failed and "2026-01-07T08:00:00Z" in failed
    assert "tried and failed" in failed
    reissued = seen["reissued-unexecuted"].message
    assert reissued.startswith("FIX-TF-C1D-SCALED-RERUN-001 was re-issued")
    assert "without any worker execution" in reissued
    assert stats.foci == {
        "FIX-TF-C1D-SCALED-RERUN-001": 1,
        "REFACTOR-MODEL-SINGLETON-001": 5,
        "STUDY-SYNTH-DOSE-COMPARISON-001": 2,
        "FIX-GRIDSIZE-TRANSLATE-BATCH-001": 1,
    }
    assert [row.recomputed for row in stats.dwell] == [None, 0, 1, 0, 0, 0, 0, None, 0]
    assert stats.disagreements == 3


@pytest.mark.parametrize(
    "pairs",
    [
        [("2026-01-06", "2031-05-20"), ("2026-01-07", "2031-05-21"), ("2025-11-20", "2031-05-01")],
        [
            ("FIX-GRIDSIZE-TRANSLATE-BATCH-001", "BUG-OFFSET-007"),
            ("FIX-TF-C1D-SCALED-RERUN-001", "RERUN-XYZ-009"),
            ("STUDY-SYNTH-DOSE-COMPARISON-001", "STUDY-Q-002"),
        ],
        [("translations", "offsets"), ("images_batch", "count"), ("tf.", "jnp.")],
        [("Partial Fix Attempted", "Tried before"), ("This didn't fix the issue", "No effect")],
        [("Fix Design", "Proposed fix"), ("\n", "\r\n")],
        [("This didn't fix", "This made no difference to")],
    ],
)
def test_variants_of_the_seed_say_the_same_three_things(pairs: list[tuple[str, str]]) -> None:
    text = text_of("seed_galph_memory.md")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    seen = [o.kind for o in memory_stats(parse_memory(text)).observations]
    assert sorted(seen) == ["answer-before-event", "failed-before", "reissued-unexecuted"]


def test_a_seed_without_the_failure_or_the_newest_entry_is_not_accused_of_it() -> None:
    head, *entries = re.split(r"(?m)^(?=# 20)", text_of("seed_galph_memory.md"))
    without = head + "".join(e for e in entries if "2026-01-07T08:00:00Z" not in e[:40])
    kinds = {o.kind for o in memory_stats(parse_memory(without)).observations}
    assert "failed-before" not in kinds and "answer-before-event" not in kinds
    oldest = memory_stats(parse_memory(head + "".join(entries[1:])))
    assert {o.kind for o in oldest.observations} == {"reissued-unexecuted"}


def test_a_consistent_memory_is_not_accused() -> None:
    entries = [
        f"# 2026-01-0{day}T10:00:00Z: step {day}\n- dwell: {dwell}\n- Focus issue: FIX-A-001\n"
        f"**Fix Design:**\nChange `alpha_one`, `beta_two` and `gamma_three`.\n"
        f"- focus=FIX-A-001 state=planning dwell={dwell} ralph_last_commit={commit} "
        f"artifacts=none next_action=step {day}\n"
        for day, dwell, commit in ((1, 0, "aaa"), (2, 0, "bbb"), (3, 1, "none"))
    ]
    stats = memory_stats(parse_memory("\n".join(entries[::-1])))
    assert stats.observations == [] and stats.disagreements == 0


def test_an_old_failure_is_found_only_when_it_failed() -> None:
    def observed(verdict: str) -> list[str]:
        tried = (
            "# 2026-01-01T10:00:00Z: tried\n**Fix Attempted:**\n"
            f"Used `alpha_one`, `beta_two`, `gamma_three`. {verdict}\n"
            "- focus=FIX-A-001 state=planning dwell=0 next_action=a\n"
        )
        proposed = (
            "# 2026-01-02T10:00:00Z: again\n**Fix Design:**\n"
            "Use `alpha_one`, `beta_two`, `gamma_three`.\n"
            "- focus=FIX-A-001 state=planning dwell=1 next_action=b\n"
        )
        stats = memory_stats(parse_memory(tried + "\n" + proposed))
        return [o.kind for o in stats.observations]

    assert observed("This did not fix it.") == ["failed-before"]
    assert observed("This fixed it.") == []


def test_dose_and_october_styles() -> None:
    dose = parse_memory(text_of("memory_dose.md"))
    first, second, third = dose.entries
    assert not dose.newest_first
    assert (first.item_id, first.state, first.artifacts) == ("seed", "gathering_evidence", None)
    assert first.extra["Declared state"] == "ready_for_implementation"
    assert first.extra["notes"] == "the pull was blocked by a dirty tree"
    assert first.next_action == "write the snapshot"
    assert (second.item_id, second.row, second.state) == (
        "DEBUG-DOSE-001",
        "F1",
        "unknown:B0f_complete",
    )
    assert third.artifacts is None
    assert [o.kind for o in memory_stats(dose).observations] == ["repeated-order"]
    rows = memory_stats(dose).dwell
    assert [row.recomputed for row in rows] == [0, 0, None], "no entry names a worker's commit"
    october = parse_memory(text_of("memory_october.md"))
    assert [e.dwell for e in october.entries] == [None, 3]
    assert october.entries[1].git.startswith("`git stash push")
    for memory in (dose, october):
        assert memory.diagnostics or memory.entries


def test_history_events_are_claims_in_order() -> None:
    events = memory_events(parse_memory(text_of("seed_galph_memory.md"), "m.md"))
    assert len(events) == 9 and events[0].at == "2025-11-20T00:25:00Z"
    assert all(event.data["claimed"] for event in events)
    items = ledger_events(parse_ledger(text_of("ledger_form1.md")))
    assert [e.kind for e in items].count("imported_item") == 3
    assert [e.kind for e in items].count("imported_attempt") == 3


def test_a_time_of_another_form_is_read_or_told() -> None:
    """Else its fields would overwrite those of the entry above, and midnight would be claimed."""
    text = (
        "# 2026-01-07 11:00 UTC: one\n- dwell: 2\n\n# Jan 8 2026: two\n- dwell: 3\n\n"
        "# 20260109T130000Z: three\n- dwell: 4\n\n# 5th of May: four\n- dwell: 5\n"
    )
    memory = parse_memory(text)
    assert [entry.title for entry in memory.entries] == ["one", "two", "three"]
    assert [entry.at and render_stamp(entry.at) for entry in memory.entries] == [
        "2026-01-07T11:00:00Z",
        "2026-01-08T00:00:00Z",
        "2026-01-09T13:00:00Z",
    ]
    assert [(d.code, d.line) for d in memory.diagnostics] == [("W25", 10)]


@pytest.mark.parametrize(
    ("name", "line", "claimed", "recomputed", "waits"),
    [
        # Read by eye: the file begins in the middle of a focus (3), then a new focus (1: wrong),
        # the same one without a worker's commit (2: wrong by one), and after a commit 0.
        ("seed_galph_memory.md", 256, 3, None, False),
        ("seed_galph_memory.md", 234, 1, 0, False),
        ("seed_galph_memory.md", 205, 2, 1, False),
        ("seed_galph_memory.md", 179, 0, 0, False),
        ("seed_galph_memory.md", 127, 1, 0, False),
        ("seed_galph_memory.md", 52, None, None, False),
        # No entry of this one says what the worker did; two of its cycles wait for an answer.
        ("memory_dose.md", 1, 0, 0, False),
        ("memory_dose.md", 5, 1, 0, True),
        ("memory_dose.md", 7, 1, None, True),
        # `dwell: n/a`, and an entry that names no item.
        ("memory_october.md", 7, 3, None, False),
    ],
)
def test_ten_samples_are_what_a_careful_person_would_say(
    name: str, line: int, claimed: int | None, recomputed: int | None, waits: bool
) -> None:
    memory = parse_memory(text_of(name))
    (row,) = [row for row in memory_stats(memory).dwell if row.line == line]
    assert (row.claimed, row.recomputed) == (claimed, recomputed)
    assert (line in [entry.line for entry in waiting_cycles(memory.in_order())]) is waits


def test_an_order_in_nearly_the_same_words_is_issued_again() -> None:
    first = "add the breach timeline to scan_inbox.py with a test and a row in two registries"
    second = first.replace("breach", "trend")
    other = "write the letter to the maintainer and attach the bundle"
    assert likeness(first, second) >= ALIKE > likeness(first, other)
    assert likeness(first, first) == 1.0 and likeness("", "a") == 0.0
    entry = (
        "## 2026-01-0{}T10:00:00Z\nfocus=FIX-A-001 state=planning dwell={} "
        "ralph_last_commit=a{} next_action={}\n"
    )
    text = "\n".join(
        entry.format(n, 0, n, words) for n, words in enumerate([first, other, second], 1)
    )
    seen = memory_stats(parse_memory(text)).observations
    assert [(o.kind, o.lines) for o in seen] == [("similar-order", (7, 1))]


def test_stamps_later_than_their_commits_lie_in_the_future(tmp_path: Path) -> None:
    def git(*words: str, at: str = "2026-01-06T12:00:00Z") -> None:
        env = {"GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": at, "PATH": os.environ["PATH"]}
        names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, env=env)

    place = tmp_path / "galph_memory.md"
    entry = "## {}: a\n- dwell: 0\n"
    place.write_text("\n".join(map(entry.format, ("2026-01-06T11:59:00Z", "2026-01-06T23:58:00Z"))))
    git("init", "-q")
    assert Repo(tmp_path).line_times("galph_memory.md") == {}
    git("add", "-A")
    git("commit", "-q", "-m", "a")
    with place.open("a") as file:
        file.write("\n## 2026-01-07T01:00:00Z: c\n- dwell: 0\n")
    times = Repo(tmp_path).line_times("galph_memory.md")
    assert sorted(times) == [1, 2, 3, 4, 5], "the uncommitted entry has no commit"
    stats = memory_stats(parse_memory(place.read_text()), times)
    assert stats.future == [{"stamp": "2026-01-06T23:58:00Z", "line": 4, "minutes": 718.0}]
    assert memory_stats(parse_memory(place.read_text())).future is None
