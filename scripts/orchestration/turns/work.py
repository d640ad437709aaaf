"""One worker turn: a workspace at the recorded base, the order in it, an agent, a snapshot.

Nothing here judges the result; `verify` does, from the snapshot alone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path

from orchestration.agents import Outcome, OutcomeKind, TurnContext
from orchestration.core import RetryLater, compact_stamp, matches, payloads
from orchestration.documents.ledger import Item
from orchestration.documents.order import Order
from orchestration.errors import HarnessError
from orchestration.gates import artifacts, secrets, take_evidence
from orchestration.harness import Harness
from orchestration.sandbox import FILE_FENCES, entries_below
from orchestration.turns import installation, outside
from orchestration.turns.checkouts import furnish_workspace
from orchestration.turns.order import recipes_for
from orchestration.turns.outage import run_through
from orchestration.turns.reported import NAME, Report, take_report
from orchestration.turns.workspace import (
    Snapshot,
    Workspace,
    create,
    is_laid,
    remove_tree,
    slug,
)

MAX_TEXT = 4_000
SAID = "said.txt"
"""The agent's last words, whole, in the harness's folder of a turn."""
LEFT = "left.json"
"""In the same folder: what the agent left in its report, by path, with its SHA-256."""


def turn_dir(harness: Harness, turn: int) -> Path:
    """The harness's own folder of a turn, outside every checkout."""
    return harness.repo.state_dir / "turns" / f"{turn:06d}"


def report_path(item_id: str, stamp: str) -> str:
    """Where a turn's evidence lies in the repository."""
    return f"plans/active/{slug(item_id)}/reports/{stamp}"


def new_stamp(harness: Harness) -> str:
    """A report directory name for now that no earlier turn of this repository has."""
    told = (event.payload for event in harness.log.events if event.kind in ("dispatch", "block"))
    taken = {p.stamp for p in told if isinstance(p, payloads.Dispatched | payloads.Blocked)}
    now = compact_stamp(harness.clock.now())
    if now not in taken:
        return now
    number = 2
    while f"{now}-{number}" in taken:
        number += 1
    return f"{now}-{number}"


def prepare(harness: Harness, item: Item, n: int, base: str, folder: Path) -> Workspace:
    """The attempt's clean workspace at its base, and the turn's empty folder.

    What an interrupted agent left in it is kept as a commit in the reflog of the attempt's branch.
    """
    resumed = is_laid(harness.repo, item.id, n)
    workspace = create(harness.repo, item.id, n, base)
    saved = _saved(harness, workspace) if resumed else None
    if saved is not None:
        harness.say(f"kept what an interrupted attempt left as {saved[:12]}")
    workspace.point_at(base)
    furnish_workspace(harness.repo, harness.config, workspace.path, base)
    workspace = replace(workspace, untouched_files=workspace.files())
    if folder.exists():
        remove_tree(folder)
    for part in artifacts.FOLDERS:
        (folder / "report" / part).mkdir(parents=True)
    (folder / "logs").mkdir()
    return workspace


def _saved(harness: Harness, workspace: Workspace) -> str | None:
    """Empty the workspace of what an interrupted agent left; the commit that holds it, if any."""
    words = None
    try:
        saved = workspace.snapshot("interrupted attempt")
        if not saved.empty:
            words = saved.commit
        workspace.remove()
    except (HarnessError, OSError) as problem:
        harness.say(f"what an interrupted attempt left cannot be read: {problem}")
        harness.say(f"kept as it is: {workspace.set_aside()}")
    create(workspace.repo, workspace.item, workspace.n, workspace.base)
    return words


def abandon(harness: Harness, item_id: str, n: int, base: str) -> None:
    """Remove the workspace of an attempt that nobody goes on with.

    What lies in it stays on the attempt's branch.
    """
    if not is_laid(harness.repo, item_id, n):
        return
    workspace = create(harness.repo, item_id, n, base)
    saved = _saved(harness, workspace)
    if saved is not None:
        harness.say(f"kept what an interrupted attempt left as {saved[:12]}")
    workspace.remove()


