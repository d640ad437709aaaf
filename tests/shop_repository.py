"""A library of one function with a wrong word in it, as the tests of `init` begin with it."""

from __future__ import annotations

import sys
from pathlib import Path

ORCHESTRATE = str(Path(sys.executable).with_name("orchestrate"))
RIGHT = "def total(prices):\n    return sum(prices)\n"
WRONG = RIGHT.replace("sum", "max")
TEST = "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
ITEM = """### [FIX-1] Totals
- Status: open
- Guard: tests/test_shop.py::test_total
- Exit:
  - [ ] C1 `pytest tests/test_shop.py::test_total` — it adds
"""
