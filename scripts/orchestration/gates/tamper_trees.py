"""Small helpers on syntax trees, shared by the tamper rules."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# What Python raises for a text that is no Python, or too deep or too big to be walked.
UNREADABLE = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Mark:
    """A rule that matched: `mild` marks are notes, the others ask for a review."""

    rule: str
    line: int
    message: str
    mild: bool = False
    path: str = ""


def parse(text: str | None) -> ast.Module | None:
    """The tree, or None for no text or no Python."""
    if text is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except UNREADABLE:
        return None


def added(old: Sequence[Mark], new: Sequence[Mark]) -> list[Mark]:
    """Marks of the new side that the old side has fewer of (line numbers do not matter)."""
    room = Counter((m.rule, m.message) for m in old)
    out = []
    for mark in new:
        key = (mark.rule, mark.message)
        if room[key] > 0:
            room[key] -= 1
        else:
            out.append(mark)
    return out


def removed_names(sides: Iterable[tuple[str | None, str | None]]) -> set[str]:
    """Functions and classes of the old texts that no new text defines any more."""
    old, new = set[str](), set[str]()
    for was, now in sides:
        for text, names in ((was, old), (now, new)):
            tree = parse(text)
            for node in ast.walk(tree) if tree is not None else ():
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    names.add(node.name)
    return old - new


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute chain (a call's target included), "" for anything else."""
    words: list[str] = []
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Attribute):
            words.append(node.attr)
        node = node.value if isinstance(node, ast.Attribute) else node.func
    if isinstance(node, ast.Name):
        words.append(node.id)
    return ".".join(reversed(words))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def only_passes(body: list[ast.stmt]) -> bool:
    """Whether a block does nothing (`pass`, `...`, a bare string)."""
    return all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in body
    )


def catches_everything(handler: ast.ExceptHandler) -> bool:
    """`except:`, `except Exception:` or `except BaseException:`."""
    return handler.type is None or dotted(handler.type) in ("Exception", "BaseException")


def aliases(tree: ast.AST) -> dict[str, str]:
    """What imported names stand for: `from os import _exit as e` gives {"e": "os._exit"}."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def resolved(node: ast.AST, names: Mapping[str, str]) -> str:
    """`dotted`, with the first word replaced by what it was imported as."""
    head, dot, rest = dotted(node).partition(".")
    return f"{names.get(head, head)}{dot}{rest}"


def text_of(node: ast.AST | None) -> str | None:
    """A text that is written out, in one part or in several; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is None or right is None else left + right
    return None
