"""The program `orchestrate`."""

from __future__ import annotations


def main() -> None:
    """Run a command; imported late, so that `import orchestration.cli` costs nothing."""
    from orchestration.cli.app import main as run

    run()
