"""Each level of isolation through the whole engine: what the receipt says, and what is left."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from leftovers import alive
from orchestration.git import Repo
from orchestration.sandbox import fence as isolation
from orchestration.sandbox import pids
from turns import FIX, LEDGER, git, lay_down, work

SOURCES = Path(__file__).parents[2] / "scripts"
NOBODY = 65534
LEDGER_OF_ONE = LEDGER.format(guard="tests/test_calc.py", opened="").partition("- Recipe")[0]
LEAVE = (
    "import subprocess, sys\n"
    "for extra in ({{}}, {{'env': {{}}}}):\n"
    "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(90)', {token!r}],\n"
    "        start_new_session=True, stdout=-3, stderr=-3, **extra)\n"
)


def receipt(root: Path) -> dict[str, dict[str, object]]:
    names = git(root, "ls-tree", "-r", "--name-only", "main").split()
    name = next(name for name in names if name.endswith("/receipt.json"))
    return json.loads(git(root, "show", f"main:{name}"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("level", isolation.LEVELS)
def test_the_level_that_held_is_in_the_receipt_and_no_process_is_left(
    tmp_path: Path, token: str, level: isolation.Level
) -> None:
    if level not in isolation.available():
        pytest.skip(f"{level} does not work for this user on this machine")
    root, summary, verdict = work(tmp_path, FIX + LEAVE.format(token=token), level=level)
    assert summary.landed == ["FIX-1"], verdict["reason"]
    said = receipt(root)
    assert said["agent"]["isolation"] == level
    assert said["agent"]["process_limit"] == pids.kind()
    assert said["guard"]["attempt"]["isolation"] == level  # type: ignore[index]
    assert alive(token) == []


PLAIN = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
# Where the interpreter lies below a folder that is closed to others (a root's home), the run gets
# a view of the disk of its own in which that folder shows the interpreter's part and no more.
OPENED = """
set -e
mount --bind "$2" "$3"
mount -t tmpfs -o mode=755 none "$1"
mkdir "$2"
mount --bind "$3" "$2"
shift 3
exec "$@"
"""


def opened(folder: Path) -> tuple[str, ...]:
    """How to start a program of nobody who can run this interpreter."""
    place = Path(sys.executable).resolve()
    for closed in reversed(place.parents):
        if not closed.stat().st_mode & stat.S_IXOTH:
            part = closed / place.relative_to(closed).parts[0]
            spare = folder / "interpreter"
            spare.mkdir()
            names = (str(closed), str(part), str(spare))
            return ("unshare", "--mount", "sh", "-c", OPENED, "opened", *names, *PLAIN)
    return PLAIN


LEVELS_OF_THEIRS = """
import sys
from pathlib import Path
from orchestration.sandbox import fence as isolation, pids, process
for level in isolation.available():
    argv = isolation.wrap([sys.executable, "-c", "pass"], level, cwd=Path.cwd())
    if process.run_child(argv, Path.cwd(), process.scrub_env(), total_s=30).ok:
        print(level)
print(pids.kind())
"""


def as_nobody(
    prefix: tuple[str, ...], argv: list[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(SOURCES)}
    return subprocess.run(
        [*prefix, *argv],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder of the user nobody."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root with setpriv can start a process as another user")
    folder = Path(tempfile.mkdtemp(prefix="nobody-"))
    shutil.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_run_of_a_user_who_is_not_root(theirs: Path, token: str) -> None:
    look = [sys.executable, "-c", LEVELS_OF_THEIRS]
    prefix = opened(theirs)
    seen = as_nobody(prefix, look, theirs)
    if seen.returncode != 0:
        pytest.skip(f"another user cannot run this interpreter here: {seen.stderr[-200:]}")
    *levels, bound = seen.stdout.split()
    root = lay_down(theirs, FIX + LEAVE.format(token=token), LEDGER_OF_ONE, level=levels[0])
    for path in [theirs, *theirs.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    program = [sys.executable, "-c", "from orchestration.cli import main; main()"]
    done = as_nobody(prefix, [*program, "run", "--cycles", "1"], root)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {path.stat().st_uid for path in (root / ".local/state").rglob("*")} == {NOBODY}
    for place in (root, root / ".git"):
        os.chown(place, 0, 0)  # so that git reads it for us
    said = receipt(root)
    assert (said["agent"]["isolation"], said["agent"]["process_limit"]) == (levels[0], bound)
    assert alive(token) == []


SCRIPT = """
import resource, sys
from pathlib import Path
from orchestration.engine.loop import Engine
from orchestration.git import Repo
from orchestration.setup.session import open_harness
harness = open_harness(Path(sys.argv[1]), cycles=1)
Engine(harness, lambda: "run1").run()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_a_flood_costs_neither_memory_nor_disk(tmp_path: Path) -> None:
    """200 MB of lines from the agent, against the same turn without them."""
    flood = "import sys\nfor _ in range(3200):\n    sys.stdout.write('y' * 65535 + '\\n')\n"
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    peaks = []
    for name, code in (("quiet", FIX), ("flood", FIX + flood)):
        root = lay_down(tmp_path / name, code, LEDGER_OF_ONE)
        argv = [sys.executable, "-c", SCRIPT, str(root)]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]))
        assert receipt(root)["agent"]["claims"] == "done"
    written = [p.stat().st_size for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
    log = next(Repo(root).state_dir.glob("turns/*/logs/agent.log"))
    assert log.read_bytes().endswith(b"[orchestrate: log cut here, 209715200 bytes in all]\n")
    assert max(written) < 17 << 20 and sum(written) < 20 << 20
    assert peaks[1] - peaks[0] < 60, f"{peaks} MB"
