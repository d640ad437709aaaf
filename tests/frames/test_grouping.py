"""Groups contain their seed, keep their order, follow their seeds; splits do not touch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.errors import UsageError
from ptycho.frames.groups import make_groups, split_spatially


def scattered(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (count, 2))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), gridsize=st.integers(1, 3), count=st.integers(12, 60))
def test_each_group_is_its_seed_and_the_nearest_others(
    seed: int, gridsize: int, count: int
) -> None:
    """Against a brute-force search; ordered by row, then column; offsets from the centre."""
    positions = scattered(seed, count)
    groups = make_groups(positions, gridsize, rng=np.random.default_rng(0))
    assert groups.indices.shape == (count, gridsize**2)
    for number, members in enumerate(groups.indices):
        distance = np.hypot(*(positions - positions[number]).T)
        assert set(members) == set(np.argsort(distance)[: gridsize**2])
        place = positions[members]
        assert np.array_equal(np.lexsort((place[:, 1], place[:, 0])), np.arange(len(members)))
        np.testing.assert_allclose(groups.centres_px[number], place.mean(axis=0))
        np.testing.assert_allclose(groups.offsets_px[number], place - place.mean(axis=0))


def test_draws_follow_the_generator() -> None:
    """With more neighbours than members: equal seeds equal groups, other seeds other groups."""
    positions = scattered(1, 80)

    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return make_groups(positions, 2, neighbours=7, oversample=3, rng=rng).indices

    assert np.array_equal(draw(5), draw(5))
    assert not np.array_equal(draw(5), draw(6))
    assert draw(5).shape == (240, 4)


def test_a_duplicated_position_does_not_push_the_seed_out() -> None:
    """Six frames at one place: every frame is still in its own group, no frame twice."""
    positions = np.vstack([np.zeros((6, 2)), scattered(2, 10)])
    groups = make_groups(positions, 2, rng=np.random.default_rng(0))
    for number, members in enumerate(groups.indices):
        assert number in members and len(set(members)) == 4


def test_the_distance_bound_drops_lonely_frames_and_says_when_none_is_left() -> None:
    """A far frame forms no group; a bound below every distance is an error."""
    positions = np.vstack([scattered(3, 20) * 0.05, [[500.0, 500.0]]])
    groups = make_groups(positions, 2, max_distance_px=20, rng=np.random.default_rng(0))
    assert len(groups) == 20 and 20 not in groups.indices
    with pytest.raises(UsageError, match="within the distance"):
        make_groups(positions, 2, max_distance_px=1e-6, rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match="gridsize"):
        make_groups(positions[:3], 2, rng=np.random.default_rng(0))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), fraction=st.floats(0.05, 0.5), margin=st.floats(0, 20))
def test_train_and_validation_are_apart_by_the_margin(
    seed: int, fraction: float, margin: float
) -> None:
    """No train frame lies within the margin of a validation frame, along the cut."""
    positions = scattered(seed, 60) * [1.0, 3.0]
    train, validation = split_spatially(positions, validation_fraction=fraction, margin_px=margin)
    assert len(validation) == max(1, round(fraction * 60)) and len(train) > 0
    assert positions[train, 1].max() < positions[validation, 1].min() - margin


def test_members_keep_both_bounds_of_the_distance() -> None:
    """No member nearer to the seed than the lower bound or farther than the upper one."""
    positions = scattered(4, 120)
    rng = np.random.default_rng(0)
    groups = make_groups(
        positions, 2, neighbours=20, min_distance_px=5.0, max_distance_px=15.0, rng=rng
    )
    assert len(groups) > 60
    place = positions[groups.indices]
    apart = np.linalg.norm(place[:, :, None] - place[:, None], axis=-1)
    others = ~np.eye(4, dtype=bool)
    kept = ((apart >= 5.0) & (apart <= 15.0)) | ~others
    assert kept.all(axis=2).any(axis=1).all()  # one member, the seed, is apart from all others


@pytest.mark.parametrize(
    "wrong",
    [
        {"oversample": 2},
        {"oversample": 0},
        {"n_groups": 0},
        {"neighbours": 2},
        {"min_distance_px": 9.0, "max_distance_px": 3.0},
        {"max_distance_px": -1.0},
    ],
)
def test_requests_without_a_meaning_are_words(wrong: dict) -> None:
    """Oversampling without a choice, no groups, too few neighbours, bounds that cross."""
    with pytest.raises(UsageError):
        make_groups(scattered(1, 40), 2, rng=np.random.default_rng(0), **wrong)
