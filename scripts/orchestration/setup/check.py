"""One examined thing of `doctor`: what was found and what to type."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One examined thing. `fix` is what to type, "" when nothing needs fixing."""

    name: str
    state: State
    found: str
    fix: str = ""

    @property
    def mark(self) -> str:
        """`ok`, `warn` or `FAIL`, for a terminal."""
        return "FAIL" if self.state == "fail" else self.state

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)
