"""What can be wrong with a scan: each fault changes the file that a detector would have written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

N, M, PHOTONS = 32, 90, 2e5


@dataclass
class File:
    """What is written into the CXI file; a fault changes it."""

    counts: np.ndarray
    places: np.ndarray  # (M, 2) metres, (row, col)
    probe: np.ndarray
    pixel_m: float
    attrs: dict[str, Any] = field(default_factory=dict)
    mask: np.ndarray | None = None  # CXI: 0 is good
    detector_pixel_m: float = 75e-6
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def write(self, path: Path) -> Path:
        """CXI 1.6 as other programs write it: photons, metres, a probe of no scale."""
        with h5py.File(path, "w") as file:
            file["cxi_version"] = 160
            detector = file.create_group("entry_1/instrument_1/detector_1")
            detector["data"], detector["distance"] = self.counts, 1.0
            detector["x_pixel_size"] = detector["y_pixel_size"] = self.detector_pixel_m
            if self.mask is not None:
                detector["mask"] = self.mask
            file["entry_1/instrument_1/source_1/wavelength"] = WAVELENGTH_M
            file["entry_1/instrument_1/source_1/illumination"] = self.probe
            rows, cols = self.places.T
            moved = file.create_dataset(
                "entry_1/sample_1/geometry_1/translation", data=np.stack([cols, rows, 0 * rows], 1)
            )
            moved.attrs.update(self.attrs)
        return path


WAVELENGTH_M = 1.5e-10
PIXEL_M = WAVELENGTH_M * 1.0 / (N * 75e-6)


def base() -> Scan:
    """The clean scan: 90 frames of 32 × 32, 2e5 photons each, with its truth."""
    return simulate(
        SimulationConfig(
            N=N,
            n_frames=M,
            photons=PHOTONS,
            amplitude="camera",
            phase="gravel",
            seed=1,
            trajectory="jittered",
            step_px=3.2,
        )
    )


def fresh(scan: Scan) -> File:
    """The clean scan as a file."""
    assert scan.probe is not None
    counts = scan.counts.astype(np.uint32)
    return File(counts, scan.positions_px * PIXEL_M, scan.probe[0].copy(), PIXEL_M)


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        kind: pixel, frame, position or file.
        name: for the table.
        put: changes a `File`.
        ways: options that `auto` is given besides.
        possible: whether the information is there; if not, why.
        turned: the truth of object as the ways show it.
    """

    kind: str
    name: str
    put: Callable[[File], None]
    ways: dict[str, Any] = field(default_factory=dict)
    possible: str = ""
    turned: Callable[[Any], Any] = lambda truth: truth


def pixels(*where: Any, value: float, dtype: Any = None) -> Callable[[File], None]:
    def put(file: File) -> None:
        if dtype is not None:
            file.counts = file.counts.astype(dtype)
        file.counts[where] = value

    return put


def scattered(share: float, value: float) -> Callable[[File], None]:
    def put(file: File) -> None:
        count = max(1, round(share * N * N))
        chosen = file.rng.choice(N * N, count, replace=False)
        file.counts.reshape(len(file.counts), -1)[:, chosen] = value

    return put


def single(count: int, value: float) -> Callable[[File], None]:
    def put(file: File) -> None:
        file.counts = file.counts.astype(np.float32)
        chosen = file.rng.choice(file.counts.size, count, replace=False)
        file.counts.flat[chosen] = value

    return put


def cosmic(file: File) -> None:
    chosen = file.rng.choice(file.counts.size, 20, replace=False)
    file.counts.flat[chosen] += file.rng.integers(50_000, 1_000_000, 20).astype(np.uint32)


def clipped(quantile: float) -> Callable[[File], None]:
    def put(file: File) -> None:
        file.counts = np.minimum(file.counts, int(np.quantile(file.counts, quantile)))

    return put


def poisson_pixel(mean: float) -> Callable[[File], None]:
    def put(file: File) -> None:
        file.counts[:, 4, 27] = file.rng.poisson(mean, len(file.counts))

    return put


def twinkling(file: File) -> None:
    file.counts[:, 6, 5] = np.where(file.rng.random(len(file.counts)) < 0.4, 80_000, 0)


def exposed(frames: Any, factor: float) -> Callable[[File], None]:
    def put(file: File) -> None:
        chosen = file.counts[frames].astype(np.float64)
        file.counts[frames] = file.rng.poisson(chosen * factor)

    return put


def dark_noise(file: File) -> None:
    file.counts[20] = file.rng.poisson(0.02, (N, N))


def flux(
    factors: Callable[[np.random.Generator, np.ndarray], np.ndarray],
) -> Callable[[File], None]:
    def put(file: File) -> None:
        light = factors(file.rng, np.linspace(0, 1, len(file.counts)))
        file.counts = file.rng.binomial(file.counts, light[:, None, None].clip(0, 1))

    return put


