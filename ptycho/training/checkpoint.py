"""The checkpoint of a training: written after every epoch, whole or not at all.

It holds the variables of model and optimizer, the best weights so far and the numbers of the
loop. No random state is needed: every draw is made from (seed, purpose, epoch).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from ptycho.config import TrainConfig
from ptycho.errors import ArchiveError, ConfigError
from ptycho.model import read_arrays, write_arrays

if TYPE_CHECKING:
    from ptycho.model import PtychoPINN
    from ptycho.training.data import GroupSet, TrainingData

CHECKPOINT = "checkpoint.h5"
_NUMBERS = ("epoch", "step", "seconds", "best_epoch", "best_value", "history")
# What may differ between a run and its continuation.
_FREE = {"time_budget_s", "patience", "checkpoint", "estimate_cache_mib"}


def fingerprint(config: TrainConfig, data: TrainingData) -> dict[str, str]:
    """What must agree before a checkpoint is continued: the settings and the frames."""
    settings = config.model_dump(mode="json", exclude=_FREE)
    frames = hashlib.sha256(np.ascontiguousarray(data.probe).tobytes())
    frames.update(np.float64(data.scaling.background).tobytes())
    frames.update(b"" if data.mask is None else data.mask.tobytes())
    for groups in (data.training, data.held_out):
        if groups is not None:
            _add_groups(frames, groups)
    return {
        "settings": json.dumps(settings, sort_keys=True),
        "frames": frames.hexdigest(),
    }


def _add_groups(digest: Any, groups: GroupSet) -> None:
    for first in range(0, len(groups.counts), 64):
        digest.update(np.ascontiguousarray(groups.counts[first : first + 64]).tobytes())
    for array in (groups.indices, groups.offsets, groups.dose):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())


def save_checkpoint(folder: Path, model: PtychoPINN, state: Any, identity: dict[str, str]) -> None:
    """Write `checkpoint.h5` into `folder`."""
    arrays = {f"model/{i:04d}": np.asarray(w) for i, w in enumerate(model.weights)}
    optimizer = model.optimizer.variables
    arrays |= {f"optimizer/{i:04d}": np.asarray(w) for i, w in enumerate(optimizer)}
    arrays |= {f"best/{i:04d}": w for i, w in enumerate(state.best_weights)}
    numbers = {name: getattr(state, name) for name in _NUMBERS}
    write_arrays(folder / CHECKPOINT, arrays, meta={"identity": identity, "state": numbers})


def load_checkpoint(folder: Path, model: PtychoPINN, state: Any, identity: dict[str, str]) -> None:
    """Continue from `checkpoint.h5`; nothing happens where there is none.

    Raises:
        ConfigError: it was made with other settings or frames. ArchiveError: it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return
    meta = _meta(path)
    if meta.get("identity") != identity:
        raise ConfigError(
            "the checkpoint belongs to another training",
            where=path,
            expected="the same scans and settings",
            got=_difference(meta.get("identity", {}), identity),
            fix=f"ptycho train … --config {folder / 'config.json'} --resume, or another folder",
        )
    optimizer = model.optimizer.variables
    shapes = {f"model/{i:04d}": tuple(w.shape) for i, w in enumerate(model.weights)}
    shapes |= {f"optimizer/{i:04d}": tuple(w.shape) for i, w in enumerate(optimizer)}
    shapes |= {f"best/{i:04d}": tuple(w.shape) for i, w in enumerate(model.weights)}
    arrays = read_arrays(path, shapes)
    model.set_weights([arrays[name] for name in shapes if name.startswith("model/")])
    for i, variable in enumerate(optimizer):
        variable.assign(arrays[f"optimizer/{i:04d}"])
    for name in _NUMBERS:
        setattr(state, name, meta["state"][name])
    state.best_weights = [arrays[name] for name in shapes if name.startswith("best/")]


def _meta(path: Path) -> dict[str, Any]:
    try:
        with h5py.File(path, "r") as file:
            return json.loads(np.asarray(file["meta"]).tobytes())
    except (OSError, KeyError, ValueError) as error:
        raise ArchiveError(
            "the checkpoint cannot be read", where=path, got=error, fix=f"remove {path}"
        ) from error


def _difference(saved: dict[str, str], wanted: dict[str, str]) -> str:
    if saved.get("frames") != wanted["frames"]:
        return "other frames, groups, mask, background or probe"
    old, new = json.loads(saved.get("settings", "{}")), json.loads(wanted["settings"])
    keys = [key for key in new if old.get(key) != new[key]]
    return ", ".join(f"{key}: {old.get(key)} then, {new[key]} now" for key in keys)
