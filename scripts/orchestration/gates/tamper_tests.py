"""Rules for changed test files: what was removed, skipped or made easier."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from orchestration.core import matches
from orchestration.gates.tamper_trees import (
    UNREADABLE,
    Mark,
    added,
    aliases,
    catches_everything,
    dotted,
    only_passes,
    parse,
    resolved,
)

# Keywords whose growth makes a comparison easier, and those whose growth makes it harder.
LOOSER_UP = {"rtol", "atol", "rel", "abs", "rel_tol", "abs_tol", "delta", "tol", "tolerance", "eps"}
LOOSER_DOWN = {"decimal", "places", "significant"}
SKIPPERS = {"skip", "skipif", "xfail", "skipTest", "importorskip", "skipIf", "skipUnless"}
SKIPPERS |= {"expectedFailure"}
MOCKS = {"patch", "MagicMock", "Mock", "AsyncMock", "setattr", "create_autospec"}
RUNNER = {"pytest", "_pytest", "pluggy", "unittest", "builtins", "numpy"}
BROAD = ("Exception", "BaseException")


@dataclass(frozen=True)
class _Test:
    """What a test function demands."""

    path: str
    line: int
    asserts: int
    tolerances: dict[str, list[float]]
    names: frozenset[str] = frozenset()
    """Every name that it uses."""
    checks: bool = True
    """Whether it, or a function or fixture of its file that it comes to, checks anything."""


@dataclass(frozen=True)
class _File:
    """The tests of one side of a file by name (with their class), and its suspicious constructs."""

    tests: Mapping[str, _Test]
    constructs: Sequence[Mark]
    cases: Mapping[str, int] = field(default_factory=dict)
    """How many elements each collection at the top of the file has."""


def compare(
    files: Mapping[str, tuple[str | None, str | None]],
    gone: Set[str] = frozenset(),
    *,
    asked: Sequence[str] = (),
) -> list[Mark]:
    """Marks for test files given as (old text, new text).

    A test may go together with the product code that it tests (`gone` are names that the product
    no longer has) where the order opens its file (`asked`).
    """
    sides = {path: (_read(was, path), _read(now, path)) for path, (was, now) in files.items()}
    # over all files, so that a moved test is found again
    old = {name: test for was, _ in sides.values() if was for name, test in was.tests.items()}
    new = {name: test for _, now in sides.values() if now for name, test in now.tests.items()}
    found = []
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            if before.names & gone and matches(before.path, asked):
                continue
            found.append(Mark("T01", before.line, f"test {name} was removed", path=before.path))
            continue
        if after.asserts < before.asserts:
            words = f"test {name} has {after.asserts} checks, had {before.asserts}"
            found.append(Mark("T02", after.line, words, path=after.path))
        found += _loosened(name, before, after)
    for name, test in new.items():
        if name not in old and not test.checks:
            found.append(
                Mark("T13", test.line, f"the new test {name} checks nothing", path=test.path)
            )
    for path, (was, now) in sides.items():
        for name, count in (was.cases if was else {}).items():
            left = now.cases.get(name, count) if now else count
            if left < count:
                words = f"`{name}` has {left} elements, had {count}"
                found.append(Mark("T12", 0, words, path=path))
        if now is not None:
            found += added(was.constructs if was else (), now.constructs)
        elif files[path][1] is not None:
            found.append(Mark("T00", 0, "the file is not Python: it cannot be read", path=path))
    return found


def _read(text: str | None, path: str) -> _File | None:
    """What a file holds; None where there is none or it cannot be read."""
    tree = parse(text)
    if tree is None:
        return None
    try:
        return _File(_tests(tree, path), list(_constructs(tree, path)), _collections(tree))
    except UNREADABLE:
        return None


def _tests(tree: ast.Module, path: str) -> dict[str, _Test]:
    found: dict[str, _Test] = {}
    numbers, checking = _numbers(tree), _checking(tree)
    for owner, node in _named(tree):
        count, used = sum(1 for _ in _checks(node)), _used(node)
        checks = bool(count or used & checking)
        bounds = _tolerances(node, numbers)
        found[f"{owner}{node.name}"] = _Test(
            path, node.lineno, count, bounds, frozenset(used), checks
        )
    return found


def _used(node: ast.AST) -> set[str]:
    """Every name that a function uses; the fixtures that it takes are names too."""
    parts = list(ast.walk(node))
    return (
        {part.id for part in parts if isinstance(part, ast.Name)}
        | {part.attr for part in parts if isinstance(part, ast.Attribute)}
        | {part.arg for part in parts if isinstance(part, ast.arg)}
    )


def _checking(tree: ast.Module) -> set[str]:
    """Names of the file's functions and fixtures that check something, or come to one that does."""
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("test")
    ]
    found = {node.name for node in functions if any(True for _ in _checks(node))}
    left = {node.name: _used(node) for node in functions if node.name not in found}
    while more := {name for name, used in left.items() if used & found}:
        found |= more
        left = {name: used for name, used in left.items() if name not in more}
    return found


