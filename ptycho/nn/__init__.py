"""Networks by name: `build_network("default" | "cnn", N, channels)`."""

from ptycho.nn.registry import (
    NetworkSpec,
    build_network,
    network_defaults,
    network_names,
    network_spec,
)

__all__ = ["NetworkSpec", "build_network", "network_defaults", "network_names", "network_spec"]
