"""`refine` against pty-chi's LSQML on equal terms: writes docs/evidence/versus-ptychi.md.

    make baselines
    .venv/bin/python scripts/benchmarks/versus_ptychi.py docs/evidence/versus-ptychi.md --rows A*

A row is a scan, a way to halve it, probe modes, positions held or found, with or without total
variation. Both programs get the same files: the same halves, each with its own random start and
the second on a grid moved by part of a pixel, the same probe and modes, and the same background
in rings (LSQML has none: those that `refine` found are subtracted from its counts, and put back
where it is judged). Each runs by itself on one core, one after the other. Results gather in the
`.jsonl` beside the page, from which the page is written: a stop loses the row that runs.
`--quick` runs few passes, to see that everything works; `--tune` tries settings of LSQML.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from orchestration.cli.ends import ended_by_signals
from orchestration.core import Interrupted
from orchestration.sandbox import run_child
from versus_score import (
    Half,
    agreement,
    explains,
    halves,
    ring_numbers,
    seeded_modes,
    start_of,
)

from ptycho import Reconstruction, RefineConfig, Scan, SimulationConfig, evaluate, simulate
from ptycho.data import open_scan
from ptycho.frames import clean_scan
from ptycho.physics import illumination
from ptycho.studies.quality import star_path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-baselines/bin/python"
PASSES = 60
SNAPSHOTS = [5, 10, 20, 30, 45, 60, 80, 100]
LSQML = {"batch": 10, "noise": "gaussian", "momentum": 0.0, "batching": "random"}
"""Settings of LSQML that won `--tune`."""
TV = {"star": 0.01, "A": 0.01, "R": 0.01}
"""LSQML's weight of total variation for each scan (`--tune`)."""
KERNELS = {"ours": "cubic", "lsqml": "fourier"}
"""How each program reads between pixels, and is judged."""
LONGEST_S = 24 * 3600.0
"""That one run of a program may take."""
SPARSE = 4
"""Every so many frames judge the images on the way, all of them the last."""


@dataclass(frozen=True)
class Row:
    """What is compared; `peer_tv`: LSQML has total variation where `refine` has."""

    scan: str
    by: str
    modes: int
    positions: bool
    tv: bool
    background: bool = True
    peer_tv: bool = True

    @property
    def name(self) -> str:
        places, rings = "found" if self.positions else "held", "" if self.background else "-bare"
        tv = ("tv" if self.peer_tv else "tv-ours") if self.tv else "plain"
        return f"{self.scan}-{self.by}-{self.modes}-{places}-{tv}{rings}"


def rows() -> Iterator[Row]:
    """All rows, the most telling first."""
    for scan in ("star", "A", "R"):
        yield Row(scan, "frames", 2, True, True)
        yield Row(scan, "frames", 2, True, False)
    yield Row("star", "frames", 2, True, False, background=False)
    yield Row("star", "frames", 2, True, True, peer_tv=False)
    for scan in ("A", "R", "star"):
        yield Row(scan, "counts", 2, True, False)
        for modes, positions in ((1, False), (2, False), (1, True)):
            for tv in (False, True):
                yield Row(scan, "frames", modes, positions, tv)
        yield Row(scan, "counts", 2, True, True)
        for modes, positions in ((1, False), (2, False), (1, True)):
            for tv in (False, True):
                yield Row(scan, "counts", modes, positions, tv)


def scan_of(name: str, quick: bool) -> Scan:
    """The scan, looked at once: both programs get what is left."""
    if name == "star":
        path = star_path()
        if path is None:
            raise SystemExit("the measured star is looked for in PTYCHO_DATA_DIR")
        scan = clean_scan(open_scan(path), "auto")
        return scan.subset(np.arange(0, scan.n_frames, 8)) if quick else scan
    base: dict[str, Any] = {"N": 64, "step_px": 6.4, "kernel": "fourier", "probe_modes": (0.8, 0.2)}
    if name == "A":
        more = {"amplitude": "astronaut", "phase": "coffee", "photons": 1e5, "background": 0.1}
    else:
        more = {"amplitude": "rocket", "phase": "moon", "photons": 1e6, "background": 1.0}
    scan = simulate(SimulationConfig(**base, **more, n_frames=64 if quick else 256))
    rng = np.random.default_rng(17)
    off = 0.5 * rng.standard_normal(scan.positions_px.shape)
    return replace(scan, positions_px=scan.positions_px + off, background=0.0)


