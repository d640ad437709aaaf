"""`serve`: the same pages live, for this machine only, and nothing can be done with them.

It listens on 127.0.0.1. The address holds a word that nobody can guess, so that another user of the
machine, or a page in the same browser, reads nothing; the Host header must be the server's own, so
that a foreign name that is made to point here (DNS rebinding) reads nothing either. Only GET and
HEAD are answered. A page asks every few seconds whether anything has changed and then replaces its
content, keeping what is unfolded; without script the browser loads it anew.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from orchestration.errors import HarnessError
from orchestration.git import Repo
from orchestration.log import files_of
from orchestration.views.now import now_of
from orchestration.views.page import Frame, Site, turn_page
from orchestration.views.sources import load

HOST = "127.0.0.1"
POLL_S = 3
RELOAD_S = 10
SPAN_S = 10
"""How often the spans on the page of a live run move on."""
SCRIPT = """
(function(){
var tag=null,busy=false;
function look(){
 if(busy||document.hidden)return;
 busy=true;
 fetch(location.pathname,{headers:tag?{"If-None-Match":tag}:{},cache:"no-store"}).then(function(r){
  if(r.status===304)return null;
  if(!r.ok)throw new Error(r.status);
  var first=tag===null;tag=r.headers.get("ETag");
  return first?null:r.text();
 }).then(function(text){
  if(!text)return;
  var next=new DOMParser().parseFromString(text,"text/html"),main=document.getElementById("main");
  var names=function(){return Array.from(main.querySelectorAll("details"))};
  var word=function(d){var s=d.querySelector("summary");
   return (d.id||"")+"|"+(d.closest("[id]")||main).id+"|"+(s?s.textContent:"")};
  var open={};names().forEach(function(d){open[word(d)]=d.open});
  var at=document.activeElement,href=at&&at.getAttribute&&at.getAttribute("href");
  main.innerHTML=next.getElementById("main").innerHTML;
  document.title=next.title;
  names().forEach(function(d){var w=word(d);if(w in open)d.open=open[w]});
  if(href){var same=Array.from(main.querySelectorAll("a")).find(function(a){
   return a.getAttribute("href")===href});if(same)same.focus({preventScroll:true})}
 }).catch(function(){}).finally(function(){busy=false});
}
look();setInterval(look,POLL);
})();
""".replace("POLL", str(POLL_S * 1000)).strip()


class Live:
    """The pages of a repository, made anew when something has changed."""

    def __init__(self, root: Path) -> None:
        """Raises HarnessError where there is no repository, commit or ledger."""
        self.repo = Repo(root)
        self.lock = threading.Lock()
        self.tag, self.site = "", Site(load(self.repo.root), self._frame())
        self.pages: dict[str, str] = {}

    @staticmethod
    def _frame() -> Frame:
        script = f"<script>{SCRIPT}</script>"
        return Frame("", "./", script=script, refresh=RELOAD_S, served=True)

    def page(self, name: str) -> tuple[str, str] | None:
        """The page of a name ("" is the first) with a tag for its content; None: no such page."""
        with self.lock:
            self._look()
            if name and name not in map(turn_page, self.site.by_turn):
                return None
            if name not in self.pages:
                self.pages[name] = self._made(name)
            text = self.pages[name]
        return text, f'"{hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]}"'

    def _made(self, name: str) -> str:
        if not name:
            return self.site.index()
        turn = next(turn for turn in self.site.by_turn if turn_page(turn) == name)
        return self.site.turn(turn, self.site.details([turn])[turn])

    def _look(self) -> None:
        """Load again where log, activity, holder or a branch is not what it was."""
        tag = self._state()
        if tag != self.tag or not self.tag:
            self.site, self.pages = Site(load(self.repo.root), self._frame()), {}
            self.tag = tag

    def _state(self) -> str:
        folder = self.repo.state_dir
        watched = [*files_of(folder / "log")[-1:], folder / "activity.jsonl", folder / "run.holder"]
        words = [self.repo.text("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/")]
        for path in watched:
            try:
                found = path.stat()
                words.append(f"{path.name} {found.st_size} {found.st_mtime_ns}")
            except OSError:
                words.append("")
        state = self.site.loaded.view.now
        if state.state == "live":  # its last words are in files of their own
            words.append(str(self._heard()))
        return "\n".join(words)

    def _heard(self) -> object:
        loaded = self.site.loaded
        now = now_of(loaded.state, self.repo.state_dir, datetime.now(UTC), loaded.known)
        return (now.state, now.what, now.said, now.done, (now.seconds or 0) // SPAN_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, live: Live, port: int) -> None:
        self.live, self.token = live, secrets.token_urlsafe(24)
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that left is no error; anything else is said as ever."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def address(self) -> str:
        """The address of the first page; whoever has it may read."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "orchestrate", ""
    timeout = 30

    def do_GET(self) -> None:
        """A page, or why there is none."""
        self._answer()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: a line would hold the token."""

    def _answer(self) -> None:
        port = self.server.server_port
        if self.headers.get_all("Host", []) not in ([f"{HOST}:{port}"], [f"localhost:{port}"]):
            self._send(403, "this address is not the server's own\n")
            return
        token, slash, name = urlsplit(self.path).path.removeprefix("/").partition("/")
        given, right = token.encode("utf-8", "replace"), self.server.token.encode()
        if not (hmac.compare_digest(given, right) and slash):
            self._send(404, "nothing here\n")
            return
        try:
            found = self.server.live.page(name)
        except (HarnessError, OSError) as problem:
            self._send(503, f"the page cannot be made now: {problem}\n")
            return
        if found is None:
            self._send(404, "no such turn\n")
            return
        text, tag = found
        if self.headers.get("If-None-Match") == tag:
            self._send(304, "", tag=tag)
        else:
            self._send(200, text, kind="text/html", tag=tag)

    def _send(self, code: int, text: str, *, kind: str = "text/plain", tag: str = "") -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(code)
        self.send_header("Content-Security-Policy", self._policy())
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if tag:
            self.send_header("ETag", tag)
        if code != 304:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and code != 304:
            self.wfile.write(body)

    def _policy(self) -> str:
        script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
        return (
            f"default-src 'none'; img-src data:; style-src {self.server.live.site.style_policy}; "
            f"script-src 'sha256-{script}'; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )


def server_for(root: Path, port: int = 0) -> _Server:
    """A server for a repository, not yet serving; port 0 takes a free one.

    Raises HarnessError where the repository cannot be read or the port is taken.
    """
    live = Live(root)
    try:
        return _Server(live, port)
    except OSError as problem:
        raise HarnessError(
            f"cannot listen on port {port}",
            where=HOST,
            got=problem.strerror or str(problem),
            fix="take another one, or leave --port out: a free one is taken",
        ) from None
