#!/usr/bin/env python3
"""The worker's turn by its earlier name: `orchestrate worker`, with its options."""

import sys

from orchestration.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["worker"]
    main()
