"""What a program behind a fence may read: an allow-list of files and folders.

System folders; the interpreter with its packages; the folders of PATH and the tools that they link
to; and what is named. Nothing else of the machine: no home, no other checkout, no key. What is in
the system's folders but closed to some users (keys of servers, password hashes) is hidden, for
root as well.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SYSTEM = tuple(
    """
    /usr /bin /sbin /lib /lib32 /lib64 /libx32 /etc /opt /nix/store /gnu/store
    /run/current-system /run/opengl-driver /var/cache/fontconfig /var/lib/ca-certificates
    /sys/block /sys/bus /sys/class /sys/dev /sys/devices /sys/module /sys/fs/cgroup /sys/kernel/mm
    """.split()  # noqa: SIM905 - a list of names reads best as words
)
BESIDE = tuple(
    """
    bin sbin lib lib32 lib64 libexec include shims versions version plugins installs toolchains
    pyvenv.cfg
    """.split()  # noqa: SIM905
)
"""What belongs to an installation in a folder that holds other things too (~/.local, ~/.cargo)."""
_LOOKED_THROUGH = ("/etc", "/usr/local/etc", "/opt")
_DEPTH, _ENTRIES = 3, 20_000
_NOT_PLACES = ("HOME", "PWD", "OLDPWD", "TMPDIR", "PATH", "PYTHONPATH", "XDG_")
_ASK = """
import json, os, site, sys
user = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
print(json.dumps({"prefixes": prefixes, "path": sys.path, "user": user, "base": site.USER_BASE,
                  "programs": [sys.executable, os.path.realpath(sys.executable)]}))
"""


@dataclass(frozen=True)
class Interpreter:
    """What an interpreter needs to start and to find its packages."""

    places: tuple[str, ...] = ()
    user_base: str = ""
    """Where `pip install --user` puts packages, when there are any: it is below HOME."""


def readable(named: Iterable[str], path: str) -> list[str]:
    """All that a program may read: the system's folders, those of `path`, and what is named."""
    found = [*SYSTEM, os.path.realpath("/etc/resolv.conf"), *of_path(path), *named]
    asked = [sys.executable, *(shutil.which(name, path=path) for name in ("python", "python3"))]
    for python in dict.fromkeys(asked):  # the first runs a part of the fence
        if python is not None:
            found += interpreter(python).places
    return list(dict.fromkeys(p for p in found if os.path.isabs(p) and os.path.exists(p)))


