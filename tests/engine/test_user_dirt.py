"""Proof 3: a run beside a person's unfinished work leaves all of it as it was.

Each scenario prepares one kind of work in a real repository, a run lands a change of `value.txt`
(or tries to), and a fingerprint of everything that is the person's is taken before and after.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import TurnContext
from orchestration.errors import HarnessError
from orchestration.eventlog import LOG_REF
from orchestration.views.load import load

Make = Callable[..., Any]
Fingerprint = dict[str, Any]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
FILES = {
    "value.txt": "wrong\n", "wanted.txt": "right\n", "notes.txt": "one\ntwo\nthree\n",
    "other/deep.txt": "deep\n", "gone.txt": "to be deleted\n", ".gitignore": "secret.env\n*.key\n",
}  # fmt: skip
RESULTS = "orchestration/results/main"
IN_PROGRESS = (
    "MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "CHERRY_PICK_HEAD", "REVERT_HEAD", "ORIG_HEAD",
    "BISECT_LOG", "BISECT_START", "BISECT_TERMS", "config", "config.worktree", "info/exclude",
    "info/sparse-checkout", "shallow", "FETCH_HEAD",
)  # fmt: skip
FOLDERS = ("rebase-merge", "rebase-apply", "sequencer", "hooks", "refs/stash")


def quiet(root: Path, *args: str) -> str:
    """Git whose failure is expected (a conflict)."""
    env = {**os.environ, "GIT_EDITOR": "true"}
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *args],
        cwd=root, capture_output=True, text=True, timeout=60, env=env,
    )  # fmt: skip
    return done.stdout


def digest(path: Path) -> str:
    if path.is_symlink():
        return "-> " + os.readlink(path)
    return f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def below(root: Path, skip: str = "") -> dict[str, str]:
    found = {}
    for folder, names, files in os.walk(root):
        if skip in names:
            names.remove(skip)
        for name in files:
            if name != skip:
                path = Path(folder, name)
                found[path.relative_to(root).as_posix()] = digest(path)
    return found


def fingerprint(root: Path, touched: set[str]) -> Fingerprint:
    """What belongs to the person, apart from the paths that the landing changes."""
    git_dir = Path(quiet(root, "rev-parse", "--absolute-git-dir").strip())
    entries = quiet(root, "ls-files", "--stage", "-v", "-z").split("\0")
    skipped = [f":(exclude){path}" for path in touched]
    refs = quiet(root, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    ours = ("refs/heads/main ", "refs/heads/orchestration/", "refs/orchestration/")
    trees = quiet(root, "worktree", "list", "--porcelain").split("\n\n")
    return {
        "files": {k: v for k, v in below(root, ".git").items() if k not in touched},
        "index": [row for row in entries if row.partition("\t")[2] not in touched],
        "staged": quiet(root, "diff", "--cached", "--binary", "--", ".", *skipped),
        "unstaged": quiet(root, "diff", "--binary", "--", ".", *skipped),
        "stash": quiet(root, "stash", "list", "--format=%H %gs"),
        "refs": [row for row in refs if not row.startswith(ours)],
        "head": quiet(root, "symbolic-ref", "HEAD") or quiet(root, "rev-parse", "HEAD"),
        "git": {n: digest(git_dir / n) for n in IN_PROGRESS if (git_dir / n).exists()},
        "doing": {n: below(git_dir / n) for n in FOLDERS if (git_dir / n).is_dir()},
        "modules": below(git_dir / "modules") if (git_dir / "modules").is_dir() else {},
        "worktrees": [t.splitlines()[0] for t in trees if t and "orchestration" not in t],
    }


# -- a person's work -------------------------------------------------------------------------


def nothing(here: Any) -> None:
    """A clean tree."""


def edits(here: Any) -> None:
    here.write("notes.txt", "one\nTWO\nthree\n")
    here.write("new.txt", "untracked\n")
    here.write("other/more/new.bin", "x\0y")
    (here.root / "notes.txt").chmod(0o755)


def staged(here: Any) -> None:
    here.write("notes.txt", "staged\n")
    here.write("fresh.txt", "fresh\n")
    here.git("add", "notes.txt", "fresh.txt")
    here.write("notes.txt", "staged, and more\n")
    here.write("later.txt", "intended\n")
    here.git("add", "-N", "later.txt")
    here.git("rm", "-q", "--cached", "other/deep.txt")


def deleted_and_renamed(here: Any) -> None:
    (here.root / "gone.txt").unlink()
    here.git("mv", "notes.txt", "renamed.txt")


def ignored_secret(here: Any) -> None:
    here.write("secret.env", "TOKEN=abc\n")
    here.write("other/id.key", "private\n")


def stashed(here: Any) -> None:
    here.write("notes.txt", "for later\n")
    here.git("stash", "-q")
    here.write("value.txt", "overlapping, but put away\n")
    here.git("stash", "-q")


def flags(here: Any) -> None:
    here.git("update-index", "--assume-unchanged", "notes.txt")
    here.git("update-index", "--skip-worktree", "other/deep.txt")
    here.write("notes.txt", "hidden change\n")
    here.write("other/deep.txt", "hidden too\n")


def own_refs(here: Any) -> None:
    here.git("tag", "-a", "v1", "-m", "one")
    here.git("branch", "idea")
    here.git("notes", "add", "-m", "a note")
    here.git("update-ref", "refs/custom/mark", "HEAD")
    here.git("update-ref", "ORIG_HEAD", "HEAD")
    here.git("config", "merge.conflictStyle", "diff3")
    (here.root / ".git/hooks/post-merge").write_text("#!/bin/sh\ntouch hook-ran\n")
    (here.root / ".git/hooks/post-merge").chmod(0o755)


def packed(here: Any) -> None:
    own_refs(here)
    here.git("pack-refs", "--all")
    here.git("gc", "-q")


def submodule(here: Any) -> None:
    part = here.root.parent / "part"
    part.mkdir()
    for argv in (["init", "-q", "-b", "main"], ["config", "user.email", "a@b"],
                 ["config", "user.name", "A"]):  # fmt: skip
        quiet(part, *argv)
    (part / "part.txt").write_text("part\n")
    quiet(part, "add", "-A")
    quiet(part, "commit", "-q", "-m", "part")
    quiet(here.root, "submodule", "add", "-q", str(part), "sub")
    here.git("commit", "-q", "-m", "with a part")
    assert (here.root / "sub/part.txt").exists()
    (here.root / "sub/part.txt").write_text("local work\n")
    (here.root / "sub/new.txt").write_text("untracked in the part\n")


def moved_submodule(here: Any) -> None:
    submodule(here)
    sub = here.root / "sub"
    quiet(sub, "config", "user.email", "a@b")
    quiet(sub, "config", "user.name", "A")
    quiet(sub, "add", "-A")
    quiet(sub, "commit", "-q", "-m", "local commit that nobody else has")
    assert "+" in quiet(here.root, "submodule", "status")[:1]


def sparse(here: Any) -> None:
    here.git("sparse-checkout", "set", "docs")
    assert not (here.root / "other").exists()


def sparse_by_patterns(here: Any) -> None:
    here.git("config", "core.sparseCheckout", "true")
    (here.root / ".git/info").mkdir(exist_ok=True)
    (here.root / ".git/info/sparse-checkout").write_text("/*\n!other/\n")
    here.git("read-tree", "-mu", "HEAD")
    assert not (here.root / "other").exists()


def autostash(here: Any) -> None:
    here.git("config", "merge.autoStash", "true")
    here.git("config", "branch.main.mergeOptions", "--squash --no-ff")
    here.git("config", "merge.verifySignatures", "true")
    here.write("notes.txt", "unsaved\n")


def other_worktrees(here: Any) -> None:
    away = here.root.parent / "away"
    here.git("worktree", "add", "-q", "-b", "side", str(away))
    (away / "value.txt").write_text("side work\n")
    drive = here.root.parent / "drive"
    here.git("worktree", "add", "-q", "-b", "on-a-drive", str(drive / "tree"))
    drive.rename(here.root.parent / "unplugged")


def switched(here: Any) -> None:
    here.write("orchestration.yaml", "target: main\n")
    here.commit("settings")
    here.git("switch", "-q", "-c", "side")
    here.write("notes.txt", "side\n")


def detached(here: Any) -> None:
    switched(here)
    here.git("checkout", "-q", "--detach")


def conflict(here: Any, *finish: str) -> None:
    """Two branches that change notes.txt, and a command that stops on the conflict."""
    here.write("orchestration.yaml", "target: main\n")
    here.commit("settings")
    here.git("switch", "-q", "-c", "theirs")
    here.write("notes.txt", "theirs\n")
    here.commit("theirs")
    here.git("switch", "-q", "main")
    here.write("notes.txt", "mine\n")
    here.commit("mine")
    quiet(here.root, *finish)
    assert "notes.txt" in here.git("diff", "--name-only", "--diff-filter=U")
    here.write("new.txt", "untracked\n")


def merging(here: Any) -> None:
    conflict(here, "merge", "theirs")


def picking(here: Any) -> None:
    conflict(here, "cherry-pick", "theirs")


def reverting(here: Any) -> None:
    for text in ("first\n", "second\n"):
        here.write("notes.txt", text)
        here.commit(text.strip())
    quiet(here.root, "revert", "--no-edit", "main~1")
    assert (here.root / ".git/REVERT_HEAD").exists()


def rebasing(here: Any) -> None:
    conflict(here, "rebase", "theirs")


def rebasing_by_mail(here: Any) -> None:
    conflict(here, "rebase", "--apply", "theirs")


def applying_mail(here: Any) -> None:
    conflict_free = here.root.parent / "mail"
    here.write("orchestration.yaml", "target: main\n")
    here.commit("settings")
    here.git("switch", "-q", "-c", "theirs")
    here.write("notes.txt", "theirs\n")
    here.commit("theirs")
    here.git("format-patch", "-q", "-1", "-o", str(conflict_free))
    here.git("switch", "-q", "main")
    here.write("notes.txt", "mine\n")
    here.commit("mine")
    quiet(here.root, "am", str(next(conflict_free.iterdir())))
    assert (here.root / ".git/rebase-apply/applying").exists()


def bisecting(here: Any) -> None:
    here.write("orchestration.yaml", "target: main\n")
    good = here.commit("settings")
    for number in range(4):
        here.write("notes.txt", f"{number}\n")
        here.commit(f"step {number}")
    here.git("bisect", "start", "HEAD", good)


def overlap(here: Any) -> None:
    here.write("value.txt", "my own idea\n")


def overlap_staged(here: Any) -> None:
    here.write("value.txt", "my own idea\n")
    here.git("add", "value.txt")


def overlap_deleted(here: Any) -> None:
    (here.root / "value.txt").unlink()


def overlap_autostash(here: Any) -> None:
    autostash(here)
    overlap(here)


def overlap_flagged(here: Any) -> None:
    here.git("update-index", "--assume-unchanged", "value.txt")
    overlap(here)


def untracked_collision(here: Any) -> None:
    here.write("made.txt", "my own file\n")


def ignored_collision(here: Any) -> None:
    (here.root / ".git/info").mkdir(exist_ok=True)
    (here.root / ".git/info/exclude").write_text("galph_memory.md\ninput.md\n")
    here.write("input.md", "my private notes\n")
    here.write("galph_memory.md", "more of them\n")


def folder_collision(here: Any) -> None:
    here.write("made.txt/inside.txt", "a folder where the landing has a file\n")


def index_locked(here: Any) -> None:
    (here.root / ".git/index.lock").write_text("")


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


BESIDE = [
    nothing, edits, staged, deleted_and_renamed, ignored_secret, stashed, flags, own_refs, packed,
    submodule, moved_submodule, sparse, sparse_by_patterns, autostash, other_worktrees, switched,
    detached,
]  # fmt: skip


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


IN_THE_WAY = [
    overlap, overlap_staged, overlap_deleted, overlap_autostash, overlap_flagged,
    untracked_collision, ignored_collision, folder_collision, index_locked, merging, picking,
    reverting, rebasing, rebasing_by_mail, applying_mail, bisecting,
]  # fmt: skip


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
