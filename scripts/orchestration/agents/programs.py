"""Known agent programs: what each declares, and the one agent that drives any of them.

An adapter is data and a reader: the command line, how the prompt comes in, what it needs of HOME,
which variables hold its keys. Starting, clocks, outcome and the private HOME are the same for all.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from orchestration.agents.base import Outcome, OutcomeKind, TurnContext
from orchestration.agents.faults import last_fault
from orchestration.agents.launch import launch, turn_home
from orchestration.agents.login import HOME, Login
from orchestration.agents.readers import MAX_TEXT, Reader
from orchestration.errors import HarnessError
from orchestration.sandbox import FILE_FENCES, ChildResult, run_child, scrub_env
from orchestration.sandbox import fence as isolation

_FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
PLACES = (
    ".local/bin",
    ".npm-global/bin",
    ".volta/bin",
    ".bun/bin",
    ".opencode/bin",
    ".claude/local",
    ".nvm/versions/node/*/bin",
)
"""Folders below HOME where installers put programs; they are often missing from PATH."""
MANAGERS = {
    ".asdf": "ASDF_DATA_DIR",
    ".nodenv": "NODENV_ROOT",
    ".pyenv": "PYENV_ROOT",
    ".volta": "VOLTA_HOME",
}
"""Managers of versions, by their folder: a program there is a shim that looks for the real one in
the rest of it, which it finds by this variable, since HOME is another."""


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

    `login` and `settings` are files below HOME; `keys` are variables that sign it in, passed on
    where `agent_env:` names them; `flags` are those that `help` must know; `unreported` is what it
    cannot tell of its spending (`money`, `tokens`). `env` is set for every
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
    keys: tuple[str, ...] = ()
    help: tuple[str, ...] = ("--help",)
    flags: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    exits: Mapping[int, str] = field(default_factory=dict)
    prepared: Callable[[Start], Mapping[str, str]] | None = None
    files: Callable[[Start], Mapping[str, str]] | None = None
    args_inside: bool = False
    unreported: tuple[str, ...] = ()


class ProgramAgent:
    """Drives one known program. `args` are added to its command line (`agent_args:`)."""

    offline = False

    def __init__(
        self, program: Program, *, args: Sequence[str] = (), python: str = sys.executable
    ) -> None:
        self.program, self.args, self.python = program, tuple(args), python
        self.name, self.unreported = program.name, program.unreported

    def installed(self) -> Path | None:
        """Where the program is; None where it is not installed."""
        return find_program(self.program.executable, self.python, scrub_env())

    def version(self) -> str | None:
        """The first line of `--version`; None where it is not installed or says nothing."""
        try:
            done = self._ask(("--version",))
        except HarnessError:
            return None
        lines = done.output_tail.strip().splitlines()
        return lines[-1].strip()[:80] if done.ok and lines else None

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
        # The guards' interpreter first; then the program's own folder: its node lies there.
        guards, given = str(Path(self.python).parent), turn.env.get("PATH", os.defpath)
        path = os.pathsep.join([guards, str(found.parent), given])
        own = started_by(found, given.removeprefix(guards + os.pathsep))
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
        ):
            env = {
                **turn.env,
                **_user_packages(found),
                **_managed(found),
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
        text, retry_at = text or beside.text, beside.retry_at
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


def find_program(name: str, python: str, env: Mapping[str, str]) -> Path | None:
    """Where a program is: on PATH, beside the guards' interpreter, or where installers put it."""
    home = Path(env.get("HOME") or Path.home())
    folders = [*env.get("PATH", os.defpath).split(os.pathsep), str(Path(python).parent)]
    for place in PLACES:
        folders += sorted((str(path) for path in home.glob(place)), reverse=True)
    found = shutil.which(name, path=os.pathsep.join(folders))
    return None if found is None else Path(os.path.abspath(found))


def started_by(program: Path, path: str) -> list[str]:
    """The words that start a program. One whose `#!` leaves its interpreter to `env` gets that of
    its own folder or of `path`: on the turn's PATH the guards' folder is first, and there may lie
    another `node` or `python3`, without the program's packages."""
    words = _first_line(program)
    if not words or os.path.basename(words[0]) != "env":
        return [str(program)]
    words = words[2:] if words[1:2] == ["-S"] else words[1:]
    if not words or words[0].startswith("-") or "=" in words[0]:
        return [str(program)]
    found = shutil.which(words[0], path=os.pathsep.join([str(program.parent), path]))
    return [found, *words[1:], str(program)] if found else [str(program)]


def install_roots(program: Path, starter: str = "") -> list[str]:
    """What must be readable for a program to start: its folder, that of what it links to, the
    installation of the interpreter that its first line names or that starts it (`starter`), and the
    whole folder of a manager of versions."""
    roots = [program.parent, *_holding(program.resolve())]
    words = _first_line(program)
    named = words[0] if words and os.path.basename(words[0]) != "env" else starter
    if named and named != str(program):
        real = Path(named).resolve()
        roots += [Path(named).parent, *_holding(real), real.parent.parent / "lib"]
    if program.parent.name == "bin":  # pip install --user: the packages lie beside it
        roots += sorted((program.parent.parent / "lib").glob("python3*/site-packages"))
    roots += [Path(folder) for folder in _managed(program).values()]
    return [str(root) for root in dict.fromkeys(roots) if root.exists()]


def _holding(real: Path) -> list[Path]:
    """The folder of packages or the environment that a program lies in, else its own folder."""
    for folder in real.parents:
        if folder.name == "node_modules" or (folder / "pyvenv.cfg").is_file():
            return [folder]
    return [real.parent]


def _first_line(program: Path) -> list[str]:
    """The words of a script's `#!` line; [] for a binary."""
    try:
        with program.open("rb") as file:
            first = file.readline(4096)
    except OSError:
        return []
    return os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []


def _managed(program: Path) -> dict[str, str]:
    """The folder of the manager of versions that a program belongs to, by its variable."""
    return {MANAGERS[p.name]: str(p) for p in program.parents if p.name in MANAGERS}


def _user_packages(program: Path) -> dict[str, str]:
    """Where Python finds what `pip install --user` put beside a program: HOME is another now."""
    base = program.parent.parent
    user = program.parent.name == "bin" and any((base / "lib").glob("python3*/site-packages"))
    return {"PYTHONUSERBASE": str(base)} if user and base.name == ".local" else {}


def _task_files(turn: TurnContext) -> tuple[str, ...]:
    """The files that the order's tasks name and that are there."""
    tasks = turn.order.tasks if turn.order is not None else []
    named = dict.fromkeys(ref.path for task in tasks for ref in task.refs)
    return tuple(name for name in named if name and (turn.workspace / name).is_file())


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-20:])[-2000:]
