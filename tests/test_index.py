"""docs/index.md draws the houses as they are: pictures and tables, held against the imports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/index.md").read_text(encoding="utf-8")
HOUSES = {"ptycho": ROOT / "ptycho", "orchestration": ROOT / "scripts/orchestration"}
DOORS = {"projective_warp_xla", "raw_data", "tf_helper"}  # files of `earlier` that lie outside


class Arrow(NamedTuple):
    """`start` to `end`, passed on by `by`; "" where the start uses the end itself."""

    start: str
    by: str
    end: str


def picture(house: str) -> tuple[dict[str, str], list[Arrow]]:
    """The module of each box of a house's picture, and the arrows between the boxes."""
    blocks = re.findall(
        r"^## The \w+ \(`(?:scripts/)?(\w+)/`\)\n\n```mermaid\n(.*?)```", PAGE, re.M | re.S
    )
    (text,) = [block for name, block in blocks if name == house]
    boxes = dict(re.findall(r'(\w+)\["[^"]*<br/>([\w/]+)"\]', text))
    bare = re.sub(r'\["[^"]*"\]', "", text)
    full = re.findall(r"^ *(\w+) -->\|([\w/]+)\| (\w+)$", bare, re.M)
    dotted = re.findall(r"^ *(\w+) -\.-> (\w+)$", bare, re.M)
    arrows = [Arrow(*found) for found in full] + [Arrow(a, "", b) for a, b in dotted]
    assert len(arrows) == len(bare.strip().splitlines()) - 1, "an arrow that was not read"
    return boxes, arrows


def reaches(graph: grimp.ImportGraph, start: str, end: str) -> bool:
    """Whether `start` (or a module in it) lies in `end`, imports it, or imports its room's face."""
    inside = [m for m in graph.modules if m == start or m.startswith(start + ".")]
    room = ".".join(end.split(".")[:2])
    wanted = {end, room}
    return any(
        module == end
        or module.startswith(end + ".")
        or any(
            found in wanted or found.startswith(end + ".")
            for found in graph.find_modules_directly_imported_by(module)
        )
        for module in inside
    )


def faults(
    graph: grimp.ImportGraph, house: str, boxes: dict[str, str], arrows: list[Arrow]
) -> list[str]:
    """What a picture says that the imports do not."""
    module = {name: f"{house}.{path.replace('/', '.')}" for name, path in boxes.items()}
    found = [f"no module {path}" for path in module.values() if path not in graph.modules]
    for arrow in arrows:
        by = f"{house}.{arrow.by.replace('/', '.')}" if arrow.by else module[arrow.start]
        if by not in graph.modules:
            found.append(f"no module {by}")
            continue
        ends = [module[arrow.end]] + ([module[arrow.start]] if arrow.by else [])
        found += [f"{by} knows nothing of {end}" for end in ends if not reaches(graph, by, end)]
    return found


@pytest.fixture(scope="module", params=HOUSES)
def house(request: pytest.FixtureRequest) -> tuple[str, grimp.ImportGraph]:
    return request.param, grimp.build_graph(request.param)


def test_every_arrow_is_an_import(house: tuple[str, grimp.ImportGraph]) -> None:
    name, graph = house
    boxes, arrows = picture(name)
    assert len(arrows) >= 9
    assert faults(graph, name, boxes, arrows) == []


def test_an_arrow_without_an_import_is_seen(house: tuple[str, grimp.ImportGraph]) -> None:
    name, graph = house
    boxes = {"errors": "errors", "cli": "cli", "none": "nowhere"}
    arrows = [
        Arrow("errors", "", "cli"),
        Arrow("cli", "errors", "errors"),
        Arrow("cli", "", "errors"),
    ]
    assert faults(graph, name, boxes, arrows) == [
        f"no module {name}.nowhere",
        f"{name}.errors knows nothing of {name}.cli",
        f"{name}.errors knows nothing of {name}.cli",
    ]


@pytest.mark.parametrize("name", HOUSES)
def test_the_table_names_every_room_and_no_other(name: str) -> None:
    text = PAGE.partition(f"{name}/`)")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", text, re.M)
    named = [word for cell in cells for word in re.findall(r"`(\w+)`", cell)]
    there = {
        path.stem
        for path in HOUSES[name].iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").is_file()) and path.stem[:2] != "__"
    }
    assert sorted(named) == sorted(there - DOORS)
    for door in DOORS if name == "ptycho" else ():
        assert door in there and f"`{door}`" in text
    for word in re.findall(r"`((?:docs|demo|plans|tests)/[\w./-]+)`", PAGE):
        assert (ROOT / word).exists(), word


def test_every_page_is_named() -> None:
    pages = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")} - {"docs/index.md"}
    assert {page for page in pages if f"`{page}`" not in PAGE} == set()