def rolled(frames: Any, by: int) -> Callable[[File], None]:
    def put(file: File) -> None:
        file.counts[frames] = np.roll(file.counts[frames], by, axis=-1)

    return put


def stuck(file: File) -> None:
    file.counts[31] = file.counts[30]
    file.counts[61:63] = file.counts[60]


def leak(file: File) -> None:
    file.counts[50] += file.rng.poisson(2 * PHOTONS / N**2, (N, N)).astype(np.uint32)


def place(frame: Any, value: Any) -> Callable[[File], None]:
    def put(file: File) -> None:
        file.places[frame] = value

    return put


def stale(file: File) -> None:
    file.places[41] = file.places[40]


def units(factor: float, **attrs: Any) -> Callable[[File], None]:
    def put(file: File) -> None:
        file.places = file.places * factor
        file.attrs |= attrs

    return put


def offset(by: float) -> Callable[[File], None]:
    def put(file: File) -> None:
        file.counts = file.counts.astype(np.float32) + np.float32(by)

    return put


def gain(by: int) -> Callable[[File], None]:
    def put(file: File) -> None:
        file.counts = file.counts * by

    return put


def absurd(file: File) -> None:
    file.counts = file.counts.astype(np.int64)
    file.counts.flat[file.rng.choice(file.counts.size, 40, replace=False)] = 2**62
    file.counts[:, 3, 4] = 2**62


