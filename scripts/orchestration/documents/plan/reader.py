"""Plans (``plans/active/<ID>/implementation.md``): metadata, phases and their rows."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field

from orchestration.documents.grammar import (
    Blocks,
    Command,
    Diagnostic,
    SourceText,
    clean,
    find_ids,
    is_open,
    is_separator,
    make,
    parse_key,
    parse_row,
    read_command,
    read_script,
    scan,
    split_cells,
    state_of,
    take_row_id,
    unclosed,
)
from orchestration.documents.historic import take_sign
from orchestration.documents.ledger import Status, parse_status

_VERIFY = re.compile(r"\(?\bverify:[ \t]*(`[^`]+`|[^()`]+)\)?")
_PHASE = re.compile(r"(?i)phase[ \t]+([A-Z0-9]{1,3})\b")
_STATES = {Status.OPEN: " ", Status.IN_PROGRESS: "P", Status.WAITING: "W", Status.BLOCKED: "B",
           Status.DONE: "x", Status.DROPPED: "D"}  # fmt: skip
_STATE_CELL = re.compile(r"\[(.)\]")
_METADATA = frozenset(
    (
        "id", "initiative id", "title", "initiative title", "owner", "status", "spec owner",
        "linked request", "artifacts hub", "working plan", "date", "priority", "timeframe",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One checklist row; ``verify`` is its check, ``line`` counts from 1."""

    id: str
    state: str
    text: str
    phase: str
    verify: Command | None = None
    guidance: str = ""
    line: int = 0
    state_offset: int = -1


@dataclass(slots=True)
class Plan:
    """A plan: its metadata, its rows in order, its exit criteria and verification commands."""

    id: str = ""
    title: str = ""
    status: str = ""
    status_line: int = 0
    owner: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    phases: list[str] = field(default_factory=list)
    rows: list[PlanRow] = field(default_factory=list)
    exit_criteria: list[str] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    sections: list[tuple[str, str]] = field(default_factory=list)
    path: str = "implementation.md"
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def row(self, row_id: str) -> PlanRow | None:
        """Return the row with this id, or None."""
        return next((row for row in self.rows if row.id == row_id), None)


def parse_plan(text: str, path: str = "implementation.md") -> Plan:
    """Read a plan; rows may be a list or a table. Raises only for one that is too large."""
    source = SourceText(text, path)
    blocks = scan(source)
    plan = Plan(path=path, diagnostics=unclosed(blocks, path))
    edges = [(h.line, h.title, h.level) for h in blocks.headings]
    if not edges or edges[0][0] > 0:
        edges.insert(0, (-1, "", 1))
    phase = ""
    for position, (line, title, _) in enumerate(edges):
        end = edges[position + 1][0] if position + 1 < len(edges) else len(source.lines)
        match = _PHASE.match(title.strip("*_ "))
        if match:
            phase = match.group(1).upper()
            plan.phases.append(title)
        _section(blocks, title, line + 1, end, phase, plan)
    if not plan.id:
        ids = find_ids(edges[0][1] or (edges[1][1] if len(edges) > 1 else ""))
        plan.id = ids[0] if ids else ""
    _warn(plan)
    return plan


def _section(blocks: Blocks, title: str, start: int, end: int, phase: str, plan: Plan) -> None:
    name = title.lower().strip("*_ :")
    lines = blocks.source.lines
    if name.startswith(("verification command", "required evidence command")):
        for fence in blocks.fences_in(start, end):
            pairs = [(fence.start + 2 + n, t) for n, t in enumerate(fence.body(blocks.source))]
            plan.commands += read_script(pairs)
    columns: list[str] = []
    kept: list[str] = []
    for number in range(start, end):
        line = lines[number]
        if blocks.opaque[number] or not line:
            kept.append(line)
            continue
        row = parse_row(line, number)
        text = line.strip()
        if row:
            plan.rows.append(_list_row(blocks, row.column, number, line, phase))
        elif text.startswith("|"):
            columns = _table_row(blocks, number, columns, phase, plan)
        elif name.startswith(("exit criteria", "completion criteria")) and text[:1] in set(
            "-*0123456789"
        ):
            plan.exit_criteria.append(re.sub(r"^(?:[-*+]|\d{1,3}[.)])[ \t]*", "", text))
        elif not _metadata(line, number, plan):
            kept.append(line)
    body = "\n".join(kept).strip("\n")
    if title or body.strip():
        plan.sections.append((title, body))


