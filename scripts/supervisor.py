#!/usr/bin/env python3
"""The supervisor's turn by its earlier name: `orchestrate supervisor`, with its options."""

import sys

from orchestration.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["supervisor"]
    main()
