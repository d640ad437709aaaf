"""The records of `ptycho.studies.quality` as Markdown, written between two marks of a page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptycho.errors import DataError
from ptycho.studies.quality import (
    TEST_PICTURES,
    TRAIN_PICTURES,
    QualityConfig,
    quality_arms,
)

BEGIN, END = "<!-- quality:begin -->", "<!-- quality:end -->"
NOT_RUN = "not run"
WORDS = {
    "cnn-thinned": "(b) `cnn`, thinned counts",
    "cnn-plain": "(b) `cnn`, same counts",
    "default-thinned": "(c) default network, thinned counts",
    "default-plain": "(c) default network, same counts",
    "refine-scratch": "(d) `refine` from scratch",
    "refine-default": "(d) `refine` from (c), thinned",
}
STAR = (
    ("star-whole", "residual, whole scan, one mode", "residual", "≤ 0.149"),
    ("star-halves-1", "half-set FRC, one mode, cycles/px", "cycles_per_px", "≥ 0.21"),
    ("star-halves-2", "half-set FRC, two modes, cycles/px", "cycles_per_px", "≥ 0.24"),
)
Records = Mapping[str, Mapping[str, Any]]


def markdown(
    config: QualityConfig,
    records: Records,
    reasons: Mapping[str, str],
    machine: Mapping[str, Any],
) -> str:
    """The section: how it was made, the table of the simulation, that of the measured star.

    Args:
        config: what was to be run; arms without a record are `not run`.
        records: by name of the arm, as `run_arm` wrote them.
        reasons: by name, why an arm has no result (`failed …` or `not run …`).
        machine: facts about the machine.
    """
    lines = [*_preamble(config, records, machine), "", *_table(config, records, reasons)]
    lines += ["", *_star(records, reasons)]
    missing = [arm["name"] for arm in quality_arms(config) if arm["name"] not in records]
    if missing:
        absent = [f"{name}: {reasons.get(name, NOT_RUN)}" for name in missing]
        lines += ["", f"Arms without a result: {'; '.join(absent)}."]
    return "\n".join(lines)


def write_section(page: Path, text: str) -> None:
    """Put `text` between the marks in `page`, which keeps everything else.

    Raises:
        DataError: one mark without the other, or in the wrong order. A page without marks gets
            a section at its end.
    """
    content = page.read_text(encoding="utf-8") if page.exists() else "# Performance\n"
    begin, end = content.find(BEGIN), content.find(END)
    if begin < 0 and end < 0:
        content = f"{content.rstrip()}\n\n## Image quality\n\n{BEGIN}\n{END}\n"
        begin, end = content.find(BEGIN), content.find(END)
    if begin < 0 or end < begin:
        raise DataError(
            "the page has one mark of the table without the other",
            where=page,
            expected=f"{BEGIN} … {END}",
        )
    page.write_text(f"{content[: begin + len(BEGIN)]}\n{text}\n{content[end:]}", encoding="utf-8")


def _preamble(config: QualityConfig, records: Records, machine: Mapping[str, Any]) -> list[str]:
    train, test = (" and ".join(pair) for pair in (TRAIN_PICTURES, TEST_PICTURES))
    loads = [record["load_before"] for record in records.values()]
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines = [
        f"`python scripts/benchmarks/quality.py`: N = {config.N}, g = {config.gridsize}, "
        f"{config.frames} frames, known probe; training object {train}, test object {test} "
        "(photographs of scikit-image, amplitude 0.5–1.0, phase 1 rad). "
        f"Trainings of {config.minutes:g} minutes, refinements of {config.refine_seconds:g} s, on "
        f"{config.cores} cores. SSIM after the gauge on the scanned area, data range of the truth, "
        "mean ± standard deviation over seeds; contrast is std(reconstruction)/std(truth); "
        "seconds are of the control, the training or the refinement, compilation included.",
    ]
    if config.settings:
        lines.append(f"Settings of the trainings: {', '.join(config.settings)}.")
    if facts:
        load = f" Load before an arm: {min(loads):g} to {max(loads):g}." if loads else ""
        lines.append(f"Machine: {facts}.{load}")
    return lines


def _table(config: QualityConfig, records: Records, reasons: Mapping[str, str]) -> list[str]:
    wanted = QualityConfig(**{**config.model_dump(), "families": QualityConfig().families})
    methods = dict.fromkeys(arm["method"] for arm in quality_arms(wanted) if "photons" in arm)
    columns = ("SSIM amplitude", "contrast", "SSIM phase", "contrast", "seconds", "seeds")
    lines = [_row("method", "photons", *columns), "|---|---|---|---|---|---|---|---|"]
    for dose in config.photons:
        for method in methods:
            arms = [
                arm
                for arm in quality_arms(wanted)
                if arm["method"] == method and arm.get("photons") == dose
            ]
            found = [records[arm["name"]] for arm in arms if arm["name"] in records]
            cells = _cells(found) if found else [_absent(arms, reasons), *[""] * 4]
            seeds = f"{len(found)} of {config.seeds}" if found else ""
            lines.append(_row(_words(method), f"{dose:.0e}".replace("e+0", "e"), *cells, seeds))
    return lines


def _absent(arms: Sequence[Mapping[str, Any]], reasons: Mapping[str, str]) -> str:
    """In one word why these arms have no result; the sentence is below the tables."""
    failed = any(reasons.get(arm["name"], NOT_RUN).startswith("failed") for arm in arms)
    return "failed" if failed else NOT_RUN


def _words(method: str) -> str:
    if method.startswith("control-K"):
        return f"(a) untrained control, K = {method.removeprefix('control-K')}"
    if method == "control-12-2":
        return (
            "(a) untrained control, 12 steps at half and 2 at full resolution (the default's input)"
        )
    return WORDS[method]


def _cells(found: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = []
    for part in ("amplitude", "phase"):
        for key in ("ssim", "std_ratio"):
            cells.append(_spread([record["metrics"][part][key] for record in found], key))
    return [*cells, f"{statistics.fmean(record['seconds'] for record in found):.1f}"]


def _spread(values: Sequence[float], key: str) -> str:
    digits = 3 if key == "ssim" else 2
    mean = f"{statistics.fmean(values):.{digits}f}"
    if key != "ssim" or len(values) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


def _star(records: Records, reasons: Mapping[str, str]) -> list[str]:
    lines = [
        "Measured Siemens star, raw file, from scratch:",
        "",
        "| | found | goal | met | seconds |",
        "|---|---|---|---|---|",
    ]
    for name, words, key, goal in STAR:
        record = records.get(name)
        if record is None:
            lines.append(_row(words, _absent([{"name": name}], reasons), goal, "", ""))
            continue
        value, limit = float(record[key]), float(goal.split()[1])
        met = value <= limit if goal.startswith("≤") else value >= limit
        seconds = record["seconds"]
        spent = " + ".join(f"{s:.1f}" for s in seconds) if isinstance(seconds, list) else seconds
        lines.append(_row(words, f"{value:.4f}", goal, "yes" if met else "no", str(spent)))
    return lines


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
