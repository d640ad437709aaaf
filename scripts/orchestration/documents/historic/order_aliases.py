"""Names of order sections and header keys: historic spelling to canonical one."""

from __future__ import annotations

#: Canonical section titles in their order of rendering, by field.
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
#: Section of the lines that ``validate --fix`` found no place for.
KEPT_TITLE = "Kept as written"
SECTION_ALIASES = {
    **{title.lower(): field for field, title in SECTIONS.items()},
    "goals": "goal", "objective": "goal",
    "brief": "intent", "summary": "intent", "overview": "intent", "intent": "intent",
    "arch contracts": "contracts", "normative contracts": "contracts",
    "do now": "tasks", "ralph tasks": "tasks",
    "how-to map": "checks", "how to map": "checks", "how-to": "checks",
    "mapped tests guardrail": "guardrail", "hard gate": "notes",
    "selector": "selector", "mapped tests": "selector", "validate": "selector",
    "artifact target": "artifacts", "artifact targets": "artifacts", "hub": "artifacts",
    "reports hub": "artifacts",
    "forbidden this loop": "forbidden",
    "findings applied": "findings",
    "pitfalls to avoid": "pitfalls", "pitfalls": "pitfalls", "pointers": "pointers",
    "next up": "next up", "priorities & rationale": "rationale",
    "priorities and rationale": "rationale", "doc sync plan": "notes",
    "normative math/physics": "notes", "normative math": "notes", "dmi section": "notes",
    "guardrail": "notes",
    "tasks, as written": "notes", "kept as written": "notes",
    "sync closure": "notes", "touched": "rows", "checklist ids": "rows", "rows": "rows",
    "workload spec": "wrapper", "notes": "notes", "steps as written": "steps as written",
    "plan": "plan", "working plan": "plan",
}  # fmt: skip
#: Titles that stand without ``#`` in the forms before headings were used.
BARE_TITLES = frozenset(SECTION_ALIASES) - {"rows", "plan", "hub", "goals", "validate"}
#: Bare titles whose text may follow on the same line.
INLINE_TITLES = frozenset(
    (
        "do now", "how-to map", "if blocked", "pitfalls to avoid", "pointers", "next up",
        "priorities & rationale", "findings applied", "brief", "doc sync plan", "hard gate",
        "forbidden", "goal", "tasks",
    )
)  # fmt: skip

HEADER_ALIASES = {
    "focus": "focus", "focus id": "focus", "focus issue": "focus",
    "mode": "mode", "selector": "selector", "mapped tests": "selector", "mapped test": "selector",
    "mapped tests guardrail": "selector", "test": "selector", "pytest": "selector",
    "validate": "selector", "validating selector": "selector",
    "branch": "branch", "base": "base", "budget": "budget", "hypothesis": "hypothesis",
    "intent": "intent", "summary": "intent", "brief": "intent", "goal": "goal",
    "artifacts": "artifacts", "artifact target": "artifacts", "artifact targets": "artifacts",
    "hub": "artifacts", "reports hub": "artifacts",
    "retry-reason": "retry_reason", "retry reason": "retry_reason",
    "checklist ids": "rows", "checklist id": "rows", "touched": "rows", "rows": "rows",
    "forbidden": "forbidden", "may edit tests": "may_edit_tests",
}  # fmt: skip
#: Header keys of sibling dialects that are kept under their own name.
#: Header keys that may say one thing; a second line of another value is E27 (Focus: E11).
ONCE_HEADERS = frozenset(
    ("selector", "mode", "base", "branch", "budget", "hypothesis", "retry_reason")
)
KEPT_HEADERS = frozenset(
    (
        "plan", "working plan", "summary-file",
        "refs", "references", "actiontype", "decisionstatus",
        "initiativetype", "arch contracts", "action type", "timestamp", "date", "spec owner",
    )
)  # fmt: skip
#: Header keys as the canonical form writes them, in order.
CANONICAL_HEADERS = (
    ("focus", "Focus"), ("mode", "Mode"), ("intent", "Intent"), ("base", "Base"),
    ("branch", "Branch"), ("selector", "Selector"), ("budget", "Budget"),
    ("hypothesis", "Hypothesis"), ("retry_reason", "Retry-reason"),
)  # fmt: skip

_MODES = {
    "tdd": "TDD", "parity": "Parity", "perf": "Perf", "performance": "Perf", "docs": "Docs",
    "doc": "Docs", "documentation": "Docs", "implementation": "Implementation",
    "implementation handoff": "Implementation", "none": "none",
}  # fmt: skip


def canonical_mode(text: str) -> str | None:
    """Return the canonical mode of a header value, or None for a word nobody defined."""
    bare = text.split("(")[0].split("—")[0].strip("*`_. \t").lower()
    return _MODES.get(bare)


def section_key(title: str) -> str:
    """Return the lookup key of a section title: no marks, qualifier, colon or tail."""
    bare = title.strip().strip("*_`").rstrip(":").strip("*_` \t")
    bare = bare.split(" — ")[0].split(" – ")[0]
    if "(" in bare:
        bare = bare.split("(")[0]
    return " ".join(bare.lower().rstrip(": ").split())
