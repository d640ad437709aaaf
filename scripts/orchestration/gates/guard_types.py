"""What a guard run is asked and what it answers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestration.core import Selector, parse_selector, payloads
from orchestration.sandbox import Opened

MOST_LINES, MOST_OF_A_REASON = 4, 400
Verdict = Literal["pass", "fail", "error", "not-run", "tampered"]


@dataclass(frozen=True)
class GuardSpec:
    """What to run and where.

    `node_ids` is the exact set (as `selectors.collect` gave it on the trusted commit); without it
    `selector` (see `core.selectors`) decides and must match at least one test.
    `import_roots` are folders of the checkout, `products` the packages in them (found when None).
    `plugins` are pytest plugins to load by module name; no other is loaded. `touched` are lines (by
    path) of which the run tells whether they ran (see `relevance`).
    """

    checkout: Path
    node_ids: Sequence[str] | None = None
    selector: str | Sequence[str] = ""
    python: str = sys.executable
    import_roots: Sequence[str] = (".",)
    products: Sequence[str] | None = None
    timeout_s: float = 600.0
    idle_s: float | None = None
    log_path: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    keep_env: Sequence[str] = ()
    plugins: Sequence[str] = ()
    isolation: str = "auto"
    opened: Opened = field(default_factory=lambda: Opened(network=False))
    max_processes: int = 4096
    touched: Mapping[str, Sequence[int]] = field(default_factory=dict)
    changed: Sequence[str] = ()
    """Paths of which the run tells whether they were opened (see `reading`)."""
    trusted: Sequence[str] = ()
    """Files that nothing may write while the guard runs: tests, fixtures, configuration."""
    backwards: bool = False
    """Run the tests in the opposite order."""

    def targets(self) -> tuple[str, ...]:
        """Files and folders to hand to pytest, each once."""
        exact = self.node_ids is not None
        return (Selector(tuple(self.node_ids or ())) if exact else self.asked).paths

    @property
    def asked(self) -> Selector:
        """The selector, read."""
        return parse_selector(self.selector)


@dataclass(frozen=True)
class GuardResult:
    """The verdict and all evidence for it.

    `nodes` maps every expected id to passed, failed, error, skipped, xfailed, xpassed or missing;
    `messages` holds the first failure text of each that did not pass; `origins` where each product
    package was imported from; `flaky` the ids that failed once and passed when run again.
    """

    verdict: Verdict
    reason: str
    nodes: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    log_path: Path | None = None
    isolation: str = "scan"
    process_limit: str = "none"
    coverage: dict[str, Any] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    through: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of tests that failed: the files that the failure went through, as pytest names them."""
    origins: dict[str, list[str]] = field(default_factory=dict)
    collected: tuple[str, ...] = ()
    timed_out: str | None = None
    exit_code: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    flaky: tuple[str, ...] = ()
    output_tail: str = ""
    opened: tuple[str, ...] = ()
    """Which of the spec's `changed` files the run opened."""
    unseen: bool = False
    """Whether some of what it opened may have been missed."""
    dropped: tuple[str, ...] = ()
    """Settings of the repository that no loaded plugin and no conftest file registers."""
    one_order: bool = False
    """Whether it passes in one order of its tests only."""

    @property
    def passed(self) -> bool:
        """Anything but the verdict `pass` is not a pass."""
        return self.verdict == "pass"

    def side(self) -> payloads.GuardSide:
        """What log and receipt keep of the run."""
        return payloads.GuardSide(
            verdict=self.verdict,
            reason=self.reason,
            nodes=dict(sorted(self.nodes.items())),
            counts=dict(self.counts),
            isolation=self.isolation,
            process_limit=self.process_limit,
            flaky=self.flaky,
            coverage=dict(self.coverage),
            seconds=round(self.seconds, 3),
        )

    @property
    def red(self) -> list[str]:
        """The tests that did not pass."""
        return [name for name, state in sorted(self.nodes.items()) if state != "passed"]

    @property
    def because(self) -> str:
        """The first lines of the first failure, in one line; "" where nothing was said."""
        named = [self.messages[name] for name in self.red if name in self.messages]
        text = next(iter(named or self.messages.values()), "")
        errors = [row[1:].strip() for row in text.splitlines() if row.startswith("E ")]
        lines = errors or [row.strip() for row in text.splitlines() if row.strip()]
        return " | ".join(lines[:MOST_LINES])[:MOST_OF_A_REASON]

    @property
    def counted(self) -> str:
        """`3 passed, 1 failed`, or why nothing ran."""
        return self.side().tests or self.reason or "no tests"
