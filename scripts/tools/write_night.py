"""Write docs/night.md: what a person finds in the morning (`tests/engine/test_night.py` holds it).

write_night.py        runs the eight hours in fast time, some minutes on the machine
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/night.md"


def main() -> int:
    """Run the night and write the page."""
    sys.path.insert(0, str(ROOT / "tests/engine"))
    from night import Night
    from orchestration.views import load, render_status

    with tempfile.TemporaryDirectory(prefix="night-") as folder:
        os.environ["XDG_STATE_HOME"] = str(Path(folder) / "state")
        night = Night(Path(folder) / "project")
        night.root.mkdir()
        night.lay_down()
        night.run()
        loaded = load(night.root, now=night.clock.now())
        status = render_status(loaded.view)
        events = night.open("playbook").log.events
    verdicts = [e for e in events if e.kind == "verdict"]
    counts = Counter(e.data["verdict"] for e in verdicts)
    outages = Counter(
        (e.item, e.data["outage"], e.data["text"]) for e in events if e.kind == "outage"
    )
    lines = [
        "# A night",
        "",
        "Written by `python scripts/tools/write_night.py`: the real engine in a real repository, "
        "with a clock that stands still but for turns (390 s), waits and pauses. "
        "60 items; claude, codex and opencode take turns, five cycles each "
        "(`orchestrate run --agent NAME --cycles 5 --wait 4h`). "
        "The service is out for 40 minutes, a program hangs twice, one leaves litter, one edits "
        "what it is measured by, and a person commits twice and edits a file three times while "
        "agents work.",
        "",
        f"It took {night.clock.seconds / 3600:.1f} simulated hours: "
        + ", ".join(f"{number} × {name}" for name, number in counts.most_common())
        + "; nothing is blocked.",
        "",
        "## What did not land, and why",
        "",
        "| item | what | in the log's words |",
        "| --- | --- | --- |",
    ]
    for event in verdicts:
        if event.data["verdict"] != "land":
            lines.append(f"| {event.item} | {event.data['verdict']} | {event.data['reason']} |")
    for (item, kind, text), number in outages.items():
        lines.append(f"| {item} | outage: {kind} ×{number}, no attempt | {text} |")
    lines += [
        "",
        "## The runs",
        "",
        "| run | program | ended | landed |",
        "| --- | --- | --- | --- |",
    ]
    for number, (name, summary) in enumerate(night.summaries, start=1):
        end = f"{summary.reason}: {summary.text}"
        lines.append(f"| {number} | {name} | {end} | {len(summary.landed)} |")
    shown = status.replace(str(Path(folder)), "…")
    lines += [
        "",
        "## `orchestrate status` in the morning",
        "",
        "```text",
        shown.rstrip(),
        "```",
        "",
    ]
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
