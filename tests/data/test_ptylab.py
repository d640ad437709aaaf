"""PtyLab's HDF5: positions, orientation, MATLAB's order, and what is not modelled."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho.data import open_scan
from ptycho.errors import NearFieldError, ValueRangeError

N, M = 8, 6
WAVELENGTH, DISTANCE, PITCH = 632.8e-9, 5e-2, 72e-6
PIXEL = WAVELENGTH * DISTANCE / (N * PITCH)
COUNTS = np.random.default_rng(3).poisson(4.0, (M, N, N)).astype(np.float32)
POSITIONS = np.array([[0, 0], [0, 3.5], [0, 7], [4, 1], [4, 5], [9, -2.0]])


def ptylab(path: Path, **changes: object) -> Path:
    """As PtyLab's own simulation writes it: numbers are arrays of one."""
    content: dict[str, object] = {
        "ptychogram": COUNTS,
        "encoder": POSITIONS * PIXEL,
        "wavelength": [WAVELENGTH],
        "dxd": [PITCH],
        "zo": [DISTANCE],
        "orientation": 0,
        **changes,
    }
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            if value is not None:
                file[key] = value
    return path


@pytest.mark.parametrize("turned", [False, True])
def test_frames_positions_and_geometry(tmp_path: Path, turned: bool) -> None:
    places = POSITIONS * PIXEL
    scan = open_scan(ptylab(tmp_path / "a", encoder=places.T if turned else places))
    np.testing.assert_allclose(scan.positions_px, POSITIONS, atol=1e-9)
    np.testing.assert_array_equal(scan.frames([4, 1]), COUNTS[[4, 1]])
    assert scan.geometry is not None
    assert scan.geometry.detector_pixel_m == pytest.approx((PITCH, PITCH))


def test_the_orientation_turns_the_frames(tmp_path: Path) -> None:
    """4 transposes, then 1 reverses the columns and 2 the rows."""
    for code, expected in {
        1: COUNTS[:, :, ::-1],
        2: COUNTS[:, ::-1],
        3: COUNTS[:, ::-1, ::-1],
        4: COUNTS.swapaxes(1, 2),
        5: COUNTS.swapaxes(1, 2)[:, :, ::-1],
        6: COUNTS.swapaxes(1, 2)[:, ::-1],
    }.items():
        scan = open_scan(ptylab(tmp_path / f"{code}", orientation=code))
        np.testing.assert_array_equal(scan.frames(np.arange(M)), expected)
    with pytest.raises(ValueRangeError, match="orientation"):
        open_scan(ptylab(tmp_path / "9", orientation=9))


def test_what_is_not_modelled_is_refused_or_said(tmp_path: Path) -> None:
    with pytest.raises(NearFieldError, match="Fourier"):
        open_scan(ptylab(tmp_path / "a", zo=None, zled=0.1, magnification=2.0))
    scan = open_scan(ptylab(tmp_path / "b", theta=0.3, spectralDensity=[5e-7, 6e-7]))
    assert "theta" in str(scan.metadata["notes"]) and "colours" in str(scan.metadata["notes"])
