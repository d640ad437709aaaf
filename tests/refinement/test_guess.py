"""A scan without a probe: the defocus of the mean pattern is searched."""

from __future__ import annotations

from dataclasses import replace

from ptycho.evaluation import evaluate
from ptycho.refinement import RefineConfig, refine
from ptycho.simulation import SimulationConfig, simulate


def test_a_missing_probe_costs_little():
    settings = SimulationConfig(
        N=32, n_frames=120, photons=1e5, probe_diameter_px=16, probe_curvature_rad=5
    )
    scan = simulate(settings)
    config = RefineConfig(passes=40, regularise="off")
    given, missing = (
        refine(each, config=config).reconstruction for each in (scan, replace(scan, probe=None))
    )
    tried = missing.meta["probe_guesses"]
    best = min(tried, key=lambda row: row["held_out_deviance"])
    flat = next(row for row in tried if row["curvature"] == 0)
    assert best["held_out_deviance"] < flat["held_out_deviance"], "defocus is seen in the counts"
    assert "probe_guesses" not in given.meta
    likeness = [evaluate(rec, scan)["phase"]["ssim"] for rec in (missing, given)]
    assert likeness[0] > 0.95 * likeness[1]
