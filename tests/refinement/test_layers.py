"""Thick specimens: simulated, refined layer by layer, kept in files, told where they are thin."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import refine_oracle as oracle

from ptycho.data import load_reconstruction, open_scan, save_product, save_reconstruction, save_scan
from ptycho.errors import ArchiveError, ConfigError, ShapeError, UnitError
from ptycho.evaluation import evaluate, inspect_scan
from ptycho.frames import clean_scan
from ptycho.physics import Optics, backend, transfer_function
from ptycho.refinement import RefineConfig, refine, step
from ptycho.refinement.optics import with_layers
from ptycho.report import refine_figure
from ptycho.result import Reconstruction
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

WAVELENGTH, PIXEL, N = 1e-10, 20e-9, 32
DEPTH = PIXEL**2 / WAVELENGTH
LENGTHS = {
    "wavelength_m": WAVELENGTH,
    "distance_m": 1.0,
    "detector_pixel_m": WAVELENGTH / (N * PIXEL),
}
CONFIG = SimulationConfig(
    N=N,
    n_frames=100,
    photons=1e6,
    amplitude="letters",
    phase="cells",
    layers_behind=("lines:letters",),
    layer_distance_m=16 * DEPTH,
    amplitude_range=(0.8, 1.0),
    phase_range_rad=0.8,
    **LENGTHS,
)
PLAIN = {"update_probe": False, "regularise": 0.05}


@cache
def thick() -> Scan:
    return simulate(CONFIG)


@cache
def refined() -> Reconstruction:
    return refine(thick(), config=RefineConfig(passes=40, **PLAIN)).reconstruction


def waves_summed(field: np.ndarray, pixel: float, distance: float) -> np.ndarray:
    """Each plane wave on its way, as dense matrices with the textbook's root."""
    n = field.shape[-1]
    k = np.arange(n) - n // 2
    there = np.exp(-2j * np.pi * np.outer(k, np.arange(n)) / n)
    q = k / (n * pixel)
    root = np.sqrt(1 / WAVELENGTH**2 - q[:, None] ** 2 - q[None, :] ** 2)
    way = np.exp(2j * np.pi * distance * (root - 1 / WAVELENGTH))
    return there.conj().T @ ((there @ field @ there.T) * way) @ there.conj() / n**2


