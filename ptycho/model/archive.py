"""A run folder: what was trained, in files that hold data and no code.

`manifest.json` (schema version and the SHA-256 of every other file), `config.json` (the effective
training configuration), `model.json` (`ModelRecord`), `weights.h5` (one float32 dataset a weight,
and the detector mask), `history.csv`. Loading parses JSON against a closed schema and copies
numbers of known shape into a model that is built here by name; nothing in the folder can name a
class, a module or a path, and HDF5 links out of the file are refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ptycho.config import TrainConfig
from ptycho.data import whole_file, write_json
from ptycho.errors import ArchiveError

if TYPE_CHECKING:
    from ptycho.model.pinn import PtychoPINN

SCHEMA = 1
MANIFEST, CONFIG, MODEL, WEIGHTS = "manifest.json", "config.json", "model.json", "weights.h5"
_FILES = (CONFIG, MODEL, WEIGHTS)
_MAX_SIDE = 4096
_MAX_OPTION = 1024


class ModelRecord(BaseModel):
    """What rebuilds a model, besides its weights. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    N: int = Field(ge=4, le=_MAX_SIDE)
    gridsize: int = Field(ge=1, le=8)
    network: str
    network_options: dict[str, int | float | str | bool]
    loss: str
    canvas_size: int = Field(ge=4, le=4 * _MAX_SIDE)
    estimate_steps: int | tuple[Annotated[int, Field(ge=0, le=200)], ...]
    probe_modes: int = Field(ge=1, le=64)
    probe_unit: float = Field(gt=0)
    lit_px: int = Field(ge=1, le=_MAX_SIDE)
    probe_trainable: bool
    scale_trainable: bool
    scaling: dict[str, float]
    seed: int = Field(ge=0)


@dataclass(frozen=True)
class Run:
    """A loaded run: the model with its weights, and how it was trained."""

    path: Path
    model: PtychoPINN
    config: TrainConfig
    config_hash: str


def save_run(model: PtychoPINN, config: TrainConfig, folder: str | Path) -> Path:
    """Write the archive of a trained model into `folder`; each file whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = ModelRecord(
        N=model.N,
        gridsize=model.gridsize,
        network=model.spec.name,
        network_options=model.network_options,
        loss=model.loss_name,
        canvas_size=model.require_canvas(),
        estimate_steps=model.estimate_steps,
        probe_modes=int(model.probe_weight.shape[0]),
        probe_unit=model.probe_unit,
        lit_px=model.lit_px,
        probe_trainable=bool(model.probe_weight.trainable),
        scale_trainable=bool(model.log_scale.trainable),
        scaling=model.scaling.to_dict(),
        seed=model.seed,
    )
    write_json(folder / CONFIG, config.model_dump(mode="json"))
    write_json(folder / MODEL, record.model_dump(mode="json"))
    arrays = {f"weights/{index:04d}": np.asarray(w) for index, w in enumerate(model.weights)}
    write_arrays(folder / WEIGHTS, arrays | {"mask": model.mask})
    manifest = {
        "format": "ptycho-run",
        "schema": SCHEMA,
        "sha256": {name: file_sha256(folder / name) for name in _FILES},
    }
    write_json(folder / MANIFEST, manifest)
    return folder


def load_run(path: str | Path) -> Run:
    """Read a run folder that `save_run` wrote. No code in it is run, none is imported by it.

    Raises:
        ArchiveError: a file is missing, was altered, is of an unknown schema, or does not fit.
    """
    folder = Path(path)
    config, record = read_record(folder)
    _check_size(record, folder)
    model = _build(record, folder)
    shapes = {f"weights/{i:04d}": tuple(w.shape) for i, w in enumerate(model.weights)}
    arrays = read_arrays(folder / WEIGHTS, shapes | {"mask": (record.N, record.N)})
    model.mask = arrays.pop("mask")
    model.set_weights([arrays[name] for name in shapes])
    return Run(folder, model, config, file_sha256(folder / CONFIG)[:16])


def read_record(path: str | Path) -> tuple[TrainConfig, ModelRecord]:
    """How a run was trained and what its model is, without building it (no tensors).

    Raises:
        ArchiveError: as `load_run`, except for the weights' shapes.
    """
    folder = Path(path)
    _check_manifest(folder)
    return _parse(TrainConfig, folder / CONFIG), _parse(ModelRecord, folder / MODEL)


def load(path: str | Path) -> PtychoPINN:
    """The trained model of a run folder (`load_run(path).model`)."""
    return load_run(path).model


def _check_size(record: ModelRecord, folder: Path) -> None:
    """A record may not ask for more memory than its own weights' file bears out."""
    size = (folder / WEIGHTS).stat().st_size
    probe = record.probe_modes * record.N**2 * 8
    numbers = [value for value in record.network_options.values() if isinstance(value, int | float)]
    if probe > size or max(numbers, default=0) > _MAX_OPTION:
        raise ArchiveError(
            "the run describes a model that is larger than its weights",
            where=folder / MODEL,
            expected=f"a probe of at most {size} bytes, options up to {_MAX_OPTION}",
            got=f"a probe of {probe} bytes, options {record.network_options}",
        )


