"""Read a shell script into its commands: pipelines, groups, branches and loops.

Only the part of the grammar that checks are written in; for the rest (functions, arrays) the reader
says that it is open what the script does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

_OPERATOR = re.compile(r"&&|\|\||\|&|;;|[<>]+&?|&>>?|.|\n")
_SEPARATORS = frozenset((";", "&", "&&", "||", "|", "|&", ";;", ")"))
_ENDS = {"{": "}", "(": ")", "if": "fi", "while": "done", "until": "done", "for": "done",
         "case": "esac"}  # fmt: skip
_DEEPEST = 40


class NoScript(Exception):
    """No shell reads this, or the reader does not: what it does is open."""


class Block(NamedTuple):
    """A compound command.

    Args:
        kind: `{`, `(`, `if`, `while`, `until`, `for`, or `!` for the negation of a block.
        lists: of `{` and `(`: its commands; of a loop: condition (of `for`: nothing) and body; of
            `if`: condition, commands, condition, commands, …, and last those of an `else`; of
            `case`: all its words as one command, for none of them is followed.
        negated: of `!`: what is negated.
    """

    kind: str
    lists: tuple[list[Step], ...] = ()
    negated: Block | None = None


Part = list[str] | Block
"""A command of a pipeline: its words, or a compound one."""


class Step(NamedTuple):
    """A pipeline and the operator before it: ``""``, ``;``, ``&&`` or ``||``.

    `behind`: the script goes on without waiting for it (``&``).
    """

    pipeline: list[Part]
    before: str
    behind: bool = False


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def steps(self, *until: str) -> list[Step]:
        """Commands up to one of these words, which is not taken; without any: to the end."""
        found: list[Step] = []
        before = ""
        while (token := self.peek()) not in until:
            if self.at >= len(self.tokens):
                raise NoScript
            if token == ";":
                before = ";" if found else ""
                self.take()
                continue
            found.append(Step(pipeline := self.pipeline(), before))
            if not pipeline:
                raise NoScript
            token = self.peek()
            before = token
            if token == "&":
                found[-1] = Step(pipeline, found[-1].before, behind=True)
                before = ";"
            elif token in ("&&", "||"):
                self.take()
                while self.peek() == ";":  # a line break may follow
                    self.take()
                if self.peek() in ("", *until):
                    raise NoScript
                continue
            elif token not in ("", ";", *until):
                raise NoScript
            if token in ("&", ";"):
                self.take()
        if "" not in until and not found:
            raise NoScript  # a block must not be empty
        return found

    def pipeline(self) -> list[Part]:
        parts = [self.part()]
        while self.peek() in ("|", "|&"):
            self.take()
            while self.peek() == ";":
                self.take()
            parts.append(self.part())
        if any(part == [] for part in parts) and len(parts) > 1:
            raise NoScript
        return parts

    def part(self) -> Part:
        words: list[str] = []
        assigned = False
        while self.at < len(self.tokens) and self.peek() not in _SEPARATORS:
            token = self.take()
            if token in ("function", "select", "coproc") and words in ([], ["!"]):
                raise NoScript
            if token == "[[" and words in ([], ["!"]):
                words.append(token)
                self.inside(words, "[[", "]]")
                continue
            if token in _ENDS and words in ([], ["!"]) and not assigned:
                block = self.block(token)
                self.redirects()
                return Block("!", negated=block) if words else block
            if set(token) <= set("<>&"):
                self.target()
            elif token == "(":
                if not words or not words[-1].endswith("$"):
                    raise NoScript  # a function or an array
                words.append(token)
                self.inside(words)
            elif not words and re.match(r"[A-Za-z_]\w*=", token):
                assigned = True
                if token.endswith(("$", "=")) and self.peek() == "(":
                    raise NoScript
            else:
                words.append(token)
        # An assignment alone succeeds, unless a command is put in its place, which is read above.
        return words or (["true"] if assigned else [])

    def redirects(self) -> None:
        while (token := self.peek()) and set(token) <= set("<>&") and token not in _SEPARATORS:
            self.take()
            self.target()
        if self.at < len(self.tokens) and self.peek() not in _SEPARATORS:
            raise NoScript

    def target(self) -> None:
        if self.take() == "(":  # of `<(command)`
            self.inside([])

    def inside(self, words: list[str], opens: str = "(", closes: str = ")") -> None:
        """Take the words up to the bracket that closes, after one that opened."""
        deep = 1
        while deep:
            if self.at >= len(self.tokens):
                raise NoScript
            words.append(token := self.take())
            deep += {opens: 1, closes: -1}.get(token, 0)

    def block(self, kind: str) -> Block:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NoScript
        lists: list[list[Step]] = []
        if kind == "case":
            words: list[str] = []
            self.inside(words, "case", "esac")
            self.depth -= 1
            return Block(kind, ([Step([words], "")],))
        if kind in ("while", "until"):
            lists.append(self.steps("do"))
            self.take()
        elif kind == "for":
            while self.peek() not in ("do", ""):
                self.take()
            self.take()
            lists.append([])
        elif kind == "if":
            word = "elif"
            while word == "elif":
                lists.append(self.steps("then"))
                self.take()
                lists.append(self.steps("elif", "else", "fi"))
                word = self.peek()
                if word != "fi":
                    self.take()
            if word == "else":
                lists.append(self.steps("fi"))
        if kind != "if":
            lists.append(self.steps(_ENDS[kind]))
        self.take()
        self.depth -= 1
        return Block(kind, tuple(lists))


def read_script(script: str) -> list[Step]:
    """Return the commands of a script.

    Raises:
        NoScript: no shell reads it, or it is more than this reader knows.
    """
    return _Reader(_tokens(script)).steps("")


def simple_commands(steps: list[Step]) -> Iterator[list[str]]:
    """Yield the words of every plain command, inside of blocks too."""
    for step in steps:
        for part in step.pipeline:
            block = part
            while isinstance(block, Block) and block.negated:
                block = block.negated
            if isinstance(block, Block):
                for each in block.lists:
                    yield from simple_commands(each)
            else:
                yield block


def _tokens(script: str) -> list[str]:
    """Cut a script into words and operators; a line break is ``;``."""
    reader = shlex.shlex(script, posix=True, punctuation_chars="();<>|&\n")
    reader.whitespace, reader.commenters = " \t\r", ""
    reader.whitespace_split = True
    try:
        found = list(reader)
    except ValueError as error:
        raise NoScript from error
    kept: list[str] = []
    comment = False
    for token in found:
        marks = set(token) <= set("();<>|&\n")  # a run of operators is one token
        for piece in _OPERATOR.findall(token) if marks else [token]:
            if piece == "\n":
                comment = False
                kept.append(";")
            elif comment or piece.startswith("#"):
                comment = True
            else:
                kept.append(piece)
    return kept
