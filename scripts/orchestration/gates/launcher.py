"""Runs pytest inside the guarded interpreter and reports what happened. Standard library + pytest.

Started as ``python -P launcher.py`` by `guard`, with its orders as JSON on standard input, so that
neither ``argv`` nor the environment shows the nonce or the report's path to the code under test.
The report is signed with the nonce (HMAC), which is never written anywhere: a process that outlives
the run cannot forge one. Code inside this process could; the canary is there to catch that.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.metadata
import json
import os
import sys
import threading
import time
from typing import Any

# The shim's finder steps aside while pytest loads, so that a fake one in the checkout stays unseen.
_shim = [finder for finder in sys.meta_path if getattr(finder, "__name__", "") == "CheckoutFirst"]
sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in _shim]
import pytest  # noqa: E402

sys.meta_path[:0] = _shim

MESSAGE_CAP = 4000
CANARY_CAP = 200_000


class Reporter:
    """Collects exact node ids and the outcome of every phase."""

    def __init__(self, orders):
        self.wanted = orders["node_ids"]
        self.selector = orders["selector"]
        self.canaries, self.backwards = orders["canaries"], orders["backwards"]
        self.collected, self.matched, self.phases = [], [], {}
        self.collect_problems, self.exit_status, self.ran = [], None, {}
        self.settings, self.dropped = orders["settings"], []

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config):
        """Take over what the repository sets of plugins that are loaded and of its conftest files.

        What nobody registers is left out: pytest would warn, or stop where warnings are errors.
        """
        known = getattr(config._parser, "_inidict", {})
        values = config._inicfg if hasattr(config, "_inicfg") else config.inicfg
        for name, value in self.settings.items():
            if name not in known:
                self.dropped.append(name)
                continue
            kind: Any = type(next(iter(values.values()), ""))
            plain = kind in (str, list)
            values[name] = value if plain else kind(value, origin="file", mode="ini")
            getattr(config, "_inicache", {}).pop(name, None)

    def _is_wanted(self, nodeid):
        if self.wanted is not None:
            return nodeid in self.wanted
        return any(
            nodeid == one or nodeid.startswith((one + "::", one + "[", one.rstrip("/") + "/"))
            for one in self.selector
        )

    def _is_canary(self, nodeid, names=None):
        """A fixture with parameters that every test uses gives canaries parameters too."""
        names = self.canaries if names is None else names
        return any(nodeid == name or nodeid.startswith(name + "[") for name in names)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, session, config, items):
        before = {item.nodeid for item in items}
        yield
        by_id = {item.nodeid: item for item in items}
        self.collected = sorted(by_id)
        self.vanished = sorted(set(before) - set(by_id))
        mine = [item for item in items if not self._is_canary(item.nodeid)]
        mine = [item for item in mine if self._is_wanted(item.nodeid)]
        self.matched = [item.nodeid for item in mine]
        mine = mine[::-1] if self.backwards else mine
        guards = [item for item in items if self._is_canary(item.nodeid)]
        head = [item for item in guards if self._is_canary(item.nodeid, self.canaries[:1])]
        tail = [item for item in guards if item not in head]
        keep = [*head, *mine, *tail]
        chosen = {id(item) for item in keep}
        dropped = [item for item in items if id(item) not in chosen]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
        items[:] = keep

    def pytest_collectreport(self, report):
        if report.outcome != "passed":
            text = str(getattr(report, "longreprtext", "") or report.longrepr)
            row = {"nodeid": report.nodeid, "outcome": report.outcome, "text": text[-MESSAGE_CAP:]}
            self.collect_problems.append(row)

    def pytest_runtest_logreport(self, report):
        cap = CANARY_CAP if self._is_canary(report.nodeid) else MESSAGE_CAP
        crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
        text = getattr(crash, "message", None) or getattr(report, "longreprtext", "") or ""
        self.phases.setdefault(report.nodeid, []).append(
            {
                "when": report.when,
                "outcome": report.outcome,
                "xfail": hasattr(report, "wasxfail"),
                "seconds": report.duration,
                "text": str(text)[:cap],
                "through": self._through(report),
            }
        )

    @staticmethod
    def _through(report):
        """The files that a failure went through, the outermost first."""
        trace = getattr(getattr(report, "longrepr", None), "reprtraceback", None)
        places = [getattr(e, "reprfileloc", None) for e in getattr(trace, "reprentries", ())[:50]]
        return [str(place.path) for place in places if place is not None]

    def pytest_sessionfinish(self, session, exitstatus):
        self.exit_status = int(exitstatus)


class Lines:
    """Notes which of the changed lines run in this process."""

    TOOL = 4  # a number that no debugger, coverage tool or profiler has

    def __init__(self, touched):
        self.touched = {path: set(lines) for path, lines in touched.items()}
        self.ran: dict[str, set[int]] = {path: set() for path in touched}
        self.monitoring: Any = getattr(sys, "monitoring", None)  # Python 3.12 and later

    def begin(self):
        if not self.touched:
            return
        if self.monitoring is not None:
            events = self.monitoring.events
            self.monitoring.use_tool_id(self.TOOL, "orchestrate")
            self.monitoring.register_callback(self.TOOL, events.PY_START, self._started)
            self.monitoring.register_callback(self.TOOL, events.LINE, self._line)
            self.monitoring.set_events(self.TOOL, events.PY_START)
        else:
            sys.settrace(self._trace)
            threading.settrace(self._trace)

    def _started(self, code, offset):
        if code.co_filename in self.touched:
            self.monitoring.set_local_events(self.TOOL, code, self.monitoring.events.LINE)
        return self.monitoring.DISABLE

    def _line(self, code, line):
        self._note(code.co_filename, line)
        return self.monitoring.DISABLE

    def _note(self, path, line):
        if line in self.touched.get(path, ()):
            self.ran[path].add(line)

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename not in self.touched:
            return None
        if event == "line":
            self._note(frame.f_code.co_filename, frame.f_lineno)
        return self._trace

    def found(self):
        """Lines that ran, by file."""
        return {path: sorted(lines) for path, lines in self.ran.items()}


def plugin_options(names):
    """`-p` for each plugin, by the name under which it is installed.

    A module (`pytest_asyncio`), a distribution (`pytest-asyncio`) or pytest's own name for it
    (`asyncio`) may be given; only the last loads a plugin that is a module within the first. A
    name that is the plugin's own module stays as it is.
    """
    found: dict[str, str] = {}
    for one in importlib.metadata.entry_points(group="pytest11"):
        dist = one.dist.name if one.dist is not None else ""
        for name in (one.module.split(".")[0], dist.replace("-", "_")):
            found.setdefault(name.lower(), one.name)
        found[one.value.lower()] = one.value
        found[one.name.lower()] = one.name
    return [
        part for name in names for part in ("-p", found.get(name.lower().replace("-", "_"), name))
    ]


def publish(orders, reporter, status):
    """Write the signed report in one step."""
    body = json.dumps(
        {
            "status": int(status),
            "python": sys.version.split()[0],
            "pytest": pytest.__version__,
            "pytest_file": pytest.__file__,
            "finished": time.time(),
            **{
                k: v
                for k, v in vars(reporter).items()
                if k not in ("wanted", "selector", "backwards", "settings")
            },
        }
    ).encode("utf-8", "backslashreplace")
    signature = hmac.new(orders["nonce"].encode(), body, hashlib.sha256).hexdigest().encode()
    partial = orders["report"] + ".part"
    with open(partial, "wb") as out:
        out.write(signature + b"\n" + body)
    os.replace(partial, orders["report"])


def main():
    """Read the orders, run pytest, publish, and leave without running exit handlers."""
    orders = json.loads(sys.stdin.buffer.read())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for name in orders["hidden"]:  # what marks this process for the harness is not the product's
        os.environ.pop(name, None)
    os.environ["PYTHONPATH"] = os.pathsep.join(orders["python_path"])
    sys.argv[:] = ["pytest"]
    reporter = Reporter(orders)
    lines = Lines(orders["touched"])
    leave, replace = os._exit, publish  # kept: the code under test may rebind module attributes
    lines.begin()
    try:
        status = pytest.main(
            [*plugin_options(orders["plugins"]), *orders["args"]], plugins=[reporter]
        )
    except SystemExit as problem:
        status = problem.code if isinstance(problem.code, int) else 3
    reporter.ran = lines.found()
    replace(orders, reporter, status)
    sys.stdout.flush()
    sys.stderr.flush()
    leave(int(status))


if __name__ == "__main__":
    main()
