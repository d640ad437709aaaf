"""What an order (``input.md``) holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from orchestration.documents.grammar import Command, Diagnostic, Ref

MODES = ("TDD", "Parity", "Perf", "Docs", "Implementation", "none")


class Contract(NamedTuple):
    """A rule the change must keep and the place that states it; ``line`` counts from 1."""

    ref: Ref | None
    rule: str
    line: int = 0


class Task(NamedTuple):
    """One step of an order. ``new`` means its path does not exist yet; ``text`` may have lines.

    ``creates``: the words of the task say that it makes what it names (``new`` says so too).
    """

    row_id: str = ""
    state: str = " "
    verb: str = ""
    refs: tuple[Ref, ...] = ()
    text: str = ""
    verify: str | None = None
    new: bool = False
    creates: bool = False
    line: int = 0


class ArtifactTarget(NamedTuple):
    """A file the order promises and what it proves."""

    name: str
    meaning: str = ""
    line: int = 0


class FindingRef(NamedTuple):
    """A finding the order adheres to; ``id`` is empty for text such as ``none (searched: x)``."""

    id: str
    text: str = ""
    line: int = 0


class Section(NamedTuple):
    """A section without a field of its own, kept as written."""

    title: str
    text: str
    line: int = 0


@dataclass(slots=True)
class Order:
    """The worker's order, from whatever form it was written in (``source`` says which).

    ``selector_reason`` says why ``selector`` is "none".
    ``repeated`` are (key, value) of header lines that contradict an earlier line of their key.
    """

    focus: str = ""
    item_id: str = ""
    row: str | None = None
    mode: str | None = None
    selector: str | None = None
    selector_new: bool = False
    selector_reason: str = ""
    branch: str | None = None
    base: str | None = None
    budget: str | None = None
    hypothesis: str | None = None
    intent: str = ""
    title: str = ""
    number: str | None = None
    goal: str = ""
    contracts: list[Contract] = field(default_factory=list)
    interfaces: str = ""
    pseudocode: str = ""
    tasks: list[Task] = field(default_factory=list)
    checks: list[Command] = field(default_factory=list)
    artifacts: list[ArtifactTarget] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    may_edit_tests: list[str] = field(default_factory=list)
    if_blocked: str = ""
    findings: list[FindingRef] = field(default_factory=list)
    retry_reason: str | None = None
    rows: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    source: str = "canonical"
    lines: dict[str, int] = field(default_factory=dict)
    foci: list[str] = field(default_factory=list)
    selectors: list[tuple[str, int]] = field(default_factory=list)
    repeated: list[tuple[str, str]] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def line(self, name: str) -> int:
        """Return the line (from 1) of a header key or section, 0 when it is absent."""
        return self.lines.get(name, 0)
