"""Ways in: what is asked for at the door does what it says to counts, mask, positions and probe."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptycho.cli.app import main
from ptycho.data import open_scan, save_scan
from ptycho.errors import (
    ConfigError,
    DamagedFileError,
    PtychoError,
    ShapeError,
    UnitError,
    UnknownFormatError,
    UsageError,
    WrongTypeError,
)
from ptycho.frames import Ways
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

N, M = 32, 40
DETECTOR = "entry_1/instrument_1/detector_1"
TRANSLATION = "entry_1/sample_1/geometry_1/translation"


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(
        SimulationConfig(
            N=N,
            n_frames=M,
            photons=1e4,
            wavelength_m=1.5e-10,
            distance_m=1.0,
            detector_pixel_m=75e-6,
        )
    )


@pytest.fixture
def path(scan: Scan, tmp_path: Path) -> Path:
    return save_scan(scan, tmp_path / "a.cxi")


def edited(path: Path, change: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def all_of(scan: Scan) -> np.ndarray:
    return scan.frames(np.arange(scan.n_frames))


def test_a_window_keeps_counts_and_changes_the_pitch(path: Path, scan: Scan) -> None:
    """16 of 32 detector pixels: the object's pixel is twice as large, the metres are the same."""
    got = open_scan(path, ways=Ways(crop=16))
    np.testing.assert_array_equal(all_of(got), scan.counts[:, 8:24, 8:24])
    np.testing.assert_allclose(got.positions_px, scan.positions_px / 2)
    assert scan.geometry is not None and got.geometry is not None
    metres = got.positions_px * got.geometry.object_pixel_m(16)
    np.testing.assert_allclose(metres, scan.positions_px * scan.geometry.object_pixel_m(N))


def test_the_probe_of_a_window_has_the_window_of_the_far_field(path: Path, scan: Scan) -> None:
    got = open_scan(path, ways=Ways(crop=24))
    assert got.probe is not None and scan.probe is not None

    def far(probe: np.ndarray) -> np.ndarray:
        return np.abs(np.fft.fftshift(np.fft.fft2(probe[0], norm="ortho")))

    np.testing.assert_allclose(far(got.probe), far(scan.probe)[4:28, 4:28], rtol=1e-4, atol=1e-4)
    power = np.abs(got.probe[0]) ** 2
    centre = [(power.sum(1 - axis) * np.arange(24)).sum() / power.sum() for axis in (0, 1)]
    assert np.abs(np.subtract(centre, 12)).max() < 0.5


def test_bins_sum_counts_and_keep_the_pitch(path: Path, scan: Scan) -> None:
    got = open_scan(path, ways=Ways(bin=2))
    sums = scan.counts.reshape(M, 16, 2, 16, 2).sum(axis=(2, 4))
    np.testing.assert_array_equal(all_of(got), sums)
    np.testing.assert_allclose(got.positions_px, scan.positions_px)
    assert got.geometry is not None
    assert got.geometry.detector_pixel_m == (150e-6, 150e-6)
    assert got.probe is not None and got.probe.shape == (1, 16, 16)


def test_bad_pixels_are_masked_before_a_bin_hides_them(path: Path) -> None:
    def spoil(file: h5py.File) -> None:
        file[f"{DETECTOR}/data"][:, 5, 6] = 1e7

    got = open_scan(edited(path, spoil), ways=Ways(bin=2, clean="auto"))
    assert got.mask is not None
    assert np.argwhere(~got.mask).tolist() == [[2, 3]]
    assert all_of(got).max() < 1e6


