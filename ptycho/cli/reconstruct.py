"""`ptycho reconstruct RUN SCAN… -o OUT.h5`, and the same with `--untrained K` and no run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ptycho.cli import console, quiet

if TYPE_CHECKING:
    from ptycho.data.result import Reconstruction


def register(app: typer.Typer) -> None:
    """Add `reconstruct` to the program."""
    app.command("reconstruct")(reconstruct)


def reconstruct(
    inputs: list[Path] = typer.Argument(
        ..., metavar="RUN SCAN...", help="A run folder and scans; with --untrained only scans."
    ),
    output: Path = typer.Option(..., "--output", "-o", help="OUT.h5; with several scans a folder."),
    untrained: int | None = typer.Option(
        None, "--untrained", metavar="K", min=1, help="No network: K physics steps on each group."
    ),
    config: Path | None = typer.Option(None, "--config", help="YAML with settings."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="A setting; overrides the file. Repeatable."
    ),
    measurement: str | None = typer.Option(
        None, help="counts, amplitude or intensity, where the file does not say."
    ),
    figures: bool = typer.Option(True, help="Write a figure and PNG images beside the file."),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Reconstruct scans with a trained network, or with the untrained control."""
    from ptycho.config import ReconstructConfig, resolve

    config_ = resolve(ReconstructConfig, file=config, overrides=settings)
    quiet.load_tensorflow()
    from ptycho.archive import load_run
    from ptycho.data import open_scan
    from ptycho.data.result import save_reconstruction
    from ptycho.reconstruction import reconstruct as run_reconstruction

    run, scans = _split(inputs, untrained)
    model = None if run is None else load_run(run)
    rows = []
    for path, target in _targets(scans, output):
        scan = open_scan(path, measurement=measurement)  # type: ignore[arg-type]
        with console.progress(f"reconstruct {path.name}") as bar:
            rec = run_reconstruction(model, scan, progress=bar, untrained=untrained, config=config_)
        save_reconstruction(rec, target)
        rows.append(_facts(rec, target, _figures(rec, target) if figures else []))
    if json_output:
        console.print_json(rows[0] if len(rows) == 1 else {"reconstructions": rows})
        return
    for row in rows:
        console.print_table("reconstructed", [(key, str(value)) for key, value in row.items()])


def _split(inputs: list[Path], untrained: int | None) -> tuple[Path | None, list[Path]]:
    from ptycho.errors import UsageError

    if untrained is not None:
        return None, inputs
    if len(inputs) < 2:
        raise UsageError(
            "a run and a scan are needed",
            where="ptycho reconstruct",
            expected="RUN SCAN, or --untrained K SCAN",
            got=" ".join(map(str, inputs)),
            fix="ptycho train SCAN -o RUN makes a run",
        )
    return inputs[0], inputs[1:]


def _targets(scans: list[Path], output: Path) -> list[tuple[Path, Path]]:
    from ptycho.errors import UsageError

    if len(scans) == 1 and not output.is_dir():
        output.parent.mkdir(parents=True, exist_ok=True)
        return [(scans[0], output)]
    names = [scan.name.split(".")[0] + ".h5" for scan in scans]
    if len(set(names)) != len(names):
        raise UsageError(
            "two scans would be written to one file", where=output, got=", ".join(names)
        )
    output.mkdir(parents=True, exist_ok=True)
    return [(scan, output / name) for scan, name in zip(scans, names, strict=True)]


def _figures(rec: Reconstruction, target: Path) -> list[str]:
    from ptycho.reconstruction_figures import write_figures

    return [str(path) for path in write_figures(rec, target)]


def _facts(rec: Reconstruction, target: Path, pictures: list[str]) -> dict[str, Any]:
    wanted = ("method", "network", "estimate_steps", "config_hash", "frames", "groups", "seconds")
    return {
        "output": str(target),
        **{key: rec.meta[key] for key in wanted if key in rec.meta},
        "shape": list(rec.object.shape),
        "origin_px": list(rec.origin_px),
        "figures": pictures,
    }
