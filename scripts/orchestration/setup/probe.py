"""doctor asks an agent's program itself: is it there, does it know our flags, is it signed in.

A login can only be told by using it, so the program is started once, on an empty folder behind the
fence, and asked for one word.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from orchestration.agents import (
    OUTAGES,
    Agent,
    Clocks,
    Outcome,
    ProgramAgent,
    TurnContext,
    bring_home,
)
from orchestration.config import HarnessConfig
from orchestration.errors import HarnessError
from orchestration.gates import secrets
from orchestration.git import Repo
from orchestration.sandbox import check_program, scrub_env
from orchestration.setup.check import Check

QUESTION = "Answer with the one word: ready. Read and change no file.\n"
PATIENCE = Clocks(total_s=90.0, idle_s=60.0, grace_s=2.0)


def probe(repo: Repo, config: HarnessConfig, agent: Agent, role: str, ask: bool) -> list[Check]:
    """The rows about one agent: its version, and where it is asked, its flags and its login."""
    version = agent.version()
    named = f"{agent.name} {(version or '').removeprefix(f'{agent.name} ')}".strip()
    if not isinstance(agent, ProgramAgent):
        return [_command(config, agent, role) or Check(role, "ok", named)]
    if agent.installed() is None:
        fix = agent.program.install
        found = f"{agent.program.executable} is not installed (looked on PATH, in ~/.local, ~/.nvm)"
        return [Check(role, "fail", found, fix)]
    first = Check(role, "ok", named)
    if version is None:
        said = agent.words_of_version()
        words = f"{agent.name}: its version cannot be told{f': {said}' if said else ''}"
        first = Check(role, "warn", words, f"{agent.program.executable} --version")
    return [first, _flags(agent, role), _login(repo, config, agent, role)] if ask else [first]


def _command(config: HarnessConfig, agent: Agent, role: str) -> Check | None:
    """What is wrong with the program of a command of the person's own; None where it is there."""
    command = getattr(agent, "command", ())
    program = str(command[0]).replace("{python}", config.python) if command else ""
    path = os.pathsep.join([str(Path(config.python).parent), os.environ.get("PATH", os.defpath)])
    if not program or "{" in program:
        return None
    try:
        check_program([program], Path.cwd(), {"PATH": path})
    except HarnessError as problem:
        fix = "install it, or correct the command in orchestration.yaml"
        return Check(role, "fail", problem.what, fix)
    return None


def _flags(agent: ProgramAgent, role: str) -> Check:
    name = f"{role} flags"
    try:
        unknown = agent.unknown_flags()
    except HarnessError as problem:
        return Check(name, "warn", ": ".join(str(p) for p in (problem.what, problem.got) if p))
    if not unknown:
        return Check(name, "ok", "its help names every flag that is used")
    found = f"{agent.program.executable} does not know {', '.join(unknown)}"
    return Check(name, "warn", found, f"another version: {agent.program.install}; or `agent_args:`")


def _login(repo: Repo, config: HarnessConfig, agent: ProgramAgent, role: str) -> Check:
    """Start the program once and say how that ended."""
    named = {name: os.environ[name] for name in config.agent_env if name in os.environ}
    known = secrets.values_of(named)
    folder = repo.state_dir / "turns" / "doctor"
    bring_home(folder)
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("workspace", "logs", "report"):
        (folder / part).mkdir(parents=True)
    turn = TurnContext(
        workspace=folder / "workspace",
        order=None,
        item=None,
        brief=QUESTION,
        env={**named, **scrub_env()},
        clocks=PATIENCE,
        log_dir=folder / "logs",
        report_dir=folder / "report",
        isolation=config.isolation,
        max_processes=config.max_processes,
        opened=config.for_agents(),
    )
    try:
        outcome = agent.run(turn)
    except HarnessError as problem:
        return Check(f"{role} login", "fail", problem.what, problem.fix or "")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _said(outcome, agent, f"{role} login", secrets.redact(outcome.text, known))


def _said(outcome: Outcome, agent: ProgramAgent, name: str, text: str) -> Check:
    words = " ".join(text.split()).removeprefix("auth: ")[:200]
    program = agent.program
    # One that waits for a person to sign in falls silent after it has said so.
    silent = outcome.kind == "timeout" and outcome.suspected is not None
    kind = outcome.suspected if silent else outcome.kind
    if kind == "auth":
        keys = " or ".join(program.keys[:2])
        fix = f"{program.sign_in}; or name {keys} in `agent_env:` and export it"
        return Check(name, "fail", f"not logged in: {words}", fix)
    if kind in OUTAGES:
        return Check(name, "warn", f"{kind}: {words}", "try again later")
    if outcome.kind == "timeout":
        found = f"no answer: its {outcome.clock} clock ran out"
        return Check(name, "warn", found, f"start it by hand: {program.executable}")
    if outcome.kind == "crash":
        ended = (
            f"exit {outcome.exit_code}" if outcome.signal is None else f"signal {outcome.signal}"
        )
        return Check(name, "fail", f"{ended}: {words}", f"start it by hand: {program.executable}")
    return Check(name, "ok", "answered")