def job_of(half: Half, row: Row) -> dict[str, np.ndarray]:
    """What both programs are given, on the half's own grid."""
    field, origin = start_of(half)
    job = {
        "counts": np.asarray(half.scan.frames(np.arange(half.scan.n_frames)), np.float32),
        "positions": half.scan.positions_px - origin,
        "object": field,
        "origin": np.array(origin),
        "probe": seeded_modes(half.scan.probe[:1], row.modes),
    }
    return job if half.scan.mask is None else {**job, "mask": half.scan.mask}


def tell(line: str) -> None:
    """What the program says, at once."""
    print(line, file=sys.stderr, flush=True)


def run(command: list[str], job: dict[str, Any], settings: dict[str, Any], folder: Path) -> dict:
    """A program in a process of its own, on the core that this one holds; it ends with this one."""
    source, target = folder / "job.npz", folder / "out.npz"
    np.savez(source, settings=json.dumps(settings), **job)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    argv = [*command, str(source), str(target)]
    done = run_child(argv, ROOT, environment, total_s=LONGEST_S, on_line=tell, max_processes=None)
    if not done.ok:
        raise SystemExit(f"{' '.join(argv)}\nexit code {done.exit_code}, signal {done.signal}")
    with np.load(target) as found:
        return {key: found[key] for key in found.files}


def ours(source: str, target: str) -> int:
    """`refine` on one job; the counterpart of lsqml.py."""
    from ptycho import refine
    from ptycho.quiet import load_tensorflow

    load_tensorflow()
    job = dict(np.load(source))
    want = json.loads(str(job["settings"]))
    scan = Scan(
        counts=job["counts"],
        positions_px=job["positions"],
        probe=job["probe"],
        mask=job.get("mask"),
    )
    field = job["object"]
    start = Reconstruction(
        object=field, coverage=np.ones(field.shape, np.float32), origin_px=(0.0, 0.0)
    )
    config = RefineConfig(
        passes=want["passes"],
        modes=want["modes"],
        positions="frames" if want["positions"] else "off",
        regularise="auto" if want["tv"] else "off",
        background="rings" if want["background"] else None,
        clean="off",
        seed=want["seed"],
    )
    out: dict[str, Any] = {}
    times: list[tuple[float, float]] = []
    passes: list[int] = []
    seen, aside = 0, 0.0
    begun, clock = time.process_time(), time.monotonic()

    def keep(rec: Reconstruction, number: int) -> None:
        at = len(passes) - 1
        out.update({f"object_{at}": rec.object, f"probe_{at}": rec.probe})
        out[f"origin_{at}"] = np.array(rec.origin_px)
        out[f"positions_{at}"] = scan.positions_px if rec.positions_px is None else rec.positions_px

    def watch(made: Any) -> None:
        nonlocal seen, aside
        seen += 1
        if seen % want["each"]:
            return
        before = time.process_time()
        times.append((before - begun - aside, time.monotonic() - clock))
        passes.append(seen)
        keep(made(), seen)
        aside += time.process_time() - before

    result = refine(scan, start=start, config=config, watch=watch)
    times.append((time.process_time() - begun - aside, time.monotonic() - clock))
    passes.append(result.iterations)
    keep(result.reconstruction, result.iterations)
    rings = result.reconstruction.meta["background_rings"]
    out["rings"] = np.zeros(0) if rings is None else np.asarray(rings)
    cpu_s, wall_s = np.transpose(times)
    np.savez(target, cpu_s=cpu_s, wall_s=wall_s, passes=passes, **out)
    return 0


