"""orchestration.yaml: how the harness works on this repository. Unknown keys are errors.

Every key has a default, so that an empty or missing file is valid; durations are written `90`,
`90s`, `30m`, `2h`.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestration.core import PolicyConfig
from orchestration.documents.grammar import parse_command
from orchestration.errors import HarnessError
from orchestration.sandbox import LEVELS, Opened

FILE = "orchestration.yaml"
EVIDENCE = ("branch", "log")
"""Places of `evidence:`."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
PLACES = ("agent_read", "agent_write", "guard_read", "guard_write")
"""Keys whose values are paths outside the repository."""
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class ConfigProblem(HarnessError):
    """orchestration.yaml says something that the harness does not understand."""


@dataclass(frozen=True)
class Budgets:
    """Limits; times in seconds, None = no limit of that kind."""

    cycles: int | None = None
    """Cycles of one `run`; `--cycles` has precedence."""
    attempts_per_item: int = 6
    """Attempts at one focus issue; then it is blocked."""
    turn_s: float = 1800.0
    """A turn of an agent, all in all."""
    idle_s: float | None = 600.0
    """A turn without a line of output."""
    grace_s: float = 5.0
    """How long an agent may go on after its result, and after it was asked to end."""
    guard_s: float = 900.0
    """One run of the guard tests."""
    prepare_s: float = 900.0
    """One command of `prepare:`."""
    check_s: float = 600.0
    """One exit check that names no `within:`."""
    agent_s: float | None = None
    """All turns of a run together."""
    money: float | None = None
    """What all turns of a run may cost, in the currency that the agent reports."""
    tokens: int | None = None
    """Tokens of all turns of a run."""


