"""`outcome.json`, and an order that was printed: read where they are, believed nowhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import Outcome, TurnContext
from orchestration.turns.reported import printed_order, take_report

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from conftest import Stub, place  # noqa: F401 - the fixture

Make = Callable[..., Any]
LEDGER = (
    "### [A-001] One thing\n- Status: open\n- Exit:\n  - [ ] C1 `cmp value.txt wanted.txt` — x\n"
)
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        (None, "unreported"),
        ('{"outcome": "partial", "summary": "half"}', "partial"),
        ('{"outcome": "landed"}', "unreadable: outcome is one of"),
        ("{", "unreadable: "),
        ("[1]", "unreadable: no JSON object"),
        ("[" * 50_000, "unreadable: "),
        ('{"outcome": "done", "summary": 5}', "done"),
        ('{"outcome": "done", "summary": "' + "x" * 70_000 + '"}', "unreadable: no file"),
    ],
)
def test_what_is_read(text: str | None, claim: str, tmp_path: Path) -> None:
    for part in ("report", "workspace"):
        (tmp_path / part).mkdir()
    if text is not None:
        (tmp_path / "report/outcome.json").write_text(text)
    found = take_report(tmp_path / "report", tmp_path / "workspace")
    assert found.claim.startswith(claim)


def test_a_link_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"outcome": "done"}')
    (tmp_path / "outcome.json").symlink_to(tmp_path / "mine.json")
    assert take_report(tmp_path, tmp_path).claim.startswith("unreadable")
    os.mkfifo(tmp_path / "fifo")
    assert not (tmp_path / "outcome.json").is_symlink()
    os.rename(tmp_path / "fifo", tmp_path / "outcome.json")
    assert take_report(tmp_path, tmp_path).claim.startswith("unreadable")


@pytest.mark.parametrize("place_of_it", ["report", "workspace"])
@pytest.mark.parametrize("claim", ["done", "partial", "blocked", "refused", None])
def test_a_claim_is_logged_lands_nowhere_and_sets_no_status(
    claim: str | None,
    place_of_it: str,
    place: Make,  # noqa: F811
) -> None:
    here = place(LEDGER, **VALUES)

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "value.txt").write_text("right\n")
        folder = turn.report_dir if place_of_it == "report" else turn.workspace
        if claim:
            told = {"outcome": claim, "summary": f"I am {claim}"}
            (folder / "outcome.json").write_text(json.dumps(told))

    summary = here.run(Stub(work), cycles=1)
    ended = next(e.data for e in here.harness().log.events if e.kind == "agent_exit")
    assert ended["reported"] == (claim or "unreported")
    assert summary.landed == ([] if claim in ("blocked", "refused") else ["A-001"])
    if claim:
        assert ended["text"] == f"I am {claim}"
    assert "outcome.json" not in here.git("ls-tree", "-r", "--name-only", "main")


@pytest.mark.parametrize(
    ("told", "claim", "words"),
    [
        ('{"outcome": "done", "summary": "half \\ud800"}', "done", "half ?"),
        ('{"outcome": "\\ud800"}', "unreadable: outcome is one of", ""),
        ('\ufeff{"outcome": "done", "summary": "with a mark"}', "done", "with a mark"),
        ("x" * 70_000, "unreadable: no file", ""),
        (None, "unreadable: no file", ""),
    ],
)
def test_no_report_ends_a_run_or_lands_as_work(
    told: str | None,
    claim: str,
    words: str,
    place: Make,  # noqa: F811
) -> None:
    here = place(LEDGER, **VALUES)

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "value.txt").write_text("right\n")
        report = turn.workspace / "outcome.json"
        if told is None:
            report.mkdir()
            (report / "a").write_text("a folder of that name")
        else:
            report.write_text(told)

    assert here.run(Stub(work), cycles=1).landed == ["A-001"]
    ended = next(e.data for e in here.harness().log.events if e.kind == "agent_exit")
    assert ended["reported"].startswith(claim) and words in ended["text"]
    assert "outcome.json" not in here.git("ls-tree", "-r", "--name-only", "main")


def test_an_outcome_json_of_the_product_is_no_report(place: Make) -> None:  # noqa: F811
    here = place(LEDGER, **VALUES, **{"outcome.json": '{"outcome": "blocked"}'})
    work = Stub(lambda turn, n: (turn.workspace / "value.txt").write_text("right\n") and None)
    assert here.run(work, cycles=1).landed == ["A-001"]
    assert here.read("outcome.json") == '{"outcome": "blocked"}'


# -- a printed order ------------------------------------------------------------------------------

ORDER = (
    "# Order\nFocus: A-001\nMode: none\nSelector: none\n## Goal\nAdvances C1.\n\n## Tasks\n"
    "- [ ] T1 do it as printed\n\n## Checks\n```sh\ntest -f wanted.txt\n```\n\n"
    "## If blocked\n- say so\n\n## Findings\n- none\n"
)


@pytest.mark.parametrize(
    "said",
    [
        f"Here is the order.\n\n{ORDER}",
        f"Here is the order.\n\n````markdown\n{ORDER}````\nGood luck!",
        f"So:\n```markdown\n{ORDER}```\nGood luck!",
        f"First try:\n~~~\n{ORDER.replace('printed', 'drafted')}~~~\nBetter:\n~~~md\n{ORDER}~~~\n",
    ],
)
def test_an_order_that_is_printed_instead_of_written_is_read(said: str, place: Make) -> None:  # noqa: F811
    here = place(LEDGER, **VALUES)
    boss = Stub(lambda turn, n: Outcome("done", said), name="boss")
    work = Stub(lambda turn, n: (turn.workspace / "value.txt").write_text("right\n") and None)
    assert here.run(work, supervisor=boss, cycles=1).landed == ["A-001"]
    order = next(e.data for e in here.harness().log.events if e.kind == "order")
    assert order["source"] == "boss" and "do it as printed" in order["text"]
    assert "Better" not in order["text"] and "luck" not in order["text"]


def test_what_was_written_comes_before_what_was_printed(place: Make) -> None:  # noqa: F811
    here = place(LEDGER, **VALUES)

    def plan(turn: TurnContext, n: int) -> Outcome:
        (turn.workspace / "input.md").write_text(ORDER.replace("printed", "written"))
        return Outcome("done", ORDER)

    work = Stub(lambda turn, n: (turn.workspace / "value.txt").write_text("right\n") and None)
    here.run(work, supervisor=Stub(plan, name="boss"), cycles=1)
    order = next(e.data for e in here.harness().log.events if e.kind == "order")
    assert "do it as written" in order["text"]


def test_talk_is_no_order() -> None:
    assert printed_order("I left the draft as it is.") == ""
    assert printed_order("The focus: A-001 stays.") == ""
    assert printed_order("**Focus:** A-001\nMode: none\n").startswith("**Focus:**")


@pytest.mark.parametrize("last", [True, False], ids=["last section", "in the middle"])
@pytest.mark.parametrize("above", ["", "Run this:\n", "- one\n\n"])
@pytest.mark.parametrize(
    "frame", ["```markdown\n{}```", "```\n{}```", "~~~\n{}~~~", "````md\n{}````"]
)
def test_a_bare_block_inside_a_printed_order_does_not_end_it(
    frame: str, above: str, last: bool
) -> None:
    checks = f"## Checks\n{above}```\ntest -f wanted.txt\n```\n"
    order = ORDER[: ORDER.index("## Checks")]
    order += checks if last else f"{checks}\n## Findings\n- none\n"
    if last:
        order = order.replace("## Tasks", "## Findings\n- none\n\n## Tasks")
    for said in (frame, f"Voilà l'ordre :\n{frame}\nC'est tout.\n```\nls\n```\n"):
        assert printed_order(said.format(order)) == order


def test_a_block_that_follows_an_order_is_no_part_of_it() -> None:
    said = f"```\n{ORDER}```\nThen look:\n```\nls\n```\nand\n```\npwd\n```\n"
    assert printed_order(said) == ORDER
