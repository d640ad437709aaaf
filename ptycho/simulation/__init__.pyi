from .config import PHOTOGRAPHS as PHOTOGRAPHS
from .config import SimulationConfig as SimulationConfig
from .make import simulate as simulate
from .objects import picture as picture
from .patterns import PATTERNS as PATTERNS
