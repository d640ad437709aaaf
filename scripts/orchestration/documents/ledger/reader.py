"""Reader of the ledger: every historic form into the same items."""

from __future__ import annotations

import functools
import re
from bisect import bisect_left, bisect_right

from orchestration.documents.grammar import (
    Blocks,
    Diagnostic,
    Heading,
    KeyLine,
    SourceText,
    Upgraded,
    clean,
    find_ids,
    heading_of,
    is_id,
    is_separator,
    iter_keys,
    looks_like_path,
    make,
    parse_key,
    parse_row,
    parse_stamp,
    scan,
    spans_of,
    split_cells,
    split_focus,
    strip_bullets,
    successive,
    unclosed,
)
from orchestration.documents.historic import KEYS, claimed_rows
from orchestration.documents.ledger.lists import (
    NOTHING,
    parse_attempt,
    read_attempts,
    read_criteria,
    read_recipes,
    unread_bullets,
)
from orchestration.documents.ledger.model import Attempt, Item, Ledger, Status
from orchestration.documents.ledger.values import parse_depends, parse_priority, parse_status

_BRACKET = re.compile(r"[*_~✅ ]*\[([A-Za-z][\w.-]{0,120})\][*_~]*[ \t]*[:—–-]?[ \t]*")
#: A heading behind a stray bullet: ``-### [ID]``.
STRAY = re.compile(r"-(?=#{2,4}[ \t]*\[)")
_LINK = re.compile(r"\]\(([^()\s]{1,400})\)")
_WAIT_FIELD = re.compile(r"(?i)[-*+] \**(on|check|poll|until)\b")
#: Keys that may stand once: a second line would be lost, or would win in silence.
ONCE = frozenset(
    (
        "status",
        "waiting",
        "priority",
        "type",
        "plan",
        "owner",
        "guard",
        "held-out",
        "needs",
        "class",
        "return",
    )
)
_TODAY = (
    *("status", "priority", "type", "depends", "plan", "owner", "exit", "attempts", "guard"),
    *("held-out", "recipe", "needs", "class", "return", "waiting", "told before"),
)
#: Keys that an item has, as they are called today and as they were.
ITEM_KEYS = frozenset((*_TODAY, *KEYS))
#: Those whose list may stand under a title.
LISTS = frozenset(key for key in ITEM_KEYS if KEYS.get(key, key) in ("exit", "attempts"))


def parse_ledger(text: str, path: str = "docs/fix_plan.md") -> Ledger:
    """Read a ledger; problems become diagnostics of the result.

    Raises :class:`DocumentError` only for a document that is too large.
    """
    ledger = _read(SourceText(text, path), path)
    if not ledger.items:
        from orchestration.documents.historic import upgrade_report  # rare: not in every start

        upgraded = upgrade_report(text, path)
        if upgraded.form == "canonical":
            _no_items(SourceText(text, path), ledger)
        else:
            ledger = _read(SourceText(upgraded.text, path, limit=False), path)
            ledger.form = upgraded.form
            relocate(ledger, upgraded)
            fix = "`orchestrate validate --fix` rewrites it"
            message = "historic form 2 (single focus)"
            ledger.diagnostics.append(make("W06", path, 1, message, fix))
    return ledger


def _read(source: SourceText, path: str) -> Ledger:
    blocks = scan(source)
    ledger = Ledger(path=path)
    headings = _repair(blocks, ledger)
    for start, end, level, item_id, title in _item_ranges(blocks, headings):
        ledger.items.append(_read_item(blocks, start, end, level, item_id, title, ledger))
    ledger.active_focus = _active_focus(blocks, headings)
    if ledger.items:
        _only_in_a_table(blocks, ledger)
    _without_an_id(blocks, headings, ledger)
    _duplicates(ledger)
    ledger.diagnostics += unclosed(blocks, path)
    return ledger