def images(found: dict[str, np.ndarray], half: Half, job: dict, moves: bool) -> list:
    """What a program found on the way and at the end, in the frame of the whole scan."""
    made = []
    for at in range(len(found["passes"])):
        probe = found[f"probe_{at}"]
        origin = job["origin"] + found.get(f"origin_{at}", np.zeros(2))
        places = found[f"positions_{at}"] + job["origin"]
        field = found[f"object_{at}"]
        lit = illumination(probe, places, shape=field.shape, origin_px=tuple(origin))
        rec = Reconstruction(
            object=field,
            coverage=np.asarray(lit),
            origin_px=tuple(origin),
            probe=probe,
            positions_px=places if moves else None,
        )
        made.append(half.back(rec))
    return made


def measure(row: Row, seed: int, quick: bool, lsqml: dict[str, Any]) -> dict[str, Any]:
    """One row: both programs on both halves, and what they are worth."""
    scan = scan_of(row.scan, quick)
    pair = halves(scan, row.by, seed)
    passes = 12 if quick else PASSES
    snapshots = [2, 4] if quick else SNAPSHOTS
    images_of: dict[str, list[list[Reconstruction]]] = {"ours": [], "lsqml": []}
    spent: dict[str, list[dict[str, list[float]]]] = {"ours": [], "lsqml": []}
    for half in pair:
        job = job_of(half, row)
        common = {"positions": row.positions, "seed": half.seed}
        want = {
            **common,
            "passes": passes,
            "modes": row.modes,
            "tv": row.tv,
            "each": 3,
            "background": row.background,
        }
        with tempfile.TemporaryDirectory() as folder:
            mine = run([sys.executable, __file__, "--ours"], job, want, Path(folder))
        given = {**job}
        if row.background and mine["rings"].size:
            dark = mine["rings"][ring_numbers(half.scan.N)]
            given["counts"] = np.maximum(job["counts"] - dark, 0).astype(np.float32)
        tv = TV[row.scan] if row.tv and row.peer_tv else 0
        want = {**common, **lsqml, "snapshots": snapshots, "tv": tv}
        with tempfile.TemporaryDirectory() as folder:
            theirs = run(
                [str(PYTHON), str(ROOT / "scripts/benchmarks/lsqml.py")], given, want, Path(folder)
            )
        for side, found in (("ours", mine), ("lsqml", theirs)):
            images_of[side].append(images(found, half, job, row.positions))
            keys = ("passes", "cpu_s", "wall_s")
            spent[side].append({key: np.round(found[key], 2).tolist() for key in keys})
    return judged(row, scan, pair, images_of, spent)


def judged(row: Row, scan: Scan, pair: tuple, images_of: dict, spent: dict) -> dict[str, Any]:
    """The figures of a row."""
    last = {side: [made[-1] for made in every] for side, every in images_of.items()}
    out: dict[str, Any] = {"spent": spent, "deviance": {}, "own": {}, "truth": {}, "curve": {}}
    for side, (first, second) in last.items():
        out["deviance"][side] = [
            explains(rec, pair[k], pair[1 - k], last[side][1 - k].positions_px, KERNELS[side], 1)
            for k, rec in enumerate((first, second))
        ]
        out["own"][side] = agreement(first, second)
        out["curve"][side] = [
            explains(rec, pair[0], pair[1], second.positions_px, KERNELS[side], SPARSE)
            for rec in images_of[side][0]
        ]
        if scan.truth is not None:
            told = [evaluate(rec, scan) for rec in (first, second)]
            out["truth"][side] = {
                part: float(np.mean([each[part]["ssim"] for each in told]))
                for part in ("amplitude", "phase")
            }
    across = [agreement(last["ours"][k], last["lsqml"][1 - k]) for k in (0, 1)]
    out["cross"] = {key: float(np.mean([each[key] for each in across])) for key in across[0]}
    tv = TV[row.scan] if row.tv and row.peer_tv else 0
    settings = {**asdict(row), "lsqml": {**LSQML, "tv": tv}}
    return {**settings, **out, **reach(out["curve"], spent)}


