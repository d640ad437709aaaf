"""What a memory or a ledger shows when its claims are recomputed.

Dwell is recomputed from the order of the entries: it rises with each supervisor entry on the same
item and returns to 0 when the focus changes or the worker's last commit moves. A log that begins
in the middle of a focus says nothing about the dwell before it: that one is None, as is every
later one of the focus where the entries do not say what the worker committed between them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise

from orchestration.documents.grammar import render_stamp, successive
from orchestration.documents.ledger import Ledger, check_ledger
from orchestration.documents.memory import Entry, Memory

_TRIED = re.compile(r"(?i)\b(attempt(?:ed|s)?|tried|tries|did not work|didn't work)\b")
_FAILED = re.compile(
    r"(?i)(\b(?:did|does|do) ?(?:not|n[o']t) (?:fix|work|help|solve|resolve|change)|"
    r"\b(?:made|makes) no difference|\bno (?:effect|improvement|change)\b|\bin vain\b|"
    r"\bstill (?:fails|failing|crashes|breaks|present|there|mismatch\w*)|\bpersists?\b|\bfailed\b|"
    r"\bwithout (?:success|effect)|\bunsuccessful|\bnot (?:fixed|solved|resolved)\b|\breverted\b)"
)
_DESIGN = re.compile(r"(?i)\b(fix design|proposed fix|proposal|solution|planned fix|design)\b")
_REISSUED = re.compile(r"(?i)\bre-?issued?\b")
_UNEXECUTED = re.compile(
    r"(?i)\b(?:no|without|any|lacks?)\b[^.;]{0,40}\b(?:ralph|worker)\b[^.;]{0,20}"
    r"\b(?:execution|commits?|run)\b|\b(?:ralph|worker) (?:did not|never|has not) execut"
)
#: A proposal is compared with this many failures before it: recall is bounded, so is the cost.
_RECALLED = 64
#: An order is compared with this many before it of its item.
_ORDERS = 8
#: Orders at least this alike are one order issued again: one word in ten may be another.
ALIKE = 0.8
#: A stamp may be ahead of the commit that brought it by the clocks of two machines.
SKEW_S = 120.0
_STAMPED = re.compile(r"\d{4}-\d{2}-\d{2}(?:t[0-9:]{4,8}z?)?")
_LETTERS = re.compile(r"\w+")
_AWAITS = re.compile(
    r"(?i)\b(?:await(?:s|ing)?|wait(?:s|ing)? (?:for|on)|"
    r"until .{1,40} (?:answers?|replies|responds?))\b"
    r"|\bpending (?:ack|acknowledge?ment|reply|answer|response)"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_CODE = re.compile(r"`([^`\n]{2,200})`")
#: A heading, bold words at the start of a line or bullet, or a bullet's key begin a passage.
_LEAD = re.compile(
    r"^(?:#{1,6}[ \t]+([^\n]{1,160})$|(?:[-*+][ \t]+)?\*\*([^*\n]{1,120})\*\*:?|"
    r"[-*+][ \t]+([A-Z][A-Za-z /-]{2,40}):)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Observation:
    """One inconsistency: its kind, the lines of the entries it compares, and a sentence."""

    kind: str
    code: str
    lines: tuple[int, ...]
    message: str


@dataclass(slots=True)
class DwellRow:
    """Dwell of one entry as it claims it and as the order of entries gives it."""

    stamp: str
    item: str
    claimed: int | None
    recomputed: int | None
    line: int


@dataclass(slots=True)
class MemoryStats:
    """The table that ``orchestrate stats --from galph_memory.md`` prints.

    ``unknown`` are claims of dwell that nothing in the record can confirm, ``waiting`` the cycles
    spent on waiting, ``future`` the stamps later than their commits (None: no history was given).
    """

    path: str
    entries: int
    supervisor: int
    worker: int
    newest_first: bool
    first: str
    last: str
    foci: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    dwell: list[DwellRow] = field(default_factory=list)
    disagreements: int = 0
    unknown: int = 0
    waiting: int = 0
    future: list[dict[str, object]] | None = None
    observations: list[Observation] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return asdict(self)


def memory_stats(memory: Memory, brought: Mapping[int, datetime] | None = None) -> MemoryStats:
    """Recompute what a memory file claims; ``brought`` is when each line was committed."""
    log = memory.in_order()
    stamps = sorted(entry.at for entry in log if entry.at)
    stats = MemoryStats(
        memory.path,
        len(log),
        sum(entry.role == "supervisor" for entry in log),
        sum(entry.role == "worker" for entry in log),
        memory.newest_first,
        render_stamp(stamps[0]) if stamps else "",
        render_stamp(stamps[-1]) if stamps else "",
    )
    stats.foci = dict(Counter(entry.item_id for entry in log if entry.item_id))
    stats.states = dict(Counter(entry.state for entry in log if entry.state))
    stats.dwell = recompute_dwell(log)
    stats.disagreements = sum(
        row.claimed is not None and row.recomputed is not None and row.claimed != row.recomputed
        for row in stats.dwell
    )
    stats.unknown = sum(row.recomputed is None and row.claimed is not None for row in stats.dwell)
    stats.waiting = len(waiting_cycles(log))
    if brought is not None:
        stats.future = [
            {"stamp": _stamp(entry), "line": entry.line, "minutes": round(minutes, 1)}
            for entry, minutes in future_stamps(log, brought)
        ]
    for rule in (_out_of_order, _dwell_not_risen, _failed_before, _reissued, _repeated):
        stats.observations += rule(log)
    return stats


def recompute_dwell(log: list[Entry]) -> list[DwellRow]:
    """Return claimed and recomputed dwell of each entry, oldest first; worker notes have none."""
    rows: list[DwellRow] = []
    item, commit, dwell = "", "", 0
    known, said = False, False
    for entry in log:
        if entry.role != "supervisor" or not entry.item_id:
            claim = entry.dwell if entry.role == "supervisor" else None
            rows.append(DwellRow(_stamp(entry), entry.item_id, claim, None, entry.line))
            continue
        moved = entry.commit is not None and entry.commit != commit
        same = entry.item_id == item
        if not item:
            known = entry.dwell == 0
        elif not same or moved:
            known = True
        elif not (said and entry.says_commit):
            known = False  # nothing says whether the worker did something in between
        dwell = dwell + 1 if same and not moved else 0
        item, commit, said = entry.item_id, entry.commit or commit, entry.says_commit
        told = dwell if known else None
        rows.append(DwellRow(_stamp(entry), entry.item_id, entry.dwell, told, entry.line))
    return rows


def _stamp(entry: Entry) -> str:
    return render_stamp(entry.at) if entry.at else entry.stamp


def _out_of_order(log: list[Entry]) -> list[Observation]:
    """A later entry with an earlier stamp; worse when it answers the one it follows."""
    found = []
    latest: Entry | None = None
    for position, entry in enumerate(log):
        if latest and entry.at and latest.at and entry.at < latest.at:
            hours = (latest.at - entry.at).total_seconds() / 3600
            newest = "the newest entry" if position == len(log) - 1 else f"entry {position + 1}"
            answers = entry.item_id and entry.item_id in f"{latest.title}\n{latest.body}"
            verb = "the event it answers" if answers else "the entry it follows"
            message = (
                f"{newest} ({_stamp(entry)}, {entry.item_id or entry.title[:60]}) is stamped "
                f"before {verb} ({_stamp(latest)}) by {hours:.1f} h"
            )
            kind = "answer-before-event" if answers else "out-of-order"
            found.append(Observation(kind, "W20", (entry.line, latest.line), message))
        elif entry.at:
            latest = entry
    return found


def _dwell_not_risen(log: list[Entry]) -> list[Observation]:
    found = []
    last: Entry | None = None
    for entry in log:
        if entry.role != "supervisor":
            continue
        same = last is not None and entry.item_id == last.item_id and entry.item_id
        if last and same and entry.dwell is not None and last.dwell is not None:
            told = entry.says_commit and last.says_commit
            worked = entry.commit is not None and entry.commit != last.commit
            if told and not worked and entry.dwell <= last.dwell:
                message = (
                    f"dwell of {entry.item_id} failed to rise: {last.dwell} at {_stamp(last)}, "
                    f"{entry.dwell} at {_stamp(entry)}, and no worker commit between them"
                )
                found.append(
                    Observation("dwell-not-risen", "W21", (entry.line, last.line), message)
                )
        last = entry
    return found


def _passages(body: str) -> list[tuple[str, str]]:
    """Return (lead, text from it up to the next lead) of the titled passages of an entry."""
    marks = list(_LEAD.finditer(body))
    return [
        (
            next(filter(None, mark.groups())).strip("*: \t#"),
            body[mark.end() : following.start() if following else len(body)].strip(" :\t\n"),
        )
        for mark, following in successive(marks)
    ]


def _names(text: str) -> set[str]:
    """Return the identifiers in code spans and fenced lines of a passage."""
    code = " ".join(_CODE.findall(text))
    fenced = False
    for line in text.split("\n"):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif fenced:
            code += " " + line.split("#")[0]
    return {name for name in _NAME.findall(code) if len(name) > 3}


def _failed_before(log: list[Entry]) -> list[Observation]:
    """An entry that proposes what an entry before it in the log tried without success."""
    found = []
    failed: list[tuple[Entry, str, set[str]]] = []
    for entry in log:
        passages = _passages(entry.body)
        for lead, text in passages:
            if not _DESIGN.search(lead):
                continue
            names = _names(text)
            for other, sentence, tried in failed[-_RECALLED:]:
                shared = names & tried
                if len(shared) >= 3 and 2 * len(shared) >= min(len(names), len(tried)):
                    message = (
                        f"{_stamp(entry)} proposes “{_sentence(text)}”, which the entry of "
                        f"{_stamp(other)} reports as tried and failed (“{sentence}”; both use "
                        f"{', '.join(sorted(shared)[:5])})"
                    )
                    lines = (entry.line, other.line)
                    found.append(Observation("failed-before", "W23", lines, message))
        for lead, text in passages:
            told = f"{lead}\n{text}"
            if _TRIED.search(f"{lead}\n{_sentence(text)}") and _FAILED.search(told):
                failed.append((entry, _sentence(text), _names(text)))
    return found


def _sentence(text: str) -> str:
    first = next((line.strip() for line in text.split("\n") if line.strip()), "")
    return first.rstrip(": ")[:120]


def _reissued(log: list[Entry]) -> list[Observation]:
    """An order given again while the worker never ran."""
    found = []
    last: dict[str, Entry] = {}
    for entry in log:
        if entry.role != "supervisor" or not entry.item_id:
            continue
        before = last.get(entry.item_id)
        words = f"{entry.title}\n{entry.dwell_text}\n{entry.body}"
        said = _REISSUED.search(entry.title) and _UNEXECUTED.search(words)
        same = before and entry.commit and before.commit == entry.commit
        ready = entry.state == "ready_for_implementation"
        if ready and (said or same):
            message = (
                f"{entry.item_id} was re-issued at {_stamp(entry)} without any worker execution "
                f"(last worker commit {entry.commit or 'none'}, claimed dwell "
                f"{'none' if entry.dwell is None else entry.dwell})"
            )
            lines = (entry.line, before.line) if before else (entry.line,)
            found.append(Observation("reissued-unexecuted", "W22", lines, message))
        last[entry.item_id] = entry
    return found


def _repeated(log: list[Entry]) -> list[Observation]:
    """An order whose words are those of an earlier one of its item, or nearly so."""
    found = []
    last: dict[str, list[tuple[Entry, str]]] = {}
    for entry in log:
        action = " ".join((entry.next_action or "").lower().split())
        if not action or action in ("none", "n/a", "-") or entry.role != "supervisor":
            continue
        before = last.setdefault(entry.item_id, [])
        alike = [(likeness(action, words), other) for other, words in before[-_ORDERS:]]
        best, other = max(alike, key=lambda pair: pair[0], default=(0.0, entry))
        if best >= ALIKE:
            how = "repeats" if best == 1.0 else f"is like ({best:.2f})"
            message = (
                f"the order `{action[:80]}` for {entry.item_id} at {_stamp(entry)} {how} "
                f"that of {_stamp(other)}"
            )
            kind = "repeated-order" if best == 1.0 else "similar-order"
            found.append(Observation(kind, "W22", (entry.line, other.line), message))
        before.append((entry, action))
    return found


def likeness(one: str, other: str) -> float:
    """Return how alike two orders are: 1 the same words, 0 none in common.

    Pairs of neighbouring words, stamps taken out, as many times as they occur: twice
    the number in common over the number of both (Dice 1945).
    """
    first, second = _word_pairs(one), _word_pairs(other)
    if one == other:
        return 1.0
    total = sum(first.values()) + sum(second.values())
    # Two texts of the same words are alike, not the same: 1 is for equal ones.
    return min(0.999, 2 * sum((first & second).values()) / total) if total else 0.0


def _word_pairs(text: str) -> Counter[tuple[str, str]]:
    words = _LETTERS.findall(_STAMPED.sub(" ", text.lower()))
    return Counter(pairwise(["", *words, ""]))


def waiting_cycles(log: list[Entry]) -> list[Entry]:
    """Return the supervisor's entries that do nothing but wait for somebody outside."""
    return [
        entry
        for entry in log
        if entry.role == "supervisor"
        and _AWAITS.search(f"{entry.title}\n{entry.next_action or ''}\n{entry.next}"[:2000])
    ]


def future_stamps(
    entries: Sequence[Entry], brought: Mapping[int, datetime]
) -> list[tuple[Entry, float]]:
    """Return (entry, minutes) of stamps later than the commit that brought their line.

    ``brought`` gives the time of that commit by line (from 1); :data:`SKEW_S` are forgiven.
    """
    found = []
    for entry in entries:
        commit = brought.get(entry.line)
        if entry.at and commit and (entry.at - commit).total_seconds() > SKEW_S:
            found.append((entry, (entry.at - commit).total_seconds() / 60))
    return found


def ledger_stats(ledger: Ledger) -> dict[str, object]:
    """Return counts of a ledger: statuses, criteria, attempts, diagnostics."""
    criteria = [criterion for item in ledger.items for criterion in item.criteria]
    return {
        "path": ledger.path,
        "items": len(ledger.items),
        "statuses": dict(Counter(item.status.value for item in ledger.items)),
        "criteria": len(criteria),
        "met": sum(criterion.met for criterion in criteria),
        "attempts": sum(len(item.attempts) for item in ledger.items),
        "diagnostics": [d.as_dict() for d in check_ledger(ledger)],
    }
