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
        from ptycho.report import history_figure, save_figure

        save_figure(history_figure(rows), folder / "history.png")
