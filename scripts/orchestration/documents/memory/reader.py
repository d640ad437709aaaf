"""The supervisor's memory (``galph_memory.md``): entries in every historic style.

What an entry says about dwell, state or time is a claim: it is kept, checked in :mod:`stats`, and
trusted by nothing.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise

from orchestration.documents.grammar import (
    Blocks,
    Diagnostic,
    Heading,
    SourceText,
    clean,
    make,
    parse_key,
    parse_stamp,
    render_stamp,
    scan,
    split_focus,
    successive,
    unclosed,
)

STATES = ("gathering_evidence", "planning", "ready_for_implementation")
_PAIR = re.compile(r"(?:^|(?<=[ \t]))(<Action State>|[a-z_]{2,32})=")
#: ``2026-01-07 11:00 UTC``, as people write it.
_SPACED = re.compile(
    r"^(\d{4}-\d{2}-\d{2})[ \t]+(\d{2}:\d{2}(?::\d{2})?)(?:[ \t]*(?:UTC|Z)\b)?(?=[ \t:—–-]|$)"
)
_LOOKS = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:T|$|:)")
_KNOWN = ("focus", "state", "dwell", "ralph_last_commit", "artifacts", "summary", "next_action",
          "action_type", "notes", "mode", "<Action State>")  # fmt: skip
_NONE = ("", "none", "n/a", "null", "-")
_FIELDS = {
    "dwell": "dwell", "focus issue": "focus", "focus": "focus", "action type": "action",
    "action": "action", "mode": "mode", "git sync": "git", "git": "git",
    "documents reviewed": "read", "documents/artifacts reviewed": "read", "read": "read",
    "action state": "state", "state": "state", "next": "next", "next actions for ralph": "next",
    "next actions": "next", "worker": "worker", "declared state": "worker",
}  # fmt: skip
_RENDERED = (("dwell_text", "Dwell"), ("action", "Action"), ("mode", "Mode"), ("git", "Git"),
             ("read", "Read"), ("next", "Next"))  # fmt: skip


@dataclass(slots=True)
class Entry:
    """One memory entry. ``dwell`` is what the entry claims; ``line`` counts from 1."""

    at: datetime | None
    stamp: str
    title: str
    turn: int | None = None
    focus: str = ""
    item_id: str = ""
    row: str | None = None
    dwell: int | None = None
    dwell_text: str = ""
    state: str | None = None
    action: str = ""
    mode: str = ""
    git: str = ""
    read: str = ""
    next: str = ""
    commit: str | None = None
    artifacts: str | None = None
    summary: str | None = None
    next_action: str | None = None
    role: str = "supervisor"
    body: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    line: int = 0


@dataclass(slots=True)
class Memory:
    """All entries in file order; ``newest_first`` is how the file is ordered."""

    entries: list[Entry] = field(default_factory=list)
    preamble: str = ""
    newest_first: bool = True
    path: str = "galph_memory.md"
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def in_order(self) -> list[Entry]:
        """Return the entries as they were written: oldest first."""
        return self.entries[::-1] if self.newest_first else list(self.entries)


def parse_memory(text: str, path: str = "galph_memory.md") -> Memory:
    """Read a memory file; problems become diagnostics. Raises only for one that is too large."""
    blocks = scan(SourceText(text, path))
    memory = Memory(path=path, diagnostics=unclosed(blocks, path))
    blocks = blocks.closed(path)
    source = blocks.source
    marks = [h for h in blocks.headings if h.level <= 2 and parse_stamp(h.title)]
    for heading, following in successive(blocks.headings):
        if heading.level > 2 or parse_stamp(heading.title):
            continue
        end = following.line if following else len(source.lines)
        if _LOOKS.match(heading.title) or _claims_dwell(blocks, heading.line + 1, end):
            message = f"`{heading.title[:30]}` is no time: the heading begins no entry"
            memory.diagnostics.append(make("W25", path, heading.line + 1, message, "correct it"))
    stop = marks[0].line if marks else len(source.lines)
    memory.preamble = "\n".join(source.lines[:stop]).strip("\n\ufeff")
    for mark, following in successive(marks):
        end = following.line if following else len(source.lines)
        memory.entries.append(_entry(blocks, mark, end, memory))
    memory.newest_first = _newest_first(memory.entries)
    return memory


def _claims_dwell(blocks: Blocks, start: int, end: int) -> bool:
    """Whether lines below a heading are those of an entry: they would go to the entry before."""
    keys = (parse_key(blocks.source.lines[number]) for number in blocks.visible(start, end))
    return any(key is not None and key.key == "dwell" for key in keys)


def _newest_first(entries: list[Entry]) -> bool:
    stamps = [entry.at for entry in entries if entry.at]
    falls = sum(1 for a, b in pairwise(stamps) if a > b)
    rises = sum(1 for a, b in pairwise(stamps) if a < b)
    return falls >= rises


def _heading(heading: Heading) -> Entry:
    title = _SPACED.sub(r"\1T\2Z", heading.title)
    word = re.split(r"[ \t]|:(?!\d)", title, maxsplit=1)[0]
    rest = title[len(word) :].lstrip(": \t·—–-")
    entry = Entry(parse_stamp(word), word.strip("*`:"), "", line=heading.line + 1)
    match = re.match(r"turn (\d{1,9})[ \t]*[·—:-]?[ \t]*", rest)
    if match:
        entry.turn, rest = int(match.group(1)), rest[match.end() :]
    entry.title = rest.strip()
    entry.item_id, entry.row = split_focus(entry.title)
    return entry


def _entry(blocks: Blocks, heading: Heading, end: int, memory: Memory) -> Entry:
    entry = _heading(heading)
    kept: list[str] = []
    summary_line = False
    for number in range(heading.line + 1, end):
        line = blocks.source.lines[number]
        if blocks.opaque[number]:
            kept.append(line)
        elif _pairs(line):
            summary_line = True
            _take_pairs(entry, line)
        elif not _take_field(entry, line, number):
            kept.append(line)
    while kept and not kept[-1].strip("-* \t"):
        kept.pop()
    entry.body = "\n".join(kept).strip("\n")
    _settle(entry, memory, summary_line)
    return entry


def _pairs(line: str) -> bool:
    text = line.strip().lstrip("-* \t")
    return text.startswith(("focus=", "notes=")) and len(text) < 100_000


def _take_pairs(entry: Entry, line: str) -> None:
    text = line.strip().lstrip("-* \t")
    found = [m for m in _PAIR.finditer(text) if m.group(1) in _KNOWN]
    values: dict[str, str] = {}
    position = 0
    while position < len(found):
        match = found[position]
        name = match.group(1)
        follow = position + 1
        if name in ("next_action", "notes"):
            while follow < len(found) and found[follow].group(1) != "<Action State>":
                follow += 1
        end = found[follow].start() if follow < len(found) else len(text)
        values[name] = text[match.end() : end].strip()
        position = follow
    for name, value in values.items():
        _take_pair(entry, name, value)


def _take_pair(entry: Entry, name: str, value: str) -> None:
    none = value.lower() in _NONE
    if name == "focus":
        entry.focus = value
        entry.item_id, entry.row = split_focus(value)
        entry.item_id = entry.item_id or value
    elif name == "<Action State>" and entry.state and entry.state != value.strip("[]"):
        entry.extra["Declared state"] = value.strip("[]")
    elif name in ("state", "<Action State>"):
        entry.state = value.strip("[]") or entry.state
    elif name == "dwell":
        entry.dwell = int(value) if value.isascii() and value.isdigit() and len(value) < 9 else None
    elif name == "ralph_last_commit":
        entry.commit = None if none else value
    elif name in ("artifacts", "summary", "next_action"):
        setattr(entry, name, None if none and name != "next_action" else value)
    elif name == "action_type":
        entry.action = entry.action or value
    elif name == "mode":
        entry.mode = entry.mode or value
    else:
        entry.extra[name] = value


def _take_field(entry: Entry, line: str, number: int) -> bool:
    if line[:1] in " \t":
        return False
    key = parse_key(line, number)
    name = _FIELDS.get(key.key) if key else None
    if key is None or name is None or not key.bullet:
        return False
    value = key.value
    if name == "dwell":
        match = re.match(r"(\d{1,6})\b", clean(value))
        entry.dwell = int(match.group(1)) if match else entry.dwell
        entry.dwell_text = value
    elif name == "focus":
        found = split_focus(value)
        entry.item_id, entry.row = found if found[0] else (entry.item_id, entry.row)
        entry.extra[key.raw_key] = value
    elif name == "state":
        entry.state = clean(value).strip("[]")
    elif name == "worker" or getattr(entry, name):
        entry.extra[key.raw_key] = value
    else:
        setattr(entry, name, value)
    return True


def _settle(entry: Entry, memory: Memory, summary_line: bool) -> None:
    if entry.state and entry.state not in STATES and not entry.state.startswith("unknown:"):
        message = f"state word `{entry.state[:40]}` is kept as unknown"
        memory.diagnostics.append(make("W24", memory.path, entry.line, message))
        entry.state = f"unknown:{entry.state}"
    if not summary_line and not entry.dwell_text:
        worker = re.search(r"(?i)\b(ralph|worker)\b", f"{entry.title}\n{entry.body[:400]}")
        entry.role = "worker" if worker else "unknown"
        message = f"entry without a summary line, taken as {entry.role}'s"
        memory.diagnostics.append(make("W25", memory.path, entry.line, message))


def claimed_actions(text: str) -> list[str]:
    """Return the action types of ``Planning → Implementation handoff (why)``, normalised."""
    bare = re.sub(r"\([^()]*\)?", "", text).rstrip(". ")
    parts = re.split(r"→|->|\+|,", bare)
    return [re.sub(r"[^a-z0-9]+", "_", p.strip().lower()).strip("_") for p in parts if p.strip()]


def render_memory(memory: Memory) -> str:
    """Return the canonical view, in the file's own order; reading it back keeps the meaning."""
    parts = [memory.preamble] if memory.preamble else []
    for entry in memory.entries:
        parts.append("\n".join(_render(entry)))
    return "\n\n".join(parts) + "\n"