@pytest.mark.parametrize("flip", [None, "rows", "cols", "both"])
@pytest.mark.parametrize("transpose", [False, True])
def test_a_turn_undoes_the_same_turn_and_keeps_the_zero_frequency(
    path: Path, scan: Scan, flip: Any, transpose: bool
) -> None:
    """Frames turned by hand come back; pixel N//2 stays where it is."""
    index = -np.arange(N) % N

    def turn(file: h5py.File) -> None:
        counts = scan.counts
        if flip in ("rows", "both"):
            counts = counts[:, index]
        if flip in ("cols", "both"):
            counts = counts[:, :, index]
        if transpose:
            counts = counts.swapaxes(1, 2)
        file[f"{DETECTOR}/data"][...] = counts

    got = open_scan(edited(path, turn), ways=Ways(transpose=transpose, flip=flip))
    np.testing.assert_array_equal(all_of(got), scan.counts)
    np.testing.assert_allclose(got.positions_px, scan.positions_px)


def test_the_direct_beam_becomes_the_centre(path: Path, scan: Scan) -> None:
    def move(file: h5py.File) -> None:
        file[f"{DETECTOR}/data"][...] = np.roll(scan.counts, (3, -2), (1, 2))

    moved = edited(path, move)
    for center in ((19, 14), "auto"):
        got = open_scan(moved, ways=Ways(center=center))
        inside = all_of(got)[:, :29, 2:]
        np.testing.assert_array_equal(inside, scan.counts[:, :29, 2:])
        assert got.mask is not None
        assert not got.mask[29:].any() and not got.mask[:, :2].any()
        assert got.mask[:29, 2:].all()


def test_frames_by_slice_and_left_out_keep_their_numbers(path: Path, scan: Scan) -> None:
    got = open_scan(path, ways=Ways(frames="2:20:3", leave_out="5,8:12"))
    assert got.frame_numbers.tolist() == [2, 14, 17]
    np.testing.assert_array_equal(all_of(got), scan.counts[[2, 14, 17]])
    np.testing.assert_allclose(got.positions_px, scan.positions_px[[2, 14, 17]])


@pytest.mark.parametrize(
    ("frames", "places", "match", "of_frames", "of_places"),
    [
        (M, M - 1, "first", range(M - 1), range(M - 1)),
        (M - 1, M, "first", range(M - 1), range(M - 1)),
        (20, M, "nearest", range(20), np.rint(np.linspace(0, M - 1, 20))),
    ],
)
def test_another_number_of_positions(
    path: Path, scan: Scan, frames: int, places: int, match: Any, of_frames: Any, of_places: Any
) -> None:
    def shorten(file: h5py.File) -> None:
        data, moved = file[f"{DETECTOR}/data"][:frames], file[TRANSLATION][:places]
        for name, value in ((f"{DETECTOR}/data", data), (TRANSLATION, moved)):
            del file[name]
            file[name] = value
        file[f"{DETECTOR}/data"].attrs["ptycho_measurement"] = "counts"

    short = edited(path, shorten)
    with pytest.raises(ShapeError, match="--match") as caught:
        open_scan(short)
    assert "a.cxi" in str(caught.value)
    got = open_scan(short, ways=Ways(match=match))
    np.testing.assert_array_equal(all_of(got), scan.counts[list(of_frames)])
    np.testing.assert_allclose(
        got.positions_px, scan.positions_px[np.asarray(of_places, int)], atol=1e-9
    )


def test_a_mask_from_a_file(path: Path, tmp_path: Path) -> None:
    mask = np.ones((N, N), bool)
    mask[4:6] = False
    np.save(tmp_path / "mask.npy", mask)
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["pixel_mask"] = (~mask).astype(np.uint32)  # NeXus: 0 = good
        file["sub/valid"] = mask
    names = ("mask.npy", "mask.h5", "mask.h5:/sub/valid")
    for name in names:
        got = open_scan(path, ways=Ways(mask=tmp_path / name))
        np.testing.assert_array_equal(got.mask, mask)
    np.save(tmp_path / "small.npy", mask[:4])
    with pytest.raises(ShapeError, match="mask"):
        open_scan(path, ways=Ways(mask=tmp_path / "small.npy"))


