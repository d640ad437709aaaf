"""Names of the earlier package; see docs/migration.md. The code is in `ptycho.physics`."""

from ptycho.earlier import projective_warp as projective_warp_xla
from ptycho.earlier import projective_warp_jit as projective_warp_xla_jit
from ptycho.earlier import translate_xla

__all__ = ["projective_warp_xla", "projective_warp_xla_jit", "translate_xla"]
