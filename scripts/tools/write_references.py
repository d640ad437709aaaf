"""Write docs/configuration.md, commands.md and specs/log.md from what the programs say.

    write_references.py            write the pages
    write_references.py --check    exit 1 and name the pages that are out of date

The keys, defaults and sentences of configuration.md are the fields of `orchestration.config` and
the string below each; its placeholders are those of `orchestration.agents.custom` and
`orchestration.engine.notify`. commands.md is the `--help` of every command of both
programs; log.md the payloads of `orchestration.core`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TYPER_USE_RICH"] = "0"  # plain text, the same on every terminal

import typer.main
from orchestration import config
from orchestration.agents import custom
from orchestration.cli.app import app as orchestrate_app
from orchestration.core import payloads
from orchestration.core.records import Record
from orchestration.engine import notify

from ptycho.cli.app import app as ptycho_app

ROOT = Path(__file__).resolve().parents[2]
MADE_BY = "<!-- made by scripts/tools/write_references.py: change the program, not this page -->"
CONFIGURATION = f"""\
# Every key of orchestration.yaml

{MADE_BY}

The file is optional, every key has a default, and an unknown key is an error. `orchestrate init`
writes a first one. Durations are seconds, or a text like `90s`, `30m`, `2h`.
"""
PLACEHOLDERS = """
## Placeholders

In the arguments of `agent_command` and `supervisor_command`; another word in braces is an error.

| placeholder | stands for |
|---|---|
"""
NOTIFY = """
In the arguments of `notify`; without any, `{event}` and `{text}` are added as two arguments. The
same values are in the command's environment: `ORCHESTRATION_EVENT`, `ORCHESTRATION_ITEM`, …

| placeholder | stands for |
|---|---|
"""
COMMANDS = f"""\
# Every command

{MADE_BY}

What `--help` says, of both programs.
"""
LOG = f"""\
# The event log

{MADE_BY}

One JSON object a line, in canonical form (sorted keys, no spaces), one file a turn
(`log/000042.jsonl` in the state folder; `log/0000/000042.jsonl` on the branch `orchestration/log`).
A line has `seq` (from 1), `at` (UTC), `turn`, `role`, `kind`, `item` (or null), `data`, and
`prev_sha`: the SHA-256 of the line before it, so that a changed, lost or moved line is noticed.

`data` is what an event of the kind says. Version 1 carries no mark; from version 2 on `data` has a
key `v`. An older version is upgraded when it is read, a newer one is refused. A key that a kind
does not have is left alone; keys with `?` may be absent.
"""


def sentences(kind: type) -> dict[str, str]:
    """The string below each field of a dataclass, by the field's name.

    Raises SystemExit naming a field without one: a key is never published unexplained.
    """
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, [*body.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        value = below.value if isinstance(below, ast.Expr) else None
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
            raise SystemExit(
                f"{inspect.getsourcefile(kind)}: {kind.__name__}.{field.target.id} has no sentence;"
                " fix: write a string literal on the line below the field"
            )
        found[field.target.id] = " ".join(value.value.split())
    return found


def default(field: dataclasses.Field[Any]) -> str:
    """A default as it would stand in YAML; that of a path of this machine as words."""
    value = field.default
    if value is dataclasses.MISSING and callable(field.default_factory):
        value = field.default_factory()
    if value == sys.executable:
        return "the one that runs `orchestrate`"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, float) and field.name.endswith("_s"):
        whole = next((u for u in ("h", "m") if value % config._UNIT_S[u] == 0), "s")
        return f"`{value / config._UNIT_S[whole]:g}{whole}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def tables(kind: type, title: str) -> Iterator[str]:
    """The table of a dataclass' keys, then those of the dataclasses in it."""
    yield f"\n## {title}\n\n| key | default | meaning |\n|---|---|---|\n"
    said, inner = sentences(kind), []
    for field in dataclasses.fields(kind):
        made = field.default_factory
        nested = made if isinstance(made, type) and dataclasses.is_dataclass(made) else None
        if nested:
            inner.append((nested, f"`{field.name}:`"))
        shown = "" if nested else default(field)
        yield f"| `{field.name}` | {shown} | {said[field.name]} |\n"
    for nested, name in inner:
        yield from tables(nested, name)


def configuration() -> str:
    """The text of docs/configuration.md."""
    rows = "".join(f"| `{{{name}}}` | {text} |\n" for name, text in custom.PLACEHOLDERS.items())
    told = "".join(f"| `{{{name}}}` | {text} |\n" for name, text in notify.PLACEHOLDERS.items())
    keys = "".join(tables(config.HarnessConfig, "Keys"))
    return CONFIGURATION + keys + PLACEHOLDERS + rows + NOTIFY + told


def helps(command: Any, name: str, level: int) -> Iterator[str]:
    """The help of a command and of all below it."""
    with typer.Context(command, info_name=name, terminal_width=96) as context:
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"\n{'#' * level} {name}\n\n```\n{text.strip()}\n```\n"
    for below, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from helps(inner, f"{name} {below}", level + (level < 3))


def commands() -> str:
    """The text of docs/commands.md."""
    programs = {"ptycho": ptycho_app, "orchestrate": orchestrate_app}
    pages = [
        part
        for name, app in programs.items()
        for part in helps(typer.main.get_command(app), name, 2)
    ]
    return COMMANDS + "".join(pages)


def keys_of(kind: type) -> str:
    """The keys of a record with their types, those that may be absent with a mark."""
    keys = []
    for field in dataclasses.fields(kind):
        made = (field.default, field.default_factory)
        absent = "" if made == (dataclasses.MISSING, dataclasses.MISSING) else "?"
        words = str(field.type).replace("|", "or").replace(", ...", "")
        keys.append(f"`{field.metadata.get('key') or field.name}{absent}: {words}`")
    return ", ".join(keys) or "none"


def log() -> str:
    """The text of docs/specs/log.md."""
    known = vars(payloads).values()
    parts = [
        kind
        for kind in known
        if isinstance(kind, type)
        and issubclass(kind, Record)
        and not issubclass(kind, payloads.Payload)
        and kind is not Record
    ]
    text = "\n## Kinds\n\n| kind | version | says | keys |\n|---|---|---|---|\n"
    for name, kind in payloads.PAYLOADS.items():
        said = " ".join(str(kind.__doc__).split())
        keys = "those of what was imported" if name == "import" else keys_of(kind)
        text += f"| `{name}` | {kind.VERSION} | {said} | {keys} |\n"
    text += "\n## What several kinds hold\n\n| name | is | keys |\n|---|---|---|\n"
    for part in parts:
        text += f"| `{part.__name__}` | {' '.join(str(part.__doc__).split())} | {keys_of(part)} |\n"
    return LOG + text


def main() -> int:
    """Write or check the pages; see the top of this file."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--check", action="store_true", help="write nothing")
    check = options.parse_args().check
    pages = {
        "docs/configuration.md": configuration(),
        "docs/commands.md": commands(),
        "docs/specs/log.md": log(),
    }
    old = [
        name
        for name, text in pages.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    for name in old:
        if check:
            print(f"{name} is out of date; fix: python scripts/tools/write_references.py")
        else:
            (ROOT / name).write_text(pages[name], encoding="utf-8")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
