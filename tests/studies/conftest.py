"""A Dask cluster whose workers import the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dask_processes import Cluster, dask_processes


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and two workers; ended with the test."""
    with dask_processes(tmp_path, Path(__file__).parent) as there:
        yield there
