"""Checks of evidence that items of this repository's ledger ask for; each prints what is wrong.

python scripts/tools/check_evidence.py rerun FOLDER    a training run of 32 groups and its dump
python scripts/tools/check_evidence.py parity FOLDER   TensorFlow and PyTorch, tap by tap
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GROUPS, BATCH, GRIDSIZE = 32, 4, 2
PNG_START = b"\x89PNG\r\n\x1a\n"
DUMPED = ("canvas.json", "offsets.json", "stats.json")
TAPS = ("input", "object_patches", "canvas", "extracted_patches", "exit_wave", "amplitude", "rate")


def check_rerun(folder: Path) -> list[str]:
    """What is wrong with the scaled rerun: one epoch in steps of a batch, and its dump."""
    settings, problems = _json(folder / "config.json")
    wanted = {"gridsize": GRIDSIZE, "batch_size": BATCH, "epochs": 1}
    problems += [
        f"config.json: {key} is {settings.get(key)!r}, expected {value}"
        for key, value in wanted.items()
        if settings.get(key) != value
    ]
    problems += _history(folder / "history.csv")
    dump = folder / "dump"
    stats, more = _json(dump / "stats.json")
    problems += more
    shape = stats.get("counts", {}).get("shape", [])
    if shape[:2] != [GROUPS, GRIDSIZE**2]:
        problems.append(f"stats.json: counts are {shape}, expected {GROUPS} groups of 4 frames")
    for name, part in _parts(stats):
        if part["finite"] != math.prod(stats[name]["shape"]):
            problems.append(f"stats.json: {name} is not finite everywhere")
    offsets, more = _json(dump / "offsets.json")
    problems += more
    if offsets.get("count") != GROUPS * GRIDSIZE**2:
        problems.append(f"offsets.json: {offsets.get('count')} offsets, expected one a frame: 128")
    return problems + _inventory(dump)


def check_parity(folder: Path) -> list[str]:
    """What is wrong with a comparison of the two backends; [] when every tap agrees."""
    stats, problems = _json(folder / "stats.json")
    if sorted(stats.get("versions", {})) != ["tensorflow", "torch"]:
        problems.append(f"stats.json: backends {sorted(stats.get('versions', {}))}")
    taps = stats.get("taps", {})
    for name in (*TAPS, "loss", "canvas_gradient", "gradients"):
        tap = taps.get(name, {})
        if name not in taps:
            problems.append(f"stats.json: no tap {name}")
        elif not tap["max_relative_difference"] <= tap["tolerance"]:
            problems.append(f"stats.json: {name} differs by {tap['max_relative_difference']}")
    return problems


def _parts(stats: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The statistics of each array: of a complex one its amplitude and its phase."""
    for name, value in stats.items():
        if "shape" in value:
            yield from ((name, part) for part in (value, *value.values()) if _counted(part))


def _counted(part: Any) -> bool:
    return isinstance(part, dict) and "finite" in part


def _history(path: Path) -> list[str]:
    try:
        rows = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    except OSError as error:
        return [f"{path.name}: {error.strerror}"]
    last = rows[-1] if rows else {}
    steps, loss = last.get("step"), last.get("loss") or "nan"
    problems = []
    if steps != str(GROUPS // BATCH):
        problems.append(f"{path.name}: {steps} steps, expected {GROUPS // BATCH}")
    if not math.isfinite(float(loss)):
        problems.append(f"{path.name}: the loss is {loss}")
    return problems


def _inventory(folder: Path) -> list[str]:
    """Hold every file of a dump against `artifact_inventory.txt`."""
    try:
        text = (folder / "artifact_inventory.txt").read_text(encoding="utf-8")
    except OSError as error:
        return [f"artifact_inventory.txt: {error.strerror}"]
    listed = {name: digest for digest, name in re.findall(r"^(\w{64})  (.+)$", text, re.M)}
    problems = [f"{name} is not in the inventory" for name in DUMPED if name not in listed]
    if not any(name.endswith(".png") for name in listed):
        problems.append("the inventory has no PNG")
    for name, expected in listed.items():
        path = folder / name
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != expected:
            problems.append(f"{name}: not the bytes that the inventory names")
        elif name.endswith(".png") and not data.startswith(PNG_START):
            problems.append(f"{name} is no PNG")
    return problems


def _json(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, [f"{path.name}: {error}"]
    return value, []


CHECKS = {"rerun": check_rerun, "parity": check_parity}


def main(words: list[str]) -> int:
    """Run one check; exit code 0, 1 with problems, 2 for wrong usage."""
    if len(words) != 2 or words[0] not in CHECKS:
        print(__doc__, file=sys.stderr)
        return 2
    problems = CHECKS[words[0]](Path(words[1]))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