def relocate(ledger: Ledger, upgraded: Upgraded) -> None:
    """Replace lines and spans of the upgraded text by those of the text it came from."""
    new = SourceText(upgraded.text, limit=False)
    at = upgraded.line_of
    for item in ledger.items:
        if item.status_span:
            start, end = (upgraded.offset_of(new, offset) for offset in item.status_span)
            item.status_span = (start, end) if 0 <= start < end else None
        item.span = (0, len(upgraded.old.text))
        item.line = at(item.line)
        item.criteria = [
            c._replace(line=at(c.line), state_offset=upgraded.offset_of(new, c.state_offset))
            for c in item.criteria
        ]
        item.attempts = [a._replace(line=at(a.line)) for a in item.attempts]
    ledger.diagnostics = [d._replace(line=at(d.line)) for d in ledger.diagnostics]


@functools.lru_cache(maxsize=8)
def read_ledger(text: str, path: str = "docs/fix_plan.md") -> Ledger:
    """`parse_ledger`, once for each text: a cycle asks ten times for the same few. Read only."""
    return parse_ledger(text, path)


def _repair(blocks: Blocks, ledger: Ledger) -> list[Heading]:
    headings = list(blocks.headings)
    for number, line in enumerate(blocks.source.lines):
        if line.startswith("-#") and not blocks.opaque[number] and STRAY.match(line):
            found = heading_of(line[1:])
            if found:
                headings.append(Heading(found[0], found[1], number))
                message = "stray `-` before an item heading"
                ledger.diagnostics.append(
                    make("W09", ledger.path, number + 1, message, "remove the leading `-`")
                )
    headings.sort(key=lambda heading: heading.line)
    return headings


def _item_heading(title: str) -> tuple[str, str] | None:
    match = _BRACKET.match(title)
    if match and not title[match.end() - 1 :].startswith("("):
        return match.group(1), title[match.end() :].strip()
    word = title.split(" ", 1)[0].strip("*`_:")
    if is_id(word) and "-" in word and word.upper() == word and not word[0].isdigit():
        return word, title[len(title.split(" ", 1)[0]) :].strip().lstrip(":—–-").strip()
    return None


def _item_ranges(blocks: Blocks, headings: list[Heading]) -> list[tuple[int, int, int, str, str]]:
    found: list[tuple[int, int, int, str, str]] = []
    inside: int | None = None
    for heading, following in successive(headings):
        end = following.line if following else len(blocks.source.lines)
        named = _item_heading(heading.title) if heading.level > 1 else None
        if named and not (_is_marked(heading.title, named[0]) or _has_keys(blocks, heading, end)):
            named = None  # a section: `## TO-DO` over the items of its kind
        deeper = inside is not None and heading.level > inside
        if named and deeper and not _is_marked(heading.title, named[0]):
            named = None
        if inside is not None and (named or not deeper):
            found[-1] = (found[-1][0], heading.line, *found[-1][2:])
            inside = None
        if named:
            found.append((heading.line, len(blocks.source.lines), heading.level, *named))
            inside = heading.level
    return found


def _is_marked(title: str, item_id: str) -> bool:
    """Whether a heading says `[ID]`: an item wherever it stands, also below another one."""
    return _BRACKET.match(title) is not None and "-" in item_id and item_id.upper() == item_id


def _has_keys(blocks: Blocks, heading: Heading, end: int) -> bool:
    """Whether keys of an item come before the next heading."""
    keys = iter_keys(blocks, heading.line + 1, end, ITEM_KEYS, LISTS)
    return any(key.key in ITEM_KEYS for key in keys)


def _read_item(
    blocks: Blocks, start: int, end: int, level: int, item_id: str, title: str, ledger: Ledger
) -> Item:
    source = blocks.source
    item = Item(item_id, clean(title), line=start + 1)
    item.span = (source.starts[start], source.after(end - 1))
    seen_status = False
    seen: dict[str, int] = {}
    for key in iter_keys(blocks, start + 1, end, ITEM_KEYS, LISTS):
        name = KEYS.get(key.key, key.key)
        if name in ONCE and name in seen:
            message = f"{item_id} says `{key.raw_key}:` twice (first at line {seen[name]})"
            fix = "keep one of the two lines"
            ledger.diagnostics.append(make("E27", ledger.path, key.line + 1, message, fix))
        seen.setdefault(name, key.line + 1)
        if key.key in ("status", "waiting") and not seen_status:
            seen_status = True
            read_status(blocks, key, item, ledger)
        else:
            read_item_key(blocks, key, item, ledger)
    read_told(blocks, start + 1, end, item)
    if title.lstrip("*_ ").startswith("✅") and not seen_status:
        item.status = Status.DONE
    elif not seen_status:
        message = f"{item_id} has no `Status:` line"
        ledger.diagnostics.append(
            make("W10", ledger.path, item.line, message, "add `- Status: open`")
        )
    return item


