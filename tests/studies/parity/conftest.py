"""Makes the helper module of this folder importable by the name used in its tests."""

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_TESTS = Path(__file__).parents[2]

for _folder, _name in (("studies/parity", "frozen"), ("physics", "oracle")):
    _spec = importlib.util.spec_from_file_location(
        f"parity_{_name}", _TESTS / _folder / f"{_name}.py"
    )
    sys.modules[f"parity_{_name}"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[f"parity_{_name}"])
