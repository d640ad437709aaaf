"""Known agent programs: what each declares, and the one agent that drives any of them.

An adapter is data and a reader: the command line, how the prompt comes in, what it needs of HOME,
which variables hold its keys. Starting, clocks, outcome and the private HOME are the same for all.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from orchestration.agents.base import Outcome, OutcomeKind, TurnContext
from orchestration.agents.faults import last_fault
from orchestration.agents.finding import (
    find_program,
    install_roots,
    managed,
    started_by,
    user_packages,
)
from orchestration.agents.launch import launch, turn_home
from orchestration.agents.login import HOME, Login
from orchestration.agents.readers import MAX_TEXT, Reader
from orchestration.errors import HarnessError
from orchestration.sandbox import FILE_FENCES, ChildResult, run_child, scrub_env
from orchestration.sandbox import fence as isolation

_FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_NUMBER = re.compile(r"\d+\.\d+")
_OTHER = re.compile(
    r"available|up.?(?:to.)?dat|upgrade|newer|latest|new (?:version|release)|release notes"
    r"|warn|error|deprecat|requires?\b|support|->|→|npm |pip |brew |https?:|node|python",
    re.IGNORECASE,
)
"""Lines with a number that is not the program's own version: notices and warnings."""


@dataclass(frozen=True)
class Start:
    """What a command line may depend on. `fenced`: our fence protects files, theirs can go."""

    workspace: Path
    brief: Path
    home: Path
    python: str
    env: Mapping[str, str]
    args: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    fenced: bool = True


@dataclass(frozen=True)
class Program:
    """What an adapter declares.

    `login` and `settings` are files below HOME, unless a variable of the person's has `moved` them
    (see `login.origin`); `keys` are variables that sign it in, passed on where `agent_env:` names
    them; `titled` is the form of the line of its version; `flags` are those that `help` must know;
    `unreported` is what it cannot tell of its spending (`money`, `tokens`). `env` is set for every
    turn, `{home}` in it is the turn's HOME; `exits` explains exit codes.
    """

    name: str
    executable: str
    start: Callable[[Start], list[str]]
    reader: Callable[[Callable[[], datetime]], Reader]
    install: str
    sign_in: str
    prompt: Literal["stdin", "file"] = "stdin"
    login: tuple[Login, ...] = ()
    settings: tuple[str, ...] = ()
    moved: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    titled: str = r"v?\d+\.\d+\.\d+\S*"
    help: tuple[str, ...] = ("--help",)
    flags: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    exits: Mapping[int, str] = field(default_factory=dict)
    prepared: Callable[[Start], Mapping[str, str]] | None = None
    files: Callable[[Start], Mapping[str, str]] | None = None
    args_inside: bool = False
    unreported: tuple[str, ...] = ()


class ProgramAgent:
    """Drives one known program. `args` are added to its command line (`agent_args:`).

    `person` are the variables of the person who runs it; of these only those count that say where
    the program keeps its login.
    """

    offline = False

    def __init__(
        self,
        program: Program,
        *,
        args: Sequence[str] = (),
        python: str = sys.executable,
        person: Mapping[str, str] | None = None,
    ) -> None:
        self.program, self.args, self.python = program, tuple(args), python
        self.person = {**(person or {})}
        self.name, self.unreported = program.name, program.unreported

    def installed(self) -> Path | None:
        """Where the program is; None where it is not installed."""
        return find_program(self.program.executable, self.python, scrub_env())

    def version(self) -> str | None:
        """What `--version` says of the program itself; None where it says nothing of that."""
        try:
            done = self._ask(("--version",))
        except HarnessError:
            return None
        return version_line(done.output_tail, self.program.titled) if done.ok else None

    def words_of_version(self) -> str:
        """The end of what `--version` printed, for one whose version cannot be told."""
        try:
            return " ".join(_last_lines(self._ask(("--version",)).output_tail).split())[-300:]
        except HarnessError as problem:
            return str(problem.what)

    def run(self, turn: TurnContext) -> Outcome:
        """Start the program in the workspace and wait for all of it to end."""
        found = find_program(self.program.executable, self.python, turn.env)
        if found is None:
            raise self._missing()
        home = turn.log_dir.parent / HOME
        brief = turn.log_dir / "brief.md"
        brief.parent.mkdir(parents=True, exist_ok=True)
        brief.write_text(turn.brief, encoding="utf-8")
        level = isolation.choose(turn.isolation, agent=True)
        # The guards' interpreter first; then the program's own folder and that of its interpreter.
        guards, given = str(Path(self.python).parent), turn.env.get("PATH", os.defpath)
        person = {**turn.env, "PATH": given.removeprefix(guards + os.pathsep)}
        own = started_by(found, person)
        folders = dict.fromkeys((guards, str(found.parent), os.path.dirname(own[0]), given))
        path = os.pathsep.join(folders)
        start = Start(
            workspace=turn.workspace,
            brief=brief,
            home=home,
            python=self.python,
            env=turn.env,
            args=self.args,
            files=_task_files(turn),
            fenced=level in FILE_FENCES,
        )
        reader = self.program.reader(turn.now)
        program = self.program
        with turn_home(
            turn,
            logins=program.login,
            settings=program.settings,
            files=program.files(start) if program.files else None,
            path=path,
            moved=program.moved,
            person=self.person,
        ):
            # All of these lead into the person's home; the turn's holds what they led to.
            led = {"XDG_CACHE_HOME", *(i[1:].partition("/")[0] for i in program.moved.values())}
            env = {
                **{name: value for name, value in turn.env.items() if name not in led},
                **user_packages(found),
                **managed(found),
                "HOME": str(home),
                "PATH": path,
                **{name: text.replace("{home}", str(home)) for name, text in program.env.items()},
                **(program.prepared(start) if program.prepared else {}),
            }
            child, held = launch(
                turn,
                [*own, *program.start(start), *(() if program.args_inside else self.args)],
                env=env,
                stdin=turn.brief if program.prompt == "stdin" else None,
                writable=[home],
                readable=[*install_roots(found, own[0]), str(brief)],
                on_line=reader.line,
            )
        return outcome_of(program, reader, child, held)

    def unknown_flags(self) -> tuple[str, ...]:
        """Flags of the adapter's command line that the installed program's help does not name.

        Raises HarnessError where the program is missing or shows no help.
        """
        done = self._ask(self.program.help)
        if not done.ok or "--" not in done.output_tail:
            words = " ".join((self.program.executable, *self.program.help))
            raise HarnessError(f"{words} shows no help", got=_last_lines(done.output_tail)[-300:])
        known = set(_FLAG.findall(done.output_tail))
        return tuple(flag for flag in self.program.flags if flag not in known)

    def _ask(self, words: Sequence[str]) -> ChildResult:
        """Run a question such as `--version` outside any turn."""
        env = scrub_env()
        found = find_program(self.program.executable, self.python, env)
        if found is None:
            raise self._missing()
        env["PATH"] = os.pathsep.join([str(found.parent), env.get("PATH", os.defpath)])
        return run_child([str(found), *words], Path.cwd(), env, total_s=30.0)

    def _missing(self) -> HarnessError:
        return HarnessError(
            f"{self.program.executable} is not installed",
            expected="on PATH, in ~/.local, ~/.nvm or beside the interpreter of the guards",
            fix=self.program.install,
        )