def reach(curve: dict[str, list[float]], spent: dict[str, list[dict]]) -> dict[str, Any]:
    """Processor seconds of ours to the deviance that LSQML ends with (first half), and LSQML's."""
    goal, theirs = curve["lsqml"][-1], spent["lsqml"][0]["cpu_s"][-1]
    for level, seconds in zip(curve["ours"], spent["ours"][0]["cpu_s"], strict=True):
        if level <= goal:
            return {"reach_s": [seconds, theirs]}
    return {"reach_s": [None, theirs]}


def low_dose(seed: int, quick: bool) -> dict[str, Any]:
    """The star with 2 % of its photons against the image from all of them."""
    from ptycho import refine

    scan = scan_of("star", quick)
    few, _ = scan.thin(np.random.default_rng((seed, 19)), 0.02)
    config = RefineConfig(
        passes=12 if quick else PASSES,
        modes=2,
        positions="frames",
        background="rings",
        clean="off",
        seed=seed,
    )
    begun = time.process_time()
    every, some = (refine(each, config=config).reconstruction for each in (scan, few))
    told = evaluate(some, every)
    words = f"amplitude SSIM {told['amplitude']['ssim']:.3f}; both images, two modes + positions"
    return {
        "value": float(told["phase"]["ssim"]),
        "words": words,
        "cpu_s": round(time.process_time() - begun, 1),
    }


def pass_over_ffts(seed: int, quick: bool) -> dict[str, Any]:
    """Mini-batch passes at N = 128 with one mode, over their Fourier transforms alone."""
    from ptycho.studies.bench import measure_refine

    frames, rounds = (64, 3) if quick else (256, 11)
    told = measure_refine(sides=(128,), frames=frames, rounds=rounds, seed=seed)
    words = (
        f"pass {told['refine_ms_128']:.3f} ms, transforms {told['pass_fft_ms_128']:.3f} ms a frame "
        f"by the processor, medians of {rounds}, cubic kernel, TensorFlow; whole-scan pass "
        f"{told['whole_over_fft_128']:.2f} times its transforms (`ptycho bench --only refine`)"
    )
    return {"value": told["refine_over_fft_128"], "words": words}


