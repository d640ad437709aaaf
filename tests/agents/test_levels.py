"""Each level of isolation through the whole engine: what the receipt says, and what is left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from orchestration import isolation, pids
from turns import FIX, LEDGER, git, lay_down, work

SOURCES = Path(__file__).parents[2] / "scripts"
NOBODY = 65534
LEAVE = (
    "import subprocess, sys\n"
    "for extra in ({{}}, {{'env': {{}}}}):\n"
    "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(90)', {word!r}],\n"
    "        start_new_session=True, stdout=-3, stderr=-3, **extra)\n"
)


@pytest.fixture
def word() -> Iterator[str]:
    text = f"left-{uuid.uuid4().hex}"
    yield text
    for process in alive(text):
        process.kill()


def alive(word: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and word in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def receipt(root: Path) -> dict[str, dict[str, object]]:
    names = git(root, "ls-tree", "-r", "--name-only", "main").split()
    name = next(name for name in names if name.endswith("/receipt.json"))
    return json.loads(git(root, "show", f"main:{name}"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("level", isolation.LEVELS)
def test_the_level_that_held_is_in_the_receipt_and_no_process_is_left(
    tmp_path: Path, word: str, level: isolation.Level
) -> None:
    if level not in isolation.available():
        pytest.skip(f"{level} does not work for this user on this machine")
    root, summary, verdict = work(tmp_path, FIX + LEAVE.format(word=word), level=level)
    assert summary.landed == ["FIX-1"], verdict["reason"]
    said = receipt(root)
    assert said["agent"]["isolation"] == level
    assert said["agent"]["process_limit"] == pids.kind()
    assert said["guard"]["attempt"]["isolation"] == level  # type: ignore[index]
    assert alive(word) == []


def as_nobody(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(SOURCES)}
    return subprocess.run(
        argv, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300,
        user=NOBODY, group=NOBODY, extra_groups=[],
    )  # fmt: skip


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder of the user nobody, who can run this interpreter."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a process as another user")
    folder = Path(tempfile.mkdtemp(prefix="nobody-"))
    try:
        shutil.chown(folder, NOBODY, NOBODY)
        try:
            seen = as_nobody([sys.executable, "-c", "import orchestration.cli"], folder)
        except OSError as problem:
            pytest.skip(f"no process can be started as another user: {problem}")
        if seen.returncode != 0:
            pytest.skip("another user cannot read this interpreter or these sources")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_run_of_a_user_who_is_not_root(theirs: Path, word: str) -> None:
    look = "from orchestration import isolation, pids; print(*isolation.available(), pids.kind())"
    *levels, bound = as_nobody([sys.executable, "-c", look], theirs).stdout.split()
    root = lay_down(theirs, FIX + LEAVE.format(word=word), LEDGER_OF_ONE, level=levels[0])
    for path in [theirs, *theirs.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    program = [sys.executable, "-c", "from orchestration.cli import main; main()"]
    done = as_nobody([*program, "-C", str(root), "run", "--cycles", "1"], theirs)
    assert done.returncode == 0, done.stderr[-2000:]
    os.chown(root, 0, 0)  # so that git reads it for us
    said = receipt(root)
    assert (said["agent"]["isolation"], said["agent"]["process_limit"]) == (levels[0], bound)
    assert bound != "cgroup" or os.access("/sys/fs/cgroup", os.W_OK)
    assert alive(word) == []


LEDGER_OF_ONE = LEDGER.format(guard="tests/test_calc.py", opened="").partition("- Recipe")[0]
