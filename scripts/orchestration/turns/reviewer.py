"""An agent as reviewer: it answers flags, and looks at changes where a review is due.

It sees evidence only: order, diff, flags, what the guard printed; never what the worker said. Its
workspace holds the attempt, and nothing that it leaves there is kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestration.agents import Agent, clean
from orchestration.core import payloads, review_due
from orchestration.documents.order import parse_order
from orchestration.gates import secrets
from orchestration.harness import Harness, ReviewAnswer, ReviewRequest
from orchestration.turns.brief import Piece, fill
from orchestration.turns.case import Case
from orchestration.turns.putaway import put_away
from orchestration.turns.reported import fenced_blocks
from orchestration.turns.work import SAID, left_by_agent, prepare, run_agent, turn_dir

PLACE = "reviewer-turns"
"""Where the reviewer's workspaces and branches are, in place of an item's id."""
NAME = "review.json"
MAX_BYTES = 256 * 1024
VERDICTS = ("accept", "reject", "unsure")
SEVERITIES = ("blocker", "question", "remark")
MAX_FINDINGS = 50
MAX_OBJECTS = 1_000


@dataclass(frozen=True)
class Review:
    """What a reviewer answered. `answers` are by the flag's number, from 1."""

    verdict: str
    reason: str = ""
    findings: tuple[payloads.ReviewFinding, ...] = ()
    answers: dict[int, tuple[bool, str]] | None = None
    problem: str = ""
    """Why it cannot be read; then the verdict is `unsure`."""

    def of(self, severity: str) -> list[payloads.ReviewFinding]:
        """The findings of one severity."""
        return [one for one in self.findings if one.severity == severity]


class AgentReviewer:
    """`Harness.reviewer` that asks an agent program."""

    def __init__(self, harness: Harness, agent: Agent) -> None:
        self.harness, self.agent = harness, agent
        self.name = agent.name

    def review(self, request: ReviewRequest) -> ReviewAnswer | None:
        """Answer the flags of a held attempt; None leaves them to a person."""
        found = self.look(request, "the attempt is held: its flags need an answer")
        wrong = found.of("blocker")
        if found.verdict == "reject" or wrong:
            return ReviewAnswer(False, str(wrong[0]) if wrong else found.reason or "no reason")
        answers = found.answers or {}
        given = [answers.get(number) for number in range(1, len(request.flags) + 1)]
        refused = next((one for one in given if one is not None and not one[0]), None)
        if refused is not None:
            return ReviewAnswer(False, refused[1] or found.reason)
        if found.verdict != "accept" or None in given or found.of("question"):
            return None
        return ReviewAnswer(True, found.reason or "every flag is answered")

    def look(self, request: ReviewRequest, why: str) -> Review:
        """Ask the agent about an attempt and log what it answered and cost."""
        harness = self.harness
        before = self._before(request, why)
        if before is not None:
            return before
        events = harness.log.turn_events(request.turn)
        ended = next(e.payload for e in reversed(events) if e.kind == "agent_exit")
        assert isinstance(ended, payloads.AgentEnded)
        folder = turn_dir(harness, request.turn).with_name(f"{request.turn:06d}-review")
        _, ledger = harness.ledger_at(ended.snapshot)
        item = ledger.item(request.item)
        assert item is not None
        place = copy(item)
        place.id, place.recipes = PLACE, []
        workspace = prepare(harness, place, request.turn, ended.snapshot, folder)
        evidence = self._evidence(request, folder)
        brief = review_brief(harness, request, why, evidence, folder / "report")
        order = parse_order(request.order, harness.config.order)
        side = replace(
            harness,
            agent=self.agent,
            extra_env={**harness.extra_env, "ORCHESTRATION_ROLE": "reviewer"},
        )
        left = run_agent(
            side,
            item,
            order,
            brief,
            workspace,
            folder,
            request.order,
            readable=(str(evidence),),
            answers=lambda said: '"verdict"' in said,
        )
        put_away(harness, workspace, left.snapshot, unread=left.unread)
        harness.repo.delete_ref(f"refs/heads/{workspace.branch}", left.snapshot)
        known = harness.secret_values()
        found = read_review(folder, known)
        if found.problem and left.outcome not in ("done", "no_change", "partial"):
            found = replace(found, problem=f"it ended with {left.outcome}")
        if found.problem:
            harness.say(f"{self.name} gave no review: {found.problem}")
        said = payloads.ReviewedByAgent(
            agent=self.name,
            turn=request.turn,
            why=why,
            verdict=found.verdict,
            reason=found.reason or found.problem,
            findings=found.findings,
            outcome=left.outcome,
            cost=left.cost,
            tokens=left.tokens,
            seconds=left.seconds,
            isolation=left.isolation,
            problem=found.problem,
        )
        harness.log.append(said, role="reviewer", item=request.item)
        return found

    def _before(self, request: ReviewRequest, why: str) -> Review | None:
        """The review that a killed run had asked and paid for; only where no flag asks anew."""
        told = [e.payload for e in self.harness.log.events if e.kind == "review"]
        for said in reversed(told):
            assert isinstance(said, payloads.ReviewedByAgent)
            if (said.turn, said.why) == (request.turn, why) and not request.flags:
                return Review(said.verdict, said.reason, said.findings, problem=said.problem)
        return None

    def _evidence(self, request: ReviewRequest, folder: Path) -> Path:
        """The change and what the harness measured, in a folder that the reviewer can read.

        A log that the worker wrote beside them is its own word, and stays out.
        """
        evidence = folder / "evidence"
        evidence.mkdir(parents=True)
        (evidence / "attempt.diff").write_text(request.diff, encoding="utf-8", errors="replace")
        report = turn_dir(self.harness, request.turn) / "report"
        theirs = left_by_agent(report)
        for part in ("red", "green", "cli"):
            for log in sorted((report / part).glob("*.log")):
                if log.relative_to(report).as_posix() not in theirs:
                    shutil.copyfile(log, evidence / f"{part}_{log.name}")
        return evidence


