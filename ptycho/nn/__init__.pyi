from .prior_net import PRIOR_REACH_PX as PRIOR_REACH_PX
from .prior_net import PRIOR_WIDTH as PRIOR_WIDTH
from .prior_net import build_prior_net as build_prior_net
from .registry import NetworkSpec as NetworkSpec
from .registry import build_network as build_network
from .registry import network_defaults as network_defaults
from .registry import network_names as network_names
from .registry import network_spec as network_spec
