"""`serve`: this machine only, read-only, a token in the address, the Host header, polling."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `browser` and `long_log`

from browser import chromium, opened, overflow
from long_log import repository, story
from orchestration.core import payloads
from orchestration.git import Repo
from orchestration.harness import SystemClock
from orchestration.log import EventLog
from orchestration.views import server_for

ORCHESTRATE = str(Path(sys.executable).with_name("orchestrate"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repository(tmp_path_factory.mktemp("serve"), story())


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Any]:
    found = server_for(root)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def ask(
    server: Any, path: str, *, method: str = "GET", host: str | None = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=120)
    link.putrequest(method, path, skip_host=True)
    link.putheader("Host", f"127.0.0.1:{server.server_port}" if host is None else host)
    for name, value in headers.items():
        link.putheader(name.replace("_", "-"), value)
    link.endheaders()
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, text, dict(answer.getheaders())


def test_only_who_has_the_token_reads_and_nobody_writes(server: Any) -> None:
    home = f"/{server.token}/"
    assert server.server_address[0] == "127.0.0.1" and len(server.token) >= 32
    status, text, headers = ask(server, home)
    assert status == 200 and "How it went: 45 cycles" in text
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"
    for path in ("/", "/x/", f"/{server.token}", f"/{server.token[:-1]}/", "/favicon.ico"):
        status, text, _ = ask(server, path)
        assert status == 404 and "cycles" not in text, path
    for name in ("turn-999999.html", "../../etc/passwd", "%2e%2e/x", "report.html"):
        assert ask(server, home + name)[0] == 404
    assert ask(server, f"{home}turn-000012.html")[0] == 200
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(server, home, method=method)[0] == 501
    status, text, headers = ask(server, home, method="HEAD")
    assert (status, text) == (200, "") and int(headers["Content-Length"]) > 1000


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", "127.0.0.1@x"])
def test_a_foreign_host_header_is_refused(server: Any, host: str) -> None:
    """A name that is made to point here (DNS rebinding) reads nothing, token or not."""
    status, text, _ = ask(server, f"/{server.token}/", host=host)
    assert status == 403 and "cycles" not in text
    assert ask(server, f"/{server.token}/", host=f"localhost:{server.server_port}")[0] == 200


def test_what_has_not_changed_is_not_sent_again_and_a_new_event_is(server: Any, root: Path) -> None:
    home = f"/{server.token}/"
    _, text, headers = ask(server, home)
    again = ask(server, home, If_None_Match=headers["ETag"])
    assert (again[0], again[1]) == (304, "")
    assert "a word of warning" not in text
    log = EventLog(Repo(root).state_dir, SystemClock())
    log.append(payloads.Warned("a word of warning"))
    status, text, _ = ask(server, home, If_None_Match=headers["ETag"])
    assert status == 200 and "a word of warning" in text
    assert ask(server, home)[2]["ETag"] != headers["ETag"]


@pytest.mark.browser
def test_an_open_page_keeps_itself_current(server: Any, root: Path) -> None:
    with chromium() as browser:
        size = {"width": 360, "height": 800}
        page, said = opened(browser, server.address, viewport=size)
        page.set_default_timeout(120_000)
        assert overflow(page) <= 0
        closed = page.locator("details.turn:not([open])").first
        name = closed.get_attribute("id")
        closed.locator("summary").first.click()
        page.wait_for_timeout(4000)
        log = EventLog(Repo(root).state_dir, SystemClock())
        log.append(payloads.Warned("while the page is open"))
        page.get_by_text("while the page is open").wait_for()
        assert page.locator(f"#{name}").get_attribute("open") is not None
        assert said == []
        page, _ = opened(browser, server.address, java_script_enabled=False)
        assert page.locator("h2#board").inner_text() == "Board"
        assert 'http-equiv="refresh"' in page.content()


def test_the_command_prints_its_address_and_ends_on_an_interrupt(root: Path) -> None:
    words = [ORCHESTRATE, "serve", "-C", str(root), "--json"]
    # A run of the tests in the background ignores SIGINT, and so would what it starts.
    heeded = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heeded
    ) as served:
        assert served.stdout is not None
        text = "".join(iter(lambda: served.stdout.readline().decode(), "}\n")) + "}"  # type: ignore[union-attr]
        address = json.loads(text)["address"]
        assert address.startswith("http://127.0.0.1:")
        port = int(address.split(":")[2].split("/")[0])
        taken = subprocess.run(
            [ORCHESTRATE, "serve", "-C", str(root), "--port", str(port)], capture_output=True
        )
        assert taken.returncode == 2 and b"cannot listen" in taken.stderr
        served.send_signal(2)
        assert served.wait(60) == 0
        assert served.stderr is not None and served.stderr.read() == b""
