"""`ptycho reconstruct RUN SCAN… -o OUT.h5`, and the same with `--untrained K` and no run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ptycho import quiet
from ptycho.cli import console
from ptycho.cli.outputs import BESIDE, PRODUCT, check_output
from ptycho.cli.scan_options import Opening, scan_options


def register(app: typer.Typer) -> None:
    """Add `reconstruct` to the program."""
    app.command("reconstruct")(scan_options(reconstruct))


def reconstruct(
    context: typer.Context,
    inputs: list[Path] = typer.Argument(
        ..., metavar="RUN SCAN...", help="A run folder and scans; with --untrained only scans."
    ),
    output: Path = typer.Option(..., "--output", "-o", help="OUT.h5; with several scans a folder."),
    untrained: str | None = typer.Option(
        None,
        "--untrained",
        metavar="K",
        help="No network: K physics steps on each group, or so many at N/2 and at N: 12,2.",
    ),
    config: Path | None = typer.Option(None, "--config", help="YAML with settings."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="A setting; overrides the file. Repeatable."
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
    scheduler: str | None = console.scheduler_option("Scans"),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
    *,
    opening: Opening,
) -> None:
    """Reconstruct scans with a trained network, or with the untrained control."""
    from ptycho.config import ReconstructConfig, resolve

    config_ = resolve(ReconstructConfig, file=config, overrides=[*settings, *opening.settings()])
    steps = None if untrained is None else _steps(untrained)
    run, scans = _split(inputs, steps)
    common = {
        "run": None if run is None else str(run.resolve()),
        "untrained": steps,
        "config": config_.model_dump(mode="json"),
        "figures": figures,
        "product": product,
        **console.typed(context),
    }
    many = len(scans) > 1 or scheduler is not None
    if many:
        _check(run, scans, opening, product)
    places = _targets(scans, output)
    beside = [*(BESIDE if figures else ()), *(() if product is False else (PRODUCT,))]
    for _, target in places:
        check_output(target, scans, beside=beside)
    said = [opening.oriented(path, config_.clean).record() for path, _ in places]
    found = zip(_places(places, debug_dump), said, strict=True)
    tasks = [common | record | place for place, record in found]
    quiet.load_tensorflow()
    rows, failed = _many(tasks, scheduler) if many else ([_one(tasks[0])], {})
    for row in rows:
        for note in row.get("notes", ()):
            console.stderr.print(f"{row['output']}: {note}", markup=False, soft_wrap=True)
    if json_output:
        both = {"reconstructions": rows} | ({"failed": failed} if failed else {})
        console.print_json(rows[0] if len(tasks) == 1 and rows else both)
    else:
        for row in rows:
            console.print_facts("reconstructed", row)
    for name, why in failed.items():
        console.stderr.print(f"ptycho: {name}: {why}", markup=False, highlight=False)
    if failed:
        raise typer.Exit(1)


def _one(task: dict[str, Any]) -> dict[str, Any]:
    from ptycho.studies import reconstruct_scan

    with console.progress(f"reconstruct {task['name']}") as bar:
        return reconstruct_scan(task, bar)


def _places(
    places: list[tuple[Path, Path]], debug_dump: Path | None
) -> Iterator[dict[str, str | None]]:
    """What differs between the tasks of several scans; whole paths, for workers elsewhere."""
    for path, target in places:
        dump = debug_dump if debug_dump is None or len(places) == 1 else debug_dump / target.stem
        yield {
            "name": path.name,
            "scan": str(path.resolve()),
            "target": str(target.resolve()),
            "debug_dump": None if dump is None else str(dump.resolve()),
        }


def _check(run: Path | None, scans: list[Path], opening: Opening, product: bool | None) -> None:
    """Look at the run and open every scan before the first is worked on."""
    from ptycho.data import require_geometry
    from ptycho.model import read_record

    if run is not None:
        read_record(run)
    for path in scans:
        scan = opening.open(path)
        if product:
            require_geometry(scan)


def _many(
    tasks: list[dict[str, Any]], scheduler: str | None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """(facts of the scans that were reconstructed, why the others were not)."""
    from ptycho.studies import reconstruct_scan, run_arms

    with console.progress("reconstruct") as bar:
        outcomes = run_arms(tasks, reconstruct_scan, scheduler=scheduler, progress=bar)
    rows = [o.result for o in outcomes if o.result is not None]
    return rows, {o.arm["name"]: o.error for o in outcomes if o.error is not None}


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
            expected="K >= 1, or the steps at each resolution, coarse to fine: 12,2",
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
    from ptycho.data import scan_stem
    from ptycho.errors import UsageError

    if len(scans) == 1 and not output.is_dir():
        return [(scans[0], output)]
    names = [f"{scan_stem(scan)}.h5" for scan in scans]
    if len(set(names)) != len(names):
        raise UsageError(
            "two scans would be written to one file", where=output, got=", ".join(names)
        )
    return [(scan, output / name) for scan, name in zip(scans, names, strict=True)]
