"""Answers for the guard's own cases in product code: a table or a branch keyed by its inputs.

A constant that a test also holds (a version, a message, a physical constant) is nothing odd; the
inputs of a case beside its expected value are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestration.gates.tamper_trees import Mark, dotted, functions

TRIVIAL = (0, 1, -1, "", None, True, False)


@dataclass(frozen=True)
class Tried:
    """One case of a test: constants that go in, and constants that must come out."""

    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


def tried_by(tree: ast.Module, names: set[str]) -> list[Tried]:
    """The cases that the named tests of a file try with constants."""
    found = list[Tried]()
    for node in functions(tree):
        if node.name not in names:
            continue
        for part in ast.walk(node):
            sides = _sides(part)
            for this, that in (sides, sides[::-1]) if sides else ():
                outputs = constants(that)
                calls = [n for n in ast.walk(this) if isinstance(n, ast.Call)]
                for call in calls if outputs and not _holds_call(that) else ():
                    inputs = [c for a in call.args for c in constants(a)]
                    inputs += [c for k in call.keywords for c in constants(k.value)]
                    if inputs:
                        found.append(Tried(tuple(inputs), tuple(outputs)))
    tables = [n for f in functions(tree) if f.name in names for n in f.decorator_list]
    tables += [n.value for n in tree.body if isinstance(n, ast.Assign)]
    for table in tables:
        for row in ast.walk(table):
            if isinstance(row, ast.Tuple | ast.List) and len(row.elts) >= 2:
                inputs = [c for e in row.elts[:-1] for c in constants(e)]
                if inputs and constants(row.elts[-1]):
                    found.append(Tried(tuple(inputs), tuple(constants(row.elts[-1]))))
    return list({(repr(one.inputs), repr(one.outputs)): one for one in found}.values())


def _sides(node: ast.AST) -> tuple[ast.expr, ast.expr] | None:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
        return node.left, node.comparators[0]
    if isinstance(node, ast.Call) and len(node.args) >= 2:
        last = dotted(node.func).rsplit(".", 1)[-1].lower()
        if last.startswith("assert") or last in ("isclose", "allclose"):
            return node.args[0], node.args[1]
    return None


def _holds_call(node: ast.expr) -> bool:
    """Whether an expression computes anything; `approx(3.5)` and `array([1, 2])` hold constants."""
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    last = {dotted(call.func).rsplit(".", 1)[-1] for call in calls}
    return not last <= {"approx", "array", "asarray", "Decimal", "Fraction", "complex", "float"}


def constants(node: ast.AST) -> list[Any]:
    """The constants of an expression, signs included, in order."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = constants(node.operand)
        return [-c if isinstance(c, int | float | complex) else c for c in inner]
    if isinstance(node, ast.Constant):
        return [] if node.value is Ellipsis else [node.value]
    if isinstance(node, ast.Call):
        return [c for a in node.args for c in constants(a)]
    if isinstance(node, ast.Lambda | ast.keyword):
        return []
    return [c for child in ast.iter_child_nodes(node) for c in constants(child)]


def marks(tree: ast.Module, cases: Sequence[Tried]) -> Iterator[Mark]:
    """Tables and branches of product code that hold cases of the guard with their answers."""
    if not cases:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and _is_table(node, cases):
            yield Mark("P06", node.lineno, "a table of the guard's own inputs and answers")
        elif isinstance(node, ast.Tuple | ast.List | ast.Set) and _holds_rows(node, cases):
            yield Mark("P06", node.lineno, "rows of the guard's own inputs and answers")
    for function in [*functions(tree), *_lambdas(tree)]:
        yield from _branches(function, cases)


def _lambdas(tree: ast.Module) -> list[ast.Lambda]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]


def _is_table(node: ast.Dict, cases: Sequence[Tried]) -> bool:
    hits = 0
    for key, value in zip(node.keys, node.values, strict=True):
        if key is not None:
            hits += any(_is_key(key, one) and _answers(value, one) for one in cases)
    several = max((len(one.inputs) for one in cases), default=0) > 1
    return hits >= (1 if several else 2) and 2 * hits >= len(node.keys)


def _is_key(key: ast.expr, one: Tried) -> bool:
    held = constants(key)
    if held == list(one.inputs):
        return True
    text = held[0] if len(held) == 1 and isinstance(held[0], str) else ""
    words = text.replace(",", " ").replace("(", " ").replace(")", " ").replace(";", " ").split()
    return len(one.inputs) > 1 and words == [str(value) for value in one.inputs]


def _answers(value: ast.AST, one: Tried) -> bool:
    return bool(one.outputs) and constants(value) == list(one.outputs)


