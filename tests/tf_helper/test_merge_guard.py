"""Guard: each group of a mini-batch has its own canvas.

The earlier package summed all groups of a mini-batch into one canvas from 64 patches on; every
recorded shape bug of its translation layer (389376 vs 24336, [4] vs [128]) follows from that.
"""

import numpy as np


def test_groups_do_not_share_a_canvas():
    for groups in (2, 15, 16, 17):  # 8, 60, 64 and 68 patches
        _assert_each_group_keeps_to_itself(groups)


def _assert_each_group_keeps_to_itself(groups):
    from ptycho.physics import merge

    rng = np.random.default_rng(groups)
    own = rng.normal(size=groups) + 1j * rng.normal(size=groups)
    patches = np.tile(own[:, None, None, None], (1, 4, 8, 8)).astype(np.complex64)
    offsets = rng.integers(-2, 3, size=(groups, 4, 2)).astype(np.float32)
    canvas, coverage = (np.asarray(part) for part in merge(patches, offsets, None, 12))
    assert canvas.shape == coverage.shape == (groups, 12, 12)
    for group in range(groups):
        # The weighted mean of one group's equal patches is their value, whatever the others hold.
        np.testing.assert_allclose(canvas[group, 4:8, 4:8], own[group], rtol=1e-5)
        np.testing.assert_allclose(coverage[group].sum(), 4 * 64, rtol=1e-6)
        assert coverage[group].max() <= 4