def _build(record: ModelRecord, folder: Path) -> PtychoPINN:
    from ptycho.errors import PtychoError
    from ptycho.model.pinn import PtychoPINN
    from ptycho.physics import Scaling

    try:
        model = PtychoPINN(
            record.N,
            record.gridsize,
            np.ones((record.probe_modes, record.N, record.N), np.complex64),
            Scaling.from_dict(record.scaling),
            network=record.network,
            network_options=record.network_options,
            loss=record.loss,
            probe_trainable=record.probe_trainable,
            scale_trainable=record.scale_trainable,
            canvas_size=record.canvas_size,
            estimate_steps=record.estimate_steps,
            seed=record.seed,
        )
    except (PtychoError, TypeError, ValueError) as error:
        raise ArchiveError(
            "the run describes a model that cannot be built", where=folder / MODEL, got=error
        ) from error
    model.probe_unit, model.lit_px = record.probe_unit, record.lit_px
    return model


def _check_manifest(folder: Path) -> None:
    if not (folder / MANIFEST).is_file():
        raise ArchiveError(
            "this is no finished run",
            where=folder,
            expected=f"a folder with {MANIFEST}, written by `ptycho train`",
            got="no such folder" if not folder.is_dir() else "no manifest",
            fix=f"ptycho train SCAN -o {folder} --resume   (if it was interrupted)",
        )
    manifest = _json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != "ptycho-run":
        raise ArchiveError("the manifest is not that of a run", where=folder / MANIFEST)
    if manifest.get("schema") != SCHEMA:
        raise ArchiveError(
            "the run has a schema that this version does not read",
            where=folder / MANIFEST,
            expected=SCHEMA,
            got=manifest.get("schema"),
        )
    noted = manifest.get("sha256")
    for name in _FILES:
        found = file_sha256(folder / name) if (folder / name).is_file() else "no file"
        wanted = noted.get(name) if isinstance(noted, dict) else None
        if found != wanted:
            raise ArchiveError(
                "a file of the run is missing or was altered",
                where=folder / name,
                expected=f"sha256 {wanted}",
                got=found,
                fix="copy the run again, or train it again",
            )


def _parse(kind: type[Any], path: Path) -> Any:
    try:
        return kind.__pydantic_validator__.validate_python(_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ArchiveError(
            "a file of the run does not follow its schema",
            where=f"{path}: {'.'.join(map(str, first['loc']))}",
            expected=first["msg"],
            got=repr(first["input"])[:200],
        ) from None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArchiveError(
            "a file of the run cannot be read", where=path, expected="JSON", got=error
        ) from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_arrays(path: Path, arrays: dict[str, np.ndarray], meta: Any = None) -> None:
    """Arrays by name into one HDF5 file, whole or not at all; `meta` is kept as JSON text."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        if meta is not None:
            file["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)


def read_arrays(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The named arrays, each of numbers, stored in this very file, and of the shape expected.

    Raises:
        ArchiveError: anything else (a link to another file, another type, shape or name).
    """
    try:
        with h5py.File(path, "r") as file:
            return {name: _array(file, name, shape, path) for name, shape in shapes.items()}
    except (OSError, KeyError, ValueError) as error:
        raise ArchiveError(
            "the weights of the run cannot be read", where=path, expected="HDF5", got=error
        ) from error


def _array(file: h5py.File, name: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        inner = "/".join(parts[:depth])
        link = file.get(inner, getlink=True)
        if not isinstance(link, h5py.HardLink):
            kind = "nothing" if link is None else type(link).__name__
            raise ArchiveError(
                "an array of the run is not in its file",
                where=f"{path}:/{inner}",
                expected="a dataset",
                got=kind,
            )
    dataset = file[name]
    plain = isinstance(dataset, h5py.Dataset) and dataset.dtype.kind in "fiu"
    if not plain or dataset.is_virtual or dataset.external or dataset.shape != shape:
        got = f"{dataset.dtype} {dataset.shape}" if isinstance(dataset, h5py.Dataset) else "a group"
        raise ArchiveError(
            "an array of the run does not fit the model",
            where=f"{path}:/{name}",
            expected=f"numbers {shape}, stored in the file",
            got=got,
        )
    return dataset[()]
