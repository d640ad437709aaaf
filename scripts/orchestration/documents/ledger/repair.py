"""`validate --fix` of a ledger: stray marks before headings; every other byte stays."""

from __future__ import annotations

from orchestration.documents.grammar import SourceText, apply_edits
from orchestration.documents.ledger.reader import parse_ledger


def normalise_ledger(text: str, path: str) -> str:
    """Return ``text`` without the stray bullets before the headings of its items.

    Historic keys, status words and ways of writing criteria are read as they stand.
    """
    source = SourceText(text, path)
    edits = [
        (source.starts[item.line - 1], source.starts[item.line - 1] + 1, "")
        for item in parse_ledger(text, path).items
        if source.lines[item.line - 1].startswith("-#")
    ]
    return apply_edits(text, edits)
