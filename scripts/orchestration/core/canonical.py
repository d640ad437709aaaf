"""The canonical form: what must be equal after a kill and a resume, and what may differ.

Removed: times, durations, process ids, run ids and everything derived from them by hashing
(commit, tree and content hashes). Kept: what happened to which item, in which order, with which
outcome, and every word of every document apart from those values.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from orchestration.core.state import State

VOLATILE = frozenset(
    {"at", "seconds", "duration_s", "started_at", "pid", "run", "seq", "prev_sha", "since"}
)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:?\d{2}:?\d{2}(?:\.\d+)?(?:Z(?:-\d+)?|\+00:00)")
_HASH = re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{40}\b|\b[0-9a-f]{12}\b")
_SECONDS = re.compile(r"\b\d+(?:\.\d+)? ?s\b")


def canonical_text(text: str) -> str:
    """Return the text with times, hashes and durations replaced by their names."""
    return _SECONDS.sub("<s>", _HASH.sub("<sha>", _TIME.sub("<time>", text)))


def canonical_value(value: Any) -> Any:
    """Return a JSON-like value in canonical form: volatile keys dropped, texts normalised."""
    if isinstance(value, dict):
        return {
            canonical_text(str(key)): canonical_value(inner)
            for key, inner in value.items()
            if key not in VOLATILE
        }
    if isinstance(value, list | tuple):
        return [canonical_value(inner) for inner in value]
    return canonical_text(value) if isinstance(value, str) else value


def canonical_state(state: State) -> dict[str, Any]:
    """Return a state in canonical form, without what belongs to one process only (the run)."""
    raw = asdict(state)
    for name in ("run", "seq", "agent_seconds", "consumed"):
        raw.pop(name)
    raw["orders"] = sorted(raw["orders"].values())
    result = canonical_value(raw)
    assert isinstance(result, dict)
    return result