def _metadata(line: str, number: int, plan: Plan) -> bool:
    key = parse_key(line, number)
    if key is None or key.key not in _METADATA or not key.value.strip():
        return False
    value = clean(key.value).strip()
    plan.metadata.setdefault(key.raw_key, key.value)
    if key.key in ("id", "initiative id") and not plan.id:
        plan.id = next(iter(find_ids(value) or value.split()), "")
    elif key.key in ("title", "initiative title") and not plan.title:
        plan.title = value
    elif key.key == "owner" and not plan.owner:
        plan.owner = value
    elif key.key == "status" and not plan.status:
        plan.status = parse_status(value).status.value
        plan.status_line = number + 1
    return True


def _verify(text: str, number: int) -> tuple[str, Command | None]:
    match = _VERIFY.search(text[:20000])
    if match is None:
        return text, None
    command = read_command(match.group(1).strip("` "), line=number + 1)
    return (text[: match.start()] + text[match.end() :]).strip(), command


def _list_row(blocks: Blocks, column: int, number: int, line: str, phase: str) -> PlanRow:
    row = parse_row(line, number)
    assert row is not None
    text, command = _verify(row.text, number)
    offset = blocks.source.starts[number] + column
    return PlanRow(row.row_id, row.state, text, phase, command, "", number + 1, offset)


def _table_row(
    blocks: Blocks, number: int, columns: list[str], phase: str, plan: Plan
) -> list[str]:
    line = blocks.source.lines[number]
    cells = split_cells(line)
    if is_separator(cells):
        return columns
    lower = [cell.lower().strip("*") for cell in cells]
    if "state" in lower and "id" in lower:
        return lower
    if not columns:
        return columns
    values = dict(zip(columns, cells, strict=False))
    name = take_row_id(values.get("id", "") + ":")[0] or clean(values.get("id", ""))
    match = _STATE_CELL.search(values.get("state", ""))
    state = state_of(match.group(1)) if match else _told_state(values.get("state", ""))
    if state is None:
        if name:
            message = f"row {name} is not read: `{values.get('state', '')[:40]}` is no state"
            fix = "write `[ ]`, `[P]`, `[x]`, `[D]`, `[B]` or `[W]`"
            plan.diagnostics.append(make("W27", plan.path, number + 1, message, fix))
        return columns
    text, command = _verify(
        next((v for k, v in values.items() if k.startswith("task")), ""), number
    )
    guidance = next((v for k, v in values.items() if k.startswith("how")), "")
    mark = _STATE_CELL.search(line) if match else None
    offset = blocks.source.starts[number] + mark.start(1) if mark else -1
    plan.rows.append(PlanRow(name, state, text, phase, command, guidance, number + 1, offset))
    return columns


def _told_state(cell: str) -> str | None:
    """Return the state of a row that says it with a sign or a word, as a status of an item."""
    sign, rest = take_sign(cell.strip())
    return _STATES.get(parse_status(cell).status) or (sign if rest != cell.strip() else None)


def _warn(plan: Plan) -> None:
    seen: set[str] = set()
    for row in plan.rows:
        if row.id and row.id in seen:
            message = f"two rows are named {row.id}"
            plan.diagnostics.append(make("E26", plan.path, row.line, message, "rename one"))
        seen.add(row.id)
        if row.verify and row.verify.error:
            message = f"{row.id}: {row.verify.error}"
            plan.diagnostics.append(make("E12", plan.path, row.line, message, "use a script file"))
    if plan.status == "done" and any(is_open(row.state) for row in plan.rows):
        message = "plan is done, but rows are open"
        plan.diagnostics.append(make("E25", plan.path, 1, message, "reopen it or tick the rows"))


def meaning(plan: Plan) -> dict[str, object]:
    """Return identity, status, rows and exit criteria, without lines and free sections."""
    rows = []
    for row in plan.rows:
        data = asdict(row)
        for name in ("line", "state_offset", "guidance"):
            del data[name]
        data["verify"] = row.verify.text if row.verify else None
        rows.append(data)
    rows.sort(key=lambda data: str(data["phase"]))
    return {
        "id": plan.id,
        "status": plan.status,
        "owner": plan.owner,
        "rows": rows,
        "exit": plan.exit_criteria,
    }
