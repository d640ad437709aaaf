"""Proof 1: SIGKILL at enumerated boundaries; the resumed run ends as the uninterrupted one.

A sample: every fourth boundary and a few random times. All of them are tried by the program itself:
`python scripts/benchmarks/kill_proof.py --boundaries --random 200`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PROOF = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks" / "kill_proof.py"


def test_a_killed_run_resumes_to_the_same_state_branch_and_receipts() -> None:
    argv = ["--boundaries", "--first", "2", "--step", "4", "--random", "3", "--seed", "11"]
    done = subprocess.run(
        [sys.executable, str(PROOF), *argv], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    first, *rows, counts = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["end"] == [
        "STALLED",
        ["LAND-001"],
        ["RED-001"],
        ["AGENT-001", "RED-001"],
    ]
    assert [s.split(":")[0] for s in first["subjects"]] == [
        "SUPERVISOR RED-001 blocked",
        "RALPH LAND-001",
        "start",
    ]
    boundaries = [row for row in rows if row["trial"].startswith("boundary")]
    assert len(boundaries) >= first["events"] // 2
    assert all(row["killed"] for row in boundaries)
    assert [row for row in rows if row["resumed"] or row["wrong"]] == []
    assert (counts["trials"], counts["different"]) == (len(rows), 0)


def test_a_run_whose_supervisor_is_an_agent_resumes_without_asking_anew() -> None:
    """A sample of the boundaries of the events that only such a run writes."""
    argv = ["--boundaries", "--supervisor", "--kinds", "supervise,choice", "--first", "2"]
    done = subprocess.run(
        [sys.executable, str(PROOF), *argv, "--step", "4"],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    first, *rows, counts = [json.loads(line) for line in done.stdout.splitlines()]
    assert (first["kinds"]["supervise"], first["kinds"]["choice"]) == (6, 1)
    assert first["end"][1] == ["LAND-001"]
    assert any("choice" in row["trial"] for row in rows)
    assert [row for row in rows if not row["killed"] or row["resumed"] or row["wrong"]] == []
    assert counts["different"] == 0
