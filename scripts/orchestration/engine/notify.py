"""`notify:`: a person's own command, run when they are needed and when a run ends.

`BLOCKED`: an item needs a person. `FLAGS`: an attempt waits for a review. At the end of a run the
name of its reason: `DONE`, `RETRY_LATER`, `BLOCKED_ON_USER`, … The command is an argument list that
no shell reads, so that words of an agent in it stay words. It is the person's, so it gets their
environment; it may take half a minute, and one that fails is said and stops nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from orchestration.core import Event, payloads
from orchestration.documents.grammar import printable
from orchestration.errors import HarnessError
from orchestration.gates import secrets
from orchestration.harness import Harness
from orchestration.sandbox import run_child

PLACEHOLDERS = {
    "event": "`BLOCKED`, `FLAGS`, or the reason of a run's end",
    "item": "the focus issue's ID; empty at a run's end",
    "repository": "the repository's folder",
    "text": "one line that says what happened",
}
LIMIT_S = 30.0
TEXT_CAP = 500
_HOLE = re.compile(r"\{([a-z_]+)\}")


def news_of(event: Event) -> tuple[str, str] | None:
    """What an event is to a person who does not watch: its word and a line; None for most."""
    said = event.payload
    if isinstance(said, payloads.Blocked):
        return "BLOCKED", f"{event.item} is blocked: {said.reason}"
    if isinstance(said, payloads.Judged) and said.verdict == "held":
        number = len(said.flags)
        flags = "1 flag" if number == 1 else f"{number} flags"
        return "FLAGS", f"{event.item}: {flags} to answer: orchestrate review {event.turn}"
    if isinstance(said, payloads.RunEnded):
        return said.reason, f"the run ended: {said.reason} ({said.code}): {said.text}"
    return None


def filled(command: Sequence[str], values: dict[str, str]) -> list[str]:
    """The argument list with its placeholders filled; without any, event and text are added."""
    argv = [_HOLE.sub(lambda hole: values[hole[1]], part) for part in command]
    named = any(_HOLE.search(part) for part in command)
    return argv if named else [*argv, values["event"], values["text"]]


def check(command: Sequence[str]) -> None:
    """Refuse a placeholder that nobody fills; HarnessError."""
    for part in command:
        for hole in _HOLE.findall(part):
            if hole not in PLACEHOLDERS:
                raise HarnessError(
                    f"unknown placeholder {{{hole}}}",
                    where="orchestration.yaml: notify",
                    expected=", ".join(f"{{{name}}}" for name in PLACEHOLDERS),
                    got=part,
                )


class Notifier:
    """Runs the command of a harness's configuration for the events that are news."""

    def __init__(self, harness: Harness) -> None:
        check(harness.config.notify)
        self.harness = harness

    def __call__(self, event: Event) -> None:
        """Run the command where the event is news; never raises for what the command does."""
        news = news_of(event)
        if news is None:
            return
        harness, (word, text) = self.harness, news
        line = secrets.redact(" ".join(printable(text).split()), harness.secret_values())
        values = {
            "event": word,
            "item": str(event.item or ""),
            "repository": str(harness.repo.root),
            "text": line[:TEXT_CAP],
        }
        env = {**os.environ, **{f"ORCHESTRATION_{k.upper()}": v for k, v in values.items()}}
        try:
            argv = filled(harness.config.notify, values)
            done = run_child(argv, harness.repo.root, env, total_s=LIMIT_S, max_processes=None)
        except HarnessError as problem:
            harness.say(f"notify: {problem.what}")
            return
        if not done.ok:
            how = done.exit_code if done.exit_code is not None else f"signal {done.signal}"
            ended = f"no end within {LIMIT_S:g} s" if done.timed_out else f"it ended with {how}"
            last = done.output_tail.strip().splitlines()[-1:]
            harness.say(f"notify: {argv[0]}: {ended}" + (f": {last[0]}" if last else ""))
