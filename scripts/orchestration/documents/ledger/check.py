"""Checks over a whole ledger: dependency graph, statuses, criteria."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from orchestration.core import parse_selector
from orchestration.documents.grammar import (
    Command,
    Diagnostic,
    Selected,
    cycles,
    make,
    no_evidence,
    pytest_words,
    unwrapped,
)
from orchestration.documents.ledger.model import Item, Ledger, Status
from orchestration.documents.ledger.values import named_in

#: More items in progress than this are a warning: work in progress is waste.
WIP_CAP = 2


class Lookups(NamedTuple):
    """What can be asked about the checks of a ledger; None leaves a question out.

    ``program`` tells whether a command can be found, ``exists`` and ``read_lines`` look into the
    repository, ``selects`` says what a ``pytest`` command would run today. ``writes_tests``: orders
    may ask for tests that are not there.
    """

    program: Callable[[str], bool] | None = None
    exists: Callable[[str], bool] | None = None
    read_lines: Callable[[str], Sequence[str] | None] | None = None
    selects: Callable[[Command], Selected] | None = None
    writes_tests: bool = False


def check_ledger(
    ledger: Ledger, now: datetime | None = None, lookups: Lookups | None = None
) -> list[Diagnostic]:
    """Return the reader's diagnostics and those of graph and checks, in line order."""
    lookups = lookups or Lookups()
    found = list(ledger.diagnostics)
    known = {item.id: item for item in ledger.items}
    for item in ledger.items:
        for dependency in item.depends:
            if dependency not in known:
                found.append(
                    make(
                        "E23",
                        ledger.path,
                        item.line,
                        f"{item.id} depends on {dependency}, which is not in the ledger",
                        "add the item, correct the id, or write it as text in parentheses",
                    )
                )
        for text in item.external:
            if lost := [word for word in named_in(text) if word in known]:
                message = f"{item.id}: `{text[:80]}` names {', '.join(lost)} among other words"
                fix = "one id for each comma; other words in parentheses"
                found.append(make("E23", ledger.path, item.line, message, fix))
        found += _item(item, known, ledger.path, now)
        found += _checks(item, ledger.path, lookups)
    for cycle in find_cycles(ledger):
        shown = [*cycle[:20], "…"] if len(cycle) > 20 else cycle
        message = "dependency cycle: " + " → ".join([*shown, cycle[0]])
        found.append(
            make("E24", ledger.path, known[cycle[0]].line, message, "remove one of these edges")
        )
    active = [item.id for item in ledger.items if item.status is Status.IN_PROGRESS]
    if len(active) > WIP_CAP:
        message = f"{len(active)} items in progress ({', '.join(active[:6])}), at most {WIP_CAP}"
        found.append(make("W14", ledger.path, 0, message, "finish or park some"))
    return sorted(found, key=lambda d: (d.line, d.code))


def _item(item: Item, known: dict[str, Item], path: str, now: datetime | None) -> list[Diagnostic]:
    found = []
    if item.status in (Status.OPEN, Status.IN_PROGRESS) and not item.criteria:
        message = f"{item.id} has no exit criterion: nothing can show progress on it"
        found.append(make("W15", path, item.line, message, "add `- Exit:` rows with a command"))
    if item.status is Status.DONE:
        left = [c.id for c in item.criteria if c.open]
        if left:
            message = f"{item.id} is done, but {', '.join(left)} is not ticked"
            found.append(make("E25", path, item.line, message, "reopen it or tick the row"))
        unmet = [d for d in item.depends if d in known and known[d].status is not Status.DONE]
        if unmet:
            message = f"{item.id} is done, but its dependency {', '.join(unmet)} is not"
            found.append(make("W16", path, item.line, message))
    if item.waiting and now and item.waiting.expired(now):
        message = f"{item.id} waits past its Until: it counts as blocked"
        found.append(make("W17", path, item.line, message, "extend Until, or unblock the item"))
    names = [c.id for c in item.criteria]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 2000 else []
    if twice:
        message = f"{item.id} has two criteria named {', '.join(twice)}"
        found.append(make("E26", path, item.line, message, "give every row its own id"))
    return found


def commands_of(ledger: Ledger) -> list[Command]:
    """Return the checks of a ledger that are open: guards, and commands of criteria."""
    return [command for item in ledger.items for _, command, _ in _open_checks(item)]


def _open_checks(item: Item) -> list[tuple[str, Command, int]]:
    """Name, command and line of the guard and the open criteria of an item that is not over."""
    if item.status in (Status.DONE, Status.DROPPED):
        return []
    rows = [(f"{item.id} {c.id}", c.command, c.line) for c in item.criteria if c.command and c.open]
    if item.guard:
        argv = ("pytest", *parse_selector(item.guard).argv)
        guard = Command(f"pytest {item.guard}", argv=argv, line=item.line)
        rows.insert(0, (f"{item.id} Guard", guard, item.line))
    return rows


def _checks(item: Item, path: str, lookups: Lookups) -> list[Diagnostic]:
    """E28 and W28: open criteria that say nothing of the work, or that run no test today."""
    found, told = [], set[str]()
    for name, command, line in _open_checks(item):
        if command.text in told:
            continue
        told.add(command.text)
        code, why = _what_is_wrong(command, item, lookups)
        if code:
            words = "is no check" if code == "E28" else "runs no test today"
            message = f"{name}: `{command.text[:80]}` {words}: {why}"
            found.append(make(code, path, line, message, _FIXES[code]))
    return found


_FIXES = {
    "E28": "name a command that fails today and passes when the work is done",
    "W28": "correct the name, write what it names, or fix what pytest says",
}


def _what_is_wrong(command: Command, item: Item, lookups: Lookups) -> tuple[str, str]:
    """The code and the reason; ("", "") of a check as it should be.

    A test that is not there may be written; what can never pass, whoever writes, is an error, and
    so is an expression that leaves no test where nobody is asked to write one.
    """
    program, read_lines = lookups.program, lookups.read_lines
    writes = lookups.writes_tests or any(recipe.may_edit_tests for recipe in item.recipes)
    why = no_evidence(command, program=program, read_lines=None if writes else read_lines)
    if why:
        return "E28", why
    why = no_evidence(command, program=program, exists=lookups.exists, read_lines=read_lines)
    if why:
        return "W28", why
    selected = lookups.selects(command) if lookups.selects else Selected("some")
    if selected.tests == "some":
        return "", ""
    words = pytest_words(unwrapped(command.argv)) or ()
    narrowed = any(word == "-m" or word.startswith("-k") for word in words)
    never = selected.tests == "never" or (narrowed and not writes)
    return "E28" if never else "W28", selected.why


def find_cycles(ledger: Ledger) -> list[list[str]]:
    """Return the dependency cycles, each once, starting at its first item in the document."""
    return cycles({item.id: item.depends for item in ledger.items})


def unmet_dependencies(ledger: Ledger, item: Item) -> list[str]:
    """Return the dependencies of ``item`` that are absent or not done, recomputed."""
    unmet = []
    for dependency in item.depends:
        other = ledger.item(dependency)
        if other is None or other.status is not Status.DONE:
            unmet.append(dependency)
    return unmet
