"""What an attempt is judged by is trusted by its path, whatever it is called."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from orchestration.core import matches, payloads
from orchestration.documents.grammar import Command
from orchestration.gates import scope
from orchestration.harness import OF_TURNS
from orchestration.turns.case import Case

SOURCES = {".py", ".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".cc", ".cpp", ".hpp", ".cu", ".rs"}
SOURCES |= {".f", ".f90", ".jl"}


def is_trusted(case: Case, path: str) -> bool:
    """Whether a file is the trusted commit's in every run: tests, settings, what the guard is."""
    return scope.is_guarded(path) or matches(path, case.guard_files)


def named(case: Case) -> list[str]:
    """The files that the order's tasks name."""
    return [ref.path for task in case.order.tasks for ref in task.refs]


def look_at_reading(case: Case) -> None:
    """What a guard or criterion has read is trusted by its path, whatever it is called.

    Product code and what the order names may change; a new file that nobody asked for may be a
    table of answers, and is for a reviewer.
    """
    repo, found = case.harness.repo, case.found
    before = repo.list_tree(case.base)
    opened = (*named(case), *case.may_edit, *case.new_tests)
    for path in sorted(case.read.intersection(case.exit.changed)):
        if matches(path, opened) or path in asked_for(case):
            continue
        if _is_product_code(case, path) and not (path in case.ran and "/" not in path):
            continue
        if path in before:
            found.verified, found.ticks = [], []
            found.turn_down(
                "reject",
                f"{path}: what the attempt is judged by reads it, so an attempt does not change it "
                f"(an order that wants it changed names it in its Tasks{_way_out(case, path)})",
                f"reads: {path}",
            )
        else:
            words = "a new file that the guard reads, and no task names it"
            case.suspect([payloads.Flag("R01", path, 0, words)])
    for path in sorted(case.beside.difference(case.read, opened, asked_for(case))):
        if not matches(path, opened) and not _is_product_code(case, path):
            words = "a criterion reads this file, and nobody asked for a change of it"
            case.suspect([payloads.Flag("R03", path, 0, words)])


def _way_out(case: Case, path: str) -> str:
    """What a person does about a source that may be product code for all its path says, or ""."""
    if PurePosixPath(path).suffix not in SOURCES or scope.kind_of(path) != "product":
        return ""
    roots = ", ".join(case.harness.config.import_roots)
    return f"; product code lies below `import_roots:` in orchestration.yaml, here `{roots}`"


PROGRAMS = {".py", ".sh", ".bash", ".mk", ".pl", ".rb", ".js", ".ps1"}
MOST_CLOSED = 500
"""Each closed file is a mount of its own; what more there is, is looked at afterwards."""
HELD_TO = re.compile(
    r"expect|want|gold|refer|truth|baseline|answer|oracle|correct|solution|snapshot|ideal|\bref\b",
    re.IGNORECASE,
)
"""Names of what a result is held to."""


def closed_to(case: Case, argv: Sequence[str]) -> list[str]:
    """What a criterion's command cannot write: tests, settings, and the programs that it names."""
    known = case.harness.repo.list_tree(case.commit)
    named = [p for p in map(posixpath.normpath, argv) if PurePosixPath(p).suffix in PROGRAMS]
    guarded = [path for path in known if is_trusted(case, path)]
    return [path for path in (*named, *guarded) if path in known][:MOST_CLOSED]


def note_criterion(case: Case, argv: Sequence[str], opened: set[str]) -> None:
    """Take over which changed files a criterion's command has opened.

    What it runs, and what a result is held to, is trusted: a file that is called so, or the last of
    several that the command names (`cmp OUT WANTED`). A file that the command names besides is what
    it looks at. Of all else that it reads nobody said what it is: a reviewer is asked.
    """
    known = {*case.exit.changed, *case.harness.repo.list_tree(case.base)}
    operands = [path for path in map(posixpath.normpath, argv[1:]) if path in known]
    data = [path for path in operands if PurePosixPath(path).suffix not in PROGRAMS]
    called = {path for path in (*opened, *data) if HELD_TO.search(path.replace("_", " "))}
    held_to = called or set(data[-1:] if len(data) > 1 else ())
    for path in opened:
        if path in held_to or PurePosixPath(path).suffix in PROGRAMS:
            case.read.add(path)
        elif path not in operands and not case.harness.deterministic:
            case.beside.add(path)


def say_unseen(case: Case, what: str) -> None:
    """Flag a run of which some reads may have been missed."""
    words = f"what {what} read is not known: the kernel dropped some of it"
    case.suspect([payloads.Flag("R02", ".", 0, words)])


def asked_for(case: Case) -> set[str]:
    """Changed paths that the words of the item or of the order's goal and tasks hold.

    A command that is quoted there asks for nothing: it also names what it compares with.
    """
    item, order = case.item, case.order
    texts = [item.title, *(c.meaning for c in item.criteria), str(order.goal or "")]
    texts += [str(task.text) for task in order.tasks]
    commands = [c.command.text for c in item.criteria if c.command is not None]
    for command in sorted((*commands, *(c.text for c in order.checks)), key=len, reverse=True):
        texts = [text.replace(command, " ") for text in texts]
    words = {word.strip("`'\"().,;:") for text in texts for word in text.split()}
    return words.intersection(case.exit.changed)


def _is_product_code(case: Case, path: str) -> bool:
    """Source below a package or module of the import roots, or where a link of the base leads."""
    if PurePosixPath(path).suffix not in SOURCES or scope.kind_of(path) != "product":
        return False
    tree = case.harness.repo.list_tree(case.commit)
    if _is_imported(case, path, tree):
        return True
    for link, target in _links(case):
        if path == target or path.startswith(f"{target}/"):
            package = {f"{link}/__init__.py"} if f"{target}/__init__.py" in tree else set[str]()
            if _is_imported(case, link + path[len(target) :], package):
                return True
    return False


def _links(case: Case) -> list[tuple[str, str]]:
    """The links of the base and the paths in it that they lead to."""
    repo = case.harness.repo
    names = [name for name, e in repo.list_tree(case.base).items() if e.mode == "120000"]
    texts = [repo.read_blob(case.base, name).decode("utf-8", "surrogateescape") for name in names]
    return [
        (name, posixpath.normpath(posixpath.join(posixpath.dirname(name), text)))
        for name, text in zip(names, texts, strict=True)
    ]


def _is_imported(case: Case, path: str, tree: Collection[str]) -> bool:
    """Whether a source lies where the import roots are looked through."""
    pure = PurePosixPath(path)
    for root in case.harness.config.import_roots:
        top = PurePosixPath(root)
        if root in (".", "") or pure.is_relative_to(top):
            inside = pure if root in (".", "") else pure.relative_to(top)
            package = top / inside.parts[0] / "__init__.py"
            flat = len(inside.parts) == 1
            if flat or root not in (".", "") or str(package) in tree:
                return True
    return False


def variables_named(case: Case, command: Command) -> set[str]:
    """Variables of the harness that a command names, or a file of the base that it runs."""
    repo, before = case.harness.repo, case.harness.repo.list_tree(case.base)
    files = [path for path in command.argv if path in before and before[path].mode[:3] == "100"]
    texts = [command.text, *(repo.read_blob(case.base, path).decode("latin-1") for path in files)]
    return {name for name in OF_TURNS if any(name in text for text in texts)}
