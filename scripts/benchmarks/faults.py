"""Forty faults put into a clean scan: what was said, and how good the image is. Writes a table.

    python scripts/benchmarks/faults.py                  the table of docs/evidence/data.md
    python scripts/benchmarks/faults.py --only hot,dead  faults whose name contains one of these
    python scripts/benchmarks/faults.py --alarms 1000    clean scans that lose anything: a count

Likeness: modulus of the complex correlation (without the mean) of object and truth over the scanned
area, after the gauge (scale, ramp, shift), of a refinement of 40 passes. Each fault is written into
a CXI file as a detector would, and opened with `clean: off` and with `clean: auto`; where a way in
is needed (`--center auto`) the table names it; where a way turns the image, the truth is turned.
Exit code 1: an `auto` below 0.97 of the clean one where the information is there.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho import quiet
from ptycho.data import open_scan
from ptycho.errors import PtychoError
from ptycho.evaluation.metrics import common, fit_gauge
from ptycho.frames import Ways, clean_scan
from ptycho.scan import Scan
from ptycho.simulation import PATTERNS, SimulationConfig, simulate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "data.md"
N, M, PHOTONS, PASSES = 32, 90, 2e5, 40
ENOUGH = 0.97
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
ALARMS, ALARMS_END = "<!-- alarms: begin -->", "<!-- alarms: end -->"


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
)


def refined(scan: Scan, truth: Any, clean: str) -> tuple[float, list[str]]:
    """(likeness, what was found and done, in short); see the module's docstring."""
    from ptycho.refinement import RefineConfig, refine

    config = RefineConfig(passes=PASSES, clean=clean)
    rec = refine(scan, config=config).reconstruction
    found = rec.meta["sanity"]["findings"]
    told = [f"`{one['code']}` {one['done']}" for one in found]
    told += scan.metadata.get("notes", ())
    lit = rec.coverage[rec.coverage > 0]
    region = rec.coverage > 0.2 * np.median(lit)
    pair = common(rec.object, rec.origin_px, region, truth.object, truth.origin_px)
    return correlation(pair.a, pair.b, pair.region), told


def correlation(got: np.ndarray, right: np.ndarray, region: np.ndarray) -> float:
    """|Σ ā b| / √(Σ|a|² Σ|b|²) of the aligned fields in the region, without their means."""
    gauge = fit_gauge(got, right, region.astype(float))
    a, b = gauge.apply(np.asarray(got, np.complex128))[region], right[region]
    a, b = a - a.mean(), b - b.mean()
    return float(abs(np.vdot(a, b)) / (np.linalg.norm(a) * np.linalg.norm(b)))


def tried(path: Path, truth: Any, ways: Ways) -> tuple[float | None, list[str]]:
    """(likeness, or None where it was refused; what was said)."""
    try:
        return refined(open_scan(path, ways=ways), truth, ways.clean or "auto")
    except PtychoError as error:
        return None, [f"refused: {error.what}"]


def row(fault: Fault, scan: Scan, folder: Path) -> dict[str, Any]:
    """One line of the table."""
    file = fresh(scan)
    fault.put(file)
    path = file.write(folder / "fault.cxi")
    began = time.monotonic()
    off, _ = tried(path, scan.truth, Ways(clean="off"))
    auto, told = tried(path, fault.turned(scan.truth), Ways(clean="auto", **fault.ways))
    if fault.ways:  # what led to the way
        _, first = tried(path, scan.truth, Ways(clean="auto"))
        told = [*first, *(one for one in told if one not in first)]
    seconds = time.monotonic() - began
    return {"fault": fault, "off": off, "auto": auto, "told": told, "seconds": seconds}


def line(one: dict[str, Any], clean: float) -> str:
    """A row as Markdown."""
    fault = one["fault"]
    way = "".join(f" `{_option(k, v)}`" for k, v in fault.ways.items())
    share = "" if one["auto"] is None else f"{one['auto'] / clean:.3f}"
    note = f" ({fault.possible})" if fault.possible else ""
    told = ", ".join(one["told"]) or "nothing"
    cells = [_number(one["off"]), _number(one["auto"]), share, f"{told}{way}"]
    return f"| {' | '.join([fault.kind, f'{fault.name}{note}', *cells])} |"


