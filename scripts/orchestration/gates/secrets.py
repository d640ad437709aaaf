"""Find credentials in a diff or a log before they are committed or shown, and black them out.

Known forms are matched exactly; a value assigned to a name such as `password` counts when it looks
random (Shannon entropy), so that placeholders in documentation do not. `known` are values that are
secret whatever they look like: those of the variables that agents get (`values_of`). They are also
found in base64, hexadecimal, URL and JSON form, and cut over lines or joined strings.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from urllib.parse import quote, unquote

# Arrays and pictures are no logs; a file of another kind past the cap is an artifact, not a log
# (the harness's own logs end at 16 MiB).
ARRAYS = {".npy", ".npz", ".h5", ".hdf5", ".cxi", ".png", ".jpg", ".tif", ".tiff", ".gz", ".zip"}
CAP_BYTES = 32 << 20
KNOWN: tuple[tuple[str, str], ...] = (
    (
        "private key",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:(?:\\[nr]|[A-Za-z0-9+/=])*"
        r"-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    ("AWS access key", r"\b(?:AKIA|ASIA|AGPA|AROA|AIDA)[0-9A-Z]{16}\b"),
    ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b"),
    ("GitLab token", r"\bgl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{20,64}\b"),
    ("Anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{20,200}\b"),
    ("OpenAI key", r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,200}\b"),
    ("Google API key", r"\bAIza[0-9A-Za-z_-]{35}\b"),
    ("Google OAuth token", r"\bya29\.[0-9A-Za-z_-]{20,400}\b"),
    ("Slack token", r"\bxox[abeoprs]-[0-9A-Za-z-]{10,250}\b"),
    ("Slack webhook", r"https://hooks\.slack\.com/services/T\w+/B\w+/\w{20,}"),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,60}\b"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("PyPI token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}\b"),
    ("Stripe key", r"\b[rs]k_live_[0-9A-Za-z]{20,100}\b"),
    ("JSON web token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\b"),
    ("password in a URL", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"<>{}$]+:([^\s/@'\"<>{}$]{3,})@"),
)
# A form begins where no word goes on, or after an escape of a JSON text ("\\nghp_…").
_BEGIN = r"(?:(?<!\w)|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
_PATTERNS = tuple(
    (name, re.compile(re.sub(r"^\\b", lambda _: _BEGIN, form))) for name, form in KNOWN
)
# Every form has one of these words: a line without any is not looked at more closely.
_HINT = re.compile(
    r"PRIVATE KEY|A[A-Z]{2}A[0-9A-Z]|gh[pousr]_|github_pat|gl[a-z]{2,3}-|sk-|AIza|ya29|xox|hf_|npm_"
    r"|pypi-|k_live_|eyJ|://|(?i:secret|passw|key|auth)"
)
# What stands before the word in the name (`MY_APP.secret`) is not matched: it may be anything, and
# trying each beginning of a long name would cost quadratic time.
_ASSIGNED = re.compile(
    r"(?i)(?:secret|passwd|password|api[_-]?key|access[_-]?key|auth[_-]?token|private[_-]?key"
    r"|client[_-]?secret)\b[\"']?\s*[:=]\s*[\"']?(?P<value>[A-Za-z0-9_+/=.@!#%^*~-]{12,200})"
)
_PLACEHOLDER = re.compile(r"(?i)example|placeholder|changeme|dummy|redacted|your[_-]|x{6,}|\*{4,}")
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
MIN_ENTROPY_BITS = 3.5
# A long line is read in windows that overlap by more than the longest form, so that its cost grows
# with its length and nothing hides behind a column.
WINDOW, OVERLAP = 20_000, 2_000
_KEY_BEGINS = re.compile(KNOWN[0][1])
_KEY_ENDS = re.compile(r"-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(
    r"[\s>|+]*(?:[A-Za-z0-9+/=]+|(?:Proc-Type|DEK-Info|Version|Comment): .*)?\s*"
)


@dataclass(frozen=True)
class Leak:
    """One probable credential: its kind, where it is, and a form that gives nothing away."""

    kind: str
    path: str
    line: int
    shown: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind} ({self.shown})"


def entropy_bits(text: str) -> float:
    """Shannon entropy of the characters, in bits a character; 0 for an empty text."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts) if text else 0.0


# Settings that stand in the environment beside keys; product code may well name such a value.
_NO_SECRET = re.compile(r"(?i)(?:^|_)(?:MODEL|REGION|LOCATION|PROFILE|MODE|LEVEL|LANG|TZ)$")
_SECRET_KEY = re.compile(r"(?i)key|token|secret|passw|auth|credential")
# A variable with such a name holds the secret itself, even where that looks like a path or number.
_SECRET_ITSELF = re.compile(r"(?i)(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASS|PASSW(?:OR)?D|PIN)$")
_PLAIN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s@?]*")
_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s:/@]*:([^\s/@]+)@")
_SCHEME = re.compile(r"(?i)(?:bearer|basic|token)\s+(\S+)")
MIN_VALUE = 6
SQUEEZED_MIN, ENCODED_MIN = 12, 10
"""Letters and digits from which a value is looked for without what stands between them."""


