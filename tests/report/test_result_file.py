"""The reconstruction file: bit-exact, whole or absent, and suspicious of changed bytes."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from ptycho.data import load_reconstruction, save_reconstruction
from ptycho.errors import ArchiveError, ShapeError, UsageError
from ptycho.result import Reconstruction


def make(rng, *, probe=True, positions=True) -> Reconstruction:
    image = rng.normal(size=(2, 40, 30))
    return Reconstruction(
        object=image[0] + 1j * image[1],
        coverage=np.abs(image[0]),
        origin_px=(-12.0, 7.0),
        probe=rng.normal(size=(2, 16, 16)) + 1j if probe else None,
        meta={"method": "test", "n": np.int64(3), "nested": {"a": [1.5, None]}},
        positions_px=rng.normal(size=(5, 2)) if positions else None,
    )


@pytest.mark.parametrize("optional", [True, False])
def test_round_trip_is_bit_exact(tmp_path, optional):
    rec = make(np.random.default_rng(0), probe=optional, positions=optional)
    back = load_reconstruction(save_reconstruction(rec, tmp_path / "out.h5"))
    for name in ("object", "coverage", "probe", "positions_px"):
        before, after = getattr(rec, name), getattr(back, name)
        if before is None:
            assert after is None
        else:
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)
    assert back.origin_px == (-12.0, 7.0)
    assert back.meta == {"method": "test", "n": 3, "nested": {"a": [1.5, None]}}
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_a_changed_byte_is_refused(tmp_path):
    path = save_reconstruction(make(np.random.default_rng(1)), tmp_path / "out.h5")
    with h5py.File(path, "r+") as file:
        file["object"][3, 4] += 1e-6
    with pytest.raises(ArchiveError, match="sha256"):
        load_reconstruction(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.attrs.__setitem__("schema", 99),
        lambda file: file.__delitem__("object"),
        lambda file: file.__delitem__("meta"),
        lambda file: (file.__delitem__("object"), file.create_dataset("object", data=[1.0])),
    ],
)
def test_damaged_files_are_named(tmp_path, damage):
    path = save_reconstruction(make(np.random.default_rng(2)), tmp_path / "out.h5")
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(ArchiveError, match=r"out\.h5"):
        load_reconstruction(path)


def test_no_file_text_file_and_truncated_file(tmp_path):
    with pytest.raises(ArchiveError):
        load_reconstruction(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("not hdf5")
    with pytest.raises(ArchiveError):
        load_reconstruction(tmp_path / "text.h5")
    path = save_reconstruction(make(np.random.default_rng(3)), tmp_path / "out.h5")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ArchiveError):
        load_reconstruction(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    rec = make(np.random.default_rng(4))
    path = save_reconstruction(rec, tmp_path / "out.h5")
    before = path.read_bytes()
    circular: dict = {}
    circular["self"] = circular
    with pytest.raises(ValueError, match="Circular"):
        save_reconstruction(rec.with_meta(bad=circular), path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["out.h5"]


def test_unwritable_places_and_shapes(tmp_path):
    rec = make(np.random.default_rng(5))
    with pytest.raises(UsageError, match="mkdir"):
        save_reconstruction(rec, tmp_path / "no" / "folder" / "out.h5")
    with pytest.raises(ShapeError, match=r"\(4, 5\)"):
        Reconstruction(np.ones((4, 4)), np.ones((4, 5)), (0, 0))
    with pytest.raises(ShapeError, match="square"):
        Reconstruction(np.ones((4, 4)), np.ones((4, 4)), (0, 0), probe=np.ones((4, 5)))


def test_region_is_the_lit_area():
    coverage = np.zeros((20, 20))
    coverage[5:15, 5:15] = 1.0
    rec = Reconstruction(np.ones((20, 20)), coverage, (0, 0))
    np.testing.assert_array_equal(rec.region(), coverage > 0)
    assert not Reconstruction(np.ones((4, 4)), np.zeros((4, 4)), (0, 0)).region().any()
