"""Selectors: which tests are meant, written in documents and handed to pytest, read in one way.

A selector is words as a shell would split them - files, folders, node ids, `-k EXPR`, `-m EXPR` -
with one addition: the brackets of a node id keep what is in them, so that
`tests/x.py::test_y[two words]` is one id without quotes. Reading never fails: a quote or bracket
that is not closed is a character like any other.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

_QUOTES = ("'", '"')
_ENDS = (",", ";")
QUIET = ("-q", "-v", "-vv", "-x")
"""Options of a pytest command that change nothing about which tests are meant."""


class Selector(NamedTuple):
    """Files, folders and node-id prefixes, and pytest's `-k` and `-m` ("" for none)."""

    nodes: tuple[str, ...] = ()
    keyword: str = ""
    marker: str = ""
    ignored: tuple[str, ...] = ()
    """Options that were written and mean nothing here."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files and folders that are named, each once, in order."""
        return tuple(dict.fromkeys(node.split("::", 1)[0] for node in self.nodes))

    @property
    def options(self) -> tuple[str, ...]:
        """Arguments for pytest that narrow down what the nodes name."""
        pairs = (("-k", self.keyword), ("-m", self.marker))
        return tuple(word for name, value in pairs if value for word in (name, value))

    @property
    def argv(self) -> tuple[str, ...]:
        """All arguments for pytest."""
        return (*self.nodes, *self.options)

    def __bool__(self) -> bool:
        return bool(self.argv)

    def __str__(self) -> str:
        return " ".join(shlex.quote(word) for word in self.argv)

    def prefixes(self) -> tuple[str, ...]:
        """The nodes as pytest may write them: it writes `é` in a parameter's name as `\\xe9`."""
        return tuple(dict.fromkeys(form for node in self.nodes for form in (node, _escaped(node))))


def parse_selector(text: str | Sequence[str]) -> Selector:
    """Read a selector from the text of a document, or from words that are split already."""
    nodes: list[str] = []
    ignored: list[str] = []
    values = {"-k": "", "-m": ""}
    given = _without_pytest(split_selector(text)) if isinstance(text, str) else text
    words = iter(given)
    for word in words:
        if word in values:
            values[word] = next(words, "")
        else:
            (ignored if word.startswith("-") else nodes).append(word)
    named = (node.removeprefix("./").rstrip("/") for node in nodes)
    return Selector(tuple(filter(None, named)), values["-k"], values["-m"], tuple(ignored))


def of_pytest_command(argv: Sequence[str]) -> Selector | None:
    """The tests of a `pytest …` command; None when it is another one, or has other options."""
    words = _without_pytest(list(argv))
    if len(words) == len(argv):
        return None
    selector = parse_selector(_rejoined([word for word in words if word not in QUIET]))
    return selector if selector.nodes and not selector.ignored else None


def _without_pytest(words: list[str]) -> list[str]:
    """Words without the program in front: `pytest`, or `python -m pytest`."""
    program = words[2:] if words[:2] in (["python", "-m"], ["python3", "-m"]) else words
    return program[1:] if program[:1] == ["pytest"] else words


def split_selector(text: str) -> list[str]:
    """Split a text into words: quotes and backslashes as in a shell, brackets of ids kept whole."""
    words: list[str] = []
    word: list[str] | None = None
    at, named, closed = 0, False, True
    while at < len(text):
        char = text[at]
        if char.isspace():
            words += [] if word is None else ["".join(word)]
            word, named, at = None, False, at + 1
            continue
        taken, end = char, at + 1
        named = named or text[at - 1 : at + 1] == "::"
        if char in _QUOTES and text.find(char, at + 1) > 0:
            taken, end = _quoted(text, at)
        elif char == "\\" and end < len(text):
            taken, end = text[end], end + 1
        elif char == "[" and named and closed:
            end = _end_of_brackets(text, at)
            closed = end > at
            end = end if closed else at + 1
            taken = text[at:end]
        word = [] if word is None else word
        word.append(taken)
        at = end
    return words if word is None else [*words, "".join(word)]


def _quoted(text: str, at: int) -> tuple[str, int]:
    """What stands in quotes that begin at `at`, and where the text goes on."""
    quote, n = text[at], at + 1
    found: list[str] = []
    while n < len(text):
        if text[n] == quote:
            return "".join(found), n + 1
        if quote == '"' and text[n] == "\\" and text[n + 1 : n + 2] in ('"', "\\"):
            n += 1
        found.append(text[n])
        n += 1
    return quote, at + 1


def _end_of_brackets(text: str, at: int) -> int:
    """Where the brackets that open at `at` end: the balanced place, else the first; or -1."""
    depth, first = 0, -1
    for n in range(at, len(text)):
        depth += (text[n] == "[") - (text[n] == "]")
        after = text[n + 1 : n + 2]
        if text[n] == "]" and (not after or after.isspace() or after in _ENDS):
            if depth <= 0:
                return n + 1
            first = n + 1 if first < 0 else first
    return first


def _rejoined(words: list[str]) -> list[str]:
    """Words of a shell, with those put together again that the brackets of an id held together."""
    found: list[str] = []
    while words:
        word, words = words[0], words[1:]
        if "::" in word and word.count("[") > word.count("]"):
            until = next((n for n, part in enumerate(words) if part.endswith("]")), -1)
            if not any("::" in part for part in words[: until + 1]):
                word, words = " ".join([word, *words[: until + 1]]), words[until + 1 :]
        found.append(word)
    return found


def _escaped(node: str) -> str:
    """A node id with its parameters as pytest writes them, without characters beyond ASCII."""
    name, bracket, parameters = node.partition("[")
    return name + bracket + parameters.encode("unicode_escape").decode("ascii")
