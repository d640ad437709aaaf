"""One cycle, resumable at every step: order, dispatch, agent, verdict, landing, end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestration.core import (
    ExitReason,
    ItemState,
    OpenCycle,
    Stop,
    budget_spent,
    due,
    retrospective,
)
from orchestration.documents.ledger import Item
from orchestration.documents.order import parse_order
from orchestration.git import short_ref
from orchestration.harness import Harness
from orchestration.landing import advance
from orchestration.turns import (
    Case,
    Draft,
    Findings,
    RepeatedOrder,
    block_data,
    blocked_note,
    branch_of,
    check_order,
    collect_in,
    commits,
    create,
    judge_attempt,
    new_stamp,
    ordered_by_agent,
    pivot_data,
    prepare,
    put_away,
    report_path,
    run_agent,
    turn_dir,
    write_brief,
    write_order,
)

PROSE = ("E04", "E07", "E13")
"""Rules about the files that tasks name: the built-in tasks are a person's words and name none."""


class Cycle:
    """The open cycle of a harness: `run_to_end` makes the steps that are left."""

    def __init__(self, harness: Harness, opened: OpenCycle) -> None:
        self.harness, self.opened = harness, opened
        self.nodes: dict[str, list[str]] = {}
        """What selectors collected on the base."""

    @property
    def facts(self) -> dict[str, Any]:
        """The data of the cycle's events so far, by kind."""
        return self.opened.facts

    def run_to_end(self) -> None:
        """Make every step that is left; the log's phase says which is next."""
        steps: dict[str, Callable[[], None]] = {
            "decided": self._order,
            "ordered": self._dispatch,
            "dispatched": self._agent,
            "agent": self._agent,
            "exited": self._verify,
            "verified": self._land_or_keep,
            "landing": self._finish_landing,
            "landed": self._finish,
        }
        while self.harness.state.open is self.opened:
            steps[self.opened.phase]()

    def supervise(self) -> None:
        """The supervisor's turn alone."""
        self._order()

    # -- supervisor's turn -------------------------------------------------------------------

    def _order(self) -> None:
        harness = self.harness
        base = harness.tip().sha
        item = self._item(base)
        settled = self.facts.get("pivot") or self.facts.get("block")
        if item is None or settled:
            self._end("gone" if item is None else "settled", "supervisor")
            return
        if due(harness.state, item.id) and not self.facts.get("retro"):
            text = retrospective(harness.log.events, item.id)
            harness.log.append("retro", {"text": text}, item=item.id)
        draft = self._draft(item, base)
        if draft is None:
            outcome = "tamper" if harness.state.tamper else "settled"
            self._end(outcome, "supervisor")
            return
        item = self._item(base)
        assert item is not None
        nodes = self._guard_nodes(item, draft, base)
        why = self._why_not(item, draft, base, nodes)
        if why:
            data = block_data(harness, item, why)
            harness.log.append("block", data, role="supervisor", item=item.id)
            self._end("settled", "supervisor")
            return
        about = f" ({draft.mode})" if draft.mode != "none" else ""
        about += f", row {draft.row}" if draft.row else ""
        harness.say(f"order {harness.state.turn:04d} for {item.id}{about}")
        data = {**draft.event(), "nodes": nodes, "nodes_base": base}
        harness.log.append("order", data, role="supervisor", item=item.id)

    def _draft(self, item: Item, base: str) -> Draft | None:
        """The order of the supervisor agent or of the built-in one; None where there is none."""
        harness = self.harness
        if harness.supervisor is not None:
            draft = ordered_by_agent(harness, self.opened, item, base, self.nodes)
            if draft is not None or harness.state.tamper:
                return None if harness.state.tamper else draft
        try:
            return write_order(harness, item, base, harness.state.turn)
        except RepeatedOrder as problem:
            harness.say(f"no order for {item.id}: {problem.what}")
            data = pivot_data(harness, item, f"{problem.what} ({problem.got})")
            harness.log.append("pivot", data, role="supervisor", item=item.id)
            return None

    def _guard_nodes(self, item: Item, draft: Draft, base: str) -> list[str] | None:
        """The guard's tests on the base; None when there is no guard or the order writes it."""
        opened = draft.order.may_edit_tests or any(task.new for task in draft.order.tasks)
        if not item.guard or opened:
            return None
        if item.guard not in self.nodes:
            tree = self.harness.repo.tree_of(base)
            self.nodes[item.guard] = collect_in(self.harness, tree, base, item.guard)
        return self.nodes[item.guard]

    def _why_not(self, item: Item, draft: Draft, base: str, nodes: list[str] | None) -> str:
        """Why nobody may work on an order, or ""."""
        if nodes == []:
            return f"its guard collects nothing on the base: {item.guard}"
        if draft.source != "built-in":
            return ""
        found = check_order(self.harness, draft.text, base, item.id, nodes=self.nodes)
        errors = [d.render() for d in found if d.severity == "error" and d.code not in PROSE]
        return "no valid order can be written: " + "; ".join(errors[:3]) if errors else ""

    def _item(self, sha: str) -> Item | None:
        _, ledger = self.harness.ledger_at(sha)
        return ledger.item(self.opened.item)

    # -- worker's turn -----------------------------------------------------------------------

    def _dispatch(self) -> None:
        harness, item_id = self.harness, self.opened.item
        spent = budget_spent(harness.state, harness.policy, cycles=False)
        if spent:
            raise Stop(ExitReason.BUDGET, f"{spent}; the order waits for the next run")
        known = harness.state.items.get(item_id, ItemState())
        stamp = new_stamp(harness)
        data = {
            "item": item_id,
            "attempt": known.attempts + 1,
            "base": harness.tip().sha,
            "stamp": stamp,
            "report": report_path(item_id, stamp),
            "steers": list(harness.state.steers),
        }
        harness.log.append(
            "dispatch", data, role="worker", item=item_id, turn=harness.state.turn + 1
        )

    def _agent(self) -> None:
        harness, dispatch = self.harness, self.facts["dispatch"]
        item = self._item(dispatch["base"])
        assert item is not None
        turn = harness.state.turn
        workspace = prepare(harness, item, dispatch["attempt"], dispatch["base"], turn)
        again = self.opened.phase == "agent"
        if not again:
            harness.log.append(
                "agent_start", {"agent": harness.agent.name}, role="worker", item=item.id
            )
        harness.say(f"{harness.agent.name} works on {item.id} (attempt {dispatch['attempt']})")
        text = self.facts["order"]["text"]
        order = parse_order(text, harness.config.order)
        brief = write_brief(harness, item, text, dispatch["steers"])
        data = run_agent(harness, item, order, brief, workspace, turn, text)
        data["agent"] = harness.agent.name
        first = str(data["text"]).strip().splitlines()
        harness.say(f"{harness.agent.name}: {data['outcome']}; {first[0] if first else ''}")
        harness.log.append("agent_exit", data, role="worker", item=item.id)

    def _verify(self) -> None:
        harness = self.harness
        dispatch, ended = self.facts["dispatch"], self.facts["agent_exit"]
        item = self._item(dispatch["base"])
        assert item is not None
        order_data = self.facts["order"]
        case = Case(
            harness=harness,
            item=item,
            order=parse_order(order_data["text"], harness.config.order),
            mode=order_data["mode"],
            base=dispatch["base"],
            commit=ended["snapshot"],
            exit=ended,
            report=turn_dir(harness, harness.state.turn) / "report",
            report_path=dispatch["report"],
            branch=branch_of(item.id, dispatch["attempt"]),
        )
        if order_data.get("nodes") and order_data["nodes_base"] == case.base and item.guard:
            case.ids[item.guard] = list(order_data["nodes"])
        found = judge_attempt(case)
        harness.say(f"verdict for {item.id}: {found.verdict} - {found.reason}")
        harness.log.append("verdict", self._verdict_data(item, found), role="worker", item=item.id)

    def _verdict_data(self, item: Item, found: Findings) -> dict[str, Any]:
        dispatch = self.facts["dispatch"]
        left = [c.id for c in item.criteria if c.open and c.id not in found.ticks]
        done = found.verdict == "land" and not left
        link = f"{dispatch['report']}/receipt.json" if found.verdict == "land" else ""
        notes = []
        if found.verdict in ("reject", "blocked", "tamper"):
            note = blocked_note(
                item,
                dispatch["stamp"],
                found.reason,
                command=found.command,
                needs="an attempt whose checks pass",
                directory=dispatch["report"],
            )
            notes, link = [note], note["path"]
        next_step = "done" if done else f"next: {left[0] if left else 'the same row'}"
        return {
            "verdict": found.verdict, "reason": found.reason, "signature": found.signature,
            "halt": found.halt, "patch": found.patch, "guard": found.guard,
            "checks": found.checks, "verified": found.verified, "ticks": found.ticks,
            "classes": found.classes, "done": done, "notes": notes,
            "done_reason": f"verified: {', '.join(found.verified)}",
            "attempt": {
                "outcome": "landed" if found.verdict == "land" else found.verdict,
                "criteria": ", ".join(found.verified), "signature": found.signature[:120],
                "link": link,
            },
            "memory": {
                "title": "landed" if found.verdict == "land" else found.verdict,
                "decision": found.reason, "mode": self.facts["order"]["mode"],
                "artifacts": dispatch["report"] if found.verdict == "land" else None,
                "next": next_step, "state": "ready_for_implementation",
            },
        }  # fmt: skip

    # -- landing -----------------------------------------------------------------------------

    def _land_or_keep(self) -> None:
        harness, verdict = self.harness, self.facts["verdict"]
        if verdict["verdict"] != "land":
            self._finish()
            return
        dispatch = self.facts["dispatch"]
        item = self._item(dispatch["base"])
        assert item is not None
        turn = harness.state.turn
        built = commits.build_landing(
            harness,
            self.facts,
            self._verdict_time(),
            turn,
            turn_dir(harness, turn) / "report",
            item.title,
        )
        data = {
            "purpose": "landing", "commit": built.commit, "base": dispatch["base"],
            "subject": built.subject, "receipt": built.receipt,
        }  # fmt: skip
        harness.log.append("land", data, role="worker", item=item.id)

    def _verdict_time(self) -> str:
        events = self.harness.log.turn_events(self.harness.state.turn)
        return next(event.at for event in reversed(events) if event.kind == "verdict")

    def _finish_landing(self) -> None:
        harness, land = self.harness, self.facts["land"]
        went = advance(harness.repo, harness.target, land["commit"], land["base"])
        note = f" - {went.note}" if went.note else ""
        harness.say(f"landed {land['commit'][:12]} on {short_ref(went.ref)}{note}")
        data = {**land, "via": went.via, "ref": went.ref, "note": went.note}
        harness.log.append("commit", data, role="worker", item=self.opened.item)

    # -- the end -----------------------------------------------------------------------------

    def _finish(self) -> None:
        """Put the worktree away (the branch and the snapshot stay) and end the turn."""
        dispatch, ended = self.facts["dispatch"], self.facts["agent_exit"]
        verdict = self.facts["verdict"]["verdict"]
        workspace = create(
            self.harness.repo, self.opened.item, dispatch["attempt"], dispatch["base"]
        )
        put_away(self.harness, workspace, ended["snapshot"])
        self._end(verdict, "worker")

    def _end(self, outcome: str, role: str) -> None:
        self.harness.log.append(
            "turn_end",
            {"cycle": self.opened.cycle, "outcome": outcome},
            role=role,
            item=self.opened.item,
        )
