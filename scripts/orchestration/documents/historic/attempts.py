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
_OUTCOME = re.compile(r"(?i)\bresult:?\**:?[ \t]*\**([A-Za-z][A-Za-z_-]{1,30})")
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
    number = _NUMBER.match(body)
    if number:
        rest = body[number.end() :]
        moment = parse_stamp(rest.lstrip(" (*—–-[:`\t")[:40])
        return Told(
            int(number.group(1)), moment, None, "", "", _outcome(rest), rest.strip("* :—–-")
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
