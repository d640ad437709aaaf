"""The lists inside a ledger item: criteria, recipes, attempts."""

from __future__ import annotations

import re

from orchestration.documents.grammar import (
    Blocks,
    Command,
    KeyLine,
    clean,
    indent_of,
    is_command,
    is_file_name,
    is_sentence,
    is_separator,
    make,
    parse_duration,
    parse_key,
    parse_row,
    parse_stamp,
    read_command,
    split_cells,
    split_words,
    take_within,
)
from orchestration.documents.historic import (
    COLUMNS,
    outermost,
    plain_criterion,
    take_sign,
    told_attempt,
)
from orchestration.documents.ledger.model import Attempt, Criterion, Ledger, Recipe

_CODE = re.compile(r"(?<!`)(`++)(.+?)(?<!`)\1(?!`)")
_DASHES = "—–-: \t"
#: What people write where a list would stand.
NOTHING = re.compile(r"(?i)none|n/?a|tbd|(?:all )?(?:complete|completed|done|met|pending|open)")


def read_criteria(
    blocks: Blocks, key: KeyLine, item_id: str, ledger: Ledger, before: int = 0
) -> list[Criterion]:
    """Read the ``- [ ] C1 `command` — meaning`` rows under (or on) an ``Exit:`` key.

    The outermost bullets without a box are criteria too (``historic.criteria``); those without an
    id are counted behind the ``before`` ones of an earlier list.
    """
    source = blocks.source
    found: list[Criterion] = []
    below = [(n, source.lines[n]) for n in blocks.visible(key.line + 1, key.end)]
    plain = {number for number, _ in outermost(below)}
    _, whole = take_sign(key.value)
    met = take_sign(key.value)[0] if key.value else " "
    for number, line in [(key.line, source.lines[key.line]), *below]:
        shift = key.value_column if number == key.line else 0
        row = parse_row(line[shift:], number)
        if row is not None:
            offset = source.starts[number] + shift + row.column
            name = row.row_id.removeprefix(f"{item_id}.") or f"C{before + len(found) + 1}"
            found.append(_criterion(name, row.state, row.text, number, offset))
        elif number in plain and (told := plain_criterion(line)):
            state = "x" if "x" in (met, told[0]) else " "
            found.append(_criterion(f"C{before + len(found) + 1}", state, told[1], number, -1))
    if not found and whole.strip("*_ ") and not NOTHING.fullmatch(whole.strip("*_ .")):
        found.append(_criterion(f"C{before + 1}", met, whole, key.line, -1))
    for criterion in found:
        if criterion.command and criterion.command.error:
            message = f"criterion {criterion.id}: {criterion.command.error}"
            fix = "put the commands in a script file and name it"
            ledger.diagnostics.append(make("E12", ledger.path, criterion.line, message, fix))
    return found


def _criterion(name: str, state: str, text: str, number: int, offset: int) -> Criterion:
    command, meaning = take_command(text, number + 1)
    return Criterion(name, state, command, meaning, number + 1, offset)


def take_command(text: str, line: int) -> tuple[Command | None, str]:
    """Cut the command of a criterion off its text; return (command, remaining meaning).

    It is the code span that the text begins with, or one that begins with a program people name;
    a span that is a path, or a word of the sentence, stays in the sentence.
    """
    rest, within = take_within(text)
    for match in _CODE.finditer(rest[:8000]):
        span = match.group(2).strip()
        first = not rest[: match.start()].strip(_DASHES)
        after = rest[match.end() :].lstrip()
        alone = first and (not after or after[0] in "—–-:(,;.") and not _is_place(span)
        if is_command(span) or (alone and not is_sentence(span)):
            command = read_command(match.group(2), within_s=within, line=line)
            meaning = rest[: match.start()].strip(_DASHES) + " "
            return command, (meaning + rest[match.end() :].strip(_DASHES)).strip()
    return None, text.strip()


def _is_place(span: str) -> bool:
    """Whether a code span is a folder or a document rather than a program."""
    words = span.split()
    if len(words) != 1:
        return False
    name = words[0]
    code = name.endswith((".py", ".sh"))
    return name.endswith("/") or "<" in name or "::" in name or (is_file_name(name) and not code)


def read_recipes(blocks: Blocks, key: KeyLine, ledger: Ledger) -> list[Recipe]:
    """Read ``- run: command`` and ``- apply: file.patch`` steps with their options."""
    found: list[Recipe] = []
    for number in [key.line, *blocks.visible(key.line + 1, key.end)]:
        line = blocks.source.lines[number]
        inner = line[key.value_column :] if number == key.line else line
        row = parse_row(inner, number)
        entry = parse_key(row.text if row else inner, number)
        if entry is None:
            continue
        name = entry.key
        words = name.split(" ")
        row_id = row.row_id if row and row.row_id else None
        if name in ("run", "apply"):
            found.append(_recipe(name, entry.value, row_id, number, ledger))
        elif len(words) == 2 and words[1] in ("run", "apply"):
            found.append(_recipe(words[1], entry.value, words[0].upper(), number, ledger))
        elif found:
            found[-1] = _option(found[-1], name, entry.value)
    return found


