"""A scan of 600 MB is opened, inspected, saved, trained on and reconstructed in far less memory.

Each stage is a process of its own: it does the work once on a part of the frames, so that
libraries are loaded and programs compiled, notes its peak, and then takes the large scan. The
stages that compute take minutes and are proofs (`pytest -m proof`, part of `make proofs`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptycho.data import open_scan

M, N, STEP_PX = 9600, 128, 8.0
SCAN_MIB = M * N * N * 4 / 2**20
D = "entry_1/instrument_1/detector_1"

STAGES = {
    "look": """
from ptycho.evaluation.inspection import inspect_scan
from ptycho.report.scan_figures import scan_figure
def work(scan):
    inspect_scan(scan)
    first, second = scan.thin(np.random.default_rng(0), 0.5)
    first.frames([0]), second.frames([0])
    scan_figure(scan, here / "figure.png")
small, large = scan.subset(np.arange(500)), scan
""",
    "save": """
from ptycho.data import save_scan
def work(scan):
    for name in ("a.npz", "a.cxi", "a.h5"):
        save_scan(scan, here / name)
small, large = scan.subset(np.arange(500)), scan.subset(np.arange(3000))
""",
    "train": """
from ptycho.config import TrainConfig
from ptycho.training.loop import train
def work(scan):
    config = TrainConfig(gridsize=1, batch_size=8, epochs=1, validation_fraction=300 / M,
        validation_margin_px=0, time_budget_s=2, checkpoint=False, estimate_cache_mib=0)
    train(scan, config, here / f"run-{scan.n_frames}")
small, large = scan.subset(np.arange(600)), scan
""",
    "reconstruct": """
from ptycho.config import ReconstructConfig
from ptycho.reconstruction.predict import reconstruct
def work(scan):
    config = ReconstructConfig(gridsize=1, batch_size=4, spool_mib=1)
    reconstruct(None, scan, untrained=1, config=config)
small, large = scan.subset(np.arange(500)), scan.subset(np.arange(2000))
""",
}
PROGRAM = """
import json, pathlib, resource, sys
import numpy as np
from ptycho.data import open_scan
here = pathlib.Path(sys.argv[1]).parent
scan = open_scan(sys.argv[1])
M, N = scan.n_frames, scan.N
def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
{stage}
work(small)
before = peak_mib()
work(large)
print(json.dumps([before, peak_mib(), large.n_frames * N * N * 4 / 2**20]))
"""


def written(path: Path, few: np.ndarray, probe: np.ndarray, places_px: np.ndarray) -> Path:
    """A CXI file whose frames are `few` over and over, one at each place."""
    pixel_m = 1e-10 * 2.0 / (N * 5e-5)
    count = len(places_px)
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        file["entry_1/instrument_1/source_1/wavelength"] = 1e-10
        file["entry_1/instrument_1/source_1/illumination"] = probe
        file[f"{D}/distance"], file[f"{D}/x_pixel_size"] = 2.0, 5e-5
        moved = np.column_stack([places_px[:, 1], places_px[:, 0], np.zeros(count)]) * pixel_m
        file["entry_1/sample_1/geometry_1/translation"] = moved
        frames = file.create_dataset(
            f"{D}/data", (count, N, N), "u2", chunks=(1, N, N), compression=1, shuffle=True
        )
        for first in range(0, count, len(few)):
            frames[first : first + len(few)] = few[: count - first]
    return path


def light() -> tuple[np.ndarray, np.ndarray]:
    """16 frames of 128², and the probe that made them."""
    axis = np.arange(N) - N // 2
    probe = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * (N / 12) ** 2)).astype(complex)
    probe *= np.sqrt(1e4 / np.sum(np.abs(probe) ** 2))
    power = np.abs(np.fft.fftshift(np.fft.fft2(probe, norm="ortho"))) ** 2
    return np.random.default_rng(0).poisson(power, (16, N, N)).astype(np.uint16), probe


def places_px(count: int) -> np.ndarray:
    """A raster."""
    side = int(np.ceil(np.sqrt(count)))
    return STEP_PX * np.column_stack([np.arange(count) // side, np.arange(count) % side])


@pytest.fixture(scope="module")
def large_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9600 frames of 128² as CXI: 600 MiB of frames, 4 MB of file (16 frames over and over)."""
    return written(tmp_path_factory.mktemp("large") / "large.cxi", *light(), places_px(M))


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage",
    [
        "look",
        "save",
        pytest.param("train", marks=pytest.mark.proof),
        pytest.param("reconstruct", marks=pytest.mark.proof),
    ],
)
def test_memory_does_not_follow_the_scan(large_scan: Path, stage: str) -> None:
    """The peak grows by less than 0.4 of the frames' size (read at once: 1 and more)."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(stage=STAGES[stage]), str(large_scan)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, after, frames_mib = json.loads(done.stdout.splitlines()[-1])
    assert frames_mib > 120
    assert after - before < 0.4 * frames_mib + 20, (before, after, frames_mib)


ALLOWED_MIB = 32
COMMANDS = {
    "inspect": "inspect {scan} --figure {out}.png --json",
    "train": "train {scan} -o {out} --set gridsize=1 --set batch_size=8 --set epochs=1 "
    "--set time_budget_s={seconds} --json",
    # a pass in mini-batches, and one of the whole scan
    "refine": "refine {scan} -o {out}.h5 --passes 2 --set regularise=off "
    "--set whole_share=0.5 --set batch_size=16 --no-figure --json",
    "reconstruct": "reconstruct --untrained 1 {scan} -o {out}.h5 --no-figures --json",
    "reconstruct by a network": "reconstruct {run} {scan} -o {out}.h5 --no-figures --json",
}
# All in one process: libraries are loaded once. Before each command what is free goes back to the
# system and the peak is forgotten; the thresholds keep the allocator from holding arrays back.
COMMANDS_PROGRAM = """
import ctypes, gc, json, pathlib, sys, time
from ptycho.cli.app import main
few, many, commands = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
me = pathlib.Path("/proc/self")
def peak_mib():
    return int((me / "status").read_text().split("VmHWM:")[1].split()[0]) / 1024
