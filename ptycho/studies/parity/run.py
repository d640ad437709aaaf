"""`run_parity`: choose inputs, run each backend in its own process, compare, write it all down."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.config import Progress
from ptycho.errors import MissingPartError, ModelError, ShapeError, UsageError
from ptycho.scan import Scan
from ptycho.studies.parity.report import write_report

BACKENDS = {"tensorflow": "cpu", "torch": "torch", "jax": "jax"}
"""Backends by name, with the extra of this package that installs each."""
WORKER = ("-m", "ptycho.studies.parity.worker")
TIME_LIMIT_S = 1800.0
INPUTS = "inputs.npz"
WRITTEN = (
    "stats.json",
    "offsets.json",
    "canvas.json",
    INPUTS,
    "patches_*.png",
    "difference_*.png",
    "artifact_inventory.txt",
    *(f"{name}/{file}" for name in BACKENDS for file in ("taps.npz", "worker.json", "worker.log")),
)
"""Everything that a parity run writes, as patterns below its folder."""


def run_parity(
    run: str | Path,
    scan: Scan,
    folder: str | Path,
    backends: Sequence[str] = ("tensorflow", "torch"),
    *,
    groups: int = 4,
    workers: Mapping[str, Sequence[str]] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Take the same groups of frames through the same weights on each backend, and compare.

    Args:
        run: a run folder (its archive holds the weights).
        scan: frames of the size that the run was trained with.
        folder: where everything is written; made if missing.
        backends: names in `BACKENDS`, at least two; the first is the reference.
        groups: how many groups of frames, evenly over the scan.
        workers: arguments of the Python process of a backend, instead of `WORKER`.
        progress: called as `(backends done, backends, info)`.

    Returns:
        The content of `stats.json`; `first_divergent` is None where all taps agree.

    Raises:
        UsageError: an unknown backend, one named twice, or fewer than two.
        MissingPartError: a backend that is not installed.
        ModelError: a backend's process failed.
    """
    names = checked(backends)
    # Facts keep the path as it was typed: a report is read on other machines too.
    inputs, facts = _inputs(Path(run), scan, groups)
    run, folder = Path(run).resolve(), Path(folder).resolve()
    _clean(folder)
    np.savez_compressed(folder / INPUTS, **inputs)
    reports = {}
    for number, name in enumerate(names):
        if progress:
            progress(number, len(names), {"backend": name})
        reports[name] = _in_process(name, (workers or {}).get(name, WORKER), run, folder)
    if progress:
        progress(len(names), len(names), {})
    return write_report(folder, facts, reports)


def checked(backends: Sequence[str]) -> tuple[str, ...]:
    """The names, when each is known, given once, and installed; see `run_parity`."""
    names = tuple(name.strip() for name in backends)
    known = ", ".join(BACKENDS)
    for name in names:
        if name not in BACKENDS:
            raise UsageError(
                "unknown backend",
                where="--backends",
                expected=f"some of {known}",
                got=repr(name),
                fix="--backends tensorflow,torch",
            )
    if len(set(names)) < max(len(names), 2):
        raise UsageError(
            "parity compares at least two different backends",
            where="--backends",
            expected=f"two or three of {known}",
            got=",".join(names),
            fix="--backends tensorflow,torch",
        )
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise MissingPartError(
                f"the backend {name} is not installed",
                where="--backends",
                got=",".join(names),
                fix=f"{sys.executable} -m pip install 'ptycho[{BACKENDS[name]}]'",
            )
    return names


def _clean(folder: Path) -> None:
    """Remove what an earlier parity run left, so that the inventory tells of this one only.

    Raises:
        UsageError: a file, or a folder that holds anything else; nothing was removed then.
    """
    if folder.is_file():
        raise UsageError("the output is a file", where=folder, expected="a folder", got="file")
    folder.mkdir(parents=True, exist_ok=True)
    ours = {path for pattern in WRITTEN for path in folder.glob(pattern) if path.is_file()}
    for path in folder.rglob("*"):
        if path in ours or (path.is_dir() and not path.is_symlink()):
            continue
        raise UsageError(
            "the output folder holds something that no parity run wrote",
            where=path,
            expected="a new folder, an empty one, or one of an earlier parity run",
            fix="ptycho parity … -o NEW_FOLDER",
        )
    for path in ours:
        path.unlink()


def _inputs(run: Path, scan: Scan, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Groups chosen evenly over the scan, and what identifies them."""
    from ptycho.frames import make_groups
    from ptycho.model import MODEL, WEIGHTS, file_sha256, read_record

    config, record = read_record(run)
    if record.N != scan.N:
        raise ShapeError(
            "the frames do not have the size that the run was trained with",
            where=scan.name,
            expected=f"{record.N} px",
            got=f"{scan.N} px",
        )
    groups = make_groups(
        scan.positions_px,
        record.gridsize,
        neighbours=config.neighbours,
        max_distance_px=config.max_distance_px,
        rng=np.random.default_rng(0),
    )
    chosen = np.unique(np.linspace(0, len(groups) - 1, count).round().astype(int))
    members = groups.indices[chosen]
    counts = np.asarray(scan.frames(members.ravel()), np.float32)
    arrays = {
        "counts": counts.reshape(*members.shape, scan.N, scan.N),
        "offsets_px": groups.offsets_px[chosen].astype(np.float32),
        "indices": members,
    }
    hashes = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    return arrays, {
        "run": str(run),
        "scan": scan.name,
        "network": record.network,
        "loss": record.loss,
        "patch_size": record.N,
        "groups": len(chosen),
        "frames": int(members.size),
        "inputs_sha256": hashes
        | {"weights": file_sha256(run / WEIGHTS), "model": file_sha256(run / MODEL)},
    }


def _in_process(name: str, worker: Sequence[str], run: Path, folder: Path) -> dict[str, Any]:
    out = folder / name
    out.mkdir(parents=True, exist_ok=True)
    # TF32 would cut the products of a GPU to ten bits, on some backends only.
    chosen = {"KERAS_BACKEND": name, "NVIDIA_TF32_OVERRIDE": "0"}
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **chosen}
    log, begun = out / "worker.log", time.perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        try:
            code: int | str = subprocess.run(
                [sys.executable, *worker, str(run), str(folder / INPUTS), str(out)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                timeout=TIME_LIMIT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"still running after {TIME_LIMIT_S:.0f} s"
    if code != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ModelError(
            f"the process of the backend {name} failed",
            where=log,
            expected="exit code 0",
            got=f"{code}: {lines[-1] if lines else 'no words'}",
            fix=f"read {log}",
        )
    facts = json.loads((out / "worker.json").read_text(encoding="utf-8"))
    if facts["backend"] != name:
        raise ModelError(
            "the process ran another backend than it was told",
            where=out / "worker.json",
            expected=name,
            got=facts["backend"],
        )
    return facts | {"process_seconds": round(time.perf_counter() - begun, 3)}
