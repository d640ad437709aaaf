"""A new test is red on the base by an assertion, or because what it asks for is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from orchestration.agents.base import TurnContext

Make = Callable[..., Any]
LEDGER = (
    "### [A-001] add works\n- Status: open\n- Guard: `tests/test_calc.py`\n"
    "- Recipe:\n  - run: true\n    may edit tests: tests/test_calc.py\n"
)
TEST = "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
FILES = {
    "calc/__init__.py": "def add(a, b):\n    return a - b\n\n\ndef half(a):\n    return a / 0\n",
    "tests/test_calc.py": TEST,
}
GOOD = (
    "def add(a, b):\n    if a is None:\n        raise ValueError('a')\n    return a + b\n\n\n"
    "def half(a):\n    return a / 2\n\n\ndef double(a):\n    return 2 * a\n"
)
HONEST = {
    "an assertion": TEST + "\n\ndef test_more():\n    assert add(1, 1) == 2\n",
    "an error that is not raised yet": "import pytest\n" + TEST + "\n\ndef test_none():\n"
    "    with pytest.raises(ValueError):\n        add(None, 1)\n",
    "a function that is not there yet": "from calc import add, double\n\n\ndef test_add():\n"
    "    assert add(2, 3) == 5\n    assert double(2) == 4\n",
    "an attribute that is not there yet": "import calc\n\n\ndef test_add():\n"
    "    assert calc.add(2, 3) == 5\n\n\ndef test_double():\n    assert calc.double(2) == 4\n",
    "a module that is not there yet": "from calc.more import triple\nfrom calc import add\n\n\n"
    "def test_add():\n    assert add(2, 3) == 5\n    assert triple(2) == 6\n",
    "the product raises": TEST + "\n\ndef test_half():\n    from calc import half\n\n"
    "    assert half(3) == 1.5\n",
}
ODD = {
    "an error of its own": "import os\n" + TEST + "\n\ndef test_more():\n"
    "    if not os.path.exists('calc/more.py'):\n        raise RuntimeError('not yet')\n"
    "    assert add(0, 0) == 0\n",
    "a file that it opens itself": TEST + "\n\ndef test_more():\n"
    "    open('calc/more.py').close()\n    assert add(0, 0) == 0\n",
    "a fixture that ends in an error": "import pytest\n" + TEST + "\n\n@pytest.fixture\n"
    "def more():\n    return open('calc/more.py')\n\n\ndef test_more(more):\n"
    "    assert add(0, 0) == 0\n",
}
UNREADABLE = "import pathlib\n\npathlib.Path('calc/more.py').read_text()\n" + TEST


def attempt(test: str) -> Callable[[TurnContext, int], None]:
    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "calc/__init__.py").write_text(GOOD)
        (turn.workspace / "calc/more.py").write_text("def triple(a):\n    return 3 * a\n")
        (turn.workspace / "tests/test_calc.py").write_text(test)

    return work


@pytest.mark.parametrize("name", [*HONEST, *ODD])
def test_why_a_new_test_is_red_on_the_base(place: Make, stub: Any, name: str) -> None:
    here = place(LEDGER, **FILES)
    here.run(stub(attempt({**HONEST, **ODD}[name])), cycles=1)
    known = here.harness().state.items["A-001"]
    wanted = "land" if name in HONEST else "held"
    assert known.last_verdict == wanted, known.last_reason
    assert ("T14" in known.last_reason) == (name in ODD), known.last_reason


def test_a_new_file_that_cannot_be_collected_on_the_base_shows_nothing(
    place: Make, stub: Any
) -> None:
    here = place(LEDGER, **FILES)
    here.run(stub(attempt(UNREADABLE)), cycles=1)
    known = here.harness().state.items["A-001"]
    assert known.last_verdict == "reject"
    assert "on the base, and must fail there" in known.last_reason
