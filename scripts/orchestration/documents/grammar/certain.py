"""Commands whose end is certain before they run, whatever the work is.

``python -c pass``, ``test 1`` and ``sh -c 'pytest x || true'`` exit with 0, ``sh -c false`` never
does. Only what is written outright is judged: a variable or a file leaves it open. Groups, branches
and loops are followed (`script`).
"""

from __future__ import annotations

import ast
import operator
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from orchestration.documents.grammar.script import (
    Block,
    NoScript,
    Part,
    Step,
    read_script,
    simple_commands,
)

#: True: it exits with 0; False: it never does; None: that depends on something.
Outcome = bool | None

_ALWAYS = frozenset(
    ("echo", "printf", "true", ":", "sleep", "pwd", "date", "whoami", "hostname", "clear", "yes",
     "history", "id", "uname", "export", "set", "cd", "nproc", "arch", "free", "uptime", "w", "who",
     "ps", "df", "seq", "basename", "dirname", "groups", "locale", "lscpu", "jobs", "umask",
     "times", "dirs", "wait", "alias", "unset", "declare", "typeset", "local", "readonly", "shift")
)  # fmt: skip
#: They end only where a person sits, or not at all.
_NEVER = frozenset(("false", "watch", "top", "htop", "vi", "vim", "nvim", "nano", "emacs"))
#: Without an argument they read a closed input or list the folder.
_ALONE = frozenset(("cat", "ls", "sort", "wc", "tee", "bash", "sh", "dash", "zsh", "printenv"))
#: They make room for what a check writes, and succeed.
PREPARES = frozenset(("mkdir", "touch", "tee"))
_FILTERS = frozenset(
    ("tee", "cat", "head", "tail", "sort", "uniq", "wc", "nl", "tr", "cut", "column", "less")
)
_SHELLS = frozenset(("bash", "sh", "dash", "zsh", "ksh", "ash"))
_TOLD = frozenset(("--version", "--help", "-h", "-V", "-VV"))
#: Tools of everybody: to print their version or help says nothing of the work.
_TOOLS = frozenset(
    ("git", "make", "cmake", "gcc", "ruff", "mypy", "pyright", "pylint", "flake8", "black", "isort",
     "uv", "pip", "poetry", "hatch", "pdm", "tox", "nox", "coverage", "npm", "node", "cargo", "go",
     "docker", "curl", "tar", "rg", "grep", "sed", "awk", "find", "diff", "pre-commit", "conda",
     "mamba", "sphinx-build", "mkdocs", "twine", "perl", "ruby", "java", "rustc", *_SHELLS)
)  # fmt: skip
#: Subcommands and options that list something, or forget it, and always succeed.
_LISTS = {
    "pip": ("list", "freeze"), "pip3": ("list", "freeze"), "conda": ("list", "info"),
    "mamba": ("list", "info"), "tox": ("-l", "-a", "--listenvs", "--listenvs-all", "list"),
    "nox": ("-l", "--list"), "make": ("-v",), "go": ("version", "env"), "cargo": ("--list",),
    "coverage": ("erase",),
}  # fmt: skip
#: Functions that answer how a program ended instead of raising.
_RUNS = {"os": ("system",), "subprocess": ("run", "call", "Popen"), "pytest": ("main",)}
_PRINTS = frozenset(("this", "site", "platform", "sysconfig", "antigravity", "__hello__"))
_FOLDERS = frozenset((".", "..", "/", "./", "../", "/tmp"))
_NUMBERS = {"-eq": operator.eq, "-ne": operator.ne, "-lt": operator.lt, "-le": operator.le,
            "-gt": operator.gt, "-ge": operator.ge}  # fmt: skip
_SUMS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_COMPARES: dict[type[ast.cmpop], Callable[..., bool]] = {
             ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
             ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.is_,
             ast.IsNot: operator.is_not}  # fmt: skip


def both(one: Outcome, other: Outcome) -> Outcome:
    """Return ``one and other`` where either may be unknown."""
    return False if False in (one, other) else None if None in (one, other) else True


def either(one: Outcome, other: Outcome) -> Outcome:
    """Return ``one or other`` where either may be unknown."""
    return True if True in (one, other) else None if None in (one, other) else False


