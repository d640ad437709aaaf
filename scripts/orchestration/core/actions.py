"""Action types and the action state of a focus: which kind of order may come next."""

from __future__ import annotations

from collections.abc import Sequence

ACTION_TYPES = ("evidence", "debug", "planning", "review", "implementation")
STATES = {"evidence": "gathering_evidence", "debug": "gathering_evidence", "planning": "planning"}
PLANNING_LIMIT = 2
"""So many planning orders in a row may a focus have."""


def action_state(actions: Sequence[str]) -> str:
    """Return what a focus is doing: the state that its last order left it in."""
    return STATES.get(actions[-1], "ready_for_implementation") if actions else "planning"


def allowed_actions(actions: Sequence[str]) -> tuple[str, ...]:
    """Return the action types that the next order of a focus may have.

    `actions` are the types of its earlier orders, oldest first.
    """
    tail = list(actions[-PLANNING_LIMIT:])
    tired = len(tail) == PLANNING_LIMIT and set(tail) == {"planning"}
    return tuple(name for name in ACTION_TYPES if not (tired and name == "planning"))
