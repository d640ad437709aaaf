"""Made scans for the prior: what is drawn, and how each is measured, spoilt and solved.

The simulator reads between pixels by the Fourier shift, the solver by the cubic kernel: data that
shared the kernel would teach the network that the model is exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ptycho.pretraining.specimens import KINDS, Cutting, Specimen
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

CANVAS_PX = 160
"""Every scan is solved on a square of this side, so that few programs are compiled."""
FORMS = {32: (8, 12), 64: (8,)}
"""Frame side → sides of the grid of positions."""
SMALL_SHARE = 0.7  # of scans with the smaller frames, which cost a quarter
DIAMETERS_PX = {32: (10.0, 20.0), 64: (14.0, 36.0)}
STEPS = (0.18, 0.95)  # of a diameter
SHORT_STEP_PX = 5.0
"""Below it a scan has as many frames as fit, or it would show little."""
LIGHT = (8.0, 5e4)
"""Photons that a pixel sees in all frames together: half of the scans have fewer than 71, a quarter
more than 1090, since the prior is for few."""
PHOTOGRAPHS = 3.0
"""Photographs are drawn so many times as often as each other kind: none is like another."""
WEIGHTS = (0.1, 0.17, 0.25, 0.4, 0.65, 1.0, 1.6)
PASSES = (28, 46)
PROBES = ("disk", "gaussian", "focused")


@dataclass(frozen=True)
class Recipe:
    """One scan of the training set.

    Args:
        specimen, simulation: the object, and all else that is simulated.
        position_error_px: σ of each coordinate that the solver is told.
        flux_error: the light of a frame is between 1 − 2·this and 1; the solver takes it as even.
        probe_error_rad: quadratic phase at the edge that the solver's probe has too much.
        weight, passes: of the solver.
    """

    specimen: Specimen | Cutting
    simulation: SimulationConfig
    position_error_px: float
    flux_error: float
    probe_error_rad: float
    weight: float
    passes: int

    def record(self) -> dict[str, Any]:
        """JSON-able."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return own | {
            "specimen": asdict(self.specimen),
            "simulation": self.simulation.model_dump(mode="json"),
        }


def made_of(record: Mapping[str, Any]) -> set[str]:
    """Names of what a recipe's record is made of: its kinds of specimen and its probe."""
    return {*record["specimen"]["kinds"], record["simulation"]["probe"]}


def draw(seed: int, number: int, objects: Sequence[str] = ()) -> Recipe:
    """The recipe of scan `number` in the set of `seed`; `objects`: what specimens are cut from."""
    rng = np.random.default_rng((seed, number))
    N = 32 if rng.uniform() < SMALL_SHARE else 64
    diameter = rng.uniform(*DIAMETERS_PX[N])
    probe = str(rng.choice(PROBES))
    trajectory = str(rng.choice(("raster", "jittered", "fermat")))
    stretch = 1.2 if trajectory == "fermat" else 1.0
    step = diameter * _log_uniform(rng, *STEPS)
    room = CANVAS_PX - N - 8
    sides = [k for k in FORMS[N] if stretch * (k - 0.4) * step <= room] or [FORMS[N][0]]
    side = max(sides) if step < SHORT_STEP_PX else int(rng.choice(sides))
    step = min(step, room / (stretch * (side - 0.4)))
    light = LIGHT[0] * (LIGHT[1] / LIGHT[0]) ** (rng.uniform() ** 2)
    simulation = SimulationConfig.model_validate(
        {
            "N": N,
            "n_frames": side**2,
            "photons": max(light * step**2, 20.0),
            "probe": probe,
            "probe_diameter_px": diameter,
            "probe_curvature_rad": rng.uniform(0, 10 if probe != "focused" else 5),
            "probe_modes": (0.8, 0.2) if rng.uniform() < 0.15 else (1.0,),
            "trajectory": trajectory,
            "step_px": step,
            "kernel": "fourier",
            "gap_px": 2 if rng.uniform() < 0.1 else 0,
            "beam_stop_diameter_px": 3.0 if rng.uniform() < 0.1 else 0.0,
            "dead_fraction": 0.01 if rng.uniform() < 0.1 else 0.0,
            "seed": int(rng.integers(1 << 31)),
            "noise_seed": int(rng.integers(1 << 31)),
        }
    )
    return Recipe(
        Cutting(str(rng.choice(objects)), int(rng.integers(1 << 31)))
        if objects
        else _specimen(rng),
        simulation,
        position_error_px=rng.uniform(0.05, 0.4) if rng.uniform() < 0.25 else 0.0,
        flux_error=rng.uniform(0.005, 0.03) if rng.uniform() < 0.15 else 0.0,
        probe_error_rad=rng.uniform(-0.3, 0.3) if rng.uniform() < 0.15 else 0.0,
        weight=float(rng.choice(WEIGHTS)),
        passes=int(rng.integers(*PASSES)),
    )


def _specimen(rng: np.random.Generator) -> Specimen:
    shared = rng.uniform() < 0.4
    share = np.where(np.array(KINDS) == "photographs", PHOTOGRAPHS, 1.0)
    kinds = rng.choice(KINDS, 1 if shared else 2, p=share / share.sum())
    pure_phase = rng.uniform() < 0.1
    return Specimen(
        tuple(str(kind) for kind in kinds),
        amplitude_low=0.97 if pure_phase else rng.uniform(0.2, 0.9),
        phase_range_rad=_log_uniform(rng, 0.2, 2.0),
        emptied=rng.uniform(0.2, 0.7) if rng.uniform() < 0.2 else 0.0,
        seed=int(rng.integers(1 << 31)),
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def measured(recipe: Recipe) -> Scan:
    """The scan as the solver is given it: frames, and what it believes of positions and probe."""
    config = recipe.simulation
    scan = simulate(config, specimen=recipe.specimen)
    rng = np.random.default_rng((config.noise_seed, 7))
    positions, counts, probe = scan.positions_px, np.asarray(scan.counts), scan.probe
    assert probe is not None
    positions = positions + recipe.position_error_px * rng.standard_normal(positions.shape)
    if recipe.flux_error:
        share = 1 - 2 * recipe.flux_error * rng.uniform(size=(len(counts), 1, 1))
        counts = rng.binomial(counts.astype(np.int64), share).astype(np.float32)
    axis = (np.arange(config.N) - config.N // 2) / (config.diameter_px / 2)
    curve = axis[:, None] ** 2 + axis**2
    probe = probe * np.exp(1j * recipe.probe_error_rad * curve).astype(np.complex64)
    return replace(scan, counts=counts, positions_px=positions, probe=probe)
