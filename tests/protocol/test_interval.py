"""An accuracy comes with an honest interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindsight.protocol.interval import wilson


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_between_0_and_1(counts):
    hits, n = counts
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n + 1e-12
    assert hits / n - 1e-12 <= high <= 1


def test_the_interval_is_wilsons():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I, method 3


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 5), (6, 5), (0, -1)])
def test_impossible_counts_have_no_interval(hits, n):
    with pytest.raises(ValueError, match="expected 0 to n successes"):
        wilson(hits, n)
