"""The table of image quality: run the arms that are missing, write it into the page.

The page is docs/evidence/performance.md.

    python scripts/benchmarks/quality.py --output runs/quality
    python scripts/benchmarks/quality.py --output runs/quality --arms control,refine --seeds 1
    python scripts/benchmarks/quality.py --output runs/quality --table-only

Each arm runs in a process of its own and leaves a JSON file in the output folder: stop whenever you
like (Ctrl-C) and give the same command again. The measured Siemens star is looked for in
PTYCHO_DATA_DIR. Exit codes: 0 all arms done, 1 an arm failed, 2 wrong usage, 130 stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from ptycho import quiet
from ptycho.cli import console
from ptycho.config import validated
from ptycho.errors import PtychoError
from ptycho.studies import (
    FAMILIES,
    NOT_RUN,
    QualityConfig,
    finished,
    keep_cores,
    markdown,
    quality_arms,
    run_arm,
    star_path,
    write_section,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "performance.md"


def main(words: list[str]) -> int:
    """Run what is missing; returns the exit code."""
    if words[:1] == ["--one"]:
        return _one(Path(words[1]))
    options = _parse(words)
    try:
        config = _config(options)
        folder = options.output.resolve()
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        arms = quality_arms(config)
        missing = [arm for arm in arms if finished(folder, arm, config) is None]
        reasons = {} if options.table_only else _run_all(missing, config, folder)
        every = {arm["name"]: finished(folder, arm, config) for arm in arms}
        records = {name: record for name, record in every.items() if record is not None}
        text = markdown(config, records, reasons, _machine(folder))
        (folder / "table.md").write_text(text + "\n", encoding="utf-8")
        write_section(options.page, text)
    except PtychoError as error:
        print(f"quality: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("quality: stopped; the same command goes on", file=sys.stderr)
        return 130
    print(text)
    return int(any(not reason.startswith(NOT_RUN) for reason in reasons.values()))


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="quality.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the arms")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page with the table")
    parser.add_argument("--arms", default=",".join(FAMILIES), help="comma-separated families")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photons", default="1e6,1e4", help="comma-separated doses")
    parser.add_argument("--minutes", type=float, default=4.0, help="of each training")
    parser.add_argument("--refine-seconds", type=float, default=20.0)
    parser.add_argument("--star-seconds", default="15,12", help="whole scan, each half")
    parser.add_argument("--frames", type=int, default=1024)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of every training",
    )
    parser.add_argument("--table-only", action="store_true", help="run nothing")
    return parser.parse_args(words)


def _config(options: argparse.Namespace) -> QualityConfig:
    return validated(
        QualityConfig,
        seeds=options.seeds,
        photons=tuple(part for part in options.photons.split(",")),
        families=tuple(part.strip() for part in options.arms.split(",")),
        minutes=options.minutes,
        refine_seconds=options.refine_seconds,
        star_seconds=tuple(part for part in options.star_seconds.split(",")),
        frames=options.frames,
        cores=options.cores,
        settings=tuple(options.settings),
    )


def _run_all(missing: list[Any], config: QualityConfig, folder: Path) -> dict[str, str]:
    """Run the arms one after another; returns why those that have no result have none."""
    reasons: dict[str, str] = {}
    costs = [_nominal_seconds(arm, config) for arm in missing]
    for number, arm in enumerate(missing):
        name = arm["name"]
        left = f"about {max(sum(costs[number:]) / 60, 1):.0f} min left"
        print(f"[{number + 1}/{len(missing)}] {name}, {left}", file=sys.stderr, flush=True)
        if arm["family"] == "star" and star_path() is None:
            reasons[name] = f"{NOT_RUN} (no measured frames: PTYCHO_DATA_DIR)"
        elif problem := _run_one(arm, config, folder):
            reasons[name] = f"failed ({problem})"
        if name in reasons:
            print(f"    {name} {reasons[name]}", file=sys.stderr, flush=True)
    return reasons


def _nominal_seconds(arm: Any, config: QualityConfig) -> float:
    start_up = 20.0
    if arm["family"] == "control":
        return start_up
    if arm["family"] == "refine":
        return start_up + config.refine_seconds
    if arm["family"] == "star":
        return start_up + max(config.star_seconds[0], 2 * config.star_seconds[1])
    return 2 * start_up + 60 * config.minutes


def _run_one(arm: Any, config: QualityConfig, folder: Path) -> str | None:
    """None, or why the process of this arm failed (its last line on stdout)."""
    task = folder / "runs" / f"{arm['name']}.task.json"
    content = {"arm": arm, "config": config.model_dump(mode="json"), "folder": str(folder)}
    task.write_text(json.dumps(content), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(task)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    lines = done.stdout.strip().splitlines() or ["no words"]
    return f"exit code {done.returncode}: {lines[-1]}"


def _one(task: Path) -> int:
    """One arm in this process; a mistake is one line on stdout for the process that waits."""
    content = json.loads(task.read_text(encoding="utf-8"))
    config = QualityConfig(**content["config"])
    keep_cores(config.cores)
    quiet.load_tensorflow()
    try:
        with console.progress(f"    {content['arm']['name']}") as bar:
            run_arm(content["arm"], config, Path(content["folder"]), bar)
    except PtychoError as error:
        print(" ".join(str(error).split()))
        return error.exit_code
    return 0


def _machine(folder: Path) -> dict[str, Any]:
    """The machine, noted once in the output folder."""
    path = folder / "machine.json"
    if not path.is_file():
        quiet.load_tensorflow()
        from ptycho.studies.bench import machine

        path.write_text(json.dumps(machine(), indent=2) + "\n", encoding="utf-8")
    return dict(json.loads(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
