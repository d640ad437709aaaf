"""Whether the prior's image or the plain one is the result: held-out counts decide.

After the trials of the whole-scan descent (`ptycho.refinement.whole`), before the held-out counts
are given back, five images are judged by those counts: that of the likelihood alone, that with
total variation, the prior's, and two of the prior's after passes that go on from it: pulled back to
the counts with total variation on what they change (the better where frames overlap little), and
with what of their change `ptycho.prior.told` can tell from noise (the better where there is enough
light, or where the prior goes too far). The descent has chosen between the first two; an image of
the prior wins only where it is better by 2.6 standard errors over the frames (more where they are
few). A trial ends early,
and passes on an image with total variation take back what it flattened: they would look like a gain
of the prior. So the descent's own weight first goes on, for as many passes as the image before the
prior's has and for as many as the prior's has with input and passes; the better of both stands for
it. Each image of the prior must beat, by as many standard errors, what passes alone make of an
answer of nothing in its place (the false gain, which is told), and in the mean what such an answer
becomes with the long waves of the phase that the prior sees: those are a true gain, and no merit of
the network. In all these passes probe, positions and what else belongs to the beam stay those of
the trial. The passes of the gate are extra, and the state goes back to what it was: the plain image
beside the prior's is that of a refinement without a prior.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from ptycho.physics import backend
from ptycho.prior import OWN_PX, Estimate, Prior, load_prior, long_waves, told_apart
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.engine import Engine
from ptycho.refinement.run import prepare
from ptycho.refinement.takeover import take_over
from ptycho.refinement.told import Score
from ptycho.refinement.variation import prox
from ptycho.result import Reconstruction
from ptycho.scan import Scan

if TYPE_CHECKING:
    from ptycho.refinement.whole import Descent

FREE_PASSES = 6
"""Of the likelihood alone; as many as in the training of the prior."""
LONG_PASSES = 40
"""Of the likelihood alone, those among them, until long waves of the phase are its own again."""
FED_WEIGHT, FED_SHARE, FED_PASSES = 0.5, 0.625, 10
"""Total variation of the prior's input: this, or this share of a heavier one that the descent chose
(`fed_weight`), and the passes where that is another than the descent's."""
PULL_PASSES = 12
PULL_WEIGHT = 0.65
"""Of total variation on the difference to the prior's image; a lighter one lets noise back in."""
TOLD_PASSES = 48
"""Of the likelihood alone from the prior's image on, of which what counts tell apart stays."""
CHANCE = 0.0228 / 3
"""Of passing without merit: each of the prior's three images a third (Bonferroni) of what a single
one has of passing two standard errors."""
PLAINER = 2.6
"""Standard errors of the held-out gain within which the plainer image stays, however many frames.
`CHANCE` alone asks for 2.4; the rest is for frames that overlap: errors of the image are common to
neighbours, so that their mean is less certain than that of as many independent frames."""
SEEN = (
    "the prior was tuned on an image of {name}, which holds the counts that judge it: "
    "its gain may be memory; judge it by another scan"
)
PLAIN, SMOOTH, NET = "plain", "total variation", "prior"
PULLED, TOLD = "prior + consistency", "prior + what counts tell"
PRIORS = NET, PULLED, TOLD


QUARTERS = "upper left", "upper right", "lower left", "lower right"


class Judged(NamedTuple):
    """Half-deviances per pixel of one image."""

    each: np.ndarray  # (frames,) of the held-out counts that choose
    reported: float | None  # of those that only report


Candidate = tuple[str, Judged]


class Blank(NamedTuple):
    """(frames,) half-deviances of what an answer of nothing becomes in the place of a prior's."""

    passes: np.ndarray  # with the long waves of total variation
    waves: np.ndarray  # with those that the prior sees