def forget():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    (me / "clear_refs").write_text("5")
def work(words, scan, out):
    folder = pathlib.Path(scan).parent
    names = {"scan": scan, "out": folder / out, "run": folder / "train-few"}
    try:
        main(words.format(**names, seconds=1 if scan == few else 600).split())
    except SystemExit as end:
        assert not end.code, (words, end.code)
for name, words in commands.items():
    began = time.process_time()
    out = name.replace(" ", "-")
    forget()
    work(words, few, out + "-few")
    before = peak_mib()
    forget()
    work(words, many, out + "-many")
    seconds = time.process_time() - began
    print(json.dumps([name, before, peak_mib(), seconds]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def few_and_many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Frames of 0.6 of the allowance and of three times as much, over one and the same area."""
    folder, frames, probe = tmp_path_factory.mktemp("allowance"), *light()
    many = places_px(int(3 * ALLOWED_MIB / (N * N * 4 / 2**20)))
    few = np.concatenate([many[: len(many) // 10], many[-(len(many) // 10) :]])
    # One area and one step, so that nothing is compiled anew.
    assert (np.ptp(few, axis=0) == np.ptp(many, axis=0)).all()
    return (
        written(folder / "few.cxi", frames, probe, few),
        written(folder / "many.cxi", frames, probe, many),
    )


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(1800)
def test_no_command_holds_more_frames_than_its_allowance(
    few_and_many: tuple[Path, Path],
) -> None:
    """A file of three times the allowance: the peak above a warm start stays within it."""
    rows = _stays_within(few_and_many, COMMANDS)
    assert [row[0] for row in rows] == list(COMMANDS)


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["stored", "deflated"])
def test_an_npz_takes_no_more_than_hdf5(
    few_and_many: tuple[Path, Path], tmp_path: Path, how: str
) -> None:
    """The same for NPZ: frames are read where they lie, or unpacked by pieces into a file."""
    save = np.savez if how == "stored" else np.savez_compressed
    frames, probe = light()
    for path in few_and_many:
        places = open_scan(path).positions_px
        counts = np.resize(frames, (len(places), N, N))
        save(tmp_path / path.stem, counts=counts, positions_px=places, probe=probe)
    pair = (tmp_path / "few.npz", tmp_path / "many.npz")
    _stays_within(pair, {name: COMMANDS[name] for name in ("inspect", "refine")})


def _stays_within(few_and_many: tuple[Path, Path], commands: dict[str, str]) -> list[Any]:
    """Run the commands; the peak above a warm start stays below the allowance."""
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS_PROGRAM, *map(str, few_and_many), json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=1500,
        env={
            **os.environ,
            "PTYCHO_FRAMES_MIB": str(ALLOWED_MIB),
            "MALLOC_ARENA_MAX": "2",
            "MALLOC_MMAP_THRESHOLD_": "262144",
            "MALLOC_TRIM_THRESHOLD_": "262144",
        },
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('["')]
    for name, before, after, seconds in rows:
        print(f"{name}: {after - before:.0f} MiB above {before:.0f} MiB ({seconds:.0f} s of CPU)")
    assert not [row for row in rows if row[2] - row[1] >= ALLOWED_MIB]
    assert done.stdout.count(f"in every pass: {3 * ALLOWED_MIB} MiB") == 1  # of many, not of few
    return rows
