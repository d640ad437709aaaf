"""Names in historic orders and what they are called today."""

from __future__ import annotations

#: Section titles to today's; what stands for itself is free text of its own.
SECTIONS = {
    "goals": "Goal",
    "objective": "Goal",
    "brief": "Brief",
    "summary": "Brief",
    "overview": "Brief",
    "intent": "Brief",
    "arch contracts": "Contracts",
    "normative contracts": "Contracts",
    "do now": "Tasks",
    "ralph tasks": "Tasks",
    "how-to map": "Checks",
    "how to map": "Checks",
    "how-to": "Checks",
    "mapped tests guardrail": "Selector",
    "selector": "Selector",
    "mapped tests": "Selector",
    "validate": "Selector",
    "artifact target": "Artifacts",
    "artifact targets": "Artifacts",
    "hub": "Artifacts",
    "reports hub": "Artifacts",
    "forbidden this loop": "Forbidden",
    "findings applied": "Findings",
    "workload spec": "wrapper",
}
_TODAY = (
    "Goal",
    "Contracts",
    "Interfaces",
    "Pseudocode",
    "Tasks",
    "Checks",
    "Artifacts",
    "Forbidden",
    "May edit tests",
    "If blocked",
    "Findings",
)
SECTIONS |= {title.lower(): title for title in _TODAY}
#: Titles of free text, which keep their names.
FREE = (
    "pitfalls to avoid",
    "pitfalls",
    "pointers",
    "next up",
    "priorities & rationale",
    "priorities and rationale",
    "doc sync plan",
    "normative math/physics",
    "normative math",
    "dmi section",
    "guardrail",
    "hard gate",
    "sync closure",
    "notes",
    "touched",
    "checklist ids",
    "plan",
    "working plan",
    "steps as written",
    "tasks, as written",
    "kept as written",
)
SECTIONS |= dict.fromkeys(FREE, "")
#: Titles that stand without ``#`` in the forms before headings were used.
BARE_TITLES = frozenset(SECTIONS) - {"touched", "checklist ids", "plan", "working plan", "hub"}
BARE_TITLES -= {"goals", "validate", "rationale"}
#: Bare titles whose text may follow on the same line.
INLINE_TITLES = frozenset(
    (
        "do now",
        "how-to map",
        "if blocked",
        "pitfalls to avoid",
        "pointers",
        "next up",
        "priorities & rationale",
        "findings applied",
        "brief",
        "doc sync plan",
        "hard gate",
        "forbidden",
        "goal",
        "tasks",
    )
)
#: Header keys to today's; "Artifacts" becomes a section.
HEADERS = {
    "focus": "Focus",
    "focus id": "Focus",
    "focus issue": "Focus",
    "active focus": "Focus",
    "mode": "Mode",
    "selector": "Selector",
    "selectors": "Selector",
    "mapped tests": "Selector",
    "mapped test": "Selector",
    "mapped tests guardrail": "Selector",
    "mapped selector": "Selector",
    "mapped selectors": "Selector",
    "test": "Selector",
    "tests": "Selector",
    "pytest": "Selector",
    "validate": "Selector",
    "validating selector": "Selector",
    "branch": "Branch",
    "base": "Base",
    "budget": "Budget",
    "hypothesis": "Hypothesis",
    "intent": "Intent",
    "summary": "Intent",
    "brief": "Intent",
    "goal": "Goal",
    "artifacts": "Artifacts",
    "artifact target": "Artifacts",
    "artifact targets": "Artifacts",
    "hub": "Artifacts",
    "reports hub": "Artifacts",
    "retry-reason": "Retry-reason",
    "retry reason": "Retry-reason",
    "checklist ids": "Rows",
    "checklist id": "Rows",
    "touched": "Rows",
    "rows": "Rows",
    "forbidden": "Forbidden",
    "may edit tests": "May edit tests",
}
#: Keys that ``Do Now`` holds among its tasks.
DO_NOW = frozenset(("Focus", "Selector", "Artifacts", "Rows", "Mode", "Branch"))

_MODES = {
    "tdd": "TDD",
    "parity": "Parity",
    "perf": "Perf",
    "performance": "Perf",
    "docs": "Docs",
    "doc": "Docs",
    "documentation": "Docs",
    "implementation": "Implementation",
    "implementation handoff": "Implementation",
    "none": "none",
}


def canonical_mode(text: str) -> str | None:
    """Return the canonical mode of a header value, or None for a word nobody defined."""
    bare = text.split("(")[0].split("—")[0].strip("*`_. \t✅✔☑\ufe0f").lower()
    return _MODES.get(bare)