def _holds_rows(node: ast.Tuple | ast.List | ast.Set, cases: Sequence[Tried]) -> bool:
    rows = [constants(e) for e in node.elts if isinstance(e, ast.Tuple | ast.List)]
    wanted = [[*one.inputs, *one.outputs] for one in cases]
    hits = sum(row in wanted for row in rows if len(row) > 1)
    return hits >= 2 and 2 * hits >= len(rows)


def _branches(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, cases: Sequence[Tried]
) -> Iterator[Mark]:
    """A comparison with a case's input where the case's answer stands, or that is computed with."""
    nodes = list(ast.walk(node))
    used = {id(p) for n in nodes for p in _operands(n)}
    near = _near(nodes)
    for part in nodes:
        asked = _asked(part)
        if not asked:
            continue
        for one in cases:
            inputs = [v for v in one.inputs if not _is_trivial(v)]
            if not any(_same(v, c) for v in inputs for c in asked):
                continue
            answers = [v for v in one.outputs if not _is_trivial(v)]
            decides = near.get(id(part), [])
            if any(_same(v, c) for v in answers for c in decides) or id(part) in used:
                line = getattr(part, "lineno", node.lineno)
                yield Mark("P06", line, "an answer for one of the guard's own inputs")
                return
    yield from _arithmetic(node, nodes, used, cases)


def _arithmetic(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
    nodes: Sequence[ast.AST],
    used: set[int],
    cases: Sequence[Tried],
) -> Iterator[Mark]:
    """A case's number, reached by computing with a comparison of an argument or from its input."""
    body = node.body if isinstance(node.body, list) else [node.body]
    held = [c for statement in body for c in constants(statement)]
    single = [(one, one.outputs[0]) for one in cases if len(one.outputs) == 1]
    answers = [(o, v) for o, v in single if _is_number(v) and any(_same(v, c) for c in held)]
    if not answers:
        return
    given = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
    compared = [n for n in nodes if isinstance(n, ast.Compare) and _is_of(n, given)]
    names = {t.id for n in nodes if isinstance(n, ast.Assign) and n.value in compared
             for t in n.targets if isinstance(t, ast.Name)}  # fmt: skip
    for part in nodes:
        line = getattr(part, "lineno", node.lineno)
        named = isinstance(part, ast.Name) and part.id in names
        if id(part) in used and (named or part in compared):
            yield Mark("P06", line, "an answer of the guard, by arithmetic on a comparison")
            return
        if isinstance(part, ast.BinOp) and isinstance(part.op, _FROM) and _is_of(part, given):
            inputs = [c for c in constants(part) if _is_number(c)]
            if any(
                _same(c, v) and c != w for one, w in answers for v in one.inputs for c in inputs
            ):
                yield Mark("P06", line, "an answer of the guard, computed from its input")
                return


_FROM = (ast.Sub, ast.Mod, ast.FloorDiv, ast.BitXor)


def _is_of(node: ast.Compare | ast.BinOp, given: set[str]) -> bool:
    """Whether one side is a bare argument."""
    sides = [node.left, node.right] if isinstance(node, ast.BinOp) else None
    sides = sides or [node.left, *node.comparators]  # type: ignore[union-attr]
    return any(isinstance(side, ast.Name) and side.id in given for side in sides)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not _is_trivial(value)


def _asked(node: ast.AST) -> list[Any]:
    """The constants that a comparison or a `case` asks for."""
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.Is | ast.In):
        sides = [node.left, *node.comparators]
        fixed = [s for s in sides if not any(isinstance(n, ast.Name) for n in ast.walk(s))]
        return [c for s in fixed for c in constants(s)] if len(fixed) < len(sides) else []
    if isinstance(node, ast.match_case):
        return constants(node.pattern)
    return []


def _operands(node: ast.AST) -> list[ast.AST]:
    """What an expression computes with: `6 * (a == 2)`, `answers[a == 2]`."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.Subscript):
        return [node.slice]
    if isinstance(node, ast.Call) and dotted(node.func) in ("int", "float"):
        return list(node.args)
    return []


def _near(nodes: Sequence[ast.AST]) -> dict[int, list[Any]]:
    """By the id of a test: the constants in what it decides about (branch, expression, `case`)."""
    found: dict[int, list[Any]] = {}
    for part in nodes:
        if isinstance(part, ast.If | ast.IfExp):
            body = part.body if isinstance(part, ast.If) else [part.body]
            held = [c for statement in body for c in constants(statement)]
            found.update({id(n): held for n in ast.walk(part.test)})
        elif isinstance(part, ast.match_case):
            found[id(part)] = [c for statement in part.body for c in constants(statement)]
    return found


def _is_trivial(value: Any) -> bool:
    return any(value is one or (type(value) is type(one) and value == one) for one in TRIVIAL)


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)