def read_status(blocks: Blocks, key: KeyLine, item: Item, ledger: Ledger) -> None:
    """Fill the status of ``item`` from its ``Status:`` line and the lines that continue it."""
    source = blocks.source
    text, last = value_of(blocks, key)
    if key.key == "waiting":
        text = "waiting — " + text
    value = parse_status(text, key.line + 1)
    item.status, item.reason, item.waiting = value.status, value.reason, value.waiting
    item.deferred = list(value.deferred)
    item.depends += [name for name in value.waits_for if name not in (item.id, *item.depends)]
    item.status_text = text
    if key.key == "status":
        item.status_span = (source.starts[key.line] + key.value_column, source.end(last))
    if value.problem:
        code = "E21" if item.status is Status.WAITING else "E20"
        fix = (
            "write `- Status: waiting — On: who; Check: command; Poll: 60s; Until: 2030-01-01`"
            if code == "E21"
            else "use open, in_progress, waiting, blocked, done or dropped, then ` — reason`"
        )
        ledger.diagnostics.append(
            make(code, ledger.path, key.line + 1, f"{item.id}: {value.problem}", fix)
        )
    if value.mapped:
        words = value.word or text.strip()[:20]
        message = f"{item.id}: `{words}` is read as {item.status.value}"
        _note(ledger, "W26", key, message, f"write `- Status: {item.status.value} — reason`")
    if value.waits_for:
        message = f"{item.id} waits for {', '.join(value.waits_for)}: read as a dependency"
        _note(ledger, "W26", key, message, "write it as `- Depends:`")
    if item.status is Status.DONE and item.deferred:
        rows = ", ".join(f"{row} → {target}" for row, target in item.deferred)
        ledger.diagnostics.append(
            make("W08", ledger.path, key.line + 1, f"{item.id} is done with deferral: {rows}")
        )


def value_of(blocks: Blocks, key: KeyLine) -> tuple[str, int]:
    """Return the value of a key with its continuation lines joined, and its last line."""
    lines = blocks.source.lines
    parts = [key.value]
    last = key.line
    for number in range(key.line + 1, key.end):
        line = lines[number]
        text = line.strip()
        if not text or blocks.opaque[number] or line[:1] not in " \t" or text.startswith("|"):
            break
        if text[:2] in ("- ", "* ", "+ "):
            waits = key.key == "status" and _WAIT_FIELD.match(text)
            if not waits and KEYS.get(key.key, key.key) != "depends":
                break
            text = "; " + text[2:]
        parts.append(text)
        last = number
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.rstrip(";") + part if part.startswith("; ") else f"{joined} {part}"
    return joined.strip(), last


