"""Keep TensorFlow's start-up chatter off the terminal of a person who asked for an image."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras as keras
    from keras import layers as layers
    from keras import ops as ops

SILENT = "3"  # of TF_CPP_MIN_LOG_LEVEL: fatal errors only
_KERAS = {"keras": "keras", "layers": "keras.layers", "ops": "keras.ops"}


def __getattr__(name: str) -> Any:
    """`from ptycho.quiet import keras, layers, ops`: Keras, whose backend starts in silence."""
    if name not in _KERAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    load_tensorflow()
    return importlib.import_module(_KERAS[name])


def load_tensorflow() -> None:
    """Import TensorFlow (if it is the backend) without the lines that it prints while loading.

    Whoever sets TF_CPP_MIN_LOG_LEVEL has asked for them, and gets what TensorFlow makes of it;
    3 is what this function sets itself, and asks for silence in the processes of this one too.

    It writes them from C++ to file descriptor 2 before any of its switches is read, so the
    descriptor itself is turned aside during the import; if the import fails, what was written is
    shown. The public functions call this too; a TensorFlow that is there already is left alone.
    """
    other = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    asked = os.environ.get("TF_CPP_MIN_LOG_LEVEL", SILENT) != SILENT
    if other or "tensorflow" in sys.modules or asked:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = SILENT
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            aside.seek(0)
            os.write(real, aside.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)
