"""The scripted worker of the pinned repository: what it does depends on the item's name.

It is copied into that repository and started as `python agents/worker.py ITEM` in the worktree.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

item = sys.argv[1]
kind = item.split("-")[0]
print(f"working on {item}")
ledger = Path("docs/fix_plan.md").read_text()
section = ledger.split(f"[{item}]", 1)[1].split("\n### ", 1)[0]
rows = re.findall(r"- \[ \] (C\d+)", section)
row = rows[0] if rows else "C1"
if kind in ("WORK", "NEED", "ACK"):
    path = Path("work", item, f"{row}.txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{row} of {item}\n" * 5)
elif kind == "FIX":
    path = Path("pkg/twice.py")
    path.write_text(path.read_text().replace("x * 3", "x * 2"))
elif kind == "HARD":
    Path("guess.txt").write_text(f"guess {os.urandom(4).hex()}\n")
elif kind == "SAME":
    Path("guess.txt").write_text("the same guess again\n")
elif kind == "PROT":
    Path("protected.txt").write_text("changed with permission\n")
elif kind == "STUCK":
    print("nobody told me the password")
    sys.exit(6)
elif kind == "CRASH":
    Path("guess.txt").write_text("half done\n")
    sys.exit("no power")
elif kind == "SLOW":
    time.sleep(60)
elif kind == "EDITS":
    path = Path("docs/fix_plan.md")
    path.write_text(path.read_text().replace("- [ ]", "- [x]"))
elif kind == "CHEAT":
    subprocess.run(["git", "update-ref", "refs/heads/sneaked", "HEAD"], check=True)
print("All rows are done, every test passes.")
