"""The program `ptycho`, and the one place where errors become words."""

from __future__ import annotations

import importlib
import json
import os
import sys

import typer

import ptycho
from ptycho.errors import PtychoError

COMMANDS = (
    "simulate",
    "inspect",
    "convert",
    "train",
    "reconstruct",
    "refine",
    "evaluate",
    "report",
    "prior",
    "study",
    "parity",
    "bench",
)

app = typer.Typer(
    name="ptycho",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Physics-informed neural ptychography: simulate, inspect, train, reconstruct, refine, "
        "evaluate.\n\nExit codes: 0 success, 1 the work failed, 2 wrong usage or configuration, "
        "3 unusable data, 130 interrupted."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ptycho {ptycho.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    pass


for _command in COMMANDS:
    importlib.import_module(f"ptycho.cli.{_command}").register(app)


def _describe(error: PtychoError) -> str:
    fields = {
        "error": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "got": error.got,
        "fix": error.fix,
    }
    return json.dumps({key: None if value is None else str(value) for key, value in fields.items()})


def _interrupted(words: list[str]) -> str:
    told = "ptycho: interrupted; finished files are complete, others were not written"
    if words[:1] in (["refine"], ["train"]):
        told += "; with --resume the same command goes on from its last checkpoint, if it left one"
    return told


def main(words: list[str] | None = None) -> None:
    """Run a command; a user's mistake becomes words (JSON under `--json`), never a traceback.

    Args:
        words: what follows `ptycho` on the command line; None: those of this process.
    """
    words = sys.argv[1:] if words is None else words
    try:
        app(args=words, prog_name="ptycho", obj=words)
    except PtychoError as error:
        if "--json" in words:
            print(_describe(error))
        print(f"ptycho: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == 130:  # Typer makes it of a KeyboardInterrupt, without a word
            print(_interrupted(words), file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print(_interrupted(words), file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) went away: not a mistake. Silence the flush at exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a full disk, a folder that went away: after all checks
        place = f": {error.filename}" if error.filename else ""
        print(f"ptycho: {error.strerror or error}{place}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
