"""Run the arms of a study on Dask: in this process by default, on any scheduler when asked.

An arm is a plain dict and a function that can be imported, so that the same call works in a
thread here and in a worker on another machine. A worker that dies is replaced by another: the
scheduler gives its arms out again. An arm that raises does not stop the others.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ptycho import cluster
from ptycho.errors import PtychoError, UsageError


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
        scheduler: of Dask, as `ptycho.cluster.client` takes it; None starts one inside this
            process, which runs one arm at a time (TensorFlow uses all cores by itself).
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
    with cluster.client(scheduler) as client:
        from distributed import as_completed

        if progress and scheduler is not None:
            progress(0, len(arms), {"workers": cluster.n_workers(client)})
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
