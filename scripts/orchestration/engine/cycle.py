"""One cycle, resumable at every step: order, dispatch, agent, verdict, landing, end."""

from __future__ import annotations

from dataclasses import replace

from orchestration.core import (
    PHASES,
    ExitReason,
    ItemState,
    OpenCycle,
    Stop,
    budget_spent,
    due,
    payloads,
    retrospective,
    unmeasured,
)
from orchestration.documents.ledger import Item
from orchestration.documents.order import parse_order
from orchestration.git import short_ref
from orchestration.harness import Harness
from orchestration.landing import advance
from orchestration.log import require_room
from orchestration.turns import (
    Case,
    Collected,
    Draft,
    Findings,
    RepeatedOrder,
    blocked,
    blocked_note,
    branch_of,
    check_order,
    collect_in,
    commits,
    create,
    fault_of,
    held_out,
    judge_attempt,
    look_first,
    new_stamp,
    ordered_by_agent,
    pivoted,
    prepare,
    put_away,
    report_path,
    run_agent,
    turn_dir,
    where_to_look,
    write_brief,
    write_order,
)

PROSE = ("E04", "E07", "E13")
"""Rules about the files that tasks name: the built-in tasks are a person's words and name none."""


class Cycle:
    """The open cycle of a harness: `run_to_end` makes the steps that are left."""

    def __init__(self, harness: Harness, opened: OpenCycle) -> None:
        self.harness, self.opened = harness, opened
        self.nodes: dict[str, Collected] = {}
        """What selectors collected on the base."""

    def run_to_end(self) -> None:
        """Make every step that is left; the log's phase says which is next."""
        # What follows each of PHASES, in their order; an agent that was cut short is run again.
        follows = (
            self.supervise,
            self._dispatch,
            self._agent,
            self._agent,
            self._verify,
            self._land_or_keep,
            self._finish_landing,
            self._finish,
        )
        steps = dict(zip(PHASES, follows, strict=True))
        while self.harness.state.open is self.opened:
            steps[self.opened.phase]()

    # -- supervisor's turn -------------------------------------------------------------------

    def supervise(self) -> None:
        """The supervisor's turn: log an order, or why there is none."""
        harness = self.harness
        base = harness.tip().sha
        item = self._item(base)
        opened = self.opened
        settled = opened.fact(payloads.Pivoted) or opened.fact(payloads.Blocked)
        if item is None or settled:
            self._end("gone" if item is None else "settled", "supervisor")
            return
        if due(harness.state, item.id) and not opened.fact(payloads.Reviewed):
            text = retrospective(harness.log.events, item.id)
            harness.log.append(payloads.Reviewed(text), item=item.id)
        draft = self._draft(item, base)
        if draft is None:
            self._end("settled", "supervisor")
            return
        item = self._item(base)
        assert item is not None
        nodes = self._guard_nodes(item, draft, base)
        why = self._why_not(item, draft, base, nodes)
        if why:
            harness.log.append(blocked(harness, item, why), role="supervisor", item=item.id)
            self._end("settled", "supervisor")
            return
        about = f" ({draft.mode})" if draft.mode != "none" else ""
        about += f", row {draft.row}" if draft.row else ""
        harness.say(f"order {harness.state.turn:04d} for {item.id}{about}")
        found = None if nodes is None else tuple(nodes.ids)
        ordered = replace(draft.event(), nodes=found, nodes_base=base)
        harness.log.append(ordered, role="supervisor", item=item.id)

    def _draft(self, item: Item, base: str) -> Draft | None:
        """The order of the supervisor agent or of the built-in one; None where there is none."""
        harness = self.harness
        if harness.supervisor is not None:
            draft = ordered_by_agent(harness, self.opened, item, base, self.nodes)
            if draft is not None:
                return draft
        try:
            return write_order(harness, item, base, harness.state.turn)
        except RepeatedOrder as problem:
            harness.say(f"no order for {item.id}: {problem.what}")
            left = pivoted(harness, item, f"{problem.what} ({problem.got})")
            harness.log.append(left, role="supervisor", item=item.id)
            return None

    def _guard_nodes(self, item: Item, draft: Draft, base: str) -> Collected | None:
        """The guard's tests on the base; None when there is no guard or the order writes it."""
        opened = draft.order.may_edit_tests or any(task.creates for task in draft.order.tasks)
        if not item.guard or opened:
            return None
        if item.guard not in self.nodes:
            tree = self.harness.repo.tree_of(base)
            self.nodes[item.guard] = collect_in(self.harness, tree, base, item.guard)
        return self.nodes[item.guard]

    def _why_not(self, item: Item, draft: Draft, base: str, nodes: Collected | None) -> str:
        """Why nobody may work on an order, or ""."""
        missing = held_out.missing(self.harness, item)
        if missing:
            return missing
        if nodes is not None and not nodes.names:
            because = f" ({nodes.because})" if nodes.because else ""
            return f"its guard collects nothing on the base: {item.guard}{because}"
        if nodes is not None and not nodes.ids and item.guard:
            said = {item.guard: "\n".join(nodes.problems)}
            fault = fault_of(self.harness.repo, self.harness.config, base, said, [item.guard])
            if fault:
                return f"its guard cannot be collected here: {fault} ({nodes.because})"
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
        dispatched = payloads.Dispatched(
            attempt=known.attempts + 1,
            item=item_id,
            base=harness.tip().sha,
            stamp=stamp,
            report=report_path(item_id, stamp),
            steers=tuple(harness.state.steers),
        )
        harness.log.append(dispatched, role="worker", item=item_id, turn=harness.state.turn + 1)

    def _agent(self) -> None:
        harness, dispatch = self.harness, self.opened.need(payloads.Dispatched)
        item = self._item(dispatch.base)
        assert item is not None
        turn, name = harness.state.turn, harness.agent.name
        workspace = prepare(harness, item, dispatch.attempt, dispatch.base, turn_dir(harness, turn))
        if self.opened.phase != "agent":
            harness.log.append(payloads.AgentStarted(name), role="worker", item=item.id)
        harness.say(f"{name} works on {item.id} (attempt {dispatch.attempt})")
        text = self.opened.need(payloads.Ordered).text
        order = parse_order(text, harness.config.order)
        report = turn_dir(harness, turn) / "report"
        brief = write_brief(harness, item, order, text, dispatch.base, report, dispatch.steers)
        ended = run_agent(harness, item, order, brief, workspace, turn_dir(harness, turn), text)
        require_room(*harness.disks)
        first = ended.text.strip().splitlines()
        harness.say(f"{name}: {ended.outcome}" + (f"; {first[0]}" if first else ""))
        harness.log.append(ended, role="worker", item=item.id)
        unknown = "" if harness.deterministic else unmeasured(ended, harness.policy)
        if unknown:
            words = f"this turn reported no {unknown}: its part of that budget is not known"
            harness.log.append(payloads.Warned(words), item=item.id)
            harness.say(words)

    def _verify(self) -> None:
        harness = self.harness
        dispatch = self.opened.need(payloads.Dispatched)
        ended = self.opened.need(payloads.AgentEnded)
        item = self._item(dispatch.base)
        assert item is not None
        ordered = self.opened.need(payloads.Ordered)
        again = self.opened.fact(payloads.JudgedAgain)
        case = Case(
            harness=harness,
            item=item,
            order=parse_order(ordered.text, harness.config.order),
            mode=ordered.mode,
            base=dispatch.base,
            commit=ended.snapshot,
            exit=ended,
            report=turn_dir(harness, harness.state.turn) / "report",
            report_path=dispatch.report,
            branch=branch_of(item.id, dispatch.attempt),
            answered=again.flags if again else (),
        )
        if ordered.nodes and ordered.nodes_base == case.base and item.guard:
            case.ids[item.guard] = Collected(list(ordered.nodes))
        found = judge_attempt(case)
        require_room(*harness.disks)
        if found.verdict == "land" and again is None:
            look_first(case, harness.state.turn, ordered.text)
        for flag in found.flags if found.verdict == "held" else ():
            harness.say(f"flag: {flag}")
        harness.say(f"verdict for {item.id}: {found.verdict} - {found.reason}")
        harness.log.append(self._judged(item, found), role="worker", item=item.id)

    def _judged(self, item: Item, found: Findings) -> payloads.Judged:
        dispatch = self.opened.need(payloads.Dispatched)
        mode = self.opened.need(payloads.Ordered).mode
        landed = found.verdict == "land"
        left = [c.id for c in item.criteria if c.open and c.id not in found.ticks]
        done = landed and not left
        link = f"{dispatch.report}/receipt.json" if landed else ""
        notes: tuple[payloads.Note, ...] = ()
        if found.verdict in ("reject", "blocked", "tamper"):
            note = blocked_note(
                item,
                dispatch.stamp,
                found.reason,
                command=found.command,
                needs="an attempt whose checks pass",
                directory=dispatch.report,
                work=where_to_look(item.id, dispatch.attempt, dispatch.base),
            )
            notes, link = (note,), note.path
        word = "landed" if landed else found.verdict
        verified = ", ".join(found.verified)
        memory = payloads.MemoryEntry(
            title=word,
            decision=found.reason,
            state="ready_for_implementation",
            mode=mode,
            next="done" if done else f"next: {left[0] if left else 'the same row'}",
            artifacts=dispatch.report if landed else None,
        )
        return payloads.Judged(
            verdict=found.verdict,
            reason=found.reason,
            signature=found.signature,
            halt=found.halt,
            patch=found.patch,
            guard=found.guard,
            checks=tuple(found.checks),
            verified=tuple(found.verified),
            ticks=tuple(found.ticks),
            classes={kind: tuple(paths) for kind, paths in found.classes.items()},
            done=done,
            notes=notes,
            done_reason=f"verified: {verified}",
            attempt=payloads.AttemptLine(word, verified, found.signature[:120], link),
            memory=memory,
            flags=tuple(found.flags) if found.verdict == "held" else (),
        )

    # -- landing -----------------------------------------------------------------------------

    def _land_or_keep(self) -> None:
        harness = self.harness
        if self.opened.need(payloads.Judged).verdict != "land":
            self._finish()
            return
        dispatch = self.opened.need(payloads.Dispatched)
        item = self._item(dispatch.base)
        assert item is not None
        turn = harness.state.turn
        events = reversed(harness.log.turn_events(turn))
        at = next(event.at for event in events if event.kind == payloads.Judged.KIND)
        report = turn_dir(harness, turn) / "report"
        built = commits.build_landing(harness, self.opened, at, turn, report, item.title)
        land = payloads.Announced(
            "landing", built.commit, dispatch.base, built.subject, built.receipt
        )
        harness.log.append(land, role="worker", item=item.id)

    def _finish_landing(self) -> None:
        harness, land = self.harness, self.opened.need(payloads.Announced)
        went = advance(harness.repo, harness.target, land.commit, land.base)
        note = f" - {went.note}" if went.note else ""
        harness.say(f"landed {land.commit[:12]} on {short_ref(went.ref)}{note}")
        commit = payloads.Committed(
            purpose=land.purpose,
            commit=land.commit,
            base=land.base,
            subject=land.subject,
            receipt=land.receipt,
            via=went.via,
            ref=went.ref,
            note=went.note,
        )
        harness.log.append(commit, role="worker", item=self.opened.item)

    # -- the end -----------------------------------------------------------------------------

    def _finish(self) -> None:
        """Put the worktree away (the branch and the snapshot stay) and end the turn."""
        dispatch = self.opened.need(payloads.Dispatched)
        workspace = create(self.harness.repo, self.opened.item, dispatch.attempt, dispatch.base)
        ended = self.opened.need(payloads.AgentEnded)
        put_away(self.harness, workspace, ended.snapshot, unread=ended.unread)
        self._end(self.opened.need(payloads.Judged).verdict, "worker")

    def _end(self, outcome: str, role: str) -> None:
        end = payloads.TurnEnded(self.opened.cycle, outcome)
        self.harness.log.append(end, role=role, item=self.opened.item)
