"""The file of a prior: one NPZ with plain arrays, a checksum and a version; no code in it.

`w000`, `w001`, … are the weights in the order of the layers (float16 or float32); `record` is JSON
in bytes: `format`, `version`, `sha256` over all weights, and where they come from (hash of the
data, commit, seed, hours).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data import load_own, own_file, whole_file
from ptycho.errors import ArchiveError
from ptycho.nn import build_prior_net
from ptycho.prior.features import CHANNELS
from ptycho.prior.network import Prior

FORMAT, VERSION = "ptycho-prior", 3
_OLD_VERSIONS = 1, 2
_OLD_CHANNELS = 6
"""Of version 1, from before `ptycho.prior.shrinkage`."""
_SAME, _DEEP, _LATER = slice(0, 16), slice(28, 36), slice(40, 52)
_NEW_BLOCK_ENDS = 38
"""Where arrays of version 2 stand now, and the one that makes the new block nothing."""
AUTO = "auto"
SHIPPED = Path(__file__).with_name("shipped.npz")
MOST_WIDTH = 128
"""Filters at half size: 12.5 million weights."""
_MOST_BYTES = 64 << 20
_OTHER = "ptycho prior train DATA -o DIR, and give DIR/prior.npz; or `auto`"


def save_prior(path: Path, weights: Sequence[np.ndarray], record: dict[str, Any]) -> None:
    """Write weights as float16, whole or not at all.

    Args:
        path: of the file, .npz.
        weights: in the order of the layers.
        record: where they come from; JSON-able.
    """
    arrays: dict[str, Any] = {
        f"w{n:03d}": np.asarray(each, np.float16) for n, each in enumerate(weights)
    }
    record = {**record, "format": FORMAT, "version": VERSION, "sha256": _checksum(arrays)}
    text = np.frombuffer(json.dumps(record).encode(), np.uint8)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays, record=text)


def load_prior(path: str | Path) -> Prior:
    """The prior of a file; `auto`: the one in the package.

    Raises:
        ArchiveError: no such file, no prior, another version, damaged, or of another network.
    """
    path = SHIPPED if str(path) == AUTO else Path(path)
    what = "this file cannot be read as a prior"
    with own_file(path, what, writer="ptycho prior train", fix=_OTHER):
        arrays, record = load_own(path, "record", most_bytes=_MOST_BYTES)
    version = next((old for old in _OLD_VERSIONS if record.get("version") == old), VERSION)
    wanted = {"format": FORMAT, "version": version, "sha256": _checksum(arrays)}
    for key, value in wanted.items():
        if record.get(key) != value or isinstance(record[key], bool):  # True is 1
            raise ArchiveError(
                "these bytes are not those that were written"
                if key == "sha256"
                else "this is no prior that this version reads",
                where=path,
                expected=f"{key} {value}",
                got=f"{key} {record.get(key)}",
                fix=_OTHER,
            )
    try:
        _require_record(record)
        weights = _numbers(arrays)
        width = weights[0].shape[-1] if weights[0].ndim else 0
        if not 1 <= width <= MOST_WIDTH:  # or a short file would fill the memory
            raise ValueError(f"{width} filters, 1 to {MOST_WIDTH} are read")
        return Prior(_upgraded(weights, version), record)
    except (ValueError, IndexError) as error:
        raise ArchiveError(
            "the weights are those of another network", where=path, got=str(error), fix=_OTHER
        ) from error


def _numbers(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """In the order of the layers, as float32."""
    if not arrays:
        raise ValueError("no weights")
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{name} ({array.dtype}) holds what is no finite real number")
    return [arrays[name].astype(np.float32) for name in sorted(arrays)]


def _require_record(record: dict[str, Any]) -> None:
    """Of what is read of it later, the kind is what it should be."""
    names = record.get("objects_of", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"objects_of is no list of names: {names!r:.80}")


def _upgraded(weights: list[np.ndarray], version: int) -> list[np.ndarray]:
    """Weights of an older version in the network of now, whose answers stay the same.

    Version 1 did not look at the channels from `_OLD_CHANNELS` on; version 2 had no scale of an
    eighth and one block less at a quarter: what they do is nothing yet, and can be trained.
    """
    if version == 1:
        weights = _looking_past(weights)
    if version == VERSION:
        return weights
    grown = build_prior_net(CHANNELS, width=int(weights[0].shape[-1])).get_weights()
    grown[_SAME], grown[_DEEP], grown[_LATER] = weights[:16], weights[16:24], weights[24:]
    grown[_NEW_BLOCK_ENDS] = np.zeros_like(grown[_NEW_BLOCK_ENDS])
    return grown


def _looking_past(weights: list[np.ndarray]) -> list[np.ndarray]:
    first = weights[0]
    pixels = first.reshape(*first.shape[:2], -1, _OLD_CHANNELS, first.shape[-1])
    wider = np.pad(pixels, [(0, 0)] * 3 + [(0, CHANNELS - _OLD_CHANNELS), (0, 0)])
    return [wider.reshape(*first.shape[:2], -1, first.shape[-1]), *weights[1:]]


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
