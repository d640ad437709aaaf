"""The pins' shared calls are a module beside the tests, and the fixtures are read once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))  # for `pins_library`
import pins_library as pins


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fixtures are TensorFlow's: other backends draw other first weights."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        return
    skip = pytest.mark.skip(reason="the pinned numbers were made with KERAS_BACKEND=tensorflow")
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.name == "test_numbers.py":
            item.add_marker(skip)


@pytest.fixture(scope="session")
def numbers() -> dict[str, Any]:
    return dict(json.loads((pins.FIXTURES / "numbers.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def arrays() -> dict[str, np.ndarray]:
    with np.load(pins.FIXTURES / "arrays.npz") as file:
        return dict(file)
