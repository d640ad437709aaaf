"""When an attempt that passes every check is looked at by a reviewer before it lands."""

from __future__ import annotations

LARGE_LINES = 400
"""Changed lines from which a diff is large."""
DWELL = 2
"""Cycles without progress after which a success is looked at: it may be a way around."""


def review_due(*, landed: int, every: int, dwell: int, lines: int) -> str:
    """Why a review is due, or "": `landed` landings since the last review, at most `every`."""
    if lines >= LARGE_LINES:
        return f"its diff is large ({lines} lines)"
    if dwell >= DWELL:
        return f"it passes after {dwell} cycles without progress"
    if landed + 1 >= every:
        return f"it is landing {landed + 1} since the last review"
    return ""
