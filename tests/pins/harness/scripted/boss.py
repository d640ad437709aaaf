"""The scripted supervisor of the pinned repository: orders that are valid, wrong and chosen.

The item that it takes comes from `docs/wishes.txt` (one line an order: an item, and a reason or
nothing); a wish that is no item makes an invalid order, which the harness sends back once.
"""

from pathlib import Path

text = Path("docs/wishes.txt").read_text()
focus, _, reason = text.strip().partition(" ")
brief = Path("/dev/stdin").read_text()
if focus.startswith("BAD") and "BAD-999" in brief:
    focus, reason = reason.split(" ", 1)
why = f"Reason: {reason}\n" if reason else ""
Path("input.md").write_text(
    f"# Order\nFocus: {focus}\nMode: none\nSelector: none\nActionType: debug\n{why}\n"
    "## Goal\nAdvances C1 now\n\n## Tasks\n- [ ] T1 do it\n\n"
    "## Checks\n```sh\ntest -f value.txt\n```\n"
    "\n## If blocked\n- say so\n\n## Findings\n- none\n"
)
print(f"an order for {focus}")
