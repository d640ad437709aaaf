"""Eight hours unattended: nothing lost, nobody blocked without cause, every end explained."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from night import PROGRAMS, Night, git


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("items", [20, pytest.param(60, marks=pytest.mark.proof)])
def test_a_night(tmp_path: Path, items: int) -> None:
    night = Night(tmp_path / "repo", items)
    night.root.mkdir()
    night.lay_down()
    night.run()
    harness = night.open("playbook")
    events = harness.log.events
    # It is over before the morning, and everything is done.
    assert night.summaries[-1][1].reason == "DONE"
    assert 7 * 3600 < night.clock.seconds <= 8 * 3600
    assert {name for name, _ in night.summaries} == set(PROGRAMS)
    assert all(summary.blocked == [] for _, summary in night.summaries)
    landed = [item for _, summary in night.summaries for item in summary.landed]
    assert Counter(landed) == Counter(f"T-{n:03d}" for n in range(1, night.items + 1))
    for n in range(1, night.items + 1):
        assert git(night.root, "show", f"main:out/{n}.txt") == f"value {n}\n"
        assert git(night.root, "show", f"main:tests/want/{n}.txt") == f"value {n}\n"
    # The person's: both commits are in the branch, all edits lie where they were made.
    for sha in night.commits:
        git(night.root, "merge-base", "--is-ancestor", sha, "main")
    assert len(night.commits) == 2 and len(night.edits) == 3
    assert (night.root / "notes.md").read_text() == "mine\n" + "".join(night.edits)
    assert git(night.root, "show", "main:notes.md") == "mine\n"
    # What went wrong: the outage and the hangs cost no attempt, the cheat one, a commit none.
    verdicts = [
        (e.item, e.data["verdict"], e.data["reason"]) for e in events if e.kind == "verdict"
    ]
    found = Counter(verdict for _, verdict, _ in verdicts)
    assert found == {"land": night.items, "reject": 1, "stale": len(night.commits)}
    (cheat,) = [row for row in verdicts if row[1] == "reject"]
    assert cheat[0] == f"T-{night.at(0.5):03d}" and f"tests/want/{night.at(0.5)}.txt" in cheat[2]
    outages = [e for e in events if e.kind == "outage"]
    hangs = [e for e in outages if e.data["outage"] == "network"]
    assert [e.item for e in hangs] == [f"T-{night.at(0.3):03d}", f"T-{night.at(0.7):03d}"]
    assert {e.data["outage"] for e in outages} == {"network", "rate_limit"}
    assert len({e.item for e in outages if e.data["outage"] == "rate_limit"}) == 1
    listed = git(night.root, "ls-tree", "-r", "--name-only", "main")
    assert not any(word in listed for word in ("aider", "pycache", "pytest_cache", "pipe"))
    # Every end is explained: of each turn, each run and each asking.
    assert all(reason for _, _, reason in verdicts)
    assert all(e.data["text"] for e in outages)
    ends = [e.data for e in events if e.kind == "run_end"]
    assert len(ends) == len(night.summaries) and all(end["text"] for end in ends)
    assert harness.state.money == pytest.approx(0.02 * (night.items + len(night.commits)))
