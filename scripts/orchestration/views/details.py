"""What a turn's page shows beside the log: its diff, first failing lines and artifacts.

All of it is an agent's or a program's, so it is bounded, and credentials in it are masked. What the
commits hold is read from them; what a turned down attempt left lies on the machine that ran it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestration.gates import artifacts, secrets
from orchestration.turns import first_words
from orchestration.views.cycles import CycleView
from orchestration.views.diffs import FileDiff, parse_diff
from orchestration.views.evidence import MAX_IMAGE_BYTES, Evidence, describe
from orchestration.views.sources import Loaded

MOST_FILES = 60
MOST_DIFF_BYTES = 400_000
INVENTORY = f"analysis/{artifacts.INVENTORY}"


@dataclass(frozen=True)
class Artifact:
    """A file of a report: who made it and its hash, as the inventory says, and what is shown."""

    piece: Evidence
    producer: str
    sha256: str


@dataclass(frozen=True)
class Details:
    """What belongs to one cycle. `left_out` counts lines of the diff that are not shown."""

    files: tuple[FileDiff, ...] = ()
    left_out: int = 0
    diff_from: str = ""
    failing: tuple[str, ...] = ()
    failing_log: str = ""
    artifacts: tuple[Artifact, ...] = ()
    more_artifacts: int = 0


def details_of(loaded: Loaded, cycles: Sequence[CycleView]) -> dict[int, Details]:
    """The details of some cycles, by turn; two git processes for all of them."""
    pairs = [_pair(cycle) for cycle in cycles]
    texts = dict(zip(pairs, loaded.repo.diffs(pairs), strict=True)) if pairs else {}
    unseen = [cycle for cycle in cycles if cycle.committed and not texts[_pair(cycle)]]
    kept = [_pair(cycle, landed=True) for cycle in unseen]
    missing = [pair for pair in kept if pair[1]]
    landed = dict(zip(missing, loaded.repo.diffs(missing), strict=True)) if missing else {}
    reports = _reports(loaded, cycles)
    return {
        cycle.turn: _details(loaded, cycle, texts, landed, reports.get(cycle.turn, ()))
        for cycle in cycles
    }


def _pair(cycle: CycleView, *, landed: bool = False) -> tuple[str, str]:
    """Base and head of what a cycle changed; all zeros where there is nothing."""
    none = "0" * 40
    if landed:
        done = cycle.committed
        return (done.base or none, done.commit or none) if done else (none, none)
    base = cycle.again.base if cycle.again else cycle.dispatched.base if cycle.dispatched else ""
    head = cycle.again.commit if cycle.again else cycle.ended.snapshot if cycle.ended else ""
    return base or none, head or none


def _details(
    loaded: Loaded,
    cycle: CycleView,
    texts: dict[tuple[str, str], str],
    landed: dict[tuple[str, str], str],
    report: Iterable[tuple[str, bytes | None, int]],
) -> Details:
    text, source = texts.get(_pair(cycle), ""), "the attempt"
    if not text and cycle.committed:
        text, source = landed.get(_pair(cycle, landed=True), ""), "the landed commit"
    changed = cycle.again.changed if cycle.again else cycle.ended.changed if cycle.ended else ()
    cut = text[:MOST_DIFF_BYTES]
    files, left_out = parse_diff(secrets.redact(cut, loaded.known), only=changed)
    left_out += text[MOST_DIFF_BYTES:].count("\n")
    folder = _folder(loaded, cycle)
    told: list[str] = []
    log = ""
    if folder is not None and cycle.verdict not in ("land", "running"):
        told, log = first_words(folder)
    found, more = _artifacts(loaded, cycle.item, report)
    return Details(
        files=files,
        left_out=left_out,
        diff_from=source if files else "",
        failing=tuple(secrets.redact("\n".join(told), loaded.known).split("\n")) if told else (),
        failing_log=log,
        artifacts=tuple(found),
        more_artifacts=more,
    )


def _folder(loaded: Loaded, cycle: CycleView) -> Path | None:
    """The report of an ended turn on this machine; while it runs it is the agent's to change."""
    if not cycle.until or cycle.dispatched is None:
        return None
    inside = os.path.join("turns", f"{cycle.turn:06d}", "report")
    folder = os.path.join(loaded.repo.state_dir, inside)
    if not os.path.isdir(folder):
        return None
    own = os.path.join(os.path.realpath(loaded.repo.state_dir), inside)
    return Path(folder) if os.path.realpath(folder) == own else None


