"""Physics-informed neural ptychography.

The public functions are loaded on first use (PEP 562), so that `import ptycho` costs
milliseconds, imports no TensorFlow, writes no file and changes no global state.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Scan": "ptycho.scan",
    "open_scan": "ptycho.data",
    "save_scan": "ptycho.data",
    "SimulationConfig": "ptycho.simulation",
    "simulate": "ptycho.simulation",
    "TrainConfig": "ptycho.config",
    "train": "ptycho.training",
    "ReconstructConfig": "ptycho.config",
    "reconstruct": "ptycho.reconstruction",
    "Reconstruction": "ptycho.result",
    "load_reconstruction": "ptycho.data",
    "save_reconstruction": "ptycho.data",
    "RefineConfig": "ptycho.refinement",
    "refine": "ptycho.refinement",
    "evaluate": "ptycho.evaluation",
    "load": "ptycho.model",
    "PtychoError": "ptycho.errors",
}

# What cannot work without tensors: TensorFlow is loaded with it, without its start-up lines.
_TENSORS = ("train", "reconstruct", "refine", "load")

__all__ = [
    "PtychoError",
    "ReconstructConfig",
    "Reconstruction",
    "RefineConfig",
    "Scan",
    "SimulationConfig",
    "TrainConfig",
    "__version__",
    "evaluate",
    "load",
    "load_reconstruction",
    "open_scan",
    "reconstruct",
    "refine",
    "save_reconstruction",
    "save_scan",
    "simulate",
    "train",
]

if TYPE_CHECKING:
    from ptycho.config import ReconstructConfig, TrainConfig
    from ptycho.data import load_reconstruction, open_scan, save_reconstruction, save_scan
    from ptycho.errors import PtychoError
    from ptycho.evaluation import evaluate
    from ptycho.model import load
    from ptycho.reconstruction import reconstruct
    from ptycho.refinement import RefineConfig, refine
    from ptycho.result import Reconstruction
    from ptycho.scan import Scan
    from ptycho.simulation import SimulationConfig, simulate
    from ptycho.training import train


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        if name in _TENSORS:
            from ptycho.quiet import load_tensorflow

            load_tensorflow()
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    # A submodule such as ptycho.data is reached by `import ptycho.data`, as everywhere in Python.
    raise AttributeError(f"module 'ptycho' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