@dataclass(frozen=True)
class Verdict:
    """What the gate said.

    Args:
        chosen: one of the images, by name.
        gain: half-deviance per pixel by which `gain_of` beats the descent's own image, `gain_over`
            (below 0: it is worse). gain_of: the prior's image that was chosen; none: its best.
        standard_error: of `gain`, over the held-out frames; None: there was one frame.
        candidates: one row an image; `reported_deviance` is that of the counts that chose nothing,
            `gain_by_quarter` of the scan tells an image that is better here and worse there,
            `refused` why it did not take the place of the one before it (of the prior's, None: it
            did; of the likelihood alone or total variation, where it would seem better).
    """

    chosen: str
    gain: float
    standard_error: float | None
    gain_of: str
    gain_over: str
    candidates: list[dict[str, Any]]


def wanted_prior(config: RefineConfig) -> Prior | None:
    """The prior that a configuration names, or None.

    Raises:
        ArchiveError: the file is no prior.
    """
    if config.prior == "off":
        return None
    return load_prior(config.prior)


def fed_weight(chosen: float) -> float:
    """Total variation of what the prior is fed, by the weight that the descent chose.

    Over draws that training kept apart .5 is within .002 of the best, mean of both SSIM, up to a
    chosen .65, and a step less than the chosen weight better above (`docs/evidence/prior.md`, What
    it is fed): where counts ask for that much,
    the specimen is smooth, or so little is known that noise would be taken for structure.
    """
    return max(FED_WEIGHT, FED_SHARE * chosen)


def judge(engine: Engine, loss: str, weight: float, prior: Prior) -> Verdict:
    """Judge the images by the held-out counts; the engine is as before afterwards.

    Args:
        engine: with the image of the best trial.
        loss: of the descent. weight: of total variation in that trial.
        prior: whose image is judged.
    """
    before = engine.saved()
    before["factors"] = before["factors"].copy()

    def put(image: np.ndarray) -> Judged:
        engine.resume(before)
        _put(engine, image)
        return _judged(engine)

    engine.begin_whole()
    for _ in range(PULL_PASSES):
        engine.run_whole(loss, weight, hold=True)
    further, _ = engine.fields()
    own = _judged(engine)
    for _ in range(FED_PASSES + LONG_PASSES + TOLD_PASSES):
        engine.run_whole(loss, weight, hold=True)
    own = min(own, _judged(engine), key=lambda judged: float(judged.each.mean()))
    _put(engine, further)
    fed, turn = _fed(engine, loss, weight)
    image, nothing = prior(fed), (fed.image * turn.conj(), fed.image)
    blank = [put(each) for each in nothing]
    pairs: list[Candidate] = [(PLAIN, put(fed.freer) if weight > 0 else own)]
    pairs += [(SMOOTH, own if weight > 0 else blank[0]), (NET, put(image))]
    blanks = {NET: Blank(*(judged.each for judged in blank))}
    for name, after in AFTER.items():
        pairs.append((name, put(after(engine, loss, image))))
        blanks[name] = Blank(*(put(after(engine, loss, each)).each for each in nothing))
    engine.resume(before)
    where = quarters(engine.frames.scan.positions_px[engine.frames.held])
    return verdict(SMOOTH if weight > 0 else PLAIN, pairs, where, blanks)


def quarters(positions_px: np.ndarray) -> np.ndarray:
    """(M,) of (M, 2) positions: which of `QUARTERS` of the scan each lies in."""
    low, right = (positions_px >= np.median(positions_px, axis=0)).T
    return 2 * low.astype(int) + right


def verdict(
    chosen: str,
    pairs: list[Candidate],
    where: np.ndarray,
    blanks: Mapping[str, Blank],
) -> Verdict:
    """Which image wins.

    Args:
        chosen: the image that the descent has chosen.
        pairs: name, and what the held-out counts say.
        where: (frames,) the quarter of the scan that each held-out frame lies in.
        blanks: by the name, what an answer of nothing becomes.
    """
    own = next(judged.each for name, judged in pairs if name == chosen)
    best = chosen, own
    rows: list[dict[str, Any]] = []
    for name, (values, reported) in pairs:
        gain, error = _gain(own, values)
        row: dict[str, Any] = {"image": name, "held_out_deviance": float(values.mean())}
        row |= {"gain": gain, "standard_error": error, "reported_deviance": reported}
        row["gain_by_quarter"] = {
            name: float((own - values)[where == number].mean())
            for number, name in enumerate(QUARTERS)
            if (where == number).any()
        }
        rows.append(row)
        if name not in PRIORS:
            if gain > 0:
                row["refused"] = f"the trials before the gate chose {chosen}"
            continue
        blank = blanks[name]
        row["false_gain"], _ = _gain(own, blank.passes)
        row["long_waves_gain"], _ = _gain(own, blank.waves)
        row["refused"] = _refusal(*best, values, blank)
        if row["refused"] is None:
            best = name, values
    of = [best[0]] if best[0] in PRIORS else PRIORS
    told = max((row for row in rows if row["image"] in of), key=lambda row: float(row["gain"]))
    return Verdict(best[0], told["gain"], told["standard_error"], told["image"], chosen, rows)


