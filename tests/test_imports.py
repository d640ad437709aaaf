"""Importing either package costs nothing: no TensorFlow, no files, no change of global state."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ptycho.cli import LIBRARY

ROOT = Path(__file__).resolve().parents[1]
PINNED = ("cpu", "torch", "jax", "cluster", "dev")

PROBE = """
import json, locale, logging, os, random, signal, sys, warnings
{before}
import numpy
state = lambda: repr((
    random.getstate(), numpy.random.get_state(), logging.root.level, logging.root.handlers,
    warnings.filters, sys.path, os.getcwd(), dict(os.environ), locale.setlocale(locale.LC_ALL),
    signal.getsignal(signal.SIGINT), sys.excepthook, sys.flags,
))
old = state()
import {package}
changed = state() != old
print(json.dumps({{
    "tensorflow": sorted(m for m in sys.modules if m.split(".")[0] in ("tensorflow", "keras")),
    "changed": changed,
}}))
"""


@pytest.mark.parametrize("package", ["ptycho", "orchestration"])
def test_import_loads_no_tensorflow_writes_nothing_changes_nothing(
    package: str, tmp_path: Path
) -> None:
    """Run in an empty folder that is also HOME and TMPDIR: whatever is written shows there."""
    environment = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(package=package, before="")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == {"tensorflow": [], "changed": False}
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_probe_sees_a_change(tmp_path: Path) -> None:
    """The test above can fail: a package that seeds NumPy and imports Keras' name is caught."""
    (tmp_path / "rude.py").write_text("import numpy\nnumpy.random.seed(1)\nimport keras_\n")
    (tmp_path / "keras_.py").write_text("import sys\nsys.modules['keras'] = sys\n")
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(package="rude", before="sys.path.insert(0, '.')")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == {"tensorflow": ["keras"], "changed": True}


@pytest.mark.parametrize(
    "code",
    [
        "from ptycho.model import PtychoPINN",
        "import ptycho.physics.backend",
        "from ptycho.training import train",
    ],
)
def test_tensorflow_starts_in_silence_by_any_door(code: str) -> None:
    """Whoever sets its variable has asked for the lines; nobody else sees them."""
    quiet = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    quiet["KERAS_BACKEND"] = "tensorflow"
    code += "; import sys; assert 'tensorflow' in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=quiet)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tensorflow_starts_in_silence_in_a_process_of_one_where_it_did() -> None:
    """Worker processes inherit the variable, which their parent has set to be silent itself."""
    inherited = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    code = "import ptycho.physics.backend; import sys; assert 'tensorflow' in sys.modules"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=inherited)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_public_name_resolves() -> None:
    """`ptycho.__all__` promises nothing that does not exist."""
    import ptycho

    assert all(getattr(ptycho, name) is not None for name in ptycho.__all__)
    with pytest.raises(AttributeError, match="no attribute 'reconstruction_of_everything'"):
        ptycho.reconstruction_of_everything  # noqa: B018


BARE = """
import importlib.util, pkgutil, sys
GONE = {gone!r}
class Blocker:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker)
_find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in GONE else _find(name, *rest)
"""


def without(gone: tuple[str, ...], code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process where the packages `gone` are not installed."""
    return subprocess.run(
        [sys.executable, "-c", BARE.format(gone=gone) + code, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("ptycho", "from ptycho.cli import main; main()"),
        ("ptycho", "import runpy; runpy.run_module('ptycho', run_name='__main__')"),
        ("ptycho_train", "from ptycho.earlier.commands import train; train()"),
        ("ptycho_inference", "from ptycho.earlier.commands import inference; inference()"),
        ("ptycho_evaluate", "from ptycho.earlier.commands import evaluate; evaluate()"),
    ],
)
def test_without_the_library_a_program_says_what_to_install(program: str, code: str) -> None:
    """After `pip install .` alone: one line, exit 2."""
    done = without((*LIBRARY, "tensorflow"), code, "--help")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{program}: the library (keras, numpy, ")
    assert 'pip install ".[cpu]"' in line
    assert done.stdout == ""


def test_without_its_backend_a_command_says_what_to_install(tmp_path: Path) -> None:
    """What needs no tensors works without TensorFlow; what needs them says so in one line."""
    scan = str(tmp_path / "scan.npz")
    run = "from ptycho.cli import main; main()"
    made = without(("tensorflow",), run, "simulate", "-o", scan, "--set", "n_frames=9")
    assert made.returncode == 0, made.stderr
    done = without(("tensorflow",), run, "refine", scan, "-o", str(tmp_path / "r.h5"))
    assert done.returncode == 2, done.stderr
    assert "ptycho: the backend tensorflow is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_harness_needs_nothing_of_the_library() -> None:
    """Every module of `orchestration` imports, and the program answers, without the library."""
    code = """
import orchestration
for module in pkgutil.walk_packages(orchestration.__path__, "orchestration."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from orchestration.cli import main
main()
"""
    done = without((*LIBRARY, "tensorflow"), code, "--help")
    assert done.returncode == 0 and "Usage: " in done.stdout, done.stderr


def test_the_extra_library_is_what_the_programs_ask_for() -> None:
    """pyproject.toml and `ptycho.cli.LIBRARY` name the same packages; the base has none of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {
        extra: {re.split(r"[\[>=<; ]", line)[0] for line in lines}
        for extra, lines in {
            "base": project["dependencies"],
            **project["optional-dependencies"],
        }.items()
    }
    called = {"skimage": "scikit-image", "PIL": "pillow"}
    assert names["library"] == {called.get(name, name) for name in LIBRARY}
    assert not names["base"] & names["library"]
    assert all("ptycho" in names[extra] for extra in ("cpu", "gpu", "torch", "jax"))


def test_every_dependency_is_pinned_in_the_one_constraints_file() -> None:
    """`make` installs exact versions; those of other machines (gpu, macOS) are theirs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(x for e in (*PINNED, "library") for x in extras[e])]
    names = {re.split(r"[\[>=<; ]", line)[0].lower().replace("_", "-") for line in wanted}
    rows = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [row.partition("==") for row in rows if not row.startswith("#")]
    assert all(sign and version for _, sign, version in pins)
    pinned = {name.lower().replace("_", "-") for name, _, _ in pins}
    assert names - pinned <= {"ptycho", "tensorflow"}
    assert len(pinned) == len(pins)