def _render(entry: Entry) -> list[str]:
    stamp = render_stamp(entry.at) if entry.at else entry.stamp
    turn = f" · turn {entry.turn}" if entry.turn is not None else ""
    lines = [f"## {stamp}{turn}" + (f" · {entry.title}" if entry.title else "")]
    for name, key in _RENDERED:
        if getattr(entry, name):
            lines.append(f"- {key}: {getattr(entry, name)}")
    notes = entry.extra.get("notes")
    for key, value in entry.extra.items():
        if key != "notes":
            lines.append(f"- {key}: {value}")
    if entry.body:
        lines += ["", entry.body, ""]
    pairs = {
        "focus": entry.focus, "state": (entry.state or "").removeprefix("unknown:"),
        "dwell": "" if entry.dwell is None else str(entry.dwell),
        "ralph_last_commit": entry.commit or ("none" if entry.focus else ""),
        "artifacts": entry.artifacts, "summary": entry.summary, "next_action": entry.next_action,
    }  # fmt: skip
    if entry.focus:
        lines.append(" ".join(f"{name}={value}" for name, value in pairs.items() if value))
    elif entry.state:
        lines.append(f"- State: [{pairs['state']}]")
    if notes:
        lines.append(f"notes={notes}")
    return lines


def meaning(memory: Memory) -> list[dict[str, object]]:
    """Return what the entries say, without lines and the spelling of their stamps."""
    rows = []
    for entry in memory.entries:
        row = asdict(entry)
        for name in ("line", "stamp"):
            del row[name]
        row["body"] = entry.body.strip()
        rows.append(row)
    return rows
