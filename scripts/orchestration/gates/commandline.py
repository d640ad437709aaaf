"""Reading commands of documents and results of guards: small helpers of the gates."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.core import payloads
from orchestration.gates.guard import GuardResult


def interpreter(argv: Sequence[str], python: str) -> list[str]:
    """`python …` means the configured interpreter, whatever PATH says."""
    words = list(argv)
    if words and words[0] in ("python", "python3"):
        words[0] = python
    return words


def summary(result: GuardResult) -> payloads.GuardSide:
    """What log and receipt keep of a guard run."""
    return payloads.GuardSide(
        verdict=result.verdict,
        reason=result.reason,
        nodes=dict(sorted(result.nodes.items())),
        counts=dict(result.counts),
        isolation=result.isolation,
        process_limit=result.process_limit,
        flaky=result.flaky,
        coverage=dict(result.coverage),
        seconds=round(result.seconds, 3),
    )


def counts_text(result: GuardResult) -> str:
    """`3 passed, 1 failed`."""
    parts = [f"{number} {name}" for name, number in result.counts.items() if number]
    return ", ".join(parts) or result.reason or "no tests"
