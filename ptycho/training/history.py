"""The history of a training: a CSV with one row an epoch, and a figure."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from ptycho.data import whole_file

COLUMNS = (
    "epoch",
    "step",
    "seconds",
    "learning_rate",
    "loss",
    "deviance_per_px",
    "held_out_deviance_per_px",
    "best",
    "patterns_per_s",
)
Row = dict[str, Any]


def write_history(rows: list[Row], folder: Path) -> None:
    """Write `history.csv` and `history.png` into `folder`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(folder / "history.csv") as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    if rows:
        _figure(rows, folder / "history.png")


def _figure(rows: list[Row], path: Path) -> None:
    from matplotlib.ticker import MaxNLocator

    from ptycho.report import panels

    figure = panels.new_figure(7, 4)
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in rows]
    for column, label in (
        ("deviance_per_px", "training"),
        ("held_out_deviance_per_px", "held out"),
    ):
        points = [(e, row[column]) for e, row in zip(epochs, rows, strict=True) if row[column]]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
    start = rows[0]["held_out_deviance_per_px"]
    if rows[0]["epoch"] == 0 and start:
        axes.axhline(start, color="0.5", linestyle="--", label="held out, before training")
    best = [row["epoch"] for row in rows if row["best"]]
    if best:
        axes.axvline(best[-1], color="0.8", zorder=0, label="weights kept")
    axes.set_yscale("log")
    panels.plain_log_ticks(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("half-deviance per detector pixel")
    axes.legend()
    panels.save_figure(figure, path)
