"""Findings (``docs/findings.md``): durable lessons as table rows with optional sections.

A row never gets lost: one with the wrong number of cells loads with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from orchestration.core import matches
from orchestration.documents.grammar import (
    Blocks,
    Command,
    Diagnostic,
    DocumentError,
    Ref,
    SourceText,
    clean,
    cycles,
    expand_braces,
    find_ids,
    is_id,
    is_separator,
    iter_keys,
    join_cells,
    looks_like_path,
    make,
    parse_refs,
    read_command,
    replace_span,
    require_closed,
    scan,
    split_cells,
    unclosed,
    with_ends,
)
from orchestration.documents.ledger import split_globs

COLUMNS: list[str] = ["Finding ID", "Date", "Keywords", "Synopsis", "Evidence Pointer", "Status"]
_FIELDS = ("id", "date", "keywords", "synopsis", "evidence_text", "status_text")
_STATUSES = {
    "active": "Active",
    "resolved": "Resolved",
    "fixed": "Resolved",
    "superseded": "Superseded",
    "practice": "Practice",
    "recommended": "Practice",
}
#: A longer synopsis belongs in the finding's own section.
MAX_SYNOPSIS = 400
#: A synopsis that ends so goes on in the section, as ``- Synopsis: …``.
MORE = " …"
_KEYS = frozenset(
    ("synopsis", "status", "date", "keywords", "applies", "check", "supersedes", "evidence")
)


class Finding:
    """One lesson. ``applies`` are globs, ``check`` a command that exits 0 while it holds."""

    def __init__(
        self,
        finding_id: str,
        date: str = "",
        keywords: str = "",
        synopsis: str = "",
        evidence_text: str = "",
        *,
        applies: Sequence[str] = (),
        check: Command | None = None,
        supersedes: Sequence[str] = (),
        section: str = "",
        line: int = 0,
    ) -> None:
        self.id, self.date, self.keywords = finding_id, date, keywords
        self.synopsis, self.evidence_text = synopsis, evidence_text
        self.status_text = "Active"
        self.applies, self.supersedes = list(applies), list(supersedes)
        self.check = check
        self.section, self.title = section, ""
        self.line = line
        self.section_line = self.section_end = 0

    @property
    def status(self) -> str:
        """Active, Resolved, Superseded, Practice or Unknown; the cell keeps the note."""
        match = re.match(r"[A-Za-z]+", self.status_text.lstrip("*_` "))
        return _STATUSES.get(match.group().lower() if match else "", "Unknown")

    def evidence(self) -> list[Ref]:
        """Return the file references of the evidence cell."""
        refs: list[Ref] = []
        for word in re.split(
            r"[\s,;<>]+", self.evidence_text.replace("`", " ").replace("br>", " ")
        ):
            for token in expand_braces(word.strip("().*")):
                if looks_like_path(token):
                    refs += parse_refs(token)
        return refs


class Findings:
    """All findings in document order."""

    def __init__(self, path: str = "docs/findings.md") -> None:
        self.rows: list[Finding] = []
        self.path = path
        self.last_row = -1
        self.diagnostics: list[Diagnostic] = []

    @property
    def ids(self) -> set[str]:
        """The ids of all findings."""
        return {row.id for row in self.rows}

    def get(self, finding_id: str) -> Finding | None:
        """Return the finding with this id, or None."""
        return next((row for row in self.rows if row.id == finding_id), None)


def parse_findings(text: str, path: str = "docs/findings.md") -> Findings:
    """Read the findings; malformed rows load with a warning. Raises only when too large."""
    blocks = scan(SourceText(text, path))
    findings = Findings(path)
    findings.diagnostics += unclosed(blocks, path)
    seen: dict[str, Finding] = {}
    for number in blocks.visible(0, len(blocks.source.lines)):
        line = blocks.source.lines[number]
        if line.lstrip()[:1] == "|":
            _row(line, number, findings, seen)
        elif line.count("|") >= len(COLUMNS) - 1 and is_id(clean(line.partition("|")[0])):
            message = f"{clean(line.partition('|')[0])[:40]}: the row is not read"
            fix = "begin it with `|`"
            findings.diagnostics.append(make("W09", path, number + 1, message, fix))
    _sections(blocks, findings, seen)
    return findings


def row_cells(line: str) -> list[str]:
    """Return the cells of a finding's row, at most six: surplus ones belong to the synopsis."""
    cells = split_cells(line)
    if cells:
        cells[0] = clean(cells[0])
    if len(cells) > len(COLUMNS):
        cells = [*cells[:3], " | ".join(cells[3:-2]), *cells[-2:]]
    return cells