def _refusal(name: str, before: np.ndarray, values: np.ndarray, blank: Blank) -> str | None:
    """Why an image of the prior does not take the place of `name`, or None."""
    gain, error = _gain(before, values)
    if not math.isfinite(gain):
        return "a deviance is not finite, and says nothing"
    if gain <= 0:
        return f"no better than {name}"
    if error is None:
        return f"better than {name} in one frame, whose error is unknown"
    if not _better(before, values):
        asked = f"more than {_asked(len(values)):.3g} are asked of {len(values)} frames"
        return f"better than {name} by {gain / error:.2f} standard errors; {asked}"
    if not _better(blank.passes, values):
        return "not clearly better than an answer of nothing after the same passes"
    if float(values.mean()) >= float(blank.waves.mean()):
        return "no better than the long waves of the phase, without the network"
    return None


def _better(before: np.ndarray, after: np.ndarray) -> bool:
    gain, error = _gain(before, after)
    return error is not None and gain > _asked(len(after)) * error


def _asked(frames: int) -> float:
    """Standard errors: `PLAINER`, or Student's for `CHANCE` where the frames are few."""
    return max(PLAINER, float(stdtrit(frames - 1, 1 - CHANCE)))


def _gain(before: np.ndarray, after: np.ndarray) -> tuple[float, float | None]:
    """Mean gain over the frames, and its standard error; None: one frame has none."""
    gain = before - after
    count = len(gain)
    return float(gain.mean()), float(gain.std(ddof=1)) / math.sqrt(count) if count > 1 else None


def with_prior(
    engine: Engine,
    chosen: Descent | None,
    prior: Prior,
    rec: Reconstruction,
    score: Score,
    why: str,
) -> tuple[Reconstruction, Score]:
    """The reconstruction with the prior's image, if the gate chose it, and the record of both.

    Args:
        engine: with the image of all counts.
        chosen: by the whole-scan passes; None: there were none.
        prior: the network.
        rec, score: of the plain image, which is kept as `rec.plain` where the prior's wins.
        why: nothing was tried on held-out counts, where that is so.
    """
    if chosen is None or chosen.gate is None:
        why = f"nothing is tried on held-out counts: {why}"
        return rec.with_meta(prior={"chosen": "none", "why": why}), score
    facts = {**chosen.gate, "network": prior.record}
    if (name := rec.meta["scan"]) in prior.record.get("objects_of", ()):
        facts["doubt"] = SEEN.format(name=name)
    if chosen.gate["chosen"] in PRIORS:
        before, _ = engine.fields()
        saved = engine.saved()
        saved["factors"] = saved["factors"].copy()
        fed, _ = _fed(engine, chosen.loss, chosen.weight)
        image = prior(fed)
        if chosen.gate["chosen"] in AFTER:
            image = AFTER[chosen.gate["chosen"]](engine, chosen.loss, image)
        engine.resume(saved)
        _put(engine, image)
        facts["plain_deviance_per_pixel"], facts["plain_residual"] = (
            score.deviance_per_pixel,
            score.residual,
        )
        score = engine.score()
        rec = replace(rec, object=_in_gauge(image, before, rec), plain=rec.object)
    return rec.with_meta(prior=facts), score


