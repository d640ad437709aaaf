"""Rules on what an order says by itself and against the ledger."""

from __future__ import annotations

import re
from datetime import timedelta

from orchestration.core import parse_selector
from orchestration.documents.grammar import (
    Diagnostic,
    find_ids,
    find_stamps,
    make,
    no_evidence,
    prepares,
    pytest_words,
    selector_of,
    selector_paths,
    unwrapped,
)
from orchestration.documents.ledger import Item, Status, unmet_dependencies
from orchestration.documents.order.model import MODES, Order
from orchestration.documents.order.render import content_hash
from orchestration.documents.order.rules import MAX_ORDER_BYTES, Rule, ValidationContext

#: A clock of another machine may run ahead by this much.
_SKEW = timedelta(minutes=2)
_RUNNABLE = (Status.OPEN, Status.IN_PROGRESS)
_FREE_VERBS = ("Run", "Capture", "Document")


def _focus(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    line = order.line("focus")
    if not order.item_id:
        got = f" (got `{order.focus[:60]}`)" if order.focus else ""
        return [make("E01", context.path, line, f"no focus{got}", "write `Focus: ID`")]
    if context.ledger is None:
        return []
    item = context.ledger.item(order.item_id)
    if item is None:
        known = ", ".join(i.id for i in context.ledger.items[:8]) or "the ledger is empty"
        message = f"{order.item_id} is not in {context.ledger.path} (known: {known})"
        return [make("E01", context.path, line, message, "choose one of them or add the item")]
    return _open(order, item, context) + _advances(order, text, item, context)


def _open(order: Order, item: Item, context: ValidationContext) -> list[Diagnostic]:
    line = order.line("focus")
    found = []
    if item.status not in _RUNNABLE:
        reason = f" — {item.reason[:80]}" if item.reason else ""
        message = f"{item.id} is {item.status.value}{reason}"
        found.append(make("E02", context.path, line, message, "choose an open item"))
    assert context.ledger is not None
    unmet = unmet_dependencies(context.ledger, item)
    if unmet:
        message = f"{item.id} depends on {', '.join(unmet)}, not done"
        found.append(make("E02", context.path, line, message, "order the dependency first"))
    return found


def _advances(order: Order, text: str, item: Item, context: ValidationContext) -> list[Diagnostic]:
    wanted = [c for c in item.criteria if c.open]
    if not item.criteria or len(wanted) == 1:
        return []
    names = {c.id for c in wanted}
    cited = {order.row, *order.rows, *(task.row_id for task in order.tasks)}
    if cited & names:
        return []
    words = set(re.findall(r"[A-Za-z0-9.-]+", f"{order.goal} {order.intent} {order.title}"))
    if words & names:
        return []
    runs = {command.argv for command in order.checks if command.argv}
    if any(c.command and c.command.argv in runs for c in wanted):
        return []
    message = f"no open criterion of {item.id} is advanced (open: {', '.join(sorted(names))})"
    fix = "cite one in the goal: `advances C1`"
    return [make("E08", context.path, order.line("focus"), message, fix)]


def _mode(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    line = order.line("mode")
    if order.mode is None:
        return [make("W10", context.path, 0, "no `Mode:`", "add `Mode: TDD` or another mode")]
    if order.mode not in MODES:
        message = f"unknown mode `{order.mode[:40]}`"
        return [make("E15", context.path, line, message, f"use {', '.join(MODES)}")]
    return []


def _content(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    found = []
    path = context.path
    if not order.goal.strip():
        found.append(make("E14", path, order.line("goal"), "no goal", "add `## Goal`"))
    if order.mode not in ("Docs", "none") and not order.tasks:
        found.append(make("E13", path, order.line("tasks"), "no task", "add `## Tasks`"))
    for task in order.tasks:
        free = order.mode in ("Docs", "none") or task.verb in _FREE_VERBS
        if not task.refs and not free:
            message = f"task names no file: {task.text.splitlines()[0][:60] if task.text else ''}"
            found.append(make("E13", path, task.line, message, "write `path::symbol` first"))
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_ORDER_BYTES:
        message = f"{size} bytes, the budget is {MAX_ORDER_BYTES}"
        found.append(make("W02", path, 0, message, "keep what this turn needs"))
    return found


def _commands(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    found = []
    header = (
        selector_paths(order.selector) if order.selector else []
    )  # E03 says what is wrong there
    item = context.ledger.item(order.item_id) if context.ledger else None
    # What a criterion of the item runs may be the work's to write: it is red until then.
    own = {c.command.text for c in item.criteria if c.command} if item else set()
    creates = [ref.path for task in order.tasks for ref in task.refs] + header
    reasons = [
        command.error
        or no_evidence(
            command,
            exists=None if command.text in own else context.exists,
            program=context.program,
            read_lines=context.read_lines,
            creates=creates,
        )
        for command in order.checks
    ]
    sound = None in reasons
    for command, why in zip(order.checks, reasons, strict=True):
        if command.error:
            fix = "put the commands in a script file and name it"
            found.append(make("E12", context.path, command.line, command.error, fix))
            continue
        if why and sound and prepares(command):
            continue
        if why:
            message = f"`{command.text[:80]}` is no check: {why}"
            fix = "name a command that fails today and passes when the work is done"
            found.append(make("E28", context.path, command.line, message, fix))
        words = [w for w in command.argv[1:] if "*" in w and "::" not in w and "/" in w]
        if words:
            message = f"`{words[0]}` is not expanded without a shell"
            found.append(make("W07", context.path, command.line, message, "name the files"))
    return found


def _selector_in_checks(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    found = []
    named = {value for value, _ in order.selectors if value != "none"}
    if len(named) > 1 and order.source == "D":
        line = order.selectors[-1][1]
        message = "the Selector block names another test than the header: " + ", ".join(
            f"`{n}`" for n in sorted(named)
        )
        found.append(make("E05", context.path, line, message, "make them equal"))
    if order.selector and order.selector != "none" and order.checks:
        runs = [
            selector_of(c.text) or ""
            for c in order.checks
            if not c.error
            and pytest_words(unwrapped(c.argv)) is not None
            and no_evidence(c, read_lines=context.read_lines) is None
        ]
        wanted = set(parse_selector(order.selector).argv)
        if not any(wanted <= set(parse_selector(run).argv) for run in runs):
            message = f"selector `{order.selector}` is not among the checks"
            fix = f"put `pytest {order.selector}` first"
            found.append(make("E05", context.path, order.line("checks"), message, fix))
    return found


def _stamps(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    if context.now is None:
        return []
    found = []
    limit = context.now + _SKEW
    if "20" not in text:
        return []
    for number, line in enumerate(_cut(text), 1):
        for written, moment in find_stamps(line[:4000]):
            allocated = context.turn_dir is not None and written in context.turn_dir
            if moment > limit and "until" not in line.lower() and not allocated:
                message = f"timestamp {written} lies in the future"
                found.append(make("E09", context.path, number, message, "remove it"))
    for artifact in order.artifacts:
        parts = artifact.name.split("reports/", 1)
        hand_made = len(parts) == 2 and find_stamps(parts[1])
        foreign = context.turn_dir is None or context.turn_dir.rstrip("/") not in artifact.name
        if hand_made and context.turn_dir and foreign:
            message = f"report directory made by hand: {artifact.name[:100]}"
            fix = "name the file alone; the harness allocates $TURN_DIR"
            found.append(make("E09", context.path, artifact.line, message, fix))
    return found


def _cut(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _repeat(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    if not context.known_orders or order.retry_reason:
        return []
    digest = content_hash(order)
    if digest in context.known_orders:
        message = f"identical to an earlier order ({digest[:12]})"
        return [make("E06", context.path, 1, message, "change it or add `Retry-reason: …`")]
    return []


def _findings(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    if not order.findings:
        fix = "list finding ids, or `- none (searched: words)`"
        return [make("W10", context.path, 0, "no `## Findings`", fix)]
    named = [
        (name, finding.line)
        for finding in order.findings
        for name in ([finding.id] if finding.id else find_ids(finding.text))
        if name != order.item_id
    ]
    known = context.finding_ids() if named and context.finding_ids else None
    if known is None:
        return []
    return [
        make(
            "W04",
            context.path,
            line,
            f"finding {name} is not in docs/findings.md",
            "correct the id",
        )
        for name, line in named
        if name not in known
    ]


RULES: tuple[Rule, ...] = (
    _focus,
    _mode,
    _content,
    _commands,
    _selector_in_checks,
    _stamps,
    _repeat,
    _findings,
)
