"""Names and words of historic ledgers and what they are today."""

from __future__ import annotations

#: Keys of an item to today's.
KEYS = {
    "depends on": "depends",
    "dependencies": "depends",
    "dependency": "depends",
    "blocked by": "depends",
    "working plan": "plan",
    "plan reference": "plan",
    "plan references": "plan",
    "implementation plan": "plan",
    "owner/date": "owner",
    "exit criteria": "exit",
    "exit criterion": "exit",
    "acceptance criteria": "exit",
    "acceptance criterion": "exit",
    "success criteria": "exit",
    "completion criteria": "exit",
    "definition of done": "exit",
    "attempts history": "attempts",
    "attempt history": "attempts",
    "recipes": "recipe",
    "return condition": "return",
}
#: Status words to today's.
STATUS_WORDS = {
    **dict.fromkeys(
        (
            "pending",
            "planning",
            "in_planning",
            "planned",
            "todo",
            "to_do",
            "ready",
            "ready_for_implementation",
            "new",
            "not_started",
            "queued",
            "proposed",
            "draft",
            "backlog",
            "reopened",
            "gathering_evidence",
        ),
        "open",
    ),
    **dict.fromkeys(
        (
            "active",
            "in_flight",
            "ongoing",
            "implementing",
            "started",
            "wip",
            "in_review",
            "in_work",
            "in_development",
            "in_implementation",
            "in_validation",
            "validating",
            "testing",
            "review",
            "partial",
            "partially_complete",
            "partially_done",
        ),
        "in_progress",
    ),
    **dict.fromkeys(
        (
            "blocked_escalation",
            "stuck",
            "blocked_pending_spec_change",
            "blocked_pending_arch",
            "on_hold",
            "paused",
            "parked",
            "failed",
            "deferred",
            "postponed",
        ),
        "blocked",
    ),
    **dict.fromkeys(
        (
            "complete",
            "completed",
            "resolved",
            "fixed",
            "archived",
            "closed",
            "finished",
            "shipped",
            "verified",
            "merged",
            "landed",
            "passed",
        ),
        "done",
    ),
    **dict.fromkeys(
        ("cancelled", "canceled", "abandoned", "superseded", "obsolete", "rejected", "wontfix"),
        "dropped",
    ),
    "awaiting": "waiting",
}
#: Signs that people put before a status or a criterion.
DONE_SIGNS = ("✅", "✔", "☑", "🎉", "🟢")
OPEN_SIGNS = ("⏳", "🚧", "🔄", "⬜", "☐", "🟡", "⚠", "🔜", "📝", "🔍", "⏸")
BLOCKED_SIGNS = ("❌", "🛑", "🚫", "🔴", "⛔")
SIGNS = {
    **dict.fromkeys(DONE_SIGNS, "done"),
    **dict.fromkeys(BLOCKED_SIGNS, "blocked"),
    "⏸": "blocked",
    "🚧": "in_progress",
    "🔄": "in_progress",
    "🟡": "in_progress",
}
#: Words in front that say more than their first one does.
PHRASES = (
    (r"100[ ]?%[ ]?(?:done|complete[d]?)?", "done"),
    (
        r"(?:partially|partly|almost|nearly|mostly|half|\d{1,2}[ ]?%)[ -]?"
        r"(?:done|complete[d]?|finished|implemented|there)",
        "in_progress",
    ),
    (r"(?:not|never)(?: yet)? (?:done|complete[d]?|finished|begun)", "open"),
    (r"(?:incomplete|unfinished|underway)", "in_progress"),
    (r"under (?:review|investigation|way|development|test)", "in_progress"),
    (r"(?:needs|ready for|awaiting|pending) review", "in_progress"),
    (r"(?:no longer needed|not needed|won'?t (?:do|fix)|will not do)", "dropped"),
    (r"scheduled", "open"),
)
#: Columns of a table of attempts to today's.
COLUMNS = {
    **dict.fromkeys(("#", "no", "no.", "nr", "attempt", "loop", "run", "iteration"), "turn"),
    **dict.fromkeys(("date", "when", "time", "timestamp", "stamp"), "at"),
    **dict.fromkeys(("result", "status", "verdict"), "outcome"),
    **dict.fromkeys(("notes", "note", "summary", "description", "details", "comment"), "text"),
}
PRIORITIES = {
    "critical": "P0",
    "highest": "P0",
    "urgent": "P0",
    "high": "P1",
    "medium": "P2",
    "med": "P2",
    "normal": "P2",
    "low": "P3",
    "lowest": "P3",
}