def outcome(argv: Sequence[str]) -> Outcome:
    """Return how a command ends: always with 0, never, or None where that is open."""
    base = argv[0].rpartition("/")[2]
    words = list(argv[1:])
    if base in _ALWAYS:
        return True
    if base in _NEVER or (base == "tail" and {"-f", "-F", "--follow"} & set(words)):
        return False
    if base in ("exit", "return"):
        return words[0] == "0" if words and words[0].isdigit() else None
    if base in _ALONE and (not words or (words == ["/dev/null"] and base != "printenv")):
        return True
    if base in PREPARES and (base != "mkdir" or "-p" in words):
        return True
    if base == "ls" and all(word.startswith("-") or word in _FOLDERS for word in words):
        return True
    if base == "find" and find_fails_for(argv, _FOLDERS.__contains__) == []:
        return True
    if base in ("cmp", "diff"):
        names = [word.removeprefix("./") for word in words if not word.startswith("-")]
        return True if len(names) == 2 and names[0] == names[1] else None
    if base in _TOOLS and words and (words[-1] in ("--help", "--version") or words[0] in _TOLD):
        return True if all(word.startswith("-") for word in words) or base != "make" else None
    script = shell_script(argv)
    if base in _SHELLS:
        return None if script is None else _script(script, argv[1 : argv.index(script)])
    if base in ("test", "["):
        return _test(base, words)
    if base in ("perl", "ruby") and words[:1] == ["-e"]:
        return True if len(words) == 2 and re.fullmatch(r"[0-9]*;?", words[1]) else None
    if base == "expr" and len(words) == 3 and words[1] in _SUMS:
        if not all(re.fullmatch(r"-?[0-9]{1,9}", word) for word in words[::2]):
            return None
        return _SUMS[words[1]](int(words[0]), int(words[2])) != 0
    if base == "git":
        return _git(words)
    if words and words[0] in _LISTS.get(base, ()):
        return True
    if re.fullmatch(r"(?:python|pypy)[0-9.]*", base):
        return _python(words)
    return None


def find_fails_for(argv: Sequence[str], exists: Callable[[str], bool]) -> list[str] | None:
    """Return the places for which a `find` fails because they do not exist.

    None where what it runs may fail: `-exec … +`, or a removal.
    """
    if {"-exec", "-execdir", "-ok", "-okdir", "-delete"} & set(argv):
        return None
    places = list(takewhile(lambda word: not word.startswith(("-", "(", "!")), argv[1:]))
    return [place for place in places if "$" in place or not exists(place.rstrip("/") or "/")]


def shell_script(argv: Sequence[str]) -> str | None:
    """Return the words after ``-c`` of a shell, None where it runs a file or is no shell."""
    if argv[0].rpartition("/")[2] not in _SHELLS:
        return None
    for index, word in enumerate(argv[1:], 1):
        if re.fullmatch(r"-[a-zA-Z]*c", word):
            return argv[index + 1] if index + 1 < len(argv) else ""
        if not word.startswith(("-", "+")) and argv[index - 1] not in ("-o", "+o"):
            return None
    return None


def only_command(script: str) -> list[str] | None:
    """Return the argv of a script that is one plain command, None where it is more."""
    try:
        steps = read_script(script)
    except NoScript:
        return None
    if len(steps) != 1 or steps[0].behind or len(steps[0].pipeline) != 1:
        return None
    (words,) = steps[0].pipeline
    if isinstance(words, Block):
        return None
    return words if words and words[0] != "!" else None


def _script(script: str, flags: Sequence[str]) -> Outcome:
    """Return how the last of a shell's commands ends; ``set -e`` and ``pipefail`` leave more open.

    ``flags`` are the words before the script.
    """
    try:
        steps = read_script(script)
    except NoScript:
        return None
    commands = list(simple_commands(steps))
    options = [*flags, *(word for words in commands if words[:1] == ["set"] for word in words[1:])]
    traps = [words for words in commands if words[:1] == ["trap"] and len(words) > 2]
    if any({"EXIT", "0"} & set(words[2:]) and _may_end([words[1].split()]) for words in traps):
        first = steps[0].pipeline == traps and [step.before for step in steps[1:2]] == [";"]
        return _script(traps[0][1], flags) if first and not steps[0].behind else None
    stops = any(re.fullmatch(r"-[a-z]*e[a-z]*", word) for word in options) or "errexit" in options
    return _steps(steps, "pipefail" in options, stops)


