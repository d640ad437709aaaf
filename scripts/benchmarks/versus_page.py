"""The page of the comparison with pty-chi, written from its rows."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

GOALS = {
    "deviance": 0.55,
    "cross": 0.39,
    "thinned": 0.62,
    "reach": 1 / 15,
    "time": 1 / 5,
}
NAMED = {"deviance": "star-frames-2-found-tv", "thinned": "star-counts-2-found-plain"}
HOW = (
    "`make baselines`, then `.venv/bin/python scripts/benchmarks/versus_ptychi.py "
    "docs/evidence/versus-ptychi.md --rows 'star-frames-*'` writes this page; rows that are in the "
    "`.jsonl` beside it are not repeated (`--again` repeats them). pty-chi 2.2.0 on a CPU build of "
    "torch 2.13.0; ptypy is installed by `make baselines` where its source archive can be had (it "
    "is on no registry) and is not compared here."
)
TERMS = (
    "**Terms.** A row is scan–halves–modes–positions–regularisation. Both programs get the same "
    "frames, probe and seeded modes, a start with its own random phase for each half, and the "
    "second half on a grid moved by part of a pixel. `refine`: 60 passes, `background: rings`. "
    "LSQML: 100 epochs; it has no background, so the rings that `refine` found are subtracted from "
    "its counts (cut at 0) and fitted again where it is judged (`bare`: neither has one while it "
    "runs). `tv`: `regularise: auto` against LSQML's Chambolle step, whose weight `--tune` chose "
    "with its batch and noise model; `tv-ours`: LSQML has none. The star is measured; A is "
    "astronaut and coffee at 1e5, R rocket and moon at 1e6 photons a frame, 256 frames of 64², two "
    "modes (.8, .2), even background, positions wrong by .5 px an axis (r.m.s.)."
)
JUDGED = (
    "**Judged** by a NumPy model that neither engine uses: Poisson half-deviance a pixel of "
    "the other half's frames, each program with its own sub-pixel kernel (ours cubic, LSQML "
    "Fourier), rings fitted on its own half, the light of each frame on that frame, "
    "positions of the other half as its own reconstruction found them (means removed). "
    "Agreement is the ring correlation of two images in .2–.3 and .3–.4 cycles/px; *cross*: "
    "ours with LSQML's other half. TV inflates the agreement of the halves (*own*). The two "
    "columns in the middle judge LSQML when it had used as many passes, and as many "
    "processor seconds, as `refine` (each fourth frame, first half). Processor seconds are "
    "of one half on one core, one program after the other, compilation included, imports "
    "not. One seed a row unless the table shows more."
)

PLAIN = "star-frames-2-found-plain"
MARGIN = 0.01
"""Of deviance and of agreement: nearer than this (deviance: in share) nobody wins."""


def winner(ours: float, lsqml: float, *, small: bool) -> str:
    """`ours`, `LSQML` or `–` where they are within the margin."""
    if not (np.isfinite(ours) and np.isfinite(lsqml)):
        return "LSQML" if np.isfinite(lsqml) else "ours" if np.isfinite(ours) else "–"
    apart = (lsqml - ours) / abs(lsqml) if small else ours - lsqml
    return "–" if abs(apart) < MARGIN else "ours" if apart > 0 else "LSQML"


def at_equal_time(row: dict[str, Any]) -> float | None:
    """LSQML's deviance (sparse frames, first half) when `refine` was finished; None: no image."""
    until = row["spent"]["ours"][0]["cpu_s"][-1]
    seconds, levels = row["spent"]["lsqml"][0]["cpu_s"], row["curve"]["lsqml"]
    past = [level for time, level in zip(seconds, levels, strict=True) if time <= until]
    return past[-1] if past else None


def at_equal_passes(row: dict[str, Any]) -> float | None:
    """LSQML's deviance after the most passes that are no more than `refine` had."""
    until = row["spent"]["ours"][0]["passes"][-1]
    passes, levels = row["spent"]["lsqml"][0]["passes"], row["curve"]["lsqml"]
    past = [level for number, level in zip(passes, levels, strict=True) if number <= until]
    return past[-1] if past else None


