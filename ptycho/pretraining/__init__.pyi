from .made import make_data as make_data
from .specimens import KINDS as KINDS
from .specimens import TEST_PHOTOGRAPHS as TEST_PHOTOGRAPHS
from .training import PriorTraining as PriorTraining
from .training import train_prior as train_prior
