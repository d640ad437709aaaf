from .config import RefineConfig as RefineConfig
from .outcome import RefineResult as RefineResult
from .run import refine as refine
