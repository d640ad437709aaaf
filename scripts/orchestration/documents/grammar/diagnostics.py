"""Coded, located findings about a document: what is wrong, where, and what to type next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from orchestration.errors import HarnessError

Severity = Literal["error", "warning"]


def printable(text: str) -> str:
    """Return ``text`` safe for any UTF-8 stream: lone surrogates and controls are escaped."""
    if text.isprintable():  # nearly every text is
        return text
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in clean)


def printable_lines(text: str) -> str:
    """``printable`` for a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


class Diagnostic(NamedTuple):
    """One finding of a reader or a validator.

    ``code`` is a key of ``codes.CODES``; ``line`` counts from 1, 0 means the document as a whole.
    """

    code: str
    severity: Severity
    path: str
    line: int
    message: str
    fix: str = ""

    def render(self) -> str:
        """Return the one-line form ``E03 input.md:14: message fix: …``."""
        where = f"{self.path}:{self.line}" if self.line else self.path
        fix = f" fix: {self.fix}" if self.fix else ""
        return printable(f"{self.code} {where}: {self.message}{fix}")

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form of this diagnostic."""
        return {
            "code": self.code,
            "severity": self.severity,
            "path": printable(self.path),
            "line": self.line,
            "message": printable(self.message),
            "fix": printable(self.fix),
        }


def make(code: str, path: str, line: int, message: str, fix: str = "") -> Diagnostic:
    """Build a diagnostic; codes that start with E are errors, the others warnings."""
    severity: Severity = "error" if code.startswith("E") else "warning"
    return Diagnostic(code, severity, path, line, message, fix)


def not_text(path: str, line: int) -> Diagnostic:
    """Return the diagnostic of a binary document."""
    message = "NUL bytes: this is a binary file, or UTF-16"
    return make("E00", path, line, message, "save it as UTF-8 text")


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Tell whether any diagnostic is an error."""
    return any(d.severity == "error" for d in diagnostics)


class DocumentError(HarnessError):
    """A document cannot be read or an edit names something that is not in it."""