def seconds(row: dict[str, Any], side: str) -> float:
    """Processor seconds a half."""
    return float(np.mean([half["cpu_s"][-1] for half in row["spent"][side]]))


def _pair(ours: Any, lsqml: Any, digits: int = 3) -> str:
    return " / ".join("–" if each is None else f"{each:.{digits}f}" for each in (ours, lsqml))


def line(row: dict[str, Any]) -> str:
    """One line of the table."""
    level = {side: float(np.mean(row["deviance"][side])) for side in ("ours", "lsqml")}
    own = {side: row["own"][side] for side in ("ours", "lsqml")}
    fine = "0.2-0.3"
    truth = row["truth"]
    cells = [
        row["row"],
        _pair(level["ours"], level["lsqml"]),
        _pair(row["curve"]["ours"][-1], at_equal_passes(row)),
        _pair(row["curve"]["ours"][-1], at_equal_time(row)),
        _pair(own["ours"][fine], own["lsqml"][fine]),
        _pair(own["ours"]["0.3-0.4"], own["lsqml"]["0.3-0.4"]),
        f"{row['cross'][fine]:.3f}",
        _pair(truth["ours"]["phase"], truth["lsqml"]["phase"]) if truth else "–",
        _pair(seconds(row, "ours"), seconds(row, "lsqml"), 0),
        reached(row),
        winner(level["ours"], level["lsqml"], small=True),
        winner(own["ours"][fine], own["lsqml"][fine], small=False),
        f"{row['seconds']:.0f}",
        row["commit"],
    ]
    return "| " + " | ".join(cells) + " |"


def reached(row: dict[str, Any]) -> str:
    """Seconds of `refine` to LSQML's last deviance, and their share of LSQML's seconds."""
    mine, theirs = row["reach_s"]
    return "never" if mine is None else f"{mine:.0f} of {theirs:.0f} s: 1/{theirs / mine:.1f}"


def goals(results: list[dict[str, Any]]) -> list[str]:
    """The goals that these rows measure, met or not, or not run."""
    by_name = {row["row"]: row for row in results if row["seed"] == 0}
    out = ["| goal | measured | met |", "|---|---|---|"]

    def tell(goal: str, measured: str, met: bool | None) -> None:
        word = "not run" if met is None else "yes" if met else "**no**"
        out.append(f"| {goal} | {measured} | {word} |")

    row = by_name.get(NAMED["deviance"])
    words = (
        "star, even/odd frames, two modes + positions, TV: deviance on the other half ≤ .55",
        "the same: agreement in .2–.3 with LSQML's other half ≥ .39",
        "the same: not worse than LSQML given the same background, modes and TV",
        "the same: in ≤ 1/5 of its processor seconds",
        "the same: time to LSQML's 100-epoch deviance ≤ 1/15 of LSQML's",
    )
    if row is None:
        for each in words:
            tell(each, "–", None)
    else:
        level, theirs = (float(np.mean(row["deviance"][side])) for side in ("ours", "lsqml"))
        tell(words[0], f"{level:.3f}", level <= GOALS["deviance"])
        pair = by_name.get(f"{NAMED['deviance']}-ours")
        if pair is None:
            tell(words[1], "–", None)
        else:
            across = pair["cross"]["0.2-0.3"]
            told = f"{across:.3f} (`refine` with TV, LSQML without)"
            told += f"; with TV in both {row['cross']['0.2-0.3']:.3f}"
            if (plain := by_name.get(PLAIN)) is not None:
                told += f", in neither {plain['cross']['0.2-0.3']:.3f}"
            tell(words[1], told, across >= GOALS["cross"])
        tell(words[2], f"{level:.3f} against {theirs:.3f}", level <= theirs)
        share = seconds(row, "ours") / seconds(row, "lsqml")
        tell(words[3], f"{share:.2f}", share <= GOALS["time"])
        mine, whole = row["reach_s"]
        met = mine is not None and mine / whole <= GOALS["reach"]
        tell(words[4], reached(row), met)
    row, alone = by_name.get(NAMED["thinned"]), by_name.get("thinned")
    word = "star, thinned halves, two modes + positions, no TV: agreement in .2–.3 ≥ .62"
    if row is not None:
        told = row["own"]["ours"]["0.2-0.3"]
        words = f"{told:.3f} (LSQML {row['own']['lsqml']['0.2-0.3']:.3f})"
        tell(word, words, told >= GOALS["thinned"])
    elif alone is not None:
        tell(word, f"{alone['value']:.3f} ({alone['words']})", alone["value"] >= GOALS["thinned"])
    else:
        tell(word, "–", None)
    for name, word, met in (
        (
            "low-dose",
            "star, 2 % of the photons: phase SSIM against the full-dose image ≥ .78",
            0.78,
        ),
        ("pass-over-ffts", "a pass over its FFTs, N = 128, one mode ≤ 2.5", 2.5),
    ):
        row = by_name.get(name)
        if row is None:
            tell(word, "–", None)
        else:
            value = row["value"]
            tell(word, f"{value:.3g} ({row['words']})", value >= met if met < 1 else value <= met)
    return out