def _reports(
    loaded: Loaded, cycles: Sequence[CycleView]
) -> dict[int, list[tuple[str, bytes | None, int]]]:
    """The files of each cycle's report as (path, bytes, size): committed ones, else local ones."""
    files = loaded.files
    committed = {
        cycle.turn: PurePosixPath(cycle.committed.receipt).parent.as_posix() + "/"
        for cycle in cycles
        if cycle.committed and cycle.committed.receipt
    }
    wanted = tuple(committed.values())
    found: dict[int, list[tuple[str, bytes | None, int]]] = {}
    inside: dict[str, list[str]] = {}
    for path in files:
        if "/reports/" in path and path.startswith("plans/active/"):
            top = "/".join(path.split("/")[:5]) + "/"
            inside.setdefault(top, []).append(path)
    names = [path for top in wanted for path in inside.get(top, ())[:MOST_FILES]]
    blobs = loaded.repo.read_blobs((files[p].sha for p in names), most=MAX_IMAGE_BYTES)
    for cycle in cycles:
        if cycle.turn in committed:
            rows = inside.get(committed[cycle.turn], [])
            found[cycle.turn] = [(p, blobs.get(files[p].sha), -1) for p in rows]
        else:
            folder = _folder(loaded, cycle)
            found[cycle.turn] = list(_local(folder)) if folder is not None else []
    return found


def _local(folder: Path) -> Iterator[tuple[str, bytes | None, int]]:
    """The regular files of a report on this machine; links are not followed."""
    for root, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    continue
                data = file.read() if found.st_size <= MAX_IMAGE_BYTES else None
            yield path.relative_to(folder).as_posix(), data, found.st_size


def _artifacts(
    loaded: Loaded, item: str, report: Iterable[tuple[str, bytes | None, int]]
) -> tuple[list[Artifact], int]:
    rows = list(report)
    known = next((_inventory(d) for path, d, _ in rows if path.endswith(INVENTORY) and d), {})
    shown = [row for row in rows if not row[0].endswith((INVENTORY, "/receipt.json"))]
    found, room = [], MAX_IMAGE_BYTES
    for path, data, size in shown[:MOST_FILES]:
        if data is None:
            piece = Evidence(path, item, "file", size, note="too large to show")
        else:
            piece = describe(path, item, _masked(path, data, loaded.known), room=room)
            room -= len(piece.uri)
        name = next((n for n in known if path == n or path.endswith(f"/{n}")), "")
        producer, sha256 = known.get(name, ("", ""))
        found.append(Artifact(piece, producer, sha256))
    order = {"image": 0, "table": 1, "facts": 2, "text": 3, "file": 4}
    found.sort(key=lambda one: (order[one.piece.kind], one.piece.path))
    return found, max(0, len(shown) - MOST_FILES)


def _masked(path: str, data: bytes, known: Sequence[str]) -> bytes:
    """A text without its credentials; arrays and pictures are as they are."""
    if PurePosixPath(path).suffix.lower() in secrets.ARRAYS:
        return data
    return secrets.redact(data.decode("latin-1"), known).encode("latin-1")


def _inventory(data: bytes) -> dict[str, tuple[str, str]]:
    """Producer and hash by path, as `artifact_inventory.txt` has them."""
    found = {}
    for line in data.decode("utf-8", "replace").splitlines():
        words = line.split("  ", 3)
        if len(words) == 4 and not line.startswith("#"):
            found[words[3]] = (words[2], words[0])
    return found
