"""Rules on the repository: selectors, paths, symbols, contracts, base, branch, surfaces."""

from __future__ import annotations

import ast
import re

from orchestration.core import matches
from orchestration.documents.grammar import Diagnostic, make, selector_paths
from orchestration.documents.order.model import Order, Task
from orchestration.documents.order.rules import Rule, ValidationContext
from orchestration.errors import HarnessError

_CODE = (".py", ".pyi")
#: Plan-local tools that an item may have; the next extension is W13.
MAX_PLAN_TOOLS = 2
_BLOCKS = (ast.If, ast.Try, ast.With, ast.For, ast.ExceptHandler)


def _creates(order: Order, path: str, context: ValidationContext) -> bool:
    """Whether the order makes a path: ``new:`` says so, other words where it does not exist."""
    tasks = [task for task in order.tasks if any(ref.path == path for ref in task.refs)]
    absent = context.exists is not None and not context.exists(path)
    said = any(task.new or (absent and task.creates) for task in tasks)
    return order.selector_new or said


def _selector(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    line = order.line("selector")
    path = context.path
    if order.selector is None:
        if order.mode in ("Docs", "none"):
            return []
        return [make("E03", path, line, "no selector", "write `Selector: tests/x.py::test_y`")]
    if order.selector == "none":
        if order.mode in ("Docs", "none", None):
            return []
        message = f"`Selector: none` is for Mode: Docs, not {order.mode}"
        return [make("E03", path, line, message, "name a test")]
    places = selector_paths(order.selector)
    if not places:
        message = f"selector `{order.selector[:80]}` names no test"
        return [make("E03", path, line, message, "write `Selector: tests/x.py::test_y`")]
    new = [place for place in places if _creates(order, place, context)]
    found = []
    if context.exists:
        for place in places:
            if place not in new and not context.exists(place):
                message = f"selector path {place} does not exist"
                fix = "correct it, or declare it in a task: `new: " + place + "`"
                found.append(make("E03", path, line, message, fix))
    if context.collect and not found and not new:
        found += _collects(order.selector, line, context)
    return found


def _collects(selector: str, line: int, context: ValidationContext) -> list[Diagnostic]:
    assert context.collect is not None
    try:
        nodes = context.collect(selector)
    except HarnessError as error:
        message = f"selector cannot be collected: {error.what}"
        return [make("E03", context.path, line, message, "fix the test file")]
    if nodes:
        return []
    message = f"selector `{selector}` collects nothing"
    return [make("E03", context.path, line, message, "name a test that exists")]


def _tasks(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    created = {(r.path, r.symbol) for t in order.tasks if t.creates for r in t.refs}
    for task in order.tasks:
        for ref in task.refs:
            place = ref.path
            if ref.symbol and not place.endswith(_CODE):
                message = f"{place} is not code, `::{ref.symbol}` means nothing there"
                found.append(make("W03", context.path, task.line, message, "name the file alone"))
            if task.creates or (place, ref.symbol) in created or "$" in place:
                continue
            if context.exists and not _exists(place, context):
                message = f"{place} does not exist"
                fix = f"correct the path, or write `new: {ref.render()}`"
                found.append(make("E04", context.path, task.line, message, fix))
            elif ref.symbol and place.endswith(_CODE) and context.read_lines:
                found += _symbol(task, place, ref.symbol, context)
    return found


def _exists(place: str, context: ValidationContext) -> bool:
    assert context.exists is not None
    return any(c in place for c in "*?") or context.exists(place.rstrip("/"))


def _symbol(task: Task, place: str, symbol: str, context: ValidationContext) -> list[Diagnostic]:
    assert context.read_lines is not None
    lines = context.read_lines(place)
    if lines is None:
        return []
    names = python_symbols("\n".join(lines))
    if names is None:
        message = f"{place} is no valid Python, `{symbol}` cannot be looked up"
        return [make("E04", context.path, task.line, message, "fix the file first")]
    wanted = symbol.partition("[")[0].partition("(")[0].replace("::", ".")
    if wanted in names:
        return []
    near = sorted(n for n in names if n.split(".")[-1] == wanted.split(".")[-1])[:3]
    hint = f" (it has {', '.join(near)})" if near else ""
    fix = f"correct the symbol, or write `new: {place}::{symbol}`"
    message = f"{place} has no `{symbol}`{hint}"
    return [make("E04", context.path, task.line, message, fix)]


def python_symbols(source: str) -> set[str] | None:
    """Return the dotted names a module defines at any class level; None for invalid Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names: set[str] = set()
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    while pending:
        prefix, parent = pending.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(prefix + node.name)
                pending.append((f"{prefix}{node.name}.", node))
            elif isinstance(node, ast.Assign):
                names.update(prefix + t.id for t in node.targets if isinstance(t, ast.Name))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(prefix + node.target.id)
            elif isinstance(node, _BLOCKS):
                pending.append((prefix, node))
    return names


def _contracts(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    found = []
    for contract in order.contracts:
        ref = contract.ref
        if ref is None:
            if not contract.rule:
                message = "empty contract"
                found.append(make("E16", context.path, contract.line, message, "remove it"))
            continue
        if context.exists and not context.exists(ref.path):
            message = f"contract file {ref.path} does not exist"
            found.append(make("E16", context.path, contract.line, message, "correct the path"))
        elif ref.lines and context.read_lines:
            lines = context.read_lines(ref.path)
            total = len(lines) if lines is not None else 0
            first, last = ref.lines
            if lines is not None and not 1 <= first <= last <= total:
                message = f"{ref.path} has {total} lines, the contract names {first}-{last}"
                found.append(make("E16", context.path, contract.line, message, "correct it"))
    return found


def _git(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    found = []
    base = order.base.split()[0].strip("`,;") if order.base and order.base.strip() else None
    if base and context.resolve and context.resolve(base) is None:
        message = f"base {base} is unknown here"
        found.append(make("E10", context.path, order.line("base"), message, "correct Base"))
    branch = order.branch.split()[0].strip("`,;") if order.branch else None
    if branch and context.branch and branch != context.branch:
        message = f"the order is for branch {branch}, the target is {context.branch}"
        found.append(make("E17", context.path, order.line("branch"), message, "correct Branch"))
    return found


def _surfaces(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    found = []
    for task in order.tasks:
        for ref in task.refs:
            if matches(ref.path, context.protected) and not matches(ref.path, context.approved):
                message = f"{ref.path} is protected"
                fix = "leave it, or ask a person: `orchestrate approve`"
                found.append(make("E07", context.path, task.line, message, fix))
            elif context.surfaces and not matches(ref.path, context.surfaces):
                message = f"{ref.path} is outside the allowed surfaces"
                found.append(make("E07", context.path, task.line, message, "choose another path"))
            elif order.mode == "Docs" and ref.path.endswith(_CODE) and task.verb != "Document":
                message = f"Mode: Docs changes no code, the task names {ref.path}"
                found.append(make("E07", context.path, task.line, message, "change the mode"))
            elif any(ref.path == f.split()[0].strip("`") for f in order.forbidden if f.split()):
                message = f"{ref.path} is a task and forbidden in the same order"
                found.append(make("E07", context.path, task.line, message, "remove one"))
    return found


def extends_plan_tools(order: Order) -> bool:
    """Tell whether an order adds to the tools below ``plans/`` and touches no product code."""
    code = [r.path for t in order.tasks for r in t.refs if not r.path.endswith((".md", "/"))]
    return any(path.startswith("plans/") for path in code) and all(
        path.startswith(("plans/", "tests/")) for path in code
    )


def _plan_local(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    """W13: the tools of a plan grow again while the product does not."""
    if context.plan_local is None or not extends_plan_tools(order):
        return []
    before = context.plan_local(order.item_id)
    if before < MAX_PLAN_TOOLS:
        return []
    message = (
        f"the plan-local tools of {order.item_id} are extended once more ({before} times "
        f"before), and no product code is touched"
    )
    fix = "change product code, or move the tool to scripts/ with a test"
    return [make("W13", context.path, order.line("tasks"), message, fix)]


def _relevance(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    """W01: the guard's file neither imports nor names anything the tasks change."""
    if not context.read_lines or not order.selector or order.selector == "none":
        return []
    touched = [r.path for t in order.tasks for r in t.refs if r.path.endswith(_CODE)]
    guards = [p for p in selector_paths(order.selector) if p.endswith(_CODE)]
    product = [p for p in touched if p not in guards and not p.startswith("tests/")]
    if not product or not guards or any(p in guards for p in touched):
        return []
    stems = {p.rpartition("/")[2].rpartition(".")[0] for p in product}
    stems |= {p.split("/")[-2] for p in product if p.endswith("__init__.py") and "/" in p}
    symbols = {
        r.symbol.split(".")[0].split("::")[0] for t in order.tasks for r in t.refs if r.symbol
    }
    for guard in guards:
        lines = context.read_lines(guard)
        if lines is None:
            return []
        words = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", "\n".join(lines)))
        tops = {p.split("/")[0] for p in product}
        if words & (stems | symbols) or any(f"import {top}" in "\n".join(lines) for top in tops):
            return []
    message = f"{', '.join(guards)} names nothing of {', '.join(sorted(set(product))[:4])}"
    return [make("W01", context.path, order.line("selector"), message, "choose another guard")]


RULES: tuple[Rule, ...] = (
    _selector,
    _tasks,
    _contracts,
    _git,
    _surfaces,
    _plan_local,
    _relevance,
)
