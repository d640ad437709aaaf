"""Starting a program for a turn: the one place where an agent meets the fence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from orchestration.agents.base import Clocks, TurnContext
from orchestration.agents.login import HOME, Login, private_home
from orchestration.sandbox import ChildResult, check_program, run_child, scratch
from orchestration.sandbox import fence as isolation


def launch(
    turn: TurnContext,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: str | None = None,
    writable: Sequence[Path] = (),
    readable: Sequence[str] = (),
    on_line: Callable[[str], object] | None = None,
    level: isolation.Level | None = None,
    clocks: Clocks | None = None,
    log_path: Path | None = None,
) -> tuple[ChildResult, isolation.Level]:
    """Run `argv` in the turn's workspace behind its fence; how it ended, and the level that held.

    `writable` and `readable` are what the program needs besides what the turn names. `level` is
    given for what a person wrote; an agent gets the best one, and none without a fence for files.
    """
    check_program(argv, turn.workspace, env)
    level = level or isolation.choose(turn.isolation, agent=True)
    clocks = clocks or turn.clocks
    turn.report_dir.mkdir(parents=True, exist_ok=True)
    with scratch("turn-") as folder:
        # Where /tmp is private, it is the turn's; a short path, since sockets lie there.
        own = level in isolation.OWN_TMP
        env = {**env, "TMPDIR": "/tmp" if own else str(folder)}
        child = run_child(
            isolation.wrap(
                argv,
                level,
                cwd=turn.workspace,
                writable=[turn.workspace, turn.report_dir, *writable, folder],
                readable=[*readable, *isolation.repository_of(turn.workspace)],
                opened=turn.opened,
                env=env,
            ),
            turn.workspace,
            env,
            total_s=clocks.total_s,
            idle_s=clocks.idle_s,
            grace_s=clocks.grace_s,
            max_processes=turn.max_processes,
            log_path=log_path or turn.log_dir / "agent.log",
            stdin=None if stdin is None else stdin.encode(),
            on_line=on_line,
        )
    return child, level


@contextmanager
def turn_home(
    turn: TurnContext,
    *,
    logins: Sequence[Login] = (),
    settings: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    path: str = "",
    moved: Mapping[str, str] | None = None,
    person: Mapping[str, str] | None = None,
) -> Iterator[Path]:
    """The turn's HOME: empty but for what the program needs of the person's, wiped at the end.

    What `agent_read:` and `agent_write:` name in the person's home is found in it by a link.
    """
    source = Path(turn.env.get("HOME") or Path.home())
    home = turn.log_dir.parent / HOME
    locks = turn.log_dir.parent.parent / "locks"
    with private_home(
        home,
        source,
        logins=logins,
        settings=settings,
        files=files,
        path=path,
        locks=locks,
        moved=moved,
        person=person,
    ):
        for place in (*turn.opened.readable, *turn.opened.writable):
            if Path(place).is_relative_to(source) and place != str(source):
                link = home / Path(place).relative_to(source)
                if not link.exists():
                    link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    link.symlink_to(place)
        yield home
