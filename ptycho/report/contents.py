"""What a result holds, in words and pictures; what it does not hold, in words."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.config import ReconstructConfig, TrainConfig
from ptycho.data import load_reconstruction, write_json
from ptycho.errors import ArchiveError
from ptycho.model import file_sha256, read_record
from ptycho.refinement import RefineConfig, affine_part
from ptycho.report import pictures
from ptycho.report.pictures import Picture
from ptycho.result import Reconstruction

EVALUATION = "ptycho-evaluation"
MADE = "made.json"
"""In the folder of a training: versions, scans, and the command."""
PARTS = (
    ("object", "Object"),
    ("probe", "Probe"),
    ("positions", "Positions"),
    ("curves", "Residual and held-out counts"),
    ("resolution", "Resolution"),
    ("frames", "What was cleaned"),
)
_METHODS: dict[str, type[Any]] = {
    "refine": RefineConfig,
    "network": ReconstructConfig,
    "untrained": ReconstructConfig,
    "training": TrainConfig,
}
_KINDS = {"half-sets": "half sets", "truth": "the truth", "against": "another reconstruction"}


@dataclass(frozen=True)
class Part:
    """Pictures and sentences of one section."""

    pictures: tuple[Picture, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contents:
    """A result as a page shows it.

    Args:
        name: what it is called on the page. method: what made it.
        facts: label and value of each line at a glance.
        parts: a section for each key of `PARTS`.
        settings: as they were; `changed` are those that are not the defaults.
        versions: by package. command: to repeat it, or "". folder: where it was typed.
        note: beside the command.
    """

    name: str
    method: str
    facts: dict[str, str]
    parts: dict[str, Part]
    settings: dict[str, Any] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
    folder: str = ""
    note: str = ""


def contents_of(path: str | Path) -> Contents:
    """Read a result: a reconstruction that `load_reconstruction` reads, or a run folder.

    Evaluations that `ptycho evaluate` left beside a reconstruction are read with it.

    Raises:
        ArchiveError: there is no such result, or it is damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _run(path)
    if not path.is_file():
        raise ArchiveError(
            "there is no such result",
            where=path,
            expected="OUT.h5 of refine or reconstruct, or the folder of a training",
            got="no file",
            fix="ptycho refine SCAN -o OUT.h5",
        )
    return of_reconstruction(load_reconstruction(path), str(path), list(_evaluations(path)))


def of_reconstruction(
    rec: Reconstruction, name: str, evaluations: list[dict[str, Any]] | None = None
) -> Contents:
    """The contents of a reconstruction, finished or as it is so far."""
    meta = rec.meta
    method = str(meta.get("method", "unknown"))
    settings = _mapping(meta.get("config"))
    changed = _changed(method, settings)
    command, folder, note = str(meta.get("command") or ""), str(meta.get("folder") or ""), ""
    if not command:
        command, note = _composed(meta, method, {key: settings[key] for key in sorted(changed)})
    evaluations = evaluations or []
    return Contents(
        name,
        method,
        _facts(meta, rec, evaluations),
        {
            "object": _object(rec),
            "probe": _probe(rec),
            "positions": _positions(rec),
            "curves": _curves(meta, method),
            "resolution": _resolution(evaluations),
            "frames": _frames(meta.get("sanity")),
        },
        settings,
        changed,
        {str(key): str(value) for key, value in _mapping(meta.get("versions")).items()},
        command,
        folder,
        note,
    )