def _row(line: str, number: int, findings: Findings, seen: dict[str, Finding]) -> None:
    cells = split_cells(line)
    name = clean(cells[0]) if cells else ""
    if is_separator(cells) or name.lower() in ("finding id", "id", "finding"):
        if name:
            findings.last_row = number
        return
    findings.last_row = number
    if not is_id(name):
        message = f"table row without a finding id: {name[:40] or 'empty cell'}"
        findings.diagnostics.append(make("W09", findings.path, number + 1, message))
        return
    if len(cells) != len(COLUMNS):
        message = f"{name}: {len(cells)} cells instead of {len(COLUMNS)}"
        fix = "escape `|` inside a cell as `\\|`"
        findings.diagnostics.append(make("W09", findings.path, number + 1, message, fix))
    values = dict(zip(_FIELDS, row_cells(line), strict=False))
    row = Finding(name, line=number + 1)
    for field_name, value in list(values.items())[1:]:
        if value:  # an empty cell says no more than a missing one
            setattr(row, field_name, value)
    if len(row.synopsis) > MAX_SYNOPSIS:
        message = f"{name}: synopsis of {len(row.synopsis)} characters, at most {MAX_SYNOPSIS}"
        fix = f"move the rest to a section `## {name} — title`"
        findings.diagnostics.append(make("W02", findings.path, number + 1, message, fix))
    if name in seen:
        message = f"finding {name} is defined twice (first at line {seen[name].line})"
        findings.diagnostics.append(make("E22", findings.path, number + 1, message, "merge them"))
    seen.setdefault(name, row)
    findings.rows.append(row)


def _sections(blocks: Blocks, findings: Findings, seen: dict[str, Finding]) -> None:
    tables = {row.line - 1 for row in findings.rows}
    for heading, end in with_ends(blocks):
        words = heading.title.strip("*`[] ").split(" ", 1)
        name = words[0].strip("*`[]:—–-") if words else ""
        if heading.level not in (2, 3) or not is_id(name) or name.upper() != name:
            continue
        if "-" not in name:
            continue
        row = seen.get(name)
        if row is None:
            row = Finding(name, synopsis=words[1].strip(" —–:-") if len(words) > 1 else "")
            row.line = heading.line + 1
            seen[name] = row
            findings.rows.append(row)
        row.section_line = heading.line + 1
        row.title = words[1].strip(" —–:-") if len(words) > 1 else ""
        _section_keys(blocks, heading.line + 1, end, row, findings, tables)


def _section_keys(
    blocks: Blocks, start: int, end: int, row: Finding, findings: Findings, tables: set[int]
) -> None:
    used: set[int] = set()
    for key in iter_keys(blocks, start, end, _KEYS):
        value = clean(key.value)
        if key.key not in _KEYS or not value:
            continue
        used.add(key.line)
        if key.key == "synopsis":
            row.synopsis = f"{row.synopsis.removesuffix(MORE)} {key.value}".strip()
        elif key.key == "status":
            row.status_text = key.value
        elif key.key == "evidence":
            row.evidence_text = " ".join(part for part in (row.evidence_text, key.value) if part)
        elif key.key == "applies":
            row.applies += split_globs(key.value)
        elif key.key == "supersedes":
            row.supersedes += find_ids(key.value)
        elif key.key == "check":
            row.check = read_command(value, line=key.line + 1)
            if row.check.error:
                message = f"{row.id}: {row.check.error}"
                findings.diagnostics.append(make("E12", findings.path, key.line + 1, message))
        else:
            setattr(row, key.key, getattr(row, key.key) or value)
    lines = [blocks.source.lines[n] for n in range(start, end) if n not in used and n not in tables]
    row.section = "\n".join(lines).strip()
    row.section_end = end


def search(
    findings: Findings, words: Iterable[str] = (), paths: Iterable[str] = ()
) -> list[Finding]:
    """Return the findings that a change of ``paths`` or the ``words`` should recall, best first.

    A word counts 3 in the id or keywords and 1 in the text; a path counts 4 when it matches
    ``Applies`` or the evidence and 2 when its name is mentioned. Superseded ones come last.
    """
    wanted = [word.lower() for word in words if word.strip()]
    places = [path.removeprefix("./") for path in paths]
    scored: list[tuple[int, int, int, Finding]] = []
    for position, row in enumerate(findings.rows):
        head = f"{row.id} {row.keywords}".lower()
        body = f"{row.synopsis} {row.section} {row.evidence_text}".lower()
        score = sum(3 * (word in head) + (word in body) for word in wanted)
        evidence = {ref.path for ref in row.evidence()}
        for place in places:
            hit = matches(place, row.applies) or place in evidence
            score += 4 if hit else 2 if place.rpartition("/")[2].lower() in body else 0
        if score:
            old = row.status == "Superseded"
            scored.append((old, -score, position, row))
    return [row for *_, row in sorted(scored, key=lambda entry: entry[:3])]


