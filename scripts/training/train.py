"""`ptycho_train` of the earlier package as a script; the command is `ptycho train`."""

from ptycho.earlier import train

if __name__ == "__main__":
    train()
