"""Values of ledger keys: statuses, priorities, dependencies, waits, and their written forms."""

from __future__ import annotations

import re
from typing import NamedTuple

from orchestration.documents.grammar import (
    clean,
    is_id,
    is_row_range,
    parse_duration,
    parse_stamp,
    read_command,
    render_command,
    render_duration,
    render_stamp,
    successive,
)
from orchestration.documents.historic import PHRASES, PRIORITIES, SIGNS, STATUS_WORDS
from orchestration.documents.ledger.model import DEFAULT_POLL_S, DEFAULT_PRIORITY, Status, Waiting

_WORDS = {s.value: s for s in Status if s is not Status.UNKNOWN}
_AND = frozenset(("and", "&", "+", "/", "plus"))
_WORD = re.compile(
    r"[A-Za-z][A-Za-z_]*"
    r"(?:[ -](?=(?:progress|planning|flight|review|started|hold|do)\b)[A-Za-z]+)?",
    re.IGNORECASE,
)
_STRUCK = re.compile(r"~~[^~\n]*~~")
_ARROW = re.compile(r"(?:→|->|=>)[*_`~ \t]*([A-Za-z][A-Za-z_]*)")
_WAITS = re.compile(
    r"(?i)\b(?:wait(?:s|ing)?|blocked|awaits?|awaiting|depends|dependent)\b"
    r"(?:[ \t]+(?:on|for|by))?[ \t:]+(.{1,200})"
)
_FIELD = re.compile(r"(?:^|;)[ \t*]*(on|check|poll|until)[*]*[ \t]*:", re.IGNORECASE)
_DEFERRED = re.compile(r"\b([A-Z]{1,3}\d{1,3}[a-z]?)\b[^.;]{0,80}?\bdeferred to ([A-Za-z][\w-]*)")


class StatusValue(NamedTuple):
    """A parsed status line: the status, the reason after it, the wait, the deferrals.

    ``mapped`` says that the word is no status of today; ``waits_for`` are the items that the
    reason waits on.
    """

    status: Status
    word: str
    reason: str
    waiting: Waiting | None
    deferred: tuple[tuple[str, str], ...]
    problem: str | None
    mapped: bool = False
    waits_for: tuple[str, ...] = ()


def parse_status(text: str, line: int = 0) -> StatusValue:
    """Read the value of a ``Status:`` key; words that nobody defined give ``UNKNOWN``."""
    body = text.strip()
    sign = next((value for mark, value in SIGNS.items() if body.startswith(mark)), None)
    while body[:1] and not body[0].isalnum():
        struck = _STRUCK.match(body)  # ~~open~~ done
        body = body[struck.end() if struck else 1 :]
    plain = body.split(" ", 1)[0].lower().strip("*_`~:;,.") in _WORDS
    phrases = () if plain else PHRASES
    match = None
    said = next((s for pattern, s in phrases if (match := _phrase(pattern, body))), None)
    if said and match:
        reason = body[match.end() :].lstrip("*_`~] \t—–-:;,/")
        waits = _waits_for(reason) if said in ("open", "in_progress") else ()
        return StatusValue(
            Status(said), match.group(), reason, None, (), None, mapped=True, waits_for=waits
        )
    match = _WORD.match(body)
    if match is None:
        if sign is None:
            return StatusValue(Status.UNKNOWN, body[:40], body, None, (), "no status word")
        return StatusValue(Status(sign), "", body, None, (), None, mapped=True)
    raw = match.group()
    status, mapped = _status(raw)
    if status is Status.UNKNOWN:
        first = raw.split()[0]
        status, mapped = _status(first)
        raw = first if status is not Status.UNKNOWN else raw
    reason = body[match.start() + len(raw) :].lstrip("*_`~] \t")
    turned = _ARROW.match(reason)
    if turned and _status(turned.group(1))[0] is not Status.UNKNOWN:  # open → in_progress
        return parse_status(reason[turned.start(1) :], line)
    if reason.startswith("?"):
        status, mapped, raw = Status.UNKNOWN, False, f"{raw}?"
    while reason[:1] and reason[0] in "—–-:;,/→":
        reason = reason[1:].lstrip("*_ \t")
    problem = None if status is not Status.UNKNOWN else f"unknown status `{raw}`"
    if status is Status.UNKNOWN and sign is not None:
        status, problem, mapped, reason = Status(sign), None, True, body
    waiting = None
    if status is Status.WAITING:
        waiting, problem = parse_waiting(reason, line)
    deferred = tuple((m.group(1), m.group(2)) for m in _DEFERRED.finditer(reason[:4000]))
    waits_for = () if status not in (Status.OPEN, Status.IN_PROGRESS) else _waits_for(reason)
    return StatusValue(status, raw, reason.strip(), waiting, deferred, problem, mapped, waits_for)


def _phrase(pattern: str, body: str) -> re.Match[str] | None:
    return re.match(rf"(?i){pattern}(?![\w-])", body)


