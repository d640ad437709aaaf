"""Circles of a directed graph, in one walk without recursion (documents may be hostile)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MOST = 100


def cycles(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return circles of ``edges`` (targets that are no keys are ignored), at most ``MOST``.

    Nodes are visited in the order of ``edges``, in time linear in nodes and edges.
    """
    state: dict[str, int] = {}
    place: dict[str, int] = {}
    found: list[list[str]] = []
    for root in edges:
        if state.get(root):
            continue
        path: list[str] = [root]
        pending = [iter(edges[root])]
        state[root], place[root] = 1, 0
        while pending:
            step = next(pending[-1], None)
            if step is None:
                state[path.pop()] = 2
                pending.pop()
            elif state.get(step) == 1:
                if len(found) < MOST:
                    found.append(path[place[step] :])
            elif step in edges and not state.get(step):
                state[step], place[step] = 1, len(path)
                path.append(step)
                pending.append(iter(edges[step]))
    return found
