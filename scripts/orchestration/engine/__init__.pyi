from .loop import Engine as Engine
from .loop import Summary as Summary
