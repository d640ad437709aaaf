"""Names of the earlier package; see docs/migration.md. The code is in `ptycho.physics`."""

from ptycho.earlier import (
    Translation,
    channel_to_flat,
    combine_complex,
    extract_patches_position,
    flat_to_channel,
    flatten_offsets,
    pad_patches,
    reassemble_patches_position,
    translate,
    translate_core,
    translate_xla,
    trim_reconstruction,
)

__all__ = [
    "Translation",
    "channel_to_flat",
    "combine_complex",
    "extract_patches_position",
    "flat_to_channel",
    "flatten_offsets",
    "pad_patches",
    "reassemble_patches_position",
    "translate",
    "translate_core",
    "translate_xla",
    "trim_reconstruction",
]
