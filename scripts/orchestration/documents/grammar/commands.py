"""Commands in documents: split once, run without a shell.

``NAME=value … program argument …`` is cut with shlex into an environment and an argv. What only a
shell can do (pipes, redirections, ``;``, ``&&``, substitution) is refused with a fix; a trailing
``| tee FILE`` of a historic order is taken off and its file reported as an artifact.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from itertools import dropwhile, takewhile
from types import MappingProxyType
from typing import NamedTuple

from orchestration.documents.grammar.diagnostics import DocumentError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
# A run of blanks is tried from its beginning only (`(?<!…)`): a long one costs no quadratic time.
_TEE = re.compile(r"(?<![ \t])[ \t]*(?:2>&1[ \t]*)?\|&?[ \t]*tee[ \t]+(?:-a[ \t]+)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)[ \t]*(ms|s|sec|m|min|h|d)?(?![A-Za-z0-9])")
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WITHIN = re.compile(
    r"(?<![ \t(,;#])[ \t(,;#]+within[ \t]*:[ \t]*([0-9][^),;]{0,16})\)?", re.IGNORECASE
)
#: Longer blocks are programs: their commands come back unread, with an error.
MAX_COMMANDS = 1000
#: shlex takes quadratic time for one long word; no command line is this long.
MAX_CHARACTERS = 65536
_SCRIPT_FIX = "put the commands in a script file and name it, e.g. `bash scripts/check.sh`"


class CommandError(DocumentError):
    """A command that cannot run without a shell, or that shlex cannot cut."""


class Command(NamedTuple):
    """One command: its text, extra environment, argv, time limit and source line (from 1).

    A command that could not be read has an empty ``argv`` and the reason in ``error``; ``tee`` is
    the file a historic ``| tee FILE`` wrote.
    """

    text: str
    env: Mapping[str, str] = MappingProxyType({})
    argv: tuple[str, ...] = ()
    within_s: float | None = None
    line: int = 0
    tee: str | None = None
    error: str | None = None

    def expanded(self, variables: Mapping[str, str]) -> Command:
        """Return the command with ``$NAME`` of ``variables`` and of its own env filled in.

        Unknown names stay as they are: nothing is silently replaced by an empty string.
        """
        env: dict[str, str] = {}
        for name, value in self.env.items():
            env[name] = _fill(value, {**variables, **env})
        known = {**variables, **env}
        argv = tuple(_fill(argument, known) for argument in self.argv)
        return self._replace(env=env, argv=argv)


def _fill(text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        return variables.get(match.group(1) or match.group(2), match.group(0))

    return _VARIABLE.sub(value, text)


def parse_duration(text: str) -> float | None:
    """Return seconds of ``90``, ``90s``, ``30m``, ``1.5h`` or ``2d``; None when it is none."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or len(match.group(1)) > 12:
        return None
    return float(match.group(1)) * _UNITS[match.group(2) or "s"]


def render_duration(seconds: float) -> str:
    """Return the shortest exact form of a duration, the inverse of :func:`parse_duration`."""
    for unit, size in (("h", 3600.0), ("m", 60.0)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds!r}s"


def take_within(text: str) -> tuple[str, float | None]:
    """Cut ``(within: 30m)`` off a text; return (rest, seconds or None)."""
    match = _WITHIN.search(text)
    if match is None:
        return text, None
    seconds = parse_duration(match.group(1))
    if seconds is None:
        return text, None
    return (text[: match.start()] + text[match.end() :]).strip(), seconds


def shell_need(text: str) -> str | None:
    """Return the first thing in ``text`` that only a shell understands, or None.

    Quotes and backslashes are followed as POSIX shells do, so ``-k "a and (b or c)"`` is fine.
    """
    quote = ""
    skip = False
    for index, char in enumerate(text):
        if skip:
            skip = False
        elif char == "\\" and quote != "'":
            skip = True
        elif quote:
            if char == quote:
                quote = ""
            elif quote == '"' and (char == "`" or text.startswith("$(", index)):
                return "command substitution"
        elif char in "'\"":
            quote = char
        elif char in "|;&<>()\n" or char == "`" or text.startswith("$(", index):
            return _named(text, index)
    return None


