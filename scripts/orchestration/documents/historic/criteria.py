"""Exit criteria as people wrote them: numbered, plain, checked by hand, or with a sign."""

from __future__ import annotations

from orchestration.documents.grammar import indent_of, strip_bullets
from orchestration.documents.historic.ledger_names import DONE_SIGNS, OPEN_SIGNS, SIGNS

_ALL = (*DONE_SIGNS, *OPEN_SIGNS, *SIGNS)


def plain_criterion(line: str) -> tuple[str, str] | None:
    """Return (state, text) of a bullet without ``[ ]``; None when the line is no bullet."""
    at, bullets = strip_bullets(line)
    text = line[at:].strip()
    if not bullets or not text.strip("-*+_ "):
        return None
    return take_sign(text)


def take_sign(text: str) -> tuple[str, str]:
    """Cut the sign before (or alone behind) a criterion; ✅ is met, every other sign is open."""
    sign = next((s for s in _ALL if text.startswith(s)), None)
    if sign is not None:
        return ("x" if sign in DONE_SIGNS else " "), text[len(sign) :].lstrip("️ \t")
    if text.startswith("~~") and text.endswith("~~") and len(text) > 4:
        return "x", text[2:-2].strip()
    tail = text.rstrip("️ \t.")
    if tail.endswith(DONE_SIGNS) and len(tail) > 1:
        return "x", text
    return " ", text


def outermost(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the bullets that are indented least; deeper ones belong to the one above them."""
    bullets = [(number, line) for number, line in lines if strip_bullets(line)[1]]
    least = min((indent_of(line) for _, line in bullets), default=0)
    return [(number, line) for number, line in bullets if indent_of(line) < least + 2]
