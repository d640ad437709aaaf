"""The tests of this room share `behind`; the level that they ran at is told at the end."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say the level of the fence here: CI's output records it."""
    from orchestration.sandbox import available
    from orchestration.sandbox.kernel import landlock_abi

    levels = ", ".join(available())
    terminalreporter.write_line(f"fence: {levels}; Landlock ABI {landlock_abi()}")