def of_training(
    name: str,
    rows: list[dict[str, Any]],
    settings: dict[str, Any],
    *,
    sanity: Mapping[str, Any] | None = None,
    made: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
) -> Contents:
    """The contents of a training, finished or as it is so far.

    Args:
        name: of the run. rows: of its history. settings: of `TrainConfig`, as JSON.
        sanity: what was found in the frames of each scan. made: versions, scans and command.
        model: what its record says of the network.
    """
    made = made or {}
    best = [row for row in rows if row.get("best")]
    last = rows[-1] if rows else {}
    facts = {
        "method": "training",
        "scans": ", ".join(map(str, made.get("scans", ()))) or "not told",
        "network": str((model or {}).get("network") or settings.get("network", "not told")),
        "epochs": _said(last.get("epoch")),
        "best epoch": _said(best[-1]["epoch"] if best else None),
        "held-out deviance before": _said(
            rows[0].get("held_out_deviance_per_px") if rows else None
        ),
        "held-out deviance, best": _said(
            best[-1].get("held_out_deviance_per_px") if best else None
        ),
        "frames a second": _said(last.get("patterns_per_s")),
        "time": f"{last['seconds']:.4g} s" if last.get("seconds") is not None else "not told",
    }
    image = "A training makes no image: ptycho reconstruct RUN SCAN -o OUT.h5."
    curve = (pictures.history_picture(rows),) if rows else ()
    words = () if rows else ("No epoch is over yet.",)
    looked: list[str] = []
    for scan, record in (sanity or {}).items():
        looked += [f"{scan}: {line}" for line in _frames(record).words]
    return Contents(
        name,
        "training",
        facts,
        {
            "object": Part(words=(image,)),
            "probe": Part(words=("The probe is among the weights of the run.",)),
            "positions": Part(words=("A training takes the positions as they are.",)),
            "curves": Part(curve, words),
            "resolution": Part(words=("Only an image has a resolution.",)),
            "frames": Part(words=tuple(looked) or ("The run tells nothing of its frames.",)),
        },
        settings,
        _changed("training", settings),
        {str(key): str(value) for key, value in _mapping(made.get("versions")).items()},
        str(made.get("command") or ""),
        str(made.get("folder") or ""),
    )


def not_yet(name: str, method: str, settings: dict[str, Any], made: Mapping[str, Any]) -> Contents:
    """The contents of work that has nothing to show yet."""
    nothing = Part(words=("Nothing yet.",))
    return Contents(
        name,
        method,
        {"method": method},
        {key: nothing for key, _ in PARTS},
        settings,
        _changed(method, settings),
        _mapping(made.get("versions")),
        str(made.get("command") or ""),
        str(made.get("folder") or ""),
    )


def write_evaluation(metrics: dict[str, Any], reconstruction: Path, target: Path) -> Path:
    """Write the numbers of an evaluation as JSON, with the name and hash of what was judged."""
    of = {"reconstruction": reconstruction.name, "sha256": file_sha256(reconstruction)}
    write_json(target, {"format": EVALUATION, **of, **metrics})
    return target


def is_evaluation(path: Path) -> bool:
    """Whether a file was written by `write_evaluation`."""
    try:
        return _json(path).get("format") == EVALUATION
    except (ArchiveError, OSError):
        return False


