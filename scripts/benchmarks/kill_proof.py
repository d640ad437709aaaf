"""Kill a run with SIGKILL at every boundary and at random times, resume it, and compare.

`kill_proof.py [--boundaries] [--random 200] [--seed 7] [--step N] [--supervisor] [--kinds K,K]`
prints one JSON object a trial and a last one with the counts; exit 1 when a resumed run differs
from the uninterrupted one. With `--supervisor` a program writes the orders: its first answer is
never valid, and its second takes another item than the policy's where it can.
A boundary is the moment before or after an event is written; how many there are is found by
counting the events of the uninterrupted run.

A kill after `run_end` was written interrupts nothing: such a trial must already be equal before
anything is started again, and the run that is then started must change nothing at all.
A program of its own, because it forks and so wants a process without threads.
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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestration.core import canonical_state, canonical_text
from orchestration.engine import Engine
from orchestration.harness import RandomIds
from orchestration.setup import open_harness

Kill = Callable[[Path], int]
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
    "docs/fix_plan.md": LEDGER,
    "fix.patch": PATCH,
    "value.txt": "wrong\n",
    "wanted.txt": "right\n",
    "other.txt": "other\n",
}


BOSS = """import pathlib, re, sys

brief = sys.stdin.read()
asked = re.search("order for ([A-Z]+-001)", brief)[1]
item = "RED-001" if "- RED-001: " in brief else asked
text = "nonsense"
if "not valid" in brief:
    text = (
        f"# Order\\nFocus: {item}\\nMode: none\\nSelector: none\\nReason: it is quicker\\n\\n"
        "## Goal\\nAdvances C1.\\n\\n## Tasks\\n- [ ] T1 do it\\n\\n## Checks\\n```sh\\n"
        "test -f wanted.txt\\n```\\n\\n## If blocked\\n- say so\\n\\n## Findings\\n- none\\n"
    )
