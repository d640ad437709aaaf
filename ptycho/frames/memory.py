"""How much memory this process may still take, and how much of it frames may fill."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil

from ptycho.errors import ConfigError

SHARE = 0.8
VARIABLE = "PTYCHO_FRAMES_MIB"
ALLOWANCE_MIB = 1536.0
LEAST_MIB = 8.0
BLOCK_BYTES = 16 << 20
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def free_bytes() -> int:
    """Bytes that may be allocated: most of what is free, and half of the process's own limit.

    What is free in the machine or, where that is less, in the limit of a container.
    """
    free = SHARE * min(psutil.virtual_memory().available, _free_in_group())
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return int(free if limit == resource.RLIM_INFINITY else min(free, limit / 2))


def _free_in_group() -> float:
    """What the control group allows, less what this process holds; its caches give way."""
    for path in LIMITS:
        try:
            return float(Path(path).read_text()) - psutil.Process().memory_info().rss
        except (OSError, ValueError):  # not there, or "max"
            continue
    return float("inf")


def allowance_bytes() -> int:
    """Bytes that a command may fill with what follows the number of frames.

    `PTYCHO_FRAMES_MIB` of the environment, else 1.5 GiB: frames, estimates and canvases above it
    stay in their file, or wait in a temporary one. What is made of them is the same.

    Raises:
        ConfigError: the variable is no number of at least 8.
    """
    said = os.environ.get(VARIABLE, "")
    try:
        mib = float(said) if said.strip() else ALLOWANCE_MIB
    except ValueError:
        mib = 0.0
    if not mib >= LEAST_MIB:
        raise ConfigError(
            "the memory for frames cannot be meant",
            where=VARIABLE,
            expected=f"MiB, at least {LEAST_MIB:g}",
            got=repr(said),
            fix=f"unset {VARIABLE}",
        )
    return int(min(mib, 2.0**40) * 2**20)


def block_bytes() -> int:
    """Bytes of float32 frames that are read and worked on at once; what is made of them is more."""
    return min(BLOCK_BYTES, allowance_bytes() // 32)
