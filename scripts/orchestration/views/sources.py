"""Read what a view needs from a repository, changing nothing: log, ledger, committed evidence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath

from orchestration.config import HarnessConfig, load_config
from orchestration.core import CorruptLog, Event, State, payloads, replay
from orchestration.documents.ledger import parse_ledger
from orchestration.gates import secrets
from orchestration.git import Repo, TreeEntry, Upstream, upstream_of
from orchestration.harness import ledger_text_at
from orchestration.landing import Tip, current_tip
from orchestration.log import files_of, read_branch, read_export, read_folder
from orchestration.views.evidence import MAX_PAGE_BYTES, Evidence, describe, gather
from orchestration.views.model import View, build_view
from orchestration.views.now import now_of

MAX_FILE_BYTES = 20 << 20
"""A larger file is no evidence for a page."""
MAX_LOG_BYTES = 256 << 20
HISTORY = "docs/history/log.jsonl"
"""Where a repository keeps its log in its own branch, if it does."""
NO_FENCE = "agents run behind no fence (isolation: none): they can change every file that you can"


@dataclass(frozen=True)
class Loaded:
    """A repository as the views see it. `tip` is where landed work is; `events` the whole log."""

    repo: Repo
    config: HarnessConfig
    events: list[Event]
    state: State
    tip: str
    view: View
    known: tuple[str, ...] = ()
    """Values of `agent_env:` in this process; no view shows them."""

    @cached_property
    def files(self) -> dict[str, TreeEntry]:
        """All files of the tip, and the evidence that is kept beside the published log."""
        log = self.repo.log_tip()
        kept = self.repo.list_tree(log) if log else {}
        beside = {path: entry for path, entry in kept.items() if not path.startswith("log/")}
        return beside | self.repo.list_tree(self.tip)

    @property
    def log_tip(self) -> str:
        """Hash of the last event, "" without any."""
        return self.events[-1].sha if self.events else ""


def load(root: Path, *, now: datetime | None = None) -> Loaded:
    """Open the repository around `root` and compute its view.

    Raises HarnessError where there is no repository, commit or ledger, and CorruptLog.
    """
    repo = Repo(root)
    config = load_config(repo.root)
    events = read_events(repo)
    state = replay(events)
    branch = config.target or repo.branch() or "HEAD"
    if repo.try_resolve(f"refs/heads/{branch}") is None:  # HEAD is detached
        tip, upstream = Tip(repo.head(), repo.head()), None
    else:
        upstream = upstream_of(repo, branch)
        tip = current_tip(repo, branch, state.upstream if upstream else "")
    budgets, moment = config.budgets, now or datetime.now(UTC)
    known = secrets.values_of({n: os.environ[n] for n in config.agent_env if n in os.environ})
    unfolding = now_of(state, repo.state_dir, moment, known)
    view = build_view(
        state=state,
        events=events,
        ledger=parse_ledger(ledger_text_at(repo, tip.sha, config.ledger), config.ledger),
        repository=repo.root.name,
        branch=branch,
        head=tip.sha[:12],
        now=moment,
        caps={"agent_s": budgets.agent_s, "money": budgets.money, "tokens": budgets.tokens},
        workspaces=str(repo.state_dir / "workspaces"),
        results_waiting=tip.sha[:12] if tip.waiting else "",
        unfolding=unfolding,
        unpushed=_unpushed(repo, tip.sha, upstream),
        fence=NO_FENCE if config.isolation == "scan" and config.agent != "playbook" else "",
    )
    return Loaded(repo, config, events, state, tip.sha, view, known)


def _unpushed(repo: Repo, tip: str, upstream: Upstream | None) -> int:
    """How many commits the upstream lacks, as it was when it was last seen."""
    there = repo.try_resolve(upstream.ref) if upstream else None
    return int(repo.text("rev-list", "--count", tip, f"^{there}")) if there else 0


def read_events(repo: Repo, *, committed: bool = True) -> list[Event]:
    """Return the verified log: the local one, else the published one, else that of a remote.

    A fresh clone has the last only; where no log was published, the one that is committed as
    `HISTORY` counts, unless `committed` is False.
    """
    folder = repo.state_dir / "log"
    found = read_folder(folder) if files_of(folder) else read_branch(repo)
    return found or (_committed_log(repo) if committed else [])


def _committed_log(repo: Repo) -> list[Event]:
    """The log that HEAD has as `HISTORY`, verified; empty where it has none."""
    head = repo.try_resolve("HEAD")
    entry = repo.list_tree(head, HISTORY).get(HISTORY) if head else None
    found = repo.read_blobs([entry.sha], most=MAX_LOG_BYTES) if entry else {}
    try:
        return [e for data in found.values() for e in read_export(data.decode(), HISTORY)]
    except (CorruptLog, UnicodeDecodeError) as problem:
        raise CorruptLog(
            f"the log that is committed as {HISTORY} cannot be read",
            where=getattr(problem, "where", None) or HISTORY,
            got=str(problem),
            fix=f"commit it as it was, or as `orchestrate log export -o {HISTORY}` writes it",
        ) from None


def evidence_of(loaded: Loaded, *, room: int = MAX_PAGE_BYTES) -> list[Evidence]:
    """Return what the landings left in their report folders, and the notes of blocked items.

    `room` is what all pictures together may take; the newest landing goes first.
    """
    tops: dict[str, list[str]] = {}
    for path in loaded.files:
        if "/reports/" in path:
            parts = path.split("/")
            tops.setdefault("/".join(parts[: parts.index("reports") + 2]), []).append(path)
    files: list[tuple[str, str]] = []
    for landing in reversed(loaded.state.landings):
        if landing.receipt:
            folder = str(PurePosixPath(landing.receipt).parent)
            files += [(landing.item, path) for path in tops.get(folder, ())]
    named = {path: loaded.files[path].sha for _, path in files}
    blobs = loaded.repo.read_blobs(named.values(), most=MAX_FILE_BYTES)
    found = gather(files, lambda path: blobs.get(named[path]), room=room)
    return [*found, *_notes(loaded.events)]


def _notes(events: list[Event]) -> list[Evidence]:
    notes: dict[str, Evidence] = {}
    for event in events:
        said = event.payload
        for note in said.notes if isinstance(said, payloads.Judged | payloads.Blocked) else ():
            notes[note.path] = describe(note.path, str(event.item), note.text.encode())
    return list(notes.values())