def test_positions_in_millimetres(path: Path, scan: Scan) -> None:
    def in_mm(file: h5py.File) -> None:
        file[TRANSLATION][...] = file[TRANSLATION][()] * 1e3

    got = open_scan(edited(path, in_mm), ways=Ways(positions_unit="mm"))
    np.testing.assert_allclose(got.positions_px, scan.positions_px, rtol=1e-9)


def test_oblong_frames_are_padded_and_what_is_outside_is_not_measured(
    path: Path, scan: Scan
) -> None:
    def cut(file: h5py.File) -> None:
        data = file[f"{DETECTOR}/data"][:, 4:-4]
        del file[f"{DETECTOR}/data"], file[f"{DETECTOR}/mask"]
        file[f"{DETECTOR}/data"] = data

    got = open_scan(edited(path, cut))
    assert got.N == N
    np.testing.assert_array_equal(all_of(got)[:, 4:-4], scan.counts[:, 4:-4])
    assert got.mask is not None
    assert np.flatnonzero(got.mask.all(axis=1)).tolist() == list(range(4, 28))
    np.testing.assert_allclose(got.positions_px, scan.positions_px)


def test_frames_of_odd_side_lose_a_line_and_it_is_said(path: Path, scan: Scan) -> None:
    def widen(file: h5py.File) -> None:
        data = np.pad(file[f"{DETECTOR}/data"][()], ((0, 0), (0, 1), (0, 1)))
        del file[f"{DETECTOR}/data"], file[f"{DETECTOR}/mask"]
        del file["entry_1/instrument_1/source_1/illumination"]
        file[f"{DETECTOR}/data"] = data

    got = open_scan(edited(path, widen))
    assert got.N == N
    np.testing.assert_array_equal(all_of(got), scan.counts)
    np.testing.assert_allclose(got.positions_px, scan.positions_px)
    assert "odd side" in " ".join(got.metadata["notes"])


def test_a_mask_for_each_frame(path: Path) -> None:
    masks = np.zeros((M, N, N), np.uint32)
    masks[:, 3] = 1  # bad in all frames
    masks[7, 20, 20] = 1  # in one of them

    def put(file: h5py.File) -> None:
        del file[f"{DETECTOR}/mask"]
        file[f"{DETECTOR}/mask"] = masks

    got = open_scan(edited(path, put), ways=Ways(clean="auto"))
    assert got.mask is not None
    assert not got.mask[3].any() and got.mask[20, 20]
    np.testing.assert_array_equal(got.valid(np.arange(M)), masks == 0)


