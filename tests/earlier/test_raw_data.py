"""The earlier names on today's scan: axis order, sign and amplitude."""

from pathlib import Path

import numpy as np

from ptycho.earlier.raw_data import RawData


def test_earlier_file_groups_and_way_back(tmp_path: Path) -> None:
    """x is the column; coords_relative = centre − position, [x, y]; the seed is a member."""
    rng = np.random.default_rng(0)
    amplitude = np.sqrt(rng.poisson(9.0, (20, 8, 8))).astype(np.float32)
    x, y = rng.uniform(0, 30, (2, 20))
    path = tmp_path / "old.npz"
    np.savez(path, xcoords=x, ycoords=y, diff3d=amplitude, probeGuess=np.ones((8, 8), complex))
    raw = RawData.from_file(path)
    np.testing.assert_array_equal(raw.xcoords, x)
    np.testing.assert_allclose(raw.diff3d, amplitude, rtol=1e-6)
    data = raw.generate_grouped_data(8, K=6, gridsize=2)
    assert data["diffraction"].shape == (20, 8, 8, 4)
    assert all(seed in row for seed, row in enumerate(data["nn_indices"]))
    place = np.stack([x[data["nn_indices"]], y[data["nn_indices"]]], axis=1)[:, None]
    np.testing.assert_allclose(data["coords_nn"], place)
    np.testing.assert_allclose(data["coords_offsets"] - place, data["coords_relative"])
    raw.to_file(tmp_path / "new.npz")
    np.testing.assert_array_equal(RawData.from_file(tmp_path / "new.npz").ycoords, y)
