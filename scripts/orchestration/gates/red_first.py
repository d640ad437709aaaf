"""Why new tests are red on the base: an assertion, something that is not there yet, or neither."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import PurePosixPath

from orchestration.gates.guard_types import GuardResult
from orchestration.gates.scope import is_guarded

_MISSING = (
    re.compile(r"No module named '([\w.]+)'"),
    re.compile(r"cannot import name '\w+' from (?:partially initialized module )?'([\w.]+)'"),
    re.compile(r"module '([\w.]+)' has no attribute"),
)
_ASSERTS = ("assert", "AssertionError", "Failed", "_pytest.outcomes.Failed")
_ABSENT = ("NameError", "NotImplementedError", "AttributeError", "TypeError")


def unexplained(
    result: GuardResult, ours: Callable[[str], bool], products: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Tests of the attempt's own (`ours` tells by path) whose red shows nothing, and their words.

    A test must assert, fail inside product code, or miss something of `products` (the top names of
    packages and modules of base and attempt).
    """
    for name, outcome in result.nodes.items():
        path = name.partition("::")[0]
        if outcome == "passed" or not ours(path):
            continue
        broken = [text for node, text in result.messages.items() if path == node.partition("::")[0]]
        if outcome == "missing":
            text = next((t for t in broken if t), "")
            said = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
            words = said[-1] if said else result.reason
            if not (_misses(words, products) or _of_product(_files(text))):
                yield name, words[:200]
            continue
        words = result.messages.get(name, outcome).strip().splitlines()[0]
        kind = words.partition(":")[0].split(" ")[0]
        if outcome == "failed" and kind in _ASSERTS:
            continue
        if _misses(words, products) or _of_product(result.through.get(name, ())):
            continue
        if outcome == "failed" and kind in _ABSENT:
            continue
        yield name, words[:200]


def _misses(words: str, products: Collection[str]) -> bool:
    found = [match[1] for pattern in _MISSING if (match := pattern.search(words))]
    return any(name.split(".")[0] in products for name in found)


def _files(text: str) -> list[str]:
    """The files of a traceback in pytest's short form."""
    return re.findall(r"^(\S+\.py):\d+: in ", text, re.MULTILINE)


def _of_product(paths: Collection[str]) -> bool:
    """Whether a failure went through product code: a path of the checkout that is no test."""
    inside = [path for path in paths if not path.startswith(("/", ".."))]
    return any(not is_guarded(str(PurePosixPath(path))) for path in inside)
