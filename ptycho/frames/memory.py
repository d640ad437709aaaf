"""How much memory this process may still take."""

from __future__ import annotations

import resource

import psutil

SHARE = 0.8


def free_bytes() -> int:
    """Bytes that may be allocated: most of what is free, and half of the process's own limit."""
    free = SHARE * psutil.virtual_memory().available
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return int(free if limit == resource.RLIM_INFINITY else min(free, limit / 2))
