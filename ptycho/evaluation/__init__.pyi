from .inspection import coverage_map as coverage_map
from .inspection import inspect_scan as inspect_scan
from .scores import evaluate as evaluate
from .scores import evaluate_half_sets as evaluate_half_sets
from .scores import evaluate_images as evaluate_images
