"""Trainings that left out a kind of specimen, or of probe: their rows on the prior's page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptycho import SimulationConfig
from ptycho.pretraining import CASES

Row = dict[str, Any]
KIND_CASES = {"letters": "T", "siemens": "T", "dead_leaves": "D", "grf": "D", "photographs": "AR"}
"""A kind that is left out, and the cases that show it."""
PROBE = SimulationConfig().probe
"""Of the judged scans, which one training left out; another one saw all probes."""
PROBE_TRAININGS = (PROBE, "nothing")


def without_words(found: dict[str, Any]) -> Iterator[str]:
    """Gains on cases that show a kind, of trainings that left it out: mean, and the least one."""
    yield "| without | steps | case | photons | seeds | gain | least |"
    yield "|---|---|---|---|---|---|---|"
    for kind, table in found.items():
        if table is None:
            yield f"| {kind} | not run | | | | | |"
            continue
        keys = sorted({(row["case"], row["photons"]) for row in table["cases"]})
        for key in keys:
            mine = [row for row in table["cases"] if (row["case"], row["photons"]) == key]
            cells = [kind, str(table["record"]["steps"]), key[0], f"{key[1]:.0e}", str(len(mine))]
            yield f"| {' | '.join(cells + _gains(mine))} |"


def _gains(rows: list[Row]) -> list[str]:
    """Mean, least: of amplitude / phase."""
    gains = np.array([np.subtract(row["prior"], row["plain"]) for row in rows])
    return [f"{a:+.3f} / {b:+.3f}" for a, b in (gains.mean(axis=0), gains.min(axis=0))]


def probe_words(found: dict[str, Any]) -> Iterator[str]:
    """Gains of a training that left the judged scans' probe out, beside those of one with it."""
    if any(found.get(name) is None for name in PROBE_TRAININGS):
        yield "Not run."
        return
    records = {name: found[name]["record"] for name in PROBE_TRAININGS}
    for name, record in records.items():
        yield (
            f"- without {name}: data {record['data_sha256'][:8]}…, {record['scans']} scans, "
            f"{record['steps']} steps, seed {record['seed']}, commit {record['commit']}."
        )
    yield ""
    heads = [f"without {name}: gain | least" for name in PROBE_TRAININGS]
    yield f"| photons | case | seeds | {' | '.join(heads)} |"
    yield "|---|---|---|" + "---|---|" * len(heads)
    both = [found[name]["cases"] for name in PROBE_TRAININGS]
    for photons in sorted({row["photons"] for row in both[0]}):
        of_dose = [[row for row in rows if row["photons"] == photons] for rows in both]
        for case in CASES:
            mine = [[row for row in rows if row["case"] == case] for rows in of_dose]
            cells = [f"{photons:.0e}", case, str(len(mine[0]))]
            yield f"| {' | '.join(cells + [text for rows in mine for text in _gains(rows)])} |"
        cells = [f"{photons:.0e}", "mean", str(len(of_dose[0]))]
        yield f"| {' | '.join(cells + [text for rows in of_dose for text in _gains(rows)])} |"
    if not all(found[name]["apart"] for name in PROBE_TRAININGS):
        return
    yield ""
    yield "Draws that neither saw (`--data`), of kinds of specimens that both saw, by their probe:"
    yield ""
    yield f"| probe | scans | {' | '.join(heads)} |"
    yield "|---|---|" + "---|---|" * len(heads)
    apart = [found[name]["apart"] for name in PROBE_TRAININGS]
    for probe in sorted({row["probe"] for row in apart[0]}):
        mine = [[row for row in rows if row["probe"] == probe] for rows in apart]
        cells = [probe, str(len(mine[0]))]
        yield f"| {' | '.join(cells + [text for rows in mine for text in _gains(rows)])} |"
