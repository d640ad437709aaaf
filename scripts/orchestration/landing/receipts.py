"""Receipts: the harness's own record of an attempt, and their verification from the branch alone.

A receipt names its base, tree and order by hash but not the commit it rides in; the commit's
`Receipt:` trailer names the file and its SHA-256, so that the two hold each other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.git import Repo

SCHEMA = "orchestration/receipt/1"
_TRAILER = re.compile(r"^([A-Z][A-Za-z-]+): (.*)$")


def render_receipt(facts: Mapping[str, Any]) -> bytes:
    """The receipt's bytes: readable JSON with sorted keys and a final newline."""
    body = {"schema": SCHEMA, **facts}
    text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def digest(data: bytes) -> str:
    """`sha256:<hex>` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def trailers(message: str) -> dict[str, str]:
    """The trailers of a commit message: the key lines of its last paragraph."""
    last = message.strip().split("\n\n")[-1]
    found = {}
    for line in last.splitlines():
        match = _TRAILER.match(line)
        if match is None:
            return {}
        found[match[1]] = match[2]
    return found


@dataclass(frozen=True)
class Verification:
    """One landing commit and what is wrong with it (empty: nothing)."""

    commit: str
    subject: str
    turn: str
    receipt: str
    problems: tuple[str, ...]


def verify_branch(repo: Repo, branch: str) -> list[Verification]:
    """Check every landing commit of a branch against its receipt, newest first.

    Only the branch is needed: not the log, not the state directory.
    """
    raw = repo.text("log", "--grep=^Receipt: ", "--format=%H%x00%B%x01", f"refs/heads/{branch}")
    results = []
    for record in raw.split("\x01"):
        sha, _, message = record.strip("\n").partition("\0")
        found = trailers(message)
        if "Receipt" in found and found.get("Role") in ("worker", "user"):
            results.append(_verify_commit(repo, sha, message, found))
    return results


def _verify_commit(repo: Repo, sha: str, message: str, found: Mapping[str, str]) -> Verification:
    path, _, wanted = found["Receipt"].partition(" ")
    subject, problems = message.splitlines()[0], []
    facts: dict[str, Any] = {}
    if not repo.exists_in(sha, path):
        problems.append(f"the receipt {path} is not in the commit")
    else:
        data = repo.read_blob(sha, path)
        if digest(data) != wanted:
            problems.append(f"the receipt's SHA-256 is {digest(data)}, the trailer says {wanted}")
        try:
            read = json.loads(data)
        except (ValueError, RecursionError):
            read = None
        if isinstance(read, dict):
            facts = read
        else:
            problems.append("the receipt is no JSON object")
    if facts:
        problems += _compare(repo, sha, facts, found)
    return Verification(sha, subject, found.get("Turn-Id", ""), path, tuple(problems))


def _compare(repo: Repo, sha: str, facts: Mapping[str, Any], found: Mapping[str, str]) -> list[str]:
    problems = []
    parent = repo.try_resolve(f"{sha}^")
    if facts.get("base") != parent:
        problems.append(f"its base is {facts.get('base')}, the commit's parent is {parent}")
    for key, name in (("Turn-Id", "turn"), ("Order", "order")):
        if str(facts.get(name)) != found.get(key):
            problems.append(f"{key} is {found.get(key)}, the receipt says {facts.get(name)}")
    for path, entry in (facts.get("changed") or {}).items():
        problems += _same_blob(repo, sha, path, entry)
    for entry in facts.get("artifacts") or []:
        if not repo.exists_in(sha, entry["path"]):
            problems.append(f"the artifact {entry['path']} is not in the commit")
        elif digest(repo.read_blob(sha, entry["path"])) != "sha256:" + entry["sha256"]:
            problems.append(f"the artifact {entry['path']} has other bytes than inventoried")
    return problems


def _same_blob(repo: Repo, sha: str, path: str, entry: str | None) -> list[str]:
    if not repo.exists_in(sha, path):
        return [] if entry is None else [f"{path} was verified and is not in the commit"]
    if entry is None:
        return [f"{path} was deleted by the attempt and is in the commit"]
    actual = repo.list_tree(sha, path)[path].sha
    return [] if actual == entry else [f"{path} differs from what was verified"]
