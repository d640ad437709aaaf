"""Receipts: the harness's own record of an attempt, and their verification from the branch alone.

A receipt names its base, order and whole tree (but for itself) by hash; the commit's `Receipt:`
trailer names the file and its SHA-256, and its `Signature:` trailer signs all the rest of the
commit: tree, parent, names, times and words. Receipts of earlier versions have no signature; the
log knows their commits.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestration.core import Event, payloads
from orchestration.git import LOG_REF, RESULTS, Repo, short_ref
from orchestration.voices import spoken_by

SCHEMA = "orchestration/receipt/1"
SIGNATURE = "Signature"
"""The trailer that signs the commit."""
SIGNED, OLD = "signed", "unsigned, of an earlier version"
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
class Trust:
    """Whose word counts: public keys, and what the log knows of the harness's commits.

    `known` are all of them; `must` those made since commits are signed, with the turn and the ref
    that each went to.
    """

    keys: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
    must: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def trust_of(events: Iterable[Event], keys: Iterable[str] = ()) -> Trust:
    """What a log says: the first key in it counts (and those given), no later one."""
    first, known = "", set[str]()
    must = dict[str, tuple[int, str]]()
    for event in events:
        said = event.payload
        if isinstance(said, payloads.RunStarted):
            first = first or said.key
        elif isinstance(said, payloads.Committed | payloads.Reverted) and said.commit:
            known.add(said.commit)
            if first:
                must[said.commit] = (event.turn, said.ref)
    return Trust(tuple(dict.fromkeys(filter(None, (first, *keys)))), frozenset(known), must)


@dataclass(frozen=True)
class Verification:
    """One landing commit, what its signature is, and what is wrong with it (empty: nothing)."""

    commit: str
    subject: str
    turn: str
    receipt: str
    problems: tuple[str, ...]
    signature: str = OLD


def verify_branch(repo: Repo, branch: str, trust: Trust | None = None) -> list[Verification]:
    """Check every landing commit of a branch against receipt and signature, newest first.

    Other commits of the harness (closings, reverts) are listed only where something is wrong, and
    so are landings that the log knows and the branch has lost.
    """
    trust, ref = trust or Trust(), f"refs/heads/{branch}"
    raw = repo.run("log", "--grep=^Turn-Id: ", "--format=%H%x00%B%x01", ref).stdout
    results = []
    for record in raw.decode("utf-8", "replace").split("\x01"):
        sha, _, message = record.strip("\n").partition("\0")
        found = trailers(message)
        if "Receipt" in found and found.get("Role") in ("worker", "user"):
            results.append(_verify_commit(repo, sha, message, found, trust))
        elif "Turn-Id" in found:
            signature, problems = _signature(repo, sha, found, trust)
            if problems:
                row = (sha, message.splitlines()[0], found["Turn-Id"], "", tuple(problems))
                results.append(Verification(*row, signature))
    return [*results, *_lost(repo, branch, trust)]


def _lost(repo: Repo, branch: str, trust: Trust) -> list[Verification]:
    """Commits that the log says are on the branch (or wait for it) and are not."""
    here = [ref for ref in (f"refs/heads/{branch}", RESULTS + branch) if repo.try_resolve(ref)]
    wanted = {
        sha: turn
        for sha, (turn, ref) in trust.must.items()
        if ref in (f"refs/heads/{branch}", RESULTS + branch)
    }
    there = set(repo.text("rev-list", *here).split()) if wanted else set()
    problem = "the log has this commit and the branch has not: it was amended or taken out"
    return [
        Verification(sha, f"the commit of turn {turn}", str(turn), "", (problem,), SIGNED)
        for sha, turn in wanted.items()
        if sha not in there
    ]


def _signature(
    repo: Repo, sha: str, found: Mapping[str, str], trust: Trust
) -> tuple[str, list[str]]:
    """What kind of signature a commit has, and what is wrong with it."""
    words = found.get(SIGNATURE)
    if words is None:
        forged = bool(trust.keys) and sha not in trust.known
        why = "it is not signed and the log does not know it: not a commit of the harness"
        return OLD, [why] if forged else []
    line = f"{SIGNATURE}: {words}\n".encode()
    head, found_line, rest = repo.run("cat-file", "commit", sha).stdout.rpartition(line)
    signed = head if found_line and not rest else b""
    if not trust.keys:
        return SIGNED, [
            "it is signed and no public key is known here; "
            "fix: git fetch origin orchestration/log:orchestration/log, "
            "orchestrate log import FILE, or --key"
        ]
    if any(spoken_by(key, "commit", signed, words) for key in trust.keys):
        return SIGNED, []
    return SIGNED, ["the signature is not that of this commit: it was amended, or is forged"]


def evidence_at(repo: Repo, sha: str, path: str) -> bytes | None:
    """A file that a landing left: in its commit, or (`evidence: log`) beside the published log."""
    for place in (sha, repo.log_tip()):
        if place and repo.exists_in(place, path):
            return repo.read_blob(place, path)
    return None


def _verify_commit(
    repo: Repo, sha: str, message: str, found: Mapping[str, str], trust: Trust
) -> Verification:
    path, _, wanted = found["Receipt"].partition(" ")
    subject = message.splitlines()[0]
    signature, problems = _signature(repo, sha, found, trust)
    facts: dict[str, Any] = {}
    data = evidence_at(repo, sha, path)
    if data is None:
        problems.append(f"the receipt {path} is not in the commit, nor on {short_ref(LOG_REF)}")
    else:
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
        try:
            problems += _compare(repo, sha, facts, found)
            problems += _whole_tree(repo, sha, facts, path)
        except (AttributeError, KeyError, TypeError) as problem:
            problems.append(f"the receipt is not of a known form ({problem!r})")
    elif not problems:
        problems.append("the receipt says nothing")
    return Verification(sha, subject, found.get("Turn-Id", ""), path, tuple(problems), signature)


def _whole_tree(repo: Repo, sha: str, facts: Mapping[str, Any], receipt: str) -> list[str]:
    """What the commit holds beside what the receipt names; earlier versions named no tree."""
    if "landed" not in facts:
        return []
    named = {receipt, *facts["changed"], *facts["own"]}
    parent = repo.try_resolve(f"{sha}^")
    changed = repo.diff_names(parent, sha) if parent else []
    problems = [
        f"{name} is changed by the commit and not named in the receipt"
        for name in changed
        if name not in named
    ]
    tree = repo.write_tree(sha, {receipt: None})
    if tree != facts["landed"]:
        problems.append(f"its tree is {tree} (without the receipt), expected {facts['landed']}")
    return problems


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
        data = evidence_at(repo, sha, entry["path"])
        if data is None:
            problems.append(f"the artifact {entry['path']} is not in the commit")
        elif digest(data) != "sha256:" + entry["sha256"]:
            problems.append(f"the artifact {entry['path']} has other bytes than inventoried")
    return problems


def _same_blob(repo: Repo, sha: str, path: str, entry: str | None) -> list[str]:
    if not repo.exists_in(sha, path):
        return [] if entry is None else [f"{path} was verified and is not in the commit"]
    if entry is None:
        return [f"{path} was deleted by the attempt and is in the commit"]
    actual = repo.list_tree(sha, path)[path].sha
    return [] if actual == entry else [f"{path} differs from what was verified"]
