"""Starting a program for a turn: the one place where an agent meets the fence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestration.agents.base import TurnContext
from orchestration.sandbox import ChildResult, run_child
from orchestration.sandbox import fence as isolation


def launch(
    turn: TurnContext,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    writable: Sequence[Path] = (),
    readable: Sequence[str] = (),
    on_line: Callable[[str], object] | None = None,
) -> tuple[ChildResult, str]:
    """Run `argv` in the turn's workspace behind its fence; how it ended, and the level that held.

    `writable` and `readable` are what the program needs besides what the turn names.
    """
    level = isolation.choose(turn.isolation, agent=True)
    env = turn.env if env is None else env
    turn.report_dir.mkdir(parents=True, exist_ok=True)
    child = run_child(
        isolation.wrap(
            argv,
            level,
            cwd=turn.workspace,
            writable=[turn.workspace, turn.report_dir, *turn.writable, *writable],
            readable=[
                *env.values(),
                *turn.readable,
                *readable,
                *isolation.repository_of(turn.workspace),
            ],
        ),
        turn.workspace,
        env,
        total_s=turn.clocks.total_s,
        idle_s=turn.clocks.idle_s,
        grace_s=turn.clocks.grace_s,
        max_processes=turn.max_processes,
        log_path=turn.log_dir / "agent.log",
        stdin=None if stdin is None else stdin.encode(),
        on_line=on_line,
    )
    return child, level
