"""The ledger (``docs/fix_plan.md``): one place to import its types, reader and edits from.

The reader accepts every historic form (bracketed items at any heading level, the single-focus
report with ``## TODOs``); edits return a new text that differs in the edited spans only.
"""

from orchestration.documents.ledger.check import check_ledger
from orchestration.documents.ledger.edit import add_item, append_attempt, set_status, tick
from orchestration.documents.ledger.model import (
    DEFAULT_POLL_S,
    DEFAULT_PRIORITY,
    Attempt,
    Criterion,
    Item,
    Ledger,
    Recipe,
    Span,
    Status,
    Waiting,
)
from orchestration.documents.ledger.reader import parse_ledger, read_ledger

__all__ = [
    "DEFAULT_POLL_S",
    "DEFAULT_PRIORITY",
    "Attempt",
    "Criterion",
    "Item",
    "Ledger",
    "Recipe",
    "Span",
    "Status",
    "Waiting",
    "add_item",
    "append_attempt",
    "check_ledger",
    "parse_ledger",
    "read_ledger",
    "set_status",
    "tick",
]
