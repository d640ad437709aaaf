"""The parts of `ptycho.refinement`: configuration, start, the compiled update, the loop.

`ptycho.refine` is at once this package and the public function: whichever is imported first,
`ptycho.refine(scan)` works, because the package can be called (importing a submodule makes Python
bind the package to the name `refine` of `ptycho`).
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `ptycho.refinement.refine`."""
        from ptycho.refinement import refine

        return refine(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
