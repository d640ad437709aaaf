"""The order (``input.md``): one place to import its types, reader and writer from."""

from .order_model import MODES, ArtifactTarget, Contract, FindingRef, Order, Section, Task
from .order_reader import parse_order
from .order_render import content_hash, meaning, render_order
from .refs import Ref

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