def thinned(seed: int, quick: bool) -> dict[str, Any]:
    """`refine` alone on thinned halves of the star, with no regularisation."""
    row = Row("star", "counts", 2, True, False)
    recs, spent = [], []
    for half in halves(scan_of("star", quick), row.by, seed):
        job = job_of(half, row)
        want = {
            "positions": True, "seed": half.seed, "passes": 12 if quick else PASSES, "modes": 2,
            "tv": False, "each": 1000, "background": True,
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            found = run([sys.executable, __file__, "--ours"], job, want, Path(folder))
        recs.append(images(found, half, job, True)[-1])
        spent.append(float(found["cpu_s"][-1]))
    told = agreement(*recs)
    words = f"in .3–.4 {told['0.3-0.4']:.3f}; {np.mean(spent):.0f} CPU s a half; LSQML not run"
    return {"value": told["0.2-0.3"], "words": words}


SINGLE = {"thinned": thinned, "low-dose": low_dose, "pass-over-ffts": pass_over_ffts}
"""Goals of `refine` alone."""


TRIES: tuple[dict[str, Any], ...] = (
    {"batch": 43}, {"batch": 20}, {"batch": 100}, {"batch": 10}, {"batch": 20, "momentum": 0.5},
    {"batch": 20, "noise": "poisson"}, {"batch": 20, "batching": "compact", "momentum": 0.5},
    {"tv": 3e-3}, {"tv": 1e-2}, {"tv": 3e-2},
)  # fmt: skip
"""Settings of LSQML that `--tune` tries."""


def tune(scan_name: str, quick: bool) -> dict[str, Any]:
    """Settings of LSQML on the first half, judged by the other half's frames (every other one).

    Positions are found in simulated scans, where they are wrong, and held in the star.
    """
    row = Row(scan_name, "frames", 2, scan_name != "star", False)
    scan = scan_of(row.scan, quick)
    own, other = halves(scan, row.by, 0)
    job = job_of(own, row)
    tried = []
    for each in TRIES:
        snapshots = [2, 4] if quick else [10, 30]
        want = {"positions": row.positions, "seed": 0, "tv": 0, **LSQML, **each}
        want["snapshots"] = snapshots
        with tempfile.TemporaryDirectory() as folder:
            found = run(
                [str(PYTHON), str(ROOT / "scripts/benchmarks/lsqml.py")], job, want, Path(folder)
            )
        told = [
            explains(rec, own, other, None, "fourier", 2)
            for rec in images(found, own, job, row.positions)
        ]
        levels = [round(level, 4) for level in told]
        cpu_s = round(float(found["cpu_s"][-1]), 1)
        tried.append({"settings": each, "epochs": snapshots, "deviance": levels, "cpu_s": cpu_s})
        print(tried[-1], flush=True)
    return {"tried": tried}


def page(results: list[dict[str, Any]]) -> str:
    """The document, from what is there."""
    from versus_page import written

    return written(results, [row.name for row in rows()])


def main() -> int:
    """Run the rows that are named and write the page after each."""
    if sys.argv[1:2] == ["--ours"]:
        return ours(*sys.argv[2:])
    try:
        with ended_by_signals():
            return compare()
    except Interrupted as end:
        return end.code


def compare() -> int:
    """The rows that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", nargs="*", default=["*"], help="names or patterns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="repeat rows that are there")
    parser.add_argument("--quick", action="store_true", help="few frames and passes")
    parser.add_argument("--tune", metavar="SCAN")
    options = parser.parse_args()
    if not PYTHON.is_file():
        raise SystemExit("pty-chi is not there: make baselines")
    os.sched_setaffinity(0, {options.core})
    if options.tune:
        options.rows = [f"tune-{options.tune}"]
    store = options.out.with_suffix(".jsonl")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if options.quick and store.resolve().is_relative_to(ROOT / "docs"):
        raise SystemExit("--quick makes no evidence: write to another place than docs/")
    for name, work in todo(options.quick):
        asked = any(fnmatch.fnmatch(name, pattern) for pattern in options.rows)
        if not asked or (name.startswith("tune-") and not options.tune):
            continue
        done = [r for r in stored(store) if (r["row"], r["seed"]) == (name, options.seed)]
        if done and not options.again:
            continue
        clock = time.monotonic()
        figures = work(options.seed)
        seconds = round(time.monotonic() - clock, 1)
        results = [r for r in stored(store) if r not in done]
        head = {"row": name, "seed": options.seed, "commit": commit, "seconds": seconds}
        results.append({**head, **figures})
        store.write_text("".join(json.dumps(r) + "\n" for r in results), encoding="utf-8")
        options.out.write_text(page(results), encoding="utf-8")
        print(
            name, options.seed, figures.get("deviance", figures.get("value")), seconds, flush=True
        )
    return 0


def todo(quick: bool) -> Iterator[tuple[str, Callable[[int], dict[str, Any]]]]:
    """Names and work, the most telling first."""
    for row in rows():
        yield row.name, lambda seed, row=row: measure(row, seed, quick, LSQML)
    for name, work in SINGLE.items():
        yield name, lambda seed, work=work: work(seed, quick)
    for name in TV:
        yield f"tune-{name}", lambda seed, name=name: tune(name, quick)


def stored(store: Path) -> list[dict[str, Any]]:
    lines = store.read_text(encoding="utf-8").splitlines() if store.is_file() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    raise SystemExit(main())
