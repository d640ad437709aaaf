"""Checks that say nothing of the work: those that cannot fail, and those that cannot pass."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from itertools import product, takewhile
from typing import Literal, NamedTuple

from orchestration.documents.grammar.certain import (
    PREPARES,
    both,
    either,
    find_fails_for,
    git_words,
    only_command,
    outcome,
    shell_script,
)
from orchestration.documents.grammar.commands import Command, is_sentence

_DESTROYS = frozenset(
    ("rm", "rmdir", "unlink", "shred", "kill", "pkill", "killall", "shutdown", "mv", "chmod",
     "chown", "truncate", "dd")
)  # fmt: skip
_GIT_CHANGES = frozenset(
    ("clean", "reset", "restore", "stash", "rm", "gc", "push", "rebase", "checkout", "switch", "mv",
     "fetch", "pull", "add", "commit", "merge", "revert", "cherry-pick", "am", "init", "clone")
)  # fmt: skip
#: Words that only a shell understands.
_SHELL_WORDS = frozenset(("exit", "return", ".", "source", "eval", "builtin", "trap"))
#: Files that are no programs unless their first line names one.
_DATA = (".py", ".md", ".txt", ".rst", ".json", ".toml", ".yaml", ".yml", ".cfg", ".ini", ".csv")
_NO_RUN = ("--collect-only", "--co", "--collectonly", "-h", "--help", "--version", "-V", "-VV",
           "--fixtures", "--markers", "--setup-plan", "--setup-only", "--fixtures-per-test",
           "--funcargs", "--cache-show")  # fmt: skip
#: What starts another program, with those of its options that take a value.
_WRAPPERS = {
    "env": ("-u", "-C", "--unset", "--chdir"), "timeout": ("-k", "-s", "--signal"),
    "nice": ("-n",), "time": ("-f", "-o"), "nohup": (), "stdbuf": ("-i", "-o", "-e"),
    "command": (), "exec": ("-a",), "sudo": ("-u", "-g"), "xargs": ("-n", "-I", "-P", "-L"),
    "setsid": (), "ionice": ("-c", "-n"), "xvfb-run": ("-s", "-n"), "mpirun": ("-n", "-np"),
    "mpiexec": ("-n", "-np"), "srun": ("-n", "-N", "-p"),
}  # fmt: skip
_RUNNERS = ("uv", "poetry", "pdm", "hatch", "pipenv", "rye", "pixi")
_SAFE_WORD = re.compile(r"[A-Za-z0-9_./+-]+")
_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
_TEST_NAME = re.compile(r"[ \t]*(?:async[ \t]+)?def[ \t]+(test\w*)")

ReadLines = Callable[[str], Sequence[str] | None]


class Selected(NamedTuple):
    """What a ``pytest`` command would run: "some" tests, "none" today, or "never" any; and why."""

    tests: Literal["some", "none", "never"]
    why: str = ""


def no_evidence(
    command: Command,
    *,
    exists: Callable[[str], bool] | None = None,
    program: Callable[[str], bool] | None = None,
    read_lines: ReadLines | None = None,
    creates: Sequence[str] = (),
) -> str | None:
    """Return why a check is none, or None.

    ``exists`` and ``read_lines`` look into the repository, ``program`` tells whether a name is a
    program here, ``creates`` are paths that the order makes. Lookups that are None are not made.
    """
    argv = unwrapped(command.argv)
    if not argv:
        return "it runs no program" if command.argv else None
    name = argv[0]
    base = name.rpartition("/")[2]
    if is_sentence(command.text if list(command.argv) == argv else shlex.join(argv)):
        return "it is a sentence"
    ends = outcome(argv)
    if ends is not None:
        return f"`{shlex.join(argv)[:60]}` cannot {'fail' if ends else 'pass'}"
    git = git_words(argv[1:]) if base == "git" else []
    if base in _DESTROYS or set(git[:1]) & _GIT_CHANGES:
        return f"`{' '.join([base, *git[:1]])}` removes, stops or changes something"
    if base == "find" and "-delete" in argv:
        return "`find -delete` removes something, it checks nothing"
    if base == "make":
        short = "".join(word for word in argv if re.fullmatch(r"-[bBdeikmnpqrRsStvw]+", word))
        if {"--dry-run", "--just-print", "--recon", "--touch"} & set(argv) or set(short) & {*"nt"}:
            return "`make -n` runs nothing"
        if "--ignore-errors" in argv or "i" in short:
            return "`make -i` does not count what fails"
    if base == "tox" and {"--notest", "-n"} & set(argv):
        return "`tox --notest` runs no test"
    if "--exit-zero" in argv:
        return "`--exit-zero` does not count what fails"
    if base in _SHELL_WORDS:
        return f"`{base}` is a word of the shell"
    if name.endswith("/"):
        return f"`{name}` is a folder"
    if not _SAFE_WORD.fullmatch(name) and name != "[" and "$" not in name:
        return f"`{name[:40]}` is no name of a program"
    made = {path.removeprefix("./").rstrip("/") for path in creates}

    def gone(path: str) -> bool:
        """Tell whether a path of the repository is neither there nor made by the order."""
        bare = path.removeprefix("./").rstrip("/")
        if exists is None or not bare or path.startswith(("/", "~")) or set(path) & set("$*?["):
            return False
        return not exists(bare) and not any(bare == m or bare.startswith(f"{m}/") for m in made)

    words = pytest_words(argv)
    if words is not None:
        return _pytest([*_added(command), *words], read_lines, gone)
    if base == "find" and exists and find_fails_for(argv, exists) == []:
        return f"`{shlex.join(argv)[:60]}` cannot fail"
    script = _program_file(argv)
    if script is not None and gone(script):
        return f"`{script}` does not exist"
    if script is not None and script != name and exists and read_lines and exists(script):
        main = f"{script.rstrip('/')}/__main__.py"
        if read_lines(script) is None and gone(main):
            return f"`{script}` is a folder without a `__main__.py`, or too large for a script"
    if "/" in name and "$" not in name and not name.startswith(("/", "~")):
        bare = name.removeprefix("./")
        if exists and read_lines and exists(bare):
            lines = read_lines(bare)
            if lines is None:
                return f"`{name}` is a folder, or too large for a script"
            if bare.endswith(_DATA) and not "".join(lines[:1]).startswith("#!"):
                return f"`{name}` is no program: its first line names none (`#!…`)"
    elif program is not None and "$" not in name and "~" not in name and not program(name):
        return f"`{name}` is no program here"
    return None


def prepares(command: Command) -> bool:
    """Tell whether a command only makes room for others, as ``mkdir -p`` and ``chmod`` do."""
    return "".join(unwrapped(command.argv)[:1]).rpartition("/")[2] in {*PREPARES, "chmod"}


def unwrapped(argv: Sequence[str]) -> list[str]:
    """Return the argv of the program that ``timeout 30 env A=b``, ``sh -c`` and the like start.

    ``command -v`` and a script of more than one command stay as they are.
    """
    words = list(argv)
    while words:
        base = words[0].rpartition("/")[2]
        if base in _WRAPPERS and {"-v", "-V"}.isdisjoint(words[1:2]):
            valued, words = _WRAPPERS[base], words[1:]
            while words and (words[0].startswith("-") or "=" in words[0] or words[0][0].isdigit()):
                words = words[2 if words[0] in valued else 1 :]
        elif base in _RUNNERS and words[1:2] == ["run"]:
            options = list(takewhile(lambda word: word.startswith("-"), words[2:]))
            words = words[2 + len(options) :]
        elif (script := shell_script(words)) and (inner := only_command(script)):
            words = inner
        else:
            break
    return words


def _added(command: Command) -> list[str]:
    """Return the options that PYTEST_ADDOPTS adds: set in front, by ``env`` or in ``sh -c``."""
    name = "PYTEST_ADDOPTS="
    found = [command.env.get(name[:-1], "")]
    for word in command.argv:
        if name in word:
            parts = [word] if word.startswith(name) else shlex.split(word, comments=True)
            found += [part.removeprefix(name) for part in parts if part.startswith(name)]
    return [option for text in found for option in shlex.split(text)]


def _program_file(argv: Sequence[str]) -> str | None:
    """Return the file that is the program: the first word, or the script of an interpreter."""
    base = argv[0].rpartition("/")[2]
    if not _PYTHON.fullmatch(base) and base not in ("bash", "sh", "dash", "zsh"):
        return argv[0] if "/" in argv[0] else None
    word = next(iter(argv[1:]), "-")
    return None if word.startswith(("-", "+")) else word


def pytest_words(argv: Sequence[str]) -> list[str] | None:
    """Return the arguments of pytest in an argv, None when it does not run pytest."""
    words = list(argv)
    base = words[0].rpartition("/")[2] if words else ""
    if base in ("pytest", "py.test"):
        return words[1:]
    if base == "coverage" and "-m" in words:
        return pytest_words(["python", *words[words.index("-m") :]])
    if _PYTHON.fullmatch(base):
        for index, word in enumerate(words[1:], 1):
            if word == "-m":
                return words[index + 2 :] if words[index + 1 : index + 2] == ["pytest"] else None
            if not word.startswith("-"):
                return None
    if base in _RUNNERS and "run" in words:
        return pytest_words(words[words.index("run") + 1 :])
    return None


def _pytest(
    words: Sequence[str], read_lines: ReadLines | None, gone: Callable[[str], bool]
) -> str | None:
    tests, options = _options(words)
    for name, value in options:  # `-o addopts=--collect-only` is one more place for options
        if name in ("-o", "--override-ini") and value.startswith("addopts="):
            words = [*words, *value.partition("=")[2].split()]
    for word in words:
        if word.partition("=")[0] in _NO_RUN:
            return f"`{word}` runs no test"
    if ("-p", "no:python") in options:
        return "`-p no:python` runs no test"
    if {"--lf", "--last-failed"} & set(words):
        for name, value in options:  # a fresh checkout remembers no failure
            if name in ("--lfnf", "--last-failed-no-failures") and value == "none":
                return f"`{name}=none` runs no test where no failure is remembered"
    for test in tests:
        if gone(test.partition("::")[0]):
            return f"`{test[:80]}` does not exist"
    if all(_left_out(test, options, read_lines) for test in tests or ["."]):
        return "every test that it names is deselected"
    for name, value in options:
        percent = re.fullmatch(r"\d{3,9}(\.\d+)?", value) if name == "--cov-fail-under" else None
        if percent and float(value) > 100:
            return f"no coverage is above 100 %, it asks for {value}"
        if name in ("-k", "-m") and not _possible(value):
            return f"`{name} {value[:60]}` leaves no test: it contradicts itself"
        if name == "-k" and tests and not any(_may_match(value, t, read_lines) for t in tests):
            return f"`-k {value[:60]}` leaves no test"
    return None


def coverage_fault(
    words: Sequence[str], addopts: Sequence[str], configured: float = 0.0
) -> str | None:
    """Return why a pytest command is judged by coverage that it does not measure, or None.

    ``addopts`` and ``configured`` (``fail_under`` of coverage's own settings, in percent) are what
    the repository adds to the command's own ``words``.
    """
    tests, own = _options(words)
    replaced = any(name in ("-o", "--override-ini") and v.startswith("addopts=") for name, v in own)
    theirs = [] if replaced else _options(addopts)[1]
    if "--no-cov" in [*words, *([] if replaced else addopts)]:
        return None
    names = [name for name, _ in (*own, *theirs)]
    if not {"--cov", "--cov-config", "--cov-append"} & {*names, *words}:
        asked = any(name == "--cov-fail-under" for name, _ in own)
        return "`--cov-fail-under` measures nothing without `--cov=PACKAGE`" if asked else None
    if any(name == "--cov-fail-under" for name, _ in own):
        return None
    limits = [value for name, value in theirs if name == "--cov-fail-under"]
    limit = limits[-1] if limits else f"{configured:g}"
    part = [test for test in tests if "::" in test or test.endswith(".py")]
    part += [f"{name} {value}" for name, value in own if name in ("-k", "-m")]
    if not part or limit == "0":
        return None
    where = f"`--cov-fail-under={limit}`" if limits else f"`fail_under = {limit}` of coverage"
    return f"the repository's {where} is for all tests, and it runs {part[0][:60]}: add `--no-cov`"


def _left_out(test: str, options: Sequence[tuple[str, str]], read_lines: ReadLines | None) -> bool:
    """Tell whether the options leave nothing of a test, or of each test of a file."""
    test = _plain(test)
    place, _, symbol = test.partition("::")
    for name, value in options:
        if name == "--ignore" and _within(place, _plain(value)):
            return True
        if name == "--ignore-glob" and fnmatch(place, value):
            return True
    prefixes = tuple(_plain(value) for name, value in options if name == "--deselect" and value)
    if not prefixes or test.startswith(prefixes):
        return bool(prefixes)
    lines = read_lines(place) if read_lines is not None and not symbol else None
    names = [match[1] for line in lines or () if (match := _TEST_NAME.match(line))]
    ends = [prefix.rpartition("::")[2] for prefix in prefixes if prefix.startswith(f"{place}::")]
    return (
        bool(names) and all(name.startswith(tuple(ends)) for name in names if ends) and bool(ends)
    )


def _options(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return (tests, (option, value) pairs) of pytest's arguments."""
    tests: list[str] = []
    options: list[tuple[str, str]] = []
    valued = ("-k", "-m", "-p", "-c", "-n", "-o", "-W", "--deselect", "--ignore", "--rootdir",
              "--ignore-glob", "--override-ini", "--confcutdir", "--junitxml", "--tb",
              "--maxfail", "--durations", "--timeout", "--cov", "--cov-fail-under", "--cov-report",
              "--cov-config", "--lfnf", "--last-failed-no-failures")  # fmt: skip
    position = 0
    while position < len(words):
        word = words[position]
        name, mark, value = word.partition("=")
        if word.startswith("-k") and len(word) > 2:
            options.append(("-k", word[2:].removeprefix("=")))
        elif mark and name.startswith("-"):
            options.append((name, value))
        elif word in valued:
            options.append((word, words[position + 1] if position + 1 < len(words) else ""))
            position += 1
        elif not word.startswith("-"):
            tests.append(word)
        position += 1
    return tests, options


def _plain(place: str) -> str:
    """Return a place as pytest names it: without `./` before it."""
    return place if place in (".", "./") else place.removeprefix("./")


def _within(test: str, out: str) -> bool:
    bare = out.rstrip("/")
    return bare == "." or test == bare or test.startswith((f"{bare}::", f"{bare}/", f"{bare}["))


def _possible(expression: str) -> bool:
    """Tell whether some test could match a `-k` or `-m`, whatever its names and marks are.

    True for an expression of many words, and where it is none of pytest's plain form.
    """
    tokens = _TOKEN.findall(expression.strip())
    names = sorted({*tokens} - {"and", "or", "not", "(", ")"})
    if not names or len(names) > 8:
        return True
    for values in product((True, False), repeat=len(names)):
        try:
            value, rest = _either(tokens, dict(zip(names, values, strict=True)).__getitem__)
        except (IndexError, KeyError, RecursionError):
            return True
        if value or rest:
            return True
    return False


def _may_match(expression: str, test: str, read_lines: ReadLines | None) -> bool:
    """Tell whether ``-k expression`` may leave something of a test, file or folder.

    True wherever that cannot be told: a word that is not in the test's own name may be in the name
    of a parameter, which the file of the test spells.
    """
    place, _, symbol = test.partition("::")
    own = test.lower()
    lines = read_lines(place) if read_lines is not None and place.endswith(".py") else None
    text = None if lines is None else "\n".join(lines).lower()

    def word(token: str) -> bool | None:
        token = token.lower()
        if token in own:
            return True
        return None if text is None or token in text else False

    if not symbol and text is None:
        return True
    try:
        tokens = _TOKEN.findall(expression.strip())
        value, rest = _either(tokens, word)
    except (IndexError, RecursionError):
        return True
    return value is not False or bool(rest)


Lookup = Callable[[str], bool | None]
Parsed = tuple[bool | None, list[str]]


def _either(tokens: list[str], word: Lookup) -> Parsed:
    value, rest = _both(tokens, word)
    while rest and rest[0] == "or":
        other, rest = _both(rest[1:], word)
        value = either(value, other)
    return value, rest


def _both(tokens: list[str], word: Lookup) -> Parsed:
    value, rest = _one(tokens, word)
    while rest and rest[0] == "and":
        other, rest = _one(rest[1:], word)
        value = both(value, other)
    return value, rest


def _one(tokens: list[str], word: Lookup) -> Parsed:
    head, rest = tokens[0], tokens[1:]
    if head == "not":
        value, rest = _one(rest, word)
        return (None if value is None else not value), rest
    if head == "(":
        value, rest = _either(rest, word)
        return value, rest[1:]
    return word(head), rest
