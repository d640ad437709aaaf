"""What a pass costs besides arithmetic: one copy from the device to the host."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.physics import backend
from ptycho.refinement import RefineConfig
from ptycho.refinement.run import prepare
from ptycho.refinement.takeover import take_over
from ptycho.simulation import SimulationConfig, simulate


@pytest.mark.parametrize(
    "settings", [{}, {"background": "rings", "positions": "frames", "flux": True}]
)
def test_a_pass_reads_from_the_device_once(settings):
    scan = simulate(SimulationConfig(N=16, n_frames=40, probe_diameter_px=8, step_px=2))
    config = RefineConfig(regularise=0.25, batch_size=10, **settings)
    engine = prepare(scan, take_over(scan, None), config)
    for run in (
        lambda: engine.run_pass(np.arange(40), 1.0, move=config.positions != "off"),
        lambda: engine.run_whole("poisson", 0.25, judge=True),
    ):
        with backend.counting_reads() as reads:
            told = run()
        if config.positions == "off":  # frames that move are read as they move, and judged anew
            assert reads.count == 1
        assert np.isfinite(told.residual) and told.held_out is not None
    with backend.counting_reads() as reads:
        engine.score()
    assert reads.count >= 1, "the counter counts"


def test_whole_passes_do_not_depend_on_chunks_or_lanes(monkeypatch):
    """The same numbers, whether a pass is one program or many, one after another or at once."""
    from ptycho.refinement import engine as module

    scan = simulate(SimulationConfig(N=16, n_frames=40, probe_diameter_px=8, step_px=2))
    found = []
    for pixels, lanes in ((1 << 18, 1), (7 * 256, 1), (7 * 256, 3)):
        monkeypatch.setattr(module, "CHUNK_PIXELS", pixels)
        monkeypatch.setattr(backend, "lanes", lambda lanes=lanes: lanes)
        engine = prepare(
            scan, take_over(scan, None), RefineConfig(regularise=0.25, positions="frames")
        )
        for _ in range(3):
            told = engine.run_whole("poisson", 0.25)
        found.append((*engine.fields(), engine.positions_px, told.residual))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4 * np.abs(a).max())


def test_complex_tensors_are_not_read_without_their_imaginary_part():
    """So the eigenprobes of a probe that varies began as the real part of what frames ask for."""
    with pytest.raises(TypeError, match="complex"):
        backend.read(backend.tensor(np.ones((2, 3), np.complex64)))
