"""Product code that answers by how often it was called: it keeps a count, and asks for it.

The count may be a global, an attribute or element of something at the top of the module, a default
argument, a list that grows, an iterator, or a file. An object's own count (`self.n`) is ordinary.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from orchestration.gates.tamper_trees import Mark, dotted, functions

READS = {"read", "read_text", "read_bytes", "readline", "readlines", "load", "loads", "loadtxt"}
WRITES = {"write", "write_text", "write_bytes", "writelines", "dump", "dumps", "savetxt"}
GROWS = {"append", "appendleft", "add"}
SIZES = {"getsize", "stat", "st_size", "tell", "listdir", "iterdir", "glob", "scandir", *READS}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def marks(tree: ast.Module) -> Iterator[Mark]:
    """A mark for each function that counts its calls and compares the count."""
    kept = _bound(tree)
    for function in functions(tree):
        nodes = list(ast.walk(function))
        counted, fixed = _counted(function, nodes, kept)
        for part in nodes:
            if isinstance(part, ast.Compare) and _asks(part, counted, fixed):
                words = f"{function.name} answers by how often it was called"
                yield Mark("P12", part.lineno, words)
                break


def _bound(tree: ast.Module) -> set[str]:
    """Names of objects at the top of a module that outlive a call."""
    found = {n.name for n in tree.body if isinstance(n, Function | ast.ClassDef)}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        found |= {t.id for t in targets if isinstance(t, ast.Name)}
    return found


def _counted(function: Function, nodes: list[ast.AST], kept: set[str]) -> tuple[set[str], set[str]]:
    """Expressions (as text) that grow with each call; those of the second set only when compared
    with a constant, since a position in a text grows as well."""
    shared = {name for n in nodes if isinstance(n, ast.Global) for name in n.names}
    outer = {name for n in nodes if isinstance(n, ast.Nonlocal) for name in n.names}
    defaults = {*function.args.defaults, *function.args.kw_defaults}
    given = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)} if defaults else set()
    counted, fixed = set[str](), set[str]()
    for part in nodes:
        if isinstance(part, ast.AugAssign):
            head, whole = _head(part.target), isinstance(part.target, ast.Name)
            if head in shared or (not whole and head in {*kept, *given, function.name}):
                counted.add(ast.unparse(part.target))
            elif head in outer and whole:
                fixed.add(head)
        elif isinstance(part, ast.Call):
            grows = isinstance(part.func, ast.Attribute) and part.func.attr in GROWS
            if grows and _head(part.func) in {*kept, *given}:
                fixed.add(f"len({ast.unparse(part.func.value)})")  # type: ignore[attr-defined]
            if dotted(part.func) == "next" and part.args and _head(part.args[0]) in kept:
                counted.add(ast.unparse(part))
    counted |= _in_files(nodes)
    for part in nodes:
        if isinstance(part, ast.Assign) and _holds(part.value, counted):
            counted |= {t.id for t in part.targets if isinstance(t, ast.Name)}
    return counted, fixed


def _in_files(nodes: list[ast.AST]) -> set[str]:
    """What was read from a file and is written back one higher; the size of one that grows."""
    writes = [n for n in nodes if isinstance(n, ast.Call) and _last(n) in WRITES]
    if not writes:
        return set()
    sums = [b for n in writes for b in ast.walk(n) if isinstance(b, ast.BinOp)]
    higher = {m.id for b in sums for m in ast.walk(b) if isinstance(m, ast.Name)}
    found = set[str]()
    for part in nodes:
        if isinstance(part, ast.Assign) and _calls(part.value, READS):
            found |= {t.id for t in part.targets if isinstance(t, ast.Name)} & higher
    if any(isinstance(n, ast.Call) and _last(n) == "open" and _appends(n) for n in nodes):
        sizes = [n for n in nodes if isinstance(n, ast.Call | ast.Attribute)]
        found |= {ast.unparse(n) for n in sizes if _last(n) in SIZES}
    return found


def _appends(node: ast.Call) -> bool:
    words = [*node.args, *(k.value for k in node.keywords)]
    return any(isinstance(w, ast.Constant) and w.value in ("a", "ab", "a+", "at") for w in words)


def _asks(node: ast.Compare, counted: set[str], fixed: set[str]) -> bool:
    sides = [node.left, *node.comparators]
    if any(_holds(side, counted) for side in sides):
        return True
    plain = any(isinstance(side, ast.Constant) for side in sides)
    return plain and any(_holds(side, fixed) for side in sides)


def _holds(node: ast.AST, texts: set[str]) -> bool:
    kinds = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)
    return bool(texts) and any(
        ast.unparse(n) in texts for n in ast.walk(node) if isinstance(n, kinds)
    )


def _calls(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(n, ast.Call) and _last(n) in names for n in ast.walk(node))


def _last(node: ast.AST) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _head(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
