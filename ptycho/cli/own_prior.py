"""`ptycho train SCAN… -o DIR --prior auto|FILE`: the prior, tuned on objects of one's own."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptycho import quiet
from ptycho.cli import console
from ptycho.cli.outputs import check_folder
from ptycho.cli.scan_options import Opening
from ptycho.errors import ArchiveError, UsageError

SCANS, STEPS = 200, 2000


@dataclass(frozen=True)
class Asked:
    """What the command line said.

    Args:
        start: weights to go on from, `auto` or a file; None: no prior is asked for.
        scans: to simulate of the objects. steps: of the optimiser. None: `SCANS`, `STEPS`.
        resume: whether to go on with what was cut off.
    """

    start: str | None
    scans: int | None
    steps: int | None
    resume: bool


def require_alone(asked: Asked, **others: Any) -> None:
    """Settings of a network and of a prior are not mixed, so that none is dropped unseen.

    Raises:
        UsageError: names those that do not belong there.
    """
    if asked.start is None:
        own = {"--prior-scans": asked.scans, "--prior-steps": asked.steps}
        given = [name for name, value in own.items() if value is not None]
        fix = "--prior auto, or leave them out"
    else:
        given = [f"--{name}" for name, value in others.items() if value]
        fix = f"leave {', '.join(given)} out; `ptycho prior train` has all settings of a prior"
    if given:
        raise UsageError(
            "these options do not belong together",
            where=", ".join(given),
            expected="settings of a prior with --prior, those of a network without it",
            got="without --prior" if asked.start is None else "with --prior",
            fix=fix,
        )


def tune_prior(
    paths: list[Path], folder: Path, asked: Asked, opening: Opening, *, json_output: bool
) -> None:
    """Objects, scans of them, training; then tells what there is and how it is judged."""
    from ptycho.pretraining import PriorTraining, make_data, require_free, train_prior
    from ptycho.prior import load_prior

    assert asked.start is not None
    check_folder(folder, f"--output {folder}")
    require_free(folder, asked.resume)
    config = PriorTraining(steps=asked.steps or STEPS, start=asked.start)
    quiet.load_tensorflow()
    load_prior(asked.start)  # what is wrong with it is told before an hour of making data
    objects, names = [], []
    for number, path in enumerate(paths):
        each, name = _object(path, folder / "objects" / f"{number:02d}-{path.stem}.h5", opening)
        objects.append(each)
        names.append(name)
    with console.progress("simulate and solve") as bar:
        made = make_data(folder / "data", asked.scans or SCANS, objects=objects, progress=bar)
    facts = {"objects_of": sorted({name for name in names if name})}
    with console.progress("tune") as bar:
        record = train_prior(
            [folder / "data"], folder, config, resume=asked.resume, facts=facts, progress=bar
        )
    weights = folder / "prior.npz"
    told = {
        "prior": str(weights),
        "objects": [str(each) for each in objects],
        "scans_solved": made["solved"],
        "scans_not_solved": made["unsolved"],
        "loss": record["last"]["loss"],
        "loss_on_scans_kept_apart": record["last"]["unseen"],
        "the_same_before": record["unseen_before"],
        "to_be_judged_by": f"ptycho refine SCAN -o OUT.h5 --prior {weights}",
    }
    if json_output:
        console.print_json(told)
    else:
        console.print_facts("prior tuned (loss: 1 for an answer of nothing)", told)


def _object(path: Path, place: Path, opening: Opening) -> tuple[Path, str | None]:
    """The result file with the object, and the name of the scan that it is of."""
    from ptycho.data import load_reconstruction
    from ptycho.pretraining import own_object

    with contextlib.suppress(ArchiveError):
        return path, load_reconstruction(path).meta.get("scan")
    scan = opening.open(path)
    console.print_findings(scan)
    with console.progress(f"object of {path.name}") as bar:
        return own_object(scan, place, progress=bar), scan.name
