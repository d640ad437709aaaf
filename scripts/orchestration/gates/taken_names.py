"""What tests take from product modules besides the code under test: tolerances, cases, helpers.

A changed constant that a test measures with, or a changed helper that asserts for it, changes the
test from inside the product. A constant that is itself compared with a value (a version) is code
under test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from orchestration.gates.tamper_product import shadowed_builtins
from orchestration.gates.tamper_trees import Mark, dotted, functions, parse


def marks(
    tests: Mapping[str, str], product: Mapping[str, tuple[str | None, str | None]]
) -> Iterator[Mark]:
    """Marks for product files given as (old, new text), whose names the `tests` (texts) take."""
    trees = [tree for tree in map(parse, tests.values()) if tree is not None]
    for path, (old, new) in product.items():
        before, after = parse(old), parse(new)
        if after is None:
            continue
        module = dotted_name(path)
        taken, star = _taken(trees, module)
        if before is not None:
            for name in sorted(taken):
                yield from _changed(name, before, after, trees, path)
        if star:
            fresh = shadowed_builtins(after) - (shadowed_builtins(before) if before else set())
            for name in sorted(fresh):
                words = f"hides the builtin `{name}` in tests that import all of {module}"
                yield Mark("P13", 0, words, path=path)


def dotted_name(path: str) -> str:
    """`src/calc/util.py` as `src.calc.util`; a package is its folder."""
    pure = PurePosixPath(path).with_suffix("")
    return ".".join(pure.parts[:-1] if pure.name == "__init__" else pure.parts)


def _is(module: str, imported: str) -> bool:
    return bool(imported) and (module == imported or module.endswith("." + imported))


def _taken(trees: list[ast.Module], module: str) -> tuple[set[str], bool]:
    """Names that tests take from a module, and whether one takes all."""
    names, star = set[str](), False
    for tree in trees:
        local = set[str]()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if _is(module, alias.name):
                        local.add(alias.asname or alias.name)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if _is(module, node.module or ""):
                        star = star or alias.name == "*"
                        names.add(alias.name)
                    elif _is(module, f"{node.module or ''}.{alias.name}".lstrip(".")):
                        local.add(alias.asname or alias.name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and dotted(node.value) in local:
                names.add(node.attr)
    return names - {"*"}, star


def _changed(
    name: str, before: ast.Module, after: ast.Module, trees: list[ast.Module], path: str
) -> Iterator[Mark]:
    old, new = _defined(before, name), _defined(after, name)
    if old is None or (new is not None and ast.dump(old) == ast.dump(new)):
        return
    line = getattr(new, "lineno", 0)
    if isinstance(old, ast.FunctionDef | ast.AsyncFunctionDef):
        if _asserts(old):
            yield Mark("P13", line, f"`{name}`, which asserts for the tests, changed", path=path)
    elif (
        not isinstance(old, ast.ClassDef)
        and not name.startswith("__")
        and not all(_is_under_test(name, tree) for tree in trees)
    ):
        yield Mark("P13", line, f"`{name}`, which the tests measure with, changed", path=path)


def _defined(tree: ast.Module, name: str) -> ast.stmt | None:
    found: ast.stmt | None = None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found = node if node.name == name else found
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                found = node
    return found


def _asserts(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function is an assertion: by its name, or by what it does."""
    if node.name.lower().startswith(("assert", "expect", "verify_", "check_")):
        return True
    raised = {dotted(n.exc) for n in ast.walk(node) if isinstance(n, ast.Raise) and n.exc}
    return "AssertionError" in raised or any(isinstance(n, ast.Assert) for n in ast.walk(node))


def _is_under_test(name: str, tree: ast.Module) -> bool:
    """Whether every use of a name in a test is one side of `==`, the other side a constant."""
    uses = [
        n
        for n in ast.walk(tree)
        if (isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load))
        or (isinstance(n, ast.Attribute) and n.attr == name)
    ]
    plain = set[int]()
    for function in functions(tree):
        for part in ast.walk(function):
            if isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Eq | ast.Is):
                sides = [part.left, part.comparators[0]]
                for this, that in (sides, sides[::-1]):
                    if isinstance(that, ast.Constant | ast.List | ast.Tuple | ast.UnaryOp):
                        plain.add(id(this))
    return all(id(use) in plain for use in uses)
