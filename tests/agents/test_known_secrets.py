"""Values of `agent_env:` are secret whatever they look like: no landing or log shows one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

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
        (
            {"HOST": "https://me:p%C3%A4sswort@x.org"},
            ["https://me:p%C3%A4sswort@x.org", "pässwort"],
        ),
        ({"API_TOKEN": "/wJalrXUtn", "DB_PASSWORD": "12345678"}, ["/wJalrXUtn", "12345678"]),
        ({"MAX_TOKENS": "100000", "KEY_FILE": "/home/me/key.json"}, []),
        (
            {"CONFIG": json.dumps({"headers": {"Authorization": "Bearer abcdefgh"}})},
            ["Bearer abcdefgh", "abcdefgh"],
        ),
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


ODD = "p/9+xK:hunter two%Ünd~42"
FORMS = {
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 behind a user": lambda v: base64.b64encode(b"me:" + v.encode() + b"\n").decode(),
    "base64 of URLs": lambda v: base64.urlsafe_b64encode(b"ab" + v.encode()).decode(),
    "base64 in lines": lambda v: base64.encodebytes(b"x" * 50 + v.encode()).decode(),
    "a URL": lambda v: "https://example.org/?k=" + quote(v, safe="") + "&more=1",
    "a form": lambda v: "k=" + quote_plus(v),
    "hexadecimal": lambda v: v.encode().hex(),
    "a dump": lambda v: " ".join(f"{c:02X}" for c in v.encode()),
    "JSON": json.dumps,
    "bytes": lambda v: repr(v.encode()),
    "joined": lambda v: f'KEY = (\n    "{v[:8]}"\n    "{v[8:]}"\n)\n',
    "added": lambda v: f"KEY = '{v[:3]}' + '{v[3:9]}' + \\\n  '{v[9:]}'\n",
    "lines": lambda v: "\n".join(v[n : n + 5] for n in range(0, len(v), 5)),
}


@pytest.mark.parametrize("value", [ODD, "aB3dE5fG7hJ9kL2mN4pQ"])
@pytest.mark.parametrize("form", FORMS)
def test_a_value_that_is_encoded_or_cut_is_known(form: str, value: str, tmp_path: Path) -> None:
    known = values_of({"MY_KEY": value})
    told = f"# before\n{FORMS[form](value)}\n# after\n"
    (leak,) = scan_text(told, "f", known)
    assert leak.line > 1 and "agent_env" in leak.kind
    hidden = redact(told, known)
    assert hidden.startswith("# before\n") and hidden.endswith("\n# after\n")
    assert scan_text(hidden, "f", known) == []
    lines = told.splitlines()
    diff = f"+++ b/a.py\n@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{line}\n" for line in lines)
    assert [one.path for one in scan_diff(diff, known)] == ["a.py"]
    (tmp_path / "log").write_text(told)
    assert len(black_out(tmp_path, known)) == 1
    assert black_out(tmp_path, known) == []
    assert scan_text(told, "f") == []


def test_words_that_only_share_a_beginning_are_no_leak() -> None:
    known = values_of({"MY_KEY": ODD, "OTHER": "hunter2", "THIRD": "openai"})
    text = "the hunter\n2 of them; p9xKhunter; open\nai; " + base64.b64encode(b"hunters").decode()
    assert scan_text(text * 3, "f", known) == [] and redact(text, known) == text


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
