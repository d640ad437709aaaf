"""Figures: the right panels, real pixels in the files, nothing global left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from skimage import data

from ptycho.evaluation.metrics import compare
from ptycho.refinement.outcome import RefineResult
from ptycho.report import figures, panels
from ptycho.result import Reconstruction
from ptycho.scan import Scan

N = 32


@pytest.fixture(scope="module")
def case():
    amplitude = 0.5 + 0.5 * data.camera()[:120, :100] / 255
    truth = amplitude * np.exp(1j * data.gravel()[:120, :100] / 255)
    coverage = np.zeros(truth.shape, np.float32)
    coverage[10:-10, 12:-12] = 50
    y, x = np.indices((N, N)) - N / 2
    probe = (np.exp(-(x**2 + y**2) / 60) * 20).astype(np.complex64)
    rec = Reconstruction(truth, coverage, (-16, -16), probe=probe[None])
    positions = np.array([[20.0, 20.0], [30.25, 40.5], [40.0, 22.0]])
    model = np.stack(
        [figures.model_frame(rec, Scan(np.zeros((3, N, N)), positions), j) for j in range(3)]
    )
    counts = np.random.default_rng(0).poisson(model).astype(np.float32)
    return rec, Scan(counts, positions, probe=probe), truth


def titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_panels_of_a_reconstruction_with_and_without_truth(case):
    rec, scan, truth = case
    plain = titles(figures.reconstruction_figure(rec, scan))
    assert [title.split(" ")[0] for title in plain] == ["measured", "amplitude", "phase", "probe"]
    comparison = compare(rec.object, truth, rec.region(), shift=False)
    comparison.metrics["kind"] = "truth"
    words = " | ".join(titles(figures.reconstruction_figure(rec, scan, comparison)))
    for part in (
        "measured frame",
        "amplitude · SSIM 1.000",
        "truth amplitude",
        "amplitude error",
        "phase · SSIM 1.000",
        "truth phase",
        "phase error",
        "probe",
    ):
        assert part in words
    assert titles(figures.reconstruction_figure(Reconstruction(truth, rec.coverage, (0, 0))))


def test_the_model_frame_is_what_a_brute_force_transform_gives(case):
    rec, scan, truth = case
    frame = figures.model_frame(rec, scan, 0)
    patch = truth[20:52, 20:52] * scan.probe[0]  # position 20 − 16 (half frame) + 16 (origin)
    u = np.exp(-2j * np.pi * np.outer(np.arange(N) - N // 2, np.arange(N)) / N) / np.sqrt(N)
    np.testing.assert_allclose(frame, np.abs(u @ patch @ u.T) ** 2, rtol=1e-3, atol=1e-4)
    outside = Scan(scan.counts[:1], [[500.0, 0.0]], probe=scan.probe)
    assert figures.model_frame(rec, outside, 0) is None


def test_refine_figure_shows_the_descent_and_files_hold_a_picture(case, tmp_path):
    rec, scan, _ = case
    history = [
        {"pass": k, "residual": 1 / k, "held_out_deviance": 2 / k, "step": 1.0, "seconds": float(k)}
        for k in range(1, 8)
    ]
    result = RefineResult(rec, 0.14, 0.56, 3.0, 7, history)
    figure = figures.refine_figure(result, scan)
    assert "residual 0.1400" in figure.get_suptitle()
    assert "descent" in titles(figure)
    path = panels.save_figure(figure, tmp_path / "x.png")
    pixels = imread(path)
    assert pixels.shape[0] > 800 and pixels[..., :3].std() > 0.1
    assert [item.name for item in tmp_path.iterdir()] == ["x.png"]
    for row in history:
        row["held_out_deviance"] = None
    figures.refine_figure(result, scan)


def test_evaluate_figure_says_why_there_is_no_ring_correlation(case):
    rec, _, truth = case
    tiny = np.zeros(truth.shape, bool)
    tiny[40:53, 40:53] = True
    figure = figures.evaluate_figure(compare(rec.object, truth, tiny, shift=False))
    assert any("16 pixels" in text.get_text() for axes in figure.axes for text in axes.texts)


def test_display_takes_a_ramp_off_and_greys_the_dark(case):
    rec, _, truth = case
    ramp = np.exp(0.2j * np.arange(100))[None]
    flat = figures.display_images(rec)[1]
    tilted = figures.display_images(Reconstruction(truth * ramp, rec.coverage, (0, 0)))[1]
    np.testing.assert_allclose(tilted, flat, atol=1e-3)
    assert flat.shape == (100, 76) and np.isfinite(flat).all()


@pytest.mark.parametrize(("width", "bar"), [(128, 20), (400, 100), (50, 10), (900, 200), (8, 2)])
def test_scale_bar_is_a_round_number_of_pixels(width, bar):
    axes = panels.new_figure(3, 3).subplots()
    axes.imshow(np.zeros((width, width)))
    panels.draw_scale_bar(axes, width)
    assert axes.texts[0].get_text() == f"{bar} px"
    assert axes.patches[-1].get_width() == bar


@pytest.mark.parametrize("shape", [(83, 81), (121, 120), (40, 90)])
def test_nothing_of_a_figure_lies_outside_of_it(tmp_path, shape):
    """The unit of the phase's colour bar once did, where the image was almost square."""
    figure = panels.new_figure(13.0, 9.6)
    grid = figure.add_gridspec(2, 4, height_ratios=[2.0, 1.05])
    wave = np.linspace(0.0, 1.0, shape[0] * shape[1]).reshape(shape)
    panels.show(figure.add_subplot(grid[0, :2]), wave, "amplitude")
    panels.show(figure.add_subplot(grid[0, 2:]), wave, "phase", unit="rad")
    for column in range(4):
        panels.show_frame(figure.add_subplot(grid[1, column]), 100 * wave, "frame")
    figure.suptitle("words above")
    panels.save_figure(figure, tmp_path / "a.png", dpi=100)
    for axes in figure.axes:
        assert axes.get_tightbbox().x1 <= figure.bbox.width


def test_a_failed_write_leaves_nothing(tmp_path):
    figure = panels.new_figure(2, 2)
    figure.savefig = lambda *args, **kwargs: (_ for _ in ()).throw(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        panels.save_figure(figure, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_no_pyplot_and_no_tensorflow_for_figures():
    code = (
        "import sys; import ptycho.report.figures; "
        "bad = {'matplotlib.pyplot', 'tensorflow', 'keras'} & set(sys.modules); "
        "print(bad or 'none')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "none"


def test_what_was_done_to_the_frames_stands_in_the_figure(tmp_path: Path) -> None:
    """Masked pixels are marked, and each finding has its code and what was done."""
    from ptycho.frames import clean_scan
    from ptycho.report import panels, scan_figure
    from ptycho.simulation import SimulationConfig, simulate

    scan = simulate(SimulationConfig(N=32, n_frames=40))
    scan.counts[:, 5, 6] = 1e6
    cleaned = clean_scan(scan)
    figure = panels.new_figure(4, 3)
    assert cleaned.sanity is not None
    panels.note_findings(figure, cleaned.sanity.record())
    assert figure.get_supxlabel() == "frames: pixel-constant: 1 masked"
    with_marks = scan_figure(cleaned, tmp_path / "a.png").read_bytes()
    assert with_marks != scan_figure(scan, tmp_path / "b.png").read_bytes()
