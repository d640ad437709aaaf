"""The order (``input.md``): one place to import its types, reader and writer from."""

from orchestration.documents.grammar.refs import Ref
from orchestration.documents.order.model import (
    MODES,
    ArtifactTarget,
    Contract,
    FindingRef,
    Order,
    Section,
    Task,
)
from orchestration.documents.order.reader import parse_order
from orchestration.documents.order.render import content_hash, meaning, render_order

__all__ = [
    "MODES",
    "ArtifactTarget",
    "Contract",
    "FindingRef",
    "Order",
    "Ref",
    "Section",
    "Task",
    "content_hash",
    "meaning",
    "parse_order",
    "render_order",
]
