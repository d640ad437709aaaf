"""Many cycles through the real engine with a stub agent; prints one JSON object of what grew.

`long_run.py [--cycles 500] [--keep DIR]`: makes a repository whose ledger has more work than
cycles, runs the engine (worktrees, checks, verdicts, landings, published log; only the agent is a
Python function) and measures the brief, the ledger, the memory file, the commits on the main branch
and the log's objects. One item in eight can never be met, so that turned down attempts, pivots,
retrospectives and blocks are part of it. `--keep` leaves the repository, for `engine_bench.py`.
Exit 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestration.agents import Outcome, TurnContext
from orchestration.core import parse_stamp
from orchestration.engine import Engine
from orchestration.git import LOG_REF
from orchestration.harness import Harness, RandomIds
from orchestration.log import files_of
from orchestration.setup import open_harness

ROWS = 4
HARD_EVERY = 8
LIMITS = {
    "brief_max_bytes": 12_000,
    "ledger_growth_bytes_per_cycle": 512,
    "memory_max_bytes": 32_000,
    "commits_without_landing": 0,
    "log_objects_bytes": 20_000_000,
}


@dataclass
class StubAgent:
    """Writes the file that the order's row asks for; it cannot do the hard items."""

    name: str = "stub"
    offline: bool = True
    briefs: list[int] = field(default_factory=list)

    def version(self) -> str | None:
        """Return the stub's version."""
        return "1"

    def run(self, turn: TurnContext) -> Outcome:
        """Make one file, in a folder of its item."""
        self.briefs.append(len(turn.brief.encode()))
        assert turn.item is not None
        row = next(c for c in turn.item.criteria if c.state == " ")
        path = turn.workspace / "work" / turn.item.id / f"{row.id}.txt"
        if turn.item.id.startswith("HARD"):
            path = path.with_name(f"guess-{len(self.briefs)}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"made in turn {len(self.briefs)}\n" * 20)
        return Outcome("done", "All rows are done, every test passes. " * 10)


def git(root: Path, *args: str, stdin: str | None = None) -> str:
    """Run git and return its output."""
    done = subprocess.run(
        ["git", *args],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
        input=stdin,
        timeout=120,
    )
    return done.stdout


def make_repo(root: Path, cycles: int) -> None:
    """A repository whose ledger has work for more than `cycles` cycles."""
    parts = ["# Plan\n"]
    for number in range(1, cycles // 3 + 3):
        kind = "HARD" if number % HARD_EVERY == 2 else "WORK"
        name = f"{kind}-{number:04d}"
        parts.append(f"### [{name}] Part {number} of the long way\n- Status: open\n- Exit:\n")
        parts += [
            f"  - [ ] C{row} `test -f work/{name}/C{row}.txt` — file {row} is there\n"
            for row in range(1, ROWS + 1)
        ]
        parts.append("\n")
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "fix_plan.md").write_text("".join(parts))
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.email", "a@example.org")
    git(root, "config", "user.name", "A")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "start")


def sizes(root: Path, path: str) -> list[int]:
    """Bytes of a file at every commit of main that has it, oldest first."""
    commits = git(root, "log", "--reverse", "--format=%H", "main", "--", path).split()
    rows = git(
        root,
        "cat-file",
        "--batch-check=%(objectsize)",
        stdin="".join(f"{sha}:{path}\n" for sha in commits),
    )
    return [int(row) for row in rows.split()]


def log_objects(root: Path) -> tuple[int, int]:
    """Number and stored bytes of the objects that the log's branch reaches."""
    names = git(root, "rev-list", "--objects", "--no-object-names", LOG_REF)
    rows = git(root, "cat-file", "--batch-check=%(objectsize:disk)", stdin=names).split()
    return len(rows), sum(map(int, rows))


def seconds_per_cycle(harness: Harness) -> list[float]:
    """Wall seconds from one decision to work to the next."""
    starts = [
        parse_stamp(event.at).timestamp()
        for event in harness.log.events
        if event.kind == "decision"
    ]
    return [after - before for before, after in itertools.pairwise(starts)]


def measure(root: Path, cycles: int) -> dict[str, Any]:
    """Run and measure."""
    make_repo(root, cycles)
    agent = StubAgent()
    harness = open_harness(root, agent=agent, cycles=cycles)
    wall, cpu = time.monotonic(), time.process_time()
    summary = Engine(harness, RandomIds().run_id).run()
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    ledger, memory = sizes(root, "docs/fix_plan.md"), sizes(root, "galph_memory.md")
    subjects = git(root, "log", "--format=%s", "main").splitlines()
    closing = sum(subject.startswith("SUPERVISOR") for subject in subjects)
    count, stored = log_objects(root)
    each = seconds_per_cycle(harness)
    tenth = max(1, len(each) // 10)
    return {
        "cycles": summary.cycles,
        "reason": summary.reason,
        "landed": len(harness.state.landings),
        "rejected": len(summary.rejected),
        "blocked": len(summary.blocked),
        "events": len(harness.log.events),
        "brief_max_bytes": max(agent.briefs),
        "ledger_growth_bytes_per_cycle": round((ledger[-1] - ledger[0]) / summary.cycles, 1),
        "memory_max_bytes": max(memory),
        "memory_last_bytes": memory[-1],
        "commits_on_main": len(subjects),
        "closing_commits": closing,
        "commits_without_landing": len(subjects) - 1 - closing - len(harness.state.landings),
        "log_bytes": sum(path.stat().st_size for path in files_of(harness.log.directory)),
        "log_objects": count,
        "log_objects_bytes": stored,
        "wall_s": round(wall, 1),
        "cpu_in_process_s": round(cpu, 1),
        "first_tenth_median_s": round(statistics.median(each[:tenth]), 3),
        "last_tenth_median_s": round(statistics.median(each[-tenth:]), 3),
    }


def broken(found: dict[str, Any]) -> list[str]:
    """The bounds that do not hold."""
    over = [
        f"{name}: {found[name]} > {most}" for name, most in LIMITS.items() if found[name] > most
    ]
    if found["closing_commits"] > 1:
        over.append(f"closing_commits: {found['closing_commits']} > 1")
    return over


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="make the repository here and leave it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="long-run-") as name:
        found = measure(options.keep or Path(name) / "repo", options.cycles)
    found["broken"] = broken(found)
    print(json.dumps(found, indent=1))
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
