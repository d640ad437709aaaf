from .debug import dump_reconstruction as dump_reconstruction
from .predict import reconstruct as reconstruct
