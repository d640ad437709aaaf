"""Names of the canonical order: header keys, sections, modes."""

from __future__ import annotations

#: Section titles in their order of rendering, by field.
SECTIONS = {
    "goal": "Goal",
    "contracts": "Contracts",
    "interfaces": "Interfaces",
    "pseudocode": "Pseudocode",
    "tasks": "Tasks",
    "checks": "Checks",
    "artifacts": "Artifacts",
    "forbidden": "Forbidden",
    "may_edit_tests": "May edit tests",
    "if_blocked": "If blocked",
    "findings": "Findings",
}
FIELDS = {title.lower(): name for name, title in SECTIONS.items()}
#: Section of the lines that ``validate --fix`` found no place for.
KEPT_TITLE = "Kept as written"
#: Sections of free text that people write; any other title is reported and kept.
FREE_TITLES = frozenset(
    (
        "notes",
        "pitfalls",
        "pitfalls to avoid",
        "pointers",
        "next up",
        "rationale",
        "priorities & rationale",
        "priorities and rationale",
        "guardrail",
        "hard gate",
        "plan",
        "working plan",
        "doc sync plan",
        "normative math/physics",
        "normative math",
        "dmi section",
        "sync closure",
        "steps as written",
        "tasks, as written",
        "checklist ids",
        "touched",
        KEPT_TITLE.lower(),
    )
)
#: Header keys as the canonical form writes them, in order.
CANONICAL_HEADERS = (
    ("focus", "Focus"),
    ("mode", "Mode"),
    ("intent", "Intent"),
    ("base", "Base"),
    ("branch", "Branch"),
    ("selector", "Selector"),
    ("budget", "Budget"),
    ("hypothesis", "Hypothesis"),
    ("retry_reason", "Retry-reason"),
)
HEADERS = {
    **{title.lower(): name for name, title in CANONICAL_HEADERS},
    "goal": "goal",
    "rows": "rows",
    "forbidden": "forbidden",
    "may edit tests": "may_edit_tests",
}
#: Header keys that may say one thing; a second line of another value is E27 (Focus: E11).
ONCE_HEADERS = frozenset(
    ("selector", "mode", "base", "branch", "budget", "hypothesis", "retry_reason")
)
#: Keys of sibling dialects that are kept under their own name.
KEPT_HEADERS = frozenset(
    (
        "plan",
        "working plan",
        "summary-file",
        "refs",
        "references",
        "actiontype",
        "decisionstatus",
        "initiativetype",
        "arch contracts",
        "action type",
        "timestamp",
        "date",
        "spec owner",
        "commit",
        "author",
        "header",
    )
)
