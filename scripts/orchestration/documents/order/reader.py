"""Reader of orders: canonical form and shapes A–F into one :class:`Order`."""

from __future__ import annotations

import re
from collections.abc import Callable

from orchestration.documents.grammar import (
    Blocks,
    Command,
    KeyLine,
    SourceText,
    clean,
    find_ids,
    is_command,
    make,
    parse_key,
    read_script,
    scan,
    selector_of,
    spans_of,
    split_focus,
    unclosed,
)
from orchestration.documents.historic import (
    CANONICAL_HEADERS,
    HEADER_ALIASES,
    KEPT_HEADERS,
    ONCE_HEADERS,
    SECTIONS,
    canonical_mode,
    section_key,
)
from orchestration.documents.ledger import split_globs
from orchestration.documents.order.model import ArtifactTarget, Order, Section
from orchestration.documents.order.sections import Cut, RawSection, below, body_text, cut, demoted
from orchestration.documents.order.tasks import (
    Entry,
    entries,
    read_artifact,
    read_contract,
    read_finding,
    read_task,
)

_NEXT_KEY = re.compile(
    r"(?<![ \t])(?:[ \t]{2,}|[ \t]+·[ \t]+)\**([A-Z][A-Za-z-]{2,14})\**:(?=[ \t]|$)"
)
_ORDER_TITLE = re.compile(
    r"Order(?:[ \t]+#?(\d{1,9})(?=[ \t·:—-]|$))?[ \t]*(?:[·:—-][ \t]*|$)", re.IGNORECASE
)
_DO_NOW_KEYS = frozenset(("focus", "selector", "artifacts", "rows", "mode", "branch"))


def parse_order(text: str, path: str = "input.md") -> Order:
    """Read an order in any historic form.

    Problems become diagnostics; raises :class:`DocumentError` only when it is too large.
    """
    blocks = scan(SourceText(text, path))
    order = Order()
    order.diagnostics += unclosed(blocks, path)
    blocks = blocks.closed(path)
    reader = _Reader(blocks, order, path)
    pieces = cut(blocks)
    reader.title(pieces)
    reader.header(pieces)
    for section in pieces.sections:
        reader.section(section)
    reader.finish(pieces)
    return order