def values_of(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The secret values of environment variables, longest first; settings among them are left out.

    No secret is what is shorter than 6 characters, a number, a URL without a user, an absolute
    path, or the value of a variable named like a model or region; but a number or `/…` is one where
    the variable's name ends with KEY, TOKEN, SECRET, PASS, PASSWORD or PIN. Of a JSON text only the
    values under names such as `apiKey` are; a text of several lines counts line by line. The
    password in a URL and what stands behind `Bearer` are secret by themselves too.
    """
    found: set[str] = set()
    for name, text in variables.items():
        try:
            inner = json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
        except (ValueError, RecursionError):
            inner = None
        if inner is not None:
            told = list(_secret_leaves(inner))
        else:
            told = [] if _NO_SECRET.search(name) else [line.strip() for line in text.splitlines()]
        for part in told:
            pieces = [part, *_SCHEME.findall(part), *map(unquote, _URL_PASSWORD.findall(part))]
            named = bool(_SECRET_ITSELF.search(name))
            found.update(one for one in pieces if not _harmless(one, named=named))
    kept = [text for text in found if len(text) >= MIN_VALUE]
    return tuple(sorted(kept, key=lambda text: (-len(text), text)))


def _secret_leaves(value: object, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _secret_leaves(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _secret_leaves(inner, name)
    elif isinstance(value, str) and _SECRET_KEY.search(name):
        yield value


def _harmless(text: str, *, named: bool) -> bool:
    number = text.replace(".", "", 1).isdigit() and len(text) < 16 and not named
    path = text.startswith("/") and not named
    return number or path or text.startswith("-----") or bool(_PLAIN_URL.fullmatch(text))


def _squeezed(text: str) -> str:
    """The letters and digits of a text: what is left however it is quoted, cut and joined."""
    return re.sub(r"[^A-Za-z0-9]+", "", text)


@lru_cache(maxsize=8)
def _disguises(known: tuple[str, ...]) -> tuple[str, ...]:
    """The letters and digits of every form in which a value may be written."""
    found: set[str] = set()
    for value in known:
        raw = value.encode("utf-8", "replace")
        url = quote(raw, safe="")
        lower = re.sub(r"%..", lambda code: code[0].lower(), url)
        escaped = (url, lower, url.replace("%20", "+"), json.dumps(value)[1:-1], repr(raw)[2:-1])
        found |= {
            form for text in (value, *escaped) if len(form := _squeezed(text)) >= SQUEEZED_MIN
        }
        # Before a value may stand 0, 1 or 2 bytes of a group of three; the characters that hold
        # bits of its neighbours are left out.
        groups = [base64.b64encode(bytes(n) + raw).decode() for n in range(3)]
        whole = [text[-(-n * 8 // 6) : (n + len(raw)) * 8 // 6] for n, text in enumerate(groups)]
        encoded = [*map(_squeezed, whole), raw.hex(), raw.hex().upper()]
        found |= {form for form in encoded if len(form) >= ENCODED_MIN}
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


def _disguised(text: str, known: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and end of the known values that are encoded or cut in pieces, in order."""
    if not known:
        return
    bare = _squeezed(text)
    forms = [form for form in _disguises(tuple(known)) if form in bare]
    between = r"[^A-Za-z0-9]*"
    last = 0
    for at in sorted(
        span for form in forms for span in (m.span() for m in re.finditer(between.join(form), text))
    ):
        if at[0] >= last:
            yield at
            last = at[1]


def _spans(line: str, known: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of every credential in a line, each once; known values first."""
    for value in known:
        # A file that is read as Latin-1 shows the bytes of a value's UTF-8.
        for form in _written(value):
            at = line.find(form)
            while at >= 0:
                yield "a value of agent_env", at, at + len(form)
                at = line.find(form, at + len(form))
    yield from _forms(line)


def _forms(line: str) -> Iterator[tuple[str, int, int]]:
    if len(line) <= WINDOW:
        yield from _spans_in(line)
        return
    seen: set[tuple[str, int, int]] = set()
    for start in range(0, len(line), WINDOW - OVERLAP):
        for kind, first, last in _spans_in(line[start : start + WINDOW]):
            span = (kind, start + first, start + last)
            if span not in seen:
                seen.add(span)
                yield span


def _spans_in(line: str) -> Iterator[tuple[str, int, int]]:
    if not _HINT.search(line):
        return
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(line):
            group = 1 if match.re.groups else 0
            if not _PLACEHOLDER.search(match[0]):
                yield kind, match.start(group), match.end(group)
    for match in _ASSIGNED.finditer(line):
        value = match["value"]
        mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        random = mixed and entropy_bits(value) >= MIN_ENTROPY_BITS
        if random and not _PLACEHOLDER.search(value):
            yield "assigned secret", match.start("value"), match.end("value")


def scan_lines(
    lines: Iterable[tuple[int, str]], path: str, known: Sequence[str] = ()
) -> list[Leak]:
    """Credentials in numbered lines, each place once."""
    found: dict[tuple[int, int], Leak] = {}
    for number, line in lines:
        for kind, start, end in _spans(line, known):
            head = "" if kind == "a value of agent_env" else f"{line[start : start + 4]}…, "
            shown = f"{head}{end - start} characters"
            found.setdefault((number, start), Leak(kind, path, number, shown))
    return list(found.values())


def _scan(lines: Iterable[tuple[int, str]], path: str, known: Sequence[str]) -> list[Leak]:
    """Credentials in lines that follow each other; a known value may be cut over some of them."""
    if not known:  # one line at a time: a large difference is not held once more
        return scan_lines(lines, path)
    numbered = list(lines)
    found = scan_lines(numbered, path, known)
    told = {leak.line for leak in found if leak.kind == "a value of agent_env"}
    text = "\n".join(line for _, line in numbered)
    for start, end in _disguised(text, known):
        number = numbered[text.count("\n", 0, start)][0]
        if number not in told:
            told.add(number)
            shown = f"encoded or cut, {end - start} characters"
            found.append(Leak("a value of agent_env", path, number, shown))
    return found


def scan_text(text: str, path: str = "", known: Sequence[str] = ()) -> list[Leak]:
    """Credentials in a file or log."""
    return _scan(list(enumerate(text.splitlines(), start=1)), path, known)


def scan_diff(diff: str, known: Sequence[str] = ()) -> list[Leak]:
    """Credentials in the lines that a git diff adds; a line in a hunk is never read as a header."""
    files = groupby(_added(diff), key=itemgetter(0))
    return [
        leak
        for path, rows in files
        for leak in _scan(((number, part) for _, number, part in rows), path, known)
    ]


def _added(diff: str) -> Iterator[tuple[str, int, str]]:
    """Path, number and text of each line that a diff adds."""
    path, number, old, new = "", 0, 0, 0
    for line in _lines(diff):
        if old > 0 or new > 0:
            if line.startswith("+"):
                yield from ((path, number, part) for part in line[1:].splitlines())
            old -= line[:1] in ("-", " ", "")
            new -= line[:1] in ("+", " ", "")
            number += line[:1] in ("+", " ", "")
        elif line.startswith("+++ "):
            path = line[4:].removeprefix("b/").strip('"')
        elif hunk := _HUNK.match(line):
            old, new = (1 if part is None else int(part) for part in (hunk[1], hunk[3]))
            number = int(hunk[2])


def _lines(text: str) -> Iterator[str]:
    """The lines of a text as git ends them: a form feed or U+2028 ends none."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def redact(text: str, known: Sequence[str] = ()) -> str:
    """`text` with every credential replaced by `[redacted: kind]`, a key with all of its lines."""
    told = any(form in text for value in known for form in _written(value))
    if not (told or _HINT.search(text) or any(_disguised(text, known))):
        return text  # most are: nothing in it can be one
    out, inside = [], False
    for line in text.splitlines(keepends=True):
        ends = _KEY_ENDS.search(line)
        body = line.rstrip("\r\n")
        if inside and not ends and _KEY_BODY.fullmatch(body):
            out.append("[redacted: private key]" + line[len(body) :] if body.strip() else line)
            continue
        inside = bool(_KEY_BEGINS.search(line)) and not ends
        out.append(_redact_line(line, known))
    whole = "".join(out)
    for start, end in reversed(list(_disguised(whole, known))):
        whole = f"{whole[:start]}[redacted: a value of agent_env]{whole[end:]}"
    return whole


def _written(value: str) -> set[str]:
    """How a value may stand in a text: as it is, or as bytes that were read as Latin-1."""
    return {value, value.encode("utf-8", "replace").decode("latin-1")}


def _redact_line(line: str, known: Sequence[str]) -> str:
    for value in known:
        for form in _written(value):
            line = line.replace(form, "[redacted: a value of agent_env]")
    for kind, start, end in sorted(set(_forms(line)), key=lambda s: -s[1]):
        if "[redacted" not in line[start:end]:
            line = f"{line[:start]}[redacted: {kind}]{line[end:]}"
    return line


def black_out(folder: Path, known: Sequence[str] = ()) -> list[Leak]:
    """Overwrite every credential in the files below `folder`, whatever their names.

    Returns what was found, by path inside it. Bytes are read as Latin-1, so that invalid UTF-8 or a
    NUL hides nothing and all the rest of a file stays as it was.
    """
    found: list[Leak] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.suffix.lower() in ARRAYS:
            continue
        if path.stat().st_size > CAP_BYTES:
            continue
        text = path.read_bytes().decode("latin-1")
        numbered = [(n, line) for n, line in enumerate(text.split("\n"), start=1)]
        leaks = _scan(numbered, path.relative_to(folder).as_posix(), known)
        if leaks:
            path.write_bytes(redact(text, known).encode("latin-1"))
            found += leaks
    return found
