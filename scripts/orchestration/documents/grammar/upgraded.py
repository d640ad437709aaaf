"""A document after its old forms were upgraded: each line knows the line that it came from."""

from __future__ import annotations

from bisect import bisect_right

from orchestration.documents.grammar.text import BOM, SourceText


class Upgraded:
    """Lines of the canonical form and, for each, its line in the old text (from 0; -1: none).

    ``form`` names the old form, "canonical" when nothing was upgraded.
    """

    def __init__(self, old: SourceText) -> None:
        self.old = old
        self.lines: list[str] = []
        self.origins: list[int] = []
        self.form = "canonical"

    def add(self, text: str, origin: int = -1) -> None:
        """Append a line."""
        self.lines.append(text)
        self.origins.append(origin)

    @property
    def text(self) -> str:
        """The whole text, with the line endings and the byte order mark of the old one."""
        if self.form == "canonical":
            return self.old.text
        mark = self.old.text[:1] if self.old.text.startswith(BOM) else ""
        return mark + self.old.newline.join([*self.lines, ""])

    def line_of(self, line: int) -> int:
        """Return the old line (from 1) of a line (from 1) of the upgraded text, 0 stays 0.

        A line that is new answers with the line before it that is not.
        """
        if self.form == "canonical" or line < 1:
            return line
        at = min(line, len(self.origins)) - 1
        while at >= 0 and self.origins[at] < 0:
            at -= 1
        return self.origins[at] + 1 if at >= 0 else 1

    def offset_of(self, new: SourceText, offset: int) -> int:
        """Return the old offset of an offset in the upgraded text ``new``, -1 where it is new.

        A line that ends in the words of the old one (other indentation, a key before it) has it.
        """
        if offset < 0:
            return -1
        at = bisect_right(new.starts, offset) - 1
        origin = self.origins[at] if 0 <= at < len(self.origins) else -1
        if origin < 0 or origin >= len(self.old.lines):
            return -1
        old = self.old.lines[origin]
        words = old.strip()
        if not words or not new.lines[at].endswith(words):
            return -1
        column = offset - new.starts[at] - (len(new.lines[at]) - len(words))
        indent = len(old) - len(old.lstrip())
        return self.old.starts[origin] + indent + column if column >= 0 else -1
