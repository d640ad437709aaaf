"""Files that the peers' own programs wrote (`scripts/fixtures/peers.py`), read by ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptycho.data import load_reconstruction, open_scan, save_scan
from ptycho.scan import Scan

FOLDER = Path(__file__).parents[1] / "fixtures" / "peers"
PRODUCTS = {  # and what holds their frames
    "ptychodus-product.h5": "ptychodus-diffraction.h5",
    "ptychodus-product.npz": "ptychodus-diffraction.h5",
    "ptychodus-1.0-product.h5": "ptychodus-1.0-diffraction.npz",
    "ptypy.ptyr": "ptypy.ptyd",
}


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "truth.npz") as file:
        return dict(file)


SCANS = (*PRODUCTS, "cdtools.cxi", "ptypy.ptyd", "ptylab-data.hdf5")
# These layouts have no mask: what was masked is 0.
UNMASKED = ("ptylab-data.hdf5", "ptychodus-1.0-product.h5")


def opened(name: str) -> Scan:
    frames = PRODUCTS.get(name)
    return open_scan(FOLDER / name, frames=None if frames is None else FOLDER / frames)


@pytest.mark.parametrize("name", SCANS)
def test_what_a_peer_wrote_is_what_was_simulated(name: str, truth: dict[str, np.ndarray]) -> None:
    """Geometry, positions to 1e-3 px (up to the frame's origin), mask, frames."""
    scan = opened(name)
    assert scan.geometry is not None
    lengths = (scan.geometry.wavelength_m, scan.geometry.distance_m)
    assert lengths == pytest.approx((1.5e-10, 1.0), rel=1e-6)
    assert scan.geometry.detector_pixel_m == pytest.approx((75e-6, 75e-6), rel=1e-6)
    moved = scan.positions_px - truth["positions_px"]
    np.testing.assert_allclose(moved, moved[:1] + np.zeros_like(moved), atol=1e-3)
    if name in UNMASKED:
        assert scan.mask is None
    else:
        np.testing.assert_array_equal(scan.mask, truth["valid"])
    expected = np.where(truth["valid"], truth["counts"], 0)
    np.testing.assert_array_equal(scan.frames(np.arange(scan.n_frames)), expected)


@pytest.mark.parametrize("name", SCANS)
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


@pytest.mark.parametrize(
    ("name", "frames", "least"),
    [
        ("ptypy.ptyr", "ptypy.ptyd", 0.995),
        ("ptylab-results.hdf5", "ptylab-data.hdf5", 0.9999),
        ("ptychodus-product.h5", "ptychodus-product.h5", 0.9999),
        ("ptychodus-product.npz", "ptychodus-product.npz", 0.9999),
        ("ptychodus-1.0-product.h5", "ptychodus-1.0-product.h5", 0.9999),
    ],
)
def test_a_reconstruction_of_a_peer_lies_on_the_truth(
    name: str, frames: str, least: float, truth: dict[str, np.ndarray]
) -> None:
    """Origin and orientation: a pixel beside it the likeness is far lower."""
    rec = load_reconstruction(FOLDER / name)
    frame = opened(frames).positions_px[0] - truth["positions_px"][0]
    row, col = np.rint(rec.origin_px - frame).astype(int)

    def likeness(row: int, col: int) -> float:
        image, sides = truth["object"], rec.object.shape
        first = np.maximum([row, col], 0) + 7  # where there is light
        last = np.minimum([row + sides[0], col + sides[1]], image.shape) - 7
        theirs = rec.object[first[0] - row : last[0] - row, first[1] - col : last[1] - col]
        right = image[first[0] : last[0], first[1] : last[1]]
        return float(abs(np.vdot(theirs, right)) / np.linalg.norm(theirs) / np.linalg.norm(right))

    assert likeness(row, col) > least
    beside = [likeness(row + r, col + c) for r, c in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    assert max(beside) < 0.98


def test_a_result_of_ptylab_has_its_corrected_positions(truth: dict[str, np.ndarray]) -> None:
    rec = load_reconstruction(FOLDER / "ptylab-results.hdf5")
    assert rec.positions_px is not None and rec.probe is not None
    moved = rec.positions_px - opened("ptylab-data.hdf5").positions_px
    expected = 0.25 * np.sin(np.arange(50)).reshape(25, 2)  # as the script moved them
    np.testing.assert_allclose(moved, expected, atol=1e-3)
    lit = rec.coverage > 0.1 * rec.coverage.max()
    assert 0.02 < lit.mean() < 0.6


@pytest.mark.parametrize("name", ["ptylab-results.hdf5", "ptychodus-product.h5"])
def test_refine_starts_from_a_peers_result(name: str, tmp_path: Path) -> None:
    """The command: positions are kept, and the truth as a start explains the counts at once."""
    frames = "ptylab-data.hdf5" if name.startswith("ptylab") else "ptychodus-product.h5"
    more = (
        [] if name.startswith("ptylab") else ["--frames", str(FOLDER / "ptychodus-diffraction.h5")]
    )
    words = ["refine", str(FOLDER / frames), *more, "--start", str(FOLDER / name)]
    done = subprocess.run(
        [sys.executable, "-m", "ptycho", *words, "-o", str(tmp_path / "out.h5"), "--passes", "2",
         "--no-figure", "--json"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert any("positions of 25 frames" in word for word in facts["taken_from_start"])
    rec, start = load_reconstruction(tmp_path / "out.h5"), load_reconstruction(FOLDER / name)
    apart = rec.positions_px - start.positions_px
    np.testing.assert_allclose(apart - apart[0], 0, atol=1e-3)
    assert facts["residual"] < 0.2


def test_the_fixtures_are_small_and_their_writers_recorded() -> None:
    files = sorted(FOLDER.iterdir())
    assert sum(file.stat().st_size for file in files) <= 300_000
    versions = json.loads((FOLDER / "versions.json").read_text(encoding="utf-8"))
    assert set(versions) == {"PtyPy", "cdtools-py", "ptychodus", "ptychodus-1.0", "ptylab"}


def test_the_background_of_a_peers_cxi(truth: dict[str, np.ndarray]) -> None:
    assert opened("cdtools.cxi").background == pytest.approx(float(truth["background"]))


# A peer's own program is asked where it is installed; elsewhere the files that it wrote (above)
# stand for it.
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