def written(results: list[dict[str, Any]], names: list[str]) -> str:
    """The document.

    Args:
        results: rows of the `.jsonl`. names: of all rows that there are, in order.
    """
    pairs = [row for row in results if "deviance" in row]
    pairs.sort(
        key=lambda row: (names.index(row["row"]) if row["row"] in names else 99, row["seed"])
    )
    lines = [
        "# `refine` against pty-chi's LSQML",
        "",
        *(each for words in (HOW, TERMS, JUDGED) for each in [*textwrap.wrap(words, 96), ""]),
        "All pairs are ours / LSQML.",
        "",
        "| row | deviance on the other half | at equal passes | at equal seconds | own .2–.3 | "
        "own .3–.4 | cross .2–.3 | phase SSIM to truth | CPU s a half | to LSQML's last deviance | "
        "deviance won by | own .2–.3 won by | wall s | commit |",
        "|" + "---|" * 14,
        *(line(row) for row in pairs),
        "",
        "## Who wins where",
        "",
        *verdict(pairs),
        "",
        "## Goals",
        "",
        *goals(results),
    ]
    lines += tried(results)
    absent = [name for name in names if name not in {row["row"] for row in pairs}]
    if absent:
        lines += ["", "## Not run yet", "", ", ".join(f"`{name}`" for name in absent) + "."]
    return "\n".join(lines) + "\n"


def tried(results: list[dict[str, Any]]) -> list[str]:
    """What `--tune` tried."""
    out = []
    for row in (row for row in results if "tried" in row):
        out += ["", f"## LSQML's settings: `{row['row']}`", ""]
        out += [*textwrap.wrap(row["note"], 96), ""] if "note" in row else []
        out += ["| settings | epochs | deviance on the other half | CPU s |", "|---|---|---|---|"]
        for each in row["tried"]:
            words = ", ".join(f"{key} {value}" for key, value in each["settings"].items())
            levels = ", ".join(f"{level:.4f}" for level in each["deviance"])
            epochs = ", ".join(map(str, each["epochs"]))
            out.append(
                f"| {words or 'the defaults here'} | {epochs} | {levels} | {each['cpu_s']} |"
            )
    return out


def verdict(pairs: list[dict[str, Any]]) -> list[str]:
    """A sentence a scan: how many rows each program wins, and by how much."""
    out = []
    for scan in dict.fromkeys(row["scan"] for row in pairs):
        mine = [row for row in pairs if row["scan"] == scan]
        levels = [
            [float(np.mean(row["deviance"][side])) for side in ("ours", "lsqml")] for row in mine
        ]
        won = [winner(*pair, small=True) for pair in levels]
        fine = [
            winner(*(row["own"][side]["0.2-0.3"] for side in ("ours", "lsqml")), small=False)
            for row in mine
        ]
        ratio = np.median([seconds(row, "ours") / seconds(row, "lsqml") for row in mine])
        out.append(
            f"- **{scan}**, {len(mine)} rows: deviance won {won.count('ours')} times by `refine`, "
            f"{won.count('LSQML')} by LSQML; agreement of the halves in .2–.3 "
            f"{fine.count('ours')} and {fine.count('LSQML')}; `refine` takes {ratio:.2f} of "
            f"LSQML's processor seconds (median; 60 passes against 100)."
        )
    return out or ["No row has been run."]