def run_agent(
    harness: Harness,
    item: Item,
    order: Order,
    brief: str,
    workspace: Workspace,
    folder: Path,
    order_text: str,
    readable: tuple[str, ...] = (),
    answers: Callable[[str], bool] = lambda said: False,
) -> payloads.AgentEnded:
    """Run the agent and return its claims and the snapshot of what it left.

    `folder` is the harness's own of the turn; `readable` opens more to the agent. `answers` tells
    whether what it printed is the result that was asked for, where that need not be a file.
    """
    report = folder / "report"
    order_file = workspace.path / harness.config.order
    order_file.parent.mkdir(parents=True, exist_ok=True)
    order_file.write_text(order_text, encoding="utf-8")
    (folder / "order.md").write_text(order_text, encoding="utf-8")
    (folder / "brief.md").write_text(brief, encoding="utf-8")
    doable = copy(item)
    doable.recipes = recipes_for(item, order.row)
    opened = harness.config.for_agents()
    context = TurnContext(
        workspace=workspace.path,
        order=order,
        item=doable,
        brief=brief,
        env=harness.agent_environment(workspace.path, report, item.id),
        clocks=harness.clocks(),
        log_dir=folder / "logs",
        report_dir=report,
        order_path=harness.config.order,
        isolation=harness.config.isolation,
        max_processes=harness.config.max_processes,
        opened=replace(opened, readable=(*opened.readable, *readable)),
        now=harness.clock.now,
    )
    if not harness.deterministic and outside.level_of(harness) not in FILE_FENCES:
        harness.say("no fence: this agent can change every file that you can (isolation: none)")
    started = harness.clock.monotonic()
    watched = f"{harness.agent.name} on {item.id}"
    with (
        installation.kept(harness, context.opened) as touched,
        harness.busy(watched, log=folder),
        outside.told(harness) as changed,
    ):
        try:
            outcome = run_through(
                harness,
                context,
                item.id,
                lambda turn: _run(harness, turn),
                lambda outcome: (
                    not answers(outcome.text)
                    and _left_nothing(harness, workspace, report, order_text)
                ),
            )
        except RetryLater:
            _black_out(harness, report)
            raise
    seconds = harness.clock.monotonic() - started
    ended = _exit_facts(harness, workspace, report, outcome, seconds)
    return replace(ended, escaped=tuple(changed), tamper=installation.words(touched))


def _run(harness: Harness, context: TurnContext) -> Outcome:
    """Run the agent; a harness error inside it (a missing program) is an outcome, not an end."""
    try:
        return harness.agent.run(context)
    except HarnessError as problem:
        level = outside.level_of(harness)
        return Outcome(kind="crash", text=str(problem), dead=True, isolation=level)


def _left_nothing(harness: Harness, workspace: Workspace, report: Path, order_text: str) -> bool:
    """Whether a turn so far has left neither a change, an order of its own, nor evidence."""
    if _holds_a_file(report):
        return False
    try:
        kept = (workspace.path / harness.config.order).read_bytes() == order_text.encode()
    except OSError:
        kept = False
    if not kept:
        return False
    return workspace.untouched(exclude=[harness.config.order])


def _exit_facts(
    harness: Harness,
    workspace: Workspace,
    report: Path,
    outcome: Outcome,
    seconds: float,
) -> payloads.AgentEnded:
    past = "" if harness.deterministic else _take_evidence(harness, report)
    told = Report("") if harness.deterministic else _reported(harness, workspace, report)
    said = secrets.redact(told.summary or outcome.text, harness.secret_values())
    words = secrets.redact(outcome.text, harness.secret_values())
    (report.parent / SAID).write_text(words, encoding="utf-8", errors="replace")
    collected = collect_artifacts(harness, workspace, report, outcome.artifacts)
    leaks = _black_out(harness, report)
    _note_left(report)
    own = [harness.config.order, harness.config.ledger, harness.config.memory]
    unread, what = "", f"attempt {workspace.n} of {workspace.item}"
    try:
        snapshot = workspace.snapshot(what, exclude=[*own, *collected])
    except (HarnessError, OSError) as problem:
        unread = _words(problem)
        tree = harness.repo.tree_of(workspace.base)
        snapshot = Snapshot(workspace.base, tree, ())
    brought = workspace.untouched_files
    left_out = [n for n in snapshot.ignored if not brought or n not in brought.ignored]
    for name in left_out[:10]:
        harness.say(f"not taken from the workspace: {name}, which git ignores (.gitignore)")
    litter = [n for n in snapshot.litter if not brought or n not in brought.litter]
    litter = [n for n in litter if not n.endswith("__pycache__")]
    if litter:
        more = f" and {len(litter) - 8} more" if litter[8:] else ""
        names = ", ".join(litter[:8])
        harness.say(
            f"not taken from the workspace: {names}{more} (caches, files of agents' programs)"
        )
    for line in snapshot.skipped[:10]:
        harness.say(f"not taken from the workspace: {line}")
    kind = _kind(outcome, told, idle=not (unread or snapshot.changed or collected))
    tokens = None if outcome.tokens is None else sum(outcome.tokens.values())
    return payloads.AgentEnded(
        outcome=kind,
        text=said[-MAX_TEXT:],
        session=outcome.session,
        tokens=tokens,
        cost=outcome.cost,
        denials=tuple(
            secrets.redact(str(words), harness.secret_values()) for words in outcome.denials[:50]
        ),
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        isolation=outcome.isolation,
        process_limit=outcome.process_limit,
        seconds=round(seconds, 3),
        snapshot=snapshot.commit,
        tree=snapshot.tree,
        changed=snapshot.changed,
        leaks=tuple(leaks),
        agent=harness.agent.name,
        unread=unread or past,
        clock=outcome.clock or "",
        left_out=tuple(left_out[:10]),
        litter=tuple(litter[:10]),
        reported=secrets.redact(told.claim, harness.secret_values()),
    )


