"""The two kinds of commit that the harness makes: a landing, and the closing one of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestration.core import NEEDS_AGENT, Landing, OpenCycle, Pending, parse_stamp, payloads
from orchestration.documents.ledger import set_status, tick
from orchestration.errors import HarnessError
from orchestration.gates import artifacts
from orchestration.git import TreeEntry
from orchestration.harness import Harness, read_text_at
from orchestration.landing import (
    SIGNATURE,
    digest,
    documents_after,
    evidence_at,
    landing_message,
    render_receipt,
)
from orchestration.log import publish


@dataclass(frozen=True)
class Built:
    """A commit object that no ref names yet."""

    commit: str
    subject: str
    receipt: str
    files: int


def build_landing(
    harness: Harness, opened: OpenCycle, at: str, turn: int, report: Path, title: str
) -> Built:
    """Commit the verified snapshot with evidence, receipt, ledger and memory in it.

    The commit's date is that of the verdict, so that building it again gives the same hash.
    """
    dispatch, order = opened.need(payloads.Dispatched), opened.need(payloads.Ordered)
    judged, ended = opened.need(payloads.Judged), opened.need(payloads.AgentEnded)
    base, place = dispatch.base, dispatch.report
    changes = _documents(harness, base)
    changes[harness.config.order] = order.text.encode()
    entries = _evidence(harness, report, place, changes, turn)
    facts = _receipt(harness, opened, at, turn, entries)
    changes, kept = _parted(harness, changes)
    own, whole = sorted(changes), harness.repo.write_tree(ended.tree, changes)
    receipt = render_receipt({**facts, "own": own, "landed": whole})
    receipt_path = f"{place}/receipt.json"
    if kept:
        publish.keep(harness.repo, harness.log, {**kept, receipt_path: receipt})
        tree = whole
    else:
        tree = harness.repo.write_tree(whole, {receipt_path: receipt})
    name = f"{dispatch.item}.{order.row}" if order.row else dispatch.item
    subject = f"RALPH {name}: {title} (tests: {_tests(judged)})"
    message = landing_message(
        subject,
        {
            "Turn-Id": str(turn),
            "Role": "worker",
            "Order": order.hash,
            "Guard": _guard_line(judged),
            "Receipt": f"{receipt_path} {digest(receipt)}",
        },
    )
    commit = _commit(harness, tree, base, message, git_date(at))
    return Built(commit, subject, receipt_path, len(own) + 1)


def build_closing(harness: Harness, base: str, at: str, turn: int) -> Built | None:
    """Commit ledger, memory and notes that no landing carried; None when they are unchanged."""
    changes, kept = _parted(harness, _documents(harness, base))
    if kept:
        publish.keep(harness.repo, harness.log, kept)
    if not changes:
        return None
    pending = _to_write(harness)
    what = [f"{item} {mark.status}" for item, mark in pending.marks.items()]
    what = what or [f"{len(pending.attempts)} attempts"]
    subject = "SUPERVISOR " + ("; ".join(what))[:100]
    message = landing_message(subject, {"Turn-Id": str(turn), "Role": "supervisor"})
    tree = harness.repo.write_tree(base, changes)
    if tree == harness.repo.tree_of(base):
        return None
    commit = _commit(harness, tree, base, message, git_date(at))
    return Built(commit, subject, "", len(changes))


def build_revert(harness: Harness, landing: Landing, base: str, when: datetime) -> Built:
    """Commit `base` without the product changes of a landing; its evidence and history stay.

    Raises HarnessError when a later commit changed one of those files.
    """
    repo, commit = harness.repo, landing.commit
    receipt = evidence_at(repo, commit, landing.receipt)
    if receipt is None:
        raise HarnessError("the receipt of this landing is gone", where=landing.receipt)
    facts = json.loads(receipt)
    before, mine, now = (repo.list_tree(sha) for sha in (facts["base"], commit, base))
    later = [path for path in facts["changed"] if now.get(path) != mine.get(path)]
    if later:
        raise HarnessError(
            "later commits changed the same files; this landing cannot be taken back alone",
            got=", ".join(later[:5]),
            fix=f"git revert {commit[:12]}, and fix it by hand",
        )
    changes: dict[str, bytes | TreeEntry | None] = {p: before.get(p) for p in facts["changed"]}
    text = read_text_at(repo, base, harness.config.ledger)
    if text is not None:
        for name in facts["criteria_ticked"]:
            text = tick(text, landing.item, name, " ")
        why = f"turn {landing.turn} was taken back"
        text = set_status(text, landing.item, "open", why)
        changes[harness.config.ledger] = text.encode()
    subject = f"REVERT turn {landing.turn}: {landing.item}"
    message = landing_message(
        subject, {"Turn-Id": str(landing.turn), "Role": "user", "Reverts": commit}
    )
    tree = repo.write_tree(base, changes)
    made = _commit(harness, tree, base, message, f"{int(when.timestamp())} +0000")
    return Built(made, subject, "", len(changes))


def _commit(harness: Harness, tree: str, base: str, message: str, date: str) -> str:
    """A commit whose last trailer signs all the rest of it: tree, parent, names, times, words."""
    repo = harness.repo
    plain = repo.commit_tree(tree, [base], message, date=date)
    signature = harness.voice.sign("commit", repo.run("cat-file", "commit", plain).stdout)
    return repo.commit_tree(tree, [base], f"{message}{SIGNATURE}: {signature}\n", date=date)


def git_date(at: str) -> str:
    """A log time in git's `<unix seconds> +0000` form."""
    return f"{int(parse_stamp(at).timestamp())} +0000"