def check_findings(findings: Findings, exists: Callable[[str], bool] | None) -> list[Diagnostic]:
    """Return the reader's diagnostics, broken evidence, broken chains and rows without a check."""
    found = list(findings.diagnostics)
    ids = findings.ids
    for row in findings.rows:
        superseded = row.status.lower().startswith("superseded")
        for ref in row.evidence() if exists and not superseded else []:
            if exists and not any(c in ref.path for c in "*$") and not exists(ref.path):
                message = f"{row.id}: evidence {ref.path} does not exist"
                fix = "correct the path, or mark the finding Superseded"
                found.append(make("E30", findings.path, row.line, message, fix))
        for old in row.supersedes:
            if old not in ids:
                message = f"{row.id} supersedes {old}, which is not here"
                found.append(make("E31", findings.path, row.line, message, "correct the id"))
        if row.status == "Active" and row.check is None:
            fix = f"add `Check: command` under `## {row.id} — title`"
            message = f"{row.id} has no check"
            found.append(make("W18", findings.path, row.line, message, fix))
    rows = {row.id: row for row in findings.rows}
    for circle in cycles({name: row.supersedes for name, row in rows.items()}):
        for name in circle:
            message = f"{name} supersedes itself: {' → '.join([*circle[:8], circle[0]])}"
            fix = "a finding replaces only older ones: remove one of these edges"
            found.append(make("E31", findings.path, rows[name].line, message, fix))
    return sorted(found, key=lambda d: (d.line, d.code, d.message))


def add_finding(text: str, finding: Finding) -> str:
    """Return ``text`` with one finding added: a row, a section for what the row cannot hold.

    Findings that the new one supersedes get the status Superseded; no other byte changes.
    """
    findings = parse_findings(text)
    if finding.id in findings.ids:
        raise DocumentError("the finding exists already", where=finding.id, fix="choose a new id")
    if not is_id(finding.id) or "-" not in finding.id:
        raise DocumentError(
            "this is no finding id", where=finding.id, expected="such as CONFIG-002"
        )
    if len(" ".join(finding.synopsis.split())) > MAX_SYNOPSIS:
        raise DocumentError(
            "synopsis too long",
            where=finding.id,
            expected=f"at most {MAX_SYNOPSIS} characters",
            fix="put the rest into the section",
        )
    for old in finding.supersedes:
        text = set_finding_status(text, old, f"Superseded (by {finding.id})")
    source = SourceText(text)
    require_closed(scan(source), finding.id)
    newline = source.newline
    cells = [getattr(finding, name) for name in _FIELDS]
    row = join_cells([str(cell) for cell in cells])
    if findings.last_row >= 0:
        at = source.after(findings.last_row)
        ended = at > source.end(findings.last_row)
        text = replace_span(text, at, at, row + newline if ended else newline + row)
    else:
        lead = "" if not text or text.endswith(("\n", "\r")) else newline
        head = [join_cells(COLUMNS), "|" + "---|" * len(COLUMNS), row]
        text += (
            lead + (newline if text.strip("\ufeff \t\r\n") else "") + newline.join(head) + newline
        )
    return text + _render_section(finding, text, newline)


def _render_section(finding: Finding, text: str, newline: str) -> str:
    lines = []
    if finding.applies:
        lines.append(f"- Applies: {', '.join(finding.applies)}")
    if finding.check:
        lines.append(f"- Check: `{finding.check.text}`")
    if finding.supersedes:
        lines.append(f"- Supersedes: {', '.join(finding.supersedes)}")
    if finding.section:
        lines += ["", *finding.section.splitlines()]
    if not lines and not finding.title:
        return ""
    lead = "" if text.endswith(("\n", "\r")) else newline
    title = f"## {finding.id} — {finding.title or ' '.join(finding.synopsis.split())[:80]}"
    return lead + newline + newline.join([title, "", *lines]) + newline


def set_finding_status(text: str, finding_id: str, status: str) -> str:
    """Return ``text`` with the status cell of a row replaced; nothing else changes."""
    findings = parse_findings(text)
    row = findings.get(finding_id)
    if row is None or not row.line:
        raise DocumentError(
            "no such finding", where=finding_id, fix="`orchestrate findings search`"
        )
    source = SourceText(text)
    line = source.lines[row.line - 1]
    if not line.lstrip().startswith("|"):
        raise DocumentError("the finding has no table row", where=finding_id, fix="add its row")
    end = len(line.rstrip())
    closed = line[:end].endswith("|") and not line[:end].endswith("\\|")
    stop = end - 1 if closed else end
    start = stop
    while start > 0 and not (line[start - 1] == "|" and line[start - 2 : start - 1] != "\\"):
        start -= 1
    cell = f" {' '.join(status.split())} ".replace("|", "\\|")
    base = source.starts[row.line - 1]
    return replace_span(text, base + start, base + stop, cell)


def meaning(findings: Findings) -> list[dict[str, object]]:
    """Return what the findings say by id, without lines."""
    rows = []
    for row in findings.rows:
        data = vars(row).copy()
        data["check"] = row.check.text if row.check else None
        for name in ("line", "section_line", "section_end"):
            del data[name]
        rows.append({k: " ".join(v.split()) if isinstance(v, str) else v for k, v in data.items()})
    return sorted(rows, key=lambda data: str(data["id"]))
