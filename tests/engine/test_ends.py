"""A run that is ended from outside: its agent goes with it, the log says how, the code tells."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from orchestration.core import Interrupted

Make = Callable[..., Any]
ITEM = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
SLOW = "import time\nprint('at work', flush=True)\ntime.sleep(300)\n"
QUICK = "open('value.txt', 'w').write('right')\n"
START = [sys.executable, "-c", "from orchestration.cli import main; main()", "run"]


def library(place: Make, agent: str) -> Any:
    settings = "agent: custom\nisolation: none\nagent_command: ['{python}', '-c', \"%s\"]\n"
    words = agent.replace("\n", "\\n")
    return place(
        ITEM,
        **{"value.txt": "wrong", "wanted.txt": "right", "orchestration.yaml": settings % words},
    )


def kinds(here: Any) -> list[tuple[str, Any]]:
    return [(e.kind, e.data.get("code")) for e in here.harness().log.events]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_agent_and_is_logged(
    place: Make, number: signal.Signals, code: int
) -> None:
    here = library(place, SLOW)
    run = subprocess.Popen(START, cwd=here.root, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    try:
        for line in run.stderr:
            if "works on" in line:
                break
        parent = psutil.Process(run.pid)
        until = time.monotonic() + 60
        while not (kin := parent.children(recursive=True)) and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1.0)
        kin = parent.children(recursive=True) or kin
        run.send_signal(number)
        assert run.wait(60) == code
    finally:
        run.kill()
        run.stderr.close()
    assert kin and not [p for p in kin if p.is_running() and p.status() != "zombie"]
    assert kinds(here)[-1] == ("run_end", code)


def test_a_reader_that_goes_away_ends_no_work(place: Make, tmp_path: Path) -> None:
    here = library(place, QUICK)
    run = subprocess.Popen(START, cwd=here.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.stdout is not None
    run.stdout.readline()
    run.stdout.close()
    assert run.wait(300) == 0
    assert kinds(here)[-1] == ("run_end", 0)
    assert any(line.startswith("RALPH A-001") for line in here.subjects())


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    from orchestration.cli.ends import ended_by_signals

    found = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, found)


class Finalised:
    """Gets a signal in its finaliser, where Python swallows every exception."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass


def test_a_signal_in_a_finaliser_is_not_swallowed() -> None:
    from orchestration.cli.ends import ended_by_signals

    with pytest.raises(Interrupted), ended_by_signals():
        Finalised()
        time.sleep(20)


def test_a_terminal_that_breaks_ends_the_run_and_the_next_goes_on(place: Make) -> None:
    """A window that is closed: SIGHUP, and every further write to the terminal is an EIO."""
    here = library(place, SLOW)
    master, slave = pty.openpty()
    leader = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    words = [sys.executable, "-c", leader + "os.execv(sys.executable, sys.argv[1:])", *START]
    run = subprocess.Popen(
        words, cwd=here.root, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        said = b""
        while b"works on" not in said:
            said += os.read(master, 4096)
        time.sleep(1.0)
        os.close(master)
        assert run.wait(60) == 129
    finally:
        run.kill()
    assert kinds(here)[-1] == ("run_end", 129)
    slow, quick = (words.replace("\n", "\\n") for words in (SLOW, QUICK))
    here.write("orchestration.yaml", here.read("orchestration.yaml").replace(slow, quick))
    again = subprocess.run(START, cwd=here.root, stdin=subprocess.DEVNULL, capture_output=True)
    assert again.returncode == 0, again.stderr
    assert any(line.startswith("RALPH A-001") for line in here.subjects())
