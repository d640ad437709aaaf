"""Screening of a diff before anything of it runs: secrets, tamper patterns, odd files.

Uses the gates' own scanners; each is asked only about what the attempt changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestration.core import matches, payloads
from orchestration.gates import secrets, tamper
from orchestration.gates.scope import steers
from orchestration.git import Repo

MAX_FILE_BYTES = 5 << 20


def screen(
    repo: Repo,
    base: str,
    commit: str,
    changed: Sequence[str],
    *,
    may_edit: Sequence[str] = (),
    new: Sequence[str] = (),
    import_roots: Sequence[str] = (".",),
    guard: Sequence[str] = (),
    secret: Sequence[str] = (),
    named: Sequence[str] = (),
) -> Screened:
    """What a diff holds that must not go on, or that a reviewer must answer.

    A nested repository or a credential in an added line (its kind and place are named, never its
    text; `secret` are known values) turns an attempt down. Suspicions are flags: links, files above
    5 MiB that the order does not name (`named`), files that run elsewhere or steer agents, and what
    `tamper` finds.
    """
    leaks = secrets.scan_diff(repo.added_lines(base, commit).decode("latin-1"), secret)
    if leaks:
        first = leaks[0]
        words = f"{first.path}:{first.line}: a credential ({first.kind}) in an added line"
        return Screened(words)
    found = tamper.scan(
        repo, base, commit, guard=guard, may_edit=may_edit, new=new, import_roots=import_roots
    )
    harm = "; ".join(str(finding) for finding in found if finding.severity == "harm")
    flags = [
        payloads.Flag(one.rule, one.path, one.line, one.message)
        for one in found
        if one.severity == "suspicion"
    ]
    return Screened(harm, (*_steering(changed), *_large(repo, commit, changed, named), *flags))


@dataclass(frozen=True)
class Screened:
    """Why a diff is turned down ("": it is not), and what a reviewer must answer."""

    reason: str
    flags: tuple[payloads.Flag, ...] = ()


def _steering(changed: Sequence[str]) -> Iterator[payloads.Flag]:
    for path in changed:
        if steers(path):
            words = "a file that runs elsewhere or steers agents"
            yield payloads.Flag("S01", path, 0, words, person=True)


def _large(
    repo: Repo, commit: str, changed: Sequence[str], named: Sequence[str]
) -> Iterator[payloads.Flag]:
    after = repo.list_tree(commit)
    entries = {path: after[path] for path in changed if path in after}
    sizes = repo.sizes({entry.sha for entry in entries.values()})
    for path, entry in entries.items():
        size = sizes.get(entry.sha, 0)  # a nested repository has none
        if size > MAX_FILE_BYTES and not matches(path, named):
            yield payloads.Flag(
                "S02", path, 0, f"{size} bytes, more than {MAX_FILE_BYTES}, and no task names it"
            )
