"""Bullets of an order's sections: tasks, contracts, artifacts, findings, steps."""

from __future__ import annotations

import re

from orchestration.documents.grammar import (
    Entry,
    Ref,
    clean,
    is_command,
    is_id,
    looks_like_path,
    parse_refs,
    parse_row,
    take_row_id,
)
from orchestration.documents.historic import says_new
from orchestration.documents.order.model import ArtifactTarget, Contract, FindingRef, Task

_VERB = re.compile(
    r"\**(Implement \(test\)|Implement|Update|Document|Capture|Run)(?![A-Za-z])\**:?\**[ \t]+"
)
#: Any other word that says what is done with a file: ``Record: docs/fix_plan.md``.
_ANY_VERB = re.compile(
    r"\**([A-Z][a-z]{2,20}(?: \([a-z ]{1,20}\))?)\**"
    r"(?::\**[ \t]+(?=[`*]*[\w.$-]+[/.])|[ \t]+(?=[`*]*[\w.$-]+/[\w./$-]*\.[a-z]))"
)
_JOINED = re.compile(r"(?:^|[ \t])(?:\+|&|and|,)[ \t]+`?([^\s,`]+)")
_VERIFY = re.compile(
    r"(?<![ \t])[ \t]*(?:\([ \t]*verify:[ \t]*([^()]*(?:\([^()]*\)[^()]*)*)\)|(?<!\()verify:(.*))$"
)
_BARE = re.compile(r"(?<![^\s(])[\w.$-]+(?:/[\w.$-]+)+(?:::[\w.:]+)?(?![^\s,;:.)])")
_SPAN = re.compile(r"`([^`\s]{1,400})`")
_NEW = re.compile(r"\(?new(?::\)|\)|:)[ \t]*", re.IGNORECASE)
_MARKS = re.compile(r"[—–:\-\s]*")
_LEADING = re.compile(r"\s*(?:(?!--)[—–:-]\s*)*")  # `--option` is text
_DASH = re.compile(r"(?<![ \t])[ \t]+(?:—|–|--|-)[ \t]+")


def read_task(entry: Entry) -> Task:
    """Read ``[x] T1: Implement `path::symbol` — text (verify: command)`` and its detail lines."""
    row = parse_row("- " + entry.first)
    state, row_id, text = (row.state, row.row_id, row.text) if row else (" ", "", entry.first)
    if not row_id:
        row_id, text = take_row_id(text)
    match = _VERB.match(text) or _ANY_VERB.match(text)
    verb = ""
    if match:
        verb, text = match.group(1), text[match.end() :]
    verify = None
    found = _VERIFY.search(text[-2000:])
    if found:
        cut = len(text) - len(text[-2000:]) + found.start()
        verify = clean((found.group(1) or found.group(2) or "").strip()) or None
        text = text[:cut].rstrip() if verify else text
    whole = text
    refs, text, new = _front_refs(text)
    before = ""
    if not refs:
        refs, before = _prose_refs(text)
    if not refs:
        refs, before = _bare_refs(text, verb)
    creates = new or (bool(refs) and says_new(verb, before, whole))
    body = "\n".join([text, *entry.detail]).rstrip()
    return Task(row_id, state, verb, tuple(refs), body, verify, new, creates, entry.line + 1)


def _front_refs(text: str) -> tuple[list[Ref], str, bool]:
    refs: list[Ref] = []
    rest = text
    new = False
    while True:
        mark = _NEW.match(rest)
        if mark:
            new, rest = True, rest[mark.end() :]
        token, after = _token(rest)
        if not token or not looks_like_path(token) or is_command(token):
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
    head = _DASH.split(rest, maxsplit=1)[0]
    for match in _JOINED.finditer(head[:2000]):
        token = match.group(1).rstrip(":;.)")
        if looks_like_path(token) and "/" in token:
            refs += [ref for ref in parse_refs(token) if ref not in refs]
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


def _prose_refs(text: str) -> tuple[list[Ref], str]:
    """Return the files that a sentence names in code marks, and the words before the first."""
    refs: list[Ref] = []
    before = ""
    for match in _SPAN.finditer(text[:20000]):
        if looks_like_path(match.group(1), in_prose=True):
            before = before if refs else text[: match.start()]
            refs += [ref for ref in parse_refs(match.group(1)) if ref not in refs]
    return refs, before


def _bare_refs(text: str, verb: str) -> tuple[list[Ref], str]:
    """Return the file that a sentence names without marks, and the words before it.

    It is the task's when it is a symbol behind one word (``fix a.py::f``), or when the words
    before it say that it is made: other files are only spoken of.
    """
    for match in _BARE.finditer(text[:2000]):
        token, before = match.group().rstrip(".:"), text[: match.start()]
        words = re.sub(r"\[[^\]]*\]|^.*[—–]", "", before).split()
        if ("::" in token and len(words) < 2) or says_new("", f"{verb} {before}", ""):
            return parse_refs(token), f"{verb} {before}"
    return [], ""


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


def read_findings(entry: Entry) -> list[FindingRef]:
    """Read ``CONFIG-001 — adherence``, a text without an id, or ids and nothing else."""
    text = entry.joined()
    words = [clean(word) for word in re.split(r",[ \t]*(?:and[ \t]+)?|[ \t]+and[ \t]+", text)]
    if len(words) > 1 and all(is_id(word) and "-" in word for word in words):
        return [FindingRef(word, "", entry.line + 1) for word in words]
    return [_finding(text, entry)]


def _finding(text: str, entry: Entry) -> FindingRef:
    bare = text.lstrip("*`_[ ")
    word = bare.split(" ", 1)[0].strip("*`_:;,.()[]")
    if is_id(word) and "-" in word and word.upper() == word:
        rest = bare[bare.find(word) + len(word) :].lstrip("*`_]:;,. \t")
        while rest[:1] in ("—", "–", "-"):
            rest = rest[1:].lstrip()
        return FindingRef(word, rest.strip(), entry.line + 1)
    return FindingRef("", text, entry.line + 1)
