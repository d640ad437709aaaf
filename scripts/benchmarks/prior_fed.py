"""At which weight of total variation the prior's input is best: rows on the prior's page.

The scans are those of a data folder that training kept apart; each is solved with the weight that
held-out counts choose, then goes to the weight that is tried, and the prior is applied there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ptycho import Reconstruction, evaluate
from ptycho.pretraining.judgement import chosen_weight
from ptycho.pretraining.recipes import CANVAS_PX, draw, measured
from ptycho.pretraining.training import VALIDATION_EVERY
from ptycho.prior import Prior
from ptycho.refinement import solved

Row = dict[str, Any]
WEIGHTS = None, 0.25, 0.4, 0.5, 0.65, 1.0
"""None: the weight that was chosen."""
SCANS = 60
LIGHTS = (0.0, 1e2, 1e3, np.inf)
"""Photons that a pixel of the scan sees, between which the rows are told apart."""
CHOSEN = (0.0, 0.3, 0.5, 0.8, 1.2, np.inf)
"""Weights that were chosen, likewise: those from .4 on are told one by one."""


def fed_rows(prior: Prior, data: Path) -> list[Row]:
    """SSIM (amplitude, phase) without and with the prior, a row a scan and weight.

    `plain` is the image of the weight that was chosen.
    """
    seed = json.loads((data / "set.json").read_text(encoding="utf-8"))["seed"]
    every = sorted(data.glob("[0-9]*.npz"))
    rows = []
    for path in islice((p for p in every if not int(p.stem) % VALIDATION_EVERY), SCANS):
        recipe = draw(seed, int(path.stem))
        scan = measured(recipe)
        chosen = chosen_weight(scan)
        for weight in WEIGHTS:
            found = solved(
                scan,
                chosen,
                recipe.passes,
                least_px=CANVAS_PX,
                fed=chosen if weight is None else weight,
            )
            light = found.fed.light
            scores = []
            for image in (found.image, prior(found.fed)):
                told = evaluate(Reconstruction(image, light, found.origin_px), scan)
                scores.append([float(told[part]["ssim"]) for part in ("amplitude", "phase")])
            usual = float(np.median(light[light > 0.05 * np.quantile(light[light > 0], 0.95)]))
            facts = {"scan": path.stem, "weight": weight, "light": usual, "chosen": chosen}
            rows.append(facts | {"plain": scores[0], "prior": scores[1]})
    return rows


def fed_words(rows: list[Row]) -> Iterator[str]:
    """Mean gains by weight, a row for each range of light and of chosen weights, one for all."""
    if not rows:
        yield "Not run: `--data`."
        return
    heads = ["as chosen" if weight is None else f"{weight:g}" for weight in WEIGHTS]
    yield f"| scans with | number | {' | '.join(heads)} |"
    yield "|---|---|" + "---|" * len(heads)
    ranges = [("light", "{} to {} photons a pixel", *ends) for ends in pairwise(LIGHTS)]
    ranges += [("chosen", "{} to {} chosen", *ends) for ends in pairwise(CHOSEN)]
    for key, words, low, high in [*ranges, ("light", "all", 0.0, np.inf)]:
        mine = [row for row in rows if low <= row[key] < high]
        if not mine:
            continue
        cells = []
        for weight in WEIGHTS:
            gains = [np.subtract(r["prior"], r["plain"]) for r in mine if r["weight"] == weight]
            cells.append("{:+.3f} / {:+.3f}".format(*np.mean(gains, axis=0)))
        name = words.format(f"{low:g}", f"{high:g}")
        yield f"| {name} | {len(mine) // len(WEIGHTS)} | {' | '.join(cells)} |"
