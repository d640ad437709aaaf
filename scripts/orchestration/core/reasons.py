"""Why a run ended, and the exit code that says so."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from orchestration.errors import HarnessError


class ExitReason(Enum):
    """Every way in which a run can end; the value is the process's exit code."""

    DONE = 0
    CHECKS_RED = 1
    USAGE = 2
    BUDGET = 3
    STALLED = 4
    TAMPER = 5
    BLOCKED_ON_USER = 6
    DISK_FULL = 74
    RETRY_LATER = 75
    INTERRUPTED = 130

    @property
    def code(self) -> int:
        """The exit code of a process that ends for this reason."""
        return int(self.value)


class Interrupted(KeyboardInterrupt):
    """A signal asks the run to end; `code` is the exit code that tells of it (128 + number)."""

    def __init__(self, name: str, code: int) -> None:
        self.name, self.code = name, code
        super().__init__(name)


class Stop(HarnessError):
    """Ends a run at once with a typed reason."""

    def __init__(self, reason: ExitReason, what: str, **details: object) -> None:
        fix = details.pop("fix", None)
        super().__init__(
            what,
            where=details.get("where"),
            expected=details.get("expected"),
            got=details.get("got"),
            fix=None if fix is None else str(fix),
            exit_code=reason.code,
        )
        self.reason = reason


class RetryLater(Stop):
    """Ends a run because the agent's program or service is out; `at` is when to try again."""

    def __init__(self, what: str, at: datetime | None) -> None:
        super().__init__(ExitReason.RETRY_LATER, what)
        self.at = at
