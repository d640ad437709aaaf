"""Run the arms of a study on Dask: in this process by default, on any scheduler when asked.

An arm is a plain dict and a function that can be imported, so that the same call works in a
thread here and in a worker on another machine. A worker that dies is replaced by another: the
scheduler gives its arms out again. An arm that raises does not stop the others.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ptycho.errors import MissingPartError, PtychoError, UsageError

CONNECT_S = 5.0
LOOPBACK = "127.0.0.1:0"  # of the status pages; without it Dask offers them to every network


@dataclass(frozen=True)
class Outcome:
    """What became of one arm: a `result`, or the `error` that ended it (one line)."""

    arm: dict[str, Any]
    result: dict[str, Any] | None
    error: str | None


def run_arms(
    arms: Sequence[dict[str, Any]],
    run: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    scheduler: str | None = None,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> list[Outcome]:
    """Run every arm and return the outcomes in the order of `arms`.

    Args:
        arms: one JSON-able dict an arm, each with a unique `name`.
        run: an importable function of one arm.
        scheduler: `tcp://host:port` of a Dask scheduler; None starts one inside this process,
            which runs one arm at a time (TensorFlow uses all cores by itself).
        progress: called as `(done, total, {"arm": name})` after each arm.

    Raises:
        MissingPartError: dask.distributed is not installed.
        UsageError: no scheduler answers at that address.
    """
    names = [arm["name"] for arm in arms]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UsageError("two arms have one name", expected="a name for each", got=", ".join(twice))
    if scheduler is None and find_spec("distributed") is None:
        return _one_after_another(arms, run, progress)
    outcomes: dict[str, Outcome] = {}
    with _client(scheduler) as client:
        from distributed import as_completed

        if progress and scheduler is not None:
            progress(0, len(arms), {"workers": len(client.scheduler_info(n_workers=-1)["workers"])})
        futures = {
            client.submit(_answer, run, arm, key=f"arm-{arm['name']}", pure=False): arm
            for arm in arms
        }
        for future in as_completed(futures):
            arm = futures[future]
            outcomes[arm["name"]] = _outcome(arm, future)
            if progress:
                progress(len(outcomes), len(arms), {"arm": arm["name"]})
    return [outcomes[arm["name"]] for arm in arms]


def _one_after_another(
    arms: Sequence[dict[str, Any]],
    run: Callable[[dict[str, Any]], dict[str, Any]],
    progress: Callable[[int, int, dict[str, Any]], None] | None,
) -> list[Outcome]:
    """The arms without Dask, which only a scheduler elsewhere needs."""
    outcomes = []
    for arm in arms:
        outcomes.append(Outcome(arm, *_answer(run, arm)))
        if progress:
            progress(len(outcomes), len(arms), {"arm": arm["name"]})
    return outcomes


def _answer(
    run: Callable[[dict[str, Any]], dict[str, Any]], arm: dict[str, Any]
) -> tuple[dict[str, Any] | None, str | None]:
    """(result, None) or (None, why not): an arm that raises is an answer, not a failed task."""
    try:
        return run(arm), None
    except PtychoError as error:
        return None, "; ".join(line.strip() for line in str(error).splitlines())
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return None, f"{error!r} in {Path(place.filename).name}, line {place.lineno}"


def _outcome(arm: dict[str, Any], future: Any) -> Outcome:
    problem = future.exception()
    if problem is not None:  # not the arm: its worker, or the way to it
        return Outcome(arm, None, " ".join(str(problem).split()))
    return Outcome(arm, *future.result())


@contextmanager
def _client(scheduler: str | None) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingPartError(
            "studies run on dask.distributed, which is not installed",
            fix="pip install 'ptycho[cluster]'",
        ) from error
    if scheduler is None:
        with (
            LocalCluster(
                n_workers=1,
                threads_per_worker=1,
                processes=False,
                dashboard_address=LOOPBACK,
                worker_dashboard_address=LOOPBACK,
            ) as cluster,
            Client(cluster) as client,
        ):
            client.loop.asyncio_loop.set_exception_handler(_forgive_timeouts)
            yield client
        return
    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(
            "no Dask scheduler answers",
            where="--scheduler",
            expected="tcp://host:port of a running scheduler",
            got=scheduler,
            fix="dask scheduler   (in another terminal; it prints its address)",
        ) from error
    with client:
        yield client


def _forgive_timeouts(loop: Any, context: dict[str, Any]) -> None:
    """The cluster's own timers, cut short by its end, are no news to a person."""
    if not isinstance(context.get("exception"), TimeoutError):
        loop.default_exception_handler(context)
