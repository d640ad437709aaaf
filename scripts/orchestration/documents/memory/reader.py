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
    find_stamps,
    heading_of,
    make,
    parse_key,
    parse_stamp,
    scan,
    split_focus,
    successive,
    unclosed,
)
from orchestration.documents.historic import with_todays_date

#: Headings below this level belong to the entry above them, stamped or not; where none above it is
#: stamped, the highest level that is.
DEEPEST = 3
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
_LEADS = re.compile(
    r"(?i)(?:galph|supervisor|planner|ralph|worker|engineer|loop|turn|cycle|iteration|entry)\b"
)
_SUPERVISOR = re.compile(r"(?i)\b(?:galph|supervisor|planner)\b")
_WORKER = re.compile(r"(?i)\b(?:ralph|worker|engineer)\b")


@dataclass(slots=True)
class Entry:
    """One memory entry. ``dwell`` is what the entry claims; ``line`` counts from 1.

    ``says_commit``: the entry says what the worker last committed, if only ``none``.
    """

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
    says_commit: bool = False
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
    stamped = [h for h in blocks.headings if _stamp_first(h.title)]
    deepest = max(DEEPEST, min((h.level for h in stamped), default=0))
    marks = [h for h in stamped if h.level <= deepest]
    if len(marks) < len(stamped):
        first = next(h for h in stamped if h.level > deepest)
        message = f"read {len(marks)} of {len(stamped)} stamped headings: "
        message += f"line {first.line + 1} is part of the entry above it"
        fix = f"begin an entry with at most {deepest} `#`"
        memory.diagnostics.append(make("W27", path, first.line + 1, message, fix))
    if not marks and not stamped:
        _count_stamped(blocks, memory)
    for heading, following in successive(blocks.headings):
        if heading.level > deepest or _stamp_first(heading.title):
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


def _count_stamped(blocks: Blocks, memory: Memory) -> None:
    """W27 for a memory of which nothing is read, though headings or lines name a time."""
    lines = blocks.source.lines
    at = {h.line for h in blocks.headings if find_stamps(h.title)}
    at |= {
        n for n in blocks.visible(0, len(lines)) if parse_stamp(lines[n][:80].lstrip("-*+_[` \t"))
    }
    if at:
        message = f"read 0 of {len(at)} lines that name a time: line {min(at) + 1} begins no entry"
        fix = "begin an entry with `## <stamp>`"
        memory.diagnostics.append(make("W27", memory.path, min(at) + 1, message, fix))


def _claims_dwell(blocks: Blocks, start: int, end: int) -> bool:
    """Whether lines below a heading are those of an entry: they would go to the entry before."""
    keys = (parse_key(blocks.source.lines[number]) for number in blocks.visible(start, end))
    return any(key is not None and key.key == "dwell" for key in keys)


def _newest_first(entries: list[Entry]) -> bool:
    stamps = [entry.at for entry in entries if entry.at]
    falls = sum(1 for a, b in pairwise(stamps) if a > b)
    rises = sum(1 for a, b in pairwise(stamps) if a < b)
    return falls >= rises


def _stamp_first(title: str) -> str:
    """Return the title of an entry with its stamp in front, "" for a heading that begins none.

    The stamp stands first (behind a sign, in any spelling), or behind a word for who or which
    loop: ``Supervisor loop — 2026-01-06T10:00Z``, ``Loop 13 (2026-01-06)``.
    """
    if title.startswith("["):
        title = title[1:].replace("]", "", 1)
    if parse_stamp(title):
        return title
    bare = re.sub(r"^[\W_]+", "", title)
    today = with_todays_date(bare)
    if parse_stamp(today):
        return today
    stamps = find_stamps(bare) if _LEADS.match(bare) else []
    if not stamps:
        gaps = re.finditer(r"[^\w]+", bare[:80]) if _LEADS.match(bare) else ()
        for gap in gaps:  # `Loop 3 (Jan 5, 2026)`
            today = with_todays_date(bare[gap.end() :])
            if parse_stamp(today):
                written = find_stamps(today)[0][0]
                rest = today.replace(written, "", 1).lstrip(")")
                return f"{written} {bare[: gap.start()]} {rest}"
        return ""
    written = stamps[0][0]
    return f"{written} {bare.replace(written, '', 1)}"


def _heading(heading: Heading) -> Entry:
    title = _SPACED.sub(r"\1T\2Z", _stamp_first(heading.title))
    word = re.split(r"[ \t]|:(?!\d)", title, maxsplit=1)[0]
    rest = title[len(word) :].lstrip(": \t·—–-")
    entry = Entry(parse_stamp(word), word.strip("*`:"), "", line=heading.line + 1)
    match = re.match(r"turn (\d{1,9})[ \t]*[·—:-]?[ \t]*", rest)
    if match:
        entry.turn, rest = int(match.group(1)), rest[match.end() :]
    entry.title = rest.strip()
    entry.item_id, entry.row = _item_of(entry.title)
    if _SUPERVISOR.search(entry.title):
        entry.role = "supervisor"
    elif _WORKER.match(entry.title.lstrip("(*_ ")):
        entry.role = "worker"
    else:
        entry.role = ""
    return entry


def _item_of(title: str) -> tuple[str, str | None]:
    """Return the item that a heading names: ``kick-off`` and ``re-run`` are words."""
    item_id, row = split_focus(title)
    named = item_id in ("seed", "INIT") or item_id.upper() == item_id
    return (item_id, row) if named and item_id else ("", None)


def _entry(blocks: Blocks, heading: Heading, end: int, memory: Memory) -> Entry:
    entry = _heading(heading)
    kept: list[str] = []
    summary_line = nested = False
    for number in range(heading.line + 1, end):
        line = blocks.source.lines[number]
        found = None if blocks.opaque[number] else heading_of(line)
        if found and not entry.role and _WORKER.match(found[1].lstrip("(*_ ")):
            entry.role = "worker"
        nested = nested or bool(found and found[0] > DEEPEST and _stamp_first(found[1]))
        if blocks.opaque[number] or nested:
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
        entry.commit, entry.says_commit = None if none else value, True
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
        word = re.match(r"[*_`]*\[([^\]]{1,60})\]", value)
        entry.state = (word.group(1) if word else clean(value).strip("[]")).strip()
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
    told = summary_line or entry.dwell_text or entry.state or entry.action or entry.mode
    if not told:
        who = entry.role or "unknown"
        message = f"entry without a summary line, taken as {who}'s"
        memory.diagnostics.append(make("W25", memory.path, entry.line, message))
    entry.role = entry.role or ("supervisor" if told else "unknown")


def claimed_actions(text: str) -> list[str]:
    """Return the action types of ``Planning → Implementation handoff (why)``, normalised."""
    bare = re.sub(r"\([^()]*\)?", "", text).rstrip(". ")
    parts = re.split(r"→|->|\+|,", bare)
    return [re.sub(r"[^a-z0-9]+", "_", p.strip().lower()).strip("_") for p in parts if p.strip()]


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
