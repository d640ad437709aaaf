"""Reader of orders: the door upgrades what is old, the rest of this module knows one form."""

from __future__ import annotations

import re

from orchestration.documents.grammar import (
    Blocks,
    KeyLine,
    SourceText,
    Upgraded,
    below,
    clean,
    entries,
    find_ids,
    is_row_range,
    make,
    parse_key,
    read_script,
    scan,
    selector_of,
    split_focus,
    split_keys,
    take_none,
    title_key,
    unclosed,
)
from orchestration.documents.historic import claimed_rows, upgrade_order
from orchestration.documents.ledger import split_globs
from orchestration.documents.order.model import ArtifactTarget, Order, Section
from orchestration.documents.order.names import (
    FREE_TITLES,
    HEADERS,
    KEPT_HEADERS,
    ONCE_HEADERS,
    SECTIONS,
)
from orchestration.documents.order.sections import Cut, RawSection, body_text, cut
from orchestration.documents.order.tasks import (
    read_artifact,
    read_contract,
    read_findings,
    read_task,
)

_ORDER_TITLE = re.compile(
    r"Order(?:[ \t]+#?(\d{1,9})(?=[ \t·:—-]|$))?[ \t]*(?:[·:—-][ \t]*|$)", re.IGNORECASE
)


def parse_order(text: str, path: str = "input.md") -> Order:
    """Read an order in any historic form.

    Problems become diagnostics; raises :class:`DocumentError` only when it is too large.
    """
    upgraded = upgrade_order(text, path)
    blocks = scan(SourceText(upgraded.text, path, limit=False))
    order = Order()
    order.source = upgraded.form
    blocks = blocks.closed(path)
    reader = _Reader(blocks, order, upgraded, path)
    pieces = cut(blocks)
    reader.title(pieces)
    reader.header(pieces)
    for section in pieces.sections:
        reader.section(section)
    reader.finish()
    order.diagnostics += unclosed(scan(upgraded.old), path)
    return order


class _Reader:
    def __init__(self, blocks: Blocks, order: Order, upgraded: Upgraded, path: str) -> None:
        self.blocks, self.order, self.upgraded, self.path = blocks, order, upgraded, path
        self.notes: list[str] = []
        self.said: dict[str, str] = {}

    def at(self, number: int) -> int:
        """Return the line (from 1) of the document that a line (from 0) came from."""
        return self.upgraded.line_of(number + 1)

    def note(self, code: str, line: int, message: str, fix: str = "") -> None:
        self.order.diagnostics.append(make(code, self.path, line, message, fix))

    def title(self, pieces: Cut) -> None:
        """Read ``# Order 0042 · ID — title`` or ``# ID — phase``."""
        text = pieces.title
        match = _ORDER_TITLE.match(text)
        if match:
            self.order.number = match.group(1)
            text = text[match.end() :]
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
            for part in split_keys(line, HEADERS):
                key = parse_key(part, number)
                taken = key is not None and self.take(key)
                if not taken and part.strip().strip("-*_ \t"):
                    spill.append(part.rstrip(" \t"))
        if not self.order.foci and from_title:
            self.order.foci = from_title
        if spill:
            self.notes.append("\n".join(spill))

    def take(self, key: KeyLine) -> bool:
        """Store one header key; an unknown one is kept under its own name."""
        name = HEADERS.get(key.key)
        order = self.order
        if name is None:
            if key.bullet or not (key.raw_key[:1].isupper() or key.value):
                return False
            if len(key.raw_key.split()) > 3:
                return False
            order.extra[key.raw_key] = key.value
            if key.key not in KEPT_HEADERS:
                message = f"unknown header key `{key.raw_key}` is kept"
                self.note("W05", key.line + 1, message)
            return True
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
        elif name == "rows":
            order.rows += [w.strip("`*[]") for w in re.split(r"[,;\s]+", value) if w.strip("`*[]")]
        elif name in ("forbidden", "may_edit_tests"):
            getattr(order, name).extend(split_globs(value))
        elif name == "intent":
            order.intent = below(f"{order.intent} {value}".strip())
        elif name == "goal":
            order.goal = "\n".join(part for part in (order.goal, below(value)) if part)
        else:
            setattr(order, name, value)

    def selector(self, value: str, line: int) -> None:
        """Keep a selector; the first one that names a test is the order's."""
        order = self.order
        reason = take_none(value)
        if value.lower().startswith("new:"):
            order.selector_new = True
            value = value[4:].strip()
        found = "none" if reason is not None else selector_of(value) or value
        order.selectors.append((found, line + 1))
        if order.selector is None or (order.selector == "none" and found != "none"):
            order.selector, order.selector_reason = found, reason or ""

    def section(self, section: RawSection) -> None:
        """Read one section into its field."""
        self.order.lines.setdefault(section.kind, section.line + 1)
        if section.kind in ("goal", "interfaces", "pseudocode", "if_blocked"):
            text = body_text(self.blocks, section)
            old = getattr(self.order, section.kind)
            setattr(self.order, section.kind, "\n\n".join(part for part in (old, text) if part))
        elif section.kind == "tasks":
            self.task_section(section)
        elif section.kind == "checks":
            self.check_section(section)
        elif section.kind in SECTIONS:
            self.list_section(section)
        else:
            self.free_section(section)

    def task_section(self, section: RawSection) -> None:
        prose: list[str] = []
        for entry in entries(self.blocks, section.start, section.end):
            if entry.bullet:
                self.order.tasks.append(read_task(entry))
            else:
                prose += [entry.first, *entry.detail]
        self.keep("Tasks, as written", "\n".join(prose), section.line)

    def check_section(self, section: RawSection) -> None:
        """The commands of the fences, in order."""
        lines: list[tuple[int, str]] = []
        fences = self.blocks.fences_in(section.start, section.end)
        for fence in fences:
            for offset, text in enumerate(fence.body(self.blocks.source)):
                lines.append((fence.start + 2 + offset, text))
        if fences and not any(text.strip() for _, text in lines):
            self.note("E05", section.line + 1, "the block of checks is empty", "name a test")
        commands = read_script(lines)
        self.order.checks += commands
        for command in commands:
            if command.tee:
                self.order.artifacts.append(ArtifactTarget(command.tee, "", command.line))

    def list_section(self, section: RawSection) -> None:
        order = self.order
        for entry in entries(self.blocks, section.start, section.end, fenced=False):
            if section.kind != "contracts" and not entry.joined():
                continue
            if section.kind == "contracts":
                order.contracts.append(read_contract(entry))
            elif section.kind == "artifacts":
                order.artifacts.append(read_artifact(entry))
            elif section.kind == "findings":
                order.findings += read_findings(entry)
            elif section.kind == "forbidden":
                order.forbidden.append(entry.joined())
            else:
                order.may_edit_tests += split_globs(entry.joined())
        opaque = [n for n in range(section.start, section.end) if self.blocks.opaque[n]]
        kept = [self.blocks.source.lines[n].rstrip(" \t") for n in opaque]
        self.keep("Notes", "\n".join(kept), section.line)

    def free_section(self, section: RawSection) -> None:
        text = body_text(self.blocks, section)
        if title_key(section.title) not in FREE_TITLES:
            message = f"unknown section `{section.title}` is kept"
            self.note("W05", section.line + 1, message)
        if text:
            self.order.sections.append(Section(section.title, text, section.line + 1))

    def keep(self, title: str, text: str, line: int) -> None:
        if text.strip():
            self.order.sections.append(Section(title, text.strip("\n"), line + 1))

    def finish(self) -> None:
        """Settle focus, rows and notes, and name the lines of the document as it was."""
        order = self.order
        if self.notes:
            order.sections.insert(0, Section("Notes", "\n".join(self.notes), 1))
        if order.foci:
            order.focus = clean(order.foci[0])
            order.item_id, order.row = split_focus(order.focus)
            if not order.row and not order.rows and order.item_id:
                order.rows = rows_of(order.focus)
        if not order.row and len(order.rows) == 1:
            order.row = order.rows[0]
        if not order.goal:
            order.goal, order.intent = order.intent, ""
        ids = foci_ids(order)
        if len(ids) > 1:
            message = f"more than one focus: {', '.join(sorted(ids))}"
            self.note("E11", order.line("focus"), message, "order one item at a time")
            order.repeated += [("focus", focus) for focus in order.foci[1:]]
        if order.source != "canonical":
            relocate(order, self.upgraded)
            fix = "`orchestrate validate --fix` rewrites it"
            self.note("W06", 1, f"historic form {order.source}", fix)