pathlib.Path("input.md").write_text(text)
"""
"""A supervisor whose answer depends on its brief alone, as a killed run may ask again."""
SUPERVISED = {
    "boss.py": BOSS,
    "orchestration.yaml": 'supervisor_agent: custom\nsupervisor_command: ["{python}", boss.py]\n',
}


def git(root: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", *args], cwd=root, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def make_repo(root: Path, more: dict[str, str]) -> None:
    for name, text in (FILES | more).items():
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
    run_state = harness.state.run
    assert run_state is not None
    return {
        "state": canonical_state(harness.state),
        "end": [run_state.ended, run_state.landed, run_state.rejected, sorted(run_state.blocked)],
        "files": _without_sizes(files),
        "subjects": git(root, "log", "--format=%s", "main").splitlines(),
        "refs": refs,
        "attempts": {
            ref: git(root, "diff", f"{ref}~1", ref)
            for ref in refs
            if ref.startswith("refs/heads/orchestration/attempts/")
        },
        "worktrees": len(git(root, "worktree", "list").splitlines()),
        "mine": (root / "mine.txt").read_text(),
        "status": git(root, "status", "--porcelain"),
    }


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


def compare(template: Path, place: Path, expected: dict[str, Any], kill: Kill) -> dict[str, Any]:
    """One trial: copy, run and kill, resume to the end, compare."""
    shutil.copytree(template, place)
    status = kill(place)
    before = open_harness(place, agent="playbook").log.events
    ended = bool(before) and before[-1].kind == "run_end"
    wrong: list[str] = []
    if ended:
        wrong = differences(expected, outcome(place), but=("refs",))
    again = in_child(lambda: run(place))
    got = outcome(place) if again == 0 else {}
    # What is started after an ended run is a new run: it counts its own landings, which are none.
    wrong += differences(expected, got, but=("end",) if ended else ())
    detail = {key: [expected[key], got.get(key)] for key in wrong[:1]}
    shutil.rmtree(place, ignore_errors=True)
    return {
        "killed": os.WIFSIGNALED(status),
        "ended": ended,
        "resumed": again,
        "wrong": wrong,
        "detail": detail,
    }


def differences(
    expected: dict[str, Any], got: dict[str, Any], *, but: tuple[str, ...] = ()
) -> list[str]:
    """Names of what is not as in the uninterrupted run."""
    return [key for key in expected if key not in but and got.get(key) != expected[key]]


def kill_after(place: Path, delay_s: float) -> int:
    """Start a run in a child and kill it after some time."""
    pid = os.fork()
    if pid == 0:
        run(place)
        os._exit(0)
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def at_boundary(number: int) -> Kill:
    """A run that ends at its `number`-th boundary."""
    return lambda place: in_child(lambda: run(place, killer(number)))


def at_time(delay_s: float, template: Path) -> Kill:
    """A run that is killed from outside after some time; one that was quicker, after half of it."""

    def kill(place: Path) -> int:
        status = kill_after(place, delay_s)
        if not os.WIFSIGNALED(status):
            shutil.rmtree(place)
            shutil.copytree(template, place)
            status = kill_after(place, delay_s / 2)
        return status

    return kill


def trials(
    options: argparse.Namespace, kinds: list[str], seconds: float, template: Path
) -> list[tuple[str, Kill]]:
    """The name and the kill of every trial that was asked for.

    Args:
        options: of the command. kinds: of the events of the uninterrupted run, in order.
        seconds: that it took. template: the repository that every trial copies.
    """
    rows: list[tuple[str, Kill]] = []
    if options.boundaries:
        wanted = set(options.kinds.split(",")) if options.kinds else set(kinds)
        names = [f"{when} {kind}" for kind in kinds for when in ("before", "after")]
        found = [
            (f"boundary {number} ({name})", at_boundary(number))
            for number, name in enumerate(names, start=1)
            if name.split()[1] in wanted
        ]
        rows = found[options.first - 1 :: options.step]
    dice = random.Random(options.seed)
    delays = [dice.uniform(0.0, seconds) for _ in range(options.random)]
    return rows + [(f"{delay_s:.3f} s", at_time(delay_s, template)) for delay_s in delays]


def main() -> int:
    """Make the trials; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boundaries", action="store_true", help="kill at every event boundary")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="kills at random times")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--first", type=int, default=1, help="first boundary")
    parser.add_argument("--supervisor", action="store_true", help="a program writes the orders")
    parser.add_argument(
        "--kinds", default="", metavar="K,K", help="only boundaries of these events"
    )
    parser.add_argument("--step", type=int, default=1, help="every N-th boundary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-proof-") as name:
        folder = Path(name)
        template, reference = folder / "template", folder / "reference"
        make_repo(template, SUPERVISED if options.supervisor else {})
        shutil.copytree(template, reference)
        started = time.monotonic()
        if in_child(lambda: run(reference)):
            return 2
        seconds = time.monotonic() - started
        expected = outcome(reference)
        kinds = [event.kind for event in open_harness(reference, agent="playbook").log.events]
        start = {
            "events": len(kinds),
            "end": expected["end"],
            "subjects": expected["subjects"],
            "kinds": {kind: kinds.count(kind) for kind in kinds},
        }
        print(json.dumps(start), flush=True)
        rows = []
        for number, (label, kill) in enumerate(trials(options, kinds, seconds, template)):
            row = compare(template, folder / f"trial{number}", expected, kill)
            rows.append(row)
            print(json.dumps({"trial": label, **row}), flush=True)
    differ = sum(bool(row["resumed"] or row["wrong"]) for row in rows)
    print(
        json.dumps(
            {
                "seed": options.seed,
                "trials": len(rows),
                "killed": sum(row["killed"] for row in rows),
                "after_run_end": sum(row["ended"] for row in rows),
                "different": differ,
            }
        )
    )
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
