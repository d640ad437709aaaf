"""`ptycho reconstruct RUN SCAN… -o OUT.h5`, and the same with `--untrained K` and no run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ptycho.cli import console, quiet

if TYPE_CHECKING:
    from ptycho.data.result import Reconstruction
    from ptycho.scan import Scan


def register(app: typer.Typer) -> None:
    """Add `reconstruct` to the program."""
    app.command("reconstruct")(reconstruct)


def reconstruct(
    inputs: list[Path] = typer.Argument(
        ..., metavar="RUN SCAN...", help="A run folder and scans; with --untrained only scans."
    ),
    output: Path = typer.Option(..., "--output", "-o", help="OUT.h5; with several scans a folder."),
    untrained: str | None = typer.Option(
        None,
        "--untrained",
        metavar="K",
        help="No network: K physics steps on each group, or as many at N/4, N/2 and N: 24,0,2.",
    ),
    config: Path | None = typer.Option(None, "--config", help="YAML with settings."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="A setting; overrides the file. Repeatable."
    ),
    measurement: str | None = typer.Option(
        None, help="counts, amplitude or intensity, where the file does not say."
    ),
    figures: bool = typer.Option(
        True, help="Write a figure, and amplitude and phase as PNG and TIFF, beside the file."
    ),
    product: bool | None = typer.Option(
        None, help="Write a ptychodus product too; default: where the scan has a geometry."
    ),
    debug_dump: Path | None = typer.Option(
        None, "--debug-dump", metavar="DIR", help="Write intermediate values into this folder."
    ),
    list_settings: bool = console.settings_option("ptycho.config:ReconstructConfig"),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Reconstruct scans with a trained network, or with the untrained control."""
    from ptycho.config import ReconstructConfig, resolve

    config_ = resolve(ReconstructConfig, file=config, overrides=settings)
    steps = None if untrained is None else _steps(untrained)
    run, scans = _split(inputs, steps)
    from ptycho.data import open_scan
    from ptycho.data.product import require_geometry

    loaded = [
        open_scan(path, measurement=measurement)  # type: ignore[arg-type]
        for path in scans
    ]
    for path, scan in zip(scans, loaded, strict=True):
        if product:
            require_geometry(scan, where=path)
    quiet.load_tensorflow()
    from ptycho.archive import load_run
    from ptycho.data.result import save_reconstruction
    from ptycho.reconstruction import reconstruct as run_reconstruction

    model = None if run is None else load_run(run)
    rows = []
    for scan, (path, target) in zip(loaded, _targets(scans, output), strict=True):
        with console.progress(f"reconstruct {path.name}") as bar:
            rec = run_reconstruction(model, scan, progress=bar, untrained=steps, config=config_)
        save_reconstruction(rec, target)
        facts = _facts(rec, target) | {"figures": _pictures(rec, target, scan) if figures else []}
        if product or (product is None and scan.geometry is not None):
            facts["product"] = _product(rec, scan, target)
        if debug_dump is not None:
            from ptycho.reconstruction_debug import dump_reconstruction

            place = debug_dump if len(scans) == 1 else debug_dump / target.stem
            dump_reconstruction(model, scan, rec, place, untrained=steps, config=config_)
            facts["debug_dump"] = str(place)
        rows.append(facts)
    if json_output:
        console.print_json(rows[0] if len(rows) == 1 else {"reconstructions": rows})
        return
    for row in rows:
        console.print_table("reconstructed", [(key, str(value)) for key, value in row.items()])


def _steps(text: str) -> int | tuple[int, ...]:
    """What `--untrained` says: K, or the steps at each resolution, coarse to fine."""
    from ptycho.errors import UsageError

    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 0 or numbers[-1] < 1:
        raise UsageError(
            "these are no numbers of physics steps",
            where="--untrained",
            expected="K >= 1, or the steps at each resolution, coarse to fine: 24,0,2",
            got=text,
            fix="--untrained 5",
        )
    return numbers[0] if len(numbers) == 1 else numbers


def _split(
    inputs: list[Path], untrained: int | tuple[int, ...] | None
) -> tuple[Path | None, list[Path]]:
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


def _pictures(rec: Reconstruction, target: Path, scan: Scan) -> list[str]:
    from ptycho.report.reconstruction_files import write_pictures

    return [str(path) for path in write_pictures(rec, target, scan)]


def _product(rec: Reconstruction, scan: Scan, target: Path) -> str:
    from ptycho.data.product import save_product

    return str(save_product(rec, scan, target.with_name(f"{target.stem}_product.h5")))


def _facts(rec: Reconstruction, target: Path) -> dict[str, Any]:
    wanted = ("method", "network", "estimate_steps", "config_hash", "frames", "groups", "seconds")
    return {
        "output": str(target),
        **{key: rec.meta[key] for key in wanted if key in rec.meta},
        "shape": list(rec.object.shape),
        "origin_px": list(rec.origin_px),
    }
