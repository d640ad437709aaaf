from .base import OUTAGES as OUTAGES
from .base import Agent as Agent
from .base import Clocks as Clocks
from .base import Outcome as Outcome
from .base import TurnContext as TurnContext
from .base import last_words as last_words
from .programs import ProgramAgent as ProgramAgent
from .registry import get_agent as get_agent
