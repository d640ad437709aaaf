"""Lookups of the validator in a checkout: files, ledger, findings, and a cache for collection.

Only the standard library: git and pytest are passed in by callers that have them. What a quick
check of an order does not use is imported where it is: the linter is a process for each check.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from orchestration.documents.grammar import (
    MAX_BYTES,
    Command,
    DocumentError,
    Selected,
    SourceText,
    is_id,
    read_text,
)
from orchestration.documents.ledger import Ledger, parse_ledger
from orchestration.documents.order import ValidationContext

Collect = Callable[[str], Sequence[str]]
_SUFFIXES = (".py", ".toml", ".ini", ".cfg")
_SKIPPED = frozenset(("node_modules", "build", "dist", "__pycache__", "venv", "site-packages"))
#: Above this many source files the cache costs more than it saves.
_MAX_FILES = 5000


def find_root(start: Path) -> Path:
    """Return the nearest folder above ``start`` with a ``.git``, else ``start``'s own folder.

    Links are followed; a loop of links is left to the reader of the file.
    """
    start = Path(os.path.realpath(start))
    folder = start if start.is_dir() else start.parent
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate
    return folder


class Checkout:
    """A repository's files as the validator sees them; nothing outside ``root`` is visible."""

    def __init__(
        self, root: Path, *, ledger: str = "docs/fix_plan.md", findings: str = "docs/findings.md"
    ) -> None:
        """``ledger`` and ``findings`` are paths below ``root``; absent files are no error."""
        self.root = root.resolve()
        self.ledger_path, self.findings_path = ledger, findings

    def _inside(self, path: str) -> Path | None:
        try:
            place = (self.root / path).resolve()
        except (OSError, ValueError, RuntimeError):
            return None
        return place if place == self.root or self.root in place.parents else None

    def exists(self, path: str) -> bool:
        """Tell whether a file or folder of the repository exists."""
        place = self._inside(path)
        try:
            return place is not None and place.exists()
        except (OSError, ValueError):
            return False

    def read_lines(self, path: str) -> list[str] | None:
        """Return a file's lines, None when it is absent, a folder, or above the size limit."""
        place = self._inside(path)
        try:
            if place is None or not place.is_file() or place.stat().st_size > MAX_BYTES:
                return None
            return SourceText(read_text(place), path).lines
        except (OSError, DocumentError):
            return None

    def ledger(self) -> Ledger | None:
        """Return the ledger, None when the repository has none."""
        if not self.exists(self.ledger_path):
            return None
        return parse_ledger(read_text(self.root / self.ledger_path), self.ledger_path)

    def finding_ids(self) -> set[str] | None:
        """Return the ids of the findings, None when the repository has none."""
        if not self.exists(self.findings_path):
            return None
        from orchestration.documents.findings import parse_findings

        return parse_findings(read_text(self.root / self.findings_path)).ids

    def plan_tools(self, item_id: str) -> int:
        """Return the number of tools that an item's plan has: files in its ``bin/``."""
        place = self._inside(f"plans/active/{item_id}/bin") if is_id(item_id) else None
        try:
            return sum(path.is_file() for path in place.iterdir()) if place else 0
        except OSError:
            return 0

    def program(self, name: str) -> bool:
        """Tell whether a command can be found: on the path, or beside an interpreter here."""
        folders = [Path(sys.executable).parent, self.root / ".venv/bin", self.root / "venv/bin"]
        if any((folder / name).exists() for folder in folders):
            return True
        import shutil

        return shutil.which(name) is not None

    def context(
        self,
        path: str,
        *,
        collect: Collect | None = None,
        resolve: Callable[[str], str | None] | None = None,
        branch: str | None = None,
        known_orders: Sequence[str] = (),
        protected: Sequence[str] = (),
        approved: Sequence[str] = (),
        extended: Callable[[str], int] | None = None,
        selects: Callable[[Command], Selected] | None = None,
        writes_tests: bool = False,
    ) -> ValidationContext:
        """Return the context of an order in this checkout; ``now`` is the machine's clock.

        ``extended(item id)`` counts the earlier orders for plan-local tools, where there is a log.
        """

        def plan_local(item_id: str) -> int:
            return max(self.plan_tools(item_id), extended(item_id) if extended else 0)

        return ValidationContext(
            path=path, exists=self.exists, read_lines=self.read_lines, collect=collect,
            resolve=resolve, ledger=self.ledger(), finding_ids=self.finding_ids,
            known_orders=known_orders, now=datetime.now(UTC), branch=branch,
            protected=protected, approved=approved, plan_local=plan_local, program=self.program,
            selects=selects, writes_tests=writes_tests,
        )  # fmt: skip


def _sources(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in _SKIPPED and not n.startswith("."))
        for name in sorted(files):
            if name.endswith(_SUFFIXES):
                yield Path(folder, name)


def source_digest(root: Path) -> str | None:
    """Return a sha256 over the Python and configuration files below ``root``.

    None when there are too many of them: then nothing is cached.
    """
    import hashlib

    digest = hashlib.sha256()
    for count, path in enumerate(_sources(root)):
        if count >= _MAX_FILES:
            return None
        try:
            data = path.read_bytes()
        except OSError:
            continue
        digest.update(str(path.relative_to(root)).encode("utf-8", "surrogateescape") + b"\0")
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()


def cached(collect: Collect, root: Path, cache: Path) -> Collect:
    """Wrap ``collect`` with a cache in the file ``cache``, valid while no source file changes."""
    import json

    def collect_once(selector: str) -> Sequence[str]:
        digest = source_digest(root)
        known = _load(cache) if digest else {}
        entry = known.get(selector)
        if isinstance(entry, dict) and entry.get("sources") == digest:
            nodes = entry.get("nodes")
            if isinstance(nodes, list) and all(isinstance(node, str) for node in nodes):
                return nodes
        found = list(collect(selector))
        if digest:
            fresh = {k: v for k, v in known.items() if v.get("sources") == digest}
            fresh[selector] = {"sources": digest, "nodes": found}
            cache.parent.mkdir(parents=True, exist_ok=True)
            temporary = cache.with_name(f"{cache.name}.{os.getpid()}")
            temporary.write_text(json.dumps(fresh), encoding="utf-8")
            temporary.replace(cache)
        return found

    return collect_once


def _load(cache: Path) -> dict[str, dict[str, object]]:
    import json

    try:
        data = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {k: v for k, v in data.items() if isinstance(v, dict)}
