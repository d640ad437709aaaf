"""What a long scan takes: memory above a warm start, and time a pass against the frames.

    python scripts/benchmarks/scale.py [--frames 100000] [--folder DIR]

A CXI file of as many frames of 128² (float32, not compressed) is made in a temporary folder and
removed at the end. One process refines 2000 frames of its area first (libraries are loaded,
programs compiled), then all of them, two passes: one in mini-batches, one of the whole scan with
total variation, both with background rings. (`tests/refinement/test_scale.py` holds the same
proportion on fewer frames.) Another runs single passes of 2000 and of 20 000
frames. Writes one row a run into docs/evidence/scale.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

N, STEP_PX, FEW, MANY = 128, 8.0, 2000, 20000
D = "entry_1/instrument_1/detector_1"
OUT = Path(__file__).parents[2] / "docs/evidence/scale.jsonl"
MEMORY = """
import ctypes, gc, json, pathlib, sys, time
import numpy as np
from ptycho.data import open_scan
from ptycho.refinement import RefineConfig, refine
me = pathlib.Path("/proc/self")
def field(name):
    return int((me / "status").read_text().split(name + ":")[1].split()[0]) / 1024
def forget():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    (me / "clear_refs").write_text("5")
config = RefineConfig(passes=2, whole_share=0.5, regularise=0.25, background="rings")
scan = open_scan(sys.argv[1])
few = scan.subset(np.arange(*json.loads(sys.argv[2])))
before = refine(few, config=config).reconstruction.object.shape
forget()
warm, began, cpu = field("VmRSS"), time.monotonic(), time.process_time()
result = refine(scan, config=config)
seconds, cpu = time.monotonic() - began, time.process_time() - cpu
print(json.dumps({
    "run": "memory", "frames": scan.n_frames, "N": scan.N, "warm_mib": warm,
    "peak_mib": field("VmHWM"), "above_mib": field("VmHWM") - warm,
    "frames_mib": scan.n_frames * scan.N**2 * 4 / 2**20,
    "warm_object": list(before),
    "object": list(result.reconstruction.object.shape), "seconds": seconds, "cpu_s": cpu,
    "passes": [row["seconds"] for row in result.history], "residual": result.residual,
    "streams": result.reconstruction.meta.get("frames_read"),
}))
"""
LINEAR = """
import json, sys, time
import numpy as np
from ptycho.data import open_scan
from ptycho.refinement import RefineConfig
from ptycho.refinement.run import prepare
from ptycho.refinement.takeover import take_over
scan = open_scan(sys.argv[1])
side = round(scan.n_frames**0.5)
config = RefineConfig(regularise=0.25, background="rings", clean="off")
rows = {}
for count in map(int, sys.argv[2:]):
    edge = round(count**0.5)
    numbers = (np.arange(edge)[:, None] * side + np.arange(edge)).ravel()
    part = scan.subset(numbers)
    engine = prepare(part, take_over(part, None), config)
    order = np.random.default_rng(0).permutation(len(numbers))
    for name, run in (
        ("mini-batches", lambda: engine.run_pass(order, 1.0, move=False)),
        ("whole", lambda: engine.run_whole("amplitude", 0.25)),
    ):
        found = []
        for _ in range(3 if count < 10000 else 2):
            began = time.monotonic(), time.process_time()
            run()
            found.append([time.monotonic() - began[0], time.process_time() - began[1]])
        wall, cpu = np.min(found[1:], axis=0).tolist()
        rows.setdefault(name, []).append([len(numbers), wall, cpu])
print(json.dumps({"run": "linear", "N": scan.N, "rows": rows}))
"""


def written(path: Path, count: int, dtype: str = "f4") -> Path:
    """A raster of `count` frames of these numbers, 500 drawn ones over and over."""
    pixel_m = 1e-10 * 2.0 / (N * 5e-5)
    axis = np.arange(N) - N // 2
    probe = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * (N / 12) ** 2)).astype(complex)
    probe *= np.sqrt(1e5 / np.sum(np.abs(probe) ** 2))
    power = np.abs(np.fft.fftshift(np.fft.fft2(probe, norm="ortho"))) ** 2
    few = np.random.default_rng(0).poisson(power, (500, N, N)).astype(np.float32)
    side = round(count**0.5)
    places = STEP_PX * np.column_stack([np.arange(count) // side, np.arange(count) % side])
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        file["entry_1/instrument_1/source_1/wavelength"] = 1e-10
        file["entry_1/instrument_1/source_1/illumination"] = probe
        file[f"{D}/distance"], file[f"{D}/x_pixel_size"] = 2.0, 5e-5
        moved = np.column_stack([places[:, 1], places[:, 0], np.zeros(count)]) * pixel_m
        file["entry_1/sample_1/geometry_1/translation"] = moved
        frames = file.create_dataset(f"{D}/data", (count, N, N), dtype)
        for first in range(0, count, len(few)):
            frames[first : first + len(few)] = few[: count - first]
    return path


def measured(program: str, *words: object) -> dict[str, object]:
    """The row that a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MALLOC_ARENA_MAX": "2"},
    )
    row: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="Where there is room for the frames.")
    parser.add_argument("--only", choices=["memory", "linear"])
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
        path = written(Path(folder) / "scan.cxi", wanted.frames)
        rows = []
        if wanted.only != "memory":
            rows.append(measured(LINEAR, path, FEW, MANY))
        if wanted.only != "linear":
            rows.append(measured(MEMORY, path, [0, FEW, 1]))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    for row in rows:
        row |= {"asked": wanted.frames, "only": wanted.only, "commit": commit}
        row |= {"allowance_mib": os.environ.get("PTYCHO_FRAMES_MIB")}
        print(json.dumps(row))
        with OUT.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
