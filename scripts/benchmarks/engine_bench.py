"""Time the engine without agent and tests, and `orchestrate status`; prints one JSON object.

`engine_bench.py [--cycles 20] [--history DIR] [--rounds 5]`: seconds a cycle (wall, and processor
time with all children) and cycles a minute with a stub agent that only writes a file, each cycle
with its worktree, fresh checkout, one check (`test -f`), landing and published log; then the time
of `orchestrate status` in a fresh process, in the repository that `long_run.py --keep DIR` left
(without --history: in the one just made); then the start of `true` behind each fence for files,
with a closed network. `--cycles 0` leaves all but the fence out. Exit 1 when a bound is broken; a
busy machine breaks the wall times, and the processor times tell whether it was that.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from long_run import StubAgent, make_repo
from orchestration.engine import Engine
from orchestration.harness import RandomIds
from orchestration.sandbox import FILE_FENCES, Opened, available, fence
from orchestration.setup import open_harness

CYCLE_LIMIT_S = 1.5
CYCLES_PER_MINUTE = 20.0
STATUS_LIMIT_S = 0.5
FENCE_LIMIT_S = 0.3


def cpu_s() -> float:
    """Processor seconds of this process and of its children that ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def cycles(root: Path, count: int) -> dict[str, Any]:
    """Run cycles in a fresh repository and time them."""
    make_repo(root, count)
    harness = open_harness(root, agent=StubAgent(), cycles=count)
    wall, cpu = time.monotonic(), cpu_s()
    summary = Engine(harness, RandomIds().run_id).run()
    wall, cpu = time.monotonic() - wall, cpu_s() - cpu
    assert summary.cycles == count
    return {
        "cycles": count,
        "wall_s_per_cycle": round(wall / count, 3),
        "cpu_s_per_cycle": round(cpu / count, 3),
        "cycles_per_minute": round(60 * count / wall, 1),
    }


def status(root: Path, rounds: int) -> dict[str, Any]:
    """Time `orchestrate status` in fresh processes."""
    walls, cpus = [], []
    argv = [sys.executable, "-c", "from orchestration.cli import main; main()", "status", "--json"]
    for _ in range(rounds):
        wall, cpu = time.monotonic(), cpu_s()
        subprocess.run(argv, cwd=root, check=True, capture_output=True, timeout=120)
        walls.append(time.monotonic() - wall)
        cpus.append(cpu_s() - cpu)
    history = open_harness(root, agent=StubAgent()).state.cycle
    return {
        "status_history_cycles": history,
        "status_wall_best_s": round(min(walls), 3),
        "status_wall_median_s": round(statistics.median(walls), 3),
        "status_cpu_median_s": round(statistics.median(cpus), 3),
    }


def fences(rounds: int) -> dict[str, Any]:
    """Time the start of `true` behind each fence for files, its command line included."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="engine-bench-") as name:
        folder = Path(name)
        for level in (level for level in available() if level in FILE_FENCES):
            walls, cpus = [], []
            for _ in range(rounds):
                wall, cpu = time.monotonic(), cpu_s()
                argv = fence.wrap(
                    ["true"], level, cwd=folder, writable=[folder], opened=Opened(network=False)
                )
                subprocess.run(argv, cwd=folder, check=True, timeout=60)
                walls.append(time.monotonic() - wall)
                cpus.append(cpu_s() - cpu)
            found[f"fence_{level}_wall_s"] = round(statistics.median(walls), 3)
            found[f"fence_{level}_cpu_s"] = round(statistics.median(cpus), 3)
    return found


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--history", type=Path, help="a repository with a long history")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="engine-bench-") as name:
        found = fences(options.rounds)
        if options.cycles:
            found |= cycles(Path(name) / "repo", options.cycles)
            found |= status(options.history or Path(name) / "repo", options.rounds)
    found["load"] = round(os.getloadavg()[0], 1)
    found["broken"] = [
        text
        for bad, text in (
            (found.get("wall_s_per_cycle", 0) > CYCLE_LIMIT_S, "seconds a cycle"),
            (found.get("cycles_per_minute", 99) < CYCLES_PER_MINUTE, "cycles a minute"),
            (found.get("status_wall_median_s", 0) >= STATUS_LIMIT_S, "status"),
            (
                any(
                    value > FENCE_LIMIT_S
                    for name, value in found.items()
                    if name.startswith("fence_") and name.endswith("_wall_s")
                ),
                "start of a fence",
            ),
        )
        if bad
    ]
    print(json.dumps(found, indent=1))
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
