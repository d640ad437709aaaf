"""The loop: one step after another, each announced in the log before its effect is made.

A run is a series of steps, and the log alone says which step is next; a process that was killed
anywhere is continued by the next one. An effect is either repeatable (an order is composed, a
snapshot is judged) or finds that it was already made (a branch that has the commit).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from filelock import FileLock, Timeout

from orchestration.agents import bring_home
from orchestration.core import (
    ASIDE,
    NEEDS_AGENT,
    Decision,
    ExitReason,
    Interrupted,
    Pending,
    RetryLater,
    Stop,
    Weighed,
    decide,
    effective,
    payloads,
)
from orchestration.documents.ledger import Ledger
from orchestration.engine.aside import no_longer, set_aside
from orchestration.engine.cycle import Cycle
from orchestration.engine.notify import Notifier
from orchestration.engine.polling import next_poll_s, poll_waiting
from orchestration.errors import HarnessError
from orchestration.git import remote
from orchestration.harness import Harness, item_facts
from orchestration.landing import advance, drop_merged
from orchestration.log import (
    LOCK,
    disk_full,
    free_reserve,
    inbox,
    is_full,
    note_holder,
    publish,
    reserve,
)
from orchestration.sandbox import choose, end_orphans
from orchestration.turns import (
    ask_reviewer,
    blocked,
    closed,
    commits,
    lay_on_tip,
    leftovers,
    pivoted,
    remove_checkout,
)


@dataclass
class Summary:
    """How a run ended; `exit_code` is the reason's."""

    reason: str
    text: str
    exit_code: int
    cycles: int
    landed: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """Items with an attempt that waits for a review."""
    report: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """What `orchestrate run --json` ends with; the exit code is the process's."""
        names = ("reason", "text", "cycles", "landed", "rejected", "waiting", "blocked", "held")
        return {name: getattr(self, name) for name in (*names, "report")}


