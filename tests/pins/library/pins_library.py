"""What the generator of the pins and the tests that replay them share: the same calls, once.

Only public doors are used (`ptycho.*` names and the installed commands), because everything
behind them is going to move.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import ptycho

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "tests" / "fixtures" / "pins" / "library"

# Settings are spelled out, so that a changed default is seen by the pin of the settings
# (`--list-settings`) and not by every number here.
SIMULATION = {
    "N": 32,
    "n_frames": 36,
    "photons": 1e5,
    "probe_diameter_px": 16.0,
    "seed": 1,
    "noise_seed": 2,
}
TRAINING = {
    "epochs": 3,
    "batch_size": 8,
    "gridsize": 2,
    "estimate_steps": 2,
    "validation_margin_px": 4,
    "network_options": {"width": 8, "deep_blocks": 1, "last_blocks": 1},
    "learning_rate": 4e-3,
    "warmup_steps": 1,
    "seed": 3,
    "checkpoint": False,
}
# As they were at f264b61: the kernel of two taps, and a third of a position's step.
SCRATCH = {"kernel": "bilinear", "passes": 5, "modes": 1, "seed": 4}
STARTED = {
    "kernel": "bilinear",
    "passes": 4,
    "modes": 2,
    "positions": True,
    "position_start": 0.0,
    "position_step": 0.3,
    "seed": 5,
}
UNTRAINED_STEPS = 3
TIMES = ("seconds", "patterns_per_s")  # columns of a history that differ from run to run


def simulate() -> ptycho.Scan:
    return ptycho.simulate(ptycho.SimulationConfig(**SIMULATION))  # type: ignore[arg-type]


def scan() -> ptycho.Scan:
    return ptycho.open_scan(FIXTURES / "scan.npz")


def train(folder: Path) -> Any:
    return ptycho.train(scan(), ptycho.TrainConfig(**TRAINING), folder)  # type: ignore[arg-type]


def untrained() -> ptycho.Reconstruction:
    config = ptycho.ReconstructConfig(gridsize=2)
    return ptycho.reconstruct(None, scan(), untrained=UNTRAINED_STEPS, config=config)


def refine_from_scratch() -> Any:
    return ptycho.refine(scan(), config=ptycho.RefineConfig(**SCRATCH))  # type: ignore[arg-type]


def refine_from_start() -> Any:
    start = ptycho.load_reconstruction(FIXTURES / "untrained.h5")
    return ptycho.refine(scan(), start=start, config=ptycho.RefineConfig(**STARTED))  # type: ignore[arg-type]


def predict_two_groups(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Objects and coverages of two groups of four frames, by the loaded model itself."""
    frames, model = scan(), ptycho.load(run)
    groups = np.array([[0, 1, 6, 7], [14, 15, 20, 21]])
    counts = frames.frames(groups.ravel()).reshape(2, 4, frames.N, frames.N)
    places = frames.positions_px[groups]
    offsets = (places - places.mean(axis=1, keepdims=True)).astype(np.float32)
    return model.predict_objects(counts, offsets)


def timeless(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key not in TIMES} for row in history]