def _in_gauge(image: np.ndarray, before: np.ndarray, rec: Reconstruction) -> np.ndarray:
    """`image` times what made the object of `rec` out of `before`."""
    return image * (np.vdot(before, rec.object) / np.vdot(before, before))


def consistent(engine: Engine, loss: str, image: np.ndarray) -> np.ndarray:
    """`image` after whole-scan passes with total variation on what they change."""
    _put(engine, image)
    centre, dual = engine.state.object, backend.tensor(np.zeros((4, *image.shape), np.float32))
    for _ in range(PULL_PASSES):
        before = engine.state.object
        engine.run_whole(loss, 0.0, hold=True)
        size = PULL_WEIGHT / (2 * math.sqrt(float(engine.light().max())))
        scalar = backend.scalar(size, "float32")
        now, dual = _compiled_pull()(engine.state.object, centre, dual, scalar)
        engine.state = engine.state._replace(object=now, object_velocity=now - before)
    return engine.fields()[0]


def told_by_counts(engine: Engine, loss: str, image: np.ndarray) -> np.ndarray:
    """`image` and what passes change of it that the counts tell apart from noise."""
    _put(engine, image)
    for _ in range(TOLD_PASSES):
        engine.run_whole(loss, 0.0, hold=True)
    return np.asarray(image + told_apart(engine.fields()[0] - image, image, engine.light()))


AFTER = {PULLED: consistent, TOLD: told_by_counts}


@functools.cache
def _compiled_pull() -> Callable[..., Any]:
    def pull(image: Any, centre: Any, dual: Any, weight: Any) -> tuple[Any, Any]:
        moved, dual = prox(image - centre, dual, weight)
        return centre + moved, dual

    return backend.jit(pull)


def _put(engine: Engine, image: np.ndarray) -> None:
    """The image into the engine, at rest."""
    engine.state = engine.state._replace(object=backend.tensor(np.asarray(image, np.complex64)))
    engine.begin_whole()


def _judged(engine: Engine) -> Judged:
    return Judged(engine.held_out_deviances(), engine.held_out_deviance(report=True))


def _fed(
    engine: Engine, loss: str, weight: float, wanted: float | None = None
) -> tuple[Estimate, np.ndarray]:
    """What the prior sees of the engine's image, which has total variation of `weight`.

    That flattens the phase's long waves; they are those of passes without it, brought in by what
    is returned beside (`long_waves`). `wanted`: of what it sees; None: that of `fed_weight`.
    """
    wanted = fed_weight(weight) if wanted is None else wanted
    if weight != wanted:
        engine.begin_whole()
        for _ in range(FED_PASSES):
            engine.run_whole(loss, wanted, hold=True)
    image, _ = engine.fields()
    engine.begin_whole()
    for _ in range(FREE_PASSES):
        engine.run_whole(loss, 0.0, hold=True)
    freer, _ = engine.fields()
    for _ in range(LONG_PASSES - FREE_PASSES):
        engine.run_whole(loss, 0.0, hold=True)
    turn = long_waves(engine.fields()[0], image, engine.light(), OWN_PX)
    return Estimate(image * turn, freer * turn, engine.light()), turn


class Solved(NamedTuple):
    """An image with a known probe, what the prior sees of it, and where its first pixel lies."""

    image: np.ndarray
    fed: Estimate
    origin_px: tuple[int, int]


def solved(
    scan: Scan, weight: float, passes: int, *, least_px: int, fed: float | None = None
) -> Solved:
    """Whole-scan Poisson passes with total variation and a known probe.

    Args:
        scan: with its probe. weight: of total variation (`RefineConfig.regularise`).
        passes: with it.
        least_px: shortest side of the canvas.
        fed: weight of total variation in what the prior is to see; None: that of `fed_weight`.
    """
    config = RefineConfig(update_probe=False, regularise=weight, clean="off", held_out_fraction=0)
    engine = prepare(scan, take_over(scan, None), config, least_px=least_px)
    engine.begin_whole()
    for _ in range(passes):
        engine.run_whole("poisson", weight)
    image, _ = engine.fields()
    seen, _ = _fed(engine, "poisson", weight, fed)
    return Solved(image, seen, engine.canvas.origin_px)
