"""How well a child is fenced in: bubblewrap, the kernel's own parts, or only the process scan.

- ``bwrap``: the file system is read-only except for named folders, and nothing outlives the child.
- ``kernel``: the same from namespaces and Landlock, with nothing installed (`kernel.py`).
- ``landlock``: files are protected but for their metadata (chmod), where namespaces are refused;
  processes are found as by ``scan``. It has no /tmp of its own, so it is never taken by itself.
- ``pidns``: nothing outlives the child; files are not protected (what changed is told).
- ``scan``: `reaping` finds what is left by group, marker and adoption; files as above.

The level that held is returned with every run and goes into the receipt: never assumed.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from orchestration.errors import HarnessError

Level = Literal["bwrap", "kernel", "landlock", "pidns", "scan"]
LEVELS: tuple[Level, ...] = ("bwrap", "kernel", "landlock", "pidns", "scan")
#: Levels at which a child cannot write outside what is named.
FILE_FENCES: tuple[Level, ...] = ("bwrap", "kernel", "landlock")
KERNEL = Path(__file__).with_name("kernel.py")
# The first process of a PID namespace ignores signals it does not handle, so a shell takes that
# place and passes the exit code on. The program and its arguments are never read as shell text.
_INIT = ("/bin/sh", "-c", '"$@"; exit $?', "init")
_UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


# Bubblewrap makes a small /dev of its own; these stay usable, or guards on a GPU could not run.
ACCELERATORS = ("/dev/nvidia*", "/dev/dri", "/dev/kfd")


def _works(argv: Sequence[str]) -> bool:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@cache
def _unshare_prefix() -> tuple[str, ...] | None:
    if shutil.which("unshare") is None:
        return None
    for extra in ((), ("--user", "--map-current-user")):
        prefix = (*_UNSHARE, *extra)
        if _works([*prefix, "--", *_INIT, "true"]):
            return prefix
    return None


@cache
def _bwrap_works() -> bool:
    if shutil.which("bwrap") is None:
        return False
    return _works(["bwrap", *_BWRAP, "--", "true"])


def _kernel_prefix(
    level: str, writable: Sequence[Path] = (), shown: Sequence[str] = ()
) -> tuple[str, ...]:
    spec = {
        "level": level,
        "writable": [os.fspath(path) for path in writable],
        "readable": None,
        "shown": list(shown),
        "network": True,
        "devices": _accelerators(),
    }
    return (sys.executable, "-I", "-S", str(KERNEL), json.dumps(spec))


def _accelerators() -> list[str]:
    return sorted(part for kind in ACCELERATORS for part in glob.glob(kind))


@cache
def _kernel_works(level: str) -> bool:
    return _works([*_kernel_prefix(level), "true"])


_BWRAP = (
    "--die-with-parent",
    "--unshare-pid",
    "--unshare-ipc",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--tmpfs",
    "/tmp",
)


def available() -> list[Level]:
    """Levels that work on this machine for this user, best first (each is tried once)."""
    found: list[Level] = []
    if _bwrap_works():
        found.append("bwrap")
    found += [level for level in ("kernel", "landlock") if _kernel_works(level)]  # type: ignore[misc]
    if _unshare_prefix():
        found.append("pidns")
    return [*found, "scan"]


def choose(wanted: str = "auto", *, trusted: bool = False, agent: bool = False) -> Level:
    """The level to use: the best available for `auto`, else exactly the one asked for.

    What a person wrote is `trusted`: `auto` then keeps processes together but leaves files open.
    An `agent` is not started by `auto` where nothing keeps it from the person's files.
    """
    levels = available()
    if agent and wanted == "auto" and not {"bwrap", "kernel"}.intersection(levels):
        raise HarnessError(
            "no fence for files works here, so no agent is started",
            expected="bwrap, or a kernel that allows user namespaces and Landlock",
            got=", ".join(levels),
            fix="install bubblewrap (apt install bubblewrap), or write `isolation: none` into "
            "orchestration.yaml: the agent can then change anything that you can",
        )
    if wanted == "auto":
        left_out = FILE_FENCES if trusted else ("landlock",)
        return next(level for level in levels if level not in left_out)
    for level in levels:
        if level == wanted:
            return level
    raise HarnessError(
        f"isolation {wanted!r} does not work here",
        expected=f"auto or one of: {', '.join(levels)}",
        got=wanted,
        fix="install bubblewrap (apt install bubblewrap)" if wanted == "bwrap" else None,
    )


def wrap(
    argv: Sequence[str],
    level: Level,
    *,
    cwd: Path,
    writable: Sequence[Path] = (),
    readable: Sequence[str] = (),
) -> list[str]:
    """`argv` started behind the fence of `level`; `writable` folders must exist already.

    Bubblewrap and the kernel's fence give the child an empty /tmp; what `argv` or `readable` name
    in it stays visible.
    """
    if level == "scan":
        return list(argv)
    if level == "pidns":
        prefix = _unshare_prefix()
        assert prefix is not None
        return [*prefix, "--", *_INIT, *argv]
    if level in ("kernel", "landlock"):
        return [*_kernel_prefix(level, writable, _shown(argv, readable)), *argv]
    binds = []
    for device in _accelerators():
        binds += ["--dev-bind-try", device, device]
    for place in _shown(argv, readable):
        binds += ["--ro-bind-try", place, place]
    for path in writable:
        binds += ["--bind", str(path), str(path)]
    return ["bwrap", *_BWRAP, *binds, "--chdir", os.fspath(cwd), "--", *argv]


def repository_of(workspace: Path) -> list[str]:
    """The store of objects that a workspace's repository borrows from, which its git must see."""
    borrowed = workspace / ".git" / "objects" / "info" / "alternates"
    if borrowed.is_symlink() or not borrowed.is_file():
        return []
    lines = borrowed.read_text(encoding="utf-8", errors="replace").splitlines()
    return [os.path.dirname(line) for line in lines[:1]]


def _shown(argv: Sequence[str], readable: Sequence[str]) -> list[str]:
    """Paths below /tmp that the child needs: the program's installation and what is named."""
    program = shutil.which(argv[0]) or argv[0]
    named = [os.path.dirname(os.path.dirname(os.path.abspath(program))), *argv, *readable]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        named.append(os.path.dirname(folder))
    found: list[str] = []
    for path in sorted(p for p in set(named) if p.startswith("/tmp/") and os.path.exists(p)):
        # What lies in a folder that is bound already is there; binding over a link in it fails.
        if not any(path == folder or path.startswith(folder + "/") for folder in found):
            found.append(path)
    return found