def version_line(printed: str, titled: str) -> str | None:
    """The line of `printed` that is a program's version; notices of updates beside it are not.

    `titled` is the form of the line that is its own. A program that prints another (a fork, a
    wrapper) has the first line with a number that speaks of no other version.
    """
    lines = [" ".join(_ESCAPE.sub("", line).split()) for line in printed.splitlines()]
    own = [line for line in lines if re.fullmatch(titled, line)]
    own += [line for line in lines if _NUMBER.search(line) and not _OTHER.search(line)]
    return own[0][:80] if own else None


def outcome_of(program: Program, reader: Reader, child: ChildResult, level: str) -> Outcome:
    """The typed outcome: what the program reported, else what its end says.

    A result counts before an exit code, which programs set wrongly both ways. A program that was
    still busy with an outage when it was ended, failed by the outage.
    """
    kind: OutcomeKind
    text, retry_at = reader.text, reader.fault.retry_at if reader.fault is not None else None
    # Without an event no model has spoken: all that was printed is the program's own.
    beside = last_fault(reader.aside, reader.now(), failed=reader.events == 0)
    if reader.claim in ("done", "partial", "blocked", "refused") and reader.fault is None:
        kind = reader.claim  # type: ignore[assignment]
    elif reader.fault is not None:
        kind, text = reader.fault.kind, reader.fault.text
    elif child.timed_out:
        kind = "timeout"
    else:
        kind, text = "crash", reader.error or text
        words = program.exits.get(child.exit_code or 0)
        if words is not None and words.startswith("auth: "):
            kind = "auth"
        text = words or text or _last_lines(child.output_tail)
    if beside is not None and kind in ("crash", "timeout"):
        # Where no model has spoken, the line that names the outage says more than all the rest.
        text = beside.text if reader.events == 0 else text or beside.text
        retry_at = beside.retry_at
        kind = beside.kind if kind == "crash" and reader.events == 0 else kind
    else:
        beside = None
    return Outcome(
        kind,
        text[-MAX_TEXT:],
        session=reader.session,
        tokens=reader.tokens,
        cost=reader.cost,
        denials=tuple(reader.denials),
        exit_code=child.exit_code,
        signal=child.signal,
        retry_at=retry_at,
        clock="grace" if child.lingered else child.timed_out,
        dead=kind == "crash" and reader.events == 0,
        suspected=beside.kind if beside is not None else None,
        log_path=child.log_path,
        isolation=level,
        process_limit=child.process_limit,
    )


def _task_files(turn: TurnContext) -> tuple[str, ...]:
    """The files that the order's tasks name and that are there."""
    tasks = turn.order.tasks if turn.order is not None else []
    named = dict.fromkeys(ref.path for task in tasks for ref in task.refs)
    return tuple(name for name in named if name and (turn.workspace / name).is_file())


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-20:])[-2000:]
