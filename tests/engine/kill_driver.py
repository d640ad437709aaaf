"""Kill a run with SIGKILL at every boundary (or at random times), resume it, and compare.

A program, not a test module: it forks, so it wants a process without threads. It prints one JSON
object a line; tests/engine/test_kill.py reads them. By hand: `kill_driver.py DIR --random 200`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from orchestration.core.canonical import canonical_state, canonical_text
from orchestration.engine import Engine
from orchestration.runtime import RandomIds
from orchestration.session import open_harness

LEDGER = """# Plan

### [LAND-001] The fix lands
- Status: open
- Priority: High
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — the value is right
- Recipe:
  - apply: fix.patch

### [RED-001] The recipe does not help
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt other.txt` — never true
- Recipe:
  - run: cp wanted.txt copy.txt

### [WAIT-001] A letter
- Status: waiting — On: Ann; Check: test -f answer.txt; Poll: 60s; Until: 2090-01-01

### [AGENT-001] Needs thought
- Status: open
- Needs: agent
- Exit:
  - [ ] C1 `test -f never.txt` — something
"""
PATCH = "--- a/value.txt\n+++ b/value.txt\n@@ -1 +1 @@\n-wrong\n+right\n"
FILES = {
    "docs/fix_plan.md": LEDGER, "fix.patch": PATCH, "value.txt": "wrong\n",
    "wanted.txt": "right\n", "other.txt": "other\n",
}  # fmt: skip


def git(root: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", *args], cwd=root, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def make_repo(root: Path) -> None:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.email", "a@example.org")
    git(root, "config", "user.name", "A")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "start")
    (root / "mine.txt").write_text("a person's unsaved work\n")


def run(root: Path, hook: Any = None) -> str:
    harness = open_harness(root, agent="playbook", hook=hook)
    return Engine(harness, RandomIds().run_id).run().reason


def in_child(work: Any) -> int:
    """Run `work` in a forked child; returns the wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as problem:
            print(f"child: {problem!r}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def outcome(root: Path) -> dict[str, Any]:
    """Everything that must be equal: state, receipts, branch, refs, the person's file."""
    harness = open_harness(root, agent="playbook")
    names = git(root, "ls-tree", "-r", "--name-only", "main").split()
    files = {
        canonical_text(name): canonical_text(harness.repo.read_blob("main", name).decode())
        for name in names
        if "artifact_inventory" not in name
    }
    refs = git(root, "for-each-ref", "--format=%(refname)").split()
    assert harness.state.run is not None
    return {
        "state": canonical_state(harness.state),
        "end": [harness.state.run.ended, harness.state.run.landed, harness.state.run.rejected,
                sorted(harness.state.run.blocked)],
        "files": _without_sizes(files),
        "subjects": git(root, "log", "--format=%s", "main").splitlines(),
        "refs": refs,
        "worktrees": len(git(root, "worktree", "list").splitlines()),
        "mine": (root / "mine.txt").read_text(),
        "status": git(root, "status", "--porcelain"),
    }  # fmt: skip


def _without_sizes(files: dict[str, str]) -> dict[str, str]:
    """A log's size depends on the durations in it."""
    result = {}
    for name, text in files.items():
        if name.endswith("receipt.json"):
            facts = json.loads(text)
            for entry in facts["artifacts"]:
                entry.pop("bytes")
            facts["agent"].pop("seconds")
            for row in facts["checks"]:
                row.pop("seconds")
            text = json.dumps(facts, sort_keys=True)
        result[name] = text
    return result


def killer(number: int) -> Any:
    """A hook that ends the process at the `number`-th boundary (two an event)."""
    count = 0

    def hook(when: str, event: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def compare(template: Path, place: Path, expected: dict[str, Any], kill: Any) -> dict[str, Any]:
    """One trial: copy, run and kill, resume to the end, compare."""
    shutil.copytree(template, place)
    status = kill(place)
    before = open_harness(place, agent="playbook").log.events
    ended = bool(before) and before[-1].kind == "run_end"
    again = in_child(lambda: run(place))
    got = outcome(place) if again == 0 else {}
    wrong = [key for key in expected if got.get(key) != expected[key]]
    if ended and wrong == ["end"]:
        wrong = []  # the run was over before the kill: what was "resumed" is a new run
    detail = {key: [expected[key], got.get(key)] for key in wrong[:1]}
    shutil.rmtree(place, ignore_errors=True)
    return {"killed": os.WIFSIGNALED(status), "resumed": again, "wrong": wrong, "detail": detail}


def kill_after(place: Path, delay_s: float) -> int:
    """Start a run in a child and kill it after some time."""
    pid = os.fork()
    if pid == 0:
        run(place)
        os._exit(0)
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--step", type=int, default=1)
    options = parser.parse_args()
    template, reference = options.folder / "template", options.folder / "reference"
    make_repo(template)
    shutil.copytree(template, reference)
    started = time.monotonic()
    assert in_child(lambda: run(reference)) == 0
    seconds = time.monotonic() - started
    expected = outcome(reference)
    events = len(open_harness(reference, agent="playbook").log.events)
    print(json.dumps({"events": events, "end": expected["end"], "subjects": expected["subjects"]}))
    if options.random:
        dice = random.Random(7)
        for number in range(options.random):
            place = options.folder / f"trial{number}"
            delay = dice.uniform(0.0, seconds)
            row = compare(template, place, expected, lambda p, d=delay: kill_after(p, d))
            print(json.dumps({"boundary": f"{delay:.3f} s", **row}), flush=True)
        return
    for number in range(options.first, 2 * events + 1, options.step):
        place = options.folder / f"trial{number}"
        row = compare(
            template, place, expected,
            lambda p, n=number: in_child(lambda: run(p, killer(n))),
        )  # fmt: skip
        print(json.dumps({"boundary": number, **row}), flush=True)


if __name__ == "__main__":
    main()
