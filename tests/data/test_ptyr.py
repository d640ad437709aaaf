"""A ptypy reconstruction is recognised, described and refused; facts name the layout."""

import h5py
import numpy as np
import pytest

from ptycho.data import open_scan, save_scan
from ptycho.errors import LinkError, MissingKeyError
from ptycho.evaluation.inspection import coverage_map, inspect_scan
from ptycho.scan import Scan


def test_a_ptyr_says_what_it_has_and_what_a_scan_lacks(tmp_path):
    path = tmp_path / "named-anyhow.dat"
    with h5py.File(path, "w") as file:
        file["content/probe/SPRBG00/data"] = np.ones((2, 16, 16), complex)
        file["content/obj/SOBJG00/data"] = np.ones((1, 40, 30), complex)
        file["content/positions/SDIFF/data"] = np.zeros((5, 2))
    with pytest.raises(MissingKeyError) as caught:
        open_scan(path)
    message = str(caught.value)
    for word in ("no diffraction frames", "SPRBG00 (2, 16, 16)", "SDIFF (5, 2)", ".ptyd"):
        assert word in message


def test_a_ptyr_link_out_of_the_file_is_refused(tmp_path):
    path = tmp_path / "a.ptyr"
    with h5py.File(path, "w") as file:
        file["content/probe/S/data"] = np.ones((1, 16, 16), complex)
        file["content/obj"] = h5py.ExternalLink("other.h5", "/obj")
    with pytest.raises(LinkError):
        open_scan(path)


def test_the_layout_is_among_the_facts(tmp_path):
    path = tmp_path / "a.npz"
    scan = Scan(np.ones((4, 8, 8), np.float32), np.arange(8.0).reshape(4, 2))
    save_scan(scan, path)
    assert inspect_scan(open_scan(path))["layout"] == "ptycho"
    np.savez(
        tmp_path / "tike.npz", data=np.ones((1, 4, 8, 8)), scan=np.arange(8.0).reshape(1, 4, 2)
    )
    assert inspect_scan(open_scan(tmp_path / "tike.npz"))["layout"] == "tike"


def test_coverage_counts_the_frames_that_light_a_pixel():
    probe = np.zeros((8, 8), complex)
    probe[3:5, 3:5] = 1
    positions = [[0.0, 0.0], [0.0, 1.0], [6.0, 0.0]]
    scan = Scan(np.ones((3, 8, 8), np.float32), positions, probe=probe)
    coverage, origin = coverage_map(scan)
    assert coverage.sum() == 3 * 4 and origin == (-4, -4)
    # Array pixel (4, 4) is (0, 0) of the scan frame: the first two light it, one lights (0, -1).
    assert coverage[4, 4] == 2 and coverage[4, 3] == 1 and coverage[10, 4] == 1