def relocate(order: Order, upgraded: Upgraded) -> None:
    """Replace the lines of the upgraded text by those of the text it came from."""
    at = upgraded.line_of
    order.lines = {name: at(line) for name, line in order.lines.items()}
    order.selectors = [(found, at(line)) for found, line in order.selectors]
    order.contracts = [row._replace(line=at(row.line)) for row in order.contracts]
    order.tasks = [row._replace(line=at(row.line)) for row in order.tasks]
    order.checks = [row._replace(line=at(row.line)) for row in order.checks]
    order.artifacts = [row._replace(line=at(row.line)) for row in order.artifacts]
    order.findings = [row._replace(line=at(row.line)) for row in order.findings]
    order.sections = [row._replace(line=at(row.line)) for row in order.sections]
    order.diagnostics = [d._replace(line=at(d.line)) for d in order.diagnostics]


def foci_ids(order: Order) -> set[str]:
    """Return the item ids that the order's focus lines name before their dash."""
    ids: set[str] = set()
    for focus in order.foci:
        head = re.split(r" [—–-] |[(:]", focus, maxsplit=1)[0]
        found = find_ids(re.sub(r"\.[A-Za-z0-9-]+", " ", head)) or [split_focus(head)[0]]
        ids.update(name for name in found if not is_row_range(name))
    return ids - {""}


#: Rows right behind the item: ``.H3``, ``/ Phase H3–H4``, ``(H3, H4)``.
_ROWS_FIRST = re.compile(
    r"[\s/(,.]*(?:(?i:phases?|rows?|steps?|tasks?|checklist ids?)\s+)?"
    r"([A-Z]{1,3}\d{1,3}(?![\w-]*[a-z]{2}).*)"
)


def rows_of(focus: str) -> list[str]:
    """Return the rows that a focus names behind its item: ``[FIX-A-001] Phase H3-H4: title``."""
    head = re.split(r" [—–] |:", focus, maxsplit=1)[0]
    _, bracket, words = head.partition("]")
    if bracket:
        return claimed_rows(words)
    named = split_focus(head)[0]
    rest = _ROWS_FIRST.match(head.partition(named)[2].replace("..", "-")) if named else None
    return claimed_rows(rest.group(1)) if rest else []
