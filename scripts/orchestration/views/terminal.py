"""The status text for a terminal: 80 columns, plain characters, newest facts first."""

from __future__ import annotations

import textwrap

from orchestration.views.model import GROUPS, ItemView, View

WIDTH = 80
MAX_LINES = 4
"""Lines that one fact may take; the rest of it is in `show` and in `--json`."""


def render_status(view: View, *, width: int = WIDTH) -> str:
    """Return what is going on, since when, the last progress, blockers, and what to type."""
    lines = [*_shortened(_headline(view), width, "")]
    if view.end_text:
        lines += _shortened(view.end_text, width, "  ")
    lines += ["", *_summary(view)]
    for key, heading in GROUPS:
        items = view.group(key)
        if items:
            lines += ["", f"{heading} ({len(items)})"]
            for item in items:
                lines += _item(item, width)
    progress = view.last_progress
    if progress:
        words = (
            f"Last progress: {', '.join(progress.get('verified', []))} of {progress.get('item')} "
            f"at {progress.get('at')} (turn {progress.get('turn')})"
        )
        lines += ["", *_wrap(words, width, "")]
    if view.advice:
        lines += ["", "What to type next"]
        for advice in view.advice:
            lines += _shortened(advice, width, "  ")
    return "\n".join(lines) + "\n"


def _headline(view: View) -> str:
    where = f"{view.repository} on {view.branch} ({view.head})"
    if not view.run_id:
        return f"{where}: no run yet"
    if view.tamper:
        return f"{where}: stopped, tamper: {view.tamper}"
    if view.paused:
        return f"{where}: paused: {view.paused}"
    if view.died_at:
        told = f"the run of {view.started_at} is dead since {view.died_at}"
        return f"{where}: {told}: no process works on it; orchestrate run goes on"
    if not view.ended:
        return f"{where}: running since {view.started_at} with {view.agent}"
    return f"{where}: the run of {view.started_at} with {view.agent} ended: {view.ended}"


def _summary(view: View) -> list[str]:
    spend = view.spend
    counts = [f"{len(view.group(key))} {heading.lower()}" for key, heading in GROUPS]
    shown = ", ".join(text for text in counts if not text.startswith("0 ")) or "no items"
    money = _against(spend.get("money"), spend.get("money_cap"), "money")
    tokens = _against(spend.get("tokens"), spend.get("tokens_cap"), "tokens")
    seconds = _against(spend.get("agent_s"), spend.get("agent_s_cap"), "agent seconds")
    return [f"Items: {shown}", f"Spent: {seconds}, {money}, {tokens}; cycles: {view.cycles}"]


def _against(value: float | None, cap: float | None, name: str) -> str:
    text = f"{name} {'unknown' if value is None else f'{value:g}'}"
    return text if cap is None else f"{text} of {cap:g}"


def _item(item: ItemView, width: int) -> list[str]:
    met = f"{item.met}/{len(item.criteria)}" if item.criteria else "-"
    head = f"  {item.id}  [{met}]  {item.title}"
    lines = _wrap(head.strip(), width, "  ")
    details = []
    if item.commits:
        details.append("commit " + ", ".join(item.commits))
    if item.waits_for or item.check:
        until = f", until {item.until}" if item.until else ""
        details.append(f"for {item.waits_for}{until}; check: {item.check}")
    if item.reason and item.group != "landed":
        details.append(item.reason)
    if item.group in ("open", "working") and item.dwell:
        details.append(f"{item.dwell} cycles without progress")
    if item.work and item.group not in ("landed", "dropped"):
        where = f"the agent works in {item.work} (run no git in it: its settings are the agent's)"
        details.append(where if item.work[0] == "/" else f"last attempt: git show {item.work}")
    for detail in details:
        lines += _shortened(detail, width, "      ")
    return lines


def _shortened(text: str, width: int, indent: str) -> list[str]:
    """The text in a few lines; where it is longer, a last line says where all of it is."""
    lines = _wrap(text, width, indent)
    if len(lines) <= MAX_LINES:
        return lines
    more = f"{indent}    … {len(lines) - MAX_LINES + 1} more lines: orchestrate status --json"
    return [*lines[: MAX_LINES - 1], more]


def _wrap(text: str, width: int, indent: str) -> list[str]:
    flat = " ".join(text.split())
    return textwrap.wrap(
        flat,
        width,
        initial_indent=indent,
        subsequent_indent=indent + ("    " if len(indent) < 6 else ""),
        break_on_hyphens=False,
    ) or [""]
