"""An agent's program or service that is out: wait and ask again, within the clock of the turn.

An outage is no attempt (law 9): what it cost is logged, and where waiting would pass the turn's
clock the run ends with the time to come back. The cycle stays open where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from orchestration.agents import OUTAGES, Outcome, TurnContext, last_words
from orchestration.core import RetryLater, payloads, stamp
from orchestration.gates import secrets
from orchestration.harness import Harness

FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 300.0
NO_USE = ("auth",)
"""Outages that waiting does not end: a person has to sign in."""


def run_through(
    harness: Harness,
    context: TurnContext,
    item_id: str,
    run: Callable[[TurnContext], Outcome],
    untouched: Callable[[Outcome], bool],
) -> Outcome:
    """Run the agent; through outages ask again, each time after twice the wait.

    A time that the program named is waited for instead. An agent that fell silent and has changed
    nothing is an outage too (the model's stream stopped), and so is an error of its that names one,
    or a death by a signal or without a word.
    Raises RetryLater when the outage lasts longer than the turn may.
    """
    clock, total_s = harness.clock, context.clocks.total_s
    started, wait_s = clock.monotonic(), FIRST_WAIT_S
    while True:
        before = clock.monotonic()
        outcome = _lost(run(context), again=context.clocks.total_s < total_s, untouched=untouched)
        if not (outcome.dead or outcome.kind in OUTAGES):
            return outcome
        now = clock.now()
        named = outcome.retry_at
        pause = wait_s if named is None else max(0.0, (named - now).total_seconds())
        # A short wait that was named is no reason to ask without end.
        pause = max(pause, wait_s)
        at = None if outcome.kind in NO_USE else now + timedelta(seconds=pause)
        words = secrets.redact(" ".join(outcome.text.split()), harness.secret_values())[:300]
        ended = f"exit {outcome.exit_code}" if outcome.exit_code is not None else "no word"
        ended = ended if outcome.signal is None else f"signal {outcome.signal}"
        said = f"{words} ({ended})" if words and _killed(outcome) else words or ended
        harness.log.append(
            payloads.Outage(
                agent=harness.agent.name,
                outage=outcome.kind,
                text=said,
                retry_at=None if at is None else stamp(at),
                cost=outcome.cost,
                tokens=None if outcome.tokens is None else sum(outcome.tokens.values()),
                seconds=round(clock.monotonic() - before, 3),
            ),
            role="harness",
            item=item_id,
        )
        left_s = total_s - (clock.monotonic() - started) - pause
        if at is None or left_s <= 0:
            untold = "" if named is not None or outcome.dead else " (it named no time)"
            when = "" if at is None else f"; again at {stamp(at)}{untold}"
            raise RetryLater(f"{harness.agent.name}: {outcome.kind}: {said}{when}", at)
        harness.say(f"{harness.agent.name}: {outcome.kind}: {said}; asking again in {pause:g} s")
        clock.sleep(pause)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        context = replace(context, clocks=replace(context.clocks, total_s=left_s))


def _lost(outcome: Outcome, *, again: bool, untouched: Callable[[Outcome], bool]) -> Outcome:
    """The outcome, as an outage where only an outage explains it. `again`: it was asked before."""
    silent = outcome.kind == "timeout" and (outcome.clock == "idle" or again)
    failed = outcome.suspected is not None and outcome.kind in ("crash", "done", "timeout")
    died = _killed(outcome) or (outcome.kind == "crash" and not outcome.text.strip())
    if outcome.dead or not (silent or failed or died) or not untouched(outcome):
        return outcome
    if outcome.suspected is not None:
        return replace(outcome, kind=outcome.suspected)
    if died:
        return replace(outcome, dead=True)
    said = last_words(outcome.text, 200)
    words = f"no output until its clock ran out{f'; {said}' if said else ''}"
    return replace(outcome, kind="network", text=words)


def _killed(outcome: Outcome) -> bool:
    """Whether a signal ended it that was not ours (137 is a shell's word for signal 9)."""
    code = outcome.exit_code or 0
    return outcome.kind == "crash" and (outcome.signal is not None or 128 < code < 160)