def _steps(steps: Sequence[Step], pipefail: bool, stops: bool) -> Outcome:
    """Return how the last of some commands ends; `stops`: where one fails all end."""
    value: Outcome = True
    parts: list[Outcome] = []
    for number, step in enumerate(steps):
        ends = [_part(part, pipefail, stops) for part in step.pipeline]
        last = step.pipeline[-1]
        several = len(ends) > 1
        if several and not isinstance(last, Block) and last[0] in _FILTERS:
            ends[-1] = True
        own = ends[-1]
        if several and pipefail:
            own = all(ends) or None
        if several and any(map(_negated, step.pipeline)):
            return None
        if step.behind:  # the script does not wait for it
            own = True
        parts.append(own)
        if step.before == "&&":
            value = both(value, own)
        elif step.before == "||":
            value = either(value, own)
        else:
            value = own
        if several or step.behind:
            continue
        if isinstance(last, Block):
            if last.kind != "(" and _may_end(simple_commands([step])):
                # The last command's end is the script's, whether it comes by `exit` or not.
                return value if last.kind == "{" and _ends(step) else None
        elif last[0] in ("exit", "return"):
            behind = any(each.behind for each in steps)
            if behind or (step.before in ("&&", "||") and number + 1 < len(steps)):
                return None
            break
    return value if not stops or all(parts) else None


def _negated(part: Part) -> bool:
    return part.kind == "!" if isinstance(part, Block) else part[:1] == ["!"]


def _ends(step: Step) -> bool:
    """Tell whether a group alone on its line always leaves the script."""
    (group,) = step.pipeline
    assert isinstance(group, Block)
    plain = all(not isinstance(each.pipeline[0], Block) for each in group.lists[0])
    words = group.lists[0][-1].pipeline[0]
    last = plain and not isinstance(words, Block) and words[0] in ("exit", "return")
    alone = {each.before for each in group.lists[0]} <= {"", ";"}
    return last and alone and step.before in ("", ";")


def _may_end(commands: Iterable[Sequence[str]]) -> bool:
    return any({"exit", "return", "exec", "kill", "break", "continue"} & set(c) for c in commands)


def _part(part: Part, pipefail: bool, stops: bool) -> Outcome:
    if isinstance(part, Block):
        return _block(part, pipefail, stops)
    if part[0] == "!":
        inner = _part(part[1:], pipefail, stops) if part[1:] else True
        return None if inner is None else not inner
    return outcome(part)


def _block(block: Block, pipefail: bool, stops: bool) -> Outcome:
    if block.negated:
        inner = _block(block.negated, pipefail, stops)
        return None if inner is None else not inner
    if block.kind == "case":
        return None
    values = [_steps(each, pipefail, stops) if each else True for each in block.lists]
    if block.kind in ("{", "("):
        return values[0]
    if block.kind != "if":  # no round at all succeeds
        return True if values[1] else None
    if stops:
        return None
    value: Outcome = True  # no condition held, and there is no `else`
    if len(values) % 2:
        value = values.pop()
    for condition, body in reversed(list(zip(values[::2], values[1::2], strict=True))):
        if condition is None:
            value = value if value is body else None
        else:
            value = body if condition else value
    return value


def _test(base: str, words: list[str]) -> Outcome:
    if base == "[":
        if words[-1:] != ["]"]:
            return False
        words = words[:-1]
    if any("$" in word or "`" in word for word in words):
        return None
    for mark, join in (("-o", either), ("-a", both)):
        if mark in words[1:-1] and len(words) > 3 and not {"(", "\\("} & set(words):
            at = words.index(mark, 1)
            return join(_test("test", words[:at]), _test("test", words[at + 1 :]))
    if len(words) > 1 and words[0] == "!":
        inner = _test("test", words[1:])
        return None if inner is None else not inner
    if len(words) < 2:
        return bool(words and words[0])
    if len(words) == 2:
        mark, word = words
        if mark in ("-n", "-z"):
            return bool(word) is (mark == "-n")
        if word == "/dev/null":
            return {"-e": True, "-r": True, "-w": True, "-f": False, "-d": False}.get(mark)
        if word in _FOLDERS and mark in ("-e", "-d", "-r", "-x", "-f"):
            return mark != "-f"
        return None
    if len(words) == 3:
        one, mark, other = words
        if mark in ("=", "==", "!="):
            return (one == other) is (mark != "!=")
        if mark in _NUMBERS:
            try:
                return bool(_NUMBERS[mark](int(one), int(other)))
            except ValueError:
                return False
    return None


