"""What `refine --start` keeps: positions, modes and light, of our and of others' results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptycho.data import load_reconstruction, open_scan, save_product, save_reconstruction, save_scan
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.run import refine
from ptycho.refinement.takeover import take_over
from ptycho.result import Reconstruction
from ptycho.scan import Geometry, Scan
from ptycho.simulation import SimulationConfig, simulate

N = 32
GEOMETRY = Geometry(1.5e-10, 1.0, (75e-6, 75e-6))


@pytest.fixture(scope="module")
def right() -> Scan:
    scan = simulate(
        SimulationConfig(
            N=N, n_frames=80, photons=2e5, probe_diameter_px=16, seed=3, trajectory="jittered",
            step_px=3.2,
        )
    )  # fmt: skip
    return replace(scan, geometry=GEOMETRY)


@pytest.fixture(scope="module")
def wrong(right: Scan) -> Scan:
    """Positions are off by 1.5 px, and the light of each frame varies."""
    rng = np.random.default_rng(9)
    light = rng.uniform(0.4, 1, right.n_frames)
    counts = rng.binomial(right.frames(np.arange(right.n_frames)).astype(int), light[:, None, None])
    places = right.positions_px + rng.uniform(-1.5, 1.5, (right.n_frames, 2))
    return replace(right, counts=counts.astype(np.float32), positions_px=places, truth=None)


@pytest.fixture(scope="module")
def found(wrong: Scan):
    return refine(wrong, config=RefineConfig(passes=40, positions=True, modes=2, flux=True))


def of(scan: Scan, **changed: object) -> Reconstruction:
    """A reconstruction of `scan` that has its positions."""
    shape = tuple(int(side) for side in np.ptp(scan.positions_px, axis=0) + 2 * N)
    low = np.floor(scan.positions_px.min(axis=0)) - N
    values: dict[str, object] = {
        "object": np.ones(shape),
        "coverage": np.ones(shape),
        "origin_px": tuple(low),
        "probe": scan.probe,
        "positions_px": scan.positions_px,
    }
    return Reconstruction(**values | changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["ours", "ptychodus", "ptychodus-npz"])
def test_a_refinement_goes_on_where_the_start_ended(wrong, found, tmp_path: Path, kind: str):
    """Without --positions and --set flux=true they are kept, not forgotten."""
    rec = found.reconstruction
    if kind == "ours":
        path = save_reconstruction(rec, tmp_path / "a.h5")
    else:
        path = save_product(rec, wrong, tmp_path / "a.h5")
        if kind.endswith("npz"):
            path = as_npz(path, tmp_path / "a.npz")
    start = load_reconstruction(path)
    if kind == "ours":
        save_scan(wrong, tmp_path / "scan.npz")
        scan = open_scan(tmp_path / "scan.npz")
    else:  # a product has no light of the frames: the scan's own is fitted again
        scan = replace(wrong, flux=np.array(rec.meta["flux"]))
    again = refine(scan, start=start, config=RefineConfig(passes=3))
    assert again.deviance_per_pixel < 1.3 * found.deviance_per_pixel
    moved = again.reconstruction.positions_px - rec.positions_px
    np.testing.assert_allclose(moved - moved.mean(0), 0, atol=1e-3)
    assert again.reconstruction.probe.shape == rec.probe.shape
    told = again.reconstruction.meta["taken_from_start"]
    assert any("positions of 80 frames" in word for word in told)
    if kind == "ours":
        before, after = (np.array(r.meta["flux"]) for r in (rec, again.reconstruction))
        assert np.corrcoef(before, after)[0, 1] > 0.99
    without = replace(start, positions_px=None, meta={})
    plain = refine(scan, start=without, config=RefineConfig(passes=3))
    assert plain.deviance_per_pixel > 1.5 * again.deviance_per_pixel


def as_npz(product: Path, path: Path) -> Path:
    """The same product under the names that ptychodus' NPZ has."""
    import h5py

    with h5py.File(product) as file:
        arrays = {name: file[name][()] for name in file}
        attrs = dict(file.attrs) | {
            f"{kind}_{name}": value
            for kind in ("object", "probe")
            for name, value in file[kind].attrs.items()
        }
    ours = {key for key in attrs if key.startswith("ptycho_")}
    np.savez(path, **arrays, **{k: v for k, v in attrs.items() if k not in ours})
    return path