@dataclass(frozen=True)
class HarnessConfig:
    """The whole of orchestration.yaml."""

    python: str = sys.executable
    """The interpreter of guards and checks; a path is relative to the repository."""
    import_roots: tuple[str, ...] = (".",)
    """Folders that product and tests are imported from; `init` finds them."""
    target: str | None = None
    """The branch that work lands on; without it the one that is checked out."""
    agent: str = "playbook"
    """Who does the work: see `orchestrate doctor`; `--agent` has precedence."""
    agent_command: tuple[str, ...] = ()
    """The argument list of the agent `custom`, with the placeholders below."""
    supervisor_agent: str | None = None
    """Who writes the orders; without it the built-in supervisor."""
    supervisor_command: tuple[str, ...] = ()
    """The argument list of the supervisor `custom`, with the same placeholders."""
    reviewer_agent: str | None = None
    """Who answers flags and looks at large, late and every few landings; by preference another
    program than `agent`. Without it a person answers."""
    reviewer_command: tuple[str, ...] = ()
    """The argument list of the reviewer `custom`, with the same placeholders."""
    review_every: int = 5
    """Landings after which the next one is looked at, where there is a reviewer."""
    ledger: str = "docs/fix_plan.md"
    """The ledger of focus issues."""
    memory: str = "galph_memory.md"
    """The supervisor's memory, a view that the harness writes."""
    order: str = "input.md"
    """The order of the present turn."""
    findings: str = "docs/findings.md"
    """The lessons that orders refer to."""
    commands_doc: str = "docs/TESTING_GUIDE.md"
    """The page that `AUTHORITATIVE_CMDS_DOC` names during turns and checks."""
    state_dir: str | None = None
    """The harness's own folder (log, turns, workspaces), outside the repository; without it
    `$XDG_STATE_HOME/orchestration/<name>-<hash>/`. Move the folder yourself when you change it."""
    evidence: str = "branch"
    """Where reports, receipts, orders and the memory go: with `branch` into the landed commit, with
    `log` onto the branch `orchestration/log`, so that a landing is the change and the ledger's tick
    alone (`git show orchestration/log:PATH`)."""
    held_out: str | None = None
    """A folder outside the repository (a private repository's checkout, say) with the held-out
    guards; without it they lie in the state folder."""
    protected: tuple[str, ...] = ()
    """Globs of files that no attempt may change, beside those that always are."""
    isolation: str = "auto"
    """The level that agents run behind; `auto` takes the best that works here and starts no agent
    where none protects files; `none` is a person's word that there is no fence."""
    agent_args: tuple[str, ...] = ()
    """Further arguments of the program that `agent` names, such as `--model=…`."""
    agent_env: tuple[str, ...] = ()
    """Names of environment variables that agents get, such as an API key's; never their values."""
    agent_read: tuple[str, ...] = ()
    """Files and folders that agents may read besides what a program needs; what lies in your home
    is found in the turn's HOME as well."""
    agent_write: tuple[str, ...] = ()
    """Files and folders outside its workspace that an agent may write (its program's own state)."""
    guard_read: tuple[str, ...] = ()
    """Files and folders outside the repository that guards and checks may read (data)."""
    guard_write: tuple[str, ...] = ()
    """Files and folders that guards and checks may write besides their own checkout."""
    network: bool = True
    """Whether agents reach the network: `on` or `off`."""
    guard_network: bool = False
    """Whether guards and checks reach the network; the loopback is always there."""
    devices: str = "auto"
    """`auto` shows the accelerators of this machine (GPUs) to agents, guards and checks; `none`
    does not."""
    keep_env: tuple[str, ...] = ()
    """Environment variables that guards keep; all but a few are removed."""
    plugins: tuple[str, ...] = ()
    """pytest plugins that the guards need; all others stay switched off. `init` names those of the
    environment whose fixtures, marks or settings the tests use."""
    carry: tuple[str, ...] = ()
    """Git-ignored files and folders of your checkout that every checkout and workspace gets a copy
    of: data, generated files, compiled extensions. `.env` and files with the names of keys go to
    guards and checks only."""
    carry_to_agents: tuple[str, ...] = ()
    """Files of `carry:` that agents get too although they are called as secrets are."""
    prepare: tuple[str, ...] = ()
    """A command that makes what a clone lacks (a generated version, a compiled extension), run
    without a shell behind the fence in a checkout of each commit; what it makes is kept and laid
    into every checkout and workspace. Several: one a line, or a list of argument lists."""
    prepare_network: bool = False
    """Whether `prepare:` reaches the network."""
    max_processes: int = 4096
    """Processes and threads that a turn or a guard may have at once."""
    dwell_limit: int = 2
    """Cycles on one focus without progress before another is taken."""
    cooldown_cycles: int = 3
    """Cycles that a focus rests after that."""
    notify: tuple[str, ...] = ()
    """The argument list of a command that is run when an item is blocked, an attempt waits for a
    review, and a run ends, with the placeholders below; no shell reads it."""
    budgets: Budgets = field(default_factory=Budgets)
    """Limits, below."""

    def for_agents(self) -> Opened:
        """What the settings open in the fence of agents."""
        return Opened(self.agent_read, self.agent_write, self.network, self.devices == "auto")

    def for_guards(self) -> Opened:
        """What the settings open in the fence of guards and checks."""
        return Opened(self.guard_read, self.guard_write, self.guard_network, self.devices == "auto")

    def policy(self, *, deterministic: bool, cycles: int | None) -> PolicyConfig:
        """Return the limits that decide() applies in one run."""
        return PolicyConfig(
            playbook=deterministic,
            cycles=self.budgets.cycles if cycles is None else cycles,
            dwell_limit=self.dwell_limit,
            cooldown_cycles=self.cooldown_cycles,
            attempts_per_item=self.budgets.attempts_per_item,
            money=self.budgets.money,
            tokens=self.budgets.tokens,
            agent_seconds=self.budgets.agent_s,
        )


def parse_duration(value: object, where: str) -> float:
    """Return seconds from a number or a text like `30m`; raises ConfigProblem."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ConfigProblem(
            "not a duration",
            where=where,
            expected="a number of seconds, or 90s, 30m, 2h",
            got=repr(value),
        )
    return float(match[1]) * _UNIT_S[match[2] or "s"]


def load_config(root: Path, text: str | None = None) -> HarnessConfig:
    """Read `root`/orchestration.yaml (or `text` in its place); a missing file gives the defaults.

    Raises ConfigProblem for bad YAML, unknown keys and values of the wrong type.
    """
    path = root / FILE
    if text is None:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigProblem("not valid YAML", where=path, got=str(error)) from None
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise ConfigProblem("expected key: value lines", where=path, got=type(raw).__name__)
    return _build(raw, str(path), root)


def _build(raw: dict[Any, Any], where: str, root: Path) -> HarnessConfig:
    budgets = raw.pop("budgets", None) or {}
    _known(raw, HarnessConfig, where)
    if not isinstance(budgets, dict):
        raise ConfigProblem("expected key: value lines", where=f"{where}: budgets", got=budgets)
    _known(budgets, Budgets, f"{where}: budgets")
    values: dict[str, Any] = {}
    for name, value in raw.items():
        values[name] = _value(name, value, f"{where}: {name}")
    for name in PLACES:
        values[name] = tuple(
            _place(text, f"{where}: {name}", root) for text in values.get(name, ())
        )
    if "python" in values and "/" in values["python"]:
        values["python"] = str(root / Path(values["python"]).expanduser())
    limits = {
        name: _limit(name, value, f"{where}: budgets.{name}") for name, value in budgets.items()
    }
    return HarnessConfig(**values, budgets=Budgets(**limits))


def _place(text: str, where: str, root: Path) -> str:
    """An existing path, absolute or relative to the repository; `~` is the person's home."""
    path = root / Path(text).expanduser()
    if not path.exists():
        raise ConfigProblem(
            "no such file or folder",
            where=where,
            expected="an existing path",
            got=text,
            fix=f"mkdir -p {path}, or take it out",
        )
    return str(path)


