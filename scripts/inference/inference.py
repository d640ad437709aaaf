"""`ptycho_inference` of the earlier package as a script; the command is `ptycho reconstruct`."""

from ptycho.earlier import inference

if __name__ == "__main__":
    inference()