def _collections(tree: ast.Module) -> dict[str, int]:
    """Elements of the lists, tuples, sets and dictionaries that the file gives a name to, and of
    those that its tests are parametrized with."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            size = _size(node.value)
            for target in node.targets:
                if isinstance(target, ast.Name) and size is not None:
                    found[target.id] = size
    for owner, function in _named(tree):
        for mark in function.decorator_list:
            if isinstance(mark, ast.Call) and dotted(mark.func).endswith("parametrize"):
                size = _size(mark.args[1]) if len(mark.args) > 1 else None
                if size is not None:
                    found[f"{owner}{function.name}"] = size
    return found


def _size(node: ast.expr) -> int | None:
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return len(node.elts)
    return len(node.keys) if isinstance(node, ast.Dict) else None


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name.startswith("test"):
                yield "", node
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                if part.name.startswith("test"):
                    yield f"{node.name}.", part


def _checks(node: ast.AST) -> Iterator[ast.AST]:
    """Assertions that can fail: `assert`, `assert…()` calls, `pytest.raises`, `warns`, `fail`."""
    for part in ast.walk(node):
        if isinstance(part, ast.Assert) and not _always_true(part.test):
            yield part
        elif isinstance(part, ast.Call):
            last = dotted(part.func).rsplit(".", 1)[-1]
            if last.lower().lstrip("_").startswith("assert") or last in ("raises", "warns", "fail"):
                yield part


def _always_true(test: ast.expr) -> bool:
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return any(_always_true(part) for part in test.values)
    same = isinstance(test, ast.Compare) and len(test.ops) == 1
    if same and isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq | ast.Is):
        return ast.dump(test.left) == ast.dump(test.comparators[0])
    return isinstance(test, ast.Tuple) and bool(test.elts)


def _numbers(tree: ast.Module) -> dict[str, float]:
    """Numbers that the file gives a name to."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, int | float):
                    found[target.id] = float(node.value.value)
    return found


def _number(node: ast.expr, names: Mapping[str, float]) -> float | None:
    if isinstance(node, ast.Constant):
        return float(node.value) if isinstance(node.value, int | float) else None
    return names.get(node.id) if isinstance(node, ast.Name) else None


def _tolerances(node: ast.AST, names: Mapping[str, float]) -> dict[str, list[float]]:
    """Bounds by keyword or compared text; one that cannot be read is as loose as can be."""
    found: dict[str, list[float]] = {}
    for part in ast.walk(node):
        for keyword in part.keywords if isinstance(part, ast.Call) else ():
            if keyword.arg in LOOSER_UP | LOOSER_DOWN:
                value = _number(keyword.value, names)
                loosest = -math.inf if keyword.arg in LOOSER_DOWN else math.inf
                found.setdefault(keyword.arg or "", []).append(loosest if value is None else value)
        if isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Lt | ast.LtE):
            limit = _number(part.comparators[0], names)
            if limit is not None:
                found.setdefault(f"{ast.unparse(part.left)} <", []).append(limit)
    return found


def _loosened(name: str, before: _Test, after: _Test) -> list[Mark]:
    found = []
    if after.asserts <= before.asserts:
        for key in LOOSER_UP:
            more = len(after.tolerances.get(key, [])) - len(before.tolerances.get(key, []))
            if more > 0:
                words = f"test {name}: a check got `{key}`"
                found.append(Mark("T04", after.line, words, path=after.path))
    for key, old in before.tolerances.items():
        new = after.tolerances.get(key, [])
        pairs = zip(sorted(old), sorted(new), strict=False)
        down = key in LOOSER_DOWN
        for was, now in pairs:
            if (now < was) if down else (now > was):
                words = f"test {name}: {key} loosened from {was:g} to {now:g}"
                found.append(Mark("T04", after.line, words, path=after.path))
    return found


def _constructs(tree: ast.Module, path: str) -> Iterator[Mark]:
    names = aliases(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Attribute | ast.Name):
            last = node.attr if isinstance(node, ast.Attribute) else node.id
            if last in SKIPPERS and isinstance(node.ctx, ast.Load):
                yield Mark("T03", line, f"new `{dotted(node)}`", path=path)
        changed = isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
        if changed and resolved(node, names).split(".")[0] in RUNNER:
            yield Mark("T11", line, f"`{dotted(node)}` is replaced", path=path)
        if isinstance(node, ast.Assert) and _always_true(node.test):
            yield Mark("T05", line, f"`assert {ast.unparse(node.test)}` cannot fail", path=path)
        if isinstance(node, ast.Call):
            yield from _calls(node, line, path, names)
        if isinstance(node, ast.ExceptHandler):
            yield from _handlers(node, path)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("pytest_"):
            yield Mark("T10", line, f"a pytest hook: {node.name}", path=path)


def _handlers(node: ast.ExceptHandler, path: str) -> Iterator[Mark]:
    if catches_everything(node) and only_passes(node.body):
        yield Mark("T07", node.lineno, "an exception is swallowed", path=path)


def _calls(node: ast.Call, line: int, path: str, names: Mapping[str, str]) -> Iterator[Mark]:
    name = dotted(node.func)
    target = node.args[0] if node.args else None
    if name.rsplit(".", 1)[-1] in ("setattr", "patch", "object", "delattr") and target is not None:
        word = resolved(target, names)
        if isinstance(target, ast.Constant):
            word = str(target.value)
        if word.split(".")[0] in RUNNER:
            yield Mark("T11", line, f"`{word}` is patched: it runs or judges tests", path=path)
    last = name.rsplit(".", 1)[-1]
    if last == "raises" and node.args and dotted(node.args[0]) in BROAD:
        yield Mark("T06", line, f"`raises({dotted(node.args[0])})` accepts any error", path=path)
    if name == "quit" or name == "exit" or name in ("os._exit", "sys.exit", "pytest.exit"):
        yield Mark("T11", line, f"`{name}` ends the run", path=path)
    if last in MOCKS and (last != "setattr" or "monkeypatch" in name):
        yield Mark("T08", line, f"`{name}` replaces code under test", mild=True, path=path)