def numbers(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """The numbers of a nested record, under names such as `phase.ssim`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{above}{key}.")
        elif isinstance(value, (int, float, list, tuple)):
            found[above + key] = value
    return found


def difference(here: np.ndarray, pinned: np.ndarray, where: np.ndarray) -> float:
    """Largest difference of two complex images on `where`, relative to the pinned one's rms."""
    scale = np.sqrt(np.mean(np.abs(pinned[where]) ** 2))
    return float(np.max(np.abs(here - pinned)[where]) / scale)


# Commands, in this process: starting each in its own costs two seconds, and there are dozens.

PROGRAMS = ("ptycho_train", "ptycho_inference", "ptycho_evaluate")
SCRIPTS = (
    "scripts/training/train.py",
    "scripts/inference/inference.py",
    "scripts/studies/dose_response_study.py",
)
COMMANDS = (
    "simulate",
    "inspect",
    "convert",
    "train",
    "reconstruct",
    "refine",
    "evaluate",
    "study",
    "study dose",
    "parity",
    "bench",
)
WITH_SETTINGS = ("simulate", "train", "reconstruct", "refine")

HELP = (
    "ptycho",
    "ptycho --help",
    "ptycho --version",
    *(f"ptycho {command} --help" for command in COMMANDS),
    *(f"ptycho {command} --list-settings" for command in WITH_SETTINGS),
    *(f"{program} --help" for program in PROGRAMS),
    *(f"{script} --help" for script in SCRIPTS),
)
MISTAKES = (
    "ptycho no-such-command",
    "ptycho --no-such-option",
    *(f"ptycho {command} --no-such-option" for command in COMMANDS),
    *(f"{program} --no_such_option x" for program in PROGRAMS),
    *(f"{script} --no_such_option x" for script in SCRIPTS),
    *(f"{program}" for program in PROGRAMS),
    "ptycho inspect",
    "ptycho inspect absent.npz",
    "ptycho inspect rubbish.npz",
    "ptycho inspect rubbish.npz --json",
    "ptycho convert rubbish.npz -o out.npz",
    "ptycho simulate -o out.npz --set n_frames=0",
    "ptycho simulate -o out.npz --set n_frame=3",
    "ptycho train absent.npz -o out",
    "ptycho train rubbish.npz -o out",
    "ptycho train scan.npz -o run",
    "ptycho train scan.npz -o out --set epoch=3",
    "ptycho train scan.npz -o out --config rubbish.npz",
    "ptycho reconstruct absent scan.npz -o out.h5",
    "ptycho reconstruct run rubbish.npz -o out.h5",
    "ptycho refine absent.npz -o out.h5",
    "ptycho refine rubbish.npz -o out.h5",
    "ptycho refine scan.npz -o out.h5 --start rubbish.npz",
    "ptycho refine scan.npz -o out.h5 --modes many",
    "ptycho evaluate refined.h5",
    "ptycho evaluate absent.h5 --truth scan.npz",
    "ptycho evaluate rubbish.npz --truth scan.npz",
    "ptycho parity absent scan.npz -o out",
    "ptycho_train --train_data_file rubbish.npz --output_dir out",
    "ptycho_inference --model_path absent --test_data scan.npz --output_dir out",
    "ptycho_evaluate --model_dir run --test_data rubbish.npz --output_dir out",
)


def program(name: str) -> Any:
    """The function that the installed command `name` calls."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=name)
    return entry.load()


def say(line: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command line without quotes, 80 columns wide."""
    name, *words = line.split()
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        _terminal([name, *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            if name.endswith(".py"):
                runpy.run_path(str(ROOT / name), run_name="__main__")
            else:
                program(name)()
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(done.code is not None)
    return code, _plain(out.getvalue()), _plain(err.getvalue())


@contextlib.contextmanager
def _terminal(words: list[str]) -> Iterator[None]:
    wide = {"COLUMNS": "80", "LINES": "24", "TERM": "dumb"}
    before, argv = {key: os.environ.get(key) for key in wide}, sys.argv
    os.environ.update(wide)
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = argv
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _plain(text: str) -> str:
    """Without colours (a CI may force them) and without blanks at the ends of lines."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def first_words(err: str) -> str:
    """The first line of a message of ours; of typer's boxes nothing, they are typer's."""
    lines = [line for line in err.splitlines() if re.match(r"ptycho\w*: (?!ptycho )", line)]
    return lines[0] if lines else ""


def writers() -> dict[str, str]:
    """Versions of what lays out help texts: other versions lay them out otherwise."""
    found = {name: importlib.metadata.version(name) for name in ("typer", "rich", "click")}
    return {"python": "{}.{}".format(*sys.version_info), **found}


def fill_work_folder(folder: Path) -> None:
    """What the command lines of `MISTAKES` name."""
    for path in FIXTURES.rglob("*"):
        if path.is_file():
            copy = folder / path.relative_to(FIXTURES)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (folder / "rubbish.npz").write_text("this: [is no scan\n")
