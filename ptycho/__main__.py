"""`python -m ptycho` is the program `ptycho`."""

from ptycho.cli.app import main

if __name__ == "__main__":
    main()
