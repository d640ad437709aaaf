"""Any program as an agent: an argv template, started without a shell.

Placeholders in an argument: `{order}` and `{brief}` (files), `{workspace}`, `{report_dir}`,
`{item}`, `{python}`; another word in braces is an error. The brief also arrives on standard input
unless `stdin` is "none". Exit code 0 means "done", `blocked_code` "blocked", `retry_code` (75) that
it is worth trying again later; whatever it prints is kept as a log and its last lines as text. It
reports neither tokens nor cost, so both are unknown.

Last lines that name an outage ("429 Too Many Requests") count as one where nothing was changed.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence

from orchestration.agents.base import Outcome, OutcomeKind, TurnContext
from orchestration.agents.faults import last_fault
from orchestration.agents.launch import launch, turn_home
from orchestration.agents.readers import MAX_TEXT
from orchestration.errors import HarnessError
from orchestration.sandbox import ChildResult, interpreter

_HOLE = re.compile(r"\{([a-z_]+)\}")  # other braces (JSON, TOML) are the program's own
NOT_STARTED = (126, 127)
"""Exit codes that shells and `env` give for a program that is not there."""
PLACEHOLDERS = {
    "brief": "the file with everything that the agent is told",
    "item": "the focus issue's ID",
    "order": "the file with the order in the workspace (`order:`)",
    "python": "the interpreter of guards and checks",
    "report_dir": "the folder for reports and logs of this turn",
    "workspace": "the folder that the agent works in",
}


class CustomAgent:
    """`command` is an argv (or one line, cut as a POSIX shell would, but never given to one)."""

    name = "custom"
    offline = False
    unreported = ("money", "tokens")
    """What it cannot report, in the words of `budgets:`."""

    def __init__(
        self,
        command: Sequence[str] | str = (),
        *,
        stdin: str = "brief",
        blocked_code: int = 6,
        retry_code: int = 75,
        python: str = sys.executable,
    ) -> None:
        argv = shlex.split(command) if isinstance(command, str) else [str(p) for p in command]
        if not argv:
            raise HarnessError(
                "the custom agent needs a command",
                expected="agent_command: [program, argument, …] in orchestration.yaml",
                fix="orchestrate run --agent custom with agent_command set",
            )
        if stdin not in ("brief", "none"):
            raise HarnessError("unknown stdin mode", expected="brief or none", got=stdin)
        for part in argv:
            _check_holes(part)
        self.command, self.stdin, self.python = tuple(argv), stdin, python
        self.blocked_code, self.retry_code = blocked_code, retry_code

    def version(self) -> str | None:
        """A template has no version; the receipt records the command itself."""
        return None

    def run(self, turn: TurnContext) -> Outcome:
        """Start the program in the workspace and wait for all of it to end."""
        brief = turn.log_dir / "brief.md"
        brief.parent.mkdir(parents=True, exist_ok=True)
        brief.write_text(turn.brief, encoding="utf-8")
        values = {
            "brief": str(brief),
            "item": turn.item.id if turn.item else "",
            "order": str(turn.workspace / turn.order_path),
            "python": self.python,
            "report_dir": str(turn.report_dir),
            "workspace": str(turn.workspace),
        }
        argv = [_HOLE.sub(lambda hole: values[hole[1]], part) for part in self.command]
        stdin = turn.brief if self.stdin == "brief" else None
        path = turn.env.get("PATH", os.defpath)
        with turn_home(turn, path=path) as home:
            base = interpreter(self.python).user_base
            env = {**turn.env, "HOME": str(home), **({"PYTHONUSERBASE": base} if base else {})}
            env.pop("XDG_CACHE_HOME", None)  # it leads into the person's home
            # What a person's command names may be read.
            child, level = launch(
                turn, argv, env=env, stdin=stdin, writable=[home], readable=[*argv, str(brief)]
            )
        return self._outcome(turn, child, level)

    def _outcome(self, turn: TurnContext, child: ChildResult, level: str) -> Outcome:
        kind: OutcomeKind = "done"
        last = child.output_tail.strip().splitlines()[-20:]
        failed = not child.ok and child.timed_out is None
        fault = last_fault(last, turn.now(), failed=failed)
        if child.timed_out:
            kind = "timeout"
        elif child.exit_code == self.retry_code:
            kind = fault.kind if fault else "overloaded"
        elif child.exit_code == self.blocked_code:
            kind = "blocked"
        elif not child.ok:
            kind = "crash"
        return Outcome(
            kind,
            child.output_tail.strip()[-MAX_TEXT:],
            exit_code=child.exit_code,
            signal=child.signal,
            retry_at=fault.retry_at if fault else None,
            clock=child.timed_out,
            dead=child.exit_code in NOT_STARTED,
            suspected=fault.kind if fault else None,
            log_path=child.log_path,
            isolation=level,
            process_limit=child.process_limit,
        )


def _check_holes(part: str) -> None:
    for hole in _HOLE.findall(part):
        if hole not in PLACEHOLDERS:
            raise HarnessError(
                f"unknown placeholder {{{hole}}} in the agent's command",
                expected=", ".join(f"{{{name}}}" for name in PLACEHOLDERS),
                got=part,
            )
