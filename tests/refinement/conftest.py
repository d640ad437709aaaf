"""Makes the float64 oracle of this folder importable as `refine_oracle`."""

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_spec = importlib.util.spec_from_file_location(
    "refine_oracle", Path(__file__).with_name("oracle.py")
)
sys.modules["refine_oracle"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["refine_oracle"])