def _status(raw: str) -> tuple[Status, bool]:
    """Return (status, whether the word was mapped) of a status word."""
    word = raw.lower().replace(" ", "_").replace("-", "_")
    if word in _WORDS:
        return _WORDS[word], False
    if word in STATUS_WORDS:
        return Status(STATUS_WORDS[word]), True
    return Status.UNKNOWN, False


def _waits_for(reason: str) -> tuple[str, ...]:
    """Return the items named behind ``waiting on`` in the reason of an open status."""
    found: list[str] = []
    for match in _WAITS.finditer(reason[:4000]):
        words = re.split(r"[).;—]", match.group(1), maxsplit=1)[0]
        found += [
            i
            for i in re.findall(r"[A-Za-z0-9_-]+", words)
            if is_id(i) and i.upper() == i and "-" in i and not is_row_range(i)
        ]
    return tuple(dict.fromkeys(found))


def parse_waiting(text: str, line: int = 0) -> tuple[Waiting | None, str | None]:
    """Read ``On: who; Check: command; Poll: 60s; Until: 2030-01-01``; return (wait, problem)."""
    marks = list(_FIELD.finditer(text))
    fields: dict[str, str] = {}
    for mark, following in successive(marks):
        end = following.start() if following else len(text)
        fields[mark.group(1).lower()] = clean(text[mark.end() : end].strip().rstrip(";"))
    missing = [name for name in ("on", "check", "until") if not fields.get(name)]
    if "check" in missing:
        return None, "waiting lacks " + ", ".join(m.capitalize() + ":" for m in missing)
    check = read_command(fields["check"], line=line)
    poll = parse_duration(fields["poll"]) if fields.get("poll") else DEFAULT_POLL_S
    until = parse_stamp(fields["until"]) if fields.get("until") else None
    problem = "waiting lacks " + ", ".join(m.capitalize() + ":" for m in missing)
    found = problem if missing else None
    if poll is None or poll <= 0:
        found, poll = f"Poll `{fields['poll']}` is no duration", DEFAULT_POLL_S
    if fields.get("until") and until is None:
        found = f"Until `{fields['until']}` is no date"
    return Waiting(fields.get("on", ""), check, poll, until), check.error or found


def render_waiting(waiting: Waiting) -> str:
    """Return the reason text of a waiting status."""
    parts = [
        f"On: {waiting.on}",
        f"Check: {render_command(waiting.check)}",
        f"Poll: {render_duration(waiting.poll_s)}",
    ]
    if waiting.until:
        parts.append(f"Until: {render_stamp(waiting.until)}")
    return "; ".join(parts)


def parse_priority(text: str) -> tuple[str, bool]:
    """Return (``P0``..``P3``, known?) of a priority value; unknown words give the default."""
    match = re.match(r"[\W_]*([A-Za-z]+\d?)", text)
    word = match.group(1).lower() if match else ""
    if re.fullmatch(r"p[0-3]", word):
        return word.upper(), True
    return PRIORITIES.get(word, DEFAULT_PRIORITY), word in PRIORITIES


def parse_depends(text: str) -> tuple[list[str], list[str]]:
    """Return (item ids, external dependency texts); notes and ✅ are dropped, not trusted.

    A part of nothing but ids (`A-001 and B-002`, `A-001 / B-002`) is those ids.
    """
    ids: list[str] = []
    external: list[str] = []
    for part in (piece for whole in _split_outside(text) for piece in _listed(whole)):
        bare = re.sub(r"[✅✔️☑]", "", part).strip()
        head = bare.split("(")[0].strip().strip("*_`[] ").strip()
        if head.lower().rstrip(".") in ("", "none", "n/a", "-", "—"):
            continue
        first = head.split()[0].rstrip(",;:")
        item = first.partition(".")[0] if is_id(first.partition(".")[0]) else first
        if (
            is_id(item)
            and item.upper() == item
            and (head == first or head[len(first) :].lstrip()[:1] in ("—", "–", "-"))
        ):
            ids.append(item)
        elif is_id(head):
            ids.append(head)
        else:
            external.append(bare)
    return list(dict.fromkeys(ids)), external


def _listed(part: str) -> list[str]:
    """The ids of a part that is nothing but two or more of them; else the part itself."""
    words = [word.strip("*_`[]✅✔️☑") for word in part.split()]
    ids = [word for word in words if word and word.lower() not in _AND]
    named = len(ids) > 1 and all(is_id(w) and "-" in w and w.upper() == w for w in ids)
    return ids if named else [part]


def named_in(text: str) -> list[str]:
    """The id-shaped words of an external dependency that do not stand in parentheses."""
    outside = re.sub(r"\([^()]*\)", " ", text)
    return [word for word in re.findall(r"[\w.-]+", outside) if is_id(word) and "-" in word]


def _split_outside(text: str) -> list[str]:
    parts: list[str] = []
    depth = 0
    start = 0
    for index, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth = max(0, depth - 1)
        elif char in ",;" and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]
