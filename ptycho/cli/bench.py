"""`ptycho bench`: how fast this machine runs the physics and the networks, as ratios."""

from __future__ import annotations

from typing import Any

import typer

from ptycho import quiet
from ptycho.cli import console
from ptycho.errors import UsageError

PARTS = ("all", "physics", "refine", "networks")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(bench)


def bench(
    only: str = typer.Option("all", help="all, physics, refine or networks."),
    repeats: int = typer.Option(3, min=1, help="Fresh processes for each network."),
    rounds: int = typer.Option(15, min=3, help="Timed rounds of each function or step."),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Measure physics and refinement beside their Fourier transforms, the network beside `cnn`.

    Functions are timed in alternation, networks in fresh processes that alternate, so that the
    ratios hold on a busy machine too; the times beside them do not. Of
    refine: passes a second (mini-batches: refine, whole scan: whole), and
    a pass over its transforms, two a frame.
    """
    if only not in PARTS:
        raise UsageError("unknown part", where="--only", expected=", ".join(PARTS), got=only)
    found: dict[str, Any] = {}
    if only in ("all", "networks"):
        found |= _networks(repeats, rounds)
    quiet.load_tensorflow()
    from ptycho.studies.bench import machine, measure_physics, measure_refine

    for part, measure in (("physics", measure_physics), ("refine", measure_refine)):
        if only in ("all", part):
            with console.progress(part) as bar:
                found |= measure(rounds=rounds, progress=bar)
    found["machine"] = machine()
    if json_output:
        console.print_json(found)
    else:
        console.print_table("ptycho bench", _rows(found))


def _networks(repeats: int, rounds: int) -> dict[str, Any]:
    from ptycho.studies.bench import compare_networks, import_seconds

    with console.progress("networks") as bar:
        found = compare_networks(repeats=repeats, steps=rounds, progress=bar)
    default = found["networks"]["default"]
    for key in ("train_patterns_per_s", "predict_patterns_per_s"):
        found[key] = {name: each[key] for name, each in found["networks"].items()}
    return found | {
        "first_step_s": default["first_step_s"],
        "peak_rss_mib": default["peak_rss_mib"],
        "import_s": {name: import_seconds(name) for name in ("ptycho", "orchestration")},
    }


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for key, value in found.items():
        if isinstance(value, dict) and key != "networks":
            words = (f"{name} {_word(each)}" for name, each in value.items())
            rows.append((key, ", ".join(words)))
        elif key != "networks":
            rows.append((key, _word(value)))
    return rows


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