def half_a_mask(file: File) -> None:
    bad = np.zeros((N, N), np.uint32)
    bad[: N // 2] = 1  # in the upper half the good pixels are marked
    file.mask = bad


def downwards(file: File) -> None:
    file.places[:, 0] *= -1


def late(file: File) -> None:
    file.counts = np.roll(file.counts, 1, axis=0)


def mixed(file: File) -> None:
    file.counts = file.counts[file.rng.permutation(len(file.counts))]


def mixed_in_part(file: File) -> None:
    some = np.arange(30, 50)
    file.counts[some] = file.counts[file.rng.permutation(some)]


def swapped(file: File) -> None:
    file.counts[[20, 60]] = file.counts[[60, 20]]


def exchanged(file: File) -> None:
    file.places = file.places[:, ::-1].copy()


def mirrored(truth: Any) -> Any:
    """Row −r for row r."""
    row, col = truth.origin_px
    corner = (1 - row - len(truth.object), col)
    return replace(truth, object=truth.object[::-1], origin_px=corner)


def transposed(truth: Any) -> Any:
    return replace(truth, object=truth.object.T, origin_px=truth.origin_px[::-1])


def in_metres(file: File) -> None:
    file.detector_pixel_m = 75.0


def fewer_positions(file: File) -> None:
    file.places = file.places[:-1]


def wrong_by(frame: int, rows: float) -> Callable[[File], None]:
    def put(file: File) -> None:
        file.places[frame, 0] += rows * file.pixel_m

    return put


def oblong(file: File) -> None:
    file.counts = file.counts[:, 4:-4]


def odd(file: File) -> None:
    file.counts = np.pad(file.counts, ((0, 0), (0, 1), (0, 1)))
    far = np.fft.fftshift(np.fft.fft2(file.probe, norm="ortho"))
    file.probe = np.fft.ifft2(np.fft.ifftshift(np.pad(far, (0, 1))), norm="ortho")


def noisy_probe(file: File) -> None:
    """White noise: of another shape than the light in the frames."""
    parts = file.rng.standard_normal((2, *file.probe.shape))
    file.probe = (parts[0] + 1j * parts[1]).astype(np.complex64)


def brighter_probe(file: File) -> None:
    file.probe *= 3


FAULTS = (
    Fault(
        "pixel",
        "one hot pixel, constant, ten times all light",
        pixels(slice(None), 3, 4, value=2_000_000),
    ),
    Fault("pixel", "one hot pixel, Poisson, 5000 counts", poisson_pixel(5000)),
    Fault("pixel", "one hot pixel that twinkles", twinkling),
    Fault("pixel", "1 % of the pixels hot and constant", scattered(0.01, 20_000)),
    Fault("pixel", "one dead pixel in the beam", pixels(slice(None), 17, 15, value=0)),
    Fault("pixel", "2 % of the pixels dead", scattered(0.02, 0)),
    Fault(
        "pixel", "a dead block of 3 × 3", pixels(slice(None), slice(12, 15), slice(18, 21), value=0)
    ),
    Fault("pixel", "two dead rows", pixels(slice(None), slice(19, 21), value=0)),
    Fault("pixel", "a column stuck at 1000", pixels(slice(None), slice(None), 9, value=1000)),
    Fault(
        "pixel",
        "gaps marked by the maximum of uint32",
        pixels(slice(None), slice(21, 23), value=2**32 - 1),
    ),
    Fault(
        "pixel",
        "gaps marked by the maximum of uint16",
        pixels(slice(None), slice(21, 23), value=65535, dtype=np.uint16),
    ),
    Fault(
        "pixel",
        "gaps marked by the largest float32",
        pixels(slice(None), slice(21, 23), value=float(np.finfo(np.float32).max), dtype=np.float32),
    ),
    Fault(
        "pixel", "gaps marked by −1", pixels(slice(None), slice(21, 23), value=-1, dtype=np.int32)
    ),
    Fault("pixel", "a NaN pixel", pixels(slice(None), 10, 11, value=np.nan, dtype=np.float32)),
    Fault("pixel", "50 single NaN", single(50, np.nan)),
    Fault("pixel", "50 single negative values", single(50, -3)),
    Fault("pixel", "20 cosmic rays", cosmic),
    Fault("pixel", "saturation: the brightest 1 % cut", clipped(0.99)),
    Fault("pixel", "3.7 added to every count (a dark not taken off)", offset(3.7)),
    Fault("pixel", "every count times 12 (a gain)", gain(12)),
    Fault("pixel", "40 absurd numbers of int64, and a pixel of them", absurd),
    Fault(
        "pixel",
        "a mask that is upside down in one half",
        half_a_mask,
        possible="what a file masks stays masked",
    ),
    Fault("frame", "the first frame empty", pixels(0, value=0)),
    Fault("frame", "five frames empty", pixels([5, 6, 7, 44, 80], value=0)),
    Fault("frame", "ten frames in a row empty", pixels(slice(40, 50), value=0)),
    Fault("frame", "one frame with dark noise only", dark_noise),
    Fault("frame", "one frame exposed three times as long", exposed(33, 3)),
    Fault("frame", "four frames exposed a fifth", exposed([11, 30, 52, 77], 0.2)),
    Fault(
        "frame", "one frame at the maximum of its type", pixels(12, value=65535, dtype=np.uint16)
    ),
    Fault(
        "frame",
        "light of each frame between a third and all",
        flux(lambda r, t: r.uniform(1 / 3, 1, t.size)),
    ),
    Fault("frame", "light of each frame ± 10 %", flux(lambda r, t: r.uniform(0.8, 1, t.size))),
    Fault(
        "frame",
        "light falls to half over the scan",
        flux(lambda r, t: 1 - 0.5 * t),
        possible="an object that falls as exp(−κr) under a probe that rises as exp(κr) is the same",
    ),
    Fault(
        "frame",
        "light gone to a half for twelve frames",
        flux(lambda r, t: np.where(abs(t - 0.5) < 0.066, 0.5, 1)),
    ),
    Fault("frame", "one frame shifted by 6 pixels", rolled(17, 6)),
    Fault("frame", "three frames repeated by the detector", stuck),
    Fault("frame", "one frame with stray light", leak),
    Fault("position", "a position NaN", place(3, np.nan)),
    Fault("position", "an infinite position", place(3, np.inf)),
    Fault("position", "a position a thousand times as far", place(60, 1e-3)),
    Fault("position", "a stale position", stale),
    Fault("position", "micrometres, and the attribute says so", units(1e6, units="um")),
    Fault("position", "millimetres, and nothing says so", units(1e3), {"positions_unit": "mm"}),
    Fault("position", "one position too few", fewer_positions, {"match": "first"}),
    Fault("position", "one position wrong by 10 pixels", wrong_by(47, 10)),
    Fault("position", "two frames exchanged", swapped),
    Fault(
        "position",
        "the patterns one place late",
        late,
        possible="the pattern of frame 0 would have to be guessed",
    ),
    Fault(
        "position",
        "twenty frames mixed up",
        mixed_in_part,
        possible="nothing says which pattern is whose",
    ),
    Fault("position", "all frames mixed up", mixed, possible="as before"),
    Fault(
        "position",
        "rows of the other sign",
        downwards,
        {"flip": "rows"},
        turned=mirrored,
    ),
    Fault(
        "position",
        "rows and columns exchanged",
        exchanged,
        {"transpose": True},
        turned=transposed,
    ),
    Fault(
        "file",
        "a detector pixel of 75 m instead of 75 µm",
        in_metres,
        possible="nothing says which length is wrong",
    ),
    Fault("file", "an oblong detector (24 × 32)", oblong),
    Fault("file", "frames of odd side (33)", odd),
    Fault(
        "file", "the beam 3 pixels beside the centre", rolled(slice(None), 3), {"center": "auto"}
    ),
    Fault("file", "a probe of nine times the dose", brighter_probe),
    Fault(
        "file",
        "noise in place of the probe",
        noisy_probe,
        possible="the file's probe is all there is",
    ),
)
