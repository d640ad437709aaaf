"""What made a result, beside its settings: the versions of all that could change a number."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("ptycho", "keras", "numpy", "tensorflow", "tensorflow-cpu", "torch", "jax", "jaxlib")


def versions() -> dict[str, str]:
    """Of Python and of every package that could change a number, where it is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
