"""Landing: one commit for an attempt, put on the target branch without risk for anybody's files.

The commit is built by plumbing (no checkout is touched), then the branch is advanced by
compare-and-swap or, where it is checked out, by `git merge --ff-only`. When git refuses because a
person's edits overlap, the commits wait on `orchestration/results/<branch>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.core import ExitReason, Pending, Stop
from orchestration.documents.grammar import parse_stamp
from orchestration.documents.ledger import Attempt, append_attempt, read_ledger, set_status, tick
from orchestration.documents.memory import add_entries
from orchestration.git import RESULTS, MergeRefused, RefMoved, Repo, short_ref


@dataclass(frozen=True)
class Tip:
    """Where work continues: `sha`, and whether it waits on the results branch.

    `forked`: the target moved on without the results that wait for it.
    """

    sha: str
    target_sha: str
    waiting: bool = False
    forked: bool = False


@dataclass(frozen=True)
class Advance:
    """How a commit reached its branch: `via` is merge, update-ref or results."""

    via: str
    ref: str
    note: str = ""


def current_tip(repo: Repo, target: str, fetched: str) -> Tip:
    """Find the tip; nothing is changed, a results branch that was merged counts as none.

    Where the upstream was ahead of the branch when it was `fetched` ("": never), work starts there.
    """
    target_sha = repo.resolve(f"refs/heads/{target}")
    results = repo.try_resolve(RESULTS + target)
    if results is not None and not repo.is_ancestor(results, target_sha):
        return Tip(results, target_sha, True, not repo.is_ancestor(target_sha, results))
    ahead = repo.try_resolve(fetched) if fetched else None
    if ahead is not None and repo.is_ancestor(target_sha, ahead):
        return Tip(ahead, target_sha)
    return Tip(target_sha, target_sha)


def require_one_history(repo: Repo, target: str, tip: Tip) -> Tip:
    """Return the tip; raises Stop when the target moved on without the results that wait."""
    if not tip.forked:
        return tip
    ref = RESULTS + target
    raise Stop(
        ExitReason.BLOCKED_ON_USER,
        f"{target} moved on without the results that wait on {short_ref(ref)}",
        where=repo.root,
        fix=f"git merge {short_ref(ref)}",
    )


def drop_merged(repo: Repo, target: str) -> str | None:
    """Delete the results branch where the target has it all; returns what still waits, or None."""
    results = repo.try_resolve(RESULTS + target)
    if results is None or not repo.is_ancestor(results, repo.resolve(f"refs/heads/{target}")):
        return results
    repo.delete_ref(RESULTS + target, results)
    return None


def documents_after(
    read: Mapping[str, str | None], pending: Pending, *, ledger: str, memory: str
) -> dict[str, bytes]:
    """Return the ledger, memory and notes with all pending changes in them.

    `read` gives the current text of the two documents (None: absent). Items that a person removed
    from the ledger are left alone.
    """
    changes: dict[str, bytes] = {}
    text = read.get(ledger)
    if text is not None:
        changed = apply_to_ledger(text, pending, ledger)
        if changed != text:
            changes[ledger] = changed.encode()
    if pending.memory:
        changes[memory] = add_entries(read.get(memory) or "", pending.memory).encode()
    for note in pending.notes:
        changes[note.path] = note.text.encode()
    return changes


def apply_to_ledger(text: str, pending: Pending, path: str) -> str:
    """Return the ledger's text with ticks, statuses and attempt lines written into it."""
    known = {item.id: item for item in read_ledger(text, path).items}
    for item_id, criterion in map(tuple, pending.ticks):
        if item_id in known and known[item_id].criterion(criterion) is not None:
            text = tick(text, item_id, criterion, "x")
    for item_id, mark in pending.marks.items():
        if item_id in known:
            text = set_status(text, item_id, mark.status, mark.reason)
    for row in pending.attempts:
        if row.item in known:
            line = Attempt(
                turn=row.turn,
                outcome=row.outcome,
                criteria=row.criteria,
                signature=row.signature,
                link=row.link,
                at=parse_stamp(row.at),
            )
            text = append_attempt(text, row.item, line)
    return text


def advance(repo: Repo, target: str, commit: str, old_tip: str) -> Advance:
    """Put `commit` (made on `old_tip`) on the target branch, or where it can wait.

    Calling it again after a kill is harmless: what is already there is found and reported.
    """
    ref, results = f"refs/heads/{target}", RESULTS + target
    target_sha, waiting = repo.resolve(ref), drop_merged(repo, target)
    if repo.is_ancestor(commit, target_sha):
        return Advance("merge", ref)
    if waiting is not None and repo.is_ancestor(commit, waiting):
        return Advance("results", results, _advice(target, "the commits wait"))
    if waiting is None and repo.is_ancestor(target_sha, commit):
        try:
            place = repo.merge_ff_only(target, commit)
            return Advance("merge" if place else "update-ref", ref)
        except (MergeRefused, RefMoved) as problem:
            why = str(problem.got or problem.what)
    else:
        why = f"{target} moved while the attempt was verified" if waiting is None else "older wait"
    try:
        repo.update_ref(results, commit, waiting, message="orchestrate: results wait")
    except RefMoved:
        if repo.try_resolve(results) != commit:
            raise
    if waiting is not None and repo.is_ancestor(target_sha, commit):
        moved = _try_to_catch_up(repo, target, commit)
        if moved:
            return moved
    return Advance("results", results, _advice(target, why))


def _try_to_catch_up(repo: Repo, target: str, commit: str) -> Advance | None:
    """Waiting results go to the branch as soon as nothing is in the way any more."""
    try:
        repo.merge_ff_only(target, commit)
    except (MergeRefused, RefMoved):
        return None
    repo.delete_ref(RESULTS + target, commit)
    return Advance("merge", f"refs/heads/{target}")


def _advice(target: str, why: str) -> str:
    return f"{why}; to take them: git switch {target} && git merge {short_ref(RESULTS + target)}"


def landing_message(subject: str, trailers: Mapping[str, str], *, body: str = "") -> str:
    """A commit message: subject, optional body, trailers in the given order."""
    lines = "\n".join(f"{key}: {value}" for key, value in trailers.items() if value)
    return "\n\n".join(part for part in (subject, body, lines) if part) + "\n"
