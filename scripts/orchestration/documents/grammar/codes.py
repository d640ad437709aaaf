"""What every diagnostic code means: title, why it matters, how to fix it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """The documentation of one diagnostic code."""

    title: str
    why: str
    fix: str


CODES: dict[str, Code] = {
    "E00": Code(
        "document cannot be read",
        "It is absent, larger than 10 MB, or not text; nothing else can be checked.",
        "Name an existing text file; move old entries to docs/archive/.",
    ),
    "E01": Code(
        "no focus, or a focus that the ledger does not know",
        "A turn works for exactly one ledger item; work for none of them cannot be progress.",
        "Write `Focus: ID` with an id that `orchestrate ledger list` shows, or add the item.",
    ),
    "E02": Code(
        "focus is not open, or a dependency is unmet",
        "A done, dropped, waiting or blocked item takes no orders; dependencies come first.",
        "Choose a runnable item (`orchestrate status`), or reopen it with a reason.",
    ),
    "E03": Code(
        "selector is missing, names an absent path, or collects nothing",
        "A guard that collects no test cannot fail, so its pass is no evidence.",
        "Name a test that exists, or a task that creates it: `new: tests/x.py::test_y`.",
    ),
    "E04": Code(
        "a task names a path or symbol that does not exist",
        "Orders once invented symbols of Markdown files to look like code work.",
        "Correct the path, or mark what the task creates with `new:`.",
    ),
    "E05": Code(
        "the selector is not among the checks, or its block is empty",
        "The header and the commands must speak of the same test, or one of them is stale.",
        "Put `pytest SELECTOR` first under `## Checks`.",
    ),
    "E06": Code(
        "this order was given before",
        "Repeating an order that did not work was the longest stall of the earlier system.",
        "Change the order, or say why it should work now: `Retry-reason: …`.",
    ),
    "E07": Code(
        "a task touches a surface that the mode or the protection forbids",
        "Docs orders change no product code; protected paths need a person's approval.",
        "Change the mode or the path; `orchestrate approve` grants a protected path.",
    ),
    "E08": Code(
        "the order advances no criterion of its item",
        "Progress is a criterion whose check newly passes; nothing else counts.",
        "Cite the criterion in the goal (`advances C2`) or in the focus (`Focus: ID.C2`).",
    ),
    "E09": Code(
        "a timestamp lies in the future, or a report directory was made by hand",
        "Only the harness stamps time and allocates report directories; stamps were invented.",
        "Remove the stamp; name artifacts without a directory (it is `$TURN_DIR`).",
    ),
    "E10": Code(
        "base commit is unknown",
        "The attempt starts from the base; an unknown one cannot be checked out.",
        "Write a commit that `git rev-parse` knows, or leave Base out.",
    ),
    "E11": Code(
        "more than one focus",
        "One focus a turn: otherwise no verdict can be assigned to an item.",
        "Split the order.",
    ),
    "E12": Code(
        "a command needs a shell, or cannot be split",
        "Commands run without a shell; what only a shell can do would silently not happen.",
        "Put the commands in a checked-in script and name it: `bash scripts/check.sh`.",
    ),
    "E13": Code(
        "a task names no file, or there is no task",
        "A task without a place cannot be checked against the change.",
        "Write `- [ ] T1 `path::symbol` — change`, or use Mode: Docs.",
    ),
    "E14": Code(
        "the goal is missing",
        "A worker that does not know the goal cannot tell when it is reached.",
        "Add `## Goal` with one to five lines.",
    ),
    "E15": Code(
        "unknown mode",
        "The mode decides what may change and whether red comes first.",
        "Use TDD, Parity, Perf, Docs, Implementation or none.",
    ),
    "E16": Code(
        "a contract's file or line does not exist",
        "A rule must be readable where the order says it stands.",
        "Correct `path:line`, or quote the rule's new place.",
    ),
    "E17": Code(
        "the order is for another branch",
        "Landing it here would mix two lines of work.",
        "Correct `Branch:`, or switch the branch.",
    ),
    "E20": Code(
        "unknown status",
        "A status decides what runs; a word that nobody defined decides nothing.",
        "Use open, in_progress, waiting, blocked, done or dropped, then ` — reason`.",
    ),
    "E21": Code(
        "waiting item without a way to end the wait",
        "Waiting costs nothing only if a command can tell that it is over.",
        "`- Status: waiting — On: who; Check: command; Poll: 60s; Until: 2030-01-01`.",
    ),
    "E22": Code(
        "two entries have one id",
        "A status change could land on the wrong one.",
        "Merge them or rename one.",
    ),
    "E23": Code(
        "dependency on an unknown item",
        "The item would never become runnable.",
        "Add the item, correct the id, or describe the dependency in words.",
    ),
    "E24": Code(
        "dependency cycle",
        "No item of a cycle can ever start.",
        "Remove one of the edges.",
    ),
    "E25": Code(
        "done item with an open criterion",
        "Done means that every criterion's check passed.",
        "Reopen the item, or let the harness verify and tick the row.",
    ),
    "E26": Code(
        "two rows of one item have one id",
        "A tick could land on the wrong row.",
        "Give every row its own id.",
    ),
    "E27": Code(
        "a key stands twice",
        "Only one of the two lines can hold, and nobody can tell which one was meant.",
        "Keep one of them.",
    ),
    "E28": Code(
        "a check that cannot fail, or cannot pass",
        "A check that says nothing of the work would close a criterion that nobody met.",
        "Name a command that fails today and passes when the work is done.",
    ),
    "E30": Code(
        "evidence of a finding is missing",
        "A finding whose evidence is gone cannot be trusted or re-checked.",
        "Correct the path, or mark the finding Superseded.",
    ),
    "E31": Code(
        "a finding supersedes an unknown finding",
        "The chain from old to new knowledge is broken.",
        "Correct the id.",
    ),
    "W01": Code(
        "the guard does not belong to the touched files",
        "A guard that cannot fail because of the change proves nothing about it.",
        "Choose a test that imports or names what the tasks change.",
    ),
    "W02": Code(
        "the document is above its size budget",
        "Everything in it is read on every turn.",
        "Cut it down to what this turn needs (an order: 12 KB).",
    ),
    "W03": Code(
        "symbol of a file that is not code",
        "Symbols are looked up in Python files; elsewhere they are decoration.",
        "Name the file alone.",
    ),
    "W04": Code(
        "unknown finding",
        "The order refers to a lesson that docs/findings.md does not hold.",
        "`orchestrate findings search WORD` lists them; `findings add` records one.",
    ),
    "W05": Code(
        "unknown key or section",
        "It is kept, but nothing acts on it.",
        "Use a key of docs/specs/documents.md, or move the text to `## Notes`.",
    ),
    "W06": Code(
        "historic form",
        "It loads, but the canonical form is what people and tools should share.",
        "`orchestrate validate --fix` rewrites it.",
    ),
    "W07": Code(
        "something in a command that no shell will expand",
        "Without a shell, `*` and unknown `$NAME` reach the program as they are.",
        "Name the files, or put the command in a script.",
    ),
    "W08": Code(
        "done with deferral",
        "A deferred row is work that the status hides.",
        "Make sure that the named item has the row as a criterion.",
    ),
    "W09": Code(
        "malformed row or heading was repaired",
        "Other readers will not see it.",
        "Write it as the message says.",
    ),
    "W10": Code(
        "missing field",
        "A default is used.",
        "Add the line that the message names.",
    ),
    "W11": Code(
        "fence or comment is never closed",
        "The rest of the document is inside it and invisible.",
        "Close it.",
    ),
    "W12": Code(
        "unknown priority",
        "The default P2 is used.",
        "Use P0, P1, P2, P3 or Critical, High, Medium, Low.",
    ),
    "W13": Code(
        "third plan-local extension",
        "Plan-local tools once grew by 5 544 lines while no product line changed.",
        "Change product code, or move the tool to scripts/ and give it a test.",
    ),
    "W14": Code(
        "too many items in progress",
        "Each open front costs attention on every turn.",
        "Finish, park or drop some.",
    ),
    "W15": Code(
        "open item without an exit criterion",
        "Nothing can show progress on it, so it stalls after two cycles.",
        "Add `- Exit:` rows with a check command.",
    ),
    "W16": Code(
        "done item with an unfinished dependency",
        "One of the two statuses is wrong.",
        "Correct the status or the dependency.",
    ),
    "W17": Code(
        "wait is past its deadline",
        "The item counts as blocked.",
        "Extend Until, or unblock the item.",
    ),
    "W18": Code(
        "finding without a check",
        "Nobody can re-check whether it still holds.",
        "Add `Check: command` to its section.",
    ),
    "W19": Code(
        "the rewritten document does not read exactly as the old one",
        "The old text was damaged in a way that the canonical form cannot express.",
        "Compare it with the old text under `Kept as written`, or fix it by hand.",
    ),
    "W20": Code(
        "memory entry is out of order",
        "Either its stamp or its place in the file is wrong.",
        "Nothing to do: the log's own stamps count.",
    ),
    "W21": Code(
        "claimed dwell disagrees with the recomputed one",
        "Self-reported dwell failed to rise in a third of the measured cycles.",
        "Nothing to do: the harness computes dwell.",
    ),
    "W22": Code(
        "an order was issued again without execution",
        "Re-issuing the same order was the longest stall on record.",
        "Change the order, the item, or the worker.",
    ),
    "W23": Code(
        "a proposed fix was reported as failed",
        "The entry proposes what another entry tried without success.",
        "State what is different this time.",
    ),
    "W24": Code(
        "unknown state word",
        "The action states are gathering_evidence, planning, ready_for_implementation.",
        "Nothing to do: it is kept as `unknown:WORD`.",
    ),
    "W25": Code(
        "memory entry without the fields of its kind",
        "It was written by another role or lost its summary line.",
        "Nothing to do: it is kept.",
    ),
    "W26": Code(
        "a status in words of its own",
        "It is read as one of the six statuses, and a wait for an item as a dependency.",
        "Write the status and the dependency that the message names.",
    ),
    "W27": Code(
        "some lines of a list were not read",
        "The message counts them: what is not read takes no part in anything.",
        "Write them as the message says.",
    ),
    "W28": Code(
        "a check that runs no test today",
        "It stays red until somebody writes what it names; a wrong name stays red for ever.",
        "Correct the name, or write what it names; a recipe may say `may edit tests: GLOB`.",
    ),
}


def explain(code: str) -> str | None:
    """Return the explanation of a code in three lines, or None when there is no such code."""
    entry = CODES.get(code.strip().upper())
    if entry is None:
        return None
    kind = "error" if code.strip().upper().startswith("E") else "warning"
    return f"{code.strip().upper()} ({kind}): {entry.title}\n  why: {entry.why}\n  fix: {entry.fix}"