def read_item_key(blocks: Blocks, key: KeyLine, item: Item, ledger: Ledger) -> None:
    """Fill one non-status key of an item; unknown keys are kept in ``extra``."""
    name = KEYS.get(key.key, key.key)
    text = value_of(blocks, key)[0]
    if name == "depends":
        ids, external = parse_depends(text)
        item.depends += [dependency for dependency in ids if dependency not in item.depends]
        item.external += external
    elif name == "priority":
        item.priority, known = parse_priority(text)
        if not known:
            _note(ledger, "W12", key, f"{item.id}: unknown priority `{clean(text)[:40]}`")
    elif name == "exit":
        criteria = read_criteria(blocks, key, item.id, ledger, len(item.criteria))
        item.criteria += criteria
        if not criteria:
            _nothing_read(blocks, key, item, ledger, "write `- [ ] C1 `command` — meaning`")
    elif name == "recipe":
        item.recipes += read_recipes(blocks, key, ledger)
    elif name == "told before":
        pass  # rows that a later row of the same id replaces
    elif name == "attempts":
        attempts = read_attempts(blocks, key.line + 1, key.end)
        item.attempts += attempts
        read, count, first = unread_bullets(blocks, key.line + 1, key.end)
        if read < count:
            message = f"{item.id}: read {read} of {count} bullets of `{key.raw_key}`"
            message += f" (line {first} begins with neither a date nor a number)"
            _note(ledger, "W27", key, message, "begin each with a date or `Attempt #n`")
        elif not attempts:
            _nothing_read(blocks, key, item, ledger, "begin each with `- ` and a date")
    elif name == "plan":
        item.plan = _first_path(text)
    elif name == "owner":
        item.owner = clean(text) or None
    elif name == "class":
        item.blocker_class = clean(text) or None
    elif name == "return":
        item.return_condition = clean(text) or None
    elif name == "held-out":
        item.held_out = clean(text) or None
    elif name in ("type", "guard", "needs"):
        value = clean(text) or None
        setattr(item, name, value.lower() if value and name != "guard" else value)
    else:
        item.extra[key.raw_key] = text
        if name not in ITEM_KEYS:
            _note(ledger, "W05", key, f"{item.id}: unknown key `{clean(key.raw_key)[:40]}`")


def _nothing_read(blocks: Blocks, key: KeyLine, item: Item, ledger: Ledger, fix: str) -> None:
    """W27 for a list that has lines, none of which is an entry."""
    source = blocks.source
    below = [n for n in blocks.visible(key.line + 1, key.end) if source.lines[n].strip("-*_ \t")]
    rows = [n for n in below if source.lines[n].lstrip().startswith("|")]
    empty = len(rows) == 2 and is_separator(split_cells(source.lines[rows[1]].strip()))
    lines = [n for n in below if not (empty and n in rows) and not _is_none(source.lines[n])]
    if lines:
        message = f"{item.id}: read 0 of {len(lines)} lines of `{key.raw_key}`"
        _note(ledger, "W27", key, f"{message} (the first is line {lines[0] + 1})", fix)


def _is_none(line: str) -> bool:
    return bool(NOTHING.fullmatch(line[strip_bullets(line)[0] :].strip("*_() .")))


def _first_path(text: str) -> str | None:
    """Return a plan's path: the first code span that is one, or the whole value."""
    spans = [span for span in spans_of(text) if looks_like_path(span)] or _LINK.findall(text)
    return next(iter(spans), clean(text)) or None


def read_told(blocks: Blocks, start: int, end: int, item: Item) -> None:
    """Read the attempts of an item that have a heading of their own.

    ``#### <stamp> — label`` or ``#### Attempt 2 — <stamp>``.
    """
    lines = blocks.source.lines
    first = bisect_left(blocks.headings, start, key=lambda heading: heading.line)
    inside = []
    for heading in blocks.headings[first:]:
        if heading.line >= end:
            break
        inside.append(heading)
    for heading, following in successive(inside):
        stop = following.line if following else end
        text = "\n".join(lines[heading.line + 1 : stop]).strip()
        if not parse_stamp(heading.title):
            told = parse_attempt(heading.title, heading.line)
            item.attempts += [told._replace(label=told.text, text=text)] if told else []
            continue
        head, _, label = heading.title.rpartition("(")
        item.attempts.append(
            Attempt(
                at=parse_stamp(heading.title),
                label=label.rstrip(") ") if head else heading.title,
                criteria=", ".join(claimed_rows(head)),
                text=text,
                line=heading.line + 1,
            )
        )


def _note(ledger: Ledger, code: str, key: KeyLine, message: str, fix: str = "") -> None:
    ledger.diagnostics.append(make(code, ledger.path, key.line + 1, message, fix))


