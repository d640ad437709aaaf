"""The door to Dask: a client of a scheduler here, on this machine, or wherever one listens."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ptycho.errors import MissingPartError, UsageError

CONNECT_S = 5.0
LOCAL = "local"
"""In place of an address: a scheduler and workers of our own on this machine."""
LOOPBACK = "127.0.0.1:0"  # of the status pages; without it Dask offers them to every network


@contextmanager
def client(scheduler: str | None) -> Iterator[Any]:
    """A `distributed.Client`; what was started for it ends with it.

    Args:
        scheduler: `tcp://host:port` of a running one; `local`: worker processes on this machine,
            together as many threads as it has cores, each started anew where it dies; None: one
            thread inside this process.

    Raises:
        MissingPartError: dask.distributed is not installed.
        UsageError: no scheduler answers at that address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingPartError(
            "a scheduler needs dask.distributed, which is not installed",
            fix="pip install 'ptycho[cluster]'",
        ) from error
    pages = {"dashboard_address": LOOPBACK, "worker_dashboard_address": LOOPBACK}
    if scheduler is None:
        with (
            LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **pages) as cluster,
            Client(cluster) as found,
        ):
            found.loop.asyncio_loop.set_exception_handler(_forgive_timeouts)
            yield found
        return
    if scheduler == LOCAL:
        with (
            LocalCluster(processes=True, **pages) as cluster,
            Client(cluster) as found,
            _ending_quietly(),
        ):
            try:
                yield found
            finally:
                with suppress(OSError, TimeoutError):  # the scheduler may be gone before
                    found.run(_hush, on_error="ignore")
        return
    try:
        found = Client(scheduler, timeout=CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(
            "no Dask scheduler answers",
            where="--scheduler",
            expected=f"tcp://host:port of a running scheduler, or {LOCAL}",
            got=scheduler,
            fix="dask scheduler   (in another terminal; it prints its address)",
        ) from error
    with found, _ending_quietly():
        yield found


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """Afterwards Dask may end by force what does not end by itself, and need not tell.

    TensorFlow keeps a worker from ending in time, and a client whose scheduler is gone looks for it
    until its own end, which it logs with a traceback.
    """
    try:
        yield
    finally:
        for name in ("distributed.nanny", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _hush() -> None:
    """Runs in a worker of our own: a heartbeat that meets the end is logged with a traceback."""
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)


def n_workers(client: Any) -> int:
    """How many workers the scheduler of a client has now."""
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _forgive_timeouts(loop: Any, context: dict[str, Any]) -> None:
    """The cluster's own timers, cut short by its end, are no news to a person."""
    if not isinstance(context.get("exception"), TimeoutError):
        loop.default_exception_handler(context)
