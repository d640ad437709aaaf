"""`refine --resume`: after a kill it goes on where it was, and ends where it would have ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.data import load_reconstruction, save_scan
from ptycho.errors import ArchiveError, ConfigError, UsageError
from ptycho.refinement.checkpoint import Checkpoints, clear_checkpoint
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.outcome import RefineResult
from ptycho.refinement.run import refine
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate


class CutOffError(Exception):
    """In place of a kill, at a pass that the test chooses."""


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(SimulationConfig(N=32, n_frames=60, photons=1e5, seed=2, probe_diameter_px=14))


def cut_off(scan: Scan, config: RefineConfig, folder: Path, after: int) -> None:
    """A refinement that ends after so many passes; its checkpoint is that of the pass before."""
    passes = 0

    def bar(*_: object) -> None:
        nonlocal passes
        passes += 1
        if passes == after:
            raise CutOffError

    with pytest.raises(CutOffError):
        refine(scan, config=config, progress=bar, checkpoint=folder)


def goes_on(scan: Scan, config: RefineConfig, folder: Path) -> tuple[RefineResult, int]:
    passes = []
    result = refine(
        scan, config=config, checkpoint=folder, resume=True, progress=lambda *a: passes.append(a)
    )
    return result, len(passes)


@pytest.mark.parametrize(
    ("settings", "cuts"),
    [
        (
            {"passes": 8, "positions": "frames", "position_start": 0.2, "background": "rings"},
            (3, 7),
        ),
        ({"passes": 30, "flux": True, "regularise": "auto", "loss": "auto"}, (3, 14, 22, 27)),
        ({"passes": 6, "modes": "auto"}, (2, 8, 13)),
    ],
)
def test_it_ends_as_if_it_had_not_been_cut_off(scan, tmp_path, settings, cuts):
    config = RefineConfig(checkpoint_s=1e-9, **settings)
    whole = refine(scan, config=config)
    for after in cuts:
        folder = tmp_path / f"{after}"
        cut_off(scan, config, folder, after)
        result, passes = goes_on(scan, config, folder)
        assert len(result.history) == len(whole.history)
        assert passes <= whole.iterations - after + 1, "what was done is not done again"
        for name in ("object", "probe", "positions_px"):
            one, other = (getattr(r.reconstruction, name) for r in (result, whole))
            assert (one is None) == (other is None)
            if one is not None:
                np.testing.assert_allclose(one, other, atol=2e-4 * np.abs(other).max())
        for key in ("regularise", "loss", "trials", "whole_trials", "flux"):
            assert (key in result.reconstruction.meta) == (key in whole.reconstruction.meta)
        assert result.deviance_per_pixel == pytest.approx(whole.deviance_per_pixel, rel=1e-3)


def test_what_positions_share_is_not_sought_again(scan, tmp_path):
    """Its passes come before those of the refinement: 24 + 24 + 60 + 30."""
    config = RefineConfig(passes=6, positions="all", regularise="off", checkpoint_s=1e-9)
    cut_off(scan, config, tmp_path / "a", 141)
    with pytest.raises(UsageError, match="--resume"):
        refine(scan, config=config, checkpoint=tmp_path / "a")
    result, passes = goes_on(scan, config, tmp_path / "a")
    assert passes <= 4 and result.iterations == 6
    assert result.reconstruction.meta["shared_positions"]["passes"] == 138
    clear_checkpoint(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_long_history_is_kept(tmp_path):
    """An HDF5 attribute ends at 64 KB: refinements of more than 450 passes died a minute later."""
    row = {"pass": 1, "seconds": 1 / 3, "residual": 1 / 7, "step": 1.0, "held_out_deviance": 1 / 9}
    facts = {"history": [row | {"pass": number} for number in range(20_000)]}
    keep = Checkpoints(tmp_path / "c", 1e-9, {"settings": "{}"})
    keep.stage("run").write("batches", facts, best={"object": np.arange(3.0)})
    saved = Checkpoints(tmp_path / "c", 1e-9, {"settings": "{}"}, True).stage("run").at("batches")
    assert saved is not None
    assert saved.facts == facts
    np.testing.assert_array_equal(saved.tree("best", {"object": np.zeros(3)})["object"], [0, 1, 2])


def test_a_checkpoint_of_something_else_is_refused(scan, tmp_path):
    config = RefineConfig(passes=6, checkpoint_s=1e-9)
    cut_off(scan, config, tmp_path / "a", 3)
    with pytest.raises(UsageError, match="--resume"):
        refine(scan, config=config, checkpoint=tmp_path / "a")
    other = config.model_copy(update={"seed": 5})
    with pytest.raises(ConfigError, match="seed: 0 then, 5 now"):
        refine(scan, config=other, checkpoint=tmp_path / "a", resume=True)
    with pytest.raises(ConfigError, match="frames"):
        refine(scan.subset(np.arange(50)), config=config, checkpoint=tmp_path / "a", resume=True)
    with h5py.File(tmp_path / "a" / "state.h5", "a") as file:
        del file["meta"]
    with pytest.raises(ArchiveError, match=r"state\.h5"):
        refine(scan, config=config, checkpoint=tmp_path / "a", resume=True)


def test_the_command_goes_on_after_a_kill(scan, tmp_path):
    """kill -9 in the middle; the continuation does the rest, and its folder goes.

    The page of `--live` is whole at any time, and the continuation goes on with it.
    """
    save_scan(scan, tmp_path / "scan.npz")
    out, state = tmp_path / "out.h5", tmp_path / "out.h5.checkpoint" / "state.h5"
    command = [
        *(sys.executable, "-m", "ptycho", "refine", str(tmp_path / "scan.npz"), "-o", str(out)),
        *("--passes", "400", "--set", "checkpoint_s=0.2", "--set", "patience=400"),
        *("--no-figure", "--json", "--live", str(tmp_path / "live")),
    ]
    page = tmp_path / "live/page.html"
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not state.is_file() and time.monotonic() < until and first.poll() is None:
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert state.is_file() and not out.exists()
    running = page.read_text()
    assert "<strong>Running</strong>" in running and running.endswith("</html>")
    with h5py.File(state) as file:
        done = len(json.loads(np.asarray(file["meta"]).tobytes())["facts"]["history"])
    assert 0 < done < 400
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 2 and "--resume" in again.stderr
    rest = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=500)
    assert rest.returncode == 0, rest.stderr
    assert json.loads(rest.stdout)["iterations"] == 400
    assert not state.parent.exists()
    text = page.read_text()
    assert "<strong>Finished</strong>" in text and 'http-equiv="refresh"' not in text
    assert load_reconstruction(out).meta["iterations"] == 400
