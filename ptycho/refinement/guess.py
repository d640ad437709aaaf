"""A probe where the file holds none: the mean pattern's focus, at the defocus that fits best.

The mean pattern has the amplitude of the probe's far field, blurred by the specimen, and nothing of
its phase. For a lens and a defocus that phase is quadratic, so a few are tried:

    P_c = F⁻¹[√(mean pattern) · exp(i·c·q²/⟨q²⟩)],   c ∈ {0, ±1, ±2, ±4}

with q the distance from the centre and ⟨q²⟩ its mean in the pattern. Each begins a short descent of
the frames nearest the middle of the scan; held-out counts choose.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ptycho.config import Progress
from ptycho.refinement import start as setup
from ptycho.refinement.config import RefineConfig
from ptycho.scan import Scan

CURVATURES = (0.0, 1.0, -1.0, 2.0, -2.0, 4.0, -4.0)
FRAMES = 144
PASSES = 20


def find_probe(
    scan: Scan, config: RefineConfig, progress: Progress | None = None
) -> tuple[Scan, list[dict[str, Any]]]:
    """The scan with the best probe of these curvatures, and what was tried.

    The judge is the half-deviance of held-out counts, or, where the counts cannot be split, the
    residual of the last pass.
    """
    from ptycho.refinement.run import prepare
    from ptycho.refinement.takeover import take_over

    few = setup.middle_of(scan, FRAMES)
    setting = config.model_copy(
        update={"modes": 1, "opr": 0, "background": None, "positions": "off", "regularise": "auto"}
        | {"held_out_fraction": 0.3, "clean": "off"}
    )
    trials: list[dict[str, Any]] = []
    for curvature in CURVATURES:
        probe = setup.probe_from_mean(scan, curvature)
        guess = replace(few, probe=probe)
        engine = prepare(guess, take_over(guess, None), setting)
        for number in range(PASSES):
            told = engine.run_whole("poisson", 0.0, judge=number == PASSES - 1)
        judge = "residual" if told.held_out is None else "held_out_deviance"
        trials.append({"curvature": curvature, judge: told.held_out or told.residual})
        if progress:
            progress(len(trials), len(CURVATURES), {"probe of curvature": curvature})
    best = min(trials, key=lambda row: float(row[judge]))
    return replace(scan, probe=setup.probe_from_mean(scan, best["curvature"])), trials
