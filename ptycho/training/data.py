"""What a training step is fed: thinned frames in spatially separate groups, without hidden state.

Every random draw is a generator of (seed, purpose, epoch), so an epoch can be replayed exactly
after a kill with nothing saved but its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.config import TrainConfig
from ptycho.errors import ConfigError, DataError
from ptycho.frames import Joined, Selected, Thinned, fits_in_memory, make_groups, split_spatially
from ptycho.physics import Scaling, lit_px

if TYPE_CHECKING:
    from ptycho.scan import Scan

_AT_ONCE = 64
_SHUFFLE, _THIN, _SPLIT, _GROUP, _HELD_OUT = range(5)
PROBE_AGREEMENT = 0.98
Prepare = Callable[[np.ndarray, np.ndarray], dict[str, Any]]
"""(counts, offsets) of groups → the inputs of a training step."""


def generator(seed: int, purpose: int, *numbers: int) -> np.random.Generator:
    """The generator of one purpose; equal arguments give equal draws."""
    return np.random.default_rng([seed, purpose, *numbers])


@dataclass
class GroupSet:
    """Groups over one stack of frames, and how to draw batches of them.

    Attributes:
        counts: (M, N, N) float32 photons, the frames of all scans: an array, or above 256 MiB a
            view that reads the frames of a batch when it is drawn.
        indices: (G, C) into `counts`. offsets: (G, C, 2) px float32.
        dose: (M,) factor that brings each frame to the dose of the first scan; None: 1. It is
            applied to what is drawn, after thinning, which needs whole photons.
    """

    counts: Any
    indices: np.ndarray
    offsets: np.ndarray
    inputs: Any = None
    targets: Any = None
    dose: np.ndarray | None = None
    kept: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    def thin(self, share: float | None, rng: np.random.Generator) -> None:
        """Split the counts binomially: y₁ ~ Bin(y, share) is input, y − y₁ target, both scaled up.

        The half-deviance is homogeneous, D(aI, ay) = a·D(I, y): the scaled target has the
        gradient of the thinned one, times a constant. None: input and target are the counts.
        """
        if share is None:
            self.inputs = self.targets = self.counts
            return
        if not isinstance(self.counts, np.ndarray):
            seed = int(rng.integers(2**63))
            self.inputs = Thinned(self.counts, share, seed, factor=1 / share)
            rest = 1.0 - share
            self.targets = Thinned(self.counts, share, seed, rest=True, factor=1 / rest)
            return
        self.inputs, self.targets = np.empty_like(self.counts), np.empty_like(self.counts)
        for first in range(0, len(self.counts), _AT_ONCE):
            block = slice(first, first + _AT_ONCE)
            part = rng.binomial(self.counts[block].astype(np.int64), share).astype(np.float32)
            self.inputs[block] = part / np.float32(share)
            self.targets[block] = (self.counts[block] - part) / np.float32(1.0 - share)

    def prepare(self, prepared: Prepare, batch_size: int) -> None:
        """Keep what `prepared` makes of all groups in memory, until `forget`."""
        kept: dict[str, np.ndarray] = {}
        for first in range(0, len(self), batch_size):
            part = np.arange(first, min(first + batch_size, len(self)))
            padded = np.resize(part, batch_size)  # one shape, so one compilation
            for name, array in self._prepared(prepared, padded).items():
                array = np.asarray(array)
                kept.setdefault(name, np.empty((len(self), *array.shape[1:]), array.dtype))
                kept[name][part] = array[: len(part)]
        self.kept = kept

    def forget(self) -> None:
        """Let go of what `prepare` kept: from now on each batch is prepared when it is drawn."""
        self.kept = {}

    def _prepared(self, prepared: Prepare, groups: np.ndarray) -> dict[str, Any]:
        return prepared(self.drawn(self.inputs, groups), self.offsets[groups])

    def drawn(self, frames: Any, groups: np.ndarray) -> np.ndarray:
        """(B, C, N, N) of `counts`, `inputs` or `targets` for these groups, at one dose."""
        members = self.indices[groups]
        found = np.asarray(frames[members])
        return found if self.dose is None else found * self.dose[members][..., None, None]

    def batch(self, prepared: Prepare, groups: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
        """(inputs, target counts) of these groups."""
        if self.kept:
            inputs = {name: array[groups] for name, array in self.kept.items()}
        else:
            inputs = self._prepared(prepared, groups)
        return inputs, self.drawn(self.targets, groups)


def shuffled(count: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Whole batches of a permutation; what is left over waits for another epoch's order."""
    order = rng.permutation(count)
    if count < batch_size:
        order = np.resize(order, batch_size)
    for first in range(0, len(order) - batch_size + 1, batch_size):
        yield order[first : first + batch_size]