def resolved(paths: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Real paths, and the symbolic links on the way to them (path of the link: its text)."""
    real: dict[str, None] = {}
    links: dict[str, str] = {}
    for path in paths:
        real[_follow(os.path.abspath(path), links)] = None
    return outermost(real), links


def outermost(paths: Iterable[str]) -> list[str]:
    """`paths` without those that lie in another of them."""
    kept: list[str] = []
    for place in sorted(map(os.path.abspath, paths), key=len):
        if not below(place, kept):
            kept.append(place)
    return kept


def _follow(path: str, links: dict[str, str]) -> str:
    """`path` with its links followed one by one; each is recorded."""
    for _ in range(40):
        done = ""
        for part in path.split("/")[1:]:
            here = f"{done}/{part}"
            if os.path.islink(here):
                text = os.readlink(here)
                links[here] = text
                rest = path[len(here) :]
                path = os.path.normpath(os.path.join(done or "/", text)) + rest
                break
            done = here
        else:
            return path
    return os.path.realpath(path)


def below(path: str, folders: Iterable[str]) -> bool:
    """Whether `path` is one of `folders` or lies in one."""
    return any(path == f or path.startswith(f.rstrip("/") + "/") for f in folders)


def is_broad(path: str) -> bool:
    """Whether a folder holds a person's home, all of it: never opened because of a program."""
    real = os.path.realpath(path)
    home = os.path.realpath(os.environ.get("HOME") or Path.home())
    return below(home, [real]) or "/home" in (real, os.path.dirname(real))


def narrow(paths: Iterable[str]) -> list[str]:
    """`paths` without those that would open a whole home."""
    return [path for path in paths if not is_broad(path)]


def hidden(folders: Sequence[str] = _LOOKED_THROUGH) -> list[str]:
    """What lies in the system's folders and is closed to some users, but not to this one."""
    found: list[str] = []
    for folder in folders:
        found += _closed(folder, _DEPTH)
    return found


def _closed(folder: str, depth: int) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries[:_ENTRIES]:
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except OSError:
            continue
        if stat.S_ISLNK(mode):
            continue
        wanted = 0o5 if stat.S_ISDIR(mode) else 0o4
        if mode & wanted != wanted:
            if os.access(entry.path, os.R_OK):
                yield entry.path
        elif stat.S_ISDIR(mode) and depth > 1:
            yield from _closed(entry.path, depth - 1)


def of_path(path: str) -> list[str]:
    """What the folders of a PATH outside the system need: themselves and their installations."""
    found: list[str] = []
    for folder in dict.fromkeys(path.split(os.pathsep)):
        if os.path.isabs(folder) and os.path.isdir(folder) and not _of_system(folder):
            found += _tools(folder)
    return found


@cache
def _tools(folder: str) -> tuple[str, ...]:
    if is_broad(folder):
        return ()
    found = [folder, *_installation(os.path.dirname(folder))]
    with os.scandir(folder) as entries:
        linked = [e.path for e in list(entries)[:500] if e.is_symlink() and e.is_file()]
        linked = [link for link in linked if os.access(link, os.X_OK)]
    for link in linked:
        real = os.path.realpath(link)
        if not _of_system(real) and not below(real, [folder]):
            found += _holding(real)
    return tuple(dict.fromkeys(found))


def _holding(real: str) -> list[str]:
    """The environment or folder of packages that a program lies in, else the program alone."""
    for parent in Path(real).parents:
        if is_broad(str(parent)):
            break
        if parent.name == "node_modules" or _is_environment(parent):
            return [str(parent)]
    return [real]


def _is_environment(folder: Path) -> bool:
    marks = ("pyvenv.cfg", "conda-meta")
    return any((folder / m).exists() for m in marks) and not (folder / ".git").exists()


def _installation(prefix: str) -> list[str]:
    """The parts of an installation; all of it where it is an environment of its own."""
    folder = Path(prefix)
    if is_broad(prefix) or _of_system(prefix):
        return []
    if _is_environment(folder):
        return [prefix]
    if (folder / ".git").exists() and not (folder / "shims").is_dir():
        return []  # a checkout that has its own bin/ on PATH
    return [str(folder / name) for name in BESIDE if (folder / name).exists()]


def _of_system(path: str) -> bool:
    real = os.path.realpath(path)
    return below(real, SYSTEM)


@cache
def interpreter(python: str) -> Interpreter:
    """What `python` needs; it is asked itself, once."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [python, "-c", _ASK],
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return Interpreter()  # it is told elsewhere that it does not start
    found: list[str] = []
    for prefix in dict.fromkeys(told["prefixes"]):
        found += _whole(prefix)
    asked = shutil.which(python)  # links on the way to it may lie anywhere
    found += [*told["programs"], *([os.path.abspath(asked)] if asked else [])]
    folders = [p for p in told["path"] if p and not _of_system(p)]
    user = told["user"] if told["user"] in folders else ""
    for folder in folders:
        if not is_broad(folder) and (folder == user or not _in_checkout(folder, found)):
            found.append(folder)
            found += _linked_packages(folder)
    return Interpreter(tuple(dict.fromkeys(found)), told["base"] if user else "")


def _whole(prefix: str) -> list[str]:
    """An interpreter's own folder, unless it is one that holds other things too."""
    folder = Path(prefix)
    if is_broad(prefix) or _of_system(prefix):
        return []
    mixed = folder.name == ".local" or (folder / ".git").exists()
    return _installation(prefix) if mixed and not _is_environment(folder) else [prefix]


def _in_checkout(folder: str, known: Sequence[str]) -> bool:
    """Whether a folder of packages lies in somebody's checkout (an editable installation)."""
    if below(folder, known):
        return False
    return any((parent / ".git").exists() for parent in (Path(folder), *Path(folder).parents))


def _linked_packages(folder: str) -> list[str]:
    """What links in a folder of packages lead to (installers can link in place of copying)."""
    try:
        with os.scandir(folder) as entries:
            links = [entry.path for entry in entries if entry.is_symlink()]
    except OSError:
        return []
    found = []
    for link in links:
        real = os.path.realpath(link)
        home = os.path.dirname(real)
        shared = os.path.basename(home) in ("site-packages", "dist-packages")
        found.append(home if shared else real)
    return narrow(dict.fromkeys(found))


def own_folders(folder: Path, python: str) -> dict[str, str]:
    """Make a HOME and a TMPDIR below `folder`, new and empty; the variables that name them.

    Packages of `pip install --user` are found in HOME: they stay where they are.
    """
    home, short = folder / "home", folder / "t"  # Unix sockets have room for 108 bytes of path
    for place in (home, short):
        place.mkdir(mode=0o700, parents=True)
    env = {"HOME": str(home), "TMPDIR": str(short), "XDG_CACHE_HOME": str(home / ".cache")}
    base = interpreter(python).user_base
    return {**env, "PYTHONUSERBASE": base} if base else env


def of_environment(env: Mapping[str, str]) -> list[str]:
    """Files and folders that variables name; never HOME and its kin, never a whole home.

    PYTHONPATH names import roots of a checkout, in which an attempt may have laid a link.
    """
    found = []
    for name, value in env.items():
        if not name.startswith(_NOT_PLACES):
            found += [p for p in value.split(os.pathsep) if os.path.isabs(p) and os.path.exists(p)]
    return narrow(found)
