"""What an agent says of its turn: `outcome.json`, or an order that it printed. Claims only."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from orchestration.agents import clean
from orchestration.sandbox import remove_tree

NAME = "outcome.json"
CLAIMS = ("done", "partial", "blocked", "refused")
UNREPORTED = "unreported"
MAX_BYTES = 64 * 1024
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*(\S*)[^\n]*$", re.MULTILINE)
_FOCUS = re.compile(r"^\W{0,6}Focus\W{0,4}:", re.MULTILINE)
_SECTION = re.compile(r"^##+ ", re.MULTILINE)
_HEADING = re.compile(r"^# .*$", re.MULTILINE)


@dataclass(frozen=True)
class Report:
    """`claim` is one of CLAIMS, `unreported`, or `unreadable: why`; `summary` the agent's words."""

    claim: str
    summary: str = ""


def take_report(report: Path, workspace: Path) -> Report:
    """Read and remove `outcome.json` of a turn's folder, or one beside the product that is new."""
    for folder in (report, workspace):
        path = folder / NAME
        try:
            known = path.lstat()
        except OSError:
            continue
        if folder.is_symlink():
            continue
        if not stat.S_ISREG(known.st_mode) or known.st_size > MAX_BYTES:
            remove_tree(path)  # whatever it is, it is meant as a report and is no part of the work
            return Report("unreadable: no file of at most 64 KiB")
        text = path.read_bytes().decode("utf-8-sig", "replace")
        path.unlink()
        return _read(text)
    return Report(UNREPORTED)


def _read(text: str) -> Report:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as problem:
        return Report(f"unreadable: {str(problem)[:200]}")
    if not isinstance(told, dict):
        return Report("unreadable: no JSON object")
    claim, summary = told.get("outcome"), told.get("summary", "")
    if claim not in CLAIMS:
        got = clean(str(claim)[:50])
        return Report(f"unreadable: outcome is one of {', '.join(CLAIMS)}, got {got}")
    return Report(claim, clean(summary[:4_000]) if isinstance(summary, str) else "")


def printed_order(text: str) -> str:
    """The last order in what an agent printed, "" where there is none.

    An order is a fenced block with a `Focus:` line, else all from such a line (and a heading right
    above it) to the end.
    """
    blocks = [block for block in fenced_blocks(text) if _FOCUS.search(block)]
    if blocks:
        return blocks[-1]
    found = list(_FOCUS.finditer(text))
    if not found:
        return ""
    start = found[-1].start()
    above = text[:start].rstrip()
    last = above.rpartition("\n")[2]
    if _HEADING.fullmatch(last):
        start = len(above) - len(last)
    return text[start:]


def fenced_blocks(text: str) -> list[str]:
    """The outermost fenced blocks. An order holds blocks itself, often with the same fence: one
    that names a language opens a level, a bare one closes it, unless an order goes on after it."""
    blocks: list[str] = []
    opened: list[str] = []
    start = 0
    fences = list(_FENCE.finditer(text))
    for n, fence in enumerate(fences):
        mark, language = fence[1], fence[2]
        bare = bool(opened) and not language and mark[0] == opened[-1][0]
        if bare and len(mark) >= len(opened[-1]):
            if len(opened) == 1 and _opens_inside(text, start, fences[n : n + 3]):
                opened.append(mark)
                continue
            opened.pop()
            if not opened:
                blocks.append(text[start : fence.start()])
        elif not opened or (language and len(mark) >= 3):
            if not opened:
                start = fence.end() + 1
            opened.append(mark)
    return blocks


def _opens_inside(text: str, start: int, fences: list[re.Match[str]]) -> bool:
    """Whether a bare fence opens a block in the order that began at `start`: it does where, after
    the next one, another section of the order or the order's own end comes before a third."""
    if len(fences) < 3 or any(f[2] or f[1][0] != fences[0][1][0] for f in fences):
        return False
    if not _FOCUS.search(text, start, fences[0].start()):
        return False
    above = text[start : fences[0].start()].rstrip().rpartition("\n")[2]
    between = text[fences[1].end() : fences[2].start()]
    return bool(_SECTION.match(above) or _SECTION.search(between)) or not between.strip()
