"""What a dose study leaves behind: `metrics.csv`, two figures and one HTML page.

Everything is drawn from `study.json` and the arms' `arrays.npz`, so that a page can be made
again without training anything.
"""

from __future__ import annotations

import base64
import csv
import html
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Row = dict[str, Any]

COLUMNS = (
    ("arm", "name"),
    ("photons asked", "photons"),
    ("photons measured", "photons_measured"),
    ("loss", "loss"),
    ("seed", "seed"),
    ("amplitude SSIM", "amplitude_ssim"),
    ("amplitude PSNR dB", "amplitude_psnr_db"),
    ("phase SSIM", "phase_ssim"),
    ("phase PSNR dB", "phase_psnr_db"),
    ("FRC cycles/px", "frc_cycles_per_px"),
    ("std ratio", "amplitude_std_ratio"),
    ("seconds", "seconds"),
)


def write_csv(rows: list[Row], path: Path) -> None:
    """One line an arm; the columns are the keys of `study.json`'s arms, units in their names."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([key for _, key in COLUMNS])
        writer.writerows([[row[key] for _, key in COLUMNS] for row in rows])


def comparison_figure(rows: list[Row], folder: Path, path: Path) -> None:
    """Six panels: for each dose the log diffraction, then the amplitude from each loss."""
    doses = sorted({row["photons"] for row in rows}, reverse=True)
    figure = Figure(figsize=(10, 3.6 * len(doses)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(doses), 3, squeeze=False)
    for line, dose in zip(axes, doses, strict=True):
        of_dose = {row["loss"]: row for row in rows if row["photons"] == dose}
        first = next(iter(of_dose.values()))
        frame = np.load(folder / first["name"] / "arrays.npz")["frame"]
        line[0].imshow(np.log10(1 + frame), cmap="viridis")
        line[0].set_title(f"one frame, log10(1 + counts), {dose:.0e} photons", fontsize=9)
        line[0].set_xlabel(f"measured {first['photons_measured']:.3g} photons/frame", fontsize=9)
        for axis, loss in zip(line[1:], ("mae", "poisson"), strict=True):
            _amplitude_panel(axis, of_dose.get(loss), loss, dose, folder)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
    figure.suptitle("The same object, probe and positions: dose against loss", fontsize=11)
    figure.savefig(path, dpi=110)


def _amplitude_panel(axis: Any, row: Row | None, loss: str, dose: float, folder: Path) -> None:
    axis.set_title(
        f"amplitude, {'MAE' if loss == 'mae' else 'Poisson'} loss, {dose:.0e}", fontsize=9
    )
    if row is None:
        axis.text(
            0.5, 0.5, "arm failed or not run", ha="center", va="center", transform=axis.transAxes
        )
        return
    arrays = np.load(folder / row["name"] / "arrays.npz")
    low, high = np.percentile(arrays["truth_amplitude"], [0.5, 99.5])
    axis.imshow(arrays["amplitude"], cmap="gray", vmin=low, vmax=high)
    axis.set_xlabel(
        f"SSIM amp {row['amplitude_ssim']:.3f}, phase {row['phase_ssim']:.3f};"
        f" PSNR amp {row['amplitude_psnr_db']:.1f} dB",
        fontsize=9,
    )


def ladder_figure(rows: list[Row], path: Path) -> None:
    """Amplitude and phase SSIM over the dose; mean of the seeds, bars one standard deviation."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    by_dose: dict[float, list[Row]] = defaultdict(list)
    for row in rows:
        by_dose[row["photons"]].append(row)
    doses = sorted(by_dose)
    for key, label in (("amplitude_ssim", "amplitude"), ("phase_ssim", "phase")):
        values = [[row[key] for row in by_dose[dose]] for dose in doses]
        axis.errorbar(
            doses,
            [np.mean(v) for v in values],
            yerr=[np.std(v) for v in values],
            marker="o",
            capsize=3,
            label=label,
        )
    axis.set_xscale("log")
    axis.set_xlabel("photons per frame")
    axis.set_ylabel("SSIM against the truth")
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)
    axis.legend()
    seeds = sorted({row["seed"] for row in rows})
    axis.set_title(f"Poisson loss, {len(seeds)} seeds, mean ± standard deviation", fontsize=10)
    figure.savefig(path, dpi=110)


def write_page(study: dict[str, Any], folder: Path, path: Path) -> None:
    """One self-contained page: the figures, the table, the configuration, what failed."""
    cells = "".join(f"<th>{html.escape(title)}</th>" for title, _ in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[key])}</td>" for _, key in COLUMNS) + "</tr>"
        for row in study["arms"]
    )
    failed = "".join(
        f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in study["failed"].items()
    )
    figures = "".join(
        f'<p><img alt="{name}" src="data:image/png;base64,'
        f'{base64.b64encode((folder / name).read_bytes()).decode()}"></p>'
        for name in ("dose_comparison.png", "dose_ladder.png")
        if (folder / name).exists()
    )
    settings = "".join(
        f"<li>{html.escape(key)}: {html.escape(str(value))}</li>"
        for key, value in study["config"].items()
    )
    path.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'><title>Dose study</title>"
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;"
        "padding:0 1em;color:#222;background:#fff}img{max-width:100%}"
        ".wide{overflow-x:auto}table{border-collapse:collapse}"
        "td,th{padding:.2em .6em;text-align:right;border-bottom:1px solid #ddd}</style>"
        f"<h1>Dose study</h1>{figures}<h2>Arms</h2><div class=wide><table><tr>{cells}</tr>"
        f"{body}</table></div>"
        + (f"<h2>Failed</h2><ul>{failed}</ul>" if failed else "")
        + f"<h2>Configuration</h2><ul>{settings}</ul></html>\n"
    )


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else html.escape(str(value))
