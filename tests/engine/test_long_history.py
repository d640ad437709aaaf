"""Proof 4, small: what grows with every cycle stays within its bounds, and so does its benchmark.

The whole run: `python scripts/benchmarks/long_run.py --cycles 500`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks"


def test_what_grows_in_a_run_of_many_cycles_is_bounded(tmp_path: Path) -> None:
    argv = [str(BENCHMARKS / "long_run.py"), "--cycles", "12", "--keep", str(tmp_path / "repo")]
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert (found["cycles"], found["broken"]) == (12, [])
    assert found["landed"] + found["rejected"] == 12 and found["rejected"] >= 1
    assert found["commits_on_main"] == 1 + found["landed"] + found["closing_commits"]
    assert 0 < found["ledger_growth_bytes_per_cycle"] <= 512
    assert found["log_objects"] > 2 * found["cycles"]
    assert 0 < found["memory_last_bytes"] <= found["memory_max_bytes"]
