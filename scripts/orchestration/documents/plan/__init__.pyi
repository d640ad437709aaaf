from . import summary as summary
from .reader import meaning as meaning
from .reader import parse_plan as parse_plan
