"""Proof 1: SIGKILL at enumerated boundaries; the resumed run ends as the uninterrupted one.

Every third boundary is tried here; all of them, and random times, by the program itself:
`python tests/engine/kill_driver.py DIR [--random 200]`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

DRIVER = Path(__file__).with_name("kill_driver.py")


def test_a_killed_run_resumes_to_the_same_state_branch_and_receipts(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(tmp_path), "--first", "2", "--step", "3"],
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    first, *rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["end"] == [
        "STALLED", ["LAND-001"], ["RED-001"], ["AGENT-001", "RED-001"],
    ]  # fmt: skip
    assert [s.split(":")[0] for s in first["subjects"]] == [
        "SUPERVISOR RED-001 blocked", "RALPH LAND-001", "start",
    ]  # fmt: skip
    assert len(rows) >= first["events"] * 2 // 3
    assert all(row["killed"] for row in rows)
    assert [row for row in rows if row["resumed"] or row["wrong"]] == []
