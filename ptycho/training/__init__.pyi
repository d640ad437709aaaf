from .data import GroupSet as GroupSet
from .data import TrainingData as TrainingData
from .loop import new_model as new_model
from .loop import train as train
