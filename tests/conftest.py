"""What all tests share: quiet TensorFlow, measured frames, marked processes, the list of skips."""

from __future__ import annotations

import atexit
import compileall
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.append(str(Path(__file__).parent))  # for modules that several rooms share
from leftovers import alive

# How long a busy machine takes to draw an example says nothing about the code.
settings.register_profile("any machine", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# What the harness keeps of the repositories that tests make is never among a person's own.
STATES = tempfile.mkdtemp(prefix="state-")
os.environ["XDG_STATE_HOME"] = STATES
atexit.register(shutil.rmtree, STATES, ignore_errors=True)

HOW_TO_GET = {
    "real": "set PTYCHO_DATA_DIR to the folder with siemens-star-small.npz.bz2 (tike's test data)",
    "torch": "make test BACKENDS=torch",
    "browser": "pip install -e .[browser]; install Chromium (Debian: apt-get install chromium)",
    "bwrap": "install bubblewrap (Debian: apt-get install bubblewrap)",
    "peers": "pip install cdtools-py ptychodus",
    "agents": "make agents (npm and pip; into .agent-programs/)",
}


@pytest.fixture(scope="session")
def siemens_star_path() -> Path:
    """The measured Siemens star, or a skip that says how to get it."""
    path = Path(os.environ.get("PTYCHO_DATA_DIR", "")) / "siemens-star-small.npz.bz2"
    if not os.environ.get("PTYCHO_DATA_DIR") or not path.is_file():
        pytest.skip(f"measured frames are absent: {HOW_TO_GET['real']}")
    return path


@pytest.fixture
def token() -> Iterator[str]:
    """A word for the command line of what a test may leave behind; the test ends all of it."""
    word = f"left-{uuid.uuid4().hex}"
    yield word
    for process in alive(word):
        process.kill()


# Processor seconds of the tests that are slow, as `--seconds` and slow_tests.py wrote them.
SECONDS = {
    name: float(spent)
    for spent, name in (
        line.split(" ", 1)
        for line in (Path(__file__).parent / "seconds.txt").read_text("utf-8").splitlines()
    )
}
PROOF_S = 2.0  # from here on a test is left to `make proofs`,
# unless it is the one that tells whether its part of the programs works at all.
KEPT = set((Path(__file__).parent / "kept.txt").read_text("utf-8").splitlines())


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seconds FILE`: where tests/seconds.txt comes from (scripts/tools/slow_tests.py)."""
    parser.addoption("--seconds", type=Path, help="append each test's processor seconds to a file")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Under `--seconds` write down what a test cost, fixtures and ended children included."""
    before = os.times()
    result = yield
    if path := item.config.getoption("--seconds"):
        spent = sum(os.times()[:4]) - sum(before[:4])
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{spent:.2f} {item.nodeid}\n")
    return result


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist chooses to spread single tests
def pytest_cmdline_main(config: pytest.Config) -> None:
    """On several workers keep a file together: so what its tests share is made once.

    (`--dist loadgroup` does not: pytest-xdist 3.8 writes groups where pytest 9.2 reads none.)
    """
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist, config.option.loadscopereorder = "loadfile", False


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile both packages once, where Python is told to keep no compiled files.

    Else each of the hundreds of programs that tests start would compile them anew.
    """
    if sys.dont_write_bytecode and not hasattr(session.config, "workerinput"):
        for folder in ("ptycho", "scripts/orchestration"):
            compileall.compile_dir(session.config.rootpath / folder, quiet=2)


@pytest.hookimpl(tryfirst=True)  # before marks are chosen by -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what takes long; on several workers begin with the files that have long tests.

    So no worker is left with a long file at the end. A test that is named (`FILE::TEST`) runs
    however long it takes.
    """
    named = any("::" in word for word in config.args)
    for item in items:
        if item.nodeid not in SECONDS:
            continue
        item.add_marker("slow")
        if SECONDS[item.nodeid] >= PROOF_S and item.nodeid not in KEPT and not named:
            item.add_marker("proof")
    if not hasattr(config, "workerinput"):
        return
    long = {
        item.path for item in items if {"slow", "training"} & {m.name for m in item.iter_markers()}
    }
    items.sort(key=lambda item: item.path not in long)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with what was skipped and how to get it."""
    skipped = terminalreporter.stats.get("skipped", [])
    marks = sorted({mark for report in skipped for mark in HOW_TO_GET if mark in report.keywords})
    if skipped:
        terminalreporter.section(f"{len(skipped)} skipped; how to run them")
    for mark in marks:
        terminalreporter.write_line(f"{mark}: {HOW_TO_GET[mark]}")
