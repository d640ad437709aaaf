"""Names of the earlier package; see docs/migration.md. The code is in `ptycho.physics`."""

from ptycho.earlier.layouts import projective_warp_jit as projective_warp_xla_jit
from ptycho.earlier.layouts import translate_xla
from ptycho.earlier.projective import projective_warp as projective_warp_xla

__all__ = ["projective_warp_xla", "projective_warp_xla_jit", "translate_xla"]
