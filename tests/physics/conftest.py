"""Makes the two helper modules of this folder importable by the names used in its tests."""

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

for _name in ("oracle", "support"):
    _spec = importlib.util.spec_from_file_location(
        f"physics_{_name}", Path(__file__).with_name(f"{_name}.py")
    )
    sys.modules[f"physics_{_name}"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[f"physics_{_name}"])
