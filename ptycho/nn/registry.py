"""Which networks there are, what each is fed, and how one is built.

A network is a plain Keras model. What it sees and what its output means is its `sees`:

- `"amplitudes"`: input (B, N, N, C), the normalised diffraction amplitudes of a group;
  output (B, N, N, 2C), real parts of the C object patches and then their imaginary parts.
- `"canvas"`: input (B, W, W, F), the untrained physics estimate of a group's canvas
  (`ptycho.physics.estimate.FEATURES`); output (B, W, W, 2), a correction to it, real and imaginary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ptycho.errors import ConfigError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class NetworkSpec:
    """One network: its builder `build(N, channels, seed=…, **options)`, and what it sees.

    Args:
        name: what the user types.
        sees: `"amplitudes"` or `"canvas"` (see the module).
        support: the share of a patch's side, about its centre, that the network describes.
    """

    name: str
    sees: Literal["amplitudes", "canvas"]
    support: float
    build: Callable[..., keras.Model]


def _specs() -> dict[str, NetworkSpec]:
    from ptycho.nn.autoencoder import build_autoencoder
    from ptycho.nn.canvas_net import build_canvas_net

    return {
        "default": NetworkSpec("default", "canvas", 1.0, build_canvas_net),
        "cnn": NetworkSpec("cnn", "amplitudes", 0.5, build_autoencoder),
    }


def network_names() -> tuple[str, ...]:
    """The names that `build_network` knows."""
    return tuple(_specs())


def network_spec(name: str) -> NetworkSpec:
    """The entry of the registry called `name`.

    Raises:
        ConfigError: no network has this name.
    """
    specs = _specs()
    if name not in specs:
        raise ConfigError(
            "there is no network of this name",
            where="network",
            expected=" or ".join(specs),
            got=repr(name),
        )
    return specs[name]


def network_defaults(name: str) -> dict[str, Any]:
    """The options of a network and their defaults, which an archive must keep with the weights."""
    parameters = inspect.signature(network_spec(name).build).parameters.values()
    return {
        each.name: each.default
        for each in parameters
        if each.kind is each.KEYWORD_ONLY and each.name != "seed"
    }


def build_network(
    name: str, N: int, channels: int, *, seed: int = 0, **options: Any
) -> keras.Model:
    """Build the network `name` for frames of N×N pixels in groups of `channels`.

    Args:
        name: one of `network_names()`.
        N: frame side in pixels.
        channels: frames in a group, C.
        seed: of the initial weights; the same seed gives the same weights.
        options: of the network itself, such as `width`; an unknown one is an error.

    Raises:
        ConfigError: unknown name or option, or an N that the network cannot take.
    """
    import keras

    spec, policy = network_spec(name), keras.config.dtype_policy()
    # The physics is float32; a program's policy for its own models must not reach these layers.
    keras.config.set_dtype_policy("float32")
    try:
        return spec.build(N, channels, seed=seed, **options)
    except TypeError as error:
        raise ConfigError(
            "the network does not have this option", where=f"network {name!r}", got=str(error)
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)
