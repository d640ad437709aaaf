"""How well a child is fenced in: bubblewrap, the kernel's own parts, or only the process scan.

- ``bwrap``: only what is named is there (`view`), only named folders can be written, and nothing
  outlives the child. Landlock comes on top, where the kernel has it.
- ``kernel``: the same from namespaces and Landlock, with nothing installed (`kernel.py`).
- ``landlock``: the same files but for their metadata (chmod), where namespaces are refused;
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from orchestration.errors import HarnessError
from orchestration.sandbox import kernel, view

Level = Literal["bwrap", "kernel", "landlock", "pidns", "scan"]
LEVELS: tuple[Level, ...] = ("bwrap", "kernel", "landlock", "pidns", "scan")
#: Levels at which a child cannot write outside what is named.
FILE_FENCES: tuple[Level, ...] = ("bwrap", "kernel", "landlock")
#: Levels at which /tmp is the child's own.
OWN_TMP: tuple[Level, ...] = ("bwrap", "kernel")
KERNEL = Path(kernel.__file__)
# The first process of a PID namespace ignores signals it does not handle, so a shell takes that
# place and passes the exit code on. The program and its arguments are never read as shell text.
_INIT = ("/bin/sh", "-c", '"$@"; exit $?', "init")
_UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


# Bubblewrap makes a small /dev of its own; these stay usable, or guards on a GPU could not run.
ACCELERATORS = ("/dev/nvidia*", "/dev/dri", "/dev/kfd")


@dataclass(frozen=True)
class Opened:
    """What a person's settings open to a program besides what it needs anyway."""

    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    network: bool = True
    devices: bool = True


def _works(argv: Sequence[str]) -> bool:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
            cwd="/",  # where we are may be hidden behind the fence: a checkout in the home is
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
    # With a network of its own as well: guards ask for it.
    return _works(wrap(["true"], "bwrap", cwd=Path("/"), opened=Opened(network=False)))


def _accelerators() -> list[str]:
    return sorted(part for kind in ACCELERATORS for part in glob.glob(kind))


@cache
def _kernel_works(level: Level) -> bool:
    return _works(wrap(["true"], level, cwd=Path("/"), opened=Opened(network=False)))


_BWRAP = tuple(
    """
    --die-with-parent --unshare-user --disable-userns --unshare-pid --unshare-ipc --cap-drop ALL
    --dev /dev --proc /proc --tmpfs /tmp --tmpfs /var/tmp --tmpfs /run
    """.split()  # noqa: SIM905 - a command line reads best as words
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
    closed: Sequence[Path] = (),
    opened: Opened | None = None,
    env: Mapping[str, str] | None = None,
) -> list[str]:
    """`argv` started behind the fence of `level`; `writable` folders must exist already.

    Behind a fence for files the child sees the system's folders, what its environment `env` names
    (PATH, and variables that hold paths, but not HOME), and what `readable`, `writable`, `opened`
    and `cwd` name; /tmp is its own and empty. `closed` lies below `writable` and cannot be changed,
    nor can a folder above it be renamed. `opened` is what a person's settings open besides.
    """
    if level == "scan":
        return list(argv)
    if level == "pidns":
        prefix = _unshare_prefix()
        assert prefix is not None
        return [*prefix, "--", *_INIT, *argv]
    opened = opened or Opened()
    named = [*view.of_environment(env or {}), *view.narrow(readable), *opened.readable]
    path = (env or os.environ).get("PATH", os.defpath)
    written = [*map(os.fspath, writable), *opened.writable]
    spec = _spec(level, os.fspath(cwd), view.readable(named, path), written, closed)
    spec["network"] = opened.network
    spec["devices"] = _accelerators() if opened.devices else []
    if level == "bwrap":
        # As a text: a file of the harness would be seen among the mounts.
        inner = ["-c", KERNEL.read_text(encoding="utf-8")]
        return [*_bubblewrap(spec), "--chdir", os.fspath(cwd), "--", *_kernel(inner, spec, argv)]
    return _kernel([str(KERNEL)], spec, argv)


def _kernel(program: Sequence[str], spec: dict[str, Any], argv: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", *program, json.dumps(spec), *argv]


def _spec(
    level: Level, cwd: str, readable: Sequence[str], writable: Sequence[str], closed: Sequence[Path]
) -> dict[str, Any]:
    """What `kernel.py` is told: real paths, and the links by which they are named."""
    # What lies in a writable folder is there with it; a link there is the program's own making.
    writable = view.outermost(writable)
    readable = [p for p in readable if not view.below(os.path.abspath(p), writable)]
    written, links = view.resolved(writable)
    seen, more = view.resolved([*readable, *([cwd] if cwd != "/" else [])])
    shut = [p for p in view.resolved(map(os.fspath, closed))[0] if os.path.exists(p)]
    # A folder above a closed one stays where it is when it is a mount of its own.
    above = {str(up) for p in shut for up in Path(p).parents if _strictly_in(str(up), written)}
    links = {**links, **more}
    return {
        "level": "inner" if level == "bwrap" else level,
        "writable": [*written, *sorted(above, key=len)],
        "readable": [p for p in seen if not view.below(p, written)],
        "closed": shut,
        "hidden": [p for p in view.hidden() if not any(view.below(n, [p]) for n in seen)],
        "links": {p: text for p, text in links.items() if not view.below(p, [*written, *seen])},
    }


def _strictly_in(place: str, folders: Sequence[str]) -> bool:
    return any(view.below(place, [folder]) and place != folder for folder in folders)


def _bubblewrap(spec: dict[str, Any]) -> list[str]:
    binds = list[str]()
    for place, text in spec["links"].items():
        binds += ["--symlink", text, place]
    kinds = dict.fromkeys(spec["readable"], "--ro-bind")
    kinds |= dict.fromkeys(spec["writable"], "--bind")
    kinds |= dict.fromkeys(spec["closed"], "--ro-bind")
    for place in sorted(kinds, key=len):
        binds += [kinds[place], place, place]
    for device in spec["devices"]:
        binds += ["--dev-bind-try", device, device]
    for place in spec["hidden"]:
        folder = os.path.isdir(place)
        binds += ["--tmpfs", place] if folder else ["--ro-bind", "/dev/null", place]
    binds += [
        word for place in spec["hidden"] if os.path.isdir(place) for word in ("--remount-ro", place)
    ]
    for name in kernel.MASKED:
        if os.path.exists(f"/proc/{name}"):
            binds += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    for name in kernel.STEERING:
        if os.path.exists(f"/proc/{name}"):
            binds += ["--ro-bind", f"/proc/{name}", f"/proc/{name}"]
    binds += ["--remount-ro", "/"]
    alone = [] if spec["network"] else ["--unshare-net"]
    return [shutil.which("bwrap") or "bwrap", *_BWRAP, *alone, *binds]


def sees(path: str, python: str, opened: Opened) -> bool:
    """Whether a guard that runs in `python` may read `path`; /tmp and its kin are its own."""
    named = [*view.interpreter(python).places, *opened.readable, *opened.writable]
    shown, _ = view.resolved(view.readable(named, os.environ.get("PATH", os.defpath)))
    return view.below(os.path.realpath(path), [*shown, "/proc", "/dev"])


def repository_of(workspace: Path) -> list[str]:
    """The store of objects that an attempt's repository borrows from, which its git must see.

    It is found by its place: what the workspace itself names, an agent has written.
    """
    stores = [folder / "store.git" for folder in workspace.parents[:3]]
    return [str(store) for store in stores if store.is_dir()]