@pytest.mark.parametrize(
    ("wrong", "kind", "words"),
    [
        ({"crop": 40}, UsageError, "--crop 32"),
        ({"bin": 3, "crop": 32}, UsageError, "--bin"),
        ({"bin": 64}, UsageError, "--crop 32 --bin 16"),
        ({"center": (1e9, 3)}, UsageError, "--center"),
        ({"center": (-1, 3)}, UsageError, "between 0 and"),
        ({"leave_out": "99"}, UsageError, "numbers of frames"),
        ({"leave_out": ""}, UsageError, "numbers of frames"),
        ({"frames": "::0"}, UsageError, "numbers of frames"),
        ({"frames": "50:"}, UsageError, "no frame"),
        ({"frames": "0:4", "leave_out": "x"}, UsageError, "numbers of frames"),
    ],
)
def test_what_cannot_be_done_names_the_file_and_a_way_out(
    path: Path, wrong: dict[str, Any], kind: type[PtychoError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        open_scan(path, ways=Ways(**wrong))
    text = str(caught.value)
    assert "a.cxi" in text and "fix:" in text
    assert words in text


def test_a_unit_needs_a_geometry(scan: Scan, tmp_path: Path) -> None:
    bare = save_scan(replace(scan, geometry=None), tmp_path / "a.npz")
    with pytest.raises((UnitError, UsageError), match="geometry"):
        open_scan(bare, ways=Ways(positions_unit="um"))


def test_a_wrong_way_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="flip"):
        Ways(flip="upside down")


MASKS: dict[str, tuple[Any, type[PtychoError]]] = {
    "text": (np.full((N, N), "a"), WrongTypeError),
    "NaN": (np.full((N, N), np.nan), WrongTypeError),
    "complex": (np.ones((N, N), complex), WrongTypeError),
    "objects": (np.array([None]), DamagedFileError),
    "a stack": (np.ones((2, N, N)), ShapeError),
    "nothing": (b"", UnknownFormatError),
    "cut": (b"\x93NUMPY\x01", DamagedFileError),
    "a picture cut": (b"\x89PNG\r\n\x1a\n", DamagedFileError),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_that_is_none_is_an_error(path: Path, tmp_path: Path, name: str) -> None:
    content, kind = MASKS[name]
    if isinstance(content, bytes):
        (tmp_path / "m.npy").write_bytes(content)
    else:
        np.save(tmp_path / "m.npy", content)
    with pytest.raises(kind) as caught:
        open_scan(path, ways=Ways(mask=tmp_path / "m.npy"))
    text = str(caught.value)
    assert "a.cxi" in text and "m.npy" in text and "expected:" in text and "fix:" in text


@pytest.mark.parametrize(
    "words",
    [
        "--crop 7",
        "--bin 0",
        "--bin 64",
        "--center 1",
        "--center nan,nan",
        "--center 1e9,0",
        "--flip ROWS",
        "--orientation best",
        "--orientation auto --flip rows",
        "--leave-out x",
        "--frames ::0",
        "--frames 1:2:3:4",
        "--frames 999",
        "--frames none.h5",
        "--frames .",
        "--match last",
        "--positions-unit km",
        "--clean maybe",
        "--mask none.npy",
    ],
)
@pytest.mark.parametrize("command", ["inspect", "refine"])
def test_on_the_command_line_the_error_has_everything(
    path: Path, capsys: pytest.CaptureFixture[str], command: str, words: str
) -> None:
    """File, key, expected, got, and a command that exists; no traceback."""
    out = [] if command == "inspect" else ["-o", str(path.with_name("r.h5"))]
    with pytest.raises(SystemExit) as end:
        main([command, str(path), *out, *words.split()])
    text = capsys.readouterr().err
    assert end.value.code in (2, 3), text
    where, *rest = (line.strip() for line in text.splitlines()[1:])
    assert where.startswith("where:") and "a.cxi" in where
    key = words.split()[0].lstrip("-")
    assert key.replace("-", "_") in text.replace("-", "_")
    assert [line.split(":")[0] for line in rest[-3:]] == ["expected", "got", "fix"]
    ways_out = ("ptycho inspect", "ptycho refine", "--crop", "--center auto", "ls the folder")
    assert any(word in rest[-1] for word in ways_out)


def test_frames_by_number_on_the_command_line(path: Path, capsys: Any) -> None:
    for words, count in (("5", 1), ("3,4,5", 3), ("1:5,8", 5), ("::2", M // 2 + M % 2)):
        with pytest.raises(SystemExit):
            main(["inspect", str(path), "--frames", words, "--json"])
        assert json.loads(capsys.readouterr().out)["frames"] == count


@pytest.mark.parametrize("wrong", [{"crop": "x"}, {"bin": 0}, {"nope": 1}, {"center": (1,)}])
@pytest.mark.parametrize("how", ["called", "validated", "from JSON", "assigned"])
def test_pydantics_own_error_comes_through_nowhere(wrong: dict[str, Any], how: str) -> None:
    """Four ways in Python to give a setting."""
    (key, value) = next(iter(wrong.items()))
    with pytest.raises(ConfigError, match=key):
        if how == "called":
            Ways(**wrong)
        elif how == "validated":
            Ways.model_validate(wrong)
        elif how == "from JSON":
            Ways.model_validate_json(json.dumps(wrong))
        else:
            setattr(Ways(), key, value)
