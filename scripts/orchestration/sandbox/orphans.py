"""What a killed run left running: its children are found and ended before the next run begins.

SIGKILL gives the harness no chance to end its agent, checks and git calls. An agent or check is
known by the marker in its environment together with a turn folder of this repository; it is killed.
A git call is left to end by itself, because a half-made ref or worktree is worse than a pause.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from orchestration.sandbox.kernel import MARKER

GIT_LIMIT_S = 20.0
_FOLDERS = ("TURN_DIR", "HUB", "GIT_INDEX_FILE")


def end_orphans(state_dir: Path, root: Path) -> list[int]:
    """Kill what a dead run started here and wait for its git calls; returns the killed pids.

    Call it only with the run lock held: then no living run owns any of these processes.
    """
    killed = []
    for process in _ours(state_dir):
        try:
            process.kill()
            process.wait(timeout=5)
            killed.append(process.pid)
        except (psutil.Error, OSError):
            continue
    deadline = time.monotonic() + GIT_LIMIT_S
    while time.monotonic() < deadline and any(_git_calls(state_dir, root)):
        time.sleep(0.02)
    return killed


def _ours(state_dir: Path) -> Iterator[psutil.Process]:
    """Marked processes that work in a turn, worktree or checkout of this repository."""
    mine = psutil.Process().pid
    for process in psutil.process_iter():
        try:
            if process.pid == mine:
                continue
            env = process.environ()
            if MARKER not in env:
                continue
            places = [process.cwd(), *(env.get(name, "") for name in _FOLDERS)]
        except (psutil.Error, OSError):
            continue
        if any(_inside(place, state_dir) for place in places):
            yield process


def _git_calls(state_dir: Path, root: Path) -> Iterator[psutil.Process]:
    """Orphaned git processes of this repository (a person's have a living shell above them)."""
    for process in psutil.process_iter():
        try:
            if process.name() != "git" or process.status() == psutil.STATUS_ZOMBIE:
                continue
            place, parent = process.cwd(), process.ppid()
        except (psutil.Error, OSError):
            continue
        if _inside(place, state_dir) or (_inside(place, root) and parent == 1):
            yield process


def _inside(place: str, folder: Path) -> bool:
    return bool(place) and (place == str(folder) or place.startswith(f"{folder}/"))
