"""What commands of documents name: tests (asked of pytest in a checkout), and an interpreter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from orchestration.errors import HarnessError
from orchestration.gates.guard import GuardSpec, collect_ids
from orchestration.sandbox import Opened


def interpreter(argv: Sequence[str], python: str) -> list[str]:
    """`python …` means the configured interpreter, whatever PATH says."""
    words = list(argv)
    if words and words[0] in ("python", "python3"):
        words[0] = python
    return words


def collect(
    checkout: Path,
    selector: str | Sequence[str],
    python: str = sys.executable,
    *,
    import_roots: Sequence[str] = (".",),
    timeout_s: float = 120.0,
    plugins: Sequence[str] = (),
    strict: bool = False,
    isolation: str = "auto",
    opened: Opened | None = None,
) -> list[str]:
    """Exact node ids that `selector` names in `checkout`, in collection order; [] for none.

    The same ini, plugins and import roots as in a guard run apply, so the ids are those the guard
    will see. With `strict`, a file that cannot be collected is a HarnessError with pytest's words.
    """
    spec = GuardSpec(
        Path(checkout),
        selector=selector,
        python=python,
        import_roots=import_roots,
        timeout_s=timeout_s,
        plugins=plugins,
        isolation=isolation,
        opened=opened or Opened(network=False),
    )
    ids, problems = collect_ids(spec)
    if strict and problems:
        raise HarnessError(
            "pytest cannot collect the selector",
            where=checkout,
            expected=str(spec.asked),
            got=problems[0][-1500:],
        )
    return ids
