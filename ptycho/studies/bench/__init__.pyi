from .networks import compare_networks as compare_networks
from .networks import import_seconds as import_seconds
from .physics import measure_physics as measure_physics
from .refinement import measure_refine as measure_refine
from .timing import machine as machine
