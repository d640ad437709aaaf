from .checkpoint import clear_checkpoint as clear_checkpoint
from .config import RefineConfig as RefineConfig
from .gate import solved as solved
from .orientation import Orientation as Orientation
from .orientation import find_orientation as find_orientation
from .outcome import RefineResult as RefineResult
from .places import affine_part as affine_part
from .run import refine as refine
