"""`python -m ptycho` is the program `ptycho`."""

from ptycho.cli import main

if __name__ == "__main__":
    main()
