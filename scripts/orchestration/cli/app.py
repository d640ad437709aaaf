"""The program `orchestrate`, and the one place where errors become words and exit codes."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import sys

import typer

import orchestration
from orchestration.core import ExitReason, Interrupted
from orchestration.errors import HarnessError

PARTS = (
    "orchestration.cli.run",
    "orchestration.cli.look",
    "orchestration.cli.control",
    "orchestration.cli.review",
    "orchestration.cli.held_out",
    "orchestration.cli.history",
    "orchestration.cli.documents",
    "orchestration.cli.views",
)
QUICK = {
    **dict.fromkeys(("status", "why", "show", "tail"), "orchestration.cli.look"),
    **dict.fromkeys(("report", "serve"), "orchestration.cli.views"),
}
"""Commands that people and agents ask for all the time: only their own part is loaded."""
LASTING = ("tail", "serve")
"""Those of them that may go on for days."""

app = typer.Typer(
    name="orchestrate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "A supervisor/worker loop that works through docs/fix_plan.md under guard tests.\n\n"
        "Exit codes of a run: "
        + ", ".join(f"{reason.name} {reason.code}" for reason in ExitReason)
        + "."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"orchestrate {orchestration.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    pass


_asked = QUICK.get(sys.argv[1]) if len(sys.argv) > 1 else None
if _asked and sys.argv[1] not in LASTING:
    gc.disable()  # over before there is anything to collect; a tenth of the time of `status`
for _part in (_asked,) if _asked else PARTS:
    importlib.import_module(_part).register(app)


def _describe(error: HarnessError) -> str:
    fields = ("what", "where", "expected", "got", "fix")
    values = {name: getattr(error, name) for name in fields}
    return json.dumps(
        {"error": type(error).__name__}
        | {name: None if value is None else str(value) for name, value in values.items()}
    )


def main() -> None:
    """Run a command; a user's mistake becomes words (JSON under `--json`), never a traceback."""
    if (sys.stdout.encoding or "").lower() != "utf-8":  # é is written \\xe9 where it cannot be
        with contextlib.suppress(AttributeError):
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app()
    except HarnessError as error:
        if "--json" in sys.argv:
            print(_describe(error))
        from orchestration.log import is_full

        _last_words(f"orchestrate: {error}")
        sys.exit(ExitReason.DISK_FULL.code if is_full(error) else error.exit_code)
    except Interrupted as asked:
        _last_words(f"orchestrate: ended by {asked.name}; the next run continues")
        sys.exit(asked.code)
    except KeyboardInterrupt:
        _last_words("orchestrate: interrupted; the next run continues from the log")
        sys.exit(ExitReason.INTERRUPTED.code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as problem:
        from orchestration.log import disk_full, is_full

        if not is_full(problem):
            raise
        _last_words(f"orchestrate: {disk_full(str(problem))}")
        sys.exit(ExitReason.DISK_FULL.code)


def _last_words(text: str) -> None:
    """Say something on stderr, which may be a terminal that is gone or a file on a full disk."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