def table(rows: list[dict[str, Any]], clean: float, page: Path) -> str:
    """The rows as Markdown; what was not run now keeps its line of the page."""
    new = {one["fault"].name: line(one, clean) for one in rows}
    old = page.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].splitlines()
    lines = []
    for fault in FAULTS:
        kept = [one for one in old if f"| {fault.name} " in one]
        lines += [new[fault.name]] if fault.name in new else kept
    cells = [[cell.strip() for cell in one.split("|")[1:-1]] for one in lines]
    held = sum(float(cell[4] or 0) >= ENOUGH for cell in cells)
    silent = [cell[1] for cell in cells if cell[5].startswith("nothing")]
    return "\n".join(
        [
            f"Clean: {clean:.3f} ({M} frames of {N} × {N}, {PHOTONS:.0e} photons each, "
            f"refined for {PASSES} passes).",
            "",
            "| kind | fault | off | auto | auto / clean | what `auto` said and did |",
            "|---|---|---|---|---|---|",
            *lines,
            "",
            f"{held} of {len(lines)} keep {ENOUGH} of the clean likeness under `auto`; without a "
            f"word: {', '.join(silent) or 'none'}.",
        ]
    )


def _option(name: str, value: Any) -> str:
    return f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")


def _number(value: float | None) -> str:
    return "refused" if value is None else f"{value:.3f}"


def alarms(count: int, seed: int = 0) -> str:
    """Clean simulated scans of all kinds, doses 1e2 to 1e8: how many lose anything."""
    rng = np.random.default_rng(seed)
    names = [*PATTERNS, "camera", "gravel", "coins", "brick"]
    lost, told, seen = [], collections.Counter[str](), 0
    for number in range(count):
        side = int(rng.choice([32, 64]))
        diameter = float(side * rng.choice([0.25, 0.4, 0.5, 0.7]))
        settings = {
            "N": side,
            "n_frames": int(rng.choice([30, 60, 100, 200])),
            "photons": float(10 ** rng.uniform(2, 8)),
            "amplitude": str(rng.choice(names)),
            "phase": str(rng.choice(names)),
            "amplitude_range": [(0.5, 1), (0, 1), (0.9, 1), (1, 1)][rng.integers(4)],
            "phase_range_rad": float(rng.choice([0.1, 1, 3])),
            "probe": str(rng.choice(["disk", "gaussian", "focused"])),
            "probe_diameter_px": diameter,
            "probe_curvature_rad": float(rng.choice([0, 4, 10])),
            "step_px": diameter * float(rng.choice([0.15, 0.25, 0.4, 0.6])),
            "trajectory": str(rng.choice(["raster", "jittered", "fermat", "random"])),
            "background": float(rng.choice([0, 0, 0.1])),
            "seed": number,
            "noise_seed": number,
        }
        report = clean_scan(simulate(SimulationConfig(**settings))).sanity
        assert report is not None
        seen += 1
        done = [finding.code for finding in report if finding.done != "nothing"]
        told.update(finding.code for finding in report if finding.done == "nothing")
        if done:
            lost.append(f"{number}: {', '.join(done)}")
    rare = ", ".join(f"`{code}` {n}" for code, n in told.most_common())
    return (
        f"{len(lost)} of {seen} clean simulated scans lose a pixel or a frame, or are scaled "
        f"({'; '.join(lost) or 'none'}). Told, with nothing done: {rare}."
    )


def write(page: Path, text: str, begin: str, end: str) -> None:
    """Put `text` between two marks of the page."""
    old = page.read_text(encoding="utf-8")
    head, rest = old.split(begin)
    page.write_text(f"{head}{begin}\n{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def main(words: list[str]) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="faults whose name contains one of these")
    parser.add_argument("--alarms", type=int, default=0, metavar="COUNT", help="count false alarms")
    options = parser.parse_args(words)
    if options.alarms:
        text = alarms(options.alarms)
        print(text)
        write(PAGE, text, ALARMS, ALARMS_END)
        return 0
    quiet.load_tensorflow()
    words = options.only.split(",")
    chosen = [fault for fault in FAULTS if any(word in fault.name for word in words)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = base()
        clean, said = tried(fresh(scan).write(folder / "clean.cxi"), scan.truth, Ways(clean="auto"))
        assert clean is not None and not said, said
        rows = []
        for fault in chosen:
            rows.append(row(fault, scan, folder))
            one = rows[-1]
            print(
                f"{fault.name}: off {_number(one['off'])}, auto {_number(one['auto'])} of "
                f"{clean:.3f}; {', '.join(one['told']) or 'nothing'} ({one['seconds']:.0f} s)",
                flush=True,
            )
            write(PAGE, table(rows, clean, PAGE), BEGIN, END)  # a run cut off keeps what it has
    poor = [r for r in rows if not r["fault"].possible and (r["auto"] or 0) < ENOUGH * clean]
    return 1 if poor else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
