"""Before a refinement: the displacement that all frames share, from few passes.

First the frames nearest the middle of the scan, where an affine error is a pixel or two and a
descent still finds its way; what is found there holds for all frames. Then the whole scan, with
drift and backlash (`ptycho.refinement.places`). A descent of as many passes without any movement
is the control: the displacement is kept where it lowers the deviance by more than `GAIN`. Where it
would be kept, each frame moves by itself from the positions before and after: errors at random have
an affine part and a drift too, by chance, and to follow these moves the specimen with them.

With a free probe the affine part is nearly a gauge (a larger object under a larger probe): the
probe is held where it explains the middle about as well as a free one does.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.config import Progress
from ptycho.data import whole_file
from ptycho.refinement import start as setup
from ptycho.refinement.checkpoint import PLACES
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.places import Places, affine_columns, affine_part, shared_columns
from ptycho.scan import Scan

if TYPE_CHECKING:
    from ptycho.refinement.engine import Engine

MIDDLE_FRAMES, MIDDLE_PASSES = 64, 24
PASSES, CONTROL_PASSES = 60, 30
STILL = 6
"""Passes before frames move: until then there is no image to place them by."""
GAIN = 0.02
"""Of the deviance. Right positions gained -0.001 to 0.014 in six tries on three clean scans
(0.1 px of scale takes up part of the kernel's error); a scale 6 % off gained 0.23 to 0.37."""
FRAMES_GAIN = 0.01
"""The same where each frame moves by itself from both. docs/evidence/refinement.md, seed 0: random
-0.006, jitter 0.001; drift 0.020, scale 0.057, rotation 0.106."""
TRUSTED = 1.1
"""A given probe is trusted while a free one explains the middle no better than by this."""
MULTIPLE_PX = 32
"""Of the sides of the canvas: the positions before and after are then mostly compiled once."""
FARTHEST = 0.25
"""Of the side of a frame; where the whole scan is off by more, this stage does not find it."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Positions (M, 2) to go on with, and what was found, as JSON."""

    positions_px: np.ndarray
    record: dict[str, Any]


def find_places(scan: Scan, config: RefineConfig, progress: Progress | None = None) -> Placed:
    """The positions of `scan`, moved by what their errors have in common.

    Args:
        scan: with a probe.
        config: of the refinement that follows.
        progress: called after each pass with (done, total, info).
    """
    middle = setup.middle_of(scan, MIDDLE_FRAMES)
    tries = 2 if config.update_probe else 1
    total = tries * MIDDLE_PASSES + PASSES + 3 * CONTROL_PASSES
    done = 0

    def descend(
        part: Scan, passes: int, places: Places | None, *, probe: bool, alone: bool = False
    ) -> tuple[Engine, float]:
        """The engine at the end, and the deviance after as many passes as the control has."""
        nonlocal done
        engine = _engine(part, config, passes, places, probe=probe, alone=alone)
        deviance = math.nan
        for number in range(1, passes + 1):
            engine.run_whole("poisson", 0.0)
            if number == CONTROL_PASSES:
                deviance = engine.score().deviance_per_pixel
            done += 1
            if progress:
                progress(done, total, {"positions": "what they share"})
        return engine, deviance

    own = np.asarray(scan.positions_px, np.float64)
    columns = affine_columns(middle.positions_px)
    found, _ = descend(middle, MIDDLE_PASSES, Places(columns), probe=False)
    held = True
    if config.update_probe:
        free, _ = descend(middle, MIDDLE_PASSES, Places(columns), probe=True)
        fits = [each.score().deviance_per_pixel for each in (found, free)]
        held = fits[0] <= TRUSTED * fits[1]
        found = found if held else free
    by, _ = affine_part(middle.positions_px, found.positions_px - middle.positions_px)
    first = replace(scan, positions_px=own + (own - own.mean(axis=0)) @ by)
    shared = Places(shared_columns(own, scan.frame_numbers))
    moved, after = descend(first, PASSES, shared, probe=not held)
    _, before = descend(scan, CONTROL_PASSES, None, probe=not held)
    gain = 1 - after / before
    positions = moved.positions_px - (moved.positions_px - own).mean(axis=0)
    alone = math.nan
    if gain > GAIN:
        here, there = (
            descend(each, CONTROL_PASSES, None, probe=not held, alone=True)[1]
            for each in (scan, replace(scan, positions_px=positions))
        )
        alone = 1 - there / here
    by, rest = affine_part(own, positions - own)
    record = {
        "kept": bool(gain > GAIN and alone > FRAMES_GAIN),
        "deviance_gain": float(gain),
        "deviance_gain_of_frames": None if math.isnan(alone) else float(alone),
        "probe_held": held,
        "passes": done,
        **affine_facts(by),
        "drift_px": float(np.sqrt((rest**2).sum(axis=1).mean())),
        "moved_px": float(np.sqrt(((positions - own) ** 2).sum(axis=1).mean())),
    }
    return Placed(positions if record["kept"] else own, record)


def write_placed(folder: Path, placed: Placed, identity: dict[str, str]) -> None:
    """Into a checkpoint: the positions of a second search would differ in their last digits."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"positions_px": placed.positions_px.tolist(), "record": placed.record}
    with whole_file(folder / PLACES) as temporary:
        temporary.write_text(json.dumps({"identity": identity, **facts}), encoding="utf-8")


def read_placed(folder: Path, identity: dict[str, str]) -> Placed | None:
    """What `write_placed` wrote for this scan, start and setting, or None."""
    path = folder / PLACES
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if facts.get("identity") != identity:
        return None
    return Placed(np.array(facts["positions_px"]), facts["record"])


def affine_facts(by: np.ndarray) -> dict[str, float]:
    """What a displacement (row, col) @ `by` (2, 2) does to the positions, in words and numbers."""
    return {
        "scale": float(1 + (by[0, 0] + by[1, 1]) / 2),
        "rotation_deg": float(np.rad2deg((by[0, 1] - by[1, 0]) / 2)),
        "aspect": float(1 + (by[0, 0] - by[1, 1]) / 2),
        "shear": float((by[0, 1] + by[1, 0]) / 2),
    }


def _engine(
    scan: Scan,
    config: RefineConfig,
    passes: int,
    places: Places | None,
    *,
    probe: bool,
    alone: bool,
) -> Engine:
    from ptycho.refinement.run import prepare
    from ptycho.refinement.takeover import take_over

    setting = config.model_copy(
        update={
            "positions": "off" if places is None and not alone else "frames",
            "position_step": 1.0,
            "position_start": STILL / passes,
            "position_limit_px": config.position_limit_px if alone else FARTHEST * scan.N,
            "passes": passes,
            "modes": 1,
            "opr": 0,
            "background": None,
            "held_out_fraction": 0.0,
            "regularise": "off",
            "update_probe": probe,
            "clean": "off",
        }
    )
    engine = prepare(scan, take_over(scan, None), setting, multiple_px=MULTIPLE_PX)
    engine.places = places
    return engine
