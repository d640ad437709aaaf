"""What a refinement leaves behind every few seconds, so that a killed one goes on where it was.

A folder: `state.h5`, the work at hand, whole or not at all; `trial-K.h5`, the result of each trial
that is over (`auto`); `places.json`, what the positions were found to share. A state is a tree of
named tuples, dictionaries and arrays; it is read back into the shape of the state that a fresh
engine has.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptycho.data import load_reconstruction, save_reconstruction, whole_file
from ptycho.errors import ArchiveError, ConfigError, UsageError
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.outcome import RefineResult
from ptycho.result import Reconstruction
from ptycho.scan import Scan

STATE, PLACES = "state.h5", "places.json"
_FREE = {"checkpoint_s"}  # may differ between a run and its continuation


@dataclass(frozen=True)
class Saved:
    """A state that was read: `stage` and `phase` of the work, its numbers and arrays by path."""

    stage: str
    phase: str
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def tree(self, name: str, like: Any) -> Any:
        """The tree `name`, in the shape of `like`; None where there was nothing."""
        return _rebuilt(like, name, self.arrays)


@dataclass
class Checkpoints:
    """Where and how often; without a folder nothing is kept.

    Args:
        folder: made when it is first written to.
        every_s: seconds between two states.
        identity: what must agree before a state is continued.
        resume: go on from what is there.
    """

    folder: Path | None = None
    every_s: float = 60.0
    identity: dict[str, str] = field(default_factory=dict)
    resume: bool = False
    saved: Saved | None = None
    _last: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        require_resume(self.folder, self.resume)
        if self.folder is None or not self.folder.is_dir():
            return
        path = self.folder / STATE
        if path.is_file():
            self.saved = _read(path, self.identity)

    def stage(self, name: str) -> Stage:
        """The part of the work of this name: a trial, or the last run."""
        return Stage(self, name)

    def finished(self, name: str) -> RefineResult | None:
        """The result of a trial that was over before."""
        path = None if self.folder is None else self.folder / f"{name}.h5"
        if path is None or not path.is_file():
            return None
        rec = load_reconstruction(path)
        meta = rec.meta
        numbers = (meta["residual"], meta["deviance_per_pixel"], meta["seconds"])
        return RefineResult(rec, *numbers, meta["iterations"])

    def finish(self, name: str, result: RefineResult) -> None:
        """Keep the result of a trial."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_reconstruction(result.reconstruction, self.folder / f"{name}.h5")

    def write(self, stage: str, phase: str, facts: dict[str, Any], trees: dict[str, Any]) -> None:
        """The state, if it is time."""
        if self.folder is None or time.monotonic() - self._last < self.every_s:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        meta = {"identity": self.identity, "stage": stage, "phase": phase, "facts": facts}
        with whole_file(self.folder / STATE) as temporary, h5py.File(temporary, "w") as file:
            for name, tree in trees.items():
                for path, array in _leaves(tree, name):
                    file[path] = array
            # A dataset: an attribute ends at 64 KB, which is a history of 450 passes.
            file["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        self._last = time.monotonic()


@dataclass
class Stage:
    """The checkpoints of one part of the work."""

    checkpoints: Checkpoints
    name: str

    def at(self, phase: str) -> Saved | None:
        """What was saved in this phase of this part; None: it begins anew."""
        saved = self.checkpoints.saved
        here = saved is not None and (saved.stage, saved.phase) == (self.name, phase)
        return saved if here else None

    def write(self, phase: str, facts: dict[str, Any], **trees: Any) -> None:
        """See `Checkpoints.write`."""
        self.checkpoints.write(self.name, phase, facts, trees)


def require_resume(folder: Path | None, resume: bool) -> None:
    """Raise a UsageError where a checkpoint is and nobody said to go on from it."""
    if folder is not None and Path(folder).is_dir() and not resume:
        raise UsageError(
            "a refinement that was cut off left its checkpoint",
            where=folder,
            expected="--resume, which goes on from it",
            got="a new refinement",
            fix=f"add --resume, or: rm -r {folder}",
        )


def clear_checkpoint(folder: Path) -> None:
    """Remove a checkpoint whose result is safe; nothing happens where there is none."""
    if any((folder / name).is_file() for name in (STATE, PLACES)) or any(folder.glob("trial-*.h5")):
        shutil.rmtree(folder)


def identity_of(scan: Scan, start: Reconstruction | None, config: RefineConfig) -> dict[str, str]:
    """What must agree: the settings, the frames (64 of them), and the start."""
    frames, begin = hashlib.sha256(), hashlib.sha256()
    few = np.unique(np.linspace(0, scan.n_frames - 1, 64).astype(int))
    for array in (scan.positions_px, scan.probe, scan.mask, scan.flux, scan.frames(few)):
        frames.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    frames.update(repr(scan.geometry).encode())
    if start is not None:
        for array in (start.object, start.probe, start.positions_px, np.array(start.origin_px)):
            begin.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    settings = config.model_dump(mode="json", exclude=_FREE)
    return {
        "settings": json.dumps(settings, sort_keys=True),
        "frames": frames.hexdigest(),
        "start": begin.hexdigest(),
    }


def _read(path: Path, identity: dict[str, str]) -> Saved:
    try:
        with h5py.File(path, "r") as file:
            kept = file["meta"] if "meta" in file else file.attrs["meta"]  # before: an attribute
            meta = json.loads(np.asarray(kept).tobytes())
            arrays: dict[str, np.ndarray] = {}

            def take(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    arrays[name] = np.asarray(item)

            file.visititems(take)
    except (OSError, KeyError, ValueError) as error:
        raise ArchiveError(
            "the checkpoint cannot be read", where=path, got=error, fix=f"rm -r {path.parent}"
        ) from error
    if meta["identity"] != identity:
        raise ConfigError(
            "the checkpoint belongs to another refinement",
            where=path,
            expected="the same scan, start and settings",
            got=_difference(meta["identity"], identity),
            fix=f"the settings of then, or: rm -r {path.parent}",
        )
    return Saved(meta["stage"], meta["phase"], meta["facts"], arrays)


def _difference(saved: dict[str, str], wanted: dict[str, str]) -> str:
    for key, words in (("frames", "other frames or positions"), ("start", "another --start")):
        if saved[key] != wanted[key]:
            return words
    old, new = json.loads(saved["settings"]), json.loads(wanted["settings"])
    keys = [key for key in new if old.get(key) != new[key]]
    return ", ".join(f"{key}: {old.get(key)} then, {new[key]} now" for key in keys)


def _branches(tree: Any) -> Iterator[tuple[str, Any]] | None:
    if isinstance(tree, dict):
        return iter(tree.items())
    if hasattr(tree, "_fields"):
        return zip(tree._fields, tree, strict=True)
    return None


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, np.ndarray]]:
    from ptycho.physics import backend  # loads TensorFlow, which a refusal does not need

    branches = _branches(tree)
    if branches is not None:
        for name, part in branches:
            yield from _leaves(part, f"{path}/{name}")
    elif tree is not None:
        found = backend.concrete(tree)
        yield path, np.asarray(tree if found is None else found)


def _rebuilt(like: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    from ptycho.physics import backend

    branches = _branches(like)
    if branches is None:
        found = arrays.get(path)
        plain = found is None or like is None or isinstance(like, np.ndarray | float | int)
        return found if plain else backend.tensor(found)
    if not any(name.startswith(f"{path}/") for name in arrays):
        return None
    parts = {name: _rebuilt(part, f"{path}/{name}", arrays) for name, part in branches}
    return parts if isinstance(like, dict) else type(like)(**parts)
