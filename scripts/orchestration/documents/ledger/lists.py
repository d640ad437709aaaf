"""The lists inside a ledger item: criteria, recipes, attempts."""

from __future__ import annotations

import re
from dataclasses import replace

from orchestration.documents.grammar import (
    Blocks,
    Command,
    KeyLine,
    clean,
    is_separator,
    make,
    parse_duration,
    parse_key,
    parse_row,
    parse_stamp,
    read_command,
    split_cells,
    split_words,
    strip_bullets,
    take_within,
)
from orchestration.documents.historic import claimed_rows
from orchestration.documents.ledger.model import Attempt, Criterion, Ledger, Recipe

_CODE = re.compile(r"(?<!`)(`++)(.+?)(?<!`)\1(?!`)")
_LABEL = re.compile(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_DASHES = "—–-: \t"


def read_criteria(blocks: Blocks, key: KeyLine, ledger: Ledger) -> list[Criterion]:
    """Read the ``- [ ] C1 `command` — meaning`` rows under (or on) an ``Exit:`` key."""
    source = blocks.source
    found: list[Criterion] = []
    for number in [key.line, *blocks.visible(key.line + 1, key.end)]:
        line = source.lines[number]
        shift = key.value_column if number == key.line else 0
        row = parse_row(line[shift:], number)
        if row is None:
            if number == key.line and key.value:
                continue
            text = _numbered(line) if number != key.line else None
            if text:
                found.append(_criterion(f"C{len(found) + 1}", " ", text, number, -1))
            continue
        offset = source.starts[number] + shift + row.column
        name = row.row_id or f"C{len(found) + 1}"
        found.append(_criterion(name, row.state, row.text, number, offset))
    for criterion in found:
        if criterion.command and criterion.command.error:
            message = f"criterion {criterion.id}: {criterion.command.error}"
            fix = "put the commands in a script file and name it"
            ledger.diagnostics.append(make("E12", ledger.path, criterion.line, message, fix))
    return found


def _numbered(line: str) -> str | None:
    at, bullets = strip_bullets(line)
    text = line[at:].strip()
    return text if bullets and text and line.lstrip()[:1].isdigit() else None


def _criterion(name: str, state: str, text: str, number: int, offset: int) -> Criterion:
    command, meaning = take_command(text, number + 1)
    return Criterion(name, state, command, meaning, number + 1, offset)


def take_command(text: str, line: int) -> tuple[Command | None, str]:
    """Cut the first code span off ``text`` as a command; return (command, remaining meaning)."""
    rest, within = take_within(text)
    match = _CODE.search(rest[:8000])
    if match is None:
        return None, rest.strip()
    command = read_command(match.group(2), within_s=within, line=line)
    meaning = rest[: match.start()].strip(_DASHES) + " " + rest[match.end() :].strip(_DASHES)
    return command, meaning.strip()


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
        command = replace(recipe.command, within_s=seconds) if recipe.command else None
        return replace(recipe, within_s=seconds, command=command)
    if name == "artifacts":
        return replace(recipe, artifacts=(*recipe.artifacts, *split_globs(value)))
    if name in ("may edit tests", "may-edit-tests"):
        return replace(recipe, may_edit_tests=(*recipe.may_edit_tests, *split_globs(value)))
    if name == "row":
        return replace(recipe, row=clean(value) or None)
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
    """Read attempts of lines ``start:end``: generated table rows and historic bullets."""
    found: list[Attempt] = []
    columns: list[str] = []
    for number in blocks.visible(start, end):
        line = blocks.source.lines[number]
        text = line.strip()
        if text.startswith("|"):
            cells = split_cells(text)
            if is_separator(cells):
                continue
            if not columns:
                columns = [cell.lower() for cell in cells]
            else:
                found.append(_table_attempt(columns, cells, number))
            continue
        attempt = parse_attempt(text, number)
        if attempt:
            found.append(attempt)
        elif found and text and columns == []:
            found[-1] = replace(found[-1], text=f"{found[-1].text}\n{text}".strip())
    return found


def _table_attempt(columns: list[str], cells: list[str], number: int) -> Attempt:
    plain = ("" if cell == "-" else cell for cell in cells)
    values = dict(zip(columns, plain, strict=False))
    turn = values.get("turn", "")
    return Attempt(
        turn=int(turn) if turn.isascii() and turn.isdigit() and len(turn) < 12 else None,
        outcome=values.get("outcome", ""),
        criteria=values.get("criteria", values.get("criterion δ", "")),
        signature=values.get("signature", ""),
        link=values.get("link", ""),
        at=parse_stamp(values.get("at", "")),
        line=number + 1,
    )


def parse_attempt(text: str, number: int) -> Attempt | None:
    """Read ``*<stamp> (label):* narrative``, ``Attempt #3 — …``; None when it is neither."""
    at, _ = strip_bullets(text)
    body = text[at:].lstrip("*_ \t")
    match = re.match(r"Attempt #(\d{1,6})", body)
    if match:
        rest = body[match.end() :]
        moment = parse_stamp(rest.strip(" (*—–-[:"))
        return Attempt(
            turn=int(match.group(1)), at=moment, text=rest.strip("* :—–-"), line=number + 1
        )
    moment = parse_stamp(body)
    if moment is None or not body[:4].isdigit():
        return None
    head, _, rest = body.partition(":*") if ":*" in body[:400] else _stamp_split(body)
    until = None
    for dash in (" – ", " - ", " — ", "–"):
        if dash in head:
            until = parse_stamp(head.partition(dash)[2])
            break
    label = _LABEL.search(head[:400])
    return Attempt(
        at=moment, until=until, label=label.group(1) if label else "",
        criteria=", ".join(claimed_rows(head.partition("(")[0])),
        text=rest.strip("* \t"), line=number + 1,
    )  # fmt: skip


def _stamp_split(body: str) -> tuple[str, str, str]:
    """Cut after the stamp and its label; the colon of ``08:30`` is no cut."""
    label = _LABEL.search(body[:400])
    at = label.end() if label else len(body.split(" ", 1)[0])
    return body[:at], ":", body[at:].lstrip(":* ")
