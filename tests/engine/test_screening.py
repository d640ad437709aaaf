"""What stops an attempt before anything of it runs, on real commits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from orchestration.gates.screening import screen
from orchestration.git.repository import Repo

TEST = "from calc import double\n\n\ndef test_double():\n    assert double(2) == 4\n"
KEY = "AKIA" + "QX7ZJ3LWN5PK2VTB"


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "a change")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "config", "user.name", "A Person")
    git(tmp_path, "config", "user.email", "p@example.org")
    commit(tmp_path, {"calc.py": "def double(x):\n    return x + x + 1\n", "tests/test_a.py": TEST})
    return tmp_path


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"calc.py": "def double(x):\n    return 2 * x\n"}, ""),
        ({"calc.py": f"KEY = '{KEY}'\n"}, "credential"),
        ({"calc.py": "import os\n\n\ndef double(x):\n    os._exit(0)\n"}, "os._exit"),
        ({"tests/test_a.py": "def test_double():\n    pass\n"}, "tests/test_a.py"),
        ({"big.bin": "x" * (6 << 20)}, "5242880"),
    ],
    ids=["honest", "secret", "exit", "weakened test", "large file"],
)
def test_a_diff_is_screened(root: Path, files: dict[str, str], words: str) -> None:
    base = git(root, "rev-parse", "HEAD")
    found = screen(Repo(root), base, commit(root, files), list(files))
    said = "\n".join([found.reason, *map(str, found.flags)])
    assert (words in said) if words else said == ""
    assert bool(found.reason) == (words == "credential")
    assert KEY not in said


TOKEN = "ghp_" + "Zx81Qw9Lk3Vb7Nm2Rt6Yp4Hs0Gd5Jf8Cc1Aa"


@pytest.mark.parametrize(
    "files",
    [
        {".gitattributes": "*.py -diff\n", "calc.py": f"KEY = '{TOKEN}'\n"},
        {"notes.txt": f"same\n++ {TOKEN}\n"},
        {"notes.txt": f"same\x0c\u2028{TOKEN}\n"},
        {"data.bin": f"\0\0{TOKEN} \0\n"},
        {"line.txt": "x" * 30_000 + f" {TOKEN}\n"},
        {"line.txt": f"no newline at the end {TOKEN}"},
    ],
    ids=["attributes", "looks like a header", "form feed", "binary", "far out", "no newline"],
)
def test_a_hidden_secret_is_found(root: Path, files: dict[str, str]) -> None:
    base = git(root, "rev-parse", "HEAD")
    said = screen(Repo(root), base, commit(root, files), list(files)).reason
    assert "GitHub token" in said
    assert TOKEN[6:] not in said
