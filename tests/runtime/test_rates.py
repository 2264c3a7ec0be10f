from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.runtime.rates import BucketTable, Throttle, TokenBucket


def test_a_bucket_begins_full_and_fills_with_its_rate() -> None:
    """One second's worth at once, then the rate."""
    bucket = TokenBucket(2.0, 100.0)
    assert [bucket.is_taken(100.0) for _ in range(3)] == [True, True, False]
    assert [bucket.is_taken(100.5), bucket.is_taken(100.5)] == [True, False]
    assert [bucket.is_taken(1000.0) for _ in range(3)] == [True, True, False]


def test_a_rate_below_one_lets_one_through() -> None:
    """A bucket that can't hold one token would let nobody in, ever."""
    bucket = TokenBucket(0.1, 0.0)
    assert [bucket.is_taken(0.0), bucket.is_taken(9.9), bucket.is_taken(10.1)] == [True, False, True]


def test_a_clock_that_stands_or_goes_back_gives_nothing() -> None:
    """Time is monotonic; if it ever is not, nobody gains."""
    bucket = TokenBucket(1.0, 100.0)
    assert [bucket.is_taken(100.0), bucket.is_taken(50.0), bucket.is_taken(100.5)] == [True, False, False]


def test_a_debt_is_paid_in_time() -> None:
    """What came cannot be refused any more; the pause is as long as it takes to make up for it."""
    bucket = TokenBucket(10.0, 0.0)
    assert bucket.charge(10, 0.0) == 0
    assert bucket.charge(5, 0.0) == pytest.approx(0.5)
    assert bucket.charge(1, 0.5) == pytest.approx(0.1)


def test_a_throttle_waits_for_the_slower_of_two() -> None:
    """Messages and bytes are limited each by itself; 0 is no limit."""
    assert Throttle(10, 100, 0.0).charge(20, 100, 0.0) == pytest.approx(1.0)
    assert Throttle(10, 100, 0.0).charge(20, 400, 0.0) == pytest.approx(3.0)
    assert Throttle(10, 0, 0.0).charge(20, 10**9, 0.0) == pytest.approx(1.0)
    assert Throttle(0, 100, 0.0).charge(10**9, 200, 0.0) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 3)), max_size=50), st.floats(0.5, 20))
def test_who_waits_as_told_never_exceeds_the_rate(steps: list[tuple[int, float]], rate: float) -> None:
    """Over any time a peer that is paused as told sends at most burst + rate x time + its last read."""
    bucket, now, sent = TokenBucket(rate, 0.0), 0.0, 0
    for tokens, pause in steps:
        wait = bucket.charge(tokens, now)
        sent += tokens
        assert sent - tokens <= max(1.0, rate) + rate * now + 1e-6
        now += max(pause, wait)


def test_a_table_remembers_those_seen_last() -> None:
    """It is bounded; who has not come for longest is forgotten, and begins anew."""
    table = BucketTable(1.0, 2)
    assert [table.is_taken("a", 0.0), table.is_taken("b", 0.0), table.is_taken("a", 0.0)] == [True, True, False]
    assert table.is_taken("c", 0.0)
    assert len(table) == 2
    assert not table.is_taken("a", 0.0)
    assert table.is_taken("b", 0.0)


def test_a_burst_of_its_own() -> None:
    """So many at once, however slowly they come back; who is not remembered has all of them."""
    table = BucketTable(0.1, 10, burst=2)
    assert table.wait_s("a", 0.0) == 0
    assert len(table) == 0
    assert [table.is_taken("a", 0.0) for _ in range(3)] == [True, True, False]
    assert [table.wait_s("a", 0.0), table.wait_s("a", 4.0), table.wait_s("a", 11.0)] == pytest.approx([10, 6, 0])


def test_full_is_as_in_the_beginning() -> None:
    """Then nothing must be remembered of a peer."""
    throttle = Throttle(10, 1000, 0.0)
    assert throttle.is_full(0.0)
    throttle.charge(1, 500, 0.0)
    assert [throttle.is_full(0.1), throttle.is_full(0.5)] == [False, True]
    assert Throttle(0, 0, 0.0).is_full(0.0)
