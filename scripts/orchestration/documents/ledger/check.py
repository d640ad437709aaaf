"""Checks over a whole ledger: dependency graph, statuses, criteria."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from orchestration.documents.grammar import Diagnostic, cycles, make, no_evidence
from orchestration.documents.ledger.model import Item, Ledger, Status
from orchestration.documents.ledger.values import named_in

#: More items in progress than this are a warning: work in progress is waste.
WIP_CAP = 2


def check_ledger(
    ledger: Ledger,
    now: datetime | None = None,
    *,
    program: Callable[[str], bool] | None = None,
) -> list[Diagnostic]:
    """Return the reader's diagnostics and those of graph and checks, in line order.

    ``program`` tells whether a command can be found; None leaves the question out.
    """
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
        if item.status not in (Status.DONE, Status.DROPPED):
            found += _checks(item, ledger.path, program)
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


def _checks(
    item: Item,
    path: str,
    program: Callable[[str], bool] | None,
) -> list[Diagnostic]:
    """E28: open criteria whose command says nothing of the work."""
    found = []
    fix = "name a command that fails today and passes when the work is done"
    for criterion in item.criteria:
        if criterion.command is None or not criterion.open:
            continue
        why = no_evidence(criterion.command, program=program)
        if why:
            message = (
                f"{item.id} {criterion.id}: `{criterion.command.text[:80]}` is no check: {why}"
            )
            found.append(make("E28", path, criterion.line, message, fix))
    return found


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