def test_a_frame_is_the_wave_through_each_layer() -> None:
    asked = {"poisson": False, "trajectory": "raster", "step_px": 3.0, "n_frames": 16}
    scan = simulate(CONFIG.model_copy(update=asked))
    assert scan.truth is not None and scan.truth.layers is not None and scan.probe is not None
    np.testing.assert_allclose(scan.truth.object, scan.truth.layers.prod(axis=0), rtol=1e-6)
    row, col = (scan.positions_px[5] - scan.truth.origin_px - N // 2).astype(int)
    first, second = scan.truth.layers[:, row : row + N, col : col + N].astype(complex)
    wave = waves_summed(first * scan.probe[0], PIXEL, 16 * DEPTH) * second
    expected = np.abs(np.fft.fftshift(np.fft.fft2(wave, norm="ortho"))) ** 2
    # The scan keeps counts in float32, layers and probe in complex64; the largest count is 2·10⁴.
    np.testing.assert_allclose(scan.counts[5], expected, rtol=1e-5, atol=1e-4)
    thin = np.abs(np.fft.fftshift(np.fft.fft2(first * scan.probe[0] * second, norm="ortho"))) ** 2
    assert np.abs(thin - expected).sum() > 0.1 * expected.sum()


def test_a_setting_that_is_no_thick_specimen_is_refused() -> None:
    values = CONFIG.model_dump()
    for changed, words in (
        ({"layers_behind": ()}, "both or neither"),
        ({"layers_behind": ("coins",)}, "amplitude:phase"),
        ({"wavelength_m": None, "distance_m": None, "detector_pixel_m": None}, "metres"),
        ({"layer_distance_m": 1.01 * N * DEPTH}, "at most N·pixel²/wavelength"),
    ):
        with pytest.raises(ConfigError, match=words):
            SimulationConfig(**values | changed)


@pytest.fixture(scope="module")
def case():
    """Two layers, two modes, four frames; float64 numbers."""
    rng = np.random.default_rng(4)

    def noise(*shape):
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    n, frames = 16, 4
    layers = 1 + 0.2 * noise(2, 30, 29)
    y, x = np.indices((n, n)) - n / 2
    probe = np.exp(-(x**2 + y**2) / 18) * 8 * (1 + 0.3 * noise(2, n, n))
    corners = rng.integers(0, [30 - n, 29 - n], (frames, 2))
    fractions = rng.random((frames, 2)).astype(np.float32)
    amplitude = np.sqrt(rng.poisson(4, (frames, n, n))).astype(np.float32)
    return layers, probe, corners, fractions, amplitude, transfer_function(n, (1, 1), 0.3, 9.0)


def loss(layers, probe, corners, fractions, amplitude, gap):
    """Σ(√I − amplitude)² of the two layers, frame by frame, in float64 NumPy."""
    n, total = probe.shape[-1], 0.0
    way = np.fft.ifftshift(gap)
    for j in range(len(corners)):
        first, second = (oracle.patch(each, corners[j], fractions[j], n) for each in layers)
        waves = np.fft.ifft2(np.fft.fft2(first * probe) * way) * second
        counts = np.sum(np.abs(np.fft.fft2(waves, norm="ortho")) ** 2, axis=0) + 0.02
        total += np.sum((np.sqrt(np.fft.fftshift(counts)) - amplitude[j]) ** 2)
    return total


@pytest.mark.parametrize("near", [False, True])
def test_slopes_by_each_layer_and_the_probe_are_those_of_the_loss(case, near):
    """Finite differences of the float64 loss along random directions; near: one layer, no gap."""
    layers, probe, corners, fractions, amplitude, gap = case
    optics = Optics((backend.tensor(gap.astype(np.complex64)),))

    def value(fields, modes):
        return loss(fields, modes, corners, fractions, amplitude, gap)

    if near:
        optics = Optics((), backend.tensor(gap.astype(np.complex64)))
        layers = layers[0]

        def value(field, modes):
            total, way = 0.0, np.fft.ifftshift(gap)
            for j in range(len(corners)):
                patch = oracle.patch(field, corners[j], fractions[j], probe.shape[-1])
                waves = np.fft.ifft2(np.fft.fft2(patch * modes) * way)
                counts = np.sum(np.abs(waves) ** 2, axis=0) + 0.02
                total += np.sum((np.sqrt(counts) - amplitude[j]) ** 2)
            return total

    fields = layers, 0 * layers, probe, 0 * probe
    state = step.State(*(backend.tensor(field.astype(np.complex64)) for field in fields))
    at = (corners + fractions).astype(np.float32)
    batch = step.Batch(*map(backend.tensor, (amplitude**2, at, np.ones(len(at), np.float32))))
    n = probe.shape[-1]
    plain = backend.tensor(np.ones((n, n), np.float32))
    detector = step.Detector(plain, backend.tensor(np.full((n, n), 0.02, np.float32)), optics)
    rates = step.Rates(*(backend.scalar(v, "float32") for v in (0.2, 0.1, 0.9, 0.9, 0.1, 1.0)))
    model = step.Model(positions=True)
    found, seen = step.compiled_part(model)(state, batch, rates, detector, step.no_slopes(state))
    by_object, by_probe = (np.asarray(backend.concrete(x)) for x in (found.object, found.probe))
    assert by_object.shape == layers.shape
    rng, h = np.random.default_rng(1), 1e-5
    for index, slope in enumerate((by_object, by_probe)):
        way = rng.normal(size=slope.shape) + 1j * rng.normal(size=slope.shape)
        ends = [[layers, probe], [layers, probe]]
        for sign, pair in zip((h, -h), ends, strict=True):
            pair[index] = pair[index] + sign * way
        numeric = (value(*ends[0]) - value(*ends[1])) / (2 * h)
        assert 2 * np.vdot(slope, way).real == pytest.approx(numeric, rel=2e-4)
    modelled = np.asarray(backend.concrete(seen.residual))
    assert np.isfinite(modelled) and np.isfinite(np.asarray(backend.concrete(seen.moves))).all()


def test_slopes_by_the_positions_go_through_all_layers(case):
    """Finite differences of the float64 loss of each frame, row and column apart."""
    layers, probe, corners, fractions, amplitude, gap = case
    inside = np.clip(fractions, 0.1, 0.9)
    fields = layers, 0 * layers, probe, 0 * probe
    state = step.State(*(backend.tensor(field.astype(np.complex64)) for field in fields))
    arrays = (amplitude**2, (corners + inside).astype(np.float32), np.ones(len(corners)))
    batch = step.Batch(*(backend.tensor(each.astype(np.float32)) for each in arrays))
    n = probe.shape[-1]
    flat = np.ones((n, n), np.float32)
    optics = Optics((backend.tensor(gap.astype(np.complex64)),))
    detector = step.Detector(backend.tensor(flat), backend.tensor(flat * 0.02), optics)
    rates = step.Rates(*(backend.scalar(v, "float32") for v in (0.2, 0.1, 0.9, 0.9, 0.1, 1.0)))
    part = step.compiled_part(step.Model(positions=True))
    _, seen = part(state, batch, rates, detector, step.no_slopes(state))
    moves, grip = (np.asarray(backend.concrete(each)) for each in (seen.moves, seen.grip))
    h = 1e-6
    for frame, axis in np.ndindex(len(corners), 2):
        ends = []
        for sign in (h, -h):
            at = inside[frame].astype(float).copy()
            at[axis] += sign
            one = (corners[frame : frame + 1], at[None], amplitude[frame : frame + 1])
            ends.append(loss(layers, probe, *one, gap))
        numeric = (ends[0] - ends[1]) / (2 * h)
        assert -2 * moves[frame, axis] * grip[frame, axis] == pytest.approx(numeric, rel=2e-3)


def test_refinement_separates_the_layers() -> None:
    """As the scan says; as one slice the same frames are explained worse."""
    rec = refined()
    assert rec.layers is not None and rec.layers.shape[0] == 2
    assert rec.meta["forward_model"] == "far field, 2 layers" and rec.meta["layers_told"] is None
    np.testing.assert_allclose(rec.object, rec.layers.prod(axis=0), rtol=1e-4, atol=1e-5)
    scores = evaluate(rec, thick())
    assert scores["amplitude"]["ssim"] > 0.85 and scores["phase"]["ssim"] > 0.85
    assert all(layer["amplitude"]["ssim"] > 0.7 for layer in scores["layers"])
    crossed = replace(rec, layers=rec.layers[::-1])
    wrong = evaluate(crossed, thick())["layers"]
    assert max(layer["amplitude"]["ssim"] for layer in wrong) < 0.5
    one = refine(thick(), config=RefineConfig(passes=40, layers=1, **PLAIN))
    assert one.reconstruction.layers is None
    assert one.residual > 1.3 * rec.meta["residual"]


def test_layers_go_on_from_layers_with_a_free_probe_and_positions() -> None:
    start, scan = refined(), thick()
    config = RefineConfig(passes=4, positions="frames", regularise="off", position_start=0.0)
    result = refine(scan, start=start, config=config)
    assert result.reconstruction.layers is not None
    assert result.residual < 1.1 * start.meta["residual"]
    shared = refine(
        scan, start=None, config=RefineConfig(passes=4, positions="shared", regularise="off")
    )
    assert shared.reconstruction.layers is not None


def test_layers_by_name_need_a_distance_and_metres() -> None:
    scan = simulate(SimulationConfig(N=16, n_frames=9, **LENGTHS))
    with pytest.raises(ConfigError, match="layer_distance_m"):
        refine(scan, config=RefineConfig(passes=1, layers=2))
    with pytest.raises(UnitError, match="no geometry"):
        named = RefineConfig(passes=1, layers=2, layer_distance_m=1e-6)
        refine(replace(scan, geometry=None), config=named)
    with pytest.raises(ConfigError, match="the prior knows"):
        refine(thick(), config=RefineConfig(passes=1, prior="auto"))
    named = RefineConfig(passes=2, layers=3, layer_distance_m=1e-6, regularise="off")
    rec = refine(scan, config=named).reconstruction
    assert rec.layers is not None and len(rec.layers) == 3
    assert rec.meta["layers_told"].startswith("layers 1e-06 m apart are hardly told from one")


def told_of(scan: Scan, **settings: object) -> list[tuple[str, dict[str, object]]]:
    known = with_layers(clean_scan(scan), RefineConfig(**settings))  # type: ignore[arg-type]
    assert known.sanity is not None
    return [(f.done, f.evidence) for f in known.sanity if f.code == "layers-distance"]


def test_a_distance_that_is_set_against_that_of_the_scan_is_told() -> None:
    """The setting holds; nothing is said where both are the same, or only one of them is there."""
    scan = thick()
    assert scan.geometry is not None
    assert told_of(scan) == told_of(scan, layer_distance_m=16 * DEPTH, layers=2) == []
    bare = replace(scan, geometry=replace(scan.geometry, layer_distances_m=()))
    assert told_of(bare, layer_distance_m=5 * DEPTH, layers=2) == []
    own = f"{16 * DEPTH:.4g}"
    [(done, evidence)] = told_of(scan, layer_distance_m=5 * DEPTH)
    assert (done, evidence["set_m"], evidence["the_scan_says_m"]) == ("nothing", 5 * DEPTH, own)
    assert evidence["modelled"] == "2 layers by the setting"
    [(_, evidence)] = told_of(scan, layer_distance_m=16 * DEPTH, layers=3)
    assert evidence["modelled"] == "3 layers by the setting"
    for one, says in ((bare, "none"), (scan, own)):
        [(_, evidence)] = told_of(one, layer_distance_m=5 * DEPTH, layers=1)
        assert evidence["modelled"] == "one layer" and evidence["the_scan_says_m"] == says


def test_the_distance_that_holds_stands_in_the_result() -> None:
    config = RefineConfig(passes=1, layer_distance_m=5 * DEPTH, regularise="off")
    rec = refine(thick(), config=config).reconstruction
    np.testing.assert_allclose(rec.layer_distances_m, [5 * DEPTH])
    assert "layers-distance" in [f["code"] for f in rec.meta["sanity"]["findings"]]


@pytest.mark.parametrize("name", ["a.npz", "a.cxi", "a.h5"])
def test_our_scan_files_keep_the_layers(tmp_path: Path, name: str) -> None:
    again = open_scan(save_scan(thick(), tmp_path / name))
    assert again.geometry is not None and again.truth is not None and thick().truth is not None
    assert again.geometry.layer_distances_m == pytest.approx((16 * DEPTH,))
    np.testing.assert_array_equal(again.truth.layers, thick().truth.layers)  # type: ignore[union-attr]
    np.testing.assert_allclose(again.truth.object, thick().truth.object, atol=1e-6)  # type: ignore[union-attr]
    facts = inspect_scan(again)
    assert [finding["code"] for finding in facts["findings"]] == ["layers"]
    assert facts["forward_model"].startswith("far field, 2 layers, since the file")


def test_a_result_keeps_the_layers(tmp_path: Path) -> None:
    rec = refined()
    again = load_reconstruction(save_reconstruction(rec, tmp_path / "a.h5"))
    np.testing.assert_array_equal(again.layers, rec.layers)
    np.testing.assert_array_equal(again.layer_distances_m, rec.layer_distances_m)
    product = load_reconstruction(save_product(rec, thick(), tmp_path / "p.h5"))
    np.testing.assert_array_equal(product.layers, rec.layers)
    np.testing.assert_allclose(product.layer_distances_m, rec.layer_distances_m)
    assert [len(r.object) for r in rec.each_layer()] == [len(rec.object)] * 2
    with pytest.raises(ShapeError, match="layers and the distances"):
        replace(rec, layer_distances_m=None)


def test_a_file_whose_layers_do_not_fit_is_an_error(tmp_path: Path) -> None:
    import h5py

    path = save_reconstruction(refined(), tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["layer_distances_m"]
    with pytest.raises((ArchiveError, ShapeError), match="layer"):
        load_reconstruction(path)


def test_the_figure_shows_each_layer() -> None:
    result = refine(thick(), config=RefineConfig(passes=2, regularise="off", layers=2))
    titles = [axes.get_title() for axes in refine_figure(result, thick()).axes]
    for words in ("amplitude of layer 1", "phase of layer 2", "the model's expectation"):
        assert any(words in title for title in titles)
