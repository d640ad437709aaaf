"""Values of `agent_env:` are secret whatever they look like: no landing or log shows one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from orchestration.gates.secrets import black_out, redact, scan_diff, scan_text, values_of
from orchestration.setup.session import open_harness

PLAIN = "correct horse battery"


@pytest.mark.parametrize(
    ("variables", "secret"),
    [
        ({"KEY": PLAIN}, [PLAIN]),
        ({"KEY": "hunter2"}, ["hunter2"]),
        ({"KEY": "8" * 20}, ["8" * 20]),
        ({"KEY": "short", "PORT": "8080808", "HOST": "http://127.0.0.1:8799/v1"}, []),
        ({"HOST": "https://me:pässwort@x.org"}, ["https://me:pässwort@x.org"]),
        ({"ANTHROPIC_MODEL": "claude-large", "AWS_REGION": "eu-central-1"}, []),
        ({"FILE": "/home/me/key.json"}, []),
        (
            {"PEM": "-----BEGIN X-----\nabcdefgh\nijklmnop\n-----END X-----"},
            ["abcdefgh", "ijklmnop"],
        ),
        ({"CONFIG": json.dumps({"p": {"apiKey": "abcdefgh", "name": "provider"}})}, ["abcdefgh"]),
        ({"A": "abcdef", "B": "abcdefghij"}, ["abcdefghij", "abcdef"]),
    ],
)
def test_which_values_are_secret(variables: dict[str, str], secret: list[str]) -> None:
    assert list(values_of(variables)) == secret


def test_a_known_value_is_found_and_masked_anywhere(tmp_path: Path) -> None:
    known = (PLAIN, "pässwort")
    text = f"x = '{PLAIN}'\nlong {'y ' * 30_000}{PLAIN}\npässwort\n"
    leaks = scan_text(text, "f", known)
    assert [leak.line for leak in leaks] == [1, 2, 3]
    assert "correct" not in " ".join(map(str, leaks))
    assert "horse" not in redact(text, known) and "pässwort" not in redact(text, known)
    assert scan_text(text, "f") == []
    diff = f"+++ b/a.py\n@@ -0,0 +1,1 @@\n+{PLAIN}\n"
    assert scan_diff(diff, known)[0].path == "a.py"
    (tmp_path / "log").write_bytes(b"\xff\x00pre " + "pässwort".encode() + b" post\n")
    assert len(black_out(tmp_path, known)) == 1
    assert (tmp_path / "log").read_bytes() == (
        b"\xff\x00pre [redacted: a value of agent_env] post\n"
    )


@pytest.mark.parametrize("place", ["product", "report", "output"])
def test_no_landing_and_no_log_of_a_run_shows_a_value(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from turns import FIX, work

    monkeypatch.setenv("MY_PASSPHRASE", PLAIN)
    leak = {
        "product": "write('calc/note.py', f'NOTE = {value!r}\\n')\n",
        "report": "write(os.environ['TURN_DIR'] + '/cli/notes.log', value)\n",
        "output": "print('I use', value)\n",
    }[place]
    code = FIX + "value = os.environ['MY_PASSPHRASE']\n" + leak
    settings = "agent_env: [MY_PASSPHRASE]\n"
    root, summary, verdict = work(tmp_path, code, settings=settings)
    assert summary.landed == (["FIX-1"] if place == "output" else []), verdict
    if place != "output":
        assert "agent_env" in str(verdict["reason"])
    harness = open_harness(root)
    kept = b"".join(p.read_bytes() for p in harness.repo.state_dir.rglob("*.jsonl"))
    kept += b"".join(
        p.read_bytes() for p in harness.repo.state_dir.rglob("turns/**/*") if p.is_file()
    )
    assert PLAIN.encode() not in kept
