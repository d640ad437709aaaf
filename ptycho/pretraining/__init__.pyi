from .judgement import Judgement as Judgement
from .judgement import evaluate_prior as evaluate_prior
from .judgement import judge_apart as judge_apart
from .made import make_data as make_data
from .specimens import KINDS as KINDS
from .specimens import TEST_PHOTOGRAPHS as TEST_PHOTOGRAPHS
from .training import PriorTraining as PriorTraining
from .training import train_prior as train_prior
