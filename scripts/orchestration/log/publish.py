"""Publishing the log: one commit a turn on the orphan branch `orchestration/log`, by plumbing.

Files are sharded by hundred (`log/0000/000042.jsonl`), so that a commit adds one blob and three
small trees however long the history is. The commit names the last event, so that a log that was
rewritten behind the published one is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestration.core import GENESIS, CorruptLog, Event
from orchestration.git import LOG_REF, RefMoved, Repo, short_ref
from orchestration.log.store import EventLog, read_export

_TRAILER = re.compile(r"(?m)^Seq: (\d+)\nSha: ([0-9a-f]{64})$")


def published(repo: Repo) -> tuple[str | None, int, str]:
    """The branch's commit, and the number and hash of the last event in it."""
    tip = repo.try_resolve(LOG_REF)
    if tip is None:
        return None, 0, GENESIS
    match = _TRAILER.search(repo.text("log", "-1", "--format=%B", tip))
    if match is None:
        raise CorruptLog(
            f"the branch {short_ref(LOG_REF)} has a commit that is not the harness's",
            where=tip,
            fix=f"look at it, then move it away: git branch -m {short_ref(LOG_REF)} log-aside",
        )
    return tip, int(match[1]), match[2]


def check_fork(repo: Repo, log: EventLog) -> None:
    """Raise CorruptLog when the local log is not the published one continued."""
    _, seq, sha = published(repo)
    if seq == 0:
        return
    if len(log.events) < seq:
        raise CorruptLog(
            "the published log is longer than the local one",
            where=short_ref(LOG_REF),
            expected=f"at least {seq} events here",
            got=len(log.events),
            fix="orchestrate log import --from-branch",
        )
    if log.events[seq - 1].sha != sha:
        raise CorruptLog(
            "the local log and the published one differ: the log is forked",
            where=f"event {seq}",
            expected=sha[:12],
            got=log.events[seq - 1].sha[:12],
            fix="orchestrate log import --from-branch   (sets the local log aside)",
        )


def publish(repo: Repo, log: EventLog) -> str | None:
    """Commit what the branch does not have yet; returns the commit (None: nothing new)."""
    if not log.events:
        return None
    tip, seq, _ = published(repo)
    fresh = log.events[seq:]
    if not fresh:
        return None
    turns = sorted({event.turn for event in fresh})
    changes = {}
    for turn in turns:
        lines = "".join(event.line() + "\n" for event in log.turn_events(turn))
        changes[f"log/{turn // 100:04d}/{turn:06d}.jsonl"] = lines.encode()
    last = log.events[-1]
    message = f"log: turn {last.turn}\n\nSeq: {last.seq}\nSha: {last.sha}\n"
    tree = repo.write_tree(tip, changes)
    commit = repo.commit_tree(tree, [tip] if tip else [], message)
    try:
        repo.update_ref(LOG_REF, commit, tip, message=f"orchestrate: turn {last.turn}")
    except RefMoved:
        if repo.try_resolve(LOG_REF) != commit:
            raise
    return commit


def keep(repo: Repo, log: EventLog, files: Mapping[str, bytes]) -> None:
    """Put evidence on the branch, beside the log and at its own paths.

    Doing it again changes nothing. The commit repeats which event the branch ends with.
    """
    publish(repo, log)
    tip, seq, sha = published(repo)
    assert tip is not None, "a landing has events"
    tree = repo.write_tree(tip, files)
    if tree == repo.tree_of(tip):
        return
    message = f"log: evidence of turn {log.events[-1].turn}\n\nSeq: {seq}\nSha: {sha}\n"
    commit = repo.commit_tree(tree, [tip], message)
    repo.update_ref(LOG_REF, commit, tip, message="orchestrate: evidence")


def read_branch(repo: Repo) -> list[Event]:
    """The events on the branch, or, in a fresh clone, on its remote's; verified."""
    tip = repo.log_tip()
    if tip is None:
        return []
    names = sorted(repo.list_tree(tip, "log"), key=lambda name: name.rsplit("/", 1)[-1])
    text = "".join(repo.read_blob(tip, name).decode() for name in names)
    return read_export(text, short_ref(LOG_REF))