class Engine:
    """Runs cycles until the policy says stop."""

    def __init__(
        self,
        harness: Harness,
        run_id: Callable[[], str],
        *,
        wait_s: float = 0.0,
        push: bool = False,
        report: Callable[[Harness], str | None] | None = None,
    ) -> None:
        if push and harness.upstream is None:
            raise HarnessError(
                f"{harness.target} has no upstream to push to",
                where=harness.repo.root,
                fix=f"git push --set-upstream origin {harness.target}",
            )
        self.harness, self.run_id, self.report = harness, run_id, report
        if harness.config.notify:
            harness.log.listeners.append(Notifier(harness))
        self._stop_evidence: Weighed | None = None
        self.wait_left_s, self.push = wait_s, push
        self._asked: set[int] = set()
        """Turns that the reviewer program was asked about."""

    # -- the loop --------------------------------------------------------------------------

    def run(self) -> Summary:
        """Work until nothing is left to do, and say why; the log has every step.

        Raises HarnessError when another run holds the lock, and for what a person must fix.
        """
        with self._prepared():
            return self._loop()

    @contextmanager
    def _prepared(self, *, run: bool = True) -> Iterator[None]:
        """Hold the run lock; check the log; clear what a killed run left; open the run."""
        harness = self.harness
        with self._alone():
            publish.check_fork(harness.repo, harness.log)
            for path in leftovers(harness.repo):
                remove_checkout(harness.repo, path)
            if not harness.deterministic:  # before a turn is spent on it
                choose(harness.config.isolation, agent=True)
            if run:
                reserve(harness.repo.state_dir)
                self._open_run()
                self._fetch()
                set_aside(harness)
            yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the run lock, read the log again, and end what a killed run left running."""
        harness = self.harness
        harness.repo.claim_state()
        lock = FileLock(harness.repo.state_dir / LOCK)
        try:
            lock.acquire(timeout=0.5)  # `status` looks at it for a moment
        except Timeout:
            raise HarnessError(
                "another run is at work in this repository",
                where=lock.lock_file,
                fix="wait for it, or look: orchestrate status",
            ) from None
        try:
            note_holder(harness.repo.state_dir)
            harness.log.refresh(repair=True)
            if harness.state.run is not None and harness.state.run.ended is None:
                end_orphans(harness.repo.state_dir, harness.repo.root)
            for turn in harness.repo.state_dir.glob("turns/[0-9]*"):
                bring_home(turn)
            yield
        finally:
            lock.release()

    def run_supervisor(self) -> tuple[str, str] | None:
        """One supervisor turn alone: decisions until an order is open, or the reason for none."""
        with self._prepared():
            while self.harness.state.open is None or self.harness.state.open.phase == "decided":
                if self.harness.state.open is not None:
                    Cycle(self.harness, self.harness.state.open).supervise()
                    continue
                done = self.step()
                if done is not None:
                    self._end(*done)
                    return done[0].name, done[1]
            publish.publish(self.harness.repo, self.harness.log)
        return None

    def run_worker(self) -> dict[str, Any]:
        """One worker turn alone, on the order that is open; its verdict."""
        with self._prepared():
            opened = self.harness.state.open
            if opened is None or opened.phase == "decided":
                fix = "write one: orchestrate supervisor"
                raise HarnessError("there is no open order", fix=fix)
            Cycle(self.harness, opened).run_to_end()
            publish.publish(self.harness.repo, self.harness.log)
            judged = opened.need(payloads.Judged)
        return {
            "item": opened.item,
            "verdict": judged.verdict,
            "reason": judged.reason,
            "verified": list(judged.verified),
        }

    def _loop(self) -> Summary:
        try:
            while True:
                try:
                    done = self.step()
                except RetryLater as out:
                    if not self._wait_for(out):
                        raise
                    continue
                if done is not None:
                    return self._end(*done)
        except Interrupted as asked:
            return self._end(ExitReason.INTERRUPTED, f"ended by {asked.name}", code=asked.code)
        except KeyboardInterrupt:
            return self._end(ExitReason.INTERRUPTED, "stopped from the keyboard")
        except (HarnessError, OSError) as problem:
            if is_full(problem, *self.harness.disks):
                return self._end_full(problem)
            if isinstance(problem, Stop):
                return self._end(problem.reason, str(problem))
            raise

    def _wait_for(self, out: RetryLater) -> bool:
        """Sleep until an outage may be over, within `--wait`; false where that does not reach."""
        clock = self.harness.clock
        if out.at is None:
            return False
        pause = max(1.0, (out.at - clock.now()).total_seconds())
        if pause > self.wait_left_s:
            return False
        self.harness.say(f"{out}; waiting {pause:.0f} s")
        clock.sleep(pause)
        self.wait_left_s -= pause
        return True

    def _open_run(self) -> None:
        """Continue a run that was killed; otherwise begin one."""
        harness, run = self.harness, self.harness.state.run
        if run is not None and run.ended is None and run.agent == harness.agent.name:
            harness.say(f"continuing the run of {run.started_at}, which did not end")
            return
        harness.log.append(
            payloads.RunStarted(
                self.run_id(),
                harness.agent.name,
                harness.policy.cycles,
                harness.target,
                harness.voice.public,
            )
        )

    def _fetch(self) -> None:
        """Look at the upstream once a run; one that does not answer is a warning."""
        harness = self.harness
        if harness.upstream is None:
            return
        sha, problem = remote.fetch(harness.repo, harness.upstream)
        if sha and sha != harness.state.upstream:
            harness.log.append(payloads.Fetched(sha))
        if problem:
            text = f"the upstream {harness.upstream.remote} could not be fetched: {problem}"
            harness.log.append(payloads.Warned(text))
            harness.say(text)
            return
        tip = harness.tip()
        if not tip.waiting and tip.sha != tip.target_sha:
            harness.say(f"the upstream is ahead: work starts at {tip.sha[:12]}")

    def step(self) -> tuple[ExitReason, str] | None:
        """Make one step; returns the reason when the run is over."""
        harness = self.harness
        inbox.take(harness.repo.state_dir, harness.log)
        if harness.state.closing is not None:
            self._finish_closing(payloads.Announced.from_json(harness.state.closing))
        drop_merged(harness.repo, harness.target)
        if harness.state.open is not None:
            Cycle(harness, harness.state.open).run_to_end()
            publish.publish(harness.repo, harness.log)
            if self.report is not None:
                self.report(harness)
            return None
        ask_reviewer(harness, self._asked)
        if self._judge_again():
            return None
        _, ledger = harness.ledger_at(harness.tip().sha)
        self._reopened(ledger)
        poll_waiting(harness, ledger)
        decision = decide(harness.state, harness.facts(ledger), harness.policy)
        return self._carry_out(decision, ledger)

    def _judge_again(self) -> bool:
        """Open the cycle of an attempt that a review has accepted; false where there is none."""
        harness = self.harness
        held = next((one for one in harness.state.held.values() if one.accepted), None)
        if held is None or harness.state.paused or harness.state.tamper:
            return False
        turn = harness.state.turn + 1
        again = lay_on_tip(harness, held, turn)
        harness.say(f"turn {held.turn} was accepted in review; judged again on {again.base[:12]}")
        harness.log.append(again, role="harness", item=held.item, turn=turn)
        return True

    def after_review(self) -> None:
        """Take what a person has answered and judge accepted attempts again.

        Raises HarnessError when a run holds the lock: it does the same at its next boundary.
        """
        harness = self.harness
        with self._prepared(run=False):
            if harness.state.open is not None:
                raise HarnessError(
                    "a run was killed in the middle of a turn; the next one ends that turn first",
                    where=harness.repo.root,
                    fix="orchestrate run",
                )
            inbox.take(harness.repo.state_dir, harness.log)
            while self._judge_again():
                opened = harness.state.open
                assert opened is not None
                Cycle(harness, opened).run_to_end()
            publish.publish(harness.repo, harness.log)

    def preview(self) -> Decision:
        """The next decision with the inbox as it is, without doing anything (`run --dry-run`)."""
        harness = self.harness
        state = inbox.foresee(harness.repo.state_dir, harness.log)
        outcome, _ = no_longer(harness)
        if state.open is not None and not outcome:
            reason = f"continues the cycle that was interrupted ({state.open.phase})"
            return Decision("work", state.open.item, reason, Weighed(state.cycle))
        _, ledger = harness.ledger_at(harness.tip().sha)
        facts = harness.facts(ledger)
        if outcome == ASIDE and state.open is not None:
            facts = [item for item in facts if item.id != state.open.item]
        return decide(state, facts, harness.policy)

    # -- decisions -------------------------------------------------------------------------

    def _carry_out(self, decision: Decision, ledger: Ledger) -> tuple[ExitReason, str] | None:
        harness, log = self.harness, self.harness.log
        item = ledger.item(decision.item) if decision.item else None
        if decision.action == "stop":
            return self._stop(decision, ledger)
        assert item is not None
        harness.say(f"{decision.action} {item.id}: {decision.reason}")
        why, evidence = decision.reason, decision.evidence
        if decision.action == "work":
            begun = payloads.Decided("work", harness.state.cycle + 1, why, evidence)
            log.append(begun, item=item.id, turn=harness.state.turn + 1)
        elif decision.action == "close":
            log.append(replace(closed(why, item), evidence=evidence), item=item.id)
        elif decision.action == "block":
            log.append(replace(blocked(harness, item, why), evidence=evidence), item=item.id)
        elif decision.action == "pivot":
            log.append(replace(pivoted(harness, item, why), evidence=evidence), item=item.id)
        return None

    def _stop(self, decision: Decision, ledger: Ledger) -> tuple[ExitReason, str] | None:
        """End the run, unless waiting items may still arrive within `--wait`."""
        harness = self.harness
        assert decision.exit is not None
        if decision.exit is ExitReason.BLOCKED_ON_USER and not harness.state.paused:
            pause = next_poll_s(harness, ledger)
            if pause is not None and self.wait_left_s > 0:
                pause = min(pause, self.wait_left_s)
                harness.say(f"nothing to do but wait; polling again in {pause:g} s")
                harness.clock.sleep(pause)
                self.wait_left_s -= pause
                poll_waiting(harness, ledger, again=True)
                return None
        if decision.exit is ExitReason.STALLED:
            for row in decision.evidence.items:
                item = ledger.item(row.id)
                if row.why_not.startswith("cooling down") and item is not None:
                    reason = "stalled: " + row.why_not.partition(": ")[2]
                    harness.log.append(blocked(harness, item, reason, stalled=True), item=item.id)
        self._close()
        self._stop_evidence = decision.evidence
        return decision.exit, decision.reason

    def _reopened(self, ledger: Ledger) -> None:
        """Notice items that a person set back to open; their dwell and orders start afresh."""
        state = self.harness.state
        for item in ledger.items:
            known = state.items.get(item.id)
            if known is None or state.pending.marked(item.id):
                continue
            facts = item_facts(item, self.harness.clock.now())
            if effective(state, facts, self.harness.policy).status == "blocked":
                continue
            if known.blocked and item.status.value in ("open", "in_progress"):
                self.harness.log.append(payloads.Reopened(), role="user", item=item.id)

    # -- the closing commit ------------------------------------------------------------------

    def _close(self) -> None:
        """One SUPERVISOR commit when ledger, memory or notes changed and no landing took them."""
        harness = self.harness
        if not harness.state.pending or _asks_for_an_agent(harness.state.pending):
            return
        base = harness.tip().sha
        built = commits.build_closing(harness, base, harness.state.at, harness.state.turn)
        if built is None:
            harness.log.append(payloads.Committed("none"))
            return
        land = payloads.Announced("closing", built.commit, base, built.subject)
        harness.log.append(land)
        self._finish_closing(land)

    def _finish_closing(self, land: payloads.Announced) -> None:
        harness = self.harness
        went = advance(harness.repo, harness.target, land.commit, land.base)
        commit = payloads.Committed(
            "closing", land.commit, subject=land.subject, via=went.via, ref=went.ref
        )
        harness.log.append(commit)
        note = f" - {went.note}" if went.note else ""
        harness.say(f"closing commit {land.commit[:12]} on {went.ref}{note}")

    # -- taking back ---------------------------------------------------------------------------

    def revert(self, turn: int) -> dict[str, Any]:
        """Take a landing back with a new commit on top of everything, and reopen its item.

        Raises HarnessError when the turn landed nothing, or later commits changed the same files.
        """
        harness, log = self.harness, self.harness.log
        with self._prepared(run=False):
            found = next((x for x in harness.state.landings if x.turn == turn), None)
            if found is None:
                known = ", ".join(str(x.turn) for x in harness.state.landings)
                raise HarnessError("that turn landed nothing", got=turn, expected=known or "none")
            base = harness.tip().sha
            built = commits.build_revert(harness, found, base, harness.clock.now())
            went = advance(harness.repo, harness.target, built.commit, base)
            taken_back = payloads.Reverted(turn, built.commit, went.via, went.ref)
            log.append(taken_back, role="user", item=found.item)
            again = payloads.Reopened(mark=f"turn {turn} was taken back", keep_orders=False)
            log.append(again, role="user", item=found.item)
            publish.publish(harness.repo, log)
        return {"item": found.item, **taken_back.to_json()}

    # -- the end -----------------------------------------------------------------------------

    def _end_full(self, problem: HarnessError | OSError) -> Summary:
        """The end of a run for want of room: what was held back holds its last words."""
        free_reserve(self.harness.repo.state_dir)
        stop = problem if isinstance(problem, Stop) else disk_full(str(problem))
        self.push = False
        try:
            return self._end(stop.reason, str(stop))
        except (HarnessError, OSError):  # not even that: the log ends where it was
            raise stop from None

    def _publish(self, reason: ExitReason) -> None:
        """Publish the log; without room for it the next run does."""
        try:
            publish.publish(self.harness.repo, self.harness.log)
        except (HarnessError, OSError) as problem:
            if reason is not ExitReason.DISK_FULL:
                raise
            self.harness.say(f"the log is not published yet, the next run does it: {problem}")

    def _end(self, reason: ExitReason, text: str, *, code: int | None = None) -> Summary:
        harness = self.harness
        if self.push and reason is not ExitReason.TAMPER:
            reason, text = self._push(reason, text)
        code = code or reason.code
        harness.log.append(payloads.RunEnded(reason.name, text, code, self._stop_evidence))
        self._publish(reason)
        if self.push and harness.upstream and reason is not ExitReason.TAMPER:
            problem = remote.push(harness.repo, harness.upstream, harness.target, log=True)
            if problem:
                harness.say(f"the log was not pushed: {problem}")
        summary = self.summary(reason, text)
        summary.exit_code = code
        if self.report is not None:
            summary.report = self.report(harness)
        return summary

    def _push(self, reason: ExitReason, text: str) -> tuple[ExitReason, str]:
        """Push what landed. Refused, it waits here: a run that was DONE has to be tried again.

        Every other reason needs a person anyway and stays, with a word about the push.
        """
        harness = self.harness
        assert harness.upstream is not None
        problem = remote.push(harness.repo, harness.upstream, harness.target, log=False)
        if not problem:
            return reason, text
        harness.log.append(payloads.Warned(f"not pushed: {problem}"))
        text = f"{text}; not pushed to {harness.upstream.remote}: {problem}"
        return (ExitReason.RETRY_LATER if reason is ExitReason.DONE else reason), text

    def summary(self, reason: ExitReason, text: str) -> Summary:
        """Count what the run did; waiting and blocked are as the ledger has them now."""
        state = self.harness.state
        assert state.run is not None
        try:
            _, ledger = self.harness.ledger_at(self.harness.tip().sha)
        except HarnessError:
            ledger = Ledger()
        over = state.pending.over
        now = {item.id: over(item.id, item.status.value).status for item in ledger.items}
        return Summary(
            reason=reason.name,
            text=text,
            exit_code=reason.code,
            cycles=state.run.finished(state),
            landed=list(state.run.landed),
            rejected=list(state.run.rejected),
            waiting=[item for item, status in now.items() if status == "waiting"],
            blocked=[item for item, status in now.items() if status == "blocked"],
            held=list(state.held),
        )


def _asks_for_an_agent(pending: Pending) -> bool:
    """Whether all that waits for a commit is that items have no recipe for the built-in agent.

    Such a run has done nothing: the log says so, and a repository that only moved in stays as it
    is.
    """
    marks = pending.marks.values()
    blocks = all(m.status == "blocked" and m.reason.startswith(NEEDS_AGENT) for m in marks)
    return blocks and not (pending.attempts or pending.ticks)
