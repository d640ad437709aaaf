from .config import PHOTOGRAPHS as PHOTOGRAPHS
from .config import SimulationConfig as SimulationConfig
from .make import simulate as simulate
from .patterns import PATTERNS as PATTERNS
