"""The ways in which a task of an order says that its file does not exist yet."""

from __future__ import annotations

import re

_VERBS = frozenset(
    ("create", "author", "add", "write", "generate", "scaffold", "introduce", "draft", "capture",
     "record", "produce", "emit", "extract", "save", "store", "stub", "implement (test)",
     "author (test)", "add (test)")
)  # fmt: skip
_SAID = re.compile(
    r"(?i)\b(?:create|author|write|generate|scaffold|introduce|draft|produce|extract|save|store|emit"
    r"|stub(?: out)?|set up|add(?=[ \t]+(?:an?|the|one)?[ \t]*(?:\w+[ \t]+){0,2}new\b))"
    r"(?:[ \t]+(?:a|an|the|one|new|minimal|targeted|failing|regression|unit|pytest|test|tests|file|"
    r"module|script|helper|results?|output|under|in|into|at|to|as|called|named))*[ \t:]*[`*]*$"
)
_MARKED = re.compile(
    r"(?i)\((?:new|to be (?:added|authored|created|written))[^()]{0,40}\)"
    r"|\bnew (?:file|test|module|script|helper|tool)\b"
    r"|\b(?:does not exist yet|not yet present|to be (?:authored|created|written))\b"
)


def says_new(verb: str, before: str, text: str) -> bool:
    """Tell whether a task creates the file it names.

    ``verb`` stands before a colon, ``before`` is what precedes the file, ``text`` the whole.
    """
    return (
        verb.lower() in _VERBS
        or _SAID.search(before[-120:]) is not None
        or _MARKED.search(text[:2000]) is not None
    )
