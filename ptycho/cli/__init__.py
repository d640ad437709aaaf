"""The command line `ptycho`: one module a command."""

from __future__ import annotations

import importlib.util
import sys

# What the extra `library` of pyproject.toml installs, by import name. `pip install .` brings the
# harness only, which knows nothing of arrays.
LIBRARY = (
    "keras",
    "numpy",
    "scipy",
    "skimage",
    "h5py",
    "hdf5plugin",
    "matplotlib",
    "tifffile",
    "PIL",
)
BACKENDS = {"tensorflow": "cpu", "torch": "torch", "jax": "jax"}


def main(words: list[str] | None = None, program: str = "ptycho") -> None:
    """Run a command; imported late, so that `import ptycho.cli` costs nothing.

    Where the library's packages are not installed, one line says how to install them; exit 2.

    Args:
        words: what follows `ptycho` on the command line; None: those of this process.
        program: the name under which the line speaks (`ptycho_train` and the like come here too).
    """
    need_library(program)
    from ptycho.cli.app import main as run

    try:
        run(words)
    except ModuleNotFoundError as error:
        # Keras loads its backend at its first use, which a command such as convert never needs.
        if error.name not in BACKENDS:
            raise
        _not_installed(program, f"the backend {error.name}", BACKENDS[error.name])


def need_library(program: str) -> None:
    """Stop `program` with exit 2 and one line where packages of the library are missing."""
    missing = [name for name in LIBRARY if importlib.util.find_spec(name) is None]
    if missing:
        _not_installed(program, f"the library ({', '.join(missing)})", "cpu")


def _not_installed(program: str, what: str, extra: str) -> None:
    print(
        f'{program}: {what} is not installed; fix: pip install "ptycho[{extra}]", '
        f'in a clone pip install ".[{extra}]"' + (" (with a GPU: [gpu])" if extra == "cpu" else ""),
        file=sys.stderr,
    )
    sys.exit(2)
