"""Simulated scans: objects, probes, trajectories, detector noise. Pure NumPy, no tensors.

The path shares no code with `ptycho.physics`, so that it serves as an oracle for the model.
"""

from ptycho.simulation.config import SimulationConfig
from ptycho.simulation.make import simulate

__all__ = ["SimulationConfig", "simulate"]
