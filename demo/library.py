"""The library half: simulate, train, reconstruct, refine and evaluate, each as a real command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from demo.harness import DemoError, program

WIDTH = 80
NOISE = re.compile(r"^([IWEF]\d{4} \d|[IWEF]0000 |\d{4}-\d\d-\d\d .*tensorflow/|WARNING: All log)")
"""Lines of TensorFlow's own log; everything else a command says is shown."""


@dataclass(frozen=True)
class Settings:
    """How large the demonstration is; the defaults fit into the time of `make demo`."""

    n_frames: int = 484
    photons: float = 1e5
    amplitude: str = "camera"
    phase: str = "astronaut"
    epochs: int = 30
    train_s: float = 25.0
    refine_passes: int = 60


@dataclass
class LibraryHalf:
    """What the five commands said, how long each took, and the measures of both results."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def step(self, name: str, *words: str) -> dict[str, Any]:
        """Run `ptycho …`, show its progress, keep its JSON and its seconds."""
        self.commands.append("ptycho " + " ".join(words))
        print(f"$ ptycho {' '.join(_short(word, self.folder) for word in words)}", flush=True)
        begun = time.monotonic()
        self.said[name] = run_ptycho([*words, "--json"])
        self.seconds[name] = round(time.monotonic() - begun, 1)
        return self.said[name]


def run(folder: Path, settings: Settings | None = None) -> LibraryHalf:
    """Run all steps into a fresh `folder`; writes library.json and library.png there."""
    chosen = settings or Settings()
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    half = LibraryHalf(folder)
    scan, trained = str(folder / "scan.npz"), str(folder / "run")
    first, refined = str(folder / "reconstructed.h5"), str(folder / "refined.h5")
    half.step(
        "simulate",
        "simulate",
        "-o",
        scan,
        "--set",
        f"n_frames={chosen.n_frames}",
        "--set",
        f"photons={chosen.photons:g}",
        "--set",
        f"amplitude={chosen.amplitude}",
        "--set",
        f"phase={chosen.phase}",
    )
    half.step(
        "train",
        "train",
        scan,
        "-o",
        trained,
        "--set",
        f"epochs={chosen.epochs}",
        "--set",
        f"time_budget_s={chosen.train_s:g}",
    )
    half.step("reconstruct", "reconstruct", trained, scan, "-o", first)
    half.step(
        "refine",
        "refine",
        scan,
        "--start",
        first,
        "-o",
        refined,
        "--passes",
        str(chosen.refine_passes),
    )
    for name, path in (("reconstruct", first), ("refine", refined)):
        half.metrics[name] = chosen_metrics(
            half.step(f"evaluate {name}", "evaluate", path, "--truth", scan)
        )
    draw(Path(scan), Path(refined), folder / "library.png")
    _write_json(half, chosen)
    print(table(half), flush=True)
    return half


def chosen_metrics(said: dict[str, Any]) -> dict[str, float]:
    """Return the measures that the demonstration shows, from what `ptycho evaluate` said."""
    return {
        "amplitude_ssim": said["amplitude"]["ssim"],
        "phase_ssim": said["phase"]["ssim"],
        "amplitude_psnr_db": said["amplitude"]["psnr_db"],
        "phase_psnr_db": said["phase"]["psnr_db"],
        "frc_cycles_per_px": said["frc"]["cycles_per_px"],
        "frc_resolution_px": said["frc"]["resolution_px"],
    }


def table(half: LibraryHalf) -> str:
    """The result in at most 80 columns: seconds of every step, measures where there are some."""
    head = (
        f"{'step':12} {'seconds':>8} {'amp SSIM':>9} {'ph SSIM':>8}"
        f" {'amp PSNR':>9} {'ph PSNR':>8} {'FRC':>8}"
    )
    units = f"{'':12} {'s':>8} {'':>9} {'':>8} {'dB':>9} {'dB':>8} {'px':>8}"
    lines = ["", head, units, "-" * len(head)]
    evaluated = 0.0
    for name, seconds in half.seconds.items():
        if name.startswith("evaluate"):
            evaluated += seconds
            continue
        row = f"{name:12} {seconds:8.1f}"
        measures = half.metrics.get(name)
        if measures:
            row += (
                f" {measures['amplitude_ssim']:9.3f} {measures['phase_ssim']:8.3f}"
                f" {measures['amplitude_psnr_db']:9.1f} {measures['phase_psnr_db']:8.1f}"
                f" {measures['frc_resolution_px']:8.2f}"
            )
        lines.append(row)
    lines.append(f"{'evaluate':12} {evaluated:8.1f}   (both results, against the simulated truth)")
    lines.append(f"figure: {half.folder / 'library.png'}")
    return "\n".join(lines)


def draw(scan_path: Path, reconstruction_path: Path, target: Path) -> None:
    """One figure: a measured frame, amplitude and phase, the truth, and the error."""
    from ptycho.data import load_reconstruction, open_scan
    from ptycho.evaluation import evaluate_images
    from ptycho.report import reconstruction_figure, save_figure

    scan, rec = open_scan(scan_path), load_reconstruction(reconstruction_path)
    comparison = evaluate_images(rec, scan)
    title = "Simulated scan: trained, reconstructed and refined, beside the truth"
    save_figure(reconstruction_figure(rec, scan, comparison, title=title), target, dpi=80)


def run_ptycho(words: list[str]) -> dict[str, Any]:
    """Run one command of the library, relay its progress, return its JSON object.

    Raises DemoError with what the command said when it fails or answers no JSON.
    """
    env = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        [*program("ptycho"), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        said: list[str] = []
        relay = threading.Thread(target=_relay, args=(child.stderr, said), daemon=True)
        beat = threading.Thread(target=_heartbeat, args=(child, said), daemon=True)
        relay.start()
        beat.start()
        answer = child.stdout.read()
        relay.join()
        child.wait()
        beat.join()
    if child.returncode:
        text = "".join(said[-12:]) or answer
        raise DemoError(f"ptycho {words[0]} ended with exit code {child.returncode}:\n{text}")
    try:
        content = json.loads(answer)
    except ValueError as error:
        raise DemoError(f"ptycho {words[0]} --json answered no JSON: {error}") from error
    return dict(content)


def _relay(source: IO[str], said: list[str]) -> None:
    for line in source:
        said.append(line)
        if not NOISE.match(line):
            print("    " + line.rstrip()[: WIDTH - 4], flush=True)


def _heartbeat(child: subprocess.Popen[str], said: list[str], every_s: float = 10.0) -> None:
    """Say that a silent command is alive (a compilation says nothing for a while)."""
    begun, seen = time.monotonic(), -1
    while True:
        try:
            child.wait(every_s)
            return
        except subprocess.TimeoutExpired:
            if len(said) == seen:
                print(f"    ... {time.monotonic() - begun:.0f} s", flush=True)
            seen = len(said)


def _short(word: str, folder: Path) -> str:
    return word.replace(str(folder) + os.sep, "")


def _write_json(half: LibraryHalf, settings: Settings) -> None:
    content = {
        "settings": vars(settings),
        "metrics": half.metrics,
        "seconds": half.seconds,
        "training": half.said["train"],
        "commands": [_short(command, half.folder) for command in half.commands],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (half.folder / "library.json").write_text(text, encoding="utf-8")