def in_order(count: int, batch_size: int) -> Iterator[np.ndarray]:
    """Every group at least once, in whole batches (the last is filled up from the start)."""
    order = np.resize(np.arange(count), -(-count // batch_size) * batch_size)
    yield from order.reshape(-1, batch_size)


@dataclass(frozen=True)
class TrainingData:
    """Groups to learn from, groups to judge by, and what the model needs to know of the scans."""

    training: GroupSet
    held_out: GroupSet | None
    probe: np.ndarray
    mask: np.ndarray | None
    scaling: Scaling
    N: int


def assemble(scans: Sequence[Scan], config: TrainConfig) -> TrainingData:
    """Split, group and bring to one dose.

    Raises:
        DataError: no scan, a scan without a probe, of another size, or without enough frames.
        ConfigError: scans whose probes, masks or backgrounds differ, or fractional counts with
            thinning.
    """
    if not scans:
        raise DataError("there is nothing to train on", expected="at least one scan", got="none")
    first = scans[0]
    probe = _probe(first)
    parts: list[tuple[list[Any], list[Any]]] = []
    for number, scan in enumerate(scans):
        ratio = _dose_ratio(scan, first, probe)
        _require_one_detector(scan, first, ratio)
        parts.append(_split(scan, config, number, ratio))
    training = _join([part[0] for part in parts])
    held_out = _join([part[1] for part in parts])
    if training is None:
        raise DataError(
            "no groups of frames can be made",
            where=", ".join(scan.name for scan in scans),
            expected=f"groups of {config.gridsize**2} frames",
            got=f"{sum(scan.n_frames for scan in scans)} frames",
            fix="--set validation_fraction=0 --set patience=null, or a smaller gridsize",
        )
    if held_out is None and config.patience is not None:
        raise DataError(
            "no frames are left to hold out",
            where="validation_fraction, validation_margin_px",
            expected=f"a group of {config.gridsize**2} frames besides the training frames",
            got=f"{sum(scan.n_frames for scan in scans)} frames",
            fix="--set validation_fraction=0.2 --set validation_margin_px=0, or patience=null",
        )
    mask = None if first.mask is None else np.asarray(first.mask, bool)
    scaling = Scaling.from_counts(
        _mean_frame(training, mask, first.name, integers=config.thinning is not None)[None],
        mask=mask,
        probe_photons=float(np.sum(np.abs(probe) ** 2)),
        background=max(config.background, float(first.background)),
    )
    return TrainingData(training, held_out, probe, mask, scaling, first.N)


def _split(
    scan: Scan, config: TrainConfig, number: int, ratio: float
) -> tuple[list[Any], list[Any]]:
    positions = np.asarray(scan.positions_px, np.float64)
    margin = config.validation_margin_px
    if margin is None:
        margin = lit_px(_probe(scan))  # the lit areas of training and held-out frames are apart
    if config.validation_fraction > 0:
        train, held_out = split_spatially(
            positions, validation_fraction=config.validation_fraction, margin_px=margin
        )
    else:
        train, held_out = np.arange(scan.n_frames), np.arange(0)
    return tuple(  # type: ignore[return-value]
        _grouped(scan, np.sort(chosen), config, number, ratio) for chosen in (train, held_out)
    )


def _grouped(
    scan: Scan, chosen: np.ndarray, config: TrainConfig, number: int, ratio: float
) -> list[Any]:
    if len(chosen) < config.gridsize**2:
        return []
    groups = make_groups(
        np.asarray(scan.positions_px)[chosen],
        config.gridsize,
        neighbours=config.neighbours,
        max_distance_px=config.max_distance_px,
        rng=generator(config.seed, _GROUP, number),
    )
    if not len(groups.indices):
        return []
    counts: Any = Selected(scan.counts, chosen)
    if fits_in_memory(len(chosen), scan.N):
        counts = counts[:]
    dose = np.full(len(chosen), ratio, np.float32)
    if scan.flux is not None:
        dose /= scan.flux[chosen].astype(np.float32)
    return [counts, groups.indices, groups.offsets_px, dose]


def _join(parts: list[list[Any]]) -> GroupSet | None:
    parts = [part for part in parts if part]
    if not parts:
        return None
    starts = np.cumsum([0] + [len(part[0]) for part in parts[:-1]])
    indices = [part[1] + start for part, start in zip(parts, starts, strict=True)]
    dose = np.concatenate([part[3] for part in parts])
    return GroupSet(
        counts=_one_stack([part[0] for part in parts]),
        indices=np.concatenate(indices),
        offsets=np.concatenate([part[2] for part in parts]).astype(np.float32),
        dose=None if (dose == 1).all() else dose,
    )


def _one_stack(stacks: list[Any]) -> Any:
    """The frames of all scans as one stack: an array where that is small enough."""
    if len(stacks) == 1:
        return stacks[0]
    joined = Joined(tuple(stacks))
    return joined[:] if fits_in_memory(len(joined), joined.shape[-1]) else joined


def _probe(scan: Scan) -> np.ndarray:
    if scan.probe is None:
        raise DataError(
            "the scan has no probe, and a network cannot be trained without one",
            where=scan.name,
            expected="a probe guess (K, N, N) in the file",
            got="none",
            fix=f"ptycho refine {scan.name} -o REFINED.h5 recovers one",
        )
    probe = np.asarray(scan.probe, np.complex64)
    return probe[None] if probe.ndim == 2 else probe


def _dose_ratio(scan: Scan, first: Scan, probe: np.ndarray) -> float:
    """Photons of the first scan's probe over this one's; the probes must agree in shape."""
    if scan is first:
        return 1.0
    other = _probe(scan)
    if scan.N != first.N or other.shape != probe.shape:
        raise DataError(
            "scans that are trained together must have frames and probes of one size",
            where=scan.name,
            expected=probe.shape,
            got=other.shape,
        )
    norms = [float(np.sqrt(np.sum(np.abs(field) ** 2))) for field in (probe, other)]
    agreement = abs(np.vdot(probe, other)) / (norms[0] * norms[1])
    if agreement < PROBE_AGREEMENT:
        raise ConfigError(
            "scans that are trained together must share one probe",
            where=f"{first.name}, {scan.name}",
            expected=f"correlation of the probes >= {PROBE_AGREEMENT}",
            got=f"{agreement:.3f}",
            fix="train one run for each probe",
        )
    ratio = (norms[0] / norms[1]) ** 2
    return 1.0 if abs(ratio - 1.0) < 1e-3 else ratio


def _require_one_detector(scan: Scan, first: Scan, ratio: float) -> None:
    """One loss knows one mask and one background: another scan's dead pixels would be photons."""
    masks = [np.ones((s.N, s.N), bool) if s.mask is None else s.mask for s in (first, scan)]
    differ = int((masks[0] != masks[1]).sum())
    if differ:
        problem, got = "mask", f"{differ} pixels differ"
    elif not np.isclose(first.background, ratio * scan.background, rtol=0.05, atol=1e-3):
        at_one_dose = f"{first.background:g} and {ratio * scan.background:g} per pixel"
        problem, got = "background", f"{at_one_dose}, at one dose"
    else:
        return
    raise ConfigError(
        f"scans that are trained together must share one {problem}",
        where=f"{first.name}, {scan.name}",
        expected=f"the same {problem}",
        got=got,
        fix=f"write one {problem} into all of them, or train one run for each",
    )


def _mean_frame(
    groups: GroupSet, mask: np.ndarray | None, name: str, *, integers: bool
) -> np.ndarray:
    """(N, N) float64 mean at one dose; whole numbers where they are demanded and counted."""
    counts = groups.counts
    counted = slice(None) if mask is None else mask
    total = np.zeros(counts.shape[1:], np.float64)
    for first in range(0, len(counts), _AT_ONCE):
        block = np.asarray(counts[first : first + _AT_ONCE])
        dose = np.ones(len(block)) if groups.dose is None else groups.dose[first : first + _AT_ONCE]
        total += np.einsum("mij,m->ij", block, dose, dtype=np.float64)
        if integers and (block != np.rint(block))[:, counted].any():
            raise ConfigError(
                "thinning splits photons, and these counts are not whole numbers",
                where=name,
                expected="photons as whole numbers",
                got="fractional counts",
                fix="--set thinning=null",
            )
    return total / len(counts)
