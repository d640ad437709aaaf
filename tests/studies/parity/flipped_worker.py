"""A worker whose exit wave has the wrong sign on PyTorch: what a porting mistake looks like."""

import os
import sys

from ptycho.studies.parity.forward import Forward
from ptycho.studies.parity.worker import main


class Flipped(Forward):
    """The forward pass with a sign flipped in one stage."""

    def exit_wave(self, patches):
        return -super().exit_wave(patches)


if __name__ == "__main__":
    wrong = os.environ["KERAS_BACKEND"] == "torch"
    sys.exit(main(sys.argv[1:], Flipped if wrong else None))