def review_brief(
    harness: Harness, request: ReviewRequest, why: str, evidence: Path, report: Path
) -> str:
    """The text for the reviewer, at most 12 KB."""
    flags = "\n".join(f"{n}. {flag}" for n, flag in enumerate(request.flags, start=1))
    values = {
        "turn": str(request.turn),
        "item": request.item,
        "why": why,
        "guard": request.guard,
        "python": harness.config.python,
        "evidence": str(evidence),
        "report": str(report),
    }
    pieces = {
        "flags": Piece("Flags, each to be answered by its number", flags, 3_000),
        "order": Piece("The order", request.order, 3_000, f"`{harness.config.order}`"),
        "diff": Piece(
            "The change", f"```diff\n{request.diff}\n```", 6_000, f"`{evidence}/attempt.diff`"
        ),
    }
    return fill("reviewer.md", values, pieces)


def read_review(folder: Path, known: Sequence[str] = ()) -> Review:
    """The review that an agent wrote into its turn's folder, or printed."""
    place, text = folder / "report" / NAME, ""
    if place.is_file() and not place.is_symlink() and place.stat().st_size <= MAX_BYTES:
        text = place.read_bytes().decode("utf-8-sig", "replace")
        told = [text]
    else:
        said = (folder / SAID).read_text(encoding="utf-8", errors="replace")
        told = [*reversed(fenced_blocks(said)), *reversed(_objects(said)), said[said.find("{") :]]
    problem = f"no {NAME}"
    for text in told:
        try:
            asked = json.loads(secrets.redact(text, known))
        except (ValueError, RecursionError) as error:
            problem = f"{NAME} is not JSON: {str(error)[:100]}"
            continue
        if isinstance(asked, dict) and asked.get("verdict") in VERDICTS:
            return _typed(asked)
        problem = f"{NAME}: verdict is one of {', '.join(VERDICTS)}"
    return Review("unsure", problem=problem)