def _named(text: str, index: int) -> str:
    two = text[index : index + 2]
    names = {"|": "a pipe", ";": "`;`", "<": "a redirection", ">": "a redirection"}
    if two in ("&&", "||"):
        return f"`{two}`"
    if two == "$(" or text[index] == "`":
        return "command substitution"
    if text[index] == "&":
        return "a background `&`" if not text[index:].startswith("&>") else "a redirection"
    return names.get(text[index], "a subshell" if text[index] in "()" else "a line break")


def split_tee(text: str) -> tuple[str, str | None]:
    """Cut a trailing ``| tee FILE`` off; return (command, file or None)."""
    last = None
    for match in _TEE.finditer(text):
        last = match
    if last is None:
        return text, None
    target = text[last.end() :].strip()
    quoted = target[:1] in "'\"" and target[-1:] == target[:1] and len(target) > 1
    target = target[1:-1] if quoted else target
    if not target or any(c in target for c in "|;&<>'\"") or (" " in target and not quoted):
        return text, None
    return text[: last.start()].strip(), target


def split_words(text: str) -> list[str]:
    """Return ``shlex.split(text)``; a text that it refuses, or a too long one, is a ValueError."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it is longer than {MAX_CHARACTERS} characters")
    return shlex.split(text)


def parse_command(text: str, *, within_s: float | None = None, line: int = 0) -> Command:
    """Read one command; raise :class:`CommandError` when it cannot run without a shell."""
    stripped = text.strip()
    body, inline = take_within(stripped)
    body, tee = split_tee(body)
    limit = inline if inline is not None else within_s
    need = shell_need(body)
    if need:
        raise CommandError(
            f"command needs a shell ({need})", where=line or None, got=stripped, fix=_SCRIPT_FIX
        )
    try:
        words = split_words(body)
    except ValueError as error:
        fix = _SCRIPT_FIX if len(body) > MAX_CHARACTERS else "balance it"
        raise CommandError(
            f"command cannot be split: {error}", where=line or None, got=stripped, fix=fix
        ) from error
    settings = list(takewhile(_NAME.match, words))
    env = dict(word.split("=", 1) for word in settings)
    words = words[len(settings) :]
    if not words:
        raise CommandError(
            "command is empty", where=line or None, got=stripped, fix="name a program"
        )
    return Command(body, env, tuple(words), limit, line, tee)


def read_command(text: str, *, within_s: float | None = None, line: int = 0) -> Command:
    """Read one command without raising: a bad one comes back with ``error`` and no argv."""
    try:
        return parse_command(text, within_s=within_s, line=line)
    except CommandError as error:
        return Command(text.strip(), {}, (), within_s, line, None, error.what)


def read_script(lines: Iterable[tuple[int, str]]) -> list[Command]:
    """Read the commands of a fenced block given as (line from 1, text) pairs.

    Comments and blank lines are skipped, a trailing backslash joins lines, ``export A=b`` and bare
    ``A=b`` lines become environment of the commands after them, ``set -e…`` is dropped. Commands
    beyond :data:`MAX_COMMANDS` are not cut: they come back with an error.
    """
    commands: list[Command] = []
    env: dict[str, str] = {}
    held: list[str] = []
    first = 0
    for number, raw in lines:
        text = raw.strip()
        if not held:
            first = number
            text = text.removeprefix("$ ")
            if not text or text.startswith("#"):
                continue
        if text.endswith("\\") and not text.endswith("\\\\"):
            held.append(text[:-1].rstrip())
            continue
        joined = " ".join([*held, text]).strip()
        held = []
        _take_line(joined, first, env, commands)
    if held:
        _take_line(" ".join(held).strip(), first, env, commands)
    return commands


def _take_line(text: str, line: int, env: dict[str, str], commands: list[Command]) -> None:
    if not text or re.fullmatch(r"set [-+][A-Za-z]+(?: pipefail)?", text):
        return
    bare = text.removeprefix("export ").strip()
    full = len(commands) >= MAX_COMMANDS
    settings = None if full else _settings(bare)
    if settings is not None and len(env) + len(settings) <= MAX_COMMANDS:
        env.update(settings)
        return
    if full or settings is not None:
        error = f"more than {MAX_COMMANDS} commands or variables in one block"
        commands.append(Command(text, line=line, error=error))
        return
    command = read_command(text, line=line)
    if env and not command.error:
        command = command._replace(env={**env, **command.env})
    commands.append(command)


def _settings(text: str) -> dict[str, str] | None:
    """Return the assignments of a line that holds nothing else, or None."""
    if not _NAME.match(text) or shell_need(text):
        return None
    try:
        words = split_words(text)
    except ValueError:
        return None
    if not all(_NAME.match(word) for word in words):
        return None
    return dict(word.split("=", 1) for word in words)


def render_command(command: Command) -> str:
    """Return one line that reads back to the same env, argv and limit."""
    if command.error:
        return command.text
    parts = [f"{name}={shlex.quote(value)}" for name, value in command.env.items()]
    words = [shlex.quote(word) for word in command.argv]
    if words[-1].endswith(","):  # which would be read as belonging to the limit behind it
        words[-1] = f"'{words[-1]}'"
    text = " ".join([*parts, *words])
    limit = command.within_s
    return text if limit is None else f"{text} # within: {render_duration(limit)}"


_SETTING = re.compile(r"[A-Z_][A-Z0-9_]*=")
_PROGRAMS = frozenset(
    (
        *("pytest", "python", "python3", "ptycho", "orchestrate", "make", "git", "bash", "sh"),
        *("export", "ruff", "mypy", "uv", "tox", "nox", "cp", "mv", "mkdir", "ls", "test", "rg"),
        *("grep", "cat", "cd", "timeout", "env", "diff", "cmp", "find", "wc", "tar", "echo", "rm"),
        *("touch", "sha256sum", "sed", "awk", "pip", "npm", "cargo", "go", "docker", "curl"),
    )
)
#: Words that a sentence has and an argument list has not.
_PROSE = frozenset(("and", "the", "then", "so", "that", "which", "should", "must", "when"))
#: Words that say something of the program before them.
_SAYS = frozenset(
    ("is", "are", "was", "has", "passes", "succeeds", "works", "runs", "exits", "stays", "shows",
     "reports", "returns", "prints", "says", "finds", "fails", "collects")
)  # fmt: skip
_WEAK = frozenset(
    ("to", "with", "for", "from", "into", "is", "are", "or", "an", "in", "of", "on", "it", "keep",
     "via", "before", "after", "its", "each", "every", "all", "has", "have", "not", "no", "be")
)  # fmt: skip


def spans_of(text: str) -> list[str]:
    """Return the code spans of a line of prose."""
    return [match.group(1) for match in re.finditer(r"`([^`\n]{1,4000})`", text)]


def is_sentence(text: str) -> bool:
    """Tell whether words that begin with a program's name go on as prose.

    ``mkdir -p notes to keep the files together.`` does; words in quotes are arguments.
    """
    bare = re.sub(r"'[^']*'|\"[^\"]*\"|<<.*", " ", text[:4000])
    words = bare.split()[1:]
    if words and words[0] in _SAYS:
        return True
    if len(words) > 1 and re.fullmatch(r"[A-Za-z-]{2,}[.!?]", words[-1]):
        return True
    lower = [word.strip(",;:()").lower() for word in words]
    if len(words) > 3 and any(word in _WEAK for word in lower) and "".join(lower).isalpha():
        return True  # no path, option or value among so many words
    strong = sum(word in _PROSE for word in lower)
    return strong > 0 or sum(word in _WEAK for word in lower) > 1


def is_command(text: str) -> bool:
    """Tell whether prose in code marks is a command: it begins with a program people name."""
    given = text.split()
    words = list(dropwhile(_SETTING.match, given))
    if not words:
        return bool(given)
    if words[0] not in _PROGRAMS or is_sentence(" ".join(words)):
        return False
    return len(words) > 1 or words[0] in ("pytest", "make")
