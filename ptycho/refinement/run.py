"""Gradient refinement: object, probe modes and positions against all counts of a scan.

The same physics as the network's loss, used as an iterative engine: from scratch it is the quality
reference on measured data, after a network the final polish. What is compiled and why it converges:
`ptycho.refinement.step`; when it stops: `ptycho.refinement.schedule`.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho import cluster
from ptycho.config import Progress, Watch
from ptycho.errors import ModelError, ShapeError
from ptycho.frames import Finding, clean_scan, require_canvas
from ptycho.provenance import versions
from ptycho.quiet import load_tensorflow
from ptycho.refinement import choice, coarse
from ptycho.refinement import start as setup
from ptycho.refinement.checkpoint import Checkpoints, Stage, identity_of, require_resume
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.guess import find_probe
from ptycho.refinement.misfit import nothing_explained, unexplained
from ptycho.refinement.optics import optics_of, separation, with_layers
from ptycho.refinement.outcome import RefineResult
from ptycho.refinement.placing import Placed, find_places, read_placed, write_placed
from ptycho.refinement.progress import last_held_out, named, watched
from ptycho.refinement.schedule import Schedule, light_pass
from ptycho.refinement.takeover import Taken, take_over
from ptycho.result import Reconstruction
from ptycho.scan import Scan, forward_model

if TYPE_CHECKING:
    from ptycho.prior import Prior
    from ptycho.refinement.engine import Engine
    from ptycho.refinement.told import Snapshot
    from ptycho.refinement.whole import Descent

SHARED = ("shared", "all")
WHOLE_SHARE = 0.6
FEWEST_TO_CHOOSE = 36
"""Whole-scan passes: the six trials take at least four each, after a sixth of them all; with half
of that the search ends after two."""
NOT_TOLD = "scatter or shrinkage: not told apart, for too few counts are held out"


def refine(
    scan: Scan,
    *,
    start: Reconstruction | None = None,
    config: RefineConfig | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    scheduler: str | None = None,
) -> RefineResult:
    """Recover object and probe from `scan`, from scratch or from `start`.

    Args:
        scan: measured or simulated frames; masked pixels leave the fields unconstrained.
        start: a reconstruction in the scan frame to begin with; None: an empty object. Its
            corrected positions, probe modes and light of the frames are kept
            (`ptycho.refinement.takeover`).
        config: `RefineConfig`; None: its defaults. Where it says `auto`, short trials are judged
            by held-out counts first, and the best goes on; their time counts.
        progress: called after each pass with (done, total, info).
        checkpoint: a folder that holds the state every `config.checkpoint_s` seconds; whoever has
            the result removes it. None: nothing is kept.
        resume: go on from what is there, if anything is; the result is that of a run that was not
            cut off.
        watch: called after each pass with a function that makes the `Reconstruction` so far; the
            result does not depend on it.
        scheduler: of Dask, as `ptycho.cluster.client` takes it: its workers sum the slopes of the
            tiles of a large scan (`ptycho.refinement.spread`), and the result is that of this
            process but for rounding. A scan of a file must lie there under the same path.

    Raises:
        UsageError: there is a checkpoint, and `resume` was not said; no scheduler answers, or the
            scan is one tile.
        ClusterError: the workers or the scheduler do not do what they were given.
        ConfigError: it is one of other frames or settings. ArchiveError: it cannot be read.
        ShapeError: odd frames, or a probe that does not fit them.
        ModelError: the fields became infinite.
        DataError: something is to be chosen (`auto`), but no counts can be held out.
    """
    config = config or RefineConfig()
    scan = with_layers(clean_scan(scan, config.clean), config)
    require_canvas(scan.positions_px, scan.N, scan.name)
    if scheduler is None:
        return _refined(scan, start, config, progress, checkpoint, resume, watch, None)
    setup.require_tiles(scan, config)
    with cluster.client(scheduler) as client:
        return _refined(scan, start, config, progress, checkpoint, resume, watch, client)


def _refined(
    scan: Scan,
    start: Reconstruction | None,
    config: RefineConfig,
    progress: Progress | None,
    checkpoint: Path | None,
    resume: bool,
    watch: Watch | None,
    client: Any,
) -> RefineResult:
    """`refine` in this process, or with the tiles on the workers of a client."""
    began = time.monotonic()
    if scan.probe is None and config.update_probe and (start is None or start.probe is None):
        known, guesses = find_probe(scan, config, named(progress, "guess of the probe"))
        rest = {} if config.seconds is None else {"seconds": _left(config.seconds, began)}
        setting = config.model_copy(update=rest)
        result = _refined(known, start, setting, progress, checkpoint, resume, watch, client)
        seconds = time.monotonic() - began
        rec = result.reconstruction.with_meta(probe_guesses=guesses, seconds=seconds)
        return replace(result, reconstruction=rec, seconds=seconds)
    if config.positions in SHARED and (start is None or start.positions_px is None):
        require_resume(checkpoint, resume)
        placed = _placed(scan, start, config, progress, checkpoint)
        own = "frames" if config.positions == "all" else "off"
        given = scan.positions_px.tolist()
        rest = {} if config.seconds is None else {"seconds": _left(config.seconds, began)}
        there = replace(scan, positions_px=placed.positions_px)
        setting = config.model_copy(update={**rest, "positions": own})
        seen = watch and (lambda made: watch(lambda: _with_given(made(), given)))
        result = _refined(there, start, setting, progress, checkpoint, True, seen, client)
        rec = _with_given(result.reconstruction, given).with_meta(shared_positions=placed.record)
        seconds = time.monotonic() - began
        rec = rec.with_meta(config=config.model_dump(), seconds=seconds)
        if rec.positions_px is None:
            rec = replace(rec, positions_px=placed.positions_px)
        return replace(result, reconstruction=rec, seconds=seconds)
    keep = Checkpoints()
    if checkpoint is not None:
        identity = identity_of(scan, start, config)
        keep = Checkpoints(Path(checkpoint), config.checkpoint_s, identity, resume)
    if not config.coarse_passes:
        return _chosen(scan, start, config, progress, keep, watch, client)
    telling, stage = named(progress, "half the resolution"), keep.stage("coarse")
    begin = coarse.begun(
        scan,
        start,
        config,
        keep,
        lambda half, setting: _refine(half, None, setting, telling, stage, None, None),
    )
    left = None if config.seconds is None else _left(config.seconds, began)
    setting = config.model_copy(update={"seconds": left, "coarse_passes": 0})
    result = _chosen(scan, begin, setting, progress, keep, watch, client)
    rec, seconds = result.reconstruction, time.monotonic() - began
    said = {**rec.meta["config"], "coarse_passes": config.coarse_passes}
    rec = rec.with_meta(config=said, started_from="half the resolution", seconds=seconds)
    return replace(result, reconstruction=rec, seconds=seconds)


def _chosen(
    scan: Scan,
    start: Reconstruction | None,
    config: RefineConfig,
    progress: Progress | None,
    keep: Checkpoints,
    watch: Watch | None,
    client: Any,
) -> RefineResult:
    """One refinement, after trials of what is `auto`."""
    if not choice.wanted(config):
        return _refine(scan, start, config, progress, keep.stage("run"), watch, client)
    numbers = itertools.count()

    def trial(setting: RefineConfig, first: Reconstruction | None) -> RefineResult:
        name = f"trial-{next(numbers)}"
        found = keep.finished(name)
        if found is None:
            words = f"modes {setting.modes}, damping {setting.damping}"
            words += f", eigenprobes {setting.opr}" if config.opr == "auto" else ""
            telling = named(progress, words)
            found = _refine(scan, first, setting, telling, keep.stage(name), watch, client)
            keep.finish(name, found)
        return found

    chosen = choice.choose(trial, config, start)
    last = keep.stage("run")
    result = _refine(scan, chosen.start, chosen.config, progress, last, watch, client)
    seconds, passes = result.seconds + chosen.seconds, result.iterations + chosen.iterations
    rec = result.reconstruction.with_meta(
        started_from="scratch" if start is None else start.meta.get("method", "reconstruction"),
        trials=chosen.trials,
        seconds=seconds,
        iterations=passes,
    )
    return replace(result, reconstruction=rec, seconds=seconds, iterations=passes)


def _placed(
    scan: Scan,
    start: Reconstruction | None,
    config: RefineConfig,
    progress: Progress | None,
    checkpoint: Path | None,
) -> Placed:
    """What the positions share; of a run that was cut off as it was found then."""
    if checkpoint is None:
        return find_places(scan, config, progress)
    identity = identity_of(scan, start, config)
    placed = read_placed(Path(checkpoint), identity)
    if placed is None:
        placed = find_places(scan, config, progress)
        write_placed(Path(checkpoint), placed, identity)
    return placed


def _left(seconds: float, began: float) -> float:
    return max(seconds - (time.monotonic() - began), 0.1)


def _with_given(rec: Reconstruction, positions: list[list[float]]) -> Reconstruction:
    """The positions as they were before all that moved them: what frames share, and their own."""
    return rec.with_meta(positions_given_px=positions)


def _so_far(
    engine: Engine, scan: Scan, config: RefineConfig, taken: Taken, history: list[dict[str, Any]]
) -> Reconstruction:
    """The fields as they are after the last pass, with the passes until now."""
    last = history[-1]
    return _result(engine, scan, config, taken, []).with_meta(
        residual=last["residual"],
        held_out_deviance=last["held_out_deviance"],
        seconds=last["seconds"],
        iterations=len(history),
        history=list(history),
    )


def _part(progress: Progress | None, share: float) -> Progress | None:
    """The progress of a first part, which takes this share of the whole."""
    if progress is None:
        return None
    return lambda done, total, info: progress(round(done * share), total, info)


def _refine(
    scan: Scan,
    start: Reconstruction | None,
    config: RefineConfig,
    progress: Progress | None,
    stage: Stage,
    watch: Watch | None,
    client: Any,
) -> RefineResult:
    """One refinement with one setting."""
    from ptycho.refinement.gate import wanted_prior, with_prior

    began = time.monotonic()
    prior = wanted_prior(config)
    saved = stage.at("batches") or stage.at("trials") or stage.at("descent")
    began -= saved.facts["seconds"] if saved else 0.0
    taken = take_over(scan, start)
    why = _why_none_is_chosen(config)
    if why:
        config = config.model_copy(update={"regularise": "off"})
    engine = prepare(scan, taken, config, client=client)
    if engine.spread is not None and progress is not None:
        progress(0, 1000, engine.spread.facts())
    blind = config.regularise == "auto" and not len(engine.frames.held)
    first, passes = _shares(engine, config)
    history: list[dict[str, Any]] = saved.facts["history"] if saved else []
    reason, least, chosen = saved.facts["reason"] if saved else "budget", math.inf, None
    progress = watched(progress, watch, lambda: _so_far(engine, scan, config, taken, history))
    if saved is not None:
        engine.resume(saved.tree("engine", engine.saved()))
    if first is not None and (saved is None or saved.phase == "batches"):
        part = _part(progress, first.passes / config.passes)
        schedule, best = _loop(engine, first, began, history, part, stage)
        reason, least = schedule.reason, schedule.best
        engine.restore(best)
    if passes:
        told = {"history": history, "reason": reason}
        chosen = _descend(engine, config, passes, began, told, progress, stage, prior)
    score = engine.score()
    odd = [
        *unexplained(scan, score.of_frames),
        *nothing_explained(*engine.sample(), of=scan.n_frames),
    ]
    rec = _result(engine, scan, config, taken, odd)
    if prior is not None:
        untried = why or _why_none_is_tried(engine, config)
        rec, score = with_prior(engine, chosen, prior, rec, score, untried)
    seconds = time.monotonic() - began
    kept = least if math.isfinite(least) else None
    held_out = kept if chosen is None else chosen.held_out_deviance
    rec = rec.with_meta(
        stopped_by=reason,
        started_from="scratch" if start is None else start.meta.get("method", "reconstruction"),
        residual=score.residual,
        deviance_per_pixel=score.deviance_per_pixel,
        held_out_deviance=held_out,
        seconds=seconds,
        iterations=len(history),
        history=history,
    )
    if engine.frames.streams:
        rec = rec.with_meta(frames_read=engine.frames.streams)
    if engine.spread is not None:
        rec = rec.with_meta(spread=engine.spread.facts())
    if blind:
        rec = rec.with_meta(regularise="off: no counts can be held out")
    if why:
        rec = rec.with_meta(regularise=f"off: {why}")
    if config.background == "rings":
        seen = chosen.background if chosen is not None else engine.background_told()
        rec = rec.with_meta(background_told=seen or {"verdict": "open", "words": NOT_TOLD})
    if chosen is not None:
        rec = rec.with_meta(
            loss=chosen.loss,
            regularise=chosen.weight,
            whole_trials=chosen.trials,
            reported_deviance=chosen.reported_deviance,
        )
    else:
        rec = rec.with_meta(**_of_no_use(config))
    return RefineResult(
        rec, score.residual, score.deviance_per_pixel, seconds, len(history), history
    )


def _why_none_is_chosen(config: RefineConfig) -> str:
    """Why `auto` leaves total variation out, or ""."""
    if config.regularise != "auto":
        return ""
    if config.seconds is not None:
        # A pass takes as long as the machine has it: within 15 s on two cores the trials left the
        # measured star no time for the image itself (residual 0.24 against 0.15 without them).
        return "a budget of seconds is for mini-batches; one of passes (--passes) chooses"
    fewest = math.ceil(FEWEST_TO_CHOOSE / (_whole_share(config) or 1.0))
    if config.passes < fewest:
        return f"{config.passes} passes are too few to choose, {fewest} would do"
    return ""


def _why_none_is_tried(engine: Engine, config: RefineConfig) -> str:
    """Which of what trials on held-out counts need is missing, if they were left out."""
    if not len(engine.frames.held):
        return "no counts can be held out (they are not whole, or held_out_fraction is 0)"
    if config.regularise == "off":
        return "regularise=off leaves the whole-scan passes out (auto has them)"
    if "auto" not in (config.regularise, config.loss):
        return "loss and regularise are both given (one of them auto would do)"
    return f"{config.passes} passes are too few to choose"


def _of_no_use(config: RefineConfig) -> dict[str, str]:
    """What is said of settings of whole-scan passes where there were none."""
    asked = {"regularise": config.regularise, "loss": config.loss}
    end = "is not used: there was no whole-scan pass"
    return {key: f"{value} {end}" for key, value in asked.items() if value not in ("auto", "off")}


def _whole_share(config: RefineConfig) -> float:
    """The share of the budget for whole-scan passes."""
    if config.whole_share is not None:
        return config.whole_share
    return WHOLE_SHARE if config.update_probe or config.positions != "off" else 1.0


def _shares(engine: Engine, config: RefineConfig) -> tuple[RefineConfig | None, int]:
    """The settings of the mini-batches (None: there are none), and whole-scan passes."""
    if config.regularise == "off" or (config.regularise == "auto" and not len(engine.frames.held)):
        return config, 0
    share = _whole_share(config)
    passes = round(config.passes * share)
    if passes >= config.passes:
        return None, config.passes
    rest: dict[str, Any] = {"passes": config.passes - passes}
    if config.seconds is not None:
        rest["seconds"] = config.seconds * (1 - share)
    return config.model_copy(update=rest), passes


def _descend(
    engine: Engine,
    config: RefineConfig,
    passes: int,
    began: float,
    told: dict[str, Any],
    progress: Progress | None,
    stage: Stage,
    prior: Prior | None,
) -> Descent:
    from ptycho.refinement.whole import Work, descend

    history = told["history"]

    def clock() -> float:
        return 0.0 if config.seconds is None else (time.monotonic() - began) / config.seconds

    def tell(residual: float, held_out: float | None, facts: dict[str, Any]) -> None:
        seconds = time.monotonic() - began
        row = {"pass": len(history) + 1, "seconds": seconds, "residual": residual, "step": 1.0}
        history.append({**row, "held_out_deviance": held_out})
        if progress:
            done = max(clock(), min(len(history) / config.passes, 1.0))
            info = {"pass": len(history), "residual": residual, **last_held_out(history)}
            progress(round(1000 * min(done, 1)), 1000, {**info, **facts})

    def write(phase: str, facts: dict[str, Any], **trees: Any) -> None:
        seconds = time.monotonic() - began
        facts = {**facts, **told, "seconds": seconds}
        stage.write(phase, facts, engine=engine.saved(), **trees)

    return descend(engine, config, passes, Work(clock, tell, write, stage.at, prior))


def prepare(
    scan: Scan,
    taken: Taken,
    config: RefineConfig,
    *,
    least_px: int = 0,
    multiple_px: int = 1,
    client: Any = None,
) -> Engine:
    """The engine at the start of a refinement.

    Args:
        least_px, multiple_px: see `Canvas.around`. client: whose workers take the tiles, or None.
    """
    if scan.N % 2:
        raise ShapeError(
            "refinement needs frames of even side",
            where=scan.name,
            expected="an even N",
            got=scan.N,
            fix="crop or bin the frames; `ptycho convert --help`",
        )
    load_tensorflow()
    from ptycho.refinement.engine import Engine
    from ptycho.refinement.spread import Spread

    modes = None if config.modes == "auto" else config.modes
    positions = taken.positions_px
    home = setup.home_of(scan, positions, config.position_limit_px)
    canvas, tiled = setup.cut(scan, positions, home, config, least_px, multiple_px)
    rng = np.random.default_rng(config.seed)
    frames = setup.Frames(scan, config, rng, taken.light, canvas.held_bytes)
    start, optics = taken.start, optics_of(scan)
    image = setup.start_object(canvas, start)
    if optics.gaps:
        image = setup.start_layers(canvas, start, len(optics.gaps) + 1)
    engine = Engine(
        frames,
        canvas,
        (image, setup.start_probe(scan, start, modes)),
        (positions, home),
        config,
        setup.batch_size(scan.n_frames, config.batch_size, len(tiled.tiles)),
        setup.background_of(scan, config),
        optics,
        tiled,
    )
    if client is not None:
        engine.spread = Spread(client, frames, tiled)
    engine.match_intensity()
    return engine


def _loop(
    engine: Engine,
    config: RefineConfig,
    began: float,
    history: list[dict[str, Any]],
    progress: Progress | None,
    stage: Stage,
) -> tuple[Schedule, Snapshot]:
    rng = np.random.default_rng((config.seed, 1))
    schedule, best = Schedule(config), engine.snapshot()
    used, done = 0.0, len(history)
    if (saved := stage.at("batches")) is not None:
        schedule, used = Schedule(config, **saved.facts["schedule"]), saved.facts["used"]
        best = saved.tree("best", best)
        for _ in range(done):
            rng.permutation(engine.frames.scan.n_frames)
    while not (done and schedule.finished(done, used)):
        factor = schedule.step(used)
        move = config.positions != "off" and used >= config.position_start
        order = rng.permutation(engine.frames.scan.n_frames)
        residual, held_out = engine.run_pass(order, factor, move=move)
        if not math.isfinite(residual):
            raise ModelError(
                "the refinement diverged",
                where=f"pass {done + 1}",
                expected="a finite residual",
                got=residual,
                fix="lower --set object_step=0.1, or raise --set damping=0.5",
            )
        done += 1
        seconds = time.monotonic() - began
        used = max(done / config.passes, seconds / config.seconds if config.seconds else 0.0)
        if engine.look_back(anew=_is_early(done, seconds, engine.config)):
            schedule.begin_anew(done)
            best = engine.snapshot()
        elif schedule.judge(done, used, held_out):
            best = engine.snapshot()
        row = {"pass": done, "seconds": seconds, "residual": residual, "step": factor}
        history.append({**row, "held_out_deviance": held_out})
        if progress:
            info = {"residual": residual} | ({} if held_out is None else {"held-out": held_out})
            progress(round(1000 * min(used, 1)), 1000, {"pass": done, **info})
        facts = {"schedule": schedule.record(), "reason": schedule.reason, "used": used}
        facts |= {"history": history, "seconds": seconds}
        stage.write("batches", facts, engine=engine.saved(), best=best)
    return schedule, best


def _is_early(done: int, seconds: float, config: RefineConfig) -> bool:
    """Whether as much of the budget is left as is gone: fields that begin anew need as much."""
    return max(done / config.passes, seconds / (config.seconds or math.inf)) <= 0.5


def _found(scan: Scan, engine: Engine, odd: list[Finding]) -> dict[str, Any] | None:
    """What was wrong with the frames: before, and what the refinement saw."""
    report = scan.sanity
    if report is None:
        return None
    if engine.uneven is not None:
        told = {
            "spread_against_the_model": engine.uneven,
            "after_passes": light_pass(engine.config),
        }
        report = report.plus(Finding("flux-drift", told, "scaled"))
    for finding in odd if report.clean != "off" else ():
        report = report.plus(finding)
    return report.record()


def _result(
    engine: Engine, scan: Scan, config: RefineConfig, taken: Taken, odd: list[Finding]
) -> Reconstruction:
    """Fields in the scan's gauge: the probe has the scan's dose, the object no global phase."""
    from ptycho.physics import illumination

    field_, probe = engine.fields()
    layers = field_ if field_.ndim == 3 else field_[None]
    varying = engine.eigenprobes()
    if varying is None:  # the first mode is the one that varies, and stays what it is
        probe = setup.orthogonal_modes(probe)
    every = probe if varying is None else np.concatenate([probe, varying])
    canvas = engine.canvas
    seen = illumination(every, engine.positions_px, shape=canvas.shape, origin_px=canvas.origin_px)
    energy = float(np.sum(np.abs(every) ** 2))
    known = None if scan.probe is None else float(np.sum(np.abs(scan.probe) ** 2))
    scale = math.sqrt((known or energy) / energy)
    layers = np.stack([layer * _upright(layer, seen) for layer in layers])
    field_ = layers.prod(axis=0)
    layers[0] *= (last := _upright(field_, seen)) / scale
    moved = config.positions != "off" or taken.moved
    return Reconstruction(
        object=field_ * last / scale,
        coverage=seen * scale**2,
        origin_px=engine.canvas.origin_px,
        probe=probe * scale,
        meta={
            "method": "refine",
            "forward_model": forward_model(scan),
            "layers_told": separation(scan),
            "scan": scan.name,
            "object_pixel_m": scan.geometry and list(scan.geometry.object_pixel_m(scan.N)),
            "config": config.model_dump(),
            "batch_size": engine.batch,
            "n_frames": scan.n_frames,
            "sanity": _found(scan, engine, odd),
            "frame_numbers": None if scan.numbers is None else scan.numbers.tolist(),
            "photons_per_frame": float(np.mean(scan.photons_per_frame())),
            "taken_from_start": list(taken.words),
            "flux_spread": engine.uneven,
            "flux": None if engine.frames.light is None else engine.frames.light.tolist(),
            "background_rings": engine.background_profile(),
            "held_out_frames": len(engine.frames.held),
            "versions": versions(),
            "positions_given_px": scan.positions_px.tolist() if moved else None,
            "mode_shares": [float(np.sum(np.abs(m) ** 2) / energy) for m in probe],
            "eigenprobe_shares": [
                float(np.sum(np.abs(each) ** 2) / energy) for each in every[len(probe) :]
            ],
            "varying_share": engine.varies,
        },
        positions_px=engine.positions_px if moved else None,
        eigenprobes=None if varying is None else varying * scale,
        probe_weights=engine.weights,
        layers=layers if len(layers) > 1 else None,
        layer_distances_m=_gaps(scan) if len(layers) > 1 else None,
    )


def _gaps(scan: Scan) -> np.ndarray | None:
    return None if scan.geometry is None else np.array(scan.geometry.layer_distances_m)


def _upright(image: np.ndarray, weights: np.ndarray) -> complex:
    """The phase factor that makes the weighted mean of an image positive."""
    centre = np.sum(image * weights)
    return complex(np.conj(centre) / max(abs(centre), 1e-30))
