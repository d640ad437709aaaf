"""What an agent left is read as files, within bounds, whatever it put there."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from orchestration.errors import HarnessError
from orchestration.git import Bounds, PastBounds, Repo, import_files, lay_out
from orchestration.turns.workspace import LITTER

SOURCES = Path(__file__).parents[2] / "scripts"
RULES = {
    ".gitignore": b"*.log\nbuild/\n/top.txt\n!keep.log\n",
    "pkg/.gitignore": b"local.py\n!important.log\n",
}
FILES = {"pkg/__init__.py": b"X = 1\n", "forced.log": b"tracked all the same\n", **RULES}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    root = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    here = Repo(root)
    here.update_ref(
        "refs/heads/main", here.commit_tree(here.write_tree(None, FILES), [], "1"), None
    )
    return here


@pytest.fixture
def work(repo: Repo, tmp_path: Path) -> Path:
    place = tmp_path / "work"
    place.mkdir()
    lay_out(repo, "main", place)
    return place


def changed(repo: Repo, work: Path, **options: object) -> list[str]:
    got = import_files(repo, work, "main", **options)  # type: ignore[arg-type]
    return repo.diff_names("main", got.tree)


def put(work: Path, *names: str) -> None:
    for name in names:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(f"{name}\n")


def test_the_same_files_count_as_for_git(repo: Repo, work: Path) -> None:
    """Held against `git add --all` for rules of folders, negations, depth and odd names."""
    put(
        work, "a.log", "keep.log", "pkg/b.log", "pkg/important.log", "build/x.py", "pkg/build/y.py",
        "pkg/local.py", "local.py", "top.txt", "pkg/top.txt", "odd name.py", "-dash", ":(top)x.py",
        "new\tline.py", "ümlaut.py", "deep/er/build/z", "deep/er/ok.py", "build2/x",
    )  # fmt: skip
    os.chmod(work / "local.py", 0o755)
    (work / "link").symlink_to("/etc/passwd")
    (work / "pkg/__init__.py").unlink()
    env = {**os.environ, "GIT_DIR": str(repo.git_dir), "GIT_WORK_TREE": str(work)}
    with repo.temporary_index("main") as index:
        subprocess.run(["git", "add", "--all", "."], cwd=work, env=env | index, check=True)
        expected = repo.text("write-tree", env=index)
    (work / "new\tline.py").unlink()
    tree = repo.write_tree(expected, {"new\tline.py": None})
    assert import_files(repo, work, "main").tree == tree
    assert {"keep.log", "pkg/important.log", ":(top)x.py"} <= set(repo.diff_names("main", tree))


def test_files_in_place_of_folders_and_back(repo: Repo, work: Path) -> None:
    for path in sorted((work / "pkg").iterdir()):
        path.unlink()
    (work / "pkg").rmdir()
    (work / "pkg").symlink_to("/usr")
    (work / "forced.log").unlink()
    put(work, "forced.log/inside.py")
    names = changed(repo, work)
    assert names == ["forced.log", "pkg", "pkg/.gitignore", "pkg/__init__.py"]


def test_what_is_no_file_is_named_and_nothing_hangs(repo: Repo, work: Path, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("SECRET\n")
    os.mkfifo(work / "pipe")
    os.mkfifo(work / "pkg/pipe.log")
    os.link(tmp_path / "env", work / "hard.txt")
    with socket.socket(socket.AF_UNIX) as door:
        here = os.getcwd()
        os.chdir(work)
        door.bind("door")
        os.chdir(here)
    subprocess.run(["git", "init", "-q", str(work / "nested")], check=True)
    put(work, "nested/file.py")
    (work / "loop").symlink_to(".")
    got = import_files(repo, work, "main")
    assert repo.diff_names("main", got.tree) == ["loop", "nested/file.py"]
    told = " ".join(got.skipped)
    assert all(word in told for word in ("pipe", "hard.txt has 2 names", "door", "nested/.git"))


def test_caches_are_no_work_and_closed_folders_are_opened(repo: Repo, work: Path) -> None:
    put(work, "pkg/__pycache__/x.pyc", "shut/in.py")
    os.chmod(work / "shut", 0)
    assert changed(repo, work, litter=["__pycache__"]) == ["shut/in.py"]


@pytest.mark.parametrize(
    ("damage", "bound"),
    [
        (lambda w: os.truncate(w / "pkg/__init__.py", 100 << 30), "a file of more bytes"),
        (lambda w: put(w, *(f"many/{n}.py" for n in range(300))), "more changed files than 200"),
        (lambda w: put(w, "/".join(["d"] * 80) + "/x.py"), "folders lie deeper than 64"),
        (lambda w: [os.truncate(_new(w, n), 400_000) for n in "abc"], "changed files of more"),
        (lambda w: os.truncate(_new(w, ".gitignore"), 2 << 20), "a .gitignore of more bytes"),
    ],
)
def test_bounds_are_verdicts(
    repo: Repo, work: Path, damage: Callable[[Path], object], bound: str
) -> None:
    damage(work)
    limits = Bounds(changed=200, bytes=1_000_000)
    started = time.monotonic()
    with pytest.raises(PastBounds, match=bound):
        import_files(repo, work, "main", bounds=limits)
    assert time.monotonic() - started < 20


def _new(work: Path, name: str) -> Path:
    (work / name).write_text("")
    return work / name


def test_a_name_that_is_no_text_is_an_error_in_words(repo: Repo, work: Path) -> None:
    (Path(os.fsdecode(os.fsencode(work) + b"/caf\xe9.py"))).write_text("x\n")
    with pytest.raises(HarnessError, match="no printable UTF-8"):
        import_files(repo, work, "main")


def test_a_large_file_costs_no_memory(repo: Repo, work: Path) -> None:
    (work / "data.bin").write_bytes(random.Random(1).randbytes(90 << 20))
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from orchestration.git import Bounds, Repo, import_files\n"
        "wide = Bounds(file_bytes=1 << 30, bytes=1 << 30)\n"
        "print(import_files(Repo(sys.argv[1]), Path(sys.argv[2]), 'main', bounds=wide).tree)\n"
        "rows = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()\n"
        "print(int(rows[0]) // 1024)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    argv = [sys.executable, "-c", code, str(repo.root), str(work)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    tree, peak = done.stdout.split()
    assert int(peak) < 100, f"{peak} MB"
    sha = repo.list_tree(tree)["data.bin"].sha
    same = subprocess.run(
        ["git", "hash-object", "--no-filters", str(work / "data.bin")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert sha == same.stdout.strip()
    assert repo.run("fsck", "--strict", sha, check=False).status == 0


def test_what_tools_leave_is_no_work_and_settings_of_like_names_are(repo: Repo, work: Path) -> None:
    left = (".coverage.host.12.x", ".aider.chat.history.md", ".aider.tags.cache.v4/cache.db")
    left += (".claude/todos/1.json", ".codex/sessions/a.jsonl", ".gemini/tmp/x", ".claude/a.log")
    left += ("web/node_modules/a/b.js", ".tox/py/x.py", ".nox/t/x", "docs/.DS_Store")
    left += ("calc.egg-info/PKG-INFO", "src/calc.egg-info/entry_points.txt")
    for name in (*left, "nb/.ipynb_checkpoints/a.ipynb", ".coveragerc", ".aiderignore", "tox.ini"):
        put(work, name)
    # Elsewhere they are data, as in the tests of a packaging tool.
    put(work, ".claude/settings.json", "docs/todos/one.md", "tests/data/old.egg-info/PKG-INFO")
    steering = [".aiderignore", ".claude/settings.json", ".coveragerc"]
    assert changed(repo, work, litter=LITTER) == [
        *steering,
        "docs/todos/one.md",
        "tests/data/old.egg-info/PKG-INFO",
        "tox.ini",
    ]
    told = import_files(repo, work, "main", litter=LITTER).litter
    assert {name.split("/")[0] for name in told} >= {name.split("/")[0] for name in left}
