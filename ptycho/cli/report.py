"""`ptycho report RESULT… -o page.html`."""

from __future__ import annotations

from pathlib import Path

import typer

from ptycho.cli import console


def register(app: typer.Typer) -> None:
    """Add `report` to the program."""
    app.command("report")(report)


def report(
    results: list[Path] = typer.Argument(
        ..., metavar="RESULT...", help="OUT.h5 of refine or reconstruct, or the folder of a run."
    ),
    output: Path = typer.Option(..., "--output", "-o", help="The page, PAGE.html."),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """One page of one or several results, side by side: images, curves, settings, command.

    The page needs no network, no script and no other file. What ptycho
    evaluate left beside a result (half sets, a comparison) is on it.
    """
    from ptycho.cli.outputs import check_page
    from ptycho.report import contents_of, write_page

    check_page(output, "--output", results)
    found = [contents_of(path) for path in results]
    write_page(found, output)
    facts = {
        "page": str(output),
        "bytes": output.stat().st_size,
        "results": [{"path": one.name, "method": one.method} for one in found],
    }
    if json_output:
        console.print_json(facts)
        return
    rows = [(Path(one.name).name, one.method) for one in found]
    console.print_table("reported", [*rows, ("page", str(output))])
