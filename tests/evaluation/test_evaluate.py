"""Evaluation: against the truth, another reconstruction, half sets; and the command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from ptycho.cli.app import app
from ptycho.data import save_reconstruction, save_scan
from ptycho.errors import DataError, UsageError
from ptycho.evaluation.scores import evaluate, evaluate_half_sets, evaluate_images, split
from ptycho.physics import illumination
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.start import Canvas
from ptycho.report import contents_of
from ptycho.result import Reconstruction
from ptycho.scan import Geometry, Scan
from ptycho.simulation import SimulationConfig, simulate


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(SimulationConfig(N=32, n_frames=100, photons=1e5, probe_diameter_px=16))


@pytest.fixture(scope="module")
def perfect(scan) -> Reconstruction:
    """The truth itself as a reconstruction on its own canvas, in another gauge."""
    canvas = Canvas.around(scan.positions_px, scan.N, 1)
    row, col = (round(c - o) for c, o in zip(canvas.origin_px, scan.truth.origin_px, strict=True))
    padded = np.pad(scan.truth.object, 40, mode="edge")
    height, width = canvas.shape
    cut = padded[row + 40 : row + 40 + height, col + 40 : col + 40 + width]
    seen = illumination(
        scan.probe, scan.positions_px, shape=canvas.shape, origin_px=canvas.origin_px
    )
    return Reconstruction(cut * 2j, seen, canvas.origin_px, probe=scan.probe, meta={"method": "t"})


def test_the_truth_scores_perfectly_in_any_gauge(scan, perfect):
    metrics = evaluate(perfect, scan)
    assert metrics["kind"] == "truth"
    assert metrics["amplitude"]["ssim"] == pytest.approx(1, abs=1e-4)
    assert metrics["phase"]["ssim"] == pytest.approx(1, abs=1e-4)
    assert metrics["gauge"]["scale"] == pytest.approx(0.5, rel=1e-4)
    assert evaluate(perfect, scan.truth)["complex"] == metrics["complex"]
    json.dumps(metrics)


def test_an_origin_off_by_one_is_found_as_a_shift_and_scored_without_it(scan, perfect):
    row, col = perfect.origin_px
    moved = Reconstruction(perfect.object, perfect.coverage, (row + 1, col - 2))
    metrics = evaluate(moved, scan)
    np.testing.assert_allclose(metrics["gauge"]["shift_px"], (-1, 2), atol=0.1)
    assert evaluate(moved, scan, shift=False)["phase"]["ssim"] < 0.6


def test_dark_pixels_do_not_count(scan, perfect):
    spoiled = np.where(perfect.region(0.25), perfect.object, 50 - 3j)
    rec = Reconstruction(spoiled, perfect.coverage, perfect.origin_px)
    assert evaluate(rec, scan, shift=False)["complex"]["relative_error"] < 1e-4


def test_against_another_reconstruction_with_another_origin(perfect):
    part = Reconstruction(
        perfect.object[4:-3, 6:-2],
        perfect.coverage[4:-3, 6:-2],
        (perfect.origin_px[0] + 4, perfect.origin_px[1] + 6),
    )
    metrics = evaluate(part, perfect)
    assert metrics["kind"] == "against"
    assert metrics["complex"]["relative_error"] < 1e-5


def test_measured_scans_and_strangers_are_errors(scan, perfect):
    with pytest.raises(DataError, match="no truth"):
        evaluate(perfect, Scan(scan.counts, scan.positions_px))
    far = Reconstruction(perfect.object, perfect.coverage, (9999, 0))
    with pytest.raises(UsageError, match="in common"):
        evaluate(far, perfect)


def test_split_by_frames_and_by_counts(scan):
    rng = np.random.default_rng(0)
    even, odd = split(scan, "frames", rng)
    assert (even.n_frames, odd.n_frames) == (50, 50)
    np.testing.assert_array_equal(odd.positions_px, scan.positions_px[1::2])
    a, b = split(scan, "counts", rng)
    every = np.arange(scan.n_frames)
    np.testing.assert_array_equal(a.frames(every) + b.frames(every), scan.frames(every))
    with pytest.raises(UsageError):
        split(scan, "colour", rng)
    with pytest.raises(UsageError, match="4 frames"):
        split(scan.subset([0, 1]), "frames", rng)


def test_half_sets_are_compared_in_one_frame(scan):
    calls = []
    halves = evaluate_half_sets(
        scan, RefineConfig(passes=6), progress=lambda *call: calls.append(call)
    )
    metrics = halves.metrics
    assert metrics["kind"] == "half-sets" and metrics["split"] == "frames"
    assert metrics["frc"]["cycles_per_px"] > 0.1
    assert 0.7 < metrics["frc"]["std_ratio"] < 1.4
    assert metrics["iterations"] == [6, 6] and len(metrics["residuals"]) == 2
    assert np.abs(metrics["gauge"]["shift_px"]).max() < 0.5
    assert calls[-1][0] == calls[-1][1] and {call[2]["half"] for call in calls} == {1, 2}


def test_an_image_of_another_scan_is_told(scan, perfect):
    """Of the same scan nothing is said, however it is turned, shifted or cut."""
    other = simulate(SimulationConfig(N=32, n_frames=100, photons=1e5, amplitude="letters"))
    assert "doubts" not in evaluate(perfect, scan) | evaluate(perfect, perfect)
    found = evaluate_images(perfect, other.truth)
    assert found.likeness() < 0.5
    [doubt] = evaluate(perfect, other)["doubts"]
    assert "hardly alike" in doubt and f"{found.likeness():.2f}" in doubt
    named = replace(perfect, meta={"scan_path": "/data/one.npz"})
    stranger = Reconstruction(
        other.truth.object,
        np.ones(other.truth.object.shape, np.float32),
        other.truth.origin_px,
        meta={"scan_path": "/data/two.npz"},
    )
    [doubt] = evaluate(named, stranger)["doubts"]
    assert "/data/one.npz" in doubt and "/data/two.npz" in doubt


def test_images_of_other_pixels_are_told(tmp_path, scan, perfect):
    """A pixel is compared with a pixel: of other sizes they are other places of the specimen."""
    ours, theirs = (replace(perfect, meta={"object_pixel_m": [p, p]}) for p in (1e-7, 2e-7))
    [doubt] = evaluate(ours, theirs)["doubts"]
    assert "1e-07 m" in doubt and "2e-07 m" in doubt
    assert "doubts" not in evaluate(ours, perfect) | evaluate(ours, ours)
    placed = replace(scan, geometry=Geometry(1.5e-10, 2.0, (75e-6, 75e-6)))
    [doubt] = evaluate(ours, placed)["doubts"]
    assert "1.25e-07 m" in doubt
    save_scan(placed, tmp_path / "scan.npz")
    one = str(save_reconstruction(ours, tmp_path / "one.h5"))
    two = str(save_reconstruction(theirs, tmp_path / "two.h5"))
    for told in (["--truth", str(tmp_path / "scan.npz")], ["--truth", two], ["--against", two]):
        done = CliRunner().invoke(app, ["evaluate", one, *told], catch_exceptions=False)
        assert "pixels of 1e-07" in " ".join(done.stdout.split()), told


def test_halves_that_were_not_finished_are_told(scan):
    """They agree on the start that they share: after a pass as well as after all of them."""
    one = evaluate_half_sets(scan, RefineConfig(passes=1, kernel="bilinear")).metrics
    [doubt] = one["doubts"]
    assert "1 pass" in doubt
    [doubt] = evaluate_half_sets(scan, RefineConfig(passes=4, kernel="bilinear")).metrics["doubts"]
    assert "still fell" in doubt
    whole = evaluate_half_sets(scan, RefineConfig(passes=60, kernel="bilinear")).metrics
    assert "doubts" not in whole
    assert one["frc"]["resolution_px"] < 1.5 * whole["frc"]["resolution_px"]  # it tells nothing


def test_the_command_and_the_page_say_what_is_doubtful(tmp_path, perfect):
    strange = replace(perfect, object=perfect.object[::-1, ::-1].copy())
    one = str(save_reconstruction(perfect, tmp_path / "one.h5"))
    two = str(save_reconstruction(strange, tmp_path / "two.h5"))
    done = CliRunner().invoke(app, ["evaluate", one, "--against", two], catch_exceptions=False)
    assert "doubtful" in done.stdout and "hardly alike" in done.stdout
    words = [" ".join(part.words) for part in contents_of(tmp_path / "one.h5").parts.values()]
    assert any("hardly alike" in text for text in words)


def test_the_command(tmp_path, scan, perfect):
    save_scan(scan, tmp_path / "scan.npz")
    out = str(save_reconstruction(perfect, tmp_path / "out.h5"))
    runner = CliRunner()
    done = runner.invoke(
        app,
        ["evaluate", out, "--truth", str(tmp_path / "scan.npz"), "--json"],
        catch_exceptions=False,
    )
    facts = json.loads(done.stdout)
    expected = evaluate_images(perfect, scan).metrics
    assert facts["amplitude"]["ssim"] == pytest.approx(expected["amplitude"]["ssim"])
    assert (tmp_path / "out-truth.png").read_bytes()[:4] == b"\x89PNG"
    done = runner.invoke(app, ["evaluate", out, "--against", out], catch_exceptions=False)
    assert "1.0000" in done.stdout and "phase SSIM" in done.stdout
    for arguments, words in (
        ([], "exactly one"),
        (["--half-sets", "--against", out], "exactly one"),
        (["--half-sets"], "--scan"),
        (["--against", out, "--seconds", "3"], "for --half-sets"),
        (["--truth", out, "--split", "counts"], "for --half-sets"),
        (["--truth", out, "--scan", "none.npz"], "for --half-sets"),
    ):
        with pytest.raises(UsageError, match=words):
            runner.invoke(app, ["evaluate", out, *arguments], catch_exceptions=False)
