"""Red by the machine and not by the product: what a failure says that no change of code can fix.

A guard must be red on the base for the reason that the order gives. A module, fixture or file that
is merely absent from the checkout is no such reason, and no agent is asked to work against it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

_MODULE = re.compile(r"No module named '([\w.]+)'")
_NAME = re.compile(r"cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'")
_FILE = re.compile(r"No such file or directory: '([^'\n]+)'")
_MARK = re.compile(r"Unknown pytest\.mark\.(\w+)")
_FIXTURE = re.compile(r"fixture '(\w+)' not found")
_SHARED = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")
_SOURCES = (".c", ".cc", ".cpp", ".pyx", ".rs", ".f", ".f90", ".cu", ".in")


def environment_fault(
    messages: Mapping[str, str],
    red: Collection[str],
    *,
    files: Collection[str],
    home: Path,
    import_roots: Collection[str] = (".",),
    declared: str = "",
) -> str:
    """Why all of the `red` tests fail by their environment, in a few words; "" where one does not.

    `messages` are failure texts by test (or by file, where it could not be collected), `files` the
    paths of the tree and `home` the person's checkout, which may hold what the tree lacks;
    `declared` is the text that names the library's dependencies: another module that is absent may
    be what an order asks for.
    """
    found, known = "", _plain(declared)
    for name in red:
        text = messages.get(name) or messages.get(name.partition("::")[0], "")
        why = _fault(text, set(files), home, tuple(import_roots), known)
        if not why:
            return ""
        found = found or why
    return found


def _plain(text: str) -> str:
    return text.lower().replace("-", "_")


def _fault(text: str, files: set[str], home: Path, roots: tuple[str, ...], known: str) -> str:
    if "async def functions are not natively supported" in text:
        return "no plugin for asynchronous tests is loaded (`plugins: [pytest_asyncio]`, or anyio)"
    if found := _MARK.search(text):
        return f"the mark {found[1]!r} is of a plugin that is not loaded (`plugins: [pytest_…]`)"
    if found := _FIXTURE.search(text):
        name = found[1]
        return f"no fixture {name!r} (name its plugin: `plugins: [pytest_…]`)"
    if found := _SHARED.search(text):
        return f"the shared library {found[1]} is not there (`guard_read:`, or install it)"
    for module in _MODULE.findall(text):
        if why := _module_fault(module, files, home, roots, known):
            return why
    for name, package in _NAME.findall(text):
        if why := _absent(f"{package}.{name}", files, home, roots):
            return why
    for path in _FILE.findall(text):
        where = PurePosixPath(os.path.normpath(path))
        tail = where.parts[1:] if where.is_absolute() else where.parts
        for start in range(len(tail) if where.is_absolute() else 1):
            rest = "/".join(tail[start:])
            outside = not rest or rest.startswith("..") or rest in files
            if not outside and (home / rest).exists():
                return f"{rest} is in your checkout and in no fresh one (`carry: [{rest}]`)"
    return ""


def _module_fault(
    module: str, files: set[str], home: Path, roots: tuple[str, ...], known: str
) -> str:
    top = module.split(".")[0]
    for root in roots:
        start = "" if root in (".", "") else f"{root.strip('/')}/"
        if any(p.startswith((f"{start}{top}/", f"{start}{top}.")) for p in files):
            return _absent(module, files, home, roots)
    if top.startswith("pytest_") or re.search(rf"\b{_plain(top)}\b", known):
        return f"the module {module!r} is not installed for the tests' interpreter (`python:`)"
    return ""


def _absent(module: str, files: set[str], home: Path, roots: tuple[str, ...]) -> str:
    """Whether a module of the product is one that is generated or compiled."""
    for root in roots:
        place = PurePosixPath(root, *module.split("."))
        folder, stem = place.parent, place.name
        for path in files:
            pure = PurePosixPath(path)
            if (
                pure.parent == folder
                and pure.name.split(".")[0] == stem
                and path.endswith(_SOURCES)
            ):
                return f"{module} is not built from {path} (`prepare:`)"
        for there in sorted((home / folder).glob(f"{stem}.*")):
            rest = there.relative_to(home).as_posix()
            if rest not in files:
                return f"{rest} is in your checkout and in no fresh one (`prepare:`, or `carry:`)"
    return ""
