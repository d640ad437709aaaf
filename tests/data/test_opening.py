"""A mistake of our own keeps its traceback: only content that makes no sense is a damaged file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptycho.data import npz, open_scan
from ptycho.errors import DamagedFileError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "scan.npz", anything=np.ones(3))
    return tmp_path / "scan.npz"


@pytest.mark.parametrize("bug", [AttributeError, AssertionError])
def test_a_bug_in_a_reader_is_not_a_damaged_file(file, monkeypatch, bug):
    def reader(*args, **kwargs):
        raise bug("'NoneType' object has no attribute 'shape'")

    monkeypatch.setattr(npz, "read", reader)
    with pytest.raises(bug, match="NoneType"):
        open_scan(file)


def test_content_that_no_check_foresaw_is_a_damaged_file(file, monkeypatch):
    def reader(*args, **kwargs):
        raise ValueError("cannot reshape array of size 3")

    monkeypatch.setattr(npz, "read", reader)
    with pytest.raises(DamagedFileError, match="cannot reshape"):
        open_scan(file)