def _note_left(report: Path) -> None:
    """Remember, outside the report, what in it is the agent's: the harness will add its own."""
    left = artifacts.inventory(report, file_cap_bytes=1 << 60, total_cap_bytes=1 << 60)
    told = {entry.path: entry.sha256 for entry in left.entries}
    (report.parent / LEFT).write_text(json.dumps(told), encoding="utf-8")


def left_by_agent(report: Path) -> set[str]:
    """The files of a turn's report that the agent wrote and the harness has not written over."""
    try:
        told = json.loads((report.parent / LEFT).read_bytes())
    except (OSError, ValueError):  # a turn of an earlier version
        return set()
    kept = artifacts.inventory(report, file_cap_bytes=1 << 60, total_cap_bytes=1 << 60)
    return {entry.path for entry in kept.entries if told.get(entry.path) == entry.sha256}


def _holds_a_file(folder: Path) -> bool:
    """Whether anything but a few empty folders is in a report."""
    waiting = [folder]
    for place in waiting:  # which grows
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False) or len(waiting) > 100:
                        return True
                    waiting.append(Path(entry.path))
        except OSError:
            return True
    return False


def _take_evidence(harness: Harness, report: Path) -> str:
    """Make the report the harness's own; the bound that it passes, or ""."""
    past, left = "", report.with_name(report.name + ".left")
    try:
        lines = take_evidence(report)
        for line in lines[:10]:
            harness.say(f"not taken from the report: {line}")
    except (HarnessError, OSError) as problem:
        past = _words(problem)
    if os.path.lexists(left):
        remove_tree(left)
    return past


def _words(problem: Exception) -> str:
    return " ".join(str(problem).split())[:500]


def _kind(outcome: Outcome, told: Report, *, idle: bool) -> OutcomeKind:
    """How the turn ended: the program's own word, lowered by what the agent reports."""
    if outcome.kind in ("done", "partial"):
        if told.claim in ("blocked", "refused"):
            return told.claim  # type: ignore[return-value]
        if idle and outcome.kind == "done":
            return "no_change"  # read from the files: the agent's git is not asked
        if told.claim == "partial":
            return "partial"
    return outcome.kind


def _reported(harness: Harness, workspace: Workspace, report: Path) -> Report:
    """What the agent reports; an `outcome.json` of the product's own is no report."""
    own = harness.repo.exists_in(workspace.base, NAME)
    return take_report(report, report if own else workspace.path)


def _black_out(harness: Harness, report: Path) -> list[str]:
    """Black out credentials in all that the turn wrote; returns those in its report.

    The report would be committed, so a credential in it turns the attempt down. What the agent
    merely said stays on this machine: it is blacked out and told.
    """
    known = harness.secret_values()
    said = secrets.black_out(report.parent / "logs", known)
    for leak in said:
        harness.say(f"blacked out in the agent's output: {leak}")
    return [str(leak) for leak in secrets.black_out(report, known)]


def collect_artifacts(
    harness: Harness, workspace: Workspace, report: Path, globs: tuple[str, ...]
) -> list[str]:
    """Copy what a recipe declared as artifacts into the report; returns the paths taken.

    Tracked files are copied and stay part of the attempt; new ones move into the report.
    """
    if not globs:
        return []
    tracked = harness.repo.list_tree(workspace.base)
    taken = []
    for path in sorted(Path(entry.path) for entry in entries_below(workspace.path)):
        name = path.relative_to(workspace.path).as_posix()
        if name.startswith(".git/") or not path.is_file() or path.is_symlink():
            continue
        if matches(name, globs):
            goal = report / "analysis" / path.name
            if goal.exists():
                goal = report / "analysis" / name.replace("/", "_")
            shutil.copyfile(path, goal)
            if name not in tracked:
                taken.append(name)
    return taken
