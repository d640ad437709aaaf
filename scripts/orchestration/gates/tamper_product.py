"""Rules for product code: constructs that serve to fool a test run, not a user."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestration.gates.tamper_tests import telling
from orchestration.gates.tamper_trees import (
    UNREADABLE,
    Mark,
    aliases,
    catches_everything,
    only_passes,
    parse,
    resolved,
)

RUNNERS = {"pytest", "_pytest", "pluggy"}
INSPECTORS = {"gc"}
UNUSUAL = {"ctypes", "unittest"}
EXITS = {"os._exit", "os.abort", "os.kill", "os.killpg", "atexit.register", "signal.raise_signal"}
COMPARISONS = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__array_ufunc__"}
COMPARISONS |= {"__bool__", "__array_priority__", "__instancecheck__", "__subclasscheck__"}
INSIDES = {"sys.modules", "sys.meta_path", "sys.path_hooks", "sys.settrace", "sys._getframe"}
IMPORTERS = ("__import__", "importlib.import_module", "importlib.__import__")
TEST_VARIABLES = re.compile(r"\bPYTEST_(CURRENT_TEST|VERSION|XDIST_WORKER)\b")


@dataclass(frozen=True)
class Expected:
    """What only the tests should know: names of the guard's tests, `repr` of expected values."""

    names: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()


def marks(text: str | None, expected: Expected) -> list[Mark]:
    """All marks of one side of a product file."""
    if text is None:
        return []
    tree = parse(text)
    try:
        found = None if tree is None else set(_walk(tree, expected))
    except UNREADABLE:
        found = None
    if found is None:
        return [Mark("P00", 0, "the file is not Python: it cannot be read")]
    return sorted(found, key=lambda mark: (mark.line, mark.rule))


def _walk(tree: ast.Module, expected: Expected) -> Iterator[Mark]:
    documentation, names = _docstrings(tree), aliases(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.ClassDef):
            yield from _comparisons(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node)
        elif isinstance(node, ast.Attribute | ast.Name):
            yield from _uses(node, names)
        elif isinstance(node, ast.Call):
            yield from _calls(node, names)
        elif isinstance(node, ast.ExceptHandler):
            if catches_everything(node) and only_passes(node.body):
                yield Mark("P08", line, "an exception is swallowed", mild=True)
        elif isinstance(node, ast.Constant) and id(node) not in documentation:
            yield from _constants(node, expected)


def _docstrings(tree: ast.Module) -> set[int]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr):
                found.add(id(first.value))
    return found


def _comparisons(node: ast.ClassDef) -> Iterator[Mark]:
    """Own comparison methods: honest ones look at the other object, so those are for review."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name in COMPARISONS:
            names = {n.id for n in ast.walk(part) if isinstance(n, ast.Name)}
            others = {a.arg for a in part.args.args[1:]}
            constant = (bool(others) and not others & names) or _returns_one_constant(part)
            words = f"{node.name}.{part.name} " + (
                "answers without looking" if constant else "is overridden"
            )
            yield Mark("P01", part.lineno, words, mild=not constant)
        elif isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None:
            for target in part.targets if isinstance(part, ast.Assign) else [part.target]:
                if isinstance(target, ast.Name) and target.id in COMPARISONS - {"__hash__"}:
                    yield Mark("P01", part.lineno, f"{node.name}.{target.id} is replaced")


def _returns_one_constant(node: ast.FunctionDef) -> bool:
    """Whether every way out gives the same constant (`NotImplemented` is a name, not one)."""
    values = [n.value for n in ast.walk(node) if isinstance(n, ast.Return)]
    constants = {repr(v.value) for v in values if isinstance(v, ast.Constant)}
    return len(constants) == 1 and all(isinstance(v, ast.Constant) for v in values)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[Mark]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [node.module or ""] if node.level == 0 else []
    for name in names:
        top = name.split(".")[0]
        if top in RUNNERS:
            yield Mark("P03", node.lineno, f"product code imports {top}")
        elif top in INSPECTORS:
            yield Mark("P03", node.lineno, f"product code imports {top}, which finds any object")
        elif top in UNUSUAL:
            yield Mark("P03", node.lineno, f"product code imports {name}", mild=True)


def _uses(node: ast.Attribute | ast.Name, names: Mapping[str, str]) -> Iterator[Mark]:
    name, line = resolved(node, names), node.lineno
    stored = isinstance(node.ctx, ast.Store)
    if name in EXITS:
        yield Mark("P02", line, f"`{name}` in product code", mild=name == "os.kill")
    elif name in INSIDES:
        yield Mark("P04", line, f"`{name}` in product code", mild=name == "sys._getframe")
    elif stored and name.startswith("builtins."):
        yield Mark("P04", line, f"`{name}` is replaced")
    elif stored and isinstance(node, ast.Attribute) and node.attr in COMPARISONS:
        yield Mark("P01", line, f"`{name}` is replaced")


def _calls(node: ast.Call, names: Mapping[str, str]) -> Iterator[Mark]:
    name = resolved(node.func, names)
    texts = [a.value if isinstance(a, ast.Constant) else None for a in node.args]
    word = texts[0] if texts and isinstance(texts[0], str) else ""
    if name in IMPORTERS and word.split(".")[0] in RUNNERS | INSPECTORS:
        yield Mark("P03", node.lineno, f"product code imports {word}")
    elif name in IMPORTERS and node.args and not word:
        yield Mark("P03", node.lineno, f"`{name}` of a name that is not written out", mild=True)
    if name == "getattr" and "_exit" in texts[1:2]:
        yield Mark("P02", node.lineno, "`_exit` reached by its name")
    if name == "setattr" and len(texts) > 1 and texts[1] in COMPARISONS:
        yield Mark("P01", node.lineno, f"`{texts[1]}` is replaced")
    if name == "type" and len(node.args) == 3 and isinstance(node.args[2], ast.Dict):
        keys = {k.value for k in node.args[2].keys if isinstance(k, ast.Constant)}
        for key in sorted(k for k in keys if k in COMPARISONS):
            yield Mark("P01", node.lineno, f"`{key}` of a made type is replaced")
    if name in ("sys.exit", "exit", "quit"):
        yield Mark("P02", node.lineno, f"`{name}()` in product code", mild=True)
    if name in ("eval", "exec", "compile"):
        yield Mark("P10", node.lineno, f"`{name}()` hides what it runs", mild=True)


def _constants(node: ast.Constant, expected: Expected) -> Iterator[Mark]:
    value = node.value
    if isinstance(value, str):
        if TEST_VARIABLES.search(value):
            yield Mark("P04", node.lineno, "product code asks whether it is being tested")
        elif value in RUNNERS:
            yield Mark("P04", node.lineno, f"the word {value!r} in product code", mild=True)
        if any(name in value for name in expected.names):
            yield Mark("P05", node.lineno, "the name of a guard test in product code")
        if value.startswith(("tests/", "test/")):
            yield Mark("P09", node.lineno, "product code reads from the tests", mild=True)
    if telling(value) and repr(value) in expected.values:
        yield Mark("P06", node.lineno, f"an expected value of the guard ({value!r:.40})")