def _objects(text: str) -> list[str]:
    """The objects of JSON that stand in prose, the outermost ones that hold a verdict."""
    found, at = [], text.find("{")
    for _ in range(MAX_OBJECTS):
        if at < 0:
            break
        try:
            told, end = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found += [text[at:end]] if "verdict" in told else []
        at = text.find("{", end)
    return found


def _typed(told: dict[str, Any]) -> Review:
    """A review of the right types; entries that are none are left out."""
    findings = []
    for one in _dicts(told.get("findings"))[:MAX_FINDINGS]:
        severity, line = str(one.get("severity")), one.get("line")
        if severity not in SEVERITIES:
            severity = "question"  # not understood is not dismissed
        findings.append(
            payloads.ReviewFinding(
                severity=severity,
                path=clean(str(one.get("path") or ""))[:300],
                line=line if type(line) is int and line > 0 else 0,
                message=clean(str(one.get("message") or ""))[:1_000],
            )
        )
    answers = {
        one["flag"]: (one.get("accept") is True, clean(str(one.get("reason") or ""))[:500])
        for one in _dicts(told.get("flags"))
        if type(one.get("flag")) is int
    }
    reason = " ".join(clean(str(told.get("reason") or "")).split())[:500]
    return Review(str(told["verdict"]), reason, tuple(findings), answers)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def why_due(harness: Harness, item: str, diff: str) -> str:
    """Why an attempt that is about to land is looked at first, or ""."""
    events = harness.log.events
    # One that could not be read was none.
    given = (
        isinstance(e.payload, payloads.ReviewedByAgent) and not e.payload.problem for e in events
    )
    last = max((n for n, counts in enumerate(given) if counts), default=-1)
    landed = sum(
        isinstance(e.payload, payloads.Committed) and e.payload.purpose == "landing"
        for e in events[last + 1 :]
    )
    known = harness.state.items.get(item)
    lines = sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in diff.splitlines())
    return review_due(
        landed=landed,
        every=harness.config.review_every,
        dwell=known.dwell if known else 0,
        lines=lines,
    )


def look_first(case: Case, turn: int, order_text: str) -> None:
    """Let a reviewer look at an attempt that passes, where that is due; its findings count.

    A blocker turns the attempt down, and the next brief says why; a question holds it for a person.
    """
    harness, found = case.harness, case.found
    if not isinstance(harness.reviewer, AgentReviewer) or not case.exit.changed:
        return
    diff = harness.repo.diff_text(case.base, case.commit)
    why = why_due(harness, case.item.id, diff)
    if not why:
        return
    harness.say(f"{harness.reviewer.name} looks at turn {turn}: {why}")
    sides = (f"{name} {side.verdict} ({side.tests})" for name, side in found.guard.items())
    request = ReviewRequest(
        turn, case.item.id, order_text, diff, flags=[], guard=", ".join(sides) or "none ran"
    )
    review = harness.reviewer.look(request, why)
    wrong = [str(one) for one in review.of("blocker")]
    if wrong or review.verdict == "reject":
        reason = "review: " + ("; ".join(wrong[:5]) or review.reason or "no reason")
        found.verified, found.ticks, found.verdict = [], [], ""
        found.turn_down("reject", reason[:1_000], reason[:120])
        return
    asks = [(one.path, one.line, one.message) for one in review.of("question")]
    if review.verdict == "unsure" and not asks and not review.problem:
        asks = [("", 0, review.reason or "the reviewer is not sure")]
    if asks:
        found.flags += [
            payloads.Flag("R01", path or case.exit.changed[0], line, f"the reviewer asks: {words}",
                          person=True)
            for path, line, words in asks
        ]  # fmt: skip
        found.verdict, found.reason = "held", f"a person must answer: {found.flags[0]}"
