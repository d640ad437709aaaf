"""The dose study as a script: the same program as `ptycho study dose`."""

import sys

from ptycho.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["study", "dose"]
    main()
