"""A person's unfinished work, one kind a function, and the fingerprint of all that is theirs."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

Fingerprint = dict[str, Any]
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
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )
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
    for argv in (
        ["init", "-q", "-b", "main"],
        ["config", "user.email", "a@b"],
        ["config", "user.name", "A"],
    ):
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


# what a landing can pass by, and what it must wait for
BESIDE = [
    nothing, edits, staged, deleted_and_renamed, ignored_secret, stashed, flags, own_refs, packed,
    submodule, moved_submodule, sparse, sparse_by_patterns, autostash, other_worktrees, switched,
    detached,
]  # fmt: skip
IN_THE_WAY = [
    overlap, overlap_staged, overlap_deleted, overlap_autostash, overlap_flagged,
    untracked_collision, ignored_collision, folder_collision, index_locked, merging, picking,
    reverting, rebasing, rebasing_by_mail, applying_mail, bisecting,
]  # fmt: skip
