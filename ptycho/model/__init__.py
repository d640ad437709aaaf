"""`PtychoPINN` and what it is made with, told and kept in: the factory, inputs, the archive."""

from typing import Any

import lazy_loader

_offered, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_SINGLETONS = ("autoencoder", "diffraction_to_obj")


def __getattr__(name: str) -> Any:
    """What the room offers; the earlier package's module-level models do not exist."""
    if name in _SINGLETONS:
        raise AttributeError(
            f"ptycho.model.{name} does not exist: a model is made, not imported. "
            "Use ptycho.model.create_model_with_gridsize(gridsize, N)."
        )
    return _offered(name)