def _run(folder: Path) -> Contents:
    config, record = read_record(folder)
    sanity, made = (_json(folder / name) for name in ("sanity.json", MADE))
    return of_training(
        str(folder),
        list(_rows(folder / "history.csv")),
        config.model_dump(mode="json"),
        sanity=sanity,
        made=made,
        model=record.model_dump(mode="json"),
    )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The history of a training with its numbers as numbers; nothing where there is none."""
    if not path.is_file():
        return
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found = {key: float(value) if value else None for key, value in row.items()}
                yield found | {key: int(found[key] or 0) for key in ("epoch", "step", "best")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(
            "the history of the run cannot be read",
            where=path,
            expected="the columns and numbers that `ptycho train` writes",
            got=error,
            fix="copy the run again, or train it again",
        ) from error


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return _mapping(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise ArchiveError(
            "a file beside the result cannot be read",
            where=path,
            expected="JSON",
            got=error,
            fix=f"remove {path}, and make it again",
        ) from error


def _evaluations(path: Path) -> Iterator[dict[str, Any]]:
    """What `ptycho evaluate` left beside a reconstruction; `stale`: of another file."""
    digest = None
    prefix = f"{path.stem}-"
    for found in sorted(path.parent.iterdir()):
        if not (found.name.startswith(prefix) and found.suffix == ".json" and is_evaluation(found)):
            continue
        told = _json(found)
        if told.get("reconstruction") == path.name:
            digest = digest or file_sha256(path)
            yield told | {"stale": told.get("sha256") != digest, "file": found.name}


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _said(value: Any, unit: str = "") -> str:
    """A value for a person; an unknown one is said to be unknown."""
    if value is None or value == "":
        return "not told"
    if isinstance(value, float):
        return f"{value:.4g}{unit}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value)) or "none"
    return f"{value}{unit}"


def _facts(
    meta: dict[str, Any], rec: Reconstruction, evaluations: list[dict[str, Any]]
) -> dict[str, str]:
    rows, cols = rec.object.shape
    facts = {
        "method": _said(meta.get("method")),
        "scan": _said(meta.get("scan_path") or meta.get("scan")),
        "frames": _said(meta.get("n_frames", meta.get("frames"))),
        "object": f"{rows} × {cols} px",
    }
    if meta.get("method") in ("network", "untrained"):
        keys = ("run", "network", "estimate_steps", "groups")
        facts |= {key.replace("_", " "): _said(meta[key]) for key in keys if key in meta}
    else:
        facts |= {
            "residual": _said(meta.get("residual")),
            "deviance a pixel": _said(meta.get("deviance_per_pixel")),
            "held-out deviance": _said(meta.get("held_out_deviance")),
            "passes": _said(meta.get("iterations")),
            "stopped by": _said(meta.get("stopped_by")),
            "began with": _said(meta.get("started_from")),
        }
        facts |= {key: _said(meta[key]) for key in ("loss", "regularise") if key in meta}
        if rec.eigenprobes is not None:
            facts["eigenprobes"] = str(len(rec.eigenprobes))
        if "background_told" in meta:
            facts["background"] = _said(_mapping(meta["background_told"]).get("words"))
        if "prior" in meta:
            facts["image chosen"] = _said(_mapping(meta["prior"]).get("chosen"))
    facts["time"] = _said(meta.get("seconds"), " s")
    half = next((e for e in evaluations if e.get("kind") == "half-sets" and not e["stale"]), {})
    facts["resolution"] = _said(_mapping(half.get("frc")).get("resolution_px"), " px (half sets)")
    return facts


def _object(rec: Reconstruction) -> Part:
    found = pictures.object_pictures(rec)
    words = ["Where it was lit; a constant phase and a ramp mean nothing and are taken off."]
    if rec.plain is not None:
        plain = Reconstruction(rec.plain, rec.coverage, rec.origin_px)
        found += pictures.object_pictures(plain, "plain", " without the prior")
        words.append("Above with the prior, below without it.")
    for number, layer in enumerate(rec.each_layer(), start=1):
        found += pictures.object_pictures(layer, f"layer-{number}", f" of layer {number}")
    if rec.layers is not None and rec.layer_distances_m is not None:
        gaps = ", ".join(f"{gap:.3g} m" for gap in rec.layer_distances_m)
        words.append(f"First the product of {len(rec.layers)} layers, then each; apart by {gaps}.")
        if told := rec.meta.get("layers_told"):
            words.append(f"{told[0].upper()}{told[1:]}.")
    return Part(tuple(found), tuple(words))


def _probe(rec: Reconstruction) -> Part:
    if rec.probe is None:
        return Part(words=("The file holds no probe.",))
    shares = rec.meta.get("mode_shares")
    if not (isinstance(shares, list) and all(isinstance(s, int | float) for s in shares)):
        light = np.sum(np.abs(rec.probe) ** 2, axis=(1, 2))
        shares = (light / max(float(light.sum()), 1e-30)).tolist()
    words = ["Brightness is amplitude, hue is phase."]
    if len(rec.probe) > pictures.MODES:
        words.append(f"{len(rec.probe) - pictures.MODES} weaker modes are in the file.")
    found = pictures.probe_pictures(rec.probe, shares)
    if rec.eigenprobes is not None and rec.probe_weights is not None:
        told = rec.meta.get("eigenprobe_shares")
        told = [s for s in told if isinstance(s, int | float)] if isinstance(told, list) else []
        found += pictures.eigenprobe_pictures(rec.eigenprobes, told)
        numbers = _numbers(rec.meta, len(rec.probe_weights))
        found.append(pictures.weights_picture(rec.probe_weights, numbers))
        words.append(
            "The first mode varies: in each frame it is mode 1 and the eigenprobes by their "
            "weights (mean 0, mean square 1)."
        )
    return Part(tuple(found), tuple(words))


def _numbers(meta: dict[str, Any], count: int) -> np.ndarray:
    """The frames' numbers in the file, as far as the result tells them."""
    try:
        found = np.asarray(meta.get("frame_numbers"), np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    return found if found.shape == (count,) and np.isfinite(found).all() else np.arange(count)


def _positions(rec: Reconstruction) -> Part:
    now = rec.positions_px
    if now is None:
        return Part(words=("The positions were taken as given; `refine --positions` moves them.",))
    before = _given(rec.meta.get("positions_given_px"), now.shape)
    picture: tuple[Picture, ...] = (pictures.positions_picture(now, before),)
    if before is None:
        return Part(picture, ("The file does not tell where the positions were before.",))
    moved = np.hypot(*(now - before).T)
    farthest = int(np.argmax(moved))
    rms = float(np.sqrt(np.mean(moved**2)))
    numbers = _numbers(rec.meta, len(now))
    words = f"{len(moved)} positions moved by {rms:.3g} px (root mean square), at most by "
    words += f"{moved[farthest]:.3g} px (frame {numbers[farthest]:g} of the file)."
    shared = _mapping(rec.meta.get("shared_positions"))
    if shared.get("kept"):
        _, rest = affine_part(before, now - before)
        picture += tuple(pictures.shared_pictures(before, now - before - rest, rest, numbers))
    return Part(picture, (words, *_shared(shared)))


def _shared(record: dict[str, Any]) -> Iterator[str]:
    """What was found that all positions share, in numbers, and whether it was kept."""
    if not record:
        return
    gain = record.get("deviance_gain")
    percent = f"{gain:.2%}" if isinstance(gain, float) else "not told"
    scale, turn, aspect, shear = (
        _said(record.get(key)) for key in ("scale", "rotation_deg", "aspect", "shear")
    )
    yield (
        f"All positions share: scale {scale}, rotation {turn}°, aspect {aspect}, shear {shear}; "
        f"drift and backlash {_said(record.get('drift_px'), ' px')} (root mean square); "
        f"together {_said(record.get('moved_px'), ' px')}."
    )
    why = "it was kept" if record.get("kept") else "too little: it was not kept"
    after = record.get("deviance_gain_of_frames")
    if not record.get("kept") and isinstance(after, float):
        why = f"{after:.2%} once each frame moves by itself, too little: it was not kept"
    yield f"The deviance gains {percent} by it against a control without; {why}."


def _given(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    return found if found.shape == shape and np.isfinite(found).all() else None


def _curves(meta: dict[str, Any], method: str) -> Part:
    told = meta.get("history")
    history = [row for row in told if _is_pass(row)] if isinstance(told, list) else []
    if method in ("network", "untrained"):
        return Part(words=("It was made in one go, without passes.",))
    if not history:
        return Part(words=("The file tells no passes.",))
    words = []
    if all(row["held_out_deviance"] is None for row in history):
        words.append("No counts were held out pass by pass.")
    if meta.get("held_out_deviance") is not None:
        words.append(f"Held-out deviance of the result: {_said(meta['held_out_deviance'])}.")
    return Part((pictures.descent_picture(history),), tuple(words))


def _is_pass(row: Any) -> bool:
    """Whether a row of a history has the numbers that are drawn."""
    if not isinstance(row, Mapping) or not {"pass", "residual", "held_out_deviance"} <= set(row):
        return False
    numbers = (row["pass"], row["residual"], row["held_out_deviance"] or 0.0)
    return all(isinstance(value, int | float) for value in numbers)


def _resolution(evaluations: list[dict[str, Any]]) -> Part:
    found: list[Picture] = []
    words: list[str] = []
    for told in evaluations:
        kind = _KINDS.get(str(told.get("kind")), "another image")
        frc = _mapping(told.get("frc"))
        if told["stale"]:
            words.append(f"{told['file']} is of another state of this file: evaluate it again.")
        elif frc:
            title = f"Fourier ring correlation, {kind}"
            try:
                found.append(pictures.rings_picture(frc, str(told["kind"]), title))
                words.append(f"{told['file']}: {kind}, {_scores(told)}.")
                words += [f"Doubtful: {doubt}." for doubt in told.get("doubts") or []]
            except (KeyError, TypeError, ValueError):
                words.append(f"{told['file']} does not hold what evaluate writes: run it again.")
    if not any(told.get("kind") == "half-sets" for told in evaluations):
        words.append("No half sets yet: `ptycho evaluate OUT.h5 --half-sets` makes them.")
    return Part(tuple(found), tuple(words))


def _scores(told: dict[str, Any]) -> str:
    pairs = [
        f"{part} SSIM {_said(_mapping(told.get(part)).get('ssim'))}"
        for part in ("amplitude", "phase")
    ]
    frc = _mapping(told.get("frc"))
    mark = "" if frc.get("crossed") else " (never below half a bit)"
    return ", ".join([*pairs, f"resolution {_said(frc.get('resolution_px'))} px{mark}"])


def _frames(record: Any) -> Part:
    told = _mapping(record)
    findings, left_out = told.get("findings"), told.get("left_out")
    if not isinstance(findings, list) or not isinstance(left_out, list):
        return Part(words=("Nothing is told of a look at the frames.",))
    found = [str(_mapping(one).get("sentence")) for one in findings]
    looked = f"{told.get('frames')} frames looked at, {len(left_out)} left out."
    words = f"clean: {told.get('clean')}; {looked}"
    return Part(words=(words, *(found or ["Nothing was found."])))


def _changed(method: str, settings: dict[str, Any]) -> frozenset[str]:
    """Settings that are not the defaults of this version, as far as it knows them."""
    kind = _METHODS.get(method)
    defaults = {} if kind is None else kind().model_dump(mode="json")
    return frozenset(key for key, value in settings.items() if value != defaults.get(key, value))


def _composed(meta: dict[str, Any], method: str, changed: dict[str, Any]) -> tuple[str, str]:
    """A command for what was made from Python, and a word on it."""
    makers: dict[str, Callable[[], list[str]]] = {
        "refine": lambda: ["ptycho", "refine"],
        "network": lambda: ["ptycho", "reconstruct", str(meta.get("run", "RUN"))],
        "untrained": lambda: ["ptycho", "reconstruct", "--untrained", _steps(meta)],
    }
    if method not in makers:
        return "", "The file does not tell how it was made."
    words = [*makers[method](), str(meta.get("scan_path") or "SCAN"), "-o", "OUT.h5"]
    for key, value in changed.items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words), "No command was noted; this one has the same settings."


def _steps(meta: dict[str, Any]) -> str:
    steps = meta.get("estimate_steps", "K")
    return ",".join(map(str, steps)) if isinstance(steps, list) else str(steps)
