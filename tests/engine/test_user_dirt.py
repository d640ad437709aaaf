"""Proof 3: a run beside a person's unfinished work leaves all of it as it was.

Each scenario prepares one kind of work in a real repository, a run lands a change of `value.txt`
(or tries to), and a fingerprint of everything that is the person's is taken before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from orchestration.agents.base import TurnContext
from orchestration.errors import HarnessError
from orchestration.git import LOG_REF
from orchestration.views.sources import load
from users_work import (
    BESIDE,
    IN_THE_WAY,
    RESULTS,
    Fingerprint,
    detached,
    edits,
    fingerprint,
    quiet,
    rebasing,
    switched,
)

pytestmark = pytest.mark.proof  # a row of its own in `make proofs`
Make = Callable[..., Any]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
FILES = {
    "value.txt": "wrong\n",
    "wanted.txt": "right\n",
    "notes.txt": "one\ntwo\nthree\n",
    "other/deep.txt": "deep\n",
    "gone.txt": "to be deleted\n",
    ".gitignore": "secret.env\n*.key\n",
}


def by_name(function: Callable[..., None]) -> str:
    return function.__name__


def work(turn: TurnContext, n: int) -> None:
    (turn.workspace / "value.txt").write_text("right\n")
    (turn.workspace / "made.txt").write_text("made\n")


def run_beside(here: Any, stub: Any) -> tuple[Any, Fingerprint, Fingerprint, set[str]]:
    """Run; the summary, what was before, what is after, and what the landing touches."""
    start = here.git("rev-parse", "main").strip()
    everything = fingerprint(here.root, set())
    summary = here.run(stub(work))
    tip = RESULTS if quiet(here.root, "rev-parse", "-q", "--verify", RESULTS) else "main"
    touched = set(here.git("diff", "--name-only", start, tip).split())
    if tip == RESULTS:
        touched = set()
    before = dict(everything)
    before["files"] = {k: v for k, v in everything["files"].items() if k not in touched}
    before["index"] = [r for r in everything["index"] if r.partition("\t")[2] not in touched]
    return summary, before, fingerprint(here.root, touched), touched


@pytest.mark.parametrize("prepare", BESIDE, ids=by_name)
def test_work_that_is_not_in_the_way_stays_and_the_landing_arrives(
    place: Make, stub: Any, prepare: Callable[[Any], None]
) -> None:
    here = place(LEDGER, **FILES)
    prepare(here)
    kept = here.git("ls-tree", "-r", "--name-only", "main").split()
    summary, before, after, touched = run_beside(here, stub)
    assert (summary.reason, summary.landed) == ("DONE", ["A-001"])
    assert here.read("value.txt") == "right\n"
    assert "value.txt" in touched
    assert set(kept) <= set(here.git("ls-tree", "-r", "--name-only", "main").split())
    assert after == before
    assert not (here.root / "hook-ran").exists()
    left = [t for t in here.git("worktree", "list").splitlines() if "orchestration" in t]
    assert left == []
    if prepare not in (switched, detached):
        assert (here.root / "value.txt").read_text() == "right\n"


@pytest.mark.parametrize("prepare", IN_THE_WAY, ids=by_name)
def test_work_that_is_in_the_way_stays_and_the_results_wait(
    place: Make, stub: Any, prepare: Callable[[Any], None]
) -> None:
    here = place(LEDGER, **FILES)
    prepare(here)
    start = here.git("rev-parse", "main")
    summary, before, after, _ = run_beside(here, stub)
    assert (summary.reason, summary.landed) == ("DONE", ["A-001"])
    assert here.git("rev-parse", "main") == start
    assert here.read("value.txt", RESULTS) == "right\n"
    assert after == before
    landing = next(e for e in here.harness().log.events if e.kind == "commit")
    assert f"git merge {RESULTS}" in landing.data["note"]
    assert any(f"git merge {RESULTS}" in line for line in load(here.root).view.advice)


def test_a_rebase_that_was_going_on_can_be_finished_and_the_results_then_taken(
    place: Make, stub: Any
) -> None:
    here = place(LEDGER, **FILES)
    rebasing(here)
    here.run(stub(work))
    here.write("notes.txt", "both\n")
    here.git("add", "notes.txt")
    quiet(here.root, "rebase", "--continue")
    assert here.git("branch", "--show-current").strip() == "main"
    assert here.subjects()[:2] == ["mine", "theirs"]
    here.git("merge", "-q", "-X", "ours", "-m", "take the results", RESULTS)
    assert (here.root / "value.txt").read_text() == "right\n"
    assert here.run(stub(work)).reason == "DONE"
    assert RESULTS not in here.git("branch", "--list", "orchestration/*")


@pytest.mark.parametrize("configured", [False, True])
def test_the_target_in_a_linked_worktree_is_advanced_there(
    place: Make, stub: Any, configured: bool
) -> None:
    here = place(LEDGER, **FILES)
    switched(here)
    linked = here.root.parent / "linked"
    here.git("worktree", "add", "-q", str(linked), "main")
    (linked / "notes.txt").write_text("unsaved there\n")
    mine = fingerprint(here.root, set())
    there = type(here)(linked) if configured else here
    assert there.run(stub(work)).landed == ["A-001"]
    assert (linked / "value.txt").read_text() == "right\n"
    assert (linked / "notes.txt").read_text() == "unsaved there\n"
    assert quiet(linked, "status", "--porcelain") == " M notes.txt\n"
    assert fingerprint(here.root, set()) == mine


def test_a_shallow_clone_takes_a_landing(place: Make, stub: Any) -> None:
    here = place(LEDGER, **FILES)
    here.write("notes.txt", "again\n")
    here.commit("second")
    small = here.root.parent / "small"
    here.git("clone", "-q", "--depth", "1", f"file://{here.root}", str(small))
    clone = type(here)(small)
    clone.git("config", "user.email", "a@example.org")
    clone.git("config", "user.name", "A")
    edits(clone)
    summary, before, after, _ = run_beside(clone, stub)
    assert summary.landed == ["A-001"]
    assert after == before
    assert clone.git("rev-parse", "--is-shallow-repository").strip() == "true"
    assert len(clone.subjects()) == 2


def test_a_detached_head_without_a_target_is_refused_in_words(place: Make, stub: Any) -> None:
    here = place(LEDGER, **FILES)
    here.git("checkout", "-q", "--detach")
    edits(here)
    before = fingerprint(here.root, set())
    with pytest.raises(HarnessError, match="HEAD is detached"):
        here.run(stub(work))
    assert fingerprint(here.root, set()) == before


@pytest.mark.parametrize("remote", ["none", "diverged", "gone"])
def test_a_remote_changes_nothing_of_the_person(place: Make, stub: Any, remote: str) -> None:
    here = place(LEDGER, **FILES)
    if remote != "none":
        bare = here.root.parent / "bare.git"
        here.git("clone", "-q", "--bare", str(here.root), str(bare))
        here.git("remote", "add", "origin", str(bare))
        here.git("push", "-q", "-u", "origin", "main")
        here.write("notes.txt", "only here\n")
        here.commit("a commit that was not pushed")
        if remote == "gone":
            bare.rename(bare.with_name("moved.git"))
    edits(here)
    summary, before, after, _ = run_beside(here, stub)
    assert summary.landed == ["A-001"]
    assert after == before
    assert quiet(here.root, "rev-parse", LOG_REF)


def test_names_that_differ_in_case_only(place: Make, stub: Any) -> None:
    here = place(LEDGER, **FILES, **{"Value.txt": "another file\n"})
    if (here.root / "value.txt").read_text() != "wrong\n":
        pytest.skip("this file system does not tell case apart")
    here.write("NOTES.txt", "untracked\n")
    summary, before, after, _ = run_beside(here, stub)
    assert summary.landed == ["A-001"]
    assert after == before
    assert here.read("Value.txt") == "another file\n"
