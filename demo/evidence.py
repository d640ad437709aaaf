"""Steps and checks of the demonstration's study item; run as a script by its recipe.

python demo/evidence.py collect LIBRARY_FOLDER FOLDER
python demo/evidence.py check-library FOLDER
python demo/evidence.py check-study FOLDER
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
from pathlib import Path

LIBRARY_FILES = ("library.png", "library.json")
STUDY_TABLE, STUDY_FIGURE = "metrics.csv", "dose_comparison.png"
PNG_START = b"\x89PNG\r\n\x1a\n"


def collect(source: Path, target: Path) -> list[str]:
    """Copy the library half's figure and measures into the turn's evidence folder."""
    target.mkdir(parents=True, exist_ok=True)
    for name in LIBRARY_FILES:
        shutil.copyfile(source / name, target / name)
    return check_library(target)


def check_library(folder: Path) -> list[str]:
    """Return what is wrong with the library half's evidence; [] when it is complete."""
    problems = _png(folder / "library.png")
    try:
        results = json.loads((folder / "library.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [*problems, f"library.json: {error}"]
    for part in ("reconstruct", "refine"):
        for name in ("amplitude_ssim", "phase_ssim", "frc_resolution_px"):
            value = results.get("metrics", {}).get(part, {}).get(name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                problems.append(f"library.json: {part}.{name} is {value!r}, no finite number")
    return problems


def check_study(folder: Path) -> list[str]:
    """Return what is wrong with the study's table and figure; [] when both are complete."""
    problems = _png(folder / STUDY_FIGURE)
    try:
        rows = list(csv.DictReader((folder / STUDY_TABLE).open(encoding="utf-8", newline="")))
    except OSError as error:
        return [*problems, f"{STUDY_TABLE}: {error}"]
    arms = {(row.get("photons"), row.get("loss")) for row in rows}
    doses, losses = {dose for dose, _ in arms}, {loss for _, loss in arms}
    if len(doses) < 2 or len(losses) < 2 or len(arms) < 4:
        problems.append(f"{STUDY_TABLE}: expected two doses × two losses, got {sorted(arms)}")
    for row in rows:
        for name in ("amplitude_ssim", "phase_ssim"):
            if not _finite(row.get(name)):
                problems.append(f"{STUDY_TABLE}: {row.get('name')} has no {name}")
    return problems


def _finite(text: str | None) -> bool:
    try:
        return text is not None and math.isfinite(float(text))
    except ValueError:
        return False


def _png(path: Path) -> list[str]:
    if not path.is_file():
        return [f"{path.name} is missing"]
    start = path.read_bytes()[:8]
    return [] if start == PNG_START else [f"{path.name} is no PNG (starts with {start!r})"]


def main(words: list[str]) -> int:
    """Run one step; returns the exit code."""
    if len(words) == 3 and words[0] == "collect":
        problems = collect(Path(words[1]), Path(words[2]))
    elif len(words) == 2 and words[0] == "check-library":
        problems = check_library(Path(words[1]))
    elif len(words) == 2 and words[0] == "check-study":
        problems = check_study(Path(words[1]))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
