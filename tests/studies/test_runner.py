"""Arms on a real Dask scheduler: the same numbers here, over TCP, and when a worker dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ptycho import cluster
from ptycho.errors import UsageError
from ptycho.studies.runner import run_arms

ARMS: list[dict[str, Any]] = [{"name": f"arm{seed}", "seed": seed} for seed in range(6)]


def draw(arm: dict[str, Any]) -> dict[str, Any]:
    """An arm that takes a moment and whose result depends on its seed only."""
    time.sleep(arm.get("sleep", 0.0))
    if arm.get("fail"):
        raise ValueError("this arm fails")
    if "pids" in arm:
        Path(arm["pids"], arm["name"]).write_text(str(os.getpid()))
    return {"value": float(np.random.default_rng(arm["seed"]).normal())}


def test_an_arm_that_fails_is_named_and_the_others_finish() -> None:
    """In this process: outcomes keep the order, one carries the error in words."""
    arms = [
        {"name": "good", "seed": 1},
        {"name": "bad", "seed": 2, "fail": True},
        {"name": "last", "seed": 3},
    ]
    seen: list[int] = []
    outcomes = run_arms(arms, draw, progress=lambda done, total, info: seen.append(done))
    assert [outcome.arm["name"] for outcome in outcomes] == ["good", "bad", "last"]
    assert outcomes[1].result is None and "this arm fails" in (outcomes[1].error or "")
    assert outcomes[2].result == draw({"name": "last", "seed": 3})
    assert seen == [1, 2, 3]


@pytest.mark.slow
def test_same_numbers_over_tcp_with_one_worker_killed(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    """Two workers, one killed in the middle of the run: every arm still ends, with equal values."""
    import threading

    address, workers = cluster
    here = [outcome.result for outcome in run_arms(ARMS, draw)]
    pids = tmp_path / "pids"
    pids.mkdir()
    slow = [{**arm, "sleep": 0.5, "pids": str(pids)} for arm in ARMS]

    def kill_one() -> None:
        while not any(pids.iterdir()):
            time.sleep(0.02)
        workers[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    there = [outcome.result for outcome in run_arms(slow, draw, scheduler=address)]
    killer.join(timeout=60)
    assert there == here
    assert workers[0].wait(timeout=30) == -signal.SIGKILL


def test_no_scheduler_is_an_error_with_the_command_to_start_one() -> None:
    """A wrong address is the user's mistake: words, not a traceback."""
    with pytest.raises(UsageError, match="dask scheduler"):
        run_arms(ARMS, draw, scheduler="tcp://127.0.0.1:1")


def test_an_arm_that_fails_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """Words in the outcome, with the place; nothing of the cluster on the terminal."""
    (outcome,) = run_arms([{"name": "bad", "seed": 2, "fail": True}], draw)
    assert "ValueError('this arm fails') in test_runner.py, line" in (outcome.error or "")
    assert capfd.readouterr().err == ""


def test_without_dask_the_arms_run_one_after_another() -> None:
    """dask.distributed is an extra; several scans are reconstructed without it."""
    code = (
        "import sys, importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'distributed' else real(name, *a)\n"
        "sys.modules['distributed'] = None\n"
        "from ptycho.studies.runner import run_arms\n"
        "done = run_arms([{'name': 'a', 'x': 2}, {'name': 'b'}], lambda arm: {'x': arm['x']})\n"
        "print(done[0].result, done[0].error, done[1].result, done[1].error)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("{'x': 2} None None KeyError('x')")


def test_two_arms_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="one name"):
        run_arms([{"name": "a", "seed": 1}, {"name": "a", "seed": 2}], draw)


def listening(arm: dict[str, Any]) -> dict[str, Any]:
    """Addresses on which this process listens while an arm runs."""
    connections = psutil.Process().net_connections()
    return {"at": [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN]}


def test_the_cluster_in_this_process_listens_on_loopback_only() -> None:
    (outcome,) = run_arms([{"name": "look"}], listening)
    assert outcome.result is not None, outcome.error
    assert set(outcome.result["at"]) <= {"127.0.0.1", "::1"}


def test_local_workers_are_processes_that_listen_on_loopback_only() -> None:
    """`--scheduler local`; they end with the client."""
    with cluster.client("local") as client:
        workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        mine = psutil.Process()
        assert workers and all(mine in worker.parents() for worker in workers)
        connections = [c for each in (mine, *workers) for c in each.net_connections()]
        listening = {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
        assert listening and listening <= {"127.0.0.1", "::1"}
    assert not any(worker.is_running() for worker in workers)
