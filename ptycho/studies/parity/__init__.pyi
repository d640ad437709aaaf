from .run import checked as checked
from .run import run_parity as run_parity
