"""What historic prose claims: test results, synchronisation, rows. Claims, never trusted."""

from __future__ import annotations

import re
from typing import NamedTuple

from orchestration.documents.grammar import selector_of

_CODE = re.compile(r"`([^`\n]{1,2000})`")
_COUNT = re.compile(r"\b(\d{1,6}) (passed|failed|skipped|errors?|warnings?)\b")
_VERDICT = re.compile(r"\b(PASSED|FAILED|passed|failed|green|red)\b")
_ROWS = re.compile(
    r"(?<![\w.-])([A-Z]{1,3})(\d{1,3})(?:[ \t]*[–-][ \t]*(?:\1)?(\d{1,3}))?(?![\w-])"
)
_SYNC = (
    ("blocked", re.compile(r"(?i)\bblocked\b|\brefus|\bcannot\b|\bfailed\b")),
    ("stash-pull-pop", re.compile(r"stash push.*pull.*stash pop", re.DOTALL)),
    ("pull", re.compile(r"\bpull\b")),
)


class ClaimedCheck(NamedTuple):
    """A test run that a text reports; ``passed`` and ``failed`` are None when it gives no count."""

    selector: str
    passed: int | None
    failed: int | None
    ok: bool | None
    source: str = "claim"


def claimed_checks(text: str) -> list[ClaimedCheck]:
    """Return the runs of ```pytest …` — PASSED (1 passed, 5 warnings)`` lines of a text."""
    found = []
    for line in text.split("\n"):
        for match in _CODE.finditer(line[:8000]):
            selector = selector_of(match.group(1)) if "pytest" in match.group(1) else None
            told = line[match.end() :].partition("`")[0]
            verdict = _VERDICT.search(told)
            if selector is None or verdict is None:
                continue
            counts = {name: int(n) for n, name in _COUNT.findall(told)}
            failed = counts.get("failed")
            ok = verdict.group(1).lower() in ("passed", "green") and not failed
            found.append(ClaimedCheck(selector, counts.get("passed"), failed, ok))
            break
    return found


def claimed_sync(text: str) -> str | None:
    """Return how an entry says it synchronised: pull, stash-pull-pop, blocked; None when silent."""
    return next((name for name, pattern in _SYNC if pattern.search(text[:4000])), None)


def claimed_rows(text: str) -> list[str]:
    """Return the row ids of ``seed S1–S3`` or ``A2, B4``; a range names every row of it."""
    rows: dict[str, None] = {}
    for letters, first, last in _ROWS.findall(text[:1000]):
        stop = int(last) if last else int(first)
        for number in range(int(first), min(stop, int(first) + 99) + 1):
            rows[f"{letters}{number}"] = None
    return list(rows)
