"""The number of processes of a child is bounded, and every member of its group ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from orchestration.sandbox import pids
from orchestration.sandbox.process import run_child, scrub_env

# Bounded on its own: even where no ceiling held, this makes 150 sleepers and no more.
BOMB = """
import os, sys, time
made = 0
for _ in range(150):
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
    except OSError:
        break
print("made", made)
"""
HERE = pids.kind()


@pytest.mark.skipif(HERE == "none", reason="no pids cgroup, and root has no RLIMIT_NPROC")
def test_a_fork_bomb_meets_the_ceiling_and_leaves_nothing(tmp_path: Path) -> None:
    script = tmp_path / "bomb.py"
    script.write_text(BOMB)
    argv = [sys.executable, str(script)]
    done = run_child(argv, tmp_path, scrub_env(), total_s=60, max_processes=40)
    made = int(done.output_tail.split()[-1])
    assert 5 <= made < 60
    assert done.process_limit == HERE
    assert done.killed == made
    left = [p for p in psutil.process_iter(["cmdline"]) if str(script) in (p.info["cmdline"] or [])]
    assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []


def test_without_a_ceiling_all_of_them_start_and_still_none_is_left(tmp_path: Path) -> None:
    script = tmp_path / "bomb.py"
    script.write_text(BOMB.replace("range(150)", "range(60)"))
    argv = [sys.executable, str(script)]
    done = run_child(argv, tmp_path, scrub_env(), total_s=60, max_processes=None)
    assert (done.output_tail.split()[-1], done.process_limit) == ("60", "none")
    assert done.killed == 60


@pytest.mark.skipif(HERE != "cgroup", reason="no pids cgroup can be made here")
def test_a_group_is_gone_when_its_child_is(tmp_path: Path) -> None:
    script = "print(open('/proc/self/cgroup').read())"
    done = run_child([sys.executable, "-c", script], tmp_path, scrub_env(), total_s=30)
    assert "orchestrate-" in done.output_tail
    name = done.output_tail.split("orchestrate-")[1].split()[0]
    assert not list(Path("/sys/fs/cgroup").glob(f"**/orchestrate-{name}"))


KILLED = (
    "import os; from orchestration.sandbox import pids; print(pids.ceiling(9).folder, flush=True); "
)
KILLED += "os.kill(os.getpid(), 9)"


@pytest.mark.skipif(HERE != "cgroup", reason="no pids cgroup can be made here")
def test_groups_that_killed_runs_left_are_removed_at_the_next_start(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}

    def start(code: str) -> str:
        argv = [sys.executable, "-c", code]
        return subprocess.run(argv, env=env, stdout=subprocess.PIPE, text=True, check=False).stdout

    empty, busy = (Path(start(KILLED).strip()) for _ in range(2))
    assert not empty.exists()  # by the second start
    living = pids.ceiling(9).folder
    assert living is not None and busy.is_dir()
    sleeper = subprocess.Popen(["sleep", "60"])
    request.addfinalizer(lambda: [f.rmdir() for f in (busy, living) if f.exists()])
    request.addfinalizer(lambda: (sleeper.kill(), sleeper.wait()))
    (busy / "cgroup.procs").write_text(str(sleeper.pid))
    start("from orchestration.sandbox import pids; pids.kind()")
    assert busy.is_dir() and living.is_dir()
    sleeper.kill()
    sleeper.wait()
    start("from orchestration.sandbox import pids; pids.kind()")
    assert not busy.exists() and living.is_dir()


def test_the_exit_code_and_a_missing_program_are_seen_through_the_ceiling(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit(7)"]
    assert run_child(argv, tmp_path, scrub_env(), total_s=30).exit_code == 7