def _active_focus(blocks: Blocks, headings: list[Heading]) -> str | None:
    for number in blocks.visible(0, min(len(blocks.source.lines), 200)):
        line = blocks.source.lines[number]
        if "active focus" in line[:40].lower():
            ids = find_ids(line)
            return ids[0] if ids else None
    for position, heading in enumerate(headings):
        if heading.title.lower().startswith("current focus"):
            end = headings[position + 1].line if position + 1 < len(headings) else None
            for line in blocks.source.lines[heading.line + 1 : end]:
                focus = split_focus(line)[0]
                if focus:
                    return focus
    return None


def _only_in_a_table(blocks: Blocks, ledger: Ledger) -> None:
    """W27 for the rows of a table of items with statuses that have no heading of their own."""
    source = blocks.source
    known = {item.id for item in ledger.items}
    first = min(item.line for item in ledger.items) - 1
    rows: list[tuple[int, str]] = []
    table = False
    for number in blocks.visible(0, first):
        line = source.lines[number].strip()
        if not line.startswith("|"):
            table = False
        elif not table:
            table = "status" in [cell.lower().strip("* ") for cell in split_cells(line)]
        elif table and (ids := find_ids("".join(split_cells(line)[:1]))) and ids[0].isupper():
            rows.append((number, ids[0]))
    lost = [(number, name) for number, name in rows if name not in known]
    if lost:
        names = ", ".join(name for _, name in lost[:5])
        message = f"read {len(rows) - len(lost)} of {len(rows)} items of the table: no heading for "
        fix = f"add `## [{lost[0][1]}] title` with its keys"
        line_no = lost[0][0] + 1
        ledger.diagnostics.append(make("W27", ledger.path, line_no, message + names, fix))


def _without_an_id(blocks: Blocks, headings: list[Heading], ledger: Ledger) -> None:
    """W27 for headings outside the items that have a status and no id."""
    starts = [item.span[0] for item in ledger.items]
    lost = []
    for heading, following in successive(headings):
        end = following.line if following else len(blocks.source.lines)
        offset = blocks.source.starts[heading.line]
        at = bisect_right(starts, offset) - 1
        if heading.level > 1 and (at < 0 or offset >= ledger.items[at].span[1]):
            keys = iter_keys(blocks, heading.line + 1, end, ITEM_KEYS, LISTS)
            lost += [heading] if any(key.key == "status" for key in keys) else []
    if lost:
        count = len(ledger.items)
        message = f"read {count} of {count + len(lost)} headings with a status: "
        message += f"`{lost[0].title[:40]}` has no id"
        fix = "write `## [ID] title`"
        ledger.diagnostics.append(make("W27", ledger.path, lost[0].line + 1, message, fix))


def _no_items(source: SourceText, ledger: Ledger) -> None:
    """W27 for a ledger without an item that has statuses, rows of a checklist or of a table."""
    blocks = scan(source)
    told = any(found.code == "W27" for found in ledger.diagnostics)  # headings with a status
    rows = []
    for number in blocks.visible(0, len(source.lines)):
        line = source.lines[number].strip()
        if not line:
            continue
        table = line.startswith("|") and number and source.lines[number - 1].lstrip()[:1] == "|"
        key = parse_key(line)
        status = key is not None and key.key == "status" and not told
        if status or parse_row(line) or (table and not is_separator(split_cells(line))):
            rows.append(number + 1)
    if rows:
        message = f"read 0 of {len(rows)} rows and statuses: line {rows[0]} belongs to no item"
        fix = "write items: `## [ID] title`, `- Status: open`, `- Exit:`"
        ledger.diagnostics.append(make("W27", ledger.path, rows[0], message, fix))


def _duplicates(ledger: Ledger) -> None:
    first: dict[str, int] = {}
    for item in ledger.items:
        if item.id in first:
            message = f"item {item.id} is defined twice (first at line {first[item.id]})"
            found: Diagnostic = make(
                "E22", ledger.path, item.line, message, "merge the two items or rename one"
            )
            ledger.diagnostics.append(found)
        first.setdefault(item.id, item.line)
