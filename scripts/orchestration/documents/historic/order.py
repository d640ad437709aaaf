"""The door for orders: any historic form is upgraded to today's, line by line.

Every line of the result knows the line that it came from, so that a diagnostic names the place
where a person finds it. What the old forms call otherwise is renamed (`order_names`), bare titles
become headings, keys among the tasks move to the header, commands among numbered steps move to a
fence under ``## Checks`` while the steps stay as written. No line is invented.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from orchestration.documents.grammar import (
    Blocks,
    Entry,
    Heading,
    KeyLine,
    SourceText,
    Upgraded,
    below,
    clean,
    entries,
    heading_of,
    is_command,
    is_sentence,
    parse_key,
    parse_row,
    scan,
    selector_of,
    spans_of,
    split_focus,
    split_keys,
    split_tee,
    strip_bullets,
    successive,
    take_none,
    title_key,
)
from orchestration.documents.historic.order_names import DO_NOW, HEADERS, canonical_mode
from orchestration.documents.historic.order_parts import Mark, parts_of

_NEW = re.compile(r"(?i)\b(?:new|author|create|to be (?:added|authored|created|written))\b")
_ANCHOR = re.compile(r"#([a-z][a-z0-9]*(?:-[a-z0-9]+)*?-\d{2,4})(?![0-9])")
_BRACKET = re.compile(r"\[([A-Z][A-Z0-9_]*(?:-[A-Za-z0-9_]+)+(?:\.[A-Z]{1,3}\d{1,3}[a-z]?)?)\]")
_ASIDE = re.compile(r"(?<![ \t])[ \t]+\((?!within:)[a-z][^()`'\"$]*\)[.]?$")
_ROW_KEYS = ("Selector", "Artifacts", "Rows")


class _Section(NamedTuple):
    """A section of the upgraded order: its title line and its body."""

    title: str
    origin: int
    body: list[tuple[str, int]]


def upgrade_order(text: str, path: str = "input.md") -> Upgraded:
    """Return the order in today's form; raises :class:`DocumentError` when it is too large."""
    blocks = scan(SourceText(text, path)).closed(path)
    return _Door(blocks, SourceText(text, path)).run()


def _without_aside(text: str) -> str:
    """Return a step without the words in parentheses at its end: ``pytest x (expect 1 passed)``."""
    match = _ASIDE.search(text)
    return text[: match.start()] if match else text


