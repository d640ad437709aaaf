"""Attempts as people told them: bullets and headings that begin with a stamp or a number."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from orchestration.documents.grammar import parse_stamp, strip_bullets
from orchestration.documents.historic.claims import claimed_rows

_LABEL = re.compile(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_NUMBER = re.compile(
    r"(?i)\**(?:attempt|loop|cycle|iteration|turn|try)[ \t]*#?[ \t]*(\d{1,6})(?![\w-])"
)
_HASH = re.compile(r"[*_`(\[]*#(\d{1,6})(?![\d-])")
_OUTCOME = re.compile(
    r"(?i)\b(?:result|outcome|verdict):?\**:?[^\w\n]{0,6}([A-Za-z][A-Za-z_-]{1,30})"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<m>{'|'.join(_MONTHS)})[a-z]{{0,6}}\.?"
#: Dates that are none of today's spellings: year first, or a month's name. Compiled where met.
_DATES = (
    r"(?P<y>\d{4})[/.-](?P<m>\d{1,2})[/.-](?P<d>\d{1,2})(?![\d/T-])",
    r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(?=[T:, \])]|$)",
    rf"(?i){_MONTH} (?P<d>\d{{1,2}})[a-z]{{0,2}},? (?P<y>\d{{4}})\b",
    rf"(?i)(?P<d>\d{{1,2}})[a-z]{{0,2}}\.? {_MONTH},? (?P<y>\d{{4}})\b",
)
_CLOCK = re.compile(r"[ \t]+(\d{2}):(\d{2})(?::(\d{2}))?(?:[ \t]*(?:Z|UTC))?(?![\w:])")
_OPENING = "*_[(`#✅❌⚠️🚧 \t"


class Told(NamedTuple):
    """An attempt that a person wrote down: number, stamps, label, rows, outcome, words."""

    number: int | None
    at: datetime | None
    until: datetime | None
    label: str
    rows: str
    outcome: str
    text: str


def told_attempt(text: str) -> Told | None:
    """Read ``*<stamp> (label):* words``, ``[<date>] Attempt #2 — words`` or ``Attempt #3 — …``.

    Any bullet may stand before it. None when the line begins with neither stamp nor number.
    """
    at, _ = strip_bullets(text)
    body = text[at:].lstrip(_OPENING)
    if body[:1] > "\u2100":  # a sign of the writer's own
        body = body.lstrip(_OPENING + body[0] + "\ufe0f\u200d")
    body = with_todays_date(body)
    number = _NUMBER.match(body) or _HASH.match(text[at:])
    if number and number.re is _HASH:
        body = text[at:]
    if number:
        rest = body[number.end() :]
        moment = parse_stamp(rest.lstrip(" (*—–-[:`\t")[:40])
        return Told(
            int(number.group(1)), moment, None, "", "", _outcome(rest), rest.strip("* :—–-]")
        )
    moment = parse_stamp(body)
    if moment is None or not body[:4].isdigit():
        return None
    head, rest = _split(body)
    inner = _NUMBER.search(rest[:80])
    label = _LABEL.search(head[:400])
    return Told(
        int(inner.group(1)) if inner and not rest[: inner.start()].strip("*_—–-:] \t") else None,
        moment,
        _until(head),
        label.group(1) if label else "",
        ", ".join(claimed_rows(head.partition("(")[0])),
        _outcome(rest),
        rest.strip("* \t"),
    )


def with_todays_date(body: str) -> str:
    """Return the words with the date at their beginning in today's spelling."""
    if not body[:1].isdigit() and body[:3].lower() not in _MONTHS:
        return body
    for pattern in _DATES:
        match = re.match(pattern, body)
        if match is None:
            continue
        name = match["m"].lower()
        month = int(name) if name.isdigit() else _MONTHS.index(name[:3]) + 1
        rest = body[match.end() :]
        clock = _CLOCK.match(rest)
        if clock:
            rest = f"T{clock[1]}:{clock[2]}:{clock[3] or '00'}Z{rest[clock.end() :]}"
        return f"{match['y']}-{month:02}-{int(match['d']):02}{rest}"
    return body


def _until(head: str) -> datetime | None:
    for dash in (" – ", " - ", " — ", "–"):
        if dash in head:
            return parse_stamp(head.partition(dash)[2])
    return None


def _outcome(text: str) -> str:
    found = _OUTCOME.search(text[:400])
    return found.group(1).lower() if found else ""


def _split(body: str) -> tuple[str, str]:
    """Cut after the stamp and its label; the colon of ``08:30`` is no cut."""
    if ":*" in body[:400]:
        head, _, rest = body.partition(":*")
        return head, rest
    bracket = body.find("]", 0, 60)
    if bracket >= 0 and "[" not in body[:bracket]:
        return body[:bracket], body[bracket + 1 :].lstrip(":*_ \t")
    label = _LABEL.search(body[:400])
    near = label is not None and not body[: label.start()].strip("0123456789TZ:.*_–— -")
    at = label.end() if label and near else len(body.split(" ", 1)[0])
    return body[:at], body[at:].lstrip(":* ")
