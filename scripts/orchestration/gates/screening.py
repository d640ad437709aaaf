"""Screening of a diff before anything of it runs: secrets, tamper patterns, odd files.

Uses the gates' own scanners; each is asked only about what the attempt changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.gates import secrets, tamper
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
) -> str:
    """Return why the diff must not go on, or "".

    A symbolic link or submodule that is new, a file above 5 MiB, a credential in an added line
    (its kind and place are named, never its text; `secret` are known values), or a tamper pattern
    that voids an attempt.
    """
    odd = _odd_file(repo, base, commit, changed)
    if odd:
        return odd
    leaks = secrets.scan_diff(repo.added_lines(base, commit).decode("latin-1"), secret)
    if leaks:
        first = leaks[0]
        return f"{first.path}:{first.line}: a credential ({first.kind}) in an added line"
    found = tamper.scan(
        repo, base, commit, guard=guard, may_edit=may_edit, new=new, import_roots=import_roots
    )
    return "; ".join(str(finding) for finding in tamper.serious(found)[:3])


def _odd_file(repo: Repo, base: str, commit: str, changed: Sequence[str]) -> str:
    before, after = repo.list_tree(base), repo.list_tree(commit)
    for path in changed:
        entry, old = after.get(path), before.get(path)
        if entry is None:
            continue
        if entry.mode in ("120000", "160000") and (old is None or old.mode != entry.mode):
            return f"{path}: a new {'link' if entry.mode == '120000' else 'submodule'}"
        size = int(repo.text("cat-file", "-s", entry.sha)) if entry.mode != "160000" else 0
        if size > MAX_FILE_BYTES:
            return f"{path}: {size} bytes, more than {MAX_FILE_BYTES} (use the artifacts folder)"
    return ""