class _Reader:
    def __init__(self, blocks: Blocks, order: Order, path: str) -> None:
        self.blocks, self.order, self.path = blocks, order, path
        self.legacy = False
        self.notes: list[str] = []
        self.pending: list[Command] = []
        self.said: dict[str, str] = {}

    def note(self, code: str, line: int, message: str, fix: str = "") -> None:
        self.order.diagnostics.append(make(code, self.path, line, message, fix))

    def title(self, pieces: Cut) -> None:
        """Read ``# Order 0042 · ID — title`` or ``# ID — phase``."""
        text = pieces.title
        match = _ORDER_TITLE.match(text)
        if match:
            self.order.number = match.group(1)
            text = text[match.end() :]
        elif text:
            self.legacy = True
        item_id, _ = split_focus(text)
        if item_id and text.lstrip("*`_[ ").startswith(item_id):
            word = text.split(" ", 1)[0]
            if not match or not self.order.focus:
                self.order.foci.append(word.strip("*`_[]:;,"))
            text = text[len(word) :].lstrip(" \t—–:-")
        self.order.title = clean(text)

    def header(self, pieces: Cut) -> None:
        """Read header keys; other lines before the first section are kept as notes."""
        from_title = list(self.order.foci)
        self.order.foci = []
        spill: list[str] = []
        for number in pieces.header:
            line = self.blocks.source.lines[number]
            if self.blocks.opaque[number]:
                spill.append(line.rstrip(" \t"))
                continue
            for part in split_keys(line):
                key = parse_key(part, number)
                taken = key is not None and self.take(key, anywhere=True)
                if not taken and part.strip().strip("-*_ \t"):
                    spill.append(part.rstrip(" \t"))
        if not self.order.foci and from_title:
            self.order.foci = from_title
            self.legacy = True
        if spill:
            self.notes.append("\n".join(spill))

    def take(self, key: KeyLine, *, anywhere: bool) -> bool:
        """Store one header key; ``anywhere`` also keeps unknown keys under their own name."""
        name = HEADER_ALIASES.get(key.key)
        order = self.order
        canonical = {raw for _, raw in CANONICAL_HEADERS} | {"Rows"}
        if name is None:
            if not anywhere or key.bullet or not (key.raw_key[:1].isupper() or key.value):
                return False
            if len(key.raw_key.split()) > 3:
                return False
            order.extra[key.raw_key] = key.value
            if key.key not in KEPT_HEADERS:
                message = f"unknown header key `{key.raw_key}` is kept"
                self.note("W05", key.line + 1, message)
            return True
        if key.raw_key not in canonical or key.bullet or key.qualifier:
            self.legacy = True
        value = clean(key.value)
        if not value:
            return True
        order.lines.setdefault(name, key.line + 1)
        if name in ONCE_HEADERS and self.said.setdefault(name, value) != value:
            order.repeated.append((name, value))
            message = f"`{key.raw_key}:` stands twice: {self.said[name]}, then {value}"
            self.note("E27", key.line + 1, message[:200], "keep one of the two lines")
        self.store(name, value, key)
        return True

    def store(self, name: str, value: str, key: KeyLine) -> None:
        """Put a non-empty header value into its field."""
        order = self.order
        if name == "focus":
            order.foci.append(key.value)
        elif name == "selector":
            self.selector(value, key.line)
        elif name == "mode":
            order.mode = canonical_mode(value) or value
            self.legacy |= order.mode != value
        elif name == "artifacts":
            order.artifacts.append(ArtifactTarget(value, "", key.line + 1))
        elif name == "rows":
            order.rows += [w.strip("`*[]") for w in re.split(r"[,;\s]+", value) if w.strip("`*[]")]
        elif name in ("forbidden", "may_edit_tests"):
            getattr(order, name).extend(split_globs(value))
        elif name == "intent" and value.endswith(".md"):
            order.extra["Summary-file"] = value
        elif name == "intent":
            order.intent = below(f"{order.intent} {value}".strip())
        elif name == "goal":
            order.goal = "\n".join(part for part in (order.goal, below(value)) if part)
        else:
            setattr(order, name, value)

    def selector(self, text: str, line: int) -> None:
        """Keep a selector; the first one is the order's."""
        value = clean(text)
        if value.lower().startswith("new:"):
            self.order.selector_new = True
            value = value[4:].strip()
        found = selector_of(value) or value
        if found:
            self.order.selectors.append((found, line + 1))
            if self.order.selector is None or self.order.selector == "none":
                self.order.selector = found

    def section(self, section: RawSection) -> None:
        """Read one section into its field."""
        order = self.order
        order.lines.setdefault(section.kind, section.line + 1)
        if section.kind in SECTIONS and section.title != SECTIONS[section.kind]:
            self.legacy = True
        handler: dict[str, Callable[[RawSection], None]] = {
            "goal": self.text_section, "interfaces": self.text_section,
            "pseudocode": self.text_section, "if_blocked": self.text_section,
            "intent": self.intent_section, "tasks": self.task_section,
            "checks": self.check_section, "selector": self.selector_section,
            "guardrail": self.selector_section,
        }  # fmt: skip
        if section.kind in handler:
            handler[section.kind](section)
        elif section.kind in ("contracts", "artifacts", "findings", "forbidden", "may_edit_tests"):
            self.list_section(section)
        else:
            self.free_section(section)

    def text_section(self, section: RawSection) -> None:
        text = body_text(self.blocks, section)
        old = getattr(self.order, section.kind)
        setattr(self.order, section.kind, "\n\n".join(part for part in (old, text) if part))

    def intent_section(self, section: RawSection) -> None:
        """A brief: header keys in its lines are header, the rest is the intent."""
        self.legacy = True
        kept: list[str] = [below(section.first)] if section.first else []
        for number in range(section.start, section.end):
            line = demoted(self.blocks, section, number)
            for part in [line] if self.blocks.opaque[number] else split_keys(line):
                key = None if self.blocks.opaque[number] else parse_key(part, number)
                known = key and (key.key in HEADER_ALIASES or key.key in KEPT_HEADERS)
                if not (key and known and self.take(key, anywhere=True)):
                    kept.append(part.rstrip(" \t"))
        text = "\n".join(kept).strip()
        if text:
            self.order.goal = "\n\n".join(part for part in (self.order.goal, text) if part)

    def task_section(self, section: RawSection) -> None:
        prose: list[str] = []
        for entry in entries(self.blocks, section):
            key = parse_key(entry.first, entry.line)
            if key and HEADER_ALIASES.get(key.key) in _DO_NOW_KEYS and key.value:
                self.legacy = True
                for part in split_keys(entry.first):
                    inner = parse_key(part, entry.line)
                    if inner and HEADER_ALIASES.get(inner.key):
                        self.do_now_key(inner, entry)
            elif entry.bullet:
                self.order.tasks.append(read_task(entry))
            else:
                prose += [entry.first, *entry.detail]
        if prose and section.kind == "tasks" and section_key(section.title) == "do now":
            text = " ".join(" ".join(prose).split())
            self.order.tasks.append(read_task(Entry(text, text, [], section.line, True)))
        elif prose:
            self.keep("Tasks, as written", "\n".join(prose), section.line)

    def do_now_key(self, key: KeyLine, entry: Entry) -> None:
        self.take(key, anywhere=False)
        if HEADER_ALIASES[key.key] == "selector":
            value = key.value.strip().strip("`")
            if is_command(value):
                self.pending += self.commands([(entry.line + 1, value)])

    def check_section(self, section: RawSection) -> None:
        """Fenced commands and steps, in order; prose of the steps is kept beside them."""
        lines: list[tuple[int, str]] = []
        prose: list[str] = []
        for fence in self.blocks.fences_in(section.start, section.end):
            for offset, text in enumerate(fence.body(self.blocks.source)):
                lines.append((fence.start + 2 + offset, text))
        for entry in entries(self.blocks, section, fenced=False):
            spans = [s for s in spans_of(entry.joined()) if is_command(s)]
            if not spans and is_command(entry.first):
                spans = [entry.first]
            lines += [(entry.line + 1, span) for span in spans]
            whole = len(spans) == 1 and entry.joined().strip("`. ") == spans[0].strip("`. ")
            if not whole and not entry.raw.startswith(("```", "~~~")):
                prose.append(entry.raw)
        lines.sort(key=lambda pair: pair[0])
        self.order.checks += self.commands(lines)
        if prose:
            self.legacy = True
            self.keep("Steps as written", "\n".join(prose), section.line)

    def commands(self, lines: list[tuple[int, str]]) -> list[Command]:
        found = read_script(lines)
        for command in found:
            if command.tee:
                self.order.artifacts.append(ArtifactTarget(command.tee, "", command.line))
        return found

    def selector_section(self, section: RawSection) -> None:
        self.legacy = True
        fences = self.blocks.fences_in(section.start, section.end)
        lines = [
            (fence.start + 2 + offset, text)
            for fence in fences
            for offset, text in enumerate(fence.body(self.blocks.source))
            if text.strip()
        ]
        if not fences:
            lines = [
                (e.line + 1, next(iter(spans_of(e.first)), e.first))
                for e in entries(self.blocks, section)
            ]
        for number, text in lines:
            if selector_of(text):
                self.selector(text, number - 1)
            elif not fences:
                self.keep("Guardrail", text, number - 1)
        if fences and not lines:
            self.note("E05", section.line + 1, "the Selector block is empty", "name a test")
        self.order.checks += self.commands(
            [(number, text) for number, text in lines if fences or is_command(text)]
        )

    def list_section(self, section: RawSection) -> None:
        order = self.order
        for entry in entries(self.blocks, section, fenced=False):
            if section.kind != "contracts" and not entry.joined():
                continue
            if section.kind == "contracts":
                order.contracts.append(read_contract(entry))
            elif section.kind == "artifacts":
                order.artifacts.append(read_artifact(entry))
            elif section.kind == "findings":
                order.findings.append(read_finding(entry))
            elif section.kind == "forbidden":
                order.forbidden.append(entry.joined())
            else:
                order.may_edit_tests += split_globs(entry.joined())
        opaque = [n for n in range(section.start, section.end) if self.blocks.opaque[n]]
        kept = [self.blocks.source.lines[n].rstrip(" \t") for n in opaque]
        self.keep("Notes", "\n".join(kept), section.line)

    def free_section(self, section: RawSection) -> None:
        text = body_text(self.blocks, section)
        if section.kind == "other":
            message = f"unknown section `{section.title}` is kept"
            self.note("W05", section.line + 1, message)
        if text:
            self.order.sections.append(Section(section.title, text, section.line + 1))

    def keep(self, title: str, text: str, line: int) -> None:
        if text.strip():
            self.order.sections.append(Section(title, text.strip("\n"), line + 1))

    def finish(self, pieces: Cut) -> None:
        """Settle focus, notes and the name of the form."""
        order = self.order
        mapped = {command.argv for command in order.checks}
        order.checks[:0] = [c for c in self.pending if c.argv not in mapped]
        if self.notes:
            order.sections.insert(0, Section("Notes", "\n".join(self.notes), 1))
        if order.foci:
            order.focus = clean(order.foci[0])
            order.item_id, order.row = split_focus(order.focus)
        if not order.row and len(order.rows) == 1:
            order.row = order.rows[0]
        if not order.goal:
            order.goal, order.intent = order.intent, ""
        ids = foci_ids(order)
        if len(ids) > 1:
            message = f"more than one focus: {', '.join(sorted(ids))}"
            self.note("E11", order.line("focus"), message, "order one item at a time")
            order.repeated += [("focus", focus) for focus in order.foci[1:]]
        order.source = _form(order, pieces, self.legacy)
        if order.source != "canonical":
            fix = "`orchestrate validate --fix` rewrites it"
            self.note("W06", 1, f"historic form {order.source}", fix)


