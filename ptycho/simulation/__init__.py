"""Simulated scans: objects, probes, trajectories, detector noise. Pure NumPy, no tensors.

The path shares no code with `ptycho.physics`, so that it serves as an oracle for the model.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
