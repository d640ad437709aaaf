"""A full disk ends a run in words and with a code of its own; with room again the next goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import TurnContext
from orchestration.core import Stop, payloads
from orchestration.log import EventLog, at_work, require_room, reserve

Make = Callable[..., Any]
ITEM = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
MOUNT = os.geteuid() == 0 and sys.platform.startswith("linux")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=24m", "small", str(folder)]
    if not MOUNT or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_state_folder_ends_the_run_and_the_next_goes_on(
    place: Make, stub: Any, small: Path
) -> None:
    files = {"value.txt": "wrong", "wanted.txt": "right"}
    here = place(ITEM, **files, **{"orchestration.yaml": f"state_dir: {small}/state\n"})
    fill = small / "fill"

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "value.txt").write_text("right")
        if n == 1:
            with pytest.raises(OSError, match="No space"), open(fill, "wb", 0) as out:
                while True:
                    out.write(bytes(4096))

    agent = stub(work)
    ended = here.run(agent)
    assert (ended.reason, ended.exit_code) == ("DISK_FULL", 74)
    assert here.harness().log.events[-1].kind == "run_end"
    fill.unlink()
    assert here.run(agent).landed == ["A-001"]
    attempts = [e for e in here.harness().log.events if e.kind == "dispatch"]
    assert len(attempts) == 1


def test_an_event_that_did_not_fit_leaves_no_half_line(
    place: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: EventLog = place(ITEM).harness().log
    log.append(payloads.Warned("first"))
    write, left = os.write, [20]

    def short(descriptor: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0], data = 0, data[: left[0]]
        return write(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", short)
        with pytest.raises(OSError, match="No space"):
            log.append(payloads.Warned("second"))
    log.append(payloads.Warned("third"))
    log.refresh()
    assert [e.payload for e in log.events] == [payloads.Warned("first"), payloads.Warned("third")]


def test_room_is_held_back_and_wanting_room_is_told(small: Path) -> None:
    reserve(small)
    require_room(small)
    with pytest.raises(OSError, match="No space"):
        (small / "fill").write_bytes(bytes(32 << 20))
    with pytest.raises(Stop, match="the disk is full") as told:
        require_room(small)
    assert told.value.exit_code == 74


def test_status_tells_a_dead_run_from_a_live_one(place: Make, stub: Any) -> None:
    here = place(ITEM, **{"value.txt": "wrong", "wanted.txt": "right"})
    words = [sys.executable, "-c", "from orchestration.cli import main; main()", "status"]
    seen: list[str] = []

    def work(turn: TurnContext, n: int) -> None:
        seen.append(subprocess.check_output(words, cwd=here.root, text=True))
        assert (holder := at_work(here.harness().repo.state_dir)) and holder.pid == os.getpid()
        raise SystemExit  # no end is logged, as when a process dies

    with pytest.raises(SystemExit):
        here.run(stub(work))
    assert "running since" in seen[0]
    assert at_work(here.harness().repo.state_dir) is None
    told = subprocess.check_output(words, cwd=here.root, text=True)
    assert "is dead since" in " ".join(told.split())