def _recipe(kind: str, value: str, row: str | None, number: int, ledger: Ledger) -> Recipe:
    text, within = take_within(value)
    text = clean(text)
    if kind == "apply":
        return Recipe("apply", None, text, within, (), (), row, number + 1)
    command = read_command(text, within_s=within, line=number + 1)
    if command.error:
        fix = "put the commands in a script file and name it"
        ledger.diagnostics.append(make("E12", ledger.path, number + 1, command.error, fix))
    return Recipe("run", command, None, command.within_s, (), (), row, number + 1)


def _option(recipe: Recipe, name: str, value: str) -> Recipe:
    if name == "within":
        seconds = parse_duration(clean(value))
        command = recipe.command._replace(within_s=seconds) if recipe.command else None
        return recipe._replace(within_s=seconds, command=command)
    if name == "artifacts":
        return recipe._replace(artifacts=(*recipe.artifacts, *split_globs(value)))
    if name in ("may edit tests", "may-edit-tests"):
        return recipe._replace(may_edit_tests=(*recipe.may_edit_tests, *split_globs(value)))
    if name == "row":
        return recipe._replace(row=clean(value) or None)
    return recipe


def split_globs(text: str) -> list[str]:
    """Split a list of paths or globs at commas and spaces; backticks and ``none`` are dropped."""
    bare = text.replace("`", " ").replace(",", " ")
    try:
        words = split_words(bare)
    except ValueError:
        words = bare.split()
    return [word for word in words if word.lower() not in ("none", "n/a", "-")]


def read_attempts(blocks: Blocks, start: int, end: int) -> list[Attempt]:
    """Read attempts of lines ``start:end``: generated table rows, told bullets and headings."""
    found: list[Attempt] = []
    columns: list[str] = []
    parts: list[list[str]] = []
    base = 0
    for number in blocks.visible(start, end):
        line = blocks.source.lines[number]
        text = line.strip()
        if text.startswith("|"):
            cells = split_cells(text)
            if is_separator(cells):
                continue
            if not columns:
                columns = [COLUMNS.get(cell.lower(), cell.lower()) for cell in cells]
            else:
                found.append(_table_attempt(columns, cells, number))
                parts.append([])
            continue
        attempt = parse_attempt(text, number) if text else None
        if attempt and found and attempt.turn is None and indent_of(line) > base + 1:
            attempt = None  # a date in the words of the one above
        if attempt:
            base = base if found else indent_of(line)
            found.append(attempt)
            parts.append([attempt.text])
        elif found and text and not columns:
            parts[-1].append(text)
    return [
        attempt._replace(text="\n".join(lines).strip()) if len(lines) > 1 else attempt
        for attempt, lines in zip(found, parts, strict=True)
    ]


def unread_bullets(blocks: Blocks, start: int, end: int) -> tuple[int, int, int]:
    """Return (read, all, first unread line) of the outermost bullets of a list of attempts."""
    below = [(n, blocks.source.lines[n]) for n in blocks.visible(start, end)]
    bullets = outermost(below)
    unread = [number for number, line in bullets if told_attempt(line) is None]
    return len(bullets) - len(unread), len(bullets), unread[0] + 1 if unread else 0


def _table_attempt(columns: list[str], cells: list[str], number: int) -> Attempt:
    plain = ("" if cell == "-" else cell for cell in cells)
    values = dict(zip(columns, plain, strict=False))
    turn = values.get("turn", "").lstrip("#")
    return Attempt(
        turn=int(turn) if turn.isascii() and turn.isdigit() and len(turn) < 12 else None,
        outcome=values.get("outcome", ""),
        criteria=values.get("criteria", values.get("criterion δ", "")),
        signature=values.get("signature", ""),
        link=values.get("link", ""),
        text=values.get("text", ""),
        at=parse_stamp(values.get("at", "")),
        line=number + 1,
    )


def parse_attempt(text: str, number: int) -> Attempt | None:
    """Read one told attempt, a bullet or a heading; None when the line is none."""
    told = told_attempt(text.lstrip("#") if text.startswith("#") else text)
    if told is None:
        return None
    return Attempt(
        turn=told.number,
        at=told.at,
        until=told.until,
        label=told.label,
        criteria=told.rows,
        outcome=told.outcome,
        text=told.text,
        line=number + 1,
    )
