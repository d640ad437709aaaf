"""What a dose study leaves behind: `metrics.csv`, two figures and one HTML page.

Everything is drawn from `study.json` and the arms' `arrays.npz`, so that a page can be made
again without training anything.
"""

from __future__ import annotations

import base64
import csv
import html
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.report import panels
from ptycho.studies.dose_arm import ARRAYS

Row = dict[str, Any]

COLUMNS = (
    ("arm", "name", "{}"),
    ("photons measured", "photons_measured", "{:,.0f}"),
    ("SSIM amplitude", "amplitude_ssim", "{:.3f}"),
    ("untrained", "untrained_amplitude_ssim", "{:.3f}"),
    ("SSIM phase", "phase_ssim", "{:.3f}"),
    ("untrained", "untrained_phase_ssim", "{:.3f}"),
    ("PSNR amplitude (dB)", "amplitude_psnr_db", "{:.1f}"),
    ("PSNR phase (dB)", "phase_psnr_db", "{:.1f}"),
    ("FRC (cycles/px)", "frc_cycles_per_px", "{:.2f}"),
    ("seconds", "seconds", "{:.0f}"),
)
LOSS_NAMES = {"mae": "MAE", "poisson": "Poisson"}


def write_csv(rows: list[Row], path: Path) -> None:
    """One line an arm; the columns are the keys of `study.json`'s arms, units in their names."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def comparison_figure(rows: list[Row], folder: Path, path: Path) -> None:
    """Six panels: for each dose the log diffraction, then the amplitude from each loss."""
    doses = sorted({row["photons"] for row in rows}, reverse=True)
    figure = panels.new_figure(11.5, 4.0 * len(doses) + 0.4)
    grid = figure.subplots(len(doses), 3, squeeze=False)
    for line, dose in zip(grid, doses, strict=True):
        of_dose = {row["loss"]: row for row in rows if row["photons"] == dose}
        first = next(iter(of_dose.values()))
        panels.show_frame(
            line[0], _arrays(folder, first)["frame"], f"log diffraction, {_power(dose)}"
        )
        line[0].set_xlabel(
            f"measured {first['photons_measured']:,.0f} photons a frame\n(mean of the test scan)",
            fontsize=9,
        )
        for axis, loss in zip(line[1:], LOSS_NAMES, strict=True):
            _amplitude_panel(axis, of_dose.get(loss), f"{LOSS_NAMES[loss]} loss", dose, folder)
    figure.suptitle("One object, probe and trajectory: dose (rows) and loss (columns)", fontsize=12)
    panels.save_figure(figure, path)


def _amplitude_panel(axis: Any, row: Row | None, loss: str, dose: float, folder: Path) -> None:
    title = f"amplitude, {loss}, {_power(dose)}"
    if row is None:
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.text(
            0.5, 0.5, "arm failed or not run", ha="center", va="center", transform=axis.transAxes
        )
        return
    arrays = _arrays(folder, row)
    region = arrays["region"]
    limits = panels.limits(arrays["truth_amplitude"][region])
    panels.show(axis, panels.masked(arrays["amplitude"], region), title, clim=limits)
    axis.set_xlabel(
        f"{row['photons_measured']:,.0f} photons a frame; against the truth:\n"
        f"SSIM {row['amplitude_ssim']:.3f} (phase {row['phase_ssim']:.3f}), "
        f"PSNR {row['amplitude_psnr_db']:.1f} dB, FRC {row['frc_cycles_per_px']:.2f}/px",
        fontsize=9,
    )


def _arrays(folder: Path, row: Row) -> dict[str, np.ndarray]:
    with np.load(folder / row["name"] / ARRAYS, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _power(dose: float) -> str:
    """1e9 → 10⁹ photons, 2e4 → 2e4 photons."""
    exponent = round(math.log10(dose))
    if math.isclose(dose, 10.0**exponent):
        return f"$10^{{{exponent}}}$ photons"
    return f"{dose:g} photons"


def ladder_figure(rows: list[Row], path: Path) -> None:
    """SSIM and resolution over the dose: mean of the seeds, bars one standard deviation."""
    figure = panels.new_figure(10.5, 4.2)
    left, right = figure.subplots(1, 2)
    for key, label, colour in (
        ("amplitude_ssim", "amplitude", "tab:blue"),
        ("phase_ssim", "phase", "tab:orange"),
    ):
        _errorbars(left, rows, key, label, colour)
    _errorbars(right, rows, "frc_cycles_per_px", "network", "tab:green")
    left.set_ylabel("SSIM against the truth")
    left.set_ylim(0, 1)
    right.set_ylabel("half-bit resolution (cycles/px)")
    right.set_ylim(0, 0.52)
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xlabel("photons per frame")
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right", fontsize=9)
    seeds = len({row["seed"] for row in rows})
    plural = "seed" if seeds == 1 else "seeds, mean ± standard deviation"
    figure.suptitle(f"Dose ladder: Poisson loss, {seeds} {plural}", fontsize=11)
    panels.save_figure(figure, path)


def _errorbars(axis: Any, rows: list[Row], key: str, label: str, colour: str) -> None:
    """One quantity of the network (line) and of the untrained control on the same frames."""
    by_dose: dict[float, list[Row]] = defaultdict(list)
    for row in rows:
        by_dose[row["photons"]].append(row)
    doses = sorted(by_dose)
    for prefix, name, style in (("", label, "-"), ("untrained_", f"{label}, untrained", "--")):
        values = [[row[prefix + key] for row in by_dose[dose]] for dose in doses]
        axis.errorbar(
            doses,
            [np.mean(v) for v in values],
            yerr=[np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values],
            marker="o" if not prefix else "s",
            markersize=4,
            linestyle=style,
            color=colour,
            alpha=0.55 if prefix else 1.0,
            elinewidth=1.5,
            capsize=4,
            label="untrained" if name == "network, untrained" else name,
        )


def write_page(study: dict[str, Any], folder: Path, path: Path) -> None:
    """One self-contained page: the figures, the table, the configuration, what failed."""
    cells = "".join(f"<th>{html.escape(title)}</th>" for title, _, _ in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[key], form)}</td>" for _, key, form in COLUMNS) + "</tr>"
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
    path.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'><title>Dose study</title>"
        f"<style>{_STYLE}</style><h1>Dose study</h1><p>{_summary(study)}</p>"
        + (f"<h2>Failed arms</h2><ul class=failed>{failed}</ul>" if failed else "")
        + f"{figures}<h2>Arms</h2><div class=wide><table><tr>{cells}</tr>{body}</table></div>"
        "<p>SSIM and PSNR against the truth, in its gauge, where the scan saw the object; "
        "untrained: the network's input as it is, on the same frames. All columns: "
        "<a href=metrics.csv>metrics.csv</a>.</p>"
        f"<h2>Configuration</h2><table>{_facts(study)}</table></html>\n",
        encoding="utf-8",
    )


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;"
    "color:#222;background:#fff}img{max-width:100%}.wide{overflow-x:auto}"
    "table{border-collapse:collapse}td{white-space:nowrap}"
    "td,th{padding:.2em .6em;text-align:right;border-bottom:1px solid #ddd;vertical-align:bottom}"
    "td:first-child,th:first-child{text-align:left}.failed{color:#a00}"
)


def _summary(study: dict[str, Any]) -> str:
    config = study["config"]
    arms, failed = len(study["arms"]), len(study["failed"])
    done = f"{arms} of {arms + failed} arms finished" if failed else f"{arms} arms"
    return html.escape(
        f"{done}: {config['n_train']} training and {config['n_test']} test frames of "
        f"{config['N']}² pixels, groups of {config['gridsize'] ** 2}, {config['nepochs']} epochs. "
        "Object, probe and positions are the same in every arm; photons, loss and seed differ."
    )


def _facts(study: dict[str, Any]) -> str:
    facts = study["config"] | {"ladder": study["ladder_photons"]} | study["versions"]
    return "".join(
        f"<tr><td>{html.escape(key)}</td><td>{html.escape(_words(value))}</td></tr>"
        for key, value in facts.items()
    )


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_words(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(value: Any, form: str) -> str:
    return "–" if value is None else html.escape(form.format(value))
