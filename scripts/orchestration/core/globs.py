"""Globs: the one language in which orders, ledger, configuration and gates name paths.

`*` and `?` stay inside a folder, `**` crosses folders (inside a name too: `tests/**_ab.py`),
`[ab]`, `[a-z]` and `[!ab]` stand for one character that is no `/`. A bare folder (`tests`,
`tests/`, `./tests`) stands for itself and all below it, `tests/**` likewise. A path that is
written exactly like the glob matches it, so that a file named `[b].py` can be named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

_CLASS = r"\[(?:!(?:\]|[^\]/])|\]|[^\]!/])[^\]/]*\]"
_TOKEN = re.compile(rf"/\*\*\Z|\*\*/|\*\*|{_CLASS}|.", re.DOTALL)


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether `path` (repository-relative, `/`) is named by one of `globs`.

    A node id is accepted as a glob too: `tests/x.py::test_y` names `tests/x.py`.
    """
    path = path.removeprefix("./")
    for glob in globs:
        bare = glob.split("::", 1)[0].removeprefix("./")
        folder = bare.rstrip("/") + "/"
        if path == bare or path.startswith(folder) or _fits(path, bare):
            return True
    return False


@lru_cache(maxsize=4096)
def _tokens(glob: str) -> tuple[str | re.Pattern[str], ...]:
    text = f"{glob}**" if glob.endswith("/") else glob
    pieces: list[str] = _TOKEN.findall(text)
    return tuple(re.compile(translate(p)) if p[0] == "[" and p != "[" else p for p in pieces)


def _fits(path: str, glob: str) -> bool:
    """Follow all readings of a glob at once: the cost is its length times that of the path."""
    at = {0}  # how much of the path the tokens so far can stand for
    for token in _tokens(glob):
        if isinstance(token, re.Pattern):
            at = {n + 1 for n in at if path[n : n + 1] != "/" and token.match(path[n : n + 1])}
        elif token == "/**":
            return any(path[n : n + 1] in ("", "/") for n in at)
        elif token == "**":
            at = set(range(min(at), len(path) + 1))
        elif token == "**/":
            at |= {n + 1 for n in range(min(at), len(path)) if path[n] == "/"}
        elif token == "*":
            at = _to_the_end_of_the_folder(path, at)
        elif token == "?":
            at = {n + 1 for n in at if path[n : n + 1] not in ("", "/")}
        else:
            at = {n + 1 for n in at if path[n : n + 1] == token}
        if not at:
            return False
    return len(path) in at


def _to_the_end_of_the_folder(path: str, at: set[int]) -> set[int]:
    found: set[int] = set()
    for place in sorted(at):
        while place not in found:
            found.add(place)
            if path[place : place + 1] in ("", "/"):
                break
            place += 1
    return found
