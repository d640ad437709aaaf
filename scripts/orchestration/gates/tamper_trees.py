"""Small helpers on syntax trees, shared by the tamper rules."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """A rule that matched: `mild` marks are for a reviewer, the others void the attempt."""

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
    except (SyntaxError, ValueError, RecursionError):
        return None


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute chain (a call's target included), "" for anything else."""
    if isinstance(node, ast.Call):
        return dotted(node.func)
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else node.attr
    return node.id if isinstance(node, ast.Name) else ""


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
