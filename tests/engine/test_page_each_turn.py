"""A run that keeps a page writes it after every turn, and at its end; a page that fails is said."""

from __future__ import annotations

from typing import Any

from orchestration.agents.base import TurnContext
from orchestration.cli.run import write_report
from orchestration.engine.loop import Engine
from orchestration.harness import Harness
from orchestration.views import report_path

ITEM = (
    "### [A-001] One\n- Status: open\n- Exit:\n  - [ ] C1 `test -s a.txt` — there\n"
    "  - [ ] C2 `test -s b.txt` — there\n"
)


def work(turn: TurnContext, n: int) -> str:
    (turn.workspace / ("a.txt" if n == 1 else "b.txt")).write_text("x\n")
    return "done"


def test_the_page_is_there_after_every_turn(place: Any, stub: Any) -> None:
    here = place(ITEM)
    seen: list[str] = []

    def report(harness: Harness) -> str | None:
        written = write_report(harness)
        page = report_path(harness.repo.state_dir)
        pages = sorted(p.name for p in page.with_name("report-turns").glob("*.html"))
        seen.append(f"{len(pages)} {'A-001' in page.read_text()}")
        return written

    summary = Engine(here.harness(stub(work)), lambda: "run1", report=report).run()
    assert summary.reason == "DONE" and summary.report is not None
    assert seen == ["1 True", "2 True", "2 True"]


def test_a_page_that_cannot_be_written_ends_no_run(place: Any, stub: Any) -> None:
    here, said = place(ITEM), []
    harness = here.harness(stub(work), say=said.append)
    harness.repo.claim_state()
    report_path(harness.repo.state_dir).mkdir()
    summary = Engine(harness, lambda: "run1", report=write_report).run()
    assert (summary.reason, summary.report) == ("DONE", None)
    assert any(line.startswith("no report: ") for line in said)
