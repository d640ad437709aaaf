"""Arms on a real Dask scheduler: the same numbers here, over TCP, and when a worker dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers as separate processes on loopback; ended with the test."""
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    address_file = tmp_path / "scheduler.json"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
    processes = [
        subprocess.Popen([*command, *options, "--scheduler-file", str(address_file)], **quiet)
    ]
    try:
        deadline = time.monotonic() + 60
        while not address_file.exists() or not address_file.read_text().strip():
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.1)
        import json

        address = json.loads(address_file.read_text())["address"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        for number in range(2):
            worker = [
                sys.executable,
                "-m",
                "distributed.cli.dask_worker",
                address,
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--host",
                "127.0.0.1",
                "--local-directory",
                str(tmp_path / f"worker{number}"),
            ]
            processes.append(subprocess.Popen(worker, env=environment, **quiet))
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=30)


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
