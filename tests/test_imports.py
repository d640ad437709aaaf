"""Importing either package costs nothing: no TensorFlow, no files, no change of global state."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_every_public_name_resolves() -> None:
    """`ptycho.__all__` promises nothing that does not exist."""
    import ptycho

    assert all(getattr(ptycho, name) is not None for name in ptycho.__all__)
    with pytest.raises(AttributeError, match="no attribute 'reconstruction_of_everything'"):
        ptycho.reconstruction_of_everything  # noqa: B018
