# ruff: noqa: E402 - the path and the collector are set before anything else is imported
"""Check an order: `python scripts/tools/validate_input_md.py [PATH] [--no-collect]`.

Exit 0 and `input.md schema OK`, or 1 with the errors on stderr. This is the validator of
`orchestrate validate`; with `--no-collect` it starts no pytest and imports only light modules.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

gc.disable()  # the process is over before there is anything to collect; this saves a tenth of it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from orchestration.documents import Checkout, Collect, cached, find_root
from orchestration.documents.grammar import read_text
from orchestration.documents.order import validate_order
from orchestration.errors import HarnessError

USAGE = "usage: validate_input_md.py [PATH] [--no-collect]"
USUAL = {"ledger: docs/fix_plan.md", "findings: docs/findings.md"}


def _checkout(root: Path) -> Checkout:
    """The files that the configuration names; YAML is parsed only where they are not the usual."""
    place = root / "orchestration.yaml"
    lines = read_text(place).splitlines() if place.is_file() else []
    named = {line.strip() for line in lines if "ledger" in line or "findings" in line}
    if named <= USUAL:
        return Checkout(root)
    from orchestration.config import load_config

    config = load_config(root)
    return Checkout(root, ledger=config.ledger, findings=config.findings)


def _collector(root: Path) -> Collect | None:
    """pytest's own collection with the repository's interpreter, cached by content."""
    if not (root / ".git").exists():
        return None
    from orchestration.config import load_config
    from orchestration.gates import collect
    from orchestration.git import Repo

    config = load_config(root)

    def ask(selector: str) -> list[str]:
        return collect(root, selector, config.python, import_roots=config.import_roots, strict=True)

    return cached(ask, root, Repo(root).state_dir / "cache" / "collected.json")


def main(argv: list[str]) -> int:
    """Run the check and return the exit code."""
    if argv in (["-h"], ["--help"]):
        print(f"{USAGE}\n\n{__doc__}".strip())
        return 0
    flags = [word for word in argv if word.startswith("-")]
    paths = [word for word in argv if not word.startswith("-")]
    if len(paths) > 1 or any(flag != "--no-collect" for flag in flags):
        print(USAGE, file=sys.stderr)
        return 1
    path = Path(paths[0] if paths else "input.md")
    try:
        text = read_text(path)
        root = find_root(path)
        collect = None if flags else _collector(root)
        found = validate_order(text, _checkout(root).context(str(path), collect=collect))
    except HarnessError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    for diagnostic in found:
        print(diagnostic.render(), file=sys.stderr)
    if any(diagnostic.severity == "error" for diagnostic in found):
        return 1
    print("input.md schema OK")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
