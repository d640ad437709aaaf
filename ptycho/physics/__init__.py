"""The physics of ptychography as pure tensor functions, the same on every Keras backend.

Fields are complex, DC-centred in the far field, positions and offsets are (row, col) in pixels.
Importing this package is light; TensorFlow (or another backend) is loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
