"""A real Dask cluster on loopback for the tests of several rooms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Cluster = tuple[str, list["subprocess.Popen[bytes]"]]
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
LOOPBACK = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")


@contextmanager
def dask_processes(folder: Path, modules: Path, workers: int = 2) -> Iterator[Cluster]:
    """A scheduler and workers as separate processes on loopback; ended with the context.

    Args:
        folder: for what they write. modules: a folder that the workers import from.

    Yields:
        The address of the scheduler, and the processes of the workers.
    """
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    address_file = folder / "scheduler.json"
    options = [*LOOPBACK, "--port", "0", "--no-show", "--scheduler-file", str(address_file)]
    processes = [subprocess.Popen([*command, *options], **QUIET)]
    try:
        deadline = time.monotonic() + 60
        while not address_file.exists() or not address_file.read_text().strip():
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.1)
        address = json.loads(address_file.read_text())["address"]
        environment = {**os.environ, "PYTHONPATH": str(modules)}
        for number in range(workers):
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, *LOOPBACK]
            worker += ["--nthreads", "1", "--no-nanny"]
            worker += ["--local-directory", str(folder / f"worker{number}")]
            processes.append(subprocess.Popen(worker, env=environment, **QUIET))
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=30)
