"""Canonical text of an order, and the hash that tells two orders apart."""

from __future__ import annotations

import re
from typing import Any

from orchestration.documents.grammar import render_command
from orchestration.documents.order.model import Order, Task
from orchestration.documents.order.names import CANONICAL_HEADERS, KEPT_TITLE, SECTIONS

_STAMPS = re.compile(r"\d{4}-\d{2}-\d{2}T[0-9:]{4,8}Z")
_TICKS = re.compile(r"`{3,}")
_BALANCED = re.compile(r"[^()]*(?:\([^()]*\)[^()]*)*")
#: Fields that tell where and how something was written.
_PLACES = ("lines", "diagnostics", "foci", "selectors", "source", "repeated")
_VOLATILE = ("number", "base", "retry_reason", "source", "title")


def render_order(order: Order) -> str:
    """Return the canonical form; reading it back gives the same meaning."""
    parts = [_title(order)]
    header = []
    for name, raw in CANONICAL_HEADERS:
        value = getattr(order, name)
        if name == "selector" and value and order.selector_new:
            value = f"new: {value}"
        if name == "selector" and order.selector_reason:
            value = f"{value} — {order.selector_reason}"
        if value:
            header.append(f"{raw}: {value}")
    if order.rows:
        header.append(f"Rows: {', '.join(order.rows)}")
    header += [f"{key}: {value}" for key, value in order.extra.items()]
    parts.append("\n".join(header))
    for name, title in SECTIONS.items():
        body = _body(order, name)
        if body:
            parts.append(f"## {title}\n\n{body}")
    parts += [f"## {section.title}\n\n{section.text}" for section in order.sections]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(order: Order) -> str:
    number = f" {order.number}" if order.number else ""
    words = " — ".join(part for part in (order.item_id, order.title) if part)
    return f"# Order{number} · {words}" if words else f"# Order{number}"


def _body(order: Order, name: str) -> str:
    if name in ("goal", "interfaces", "pseudocode", "if_blocked"):
        return str(getattr(order, name))
    if name == "tasks":
        return "\n".join(render_task(task) for task in order.tasks)
    if name == "checks":
        lines = [render_command(command) for command in order.checks]
        ticks = max((len(run) for line in lines for run in _TICKS.findall(line)), default=2)
        fence = "`" * max(3, ticks + 1)
        return "\n".join([f"{fence}sh", *lines, fence]) if lines else ""
    rows: list[str] = []
    if name == "contracts":
        for contract in order.contracts:
            place = f"`{contract.ref.render()}` — " if contract.ref else ""
            rows.append(place + contract.rule)
    elif name == "artifacts":
        rows = [" — ".join(p for p in (code(a.name), a.meaning) if p) for a in order.artifacts]
    elif name == "findings":
        rows = [" — ".join(part for part in (f.id, f.text) if part) for f in order.findings]
    elif name == "forbidden":
        rows = order.forbidden
    elif name == "may_edit_tests":
        rows = [code(glob) for glob in order.may_edit_tests]
    return "\n".join(f"- {row}" for row in rows)


def code(text: str) -> str:
    """Return ``text`` as a code span where that is possible."""
    return text if "`" in text else f"`{text}`"


def render_task(task: Task) -> str:
    """Return one task as a checklist row with its detail lines indented below it."""
    first, *detail = task.text.split("\n")
    places = ", ".join(f"`{ref.render()}`" for ref in task.refs)
    head = f"- [{task.state}]"
    head += f" {task.row_id}:" if task.row_id else ""
    head += f" {task.verb}" if task.verb else ""
    head += " new:" if task.new else ""
    head += f" {places}" if places else ""
    head += f" — {first}" if first and places else f" {first}" if first else ""
    if task.verify:
        check = f"verify: {code(task.verify)}"
        head += f" ({check})" if _BALANCED.fullmatch(check) else f" {check}"
    return "\n".join([head, *(f"  {line}" if line else "" for line in detail)])


def meaning(order: Order) -> dict[str, object]:
    """Return what the order says, without lines, diagnostics and the form it was written in."""
    data = {name: _plain(getattr(order, name)) for name in vars(order) if name not in _PLACES}
    data["checks"] = [render_command(command) for command in order.checks]
    data["sections"] = [(section.title, section.text) for section in order.sections]
    data["focus"] = order.focus
    return data


def _plain(value: Any) -> Any:
    """Records as dictionaries without their lines, lists and tuples with plain parts."""
    if isinstance(value, list | tuple):
        names = getattr(value, "_fields", None)
        if names is None:
            return [_plain(part) for part in value]
        return {n: _plain(v) for n, v in zip(names, value, strict=True) if n != "line"}
    return value


def content_hash(order: Order) -> str:
    """Return the sha256 of what an order asks for.

    Number, title, base, retry reason, row states, whitespace and timestamps do not count: an
    order re-issued under a new stamp is the same order.
    """
    import hashlib
    import json

    data = meaning(order)
    for name in _VOLATILE:
        data.pop(name, None)
    data["sections"] = [(s.title, s.text) for s in order.sections if s.title != KEPT_TITLE]
    tasks = data["tasks"]
    assert isinstance(tasks, list)
    for task in tasks:
        task.pop("state", None)
    text = json.dumps(data, sort_keys=True, ensure_ascii=True, default=str)
    text = _STAMPS.sub("<stamp>", " ".join(text.split()))
    return hashlib.sha256(re.sub(r"(?:\\n|\s)+", " ", text).encode("ascii")).hexdigest()
