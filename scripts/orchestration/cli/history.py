"""`orchestrate verify` and `orchestrate log …`: the record, checked and moved."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from orchestration.config import load_config
from orchestration.core import ExitReason
from orchestration.errors import HarnessError
from orchestration.git import Repo
from orchestration.harness import SystemClock, target_of
from orchestration.landing import SIGNED, trust_of, verify_branch
from orchestration.log import import_events, publish, read_export, recover, set_aside
from orchestration.views import read_events
from orchestration.voices import known_voice

REPO = typer.Option(Path("."), "--repo", "-C", help="The repository.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")
UNPINNED = (
    "The key is that of docs/history/log.jsonl, since no orchestration/log is here: whoever may "
    "commit to this branch could have written it. --key KEY names one that you know."
)
log_app = typer.Typer(no_args_is_help=True, help="The event log: export, import, recover.")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("verify")(verify)
    app.add_typer(log_app, name="log")


def verify(
    branch: str | None = typer.Argument(None, help="The branch; default: the target."),
    path: Path = REPO,
    json_output: bool = JSON,
    key: list[str] = typer.Option([], "--key", help="A public key that counts as well."),
) -> None:
    """Check every landing on a branch: whole tree, receipt, signature, and that none is missing.

    The branch and orchestration/log are enough, in any clone; where that is
    not published, the log that is committed as docs/history/log.jsonl.
    """
    repo = Repo(path)
    name = branch or target_of(repo, load_config(repo.root))
    repo.resolve(f"refs/heads/{name}")
    own = known_voice(repo.state_dir)
    keys = [*([own.public] if own else []), *key]
    published = read_events(repo, committed=False)
    events = published or read_events(repo)
    rows = verify_branch(repo, name, trust_of(events, keys))
    bad = [row for row in rows if row.problems]
    if json_output:
        facts = [{**vars(row), "problems": list(row.problems)} for row in rows]
        print(json.dumps({"branch": name, "ok": not bad, "landings": facts}))
    else:
        for row in rows:
            old = "" if row.signature == SIGNED else f" ({row.signature})"
            print(f"{'ok ' if not row.problems else 'BAD'} {row.commit[:12]} {row.subject}{old}")
            for problem in row.problems:
                print(f"      {problem}")
        word = "landing" if len(rows) == 1 else "landings"
        print(f"{len(rows)} {word} on {name}, {len(bad)} with problems")
        if events and not published and not keys:
            print(UNPINNED)
    if bad:
        raise typer.Exit(ExitReason.CHECKS_RED.code)


@log_app.command("export")
def export(
    output: Path | None = typer.Option(None, "--output", "-o", help="File; default: stdout."),
    path: Path = REPO,
) -> None:
    """Write the whole log as one file of JSON lines."""
    text = "".join(event.line() + "\n" for event in read_events(Repo(path)))
    if output is None:
        print(text, end="")
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    print(f"{text.count(chr(10))} events in {output}")


@log_app.command("import")
def import_log(
    file: Path | None = typer.Argument(None, help="A file made by `log export`."),
    from_branch: bool = typer.Option(False, "--from-branch", help="Take orchestration/log."),
    path: Path = REPO,
) -> None:
    """Take over a log; a local log that it does not continue is set aside, never deleted."""
    repo = Repo(path)
    if (file is None) == (not from_branch):
        raise HarnessError("say what to import", expected="a FILE, or --from-branch")
    if file is not None and not file.is_file():
        raise HarnessError("no such file", where=file, fix="orchestrate log export -o FILE")
    events = (
        publish.read_branch(repo)
        if file is None
        else read_export(file.read_text(encoding="utf-8"), str(file))
    )
    if not events:
        raise HarnessError("there is nothing to import", where=file or "orchestration/log")
    aside = set_aside(repo.state_dir) if from_branch else None
    import_events(repo.state_dir, events)
    print(f"{len(events)} events imported" + (f"; the old log is {aside}" if aside else ""))


@log_app.command("recover")
def recover_log(path: Path = REPO) -> None:
    """Keep the valid beginning of a corrupt log; the old files are set aside."""
    repo = Repo(path)
    kept, aside = recover(repo.state_dir, SystemClock())
    print(f"kept {kept} events; the old log is {aside}")
