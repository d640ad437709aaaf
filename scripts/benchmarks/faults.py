"""Forty faults put into a clean scan: what was said, and how good the image is. Writes a table.

    python scripts/benchmarks/faults.py                  the table of docs/evidence/data.md
    python scripts/benchmarks/faults.py --only hot,dead  faults whose name contains one of these
    python scripts/benchmarks/faults.py --alarms 1000    clean scans that lose anything: a count
    python scripts/benchmarks/faults.py --refined 60     those that a refinement complains of

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
from pathlib import Path
from typing import Any

import numpy as np
from fault_list import FAULTS, PHOTONS, Fault, M, N, base, fresh

from ptycho import quiet
from ptycho.data import open_scan
from ptycho.errors import PtychoError
from ptycho.evaluation.metrics import common, fit_gauge
from ptycho.frames import Ways, clean_scan
from ptycho.scan import Scan
from ptycho.simulation import PATTERNS, SimulationConfig, simulate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "data.md"
PASSES = 40
ENOUGH = 0.97
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
ALARMS, ALARMS_END = "<!-- alarms: begin -->", "<!-- alarms: end -->"
REFINED, REFINED_END = "<!-- refined: begin -->", "<!-- refined: end -->"


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


def drawn(rng: np.random.Generator, number: int) -> Scan:
    """A clean simulated scan of any kind, 1e2 to 1e8 photons a frame."""
    names = [*PATTERNS, "camera", "gravel", "coins", "brick"]
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
    return simulate(SimulationConfig(**settings))


def alarms(count: int, seed: int = 0) -> str:
    """Clean scans: how many lose anything when they are looked at."""
    rng = np.random.default_rng(seed)
    lost, told = [], collections.Counter[str]()
    for number in range(count):
        report = clean_scan(drawn(rng, number)).sanity
        assert report is not None
        done = [finding.code for finding in report if finding.done != "nothing"]
        told.update(finding.code for finding in report if finding.done == "nothing")
        if done:
            lost.append(f"{number}: {', '.join(done)}")
    rare = ", ".join(f"`{code}` {n}" for code, n in told.most_common())
    return (
        f"{len(lost)} of {count} clean simulated scans lose a pixel or a frame, or are scaled "
        f"({'; '.join(lost) or 'none'}). Told, with nothing done: {rare}."
    )


def refined_alarms(count: int, seed: int = 0) -> str:
    """The same scans: of how many a refinement says that its image does not explain them."""
    from ptycho.refinement import RefineConfig, refine

    rng = np.random.default_rng(seed)
    told = collections.defaultdict[str, list[str]](list)
    for number in range(count):
        scan = drawn(rng, number)
        rec = refine(scan, config=RefineConfig(passes=PASSES)).reconstruction
        for one in rec.meta["sanity"]["findings"]:
            if one["code"].endswith("-unexplained"):
                left = one["evidence"].get("left")
                much = one["count"] if left is None else f"{left:.2f}"
                photons = rec.meta["photons_per_frame"]
                told[one["code"]].append(f"{number}: {much} at {photons:.0e} photons a frame")
    words = [f"`{code}` {len(each)} ({'; '.join(each)})" for code, each in sorted(told.items())]
    return (
        f"At the end of a refinement of {PASSES} passes of the first {count} of them: "
        f"{', '.join(words) or 'nothing'}."
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
    parser.add_argument(
        "--refined", type=int, default=0, metavar="COUNT", help="and at the end of a refinement"
    )
    options = parser.parse_args(words)
    if options.alarms:
        text = alarms(options.alarms)
        print(text)
        write(PAGE, text, ALARMS, ALARMS_END)
        return 0
    quiet.load_tensorflow()
    if options.refined:
        text = refined_alarms(options.refined)
        print(text)
        write(PAGE, text, REFINED, REFINED_END)
        return 0
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
