"""Bullets of an order's sections: tasks, contracts, artifacts, findings, steps."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestration.documents.grammar import (
    Blocks,
    Ref,
    clean,
    indent_of,
    is_id,
    looks_like_path,
    parse_refs,
    parse_row,
    strip_bullets,
    take_row_id,
)
from orchestration.documents.order.model import ArtifactTarget, Contract, FindingRef, Task
from orchestration.documents.order.sections import RawSection, below

_VERB = re.compile(
    r"\**(Implement \(test\)|Implement|Update|Document|Capture|Run)(?![A-Za-z])\**:?\**[ \t]+"
)
_VERIFY = re.compile(
    r"(?<![ \t])[ \t]*(?:\([ \t]*verify:[ \t]*([^()]*(?:\([^()]*\)[^()]*)*)\)|(?<!\()verify:(.*))$"
)
_SPAN = re.compile(r"`([^`\s]{1,400})`")
_NEW = re.compile(r"\(?new(?::\)|\)|:)[ \t]*", re.IGNORECASE)
_MARKS = re.compile(r"[—–:\-\s]*")
_LEADING = re.compile(r"\s*(?:(?!--)[—–:-]\s*)*")  # `--option` is text
_DASH = re.compile(r"(?<![ \t])[ \t]+(?:—|–|--|-)[ \t]+")


@dataclass(slots=True)
class Entry:
    """One bullet or paragraph: its first line without the bullet, and the lines under it."""

    first: str
    raw: str
    detail: list[str]
    line: int
    bullet: bool

    def joined(self) -> str:
        """Return the text on one line."""
        return " ".join(part.strip() for part in [self.first, *self.detail] if part.strip())


def entries(blocks: Blocks, section: RawSection, *, fenced: bool = True) -> list[Entry]:
    """Return the outermost bullets of a section; prose between them becomes unbulleted entries.

    Fenced lines belong to the bullet before them, or are left out without ``fenced``.
    """
    found: list[Entry] = []
    if section.first:
        first = below(section.first)
        found.append(Entry(first, first, [], section.line, False))
    base: int | None = None
    for number in range(section.start, section.end):
        line = blocks.source.lines[number].expandtabs(4)
        text = line.strip()
        opaque = bool(blocks.opaque[number])
        if opaque and not fenced:
            continue
        at, count = strip_bullets(line)
        indent = indent_of(line)
        if count and not opaque and (base is None or indent < base + 2):
            base = indent if base is None else min(base, indent)
            first = line[at:].strip()
            first = first if first.strip("-*+ ") else ""
            found.append(Entry(first, text, [], number, True))
        elif found and (found[-1].bullet or opaque):
            kept = line[min(2, indent) :].rstrip() if text else ""
            found[-1].detail.append(kept if opaque else below(kept))
        elif opaque or text.strip("-*+ "):
            text = text if opaque else below(text)
            found.append(Entry(text, text, [], number, False))
    for entry in found:
        while entry.detail and not entry.detail[-1]:
            entry.detail.pop()
    return found


def read_task(entry: Entry) -> Task:
    """Read ``[x] T1: Implement `path::symbol` — text (verify: command)`` and its detail lines."""
    row = parse_row("- " + entry.first)
    state, row_id, text = (row.state, row.row_id, row.text) if row else (" ", "", entry.first)
    if not row_id:
        row_id, text = take_row_id(text)
    match = _VERB.match(text)
    verb = ""
    if match:
        verb, text = match.group(1), text[match.end() :]
    verify = None
    found = _VERIFY.search(text[-2000:])
    if found:
        cut = len(text) - len(text[-2000:]) + found.start()
        verify = clean((found.group(1) or found.group(2) or "").strip()) or None
        text = text[:cut].rstrip() if verify else text
    refs, text, new = _front_refs(text)
    if not refs:
        refs = _prose_refs(text)
    body = "\n".join([text, *entry.detail]).rstrip()
    return Task(row_id, state, verb, tuple(refs), body, verify, new, entry.line + 1)


def _front_refs(text: str) -> tuple[list[Ref], str, bool]:
    refs: list[Ref] = []
    rest = text
    new = False
    while True:
        mark = _NEW.match(rest)
        if mark:
            new, rest = True, rest[mark.end() :]
        token, after = _token(rest)
        if not token or not looks_like_path(token):
            break
        refs += parse_refs(token)
        rest = after
        mark = _NEW.match(rest.lstrip())
        if mark:
            new, rest = True, rest.lstrip()[mark.end() :]
        bare = rest.lstrip(" \t")
        if bare[:1] != ",":
            break
        rest = bare[1:].lstrip()
    if not refs:
        mark = _NEW.match(text)
        return [], text[mark.end() :] if mark else text, mark is not None
    return refs, _without(_LEADING, rest), new


def _without(marks: re.Pattern[str], text: str) -> str:
    """Return the text behind the marks that separate it from what it is about."""
    found = marks.match(text)
    return text[found.end() if found else 0 :].rstrip()


def _token(text: str) -> tuple[str, str]:
    if text.startswith("`"):
        end = text.find("`", 1)
        return (text[1:end], text[end + 1 :]) if end > 1 else ("", text)
    match = re.match(r"\**([^\s,`]+(?:\{[^}\s]{0,200}\}[^\s,`]*)*)\**", text)
    if match is None:
        return "", text
    token = match.group(1).rstrip("*:;.")
    if "{" in token and "}" not in token:
        brace = text.find("}")
        if 0 < brace < 300:
            token = text[: brace + 1]
            return token, text[brace + 1 :]
    return token, text[match.start(1) + len(token) :].lstrip("*")


def _prose_refs(text: str) -> list[Ref]:
    refs: list[Ref] = []
    for match in _SPAN.finditer(text[:20000]):
        if looks_like_path(match.group(1), in_prose=True):
            refs += [ref for ref in parse_refs(match.group(1)) if ref not in refs]
    return refs


def split_dash(text: str) -> tuple[str, str]:
    """Cut ``name — meaning`` at the first free-standing dash."""
    match = _DASH.search(text)
    if match is None:
        return text.strip(), ""
    return text[: match.start()].strip(), text[match.end() :].strip()


def read_contract(entry: Entry) -> Contract:
    """Read ``path:line — rule``; a bullet without a path is a rule alone."""
    token, rest = _token(entry.joined())
    if token and looks_like_path(token):
        refs = parse_refs(token)
        return Contract(refs[0], _without(_MARKS, rest), entry.line + 1)
    return Contract(None, entry.joined(), entry.line + 1)


def read_artifact(entry: Entry) -> ArtifactTarget:
    """Read ``name — what it proves``."""
    text = entry.joined()
    end = text.find("`", 1)
    if text.startswith("`") and end > 1 and text[end + 1 :].lstrip()[:1] in ("", "—"):
        return ArtifactTarget(text[1:end], text[end + 1 :].lstrip(" \t—"), entry.line + 1)
    name, meaning = split_dash(text)
    return ArtifactTarget(clean(name), meaning, entry.line + 1)


def read_finding(entry: Entry) -> FindingRef:
    """Read ``CONFIG-001 — adherence`` or a text without an id."""
    text = entry.joined()
    bare = text.lstrip("*`_[ ")
    word = bare.split(" ", 1)[0].strip("*`_:;,.()[]")
    if is_id(word) and "-" in word and word.upper() == word:
        rest = bare[bare.find(word) + len(word) :].lstrip("*`_]:;,. \t")
        while rest[:1] in ("—", "–", "-"):
            rest = rest[1:].lstrip()
        return FindingRef(word, rest.strip(), entry.line + 1)
    return FindingRef("", text, entry.line + 1)