def foci_ids(order: Order) -> set[str]:
    """Return the item ids that the order's focus lines name before their dash."""
    ids = set()
    for focus in order.foci:
        head = re.split(r" [—–-] |[(:]", focus, maxsplit=1)[0]
        found = find_ids(re.sub(r"\.[A-Za-z0-9-]+", " ", head)) or [split_focus(head)[0]]
        ids.update(found)
    return ids - {""}


def split_keys(line: str) -> list[str]:
    """Cut ``Focus: X        Mode: TDD`` into one part a key."""
    parts: list[str] = []
    start = 0
    if ":" not in line:
        return [line]
    for match in _NEXT_KEY.finditer(line):
        if match.group(1).lower() in HEADER_ALIASES and ":" in line[start : match.start()]:
            parts.append(line[start : match.start()])
            start = match.start(1)
    return [*parts, line[start:]]


def _form(order: Order, pieces: Cut, legacy: bool) -> str:
    titles = {section.title.lower() for section in pieces.sections}
    if pieces.wrapper:
        return "D"
    if legacy and any(key.lower() in ("actiontype", "decisionstatus") for key in order.extra):
        return "E"
    if any("validity contract" in title for title in titles):
        return "B"
    if pieces.bare and any(s.kind == "intent" for s in pieces.sections):
        return "C"
    if pieces.bare:
        return "A"
    if any(title.startswith("do now") for title in titles):
        return "F"
    return "legacy" if legacy else "canonical"