def test_positions_go_on_from_those_of_the_start(wrong, found):
    config = RefineConfig(passes=4, positions=True, position_start=0.0)
    again = refine(wrong, start=found.reconstruction, config=config).reconstruction
    moved = again.positions_px - found.reconstruction.positions_px
    assert np.abs(moved - moved.mean(0)).max() < 0.5
    assert np.abs(moved - moved.mean(0)).max() > 0


def test_frames_are_matched_by_number(right):
    kept = np.array([5, 2, 40, 41, 7, 60])
    start = of(right.subset(kept), positions_px=right.positions_px[kept] + [0.25, -0.125])
    numbers = {"frame_numbers": kept.tolist(), "flux": [1.0, 2.0, 1.0, 1.0, 1.0, 1.5]}
    start = replace(start, meta=numbers)
    scan = right.subset(np.arange(1, 50))
    taken = take_over(scan, start)
    rows = np.isin(scan.frame_numbers, kept)
    np.testing.assert_allclose(
        (taken.positions_px - scan.positions_px)[rows], [[0.25, -0.125]] * rows.sum()
    )
    np.testing.assert_array_equal(taken.positions_px[~rows], scan.positions_px[~rows])
    light = taken.light / taken.light[~rows][0]
    assert light[list(scan.frame_numbers).index(2)] == pytest.approx(2.0)
    assert "positions of 5 frames" in " ".join(taken.words)


def test_another_frame_of_reference_moves_the_start(right):
    start = of(right)
    there = replace(
        start,
        positions_px=start.positions_px + [100.2, -60.4],
        origin_px=(start.origin_px[0] + 100.2, start.origin_px[1] - 60.4),
    )
    taken = take_over(right, there)
    apart = np.subtract(taken.positions_px, right.positions_px)
    np.testing.assert_allclose(apart, [[0.2, -0.4]] * right.n_frames, atol=1e-9)
    np.testing.assert_allclose(
        taken.start.origin_px, np.array(start.origin_px) + [0.2, -0.4], atol=1e-9
    )


def test_positions_of_another_scan_are_not_taken_and_that_is_said(right):
    other = simulate(SimulationConfig(N=N, n_frames=80, photons=1e4, seed=8, trajectory="fermat"))
    taken = take_over(right, of(other))
    np.testing.assert_array_equal(taken.positions_px, right.positions_px)
    assert not taken.moved and "no positions" in " ".join(taken.words)


def test_eigenprobes_are_not_taken_and_that_is_said(right):
    start = of(right)
    weights = np.zeros((right.n_frames, 1), np.float32)
    varies = replace(start, eigenprobes=start.probe[:1], probe_weights=weights)
    assert "no eigenprobes" in " ".join(take_over(right, varies).words)
    assert "eigenprobes" not in " ".join(take_over(right, start).words)


def test_light_that_is_none_is_not_taken(right):
    start = replace(of(right), meta={"flux": [0.0] * right.n_frames})
    taken = take_over(right, start)
    assert taken.light is None and taken.moved and "no light" in " ".join(taken.words)


def test_a_start_of_another_scan_is_told(right: Scan) -> None:
    """Without positions of its own an image of anything was taken in silence."""
    image = Reconstruction(
        np.ones((60, 60), complex), np.ones((60, 60)), (-N, -N), meta={"scan": right.name}
    ).with_meta(object_pixel_m=list(GEOMETRY.object_pixel_m(N)))
    near = replace(right, positions_px=right.positions_px - right.positions_px.min(axis=0) - N)
    assert take_over(near, image).words == ()
    far = replace(near, positions_px=near.positions_px + [0, 45], name="wing")
    beside = int((far.positions_px[:, 1] >= 60 - N).sum())
    assert 0 < beside < far.n_frames
    own, *_ = GEOMETRY.object_pixel_m(N)
    coarse = replace(near, geometry=replace(GEOMETRY, distance_m=3.0))
    assert take_over(coarse, image).words == (
        f"pixels of {own:.4g} m, taken for the scan's of {3 * own:.4g} m",
    )
    fine = image.with_meta(object_pixel_m=[5e-9, 5e-9])  # X-rays: pixels of nanometres
    fit = replace(GEOMETRY, distance_m=GEOMETRY.distance_m * 8e-9 / own)
    assert take_over(replace(near, geometry=fit), fine).words == (
        "pixels of 5e-09 m, taken for the scan's of 8e-09 m",
    )
    assert take_over(far, image).words == (
        f"the image of another scan: {right.name}",
        f"nothing for {beside} of 80 frames, which lie beside the object",
    )
