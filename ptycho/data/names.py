"""What a scan file is called without its ending; dots inside a name belong to the name."""

from __future__ import annotations

from pathlib import Path

ENDINGS = (".npz", ".cxi", ".h5", ".hdf5", ".nxs", ".nexus", ".ptyd", ".ptyr")


def scan_stem(path: Path) -> str:
    """`s_0.5um.npz.bz2` → `s_0.5um`; a name without a known ending stays as it is."""
    name = path.name
    lower = name.lower().removesuffix(".bz2")
    for ending in ENDINGS:
        if lower.endswith(ending) and len(lower) > len(ending):
            return name[: len(lower) - len(ending)]
    return name
