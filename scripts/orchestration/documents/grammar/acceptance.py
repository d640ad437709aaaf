"""Checks that say nothing of the work: those that cannot fail, and those that cannot pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from orchestration.documents.grammar.commands import Command, is_sentence

_NEVER_FAILS = frozenset(
    ("echo", "printf", "true", ":", "sleep", "pwd", "date", "whoami", "hostname", "clear", "yes",
     "history", "id", "uname", "export", "set", "cd")
)  # fmt: skip
_NEVER_PASSES = frozenset(("false",))
_DESTROYS = frozenset(("rm", "rmdir", "unlink", "shred", "kill", "pkill", "killall", "shutdown"))
_NO_RUN = ("--collect-only", "--co", "--collectonly", "-h", "--help", "--version", "-V",
           "--fixtures", "--markers", "--setup-plan", "--setup-only", "--fixtures-per-test",
           "--funcargs")  # fmt: skip
_WRAPPERS = frozenset(("env", "timeout", "nice", "time", "nohup", "stdbuf", "command", "exec"))
_SAFE_WORD = re.compile(r"[A-Za-z0-9_./+-]+")
_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")

ReadLines = Callable[[str], Sequence[str] | None]


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
    argv = _unwrapped(list(command.argv))
    if not argv:
        return None
    name = argv[0]
    base = name.rpartition("/")[2]
    if is_sentence(command.text):
        return "it is a sentence"
    if base in _NEVER_FAILS:
        return f"`{base}` cannot fail"
    if base in _NEVER_PASSES:
        return f"`{base}` cannot pass"
    if base in _DESTROYS:
        return f"`{base}` removes or stops something, it checks nothing"
    if base in ("exit", "return"):
        return f"`{base}` is a word of the shell"
    if name.endswith("/"):
        return f"`{name}` is a folder"
    if not _SAFE_WORD.fullmatch(name) and "$" not in name:
        return f"`{name[:40]}` is no name of a program"
    words = pytest_words(argv)
    if words is not None:
        return _pytest(words, read_lines)
    made = name in creates or name.removeprefix("./") in creates
    if "/" in name and "$" not in name and not name.startswith(("/", "~")):
        if exists is not None and not exists(name.removeprefix("./")) and not made:
            return f"`{name}` does not exist"
    elif program is not None and "/" not in name and "$" not in name and not program(name):
        return f"`{name}` is no program here"
    return None


def _unwrapped(argv: list[str]) -> list[str]:
    """Drop ``timeout 30 env A=b`` and the like before the program itself."""
    while argv and argv[0] in _WRAPPERS:
        argv = argv[1:]
        while argv and (argv[0].startswith("-") or "=" in argv[0] or argv[0][:1].isdigit()):
            argv = argv[1:]
    return argv


def pytest_words(argv: Sequence[str]) -> list[str] | None:
    """Return the arguments of pytest in an argv, None when it does not run pytest."""
    words = list(argv)
    base = words[0].rpartition("/")[2] if words else ""
    if base in ("pytest", "py.test"):
        return words[1:]
    if base == "coverage" and "-m" in words:
        return pytest_words(["python", *words[words.index("-m") :]])
    if re.fullmatch(r"(?:python|pypy)[0-9.]*", base):
        for index, word in enumerate(words[1:], 1):
            if word == "-m":
                return words[index + 2 :] if words[index + 1 : index + 2] == ["pytest"] else None
            if not word.startswith("-"):
                return None
    if base in ("uv", "poetry", "pdm", "hatch") and "run" in words:
        return pytest_words(words[words.index("run") + 1 :])
    return None


def _pytest(words: Sequence[str], read_lines: ReadLines | None) -> str | None:
    for word in words:
        if word in _NO_RUN:
            return f"`{word}` runs no test"
    tests, options = _options(words)
    left_out = [value for name, value in options if name in ("--deselect", "--ignore")]
    if tests and all(any(_within(test, out) for out in left_out) for test in tests):
        return "every test that it names is deselected"
    for name, value in options:
        if name == "-k" and tests and not any(_may_match(value, t, read_lines) for t in tests):
            return f"`-k {value[:60]}` leaves no test"
    return None


def _options(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return (tests, (option, value) pairs) of pytest's arguments."""
    tests: list[str] = []
    options: list[tuple[str, str]] = []
    valued = ("-k", "-m", "-p", "-c", "-n", "-o", "-W", "--deselect", "--ignore", "--rootdir",
              "--junitxml", "--tb", "--maxfail", "--durations", "--timeout", "--cov")  # fmt: skip
    position = 0
    while position < len(words):
        word = words[position]
        name, mark, value = word.partition("=")
        if word.startswith("-k") and len(word) > 2 and not mark:
            options.append(("-k", word[2:]))
        elif mark and name.startswith("--"):
            options.append((name, value))
        elif word in valued:
            options.append((word, words[position + 1] if position + 1 < len(words) else ""))
            position += 1
        elif not word.startswith("-"):
            tests.append(word)
        position += 1
    return tests, options


def _within(test: str, out: str) -> bool:
    bare = out.rstrip("/")
    return test == bare or test.startswith((f"{bare}::", f"{bare}/", f"{bare}["))


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
        value = True if True in (value, other) else None if None in (value, other) else False
    return value, rest


def _both(tokens: list[str], word: Lookup) -> Parsed:
    value, rest = _one(tokens, word)
    while rest and rest[0] == "and":
        other, rest = _one(rest[1:], word)
        value = False if False in (value, other) else None if None in (value, other) else True
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