def _parted(
    harness: Harness, changes: dict[str, bytes]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What the target branch gets, and what is kept beside the log (`evidence: log`)."""
    if harness.config.evidence == "branch":
        return changes, {}
    landed = {path: data for path, data in changes.items() if path == harness.config.ledger}
    return landed, {path: data for path, data in changes.items() if path not in landed}


def _documents(harness: Harness, base: str) -> dict[str, bytes]:
    config, repo = harness.config, harness.repo
    read = {name: read_text_at(repo, base, name) for name in (config.ledger, config.memory)}
    tip = repo.log_tip() if config.evidence == "log" else None
    if tip is not None:
        read[config.memory] = read_text_at(repo, tip, config.memory) or read[config.memory]
    return documents_after(read, _to_write(harness), ledger=config.ledger, memory=config.memory)


def _to_write(harness: Harness) -> Pending:
    """The changes for ledger and memory, without the word that an item needs another agent.

    That is about this run's agent; the item's status and a person's words stay as they are.
    """
    pending = harness.state.pending
    marks = {k: m for k, m in pending.marks.items() if not m.reason.startswith(NEEDS_AGENT)}
    return replace(pending, marks=marks)


def _evidence(
    harness: Harness, report: Path, place: str, changes: dict[str, bytes], turn: int
) -> list[dict[str, Any]]:
    """Add the report's files to the commit; returns the inventory."""
    found = artifacts.inventory(report, producers={"green": "harness", "red": "harness"})
    artifacts.write_inventory(report, found)
    rows = []
    for entry in found.entries:
        changes[f"{place}/{entry.path}"] = (report / entry.path).read_bytes()
        producer = f"turn {turn} ({entry.producer})"
        rows.append(
            {
                "path": f"{place}/{entry.path}",
                "bytes": entry.bytes,
                "sha256": entry.sha256,
                "producer": producer,
            }
        )
    name = f"analysis/{artifacts.INVENTORY}"
    changes[f"{place}/{name}"] = (report / name).read_bytes()
    return rows


def _receipt(
    harness: Harness, opened: OpenCycle, at: str, turn: int, entries: list[dict[str, Any]]
) -> dict[str, Any]:
    dispatch, order = opened.need(payloads.Dispatched), opened.need(payloads.Ordered)
    judged, ended = opened.need(payloads.Judged), opened.need(payloads.AgentEnded)
    verdict = judged.to_json()
    after = harness.repo.list_tree(ended.tree)
    changed = {path: after[path].sha if path in after else None for path in ended.changed}
    return {
        "item": dispatch.item,
        "row": order.row,
        "attempt": dispatch.attempt,
        "turn": turn,
        "at": at,
        "role": "worker",
        "agent": {
            "name": ended.agent or harness.agent.name,
            "claims": ended.outcome,
            "text": ended.text,
            "session": ended.session,
            "tokens": ended.tokens,
            "cost": ended.cost,
            "denials": list(ended.denials),
            "seconds": ended.seconds,
            "isolation": ended.isolation,
            "process_limit": ended.process_limit,
        },
        "base": dispatch.base,
        "tree": ended.tree,
        "order": order.hash,
        "changed": changed,
        "classes": verdict["classes"],
        "guard": verdict["guard"],
        "checks": verdict["checks"],
        "verified": verdict["verified"],
        "criteria_ticked": verdict["ticks"],
        "artifacts": entries,
        **_review(opened),
    }


def _review(opened: OpenCycle) -> dict[str, Any]:
    """What a review accepted, for the receipt of a held attempt."""
    again = opened.fact(payloads.JudgedAgain)
    if again is None:
        return {}
    flags = [str(flag) for flag in again.flags]
    return {"review": {"turn": again.held, "reason": again.reason, "flags": flags}}


def _tests(judged: payloads.Judged) -> str:
    side = judged.guard.get("attempt")
    if side and side.tests:
        return side.tests
    passed = sum(row.passed for row in judged.checks)
    return f"{passed} checks passed" if judged.checks else "none"


def _guard_line(judged: payloads.Judged) -> str:
    guard = judged.guard
    if "attempt" not in guard:
        return "none"
    nodes = list(guard["attempt"].nodes)
    base = f", {guard['base'].verdict} on the base" if "base" in guard else ""
    shown = " ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
    return f"{shown} ({guard['attempt'].verdict}{base})"