def git_words(words: Sequence[str]) -> list[str]:
    """Return the subcommand of git and its arguments."""
    words = list(words)
    while words[:1] and words[0].startswith("-"):
        words = words[2:] if words[0] in ("-C", "-c") else words[1:]
    return words


def _git(words: list[str]) -> Outcome:
    name, *rest = git_words(words) or [""]
    named = [word for word in rest if not word.startswith("-")]
    if name in ("status", "version"):
        return True
    if name == "ls-files":
        return None if "--error-unmatch" in rest else True
    if name == "rev-parse":
        return True if set(named) <= {"HEAD"} else None
    if name == "diff" and len(named) == 2 and named[0] == named[1] and "--" not in rest:
        return True
    if name in ("log", "branch", "diff", "reflog", "show", "remote"):
        told = {"--exit-code", "--quiet", "--check"} & set(rest)
        return None if told or named else True
    return None


def _python(words: list[str]) -> Outcome:
    position = 0
    while position < len(words):
        word = words[position]
        value = words[position + 1] if position + 1 < len(words) else ""
        if word in ("-W", "-X"):
            position += 1
        elif re.fullmatch(r"-[A-Zbdisuv]*c", word):
            return _code(value)
        elif word == "-m":
            if value == "http.server":
                return False
            own = value.partition(".")[0] in sys.stdlib_module_names or value in _TOOLS
            lists = "".join(words[position + 2 : position + 3]) in _LISTS.get(value, ())
            return True if value in _PRINTS or lists or (own and words[-1] in _TOLD) else None
        elif word in _TOLD:
            return True
        elif word != "-" and not word.startswith("-"):
            return None
        position += 1
    return True  # it reads a program from the closed input


def _code(text: str) -> Outcome:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    runs = _runners(body)
    for node in body:
        if isinstance(node, ast.Assert):
            value = _constant(node.test)
            if not value:
                return None if value is None else False
        elif isinstance(node, ast.Raise):
            return _exits(node.exc) if _called(node.exc) == "SystemExit" else False
        elif isinstance(node, ast.Expr) and _called(node.value) in ("exit", "quit", "_exit"):
            return _exits(node.value)
        elif not _harmless(node) and not _thrown_away(node, runs):
            return None
    return True


def _runners(body: Sequence[ast.stmt]) -> dict[str, str]:
    """Return the names under which a program has `os`, `subprocess` and `pytest`."""
    aliases = (alias for node in body if isinstance(node, ast.Import) for alias in node.names)
    return {a.asname or a.name: a.name for a in aliases if a.name in _RUNS}


def _thrown_away(node: ast.stmt, runs: dict[str, str]) -> bool:
    """Tell whether a statement starts a program and does not look at how it ended."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return False
    owner = call.func.value
    module = runs.get(owner.id, "") if isinstance(owner, ast.Name) else ""
    raises = any(keyword.arg in ("check", None) for keyword in call.keywords)
    return call.func.attr in _RUNS.get(module, ()) and not raises


def _harmless(node: ast.stmt) -> bool:
    """Tell whether a statement always goes on: a constant, ``print`` of one, a standard import."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
        return all(
            name == "pytest" or name.partition(".")[0] in sys.stdlib_module_names for name in names
        )
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] in sys.stdlib_module_names
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Expr):
        value = node.value
        printed = isinstance(value, ast.Call) and _called(value) == "print"
        parts = value.args if isinstance(value, ast.Call) and printed else [value]
        return all(isinstance(part, ast.Constant) for part in parts)
    return isinstance(node, ast.Pass)


def _called(node: ast.expr | None) -> str:
    name = node.func if isinstance(node, ast.Call) else node
    if isinstance(name, ast.Attribute):
        return name.attr
    return name.id if isinstance(name, ast.Name) else ""


def _exits(node: ast.expr | None) -> Outcome:
    if not isinstance(node, ast.Call):
        return True if isinstance(node, ast.Name) else None  # `raise SystemExit`
    if not node.args:
        return True
    argument = node.args[0]
    return not argument.value if isinstance(argument, ast.Constant) else None


def _constant(node: ast.expr) -> Outcome:
    """Return the truth of a constant, of its negation, of a comparison of two."""
    if isinstance(node, ast.Constant):
        return bool(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _constant(node.operand)
        return None if inner is None else not inner
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = node.left, node.comparators[0]
        compare = _COMPARES.get(type(node.ops[0]))
        if compare and isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            try:
                return bool(compare(left.value, right.value))
            except TypeError:
                return False
    return None