def _known(raw: dict[Any, Any], kind: type, where: str) -> None:
    names = [f.name for f in dataclasses.fields(kind)]
    unknown = sorted(str(key) for key in raw if key not in names)
    if unknown:
        raise ConfigProblem(
            f"unknown key {', '.join(unknown)}",
            where=where,
            expected=", ".join(names),
            got=", ".join(unknown),
            fix="correct the spelling or remove the key",
        )


def _value(name: str, value: object, where: str) -> Any:
    lists = (
        "import_roots",
        "protected",
        "agent_command",
        "reviewer_command",
        "supervisor_command",
        "keep_env",
        "plugins",
        "carry",
        "carry_to_agents",
        "agent_args",
        "agent_env",
        "notify",
        *PLACES,
    )
    switches = ("network", "guard_network", "prepare_network")
    integers = ("review_every", "dwell_limit", "cooldown_cycles", "max_processes")
    optional = ("target", "supervisor_agent", "reviewer_agent", "held_out")
    if name == "prepare":
        return _commands(value, where)
    if name == "isolation" and value == "none":
        return "scan"  # no fence at all: what is left behind is found by looking
    if name == "evidence" and value not in EVIDENCE:
        expected = ", ".join(EVIDENCE)
        raise ConfigProblem("unknown place", where=where, expected=expected, got=repr(value))
    if name == "isolation" and value not in ("auto", *LEVELS):
        expected = ", ".join(("auto", *LEVELS, "none"))
        raise ConfigProblem("no such isolation", where=where, expected=expected, got=repr(value))
    if name == "devices" and value not in ("auto", "none"):
        raise ConfigProblem("no such choice", where=where, expected="auto, none", got=repr(value))
    if name in switches and (isinstance(value, bool) or value in ("on", "off")):
        return value in (True, "on")
    if name in lists and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if name in integers and type(value) is int and value >= 1:
        return value
    if name not in (*lists, *integers, *switches) and isinstance(value, str) and value:
        return value
    if name in optional and value is None:
        return None
    expected = (
        "a list of texts"
        if name in lists
        else "an integer ≥ 1"
        if name in integers
        else "on or off"
        if name in switches
        else "a text"
    )
    raise ConfigProblem("wrong kind of value", where=where, expected=expected, got=repr(value))


def _commands(value: object, where: str) -> tuple[str, ...]:
    """A text of one command a line, an argument list, or a list of either."""
    rows: list[Any] = value.splitlines() if isinstance(value, str) else [value]
    if isinstance(value, list) and value:
        many = isinstance(value[0], list) or (isinstance(value[0], str) and " " in value[0])
        rows = value if many else [value]
    found = []
    for row in rows:
        words = isinstance(row, list) and row and all(isinstance(word, str) for word in row)
        text = shlex.join(row) if words else row
        if not isinstance(text, str):
            expected = "a command, or a list of words"
            raise ConfigProblem("wrong kind of value", where=where, expected=expected, got=row)
        if not text.strip():
            continue
        try:
            parse_command(text)
        except HarnessError as problem:
            raise ConfigProblem(problem.what, where=where, got=text, fix=problem.fix) from None
        found.append(text.strip())
    return tuple(found)


def _limit(name: str, value: object, where: str) -> Any:
    if value is None and name in ("cycles", "idle_s", "agent_s", "money", "tokens"):
        return None
    if name.endswith("_s"):
        return parse_duration(value, where)
    number = int | float if name == "money" else int
    if isinstance(value, number) and not isinstance(value, bool) and value >= 0:
        return value
    raise ConfigProblem(
        "wrong kind of value", where=where, expected="a number ≥ 0", got=repr(value)
    )
