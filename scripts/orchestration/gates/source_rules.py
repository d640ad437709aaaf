"""What the rules say about the Python of a change; a program of its own where that is much.

Reading hostile Python costs memory and time without bound (4 MB of attribute chains: 700 MB). More
than a little is therefore read by a child with a limit on both; past the limit nothing is known,
and a reviewer is asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from orchestration.gates import special_cases, taken_names, tamper_product, tamper_tests
from orchestration.gates.tamper_trees import Mark, added, functions, parse, removed_names
from orchestration.sandbox import run_child, scrub_env

LITTLE = 128 << 10
"""Characters that are read in this process: at most some 150 MB of syntax trees."""
MOST = 8 << 20
SECONDS, MEMORY = 20, 256 << 20
MOST_MARKS, MOST_WORDS = 1000, 400
_CHILD = "from orchestration.gates.source_rules import main; main()"
Sides = Mapping[str, tuple[str | None, str | None]]


class TooMuch(Exception):
    """The Python of a change is more than the rules can read within their bounds."""


@dataclass(frozen=True)
class Sources:
    """Texts of a change: (old, new) by path, and what the tests of the guard look like."""

    tests: Sides
    product: Sides
    guard: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the guard's tests by file; an empty name is the whole file."""
    guard_texts: Mapping[str, str] = field(default_factory=dict)
    test_texts: Mapping[str, str] = field(default_factory=dict)
    """The guard's files and every conftest.py."""
    asked: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    """Modules that are not the product's."""

    @property
    def size(self) -> int:
        """Characters of all that an attempt may have written."""
        pairs = (*self.tests.values(), *self.product.values())
        return sum(len(text or "") for pair in pairs for text in pair)


def read(sources: Sources) -> list[Mark]:
    """All marks of a change; raises TooMuch where its Python passes the bounds."""
    if sources.size <= LITTLE:
        return _marks(sources)
    if sources.size > MOST:
        raise TooMuch(f"{sources.size} characters of Python, more than {MOST}")
    lines: list[str] = []
    env = scrub_env({"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})
    done = run_child(
        [sys.executable, "-P", "-c", _CHILD],
        "/",
        env,
        total_s=6.0 * SECONDS,
        stdin=json.dumps(asdict(sources)).encode(),
        on_line=lines.append,
    )
    if not done.ok or not lines or lines[-1] != "whole":
        bounds = f"{SECONDS} s and {MEMORY >> 20} MB"
        raise TooMuch(f"the rules cannot read {sources.size} characters of Python within {bounds}")
    return [Mark(*json.loads(line)) for line in lines[:-1]]


def _marks(sources: Sources) -> list[Mark]:
    gone = removed_names(sources.product.values())
    found = [*tamper_tests.compare(sources.tests, gone, asked=sources.asked)]
    expected, foreign = _expected(sources), frozenset(sources.foreign)
    for path, (old, new) in sources.product.items():
        marks = tamper_product.marks(new, expected, foreign)
        fresh = added(tamper_product.marks(old, expected, foreign), marks)
        found += [Mark(m.rule, m.line, m.message, m.mild, path) for m in fresh]
    if sources.product:
        found += taken_names.marks(sources.test_texts, sources.product)
    return found


def _expected(sources: Sources) -> tamper_product.Expected:
    """Names and cases of the guard's tests."""
    names = set[str]()
    cases: list[special_cases.Tried] = []
    for path, listed in sources.guard.items():
        wanted, tree = set(listed), parse(sources.guard_texts.get(path))
        if "" in wanted and tree is not None:  # the whole file
            wanted |= {f.name for f in functions(tree) if f.name[:4] == "test"}
        names |= wanted
        if tree is not None:
            cases += special_cases.tried_by(tree, wanted)
    return tamper_product.Expected(frozenset(name for name in names if name), tuple(cases))


def main() -> None:
    """The child: sources as JSON on standard input, a line for each mark, then `whole`."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    given = json.loads(sys.stdin.buffer.read())
    for mark in _marks(Sources(**given))[:MOST_MARKS]:
        row: Sequence[object] = (mark.rule, mark.line, mark.message[:MOST_WORDS], mark.mild)
        print(json.dumps([*row, mark.path]))
    print("whole")
