"""The command line `ptycho`: one module a command."""


def main() -> None:
    """Run a command; imported late, so that `import ptycho.cli` costs nothing."""
    from ptycho.cli.app import main as run

    run()