class _Door:
    def __init__(self, blocks: Blocks, old: SourceText) -> None:
        self.blocks, self.old = blocks, old
        self.lines = blocks.source.lines
        self.header: list[tuple[str, int]] = []
        self.sections: list[_Section] = []
        self.artifacts: list[tuple[str, int]] = []
        self.promised: set[str] = set()
        self.commands: list[tuple[str, int]] = []
        self.selectors: list[str] = []
        self.changed = False
        self.focus = False
        self.foci: list[tuple[str, str | None]] = []
        self.dialect = False
        #: The key of the header whose values are the bullets below it.
        self.values_of: str | None = None
        #: The line of the selector that the list began with.
        self.listed_at = -1

    def run(self) -> Upgraded:
        """Read the pieces in the order of the document and put them together."""
        title, marks, stop = parts_of(self.blocks)
        bare = any(m.line >= 0 and not heading_of(self.lines[m.line]) for m in marks)
        wrapper = [m for m in marks if m.name == "wrapper"]
        for number in range(stop):
            if title is None or number != title.line:
                self.header_line(number)
        while self.header and not self.header[-1][0].strip():
            self.header.pop()
        for mark in wrapper:
            for number in range(mark.line + 1, mark.end):
                self.header_line(number)
        for mark in marks:
            if mark.name != "wrapper":
                self.section(mark)
        self.infer_focus(title, marks)
        self.changed |= bare or bool(wrapper) or bool(self.artifacts) or bool(self.commands)
        upgraded = Upgraded(self.old)
        if not self.changed:
            return upgraded
        upgraded.form = self.form(marks, bare, bool(wrapper))
        if title is not None:
            upgraded.add(self.lines[title.line], title.line)
            upgraded.add("")
        self.put(upgraded, self.header)
        self.take_tees()
        if self.commands:
            first = next((s for s in self.sections if s.title == "## Checks"), None)
            if first is None:
                first = _Section("## Checks", -1, [])
                at = next(
                    (i for i, s in enumerate(self.sections) if s.title == "## Artifacts"), None
                )
                self.sections.insert(len(self.sections) if at is None else at, first)
            first.body[:0] = [("```sh", -1), *self.commands, ("```", -1)]
        if self.artifacts:
            self.sections.append(_Section("## Artifacts", -1, self.artifacts))
        for section in self.sections:
            if not section.body and section.title in ("## Checks", "## Artifacts"):
                continue
            if upgraded.lines and upgraded.lines[-1].strip():
                upgraded.add("")
            upgraded.add(section.title, section.origin)
            first_line = section.body[0] if section.body else ("", -1)
            if first_line[0].strip() and (first_line[1] < 1 or first_line[1] != section.origin + 1):
                upgraded.add("")
            self.put(upgraded, section.body)
        return upgraded

    def take_tees(self) -> None:
        """Take ``| tee FILE`` off the commands that were gathered: the file is an artifact."""
        for at, (text, number) in enumerate(self.commands):
            command, file = split_tee(text)
            if file and not self.blocks.opaque[number]:  # a program in a fence stays as it is
                self.commands[at] = (command, number)
                name = file if "`" in file else f"`{file}`"
                self.artifacts.append((f"- {name}", number))

    def put(self, upgraded: Upgraded, lines: Sequence[tuple[str, int]]) -> None:
        kept = list(lines)
        while kept and not kept[-1][0].strip():
            kept.pop()
        for text, origin in kept:
            upgraded.add(text, origin)

    def header_line(self, number: int) -> None:
        line = self.lines[number]
        if self.blocks.opaque[number]:
            self.header.append((line, number))
            return
        if self.values_of is not None and strip_bullets(line)[1]:
            value = line[strip_bullets(line)[0] :].strip()
            if value and parse_key(line) is None:
                self.key_value(self.values_of, value, number)
                self.changed = True
                return
        if line.strip():
            self.values_of = None
        parts = split_keys(line, HEADERS)
        keys = [parse_key(part, number) for part in parts]
        names = [HEADERS.get(key.key) if key else None for key in keys]
        today = all(n is None or self.is_today(k, n) for k, n in zip(keys, names, strict=True))
        if today and (len(parts) == 1 or "|" not in line):
            for key, name in zip(keys, names, strict=True):
                self.note(key, name)
            self.header.append((line, number))
            return
        self.changed = True
        for part, key, name in zip(parts, keys, names, strict=True):
            if key is None or name is None:
                self.header.append((part.strip().strip("|").strip(), number))
                self.note(key, name)
            else:
                self.key_value(name, key.value, number)
                if not clean(key.value) and name in _ROW_KEYS:
                    self.values_of = name

    def is_today(self, key: KeyLine | None, name: str) -> bool:
        """Whether a header line says what it says as the canonical form does."""
        if key is None or key.raw_key != name or key.bullet or key.qualifier:
            return False
        value = clean(key.value)
        if name == "Artifacts" or (not value and name in _ROW_KEYS):
            return False
        if name == "Selector":
            return self.selector_value(value) == value and not self.selectors
        if name == "Mode":
            return canonical_mode(value) in (None, value)
        if name == "Focus":
            return _with_id(value) == value
        return not (name == "Intent" and value.endswith(".md"))

    def note(self, key: KeyLine | None, name: str | None) -> None:
        """Remember what a line that stays as it is says."""
        if key is None:
            return
        if name == "Focus" and clean(key.value):
            self.focus = True
            item_id, row = split_focus(key.value)
            self.foci += [(item_id, row), (item_id, None)]
        elif name == "Selector" and clean(key.value):
            self.selectors.append(clean(key.value))
        elif key.key in ("actiontype", "decisionstatus"):
            self.dialect = True

    def key_value(self, name: str, raw: str, number: int) -> None:
        """Put one value of a header key where today's form has it."""
        value = clean(raw)
        self.changed = True
        if name == "Artifacts":
            if value and value not in self.promised:
                self.promised.add(value)
                self.artifacts.append((f"- {raw.strip()}", number))
            return
        if name == "Selector":
            if value:
                self.selector(value, number)
            return
        if not value:
            self.header.append((f"{name}:", number))
            return
        if name == "Focus" and self.focus and split_focus(value) in self.foci:
            return  # the item that the header names already
        if name == "Mode":
            value = canonical_mode(value) or value
        elif name == "Intent" and value.endswith(".md"):
            name = "Summary-file"
        elif name == "Focus":
            self.focus = True
            value = _with_id(raw.strip())
            item_id, row = split_focus(value)
            self.foci += [(item_id, row), (item_id, None)]
        if (f"{name}: {value}", number) not in self.header[-1:]:
            self.header.append((f"{name}: {value}", number))

    def selector_value(self, value: str) -> str:
        """Return a selector as the canonical form says it."""
        none = take_none(value)
        if none is not None:
            return f"none — {none}" if none else "none"
        new = value.lower().startswith("new:")
        bare = value[4:].strip() if new else value
        found = selector_of(bare)
        if found is None:
            return value
        rest = bare
        for word in found.split():
            rest = rest.replace(word.strip("'"), " ")
        return f"new: {found}" if new or _NEW.search(rest) else found

    def selector(self, value: str, number: int) -> None:
        """Keep a selector unless an earlier line of the header names the same tests."""
        found = self.selector_value(value)
        known = [tests for kept in self.selectors for tests in _tests(kept)]
        tests = _tests(found)
        if self.selectors and all(any(_within(t, k) for k in known) for t in tests):
            return
        before, above = self.header[-1] if self.header else ("", -1)
        if self.listed_at == above >= 0 and self.values_of == "Selector":
            self.header[-1] = (f"{before} {found}", above)
        else:
            self.header.append((f"Selector: {found}", number))
            self.listed_at = number if self.values_of == "Selector" else -1
        self.selectors.append(found)

    def body(self, mark: Mark) -> list[tuple[str, int]]:
        """Return the lines of a section; headings in it go one level below its title."""
        lines = [(below(mark.first), mark.line)] if mark.first else []
        for number in range(mark.line + 1, mark.end):
            lines.append((self.demoted(mark, number), number))
        return lines

    def demoted(self, mark: Mark, number: int) -> str:
        line = self.lines[number]
        opaque = self.blocks.opaque[number] or "#" not in line[:4]
        found = None if opaque else heading_of(line)
        if found is None:
            return line
        level = min(6, max(3, found[0] + 2 - mark.level))
        new = ("#" * level + " " + found[1]).rstrip()
        if level == found[0]:
            return line
        self.changed = True
        return new

    def section(self, mark: Mark) -> None:
        """Upgrade one section."""
        name = mark.name
        today = heading_of(self.lines[mark.line])
        if name == "Brief":
            self.brief(mark)
        elif name == "Selector":
            self.selector_section(mark)
        elif name == "Tasks":
            self.tasks(mark, do_now=title_key(mark.title) == "do now")
        elif name == "Checks":
            self.checks(mark)
        else:
            title = f"## {name or mark.title}".rstrip()
            same = today is not None and today[1] == (name or mark.title)
            if same and today is not None and (today[0] == 2 or (name is None and today[0] > 1)):
                title = self.lines[mark.line]
            else:
                self.changed = True
            self.sections.append(_Section(title, mark.line, self.body(mark)))

    def titled(self, mark: Mark, name: str) -> _Section:
        today = heading_of(self.lines[mark.line])
        if today == (2, name):
            section = _Section(self.lines[mark.line], mark.line, [])
        else:
            self.changed = True
            section = _Section(f"## {name}", mark.line, [])
        self.sections.append(section)
        return section

    def brief(self, mark: Mark) -> None:
        """A brief: header keys in its lines are header, the rest is the goal."""
        self.changed = True
        kept: list[tuple[str, int]] = [(below(mark.first), mark.line)] if mark.first else []
        for number in range(mark.line + 1, mark.end):
            line = self.demoted(mark, number)
            if self.blocks.opaque[number]:
                kept.append((line, number))
                continue
            for part in split_keys(line, HEADERS):
                key = parse_key(part, number)
                name = HEADERS.get(key.key) if key else None
                if key and name:
                    self.key_value(name, key.value, number)
                elif key and key.key in ("plan", "working plan", "refs", "references"):
                    self.header.append((part.strip(), number))
                else:
                    kept.append((part, number))
        while kept and not kept[0][0].strip():
            kept.pop(0)
        if any(text.strip() for text, _ in kept):
            self.sections.append(_Section("## Goal", mark.line, kept))

    def tasks(self, mark: Mark, *, do_now: bool) -> None:
        section = self.titled(mark, "Tasks")
        prose: list[tuple[str, int]] = []
        if mark.first:
            parts = split_keys(f"Do Now: {mark.first}", HEADERS)
            parts[0] = parts[0].removeprefix("Do Now: ")
            for part in parts:
                key = parse_key(part, mark.line)
                name = HEADERS.get(key.key) if key else None
                if key and name in DO_NOW:
                    self.do_now_key(key, str(name), mark.line)
                elif part.strip(" |\t"):
                    prose.append((below(part.strip(" |\t")), mark.line))
        found = entries(self.blocks, mark.line + 1, mark.end)
        for entry, following in successive(found):
            end = following.line if following else mark.end
            key = parse_key(entry.first, entry.line)
            name = HEADERS.get(key.key) if key else None
            if (
                key
                and name in DO_NOW
                and (entry.bullet or key.value)
                and (key.value or self.bulleted(entry))
            ):
                self.changed = True
                self.do_now(entry, end)
            elif entry.bullet:
                section.body.extend([(self.demoted(mark, n), n) for n in range(entry.line, end)])
            else:
                prose += [(self.demoted(mark, n), n) for n in range(entry.line, end)]
        prose = [(text, n) for text, n in prose if text.strip()]
        if prose and do_now and not any(self.blocks.opaque[n] for _, n in prose):
            self.changed = True
            (first, at), *rest = prose
            section.body.extend([(f"- {first.strip()}", at)])
            section.body.extend([(f"  {text.strip()}", n) for text, n in rest])
        elif prose:
            self.changed = True
            self.sections.append(_Section("## Tasks, as written", -1, prose))

    def bulleted(self, entry: Entry) -> bool:
        return any(strip_bullets(line)[1] for line in entry.detail)

    def do_now(self, entry: Entry, end: int) -> None:
        """Move a key among the tasks to the header, with the list below it."""
        for part in split_keys(entry.first, HEADERS):
            key = parse_key(part, entry.line)
            name = HEADERS.get(key.key) if key else None
            if key and name:
                self.do_now_key(key, name, entry.line)
                if not key.value and name in _ROW_KEYS:
                    for number in range(entry.line + 1, end):
                        at, count = strip_bullets(self.lines[number])
                        if count and not self.blocks.opaque[number]:
                            self.values_of = name
                            self.key_value(name, self.lines[number][at:].strip(), number)
                    self.values_of = None

    def do_now_key(self, key: KeyLine, name: str, number: int) -> None:
        self.values_of = None
        self.key_value(name, key.value, number)
        value = key.value.strip().strip("`")
        if name == "Selector" and is_command(value):
            mapped = {tuple(text.split()) for text, _ in self.commands}
            if tuple(value.split()) not in mapped:
                self.commands.append((value, number))

    def checks(self, mark: Mark) -> None:
        """Fenced commands stay; commands among steps go to a fence, the steps stay as written."""
        fences = self.blocks.fences_in(mark.line + 1, mark.end)
        found = entries(self.blocks, mark.line + 1, mark.end, fenced=False)
        steps: list[tuple[str, int]] = [(mark.first, mark.line)] if mark.first else []
        commands: list[tuple[str, int]] = []
        for entry, following in successive(found):
            if entry.raw.startswith(("```", "~~~")):
                continue
            steps += [(entry.raw, entry.line)]
            text = "\n".join(part.strip() for part in [entry.first, *entry.detail] if part.strip())
            text = re.sub(r"[ \t]*\\\n", " ", text).replace("\n", " ")  # a command that goes on
            spans = [s for s in spans_of(text) if is_command(s)]
            if not spans and title_key(mark.title) == "checks":
                whole = re.fullmatch(r"`([^`\s]+ [^`]+)`[.;]?", text)  # `exit 0`: said to be one
                spans = [whole[1]] if whole and not is_sentence(whole[1]) else []
            commands += [(span, entry.line) for span in spans]
            if not spans:
                commands += self.bare_commands(
                    entry.line, following.line if following else mark.end
                )
        if mark.first and is_command(mark.first):
            commands.insert(0, (mark.first, mark.line))
        if not steps:
            section = self.titled(mark, "Checks")
            section.body[:] = self.body(mark)
            return
        self.changed = True
        for fence in fences:
            body = enumerate(fence.body(self.blocks.source), fence.start + 1)
            commands += [(text, number) for number, text in body]
        commands.sort(key=lambda pair: pair[1])
        known = [tuple(text.split()) for text, _ in self.commands]
        commands = [pair for pair in commands if pair[0].strip()]
        mapped = {tuple(text.split("| tee")[0].split()) for text, _ in commands}
        self.commands = [
            pair for pair, words in zip(self.commands, known, strict=True) if words not in mapped
        ]
        self.commands += commands
        self.sections.append(_Section("## Checks", mark.line, []))
        fenced = {n for fence in fences for n in range(fence.start, fence.end)}
        lines = [pair for pair in self.body(mark) if pair[1] not in fenced or pair[1] == mark.line]
        self.sections.append(_Section("## Steps as written", -1, lines))

    def bare_commands(self, start: int, end: int) -> list[tuple[str, int]]:
        """Return the lines of a step that are commands, with what their backslashes continue."""
        found: list[tuple[str, int]] = []
        held = False
        for number in range(start, end):
            line = self.lines[number]
            text = line[strip_bullets(line)[0] :].strip()
            if self.blocks.opaque[number]:
                held = False
            elif held:
                found[-1] = (f"{found[-1][0][:-1].rstrip()} {text}", found[-1][1])
                held = text.endswith("\\")
            elif is_command(text := _without_aside(text)):
                found.append((text, number))
                held = text.endswith("\\")
        return found

    def selector_section(self, mark: Mark) -> None:
        """A section of selectors: the first is the order's, commands are checks, prose is kept."""
        self.changed = True
        fences = self.blocks.fences_in(mark.line + 1, mark.end)
        prose: list[tuple[str, int]] = []
        if fences:
            pairs = [
                (text, number)
                for fence in fences
                for number, text in enumerate(fence.body(self.blocks.source), fence.start + 1)
                if text.strip()
            ]
            if not pairs:
                self.sections.append(_Section("## Checks", mark.line, [("```sh", -1), ("```", -1)]))
        else:
            found = entries(self.blocks, mark.line + 1, mark.end)
            pairs = [(next(iter(spans_of(e.first)), e.first), e.line) for e in found]
            prose = [
                (self.lines[e.line], e.line)
                for e, (text, _) in zip(found, pairs, strict=True)
                if not selector_of(text)
            ]
        for text, number in pairs:
            if selector_of(text):
                self.key_value("Selector", text, number)
            if (fences and selector_of(text)) or is_command(text):
                self.commands.append((text, number))
        if prose:
            self.sections.append(_Section("## Guardrail", mark.line, prose))

    def infer_focus(self, title: Heading | None, marks: list[Mark]) -> None:
        """Take the focus from the title, from brackets or rows, where no line names it."""
        if self.focus:
            return
        if title is not None and split_focus(title.title)[0]:
            return  # the reader takes it from there
        for text, number in self.header:  # `Header: … | [FIX-A-001] Stage B`
            if "|" in text and (found := _BRACKET.search(text.partition("|")[2])):
                self.header.append((f"Focus: {found.group(1)}", number))
                self.changed = True
                return
        for mark in marks:
            if mark.name != "Tasks":
                continue
            for number in range(mark.line, mark.end):
                line = self.lines[number]
                if self.blocks.opaque[number]:
                    continue
                found = _BRACKET.search(line)
                row = parse_row(line)
                named = split_focus(row.row_id)[0] if row and row.row_id else ""
                head = split_focus(line[strip_bullets(line)[0] :].partition(":")[2])[0]
                name = found.group(1) if found else row.row_id if row and named else head
                if name and "-" in name:
                    self.header.append((f"Focus: {name}", number))
                    self.changed = True
                    return

    def form(self, marks: list[Mark], bare: bool, wrapper: bool) -> str:
        titles = [mark.title.lower() for mark in marks]
        if wrapper:
            return "D"
        if self.dialect:
            return "E"
        if any("validity contract" in title for title in titles):
            return "B"
        if bare:
            return "C" if any(mark.name == "Brief" for mark in marks) else "A"
        return "F" if any(title.startswith("do now") for title in titles) else "legacy"


def _with_id(focus: str) -> str:
    """Return a focus that names its item, also by an anchor (``fix_plan.md#fix-shift-001-x``)."""
    anchor = None if split_focus(focus)[0] else _ANCHOR.search(focus)
    return f"{anchor.group(1).upper()} — {focus}" if anchor else focus


def _tests(selector: str) -> list[str]:
    """Return the node ids and files of a selector, ``-k`` expressions included."""
    bare = selector.removeprefix("new: ")
    if bare == "none" or bare.startswith("none — "):
        return ["none"]
    words = (selector_of(bare) or bare).split()
    return [word for word in words if word not in ("-k", "-m")]


def _within(test: str, known: str) -> bool:
    return test == known or test.startswith((f"{known}::", f"{known.rstrip('/')}/", f"{known}["))
