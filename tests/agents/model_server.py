"""A model on loopback that follows a script: Anthropic messages, OpenAI responses and chat, Gemini.

It fixes `calc/__init__.py` by calling the tools that a program offers: read, edit, run the test,
say that it is done. As a supervisor it writes the order or prints it; as a reviewer it runs the
test and answers by what it sees of the change. Which step comes next is told by the tool results of
the request, so that retries and requests for a title cannot derail it. Faults come before that: see
`Fault`.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FILE = "calc/__init__.py"
BROKEN, FIXED = "    return a - b\n", "    return a + b\n"
SAID = "Fixed add() in calc/__init__.py; the test passes now."
ORDER = """# Order
Focus: FIX-1
Mode: TDD
Selector: tests/test_calc.py
ActionType: debug

## Goal
`add()` adds.

## Tasks
- [ ] T1 `calc/__init__.py::add` adds

## Checks
```sh
python -m pytest -q tests/test_calc.py
```

## If blocked
- say so

## Findings
- none
"""
ROLES = {
    "supervisor": "You are the supervisor: you plan one turn",
    "reviewer": "You are the reviewer: you judge a change",
}
"""What the briefs of the roles say."""
Call = tuple[str, dict[str, Any]]
HOLD_S = 120.0


@dataclass(frozen=True)
class Fault:
    """What goes wrong: a status with its headers, or what happens to the answer's stream.

    `stream` is "hang" (it stops half-way and stays open), "cut" (the connection closes half-way),
    "malformed" (no JSON), or "hold" (the last answer is whole, and the connection stays open).
    `times`: so many requests are hit, then all is well; None: all of them.
    """

    status: int = 0
    retry_after: str = ""
    stream: str = ""
    times: int | None = None


@dataclass
class Served:
    """What the server has seen."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    faults: int = 0
    steps: list[str] = field(default_factory=list)
    fault: Fault | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serving(fault: Fault | None = None) -> Iterator[Served]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    served = Served(fault=fault)
    handler = type("Handler", (_Handler,), {"served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.stop.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: Served
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        """No program needs one; what asks is told that there is none."""
        self._json(404, {"error": {"message": "not found", "type": "not_found_error"}})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Answer one request of a program."""
        length = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(length)
        asked = json.loads(raw or b"{}")
        path = self.path.partition("?")[0]
        with self.served.lock:
            self.served.paths.append(path)
        speak = next((make for part, make in SPEAKERS if part in path), None)
        if speak is None:
            self._json(404, {"error": {"message": f"no {path}", "type": "not_found_error"}})
            return
        speaker = speak(asked, raw.decode("utf-8", "replace"))
        fault = self._fault(speaker)
        if fault is not None and fault.status:
            self._refuse(fault)
            return
        with self.served.lock:
            self.served.steps.append(speaker.step)
        self._answer(speaker, fault.stream if fault else "")

    def _fault(self, speaker: Speaker) -> Fault | None:
        fault = self.served.fault
        if fault is None or speaker.step == "title":
            return None
        if fault.stream == "hold" and speaker.step != "said":
            return None
        with self.served.lock:
            if fault.times is not None and self.served.faults >= fault.times:
                return None
            self.served.faults += 1
        return fault

    def _refuse(self, fault: Fault) -> None:
        words = {
            401: ("authentication_error", "invalid api key"),
            429: ("rate_limit_error", "rate limit exceeded"),
        }
        kind, text = words.get(fault.status, ("api_error", "internal server error"))
        headers = {"retry-after": fault.retry_after} if fault.retry_after else {}
        error = {"type": kind, "message": text, "code": fault.status, "status": kind}
        self._json(fault.status, {"type": "error", "error": error}, headers)

    def _json(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _answer(self, speaker: Speaker, fault: str) -> None:
        if fault == "malformed":
            speaker.pieces = ['data: {"oops": \n\n' if speaker.stream else '{"oops": ']
        kind = "text/event-stream" if speaker.stream else "application/json"
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", kind)
        if not speaker.stream and fault not in ("hang", "cut"):
            self.send_header("content-length", str(sum(len(p.encode()) for p in speaker.pieces)))
        self.send_header("connection", "close")
        self.end_headers()
        with suppress(OSError):  # the program went away
            pieces = speaker.pieces
            if fault in ("hang", "cut"):
                pieces = pieces[: max(1, len(pieces) // 2)] if speaker.stream else [pieces[0][:20]]
            for piece in pieces:
                self.wfile.write(piece.encode())
                self.wfile.flush()
            if fault in ("hang", "hold"):
                self.served.stop.wait(HOLD_S)


@dataclass
class Speaker:
    """An answer: the step it is for, and its pieces (one event each where it streams)."""

    step: str
    stream: bool
    pieces: list[str]


def _where(text: str) -> str:
    """The folder that a program says it works in; its prompts name it in different words."""
    for form in (r"<cwd>([^<\\]+)", r"[Ww]orking directory: ?([^\s\\\"]+)"):
        if found := re.search(form, text):
            return found[1].rstrip("/")
    return ""


def _role(text: str) -> str:
    """Whom a request is for, by its brief."""
    return next((role for role, words in ROLES.items() if words in text), "worker")


def _last_words(program: str, text: str) -> str:
    """What the model says at the end of a turn."""
    role = _role(text)
    if role == "supervisor":
        return f"Here it is.\n\n{ORDER}" if program == "codex" else "The order is written."
    if role == "reviewer":
        seen = "+    return a + b" in text
        finding = {"severity": "remark", "path": FILE, "line": 2, "message": "it adds now"}
        return json.dumps(
            {"verdict": "accept" if seen else "reject", "reason": "read", "findings": [finding]}
        )
    return SAID


def _shell(program: str, command: str) -> Call:
    if program == "codex":
        return "exec_command", {"cmd": command}
    name = {"claude": "Bash", "opencode": "bash", "gemini": "run_shell_command"}[program]
    return name, {"command": command, "description": "run it"}


def _event(body: object, name: str = "") -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(body)}\n\n"


def _script(results: int, where: str, program: str, text: str) -> tuple[str, Call | None]:
    """The step after so many tool results, and its call; None at the end."""
    role = _role(text)
    if role != "worker":
        write = f"cat > input.md <<'END'\n{ORDER}END\n"
        todo = [_shell(program, write if role == "supervisor" else "python -m pytest -q tests")]
        if role == "supervisor" and program == "codex":
            todo = []  # it prints the order
        return ("said", None) if results >= len(todo) else (role, todo[results])
    path = f"{where}/{FILE}" if where else FILE
    test = "python -m pytest -q tests"
    hunk = f"@@\n-{BROKEN}+{FIXED}"
    patch = f"*** Begin Patch\n*** Update File: {FILE}\n{hunk}*** End Patch\n"
    patch = f"apply_patch <<'EOF'\n{patch}EOF\n"
    calls: dict[str, list[Call]] = {
        "claude": [
            ("Read", {"file_path": path}),
            ("Edit", {"file_path": path, "old_string": BROKEN, "new_string": FIXED}),
            ("Bash", {"command": test, "description": "run the test"}),
        ],
        "codex": [
            ("exec_command", {"cmd": patch}),
            ("exec_command", {"cmd": test}),
        ],
        "opencode": [
            ("read", {"filePath": path}),
            ("edit", {"filePath": path, "oldString": BROKEN, "newString": FIXED}),
            ("bash", {"command": test, "description": "run the test"}),
        ],
        "gemini": [
            ("read_file", {"file_path": path, "absolute_path": path}),
            (
                "replace",
                {
                    "file_path": path,
                    "old_string": BROKEN,
                    "new_string": FIXED,
                    "instruction": "add instead of subtracting",
                },
            ),
            ("run_shell_command", {"command": test}),
        ],
    }
    todo = calls[program]
    return ("said", None) if results >= len(todo) else (todo[results][0], todo[results])


def anthropic(asked: dict[str, Any], text: str) -> Speaker:
    """POST /v1/messages, streaming or not."""
    if not asked.get("tools"):
        step, call = "title", None
    else:
        blocks = [
            b for m in asked["messages"] if isinstance(m["content"], list) for b in m["content"]
        ]
        done = sum(b.get("type") == "tool_result" for b in blocks)
        step, call = _script(done, _where(text), "claude", text)
    number = f"msg_{uuid.uuid4().hex[:8]}"
    said = _last_words("claude", text)
    block: dict[str, Any] = {"type": "text", "text": said}
    if call:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": call[0], "input": call[1]}
    reason = "tool_use" if call else "end_turn"
    usage = {"input_tokens": 100, "output_tokens": 20}
    message = {
        "id": number,
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "stop_sequence": None,
        "usage": usage,
    }
    if not asked.get("stream"):
        return Speaker(
            step, False, [json.dumps({**message, "content": [block], "stop_reason": reason})]
        )
    if call:
        delta = {"type": "input_json_delta", "partial_json": json.dumps(call[1])}
        empty: dict[str, Any] = {**block, "input": {}}
    else:
        delta, empty = {"type": "text_delta", "text": said}, {"type": "text", "text": ""}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": usage,
        },
        {"type": "message_stop"},
    ]
    return Speaker(step, True, [_event(e, e["type"]) for e in events])


def responses(asked: dict[str, Any], text: str) -> Speaker:
    """POST /v1/responses, always streaming."""
    items = asked.get("input")
    items = items if isinstance(items, list) else []
    done = sum(str(i.get("type", "")).endswith("_call_output") for i in items)
    step, call = _script(done, "", "codex", text)
    number = f"resp_{uuid.uuid4().hex[:8]}"
    item: dict[str, Any] = {
        "type": "message",
        "role": "assistant",
        "id": f"m_{number}",
        "content": [{"type": "output_text", "text": _last_words("codex", text)}],
    }
    if call:
        item = {
            "type": "function_call",
            "id": f"f_{number}",
            "call_id": f"c_{number}",
            "name": call[0],
            "arguments": json.dumps(call[1]),
        }
    usage = {
        "input_tokens": 100,
        "output_tokens": 20,
        "total_tokens": 120,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": number}},
        {"type": "response.output_item.done", "item": item},
        {"type": "response.completed", "response": {"id": number, "usage": usage}},
    ]
    return Speaker(step, True, [_event(e, e["type"]) for e in events])


def chat(asked: dict[str, Any], text: str) -> Speaker:
    """POST /v1/chat/completions: with tools (opencode) or as text (aider), streaming or not."""
    said, call = _last_words("opencode", text), None
    if asked.get("tools"):
        done = sum(m.get("role") == "tool" for m in asked["messages"])
        step, call = _script(done, _where(text), "opencode", text)
    elif "SEARCH/REPLACE" in text:
        block = f"<<<<<<< SEARCH\n{BROKEN}=======\n{FIXED}>>>>>>> REPLACE\n"
        step, said = "said", f"{SAID}\n\n{FILE}\n```python\n{block}```\n"
    else:
        step = "title"
    number = f"chat-{uuid.uuid4().hex[:8]}"
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    base = {"id": number, "created": int(time.time()), "model": asked.get("model", "mock")}
    tools = None
    if call:
        function = {"name": call[0], "arguments": json.dumps(call[1])}
        tools = [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]
    reason = "tool_calls" if call else "stop"
    message: dict[str, Any] = {"role": "assistant", "content": None if call else said}
    if tools:
        message["tool_calls"] = tools
    if not asked.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        body = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        return Speaker(step, False, [json.dumps(body)])
    part = {**base, "object": "chat.completion.chunk"}
    chunks = [
        {**part, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**part, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        {**part, "choices": [], "usage": usage},
    ]
    return Speaker(step, True, [*map(_event, chunks), "data: [DONE]\n\n"])


def gemini(asked: dict[str, Any], text: str) -> Speaker:
    """POST …:streamGenerateContent and :generateContent."""
    parts = [p for c in asked.get("contents", []) for p in c.get("parts", [])]
    done = sum("functionResponse" in p for p in parts)
    step, call = _script(done, _gemini_where(text), "gemini", text)
    if not asked.get("tools"):
        step, call = "title", None
    part: dict[str, Any] = {"text": _last_words("gemini", text)}
    if call:
        part = {"functionCall": {"name": call[0], "args": call[1]}}
    body = {
        "candidates": [
            {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {
            "promptTokenCount": 100,
            "candidatesTokenCount": 20,
            "totalTokenCount": 120,
        },
    }
    return Speaker(step, True, [_event(body)])


def _gemini_where(text: str) -> str:
    found = re.search(r"(/[^\s\"\\,'`]*/workspaces/[^\s\"\\,'`]*)", text)
    return found[1].rstrip("/.") if found else ""


SPEAKERS = (
    ("/v1/messages", anthropic),
    ("/responses", responses),
    ("/chat/completions", chat),
    ("GenerateContent", gemini),
    ("generateContent", gemini),
)
