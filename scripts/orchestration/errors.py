"""One exception tree for the harness; `orchestration.cli.main` turns it into words."""

from __future__ import annotations


class HarnessError(Exception):
    """A condition that a person can fix: what, where, expected, got, and the next command."""

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        fix: str | None = None,
        exit_code: int | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.got, self.fix = what, where, expected, got, fix
        if exit_code is not None:
            self.exit_code = exit_code
        rows = [("where", where), ("expected", expected), ("got", got), ("fix", fix)]
        lines = [what] + [f"  {name}: {value}" for name, value in rows if value is not None]
        super().__init__("\n".join(lines))
