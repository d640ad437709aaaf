"""The report: one self-contained HTML page, nothing fetched, nothing executed."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestration.views.evidence import Evidence
from orchestration.views.model import GROUPS, View


def headline(view: View) -> str:
    """Return the page's first line: what became of the run."""
    if not view.run_id:
        return f"{view.repository}: no run yet"
    if view.tamper:
        return f"Stopped: tamper ({view.tamper})"
    if not view.ended:
        return "Running"
    words = {
        "DONE": "Done",
        "CHECKS_RED": "Ended with red checks",
        "BUDGET": "Stopped: the budget is spent",
        "STALLED": "Stopped: no progress",
        "TAMPER": "Stopped: tamper",
        "BLOCKED_ON_USER": "A person is needed now",
        "RETRY_LATER": "To be tried again later",
        "INTERRUPTED": "Interrupted",
    }
    return f"{words.get(view.ended, view.ended)} ({view.ended})"


def render_page(view: View, evidence: Sequence[Evidence], *, log_tip: str = "") -> str:
    """Return the HTML of a view with its evidence embedded; all text is escaped.

    `log_tip` is the hash of the log's last event, shown so that a page can be matched to a log.
    """
    environment = Environment(
        loader=PackageLoader("orchestration.views"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    return environment.get_template("report.html.j2").render(
        view=view,
        evidence=list(evidence),
        groups=GROUPS,
        headline=headline(view),
        log_tip=log_tip,
    )
