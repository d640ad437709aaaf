"""Files that the peers' own programs wrote (`scripts/fixtures/peers.py`), read by ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptycho.data import open_scan, save_scan
from ptycho.scan import Scan

FOLDER = Path(__file__).parents[1] / "fixtures" / "peers"
PRODUCTS = ("ptychodus-product.h5", "ptychodus-product.npz")


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "truth.npz") as file:
        return dict(file)


def opened(name: str) -> Scan:
    frames = FOLDER / "ptychodus-diffraction.h5" if name in PRODUCTS else None
    return open_scan(FOLDER / name, frames=frames)


@pytest.mark.parametrize("name", [*PRODUCTS, "cdtools.cxi"])
def test_what_a_peer_wrote_is_what_was_simulated(name: str, truth: dict[str, np.ndarray]) -> None:
    """Geometry, positions to 1e-3 px (up to the frame's origin), mask, frames."""
    scan = opened(name)
    assert scan.geometry is not None and scan.mask is not None
    lengths = (scan.geometry.wavelength_m, scan.geometry.distance_m)
    assert lengths == pytest.approx((1.5e-10, 1.0), rel=1e-6)
    assert scan.geometry.detector_pixel_m == pytest.approx((75e-6, 75e-6), rel=1e-6)
    moved = scan.positions_px - truth["positions_px"]
    np.testing.assert_allclose(moved, moved[:1] + np.zeros_like(moved), atol=1e-3)
    np.testing.assert_array_equal(scan.mask, truth["valid"])
    expected = np.where(truth["valid"], truth["counts"], 0)
    np.testing.assert_array_equal(scan.frames(np.arange(scan.n_frames)), expected)


@pytest.mark.parametrize("name", [*PRODUCTS, "cdtools.cxi"])
def test_the_simulated_object_explains_the_frames(name: str, truth: dict[str, np.ndarray]) -> None:
    """Orientation and sign: with the positions as read, the truth predicts each frame.

    Transposed or mirrored, some frame has a likeness below 0.9; Poisson noise allows 0.99.
    """
    scan = opened(name)
    place = np.rint(scan.positions_px - scan.positions_px[0] + truth["positions_px"][0]).astype(int)
    frames = scan.frames(np.arange(scan.n_frames))
    for frame, (row, col) in zip(frames, place - scan.N // 2, strict=True):
        wave = truth["probe"] * truth["object"][row : row + scan.N, col : col + scan.N]
        far = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(wave), norm="ortho"))
        expected = np.where(truth["valid"], np.abs(far), 0)
        likeness = (expected * np.sqrt(frame)).sum() / np.sqrt((expected**2).sum() * frame.sum())
        assert likeness > 0.99


def test_the_background_of_a_peers_cxi(truth: dict[str, np.ndarray]) -> None:
    assert opened("cdtools.cxi").background == pytest.approx(float(truth["background"]))


@pytest.mark.peers
def test_ours_through_cdtools_and_back(tmp_path: Path) -> None:
    datasets = pytest.importorskip("cdtools.datasets", reason="pip install cdtools-py")
    scan = opened("cdtools.cxi")
    ours = save_scan(scan, tmp_path / "ours.cxi")
    datasets.Ptycho2DDataset.from_cxi(ours).to_cxi(tmp_path / "theirs.cxi")
    again = open_scan(tmp_path / "theirs.cxi")
    np.testing.assert_allclose(again.positions_px, scan.positions_px, atol=1e-3)
    np.testing.assert_array_equal(again.mask, scan.mask)
    np.testing.assert_array_equal(again.frames([0, 7]), scan.frames([0, 7]))
    assert again.background == pytest.approx(scan.background)


@pytest.mark.peers
def test_ours_through_ptychodus_and_back(tmp_path: Path) -> None:
    io = pytest.importorskip("ptychodus.api.io", reason="pip install ptychodus")
    scan = opened("ptychodus-product.h5")
    ours = save_scan(scan, tmp_path / "ours.h5", "ptychodus")
    io.save_product(tmp_path / "theirs.h5", io.load_product(ours))
    again = open_scan(tmp_path / "theirs.h5", frames=FOLDER / "ptychodus-diffraction.h5")
    assert again.geometry is not None and scan.geometry is not None
    assert again.geometry.wavelength_m == pytest.approx(scan.geometry.wavelength_m)
    moved = again.positions_px - scan.positions_px
    np.testing.assert_allclose(moved, moved[:1] + np.zeros_like(moved), atol=1e-3)
