from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.delivery import Patience
from portcast.delivery.patience import GRACE_S, REFILL_S


def patience(full_s: float = 1.0, *, long_s: float = 2.0, now: float = 0.0) -> Patience:
    it = Patience(now, long_s)
    it.full_s = full_s
    return it


def test_a_fresh_allowance_is_full() -> None:
    """Who was never slow has all of its patience."""
    it = patience()
    assert (it.spent(5.0), it.remaining(5.0)) == (0.0, 1.0)


def test_a_stuck_client_spends_second_by_second() -> None:
    """A hold without progress is spent from its beginning on, and never more than the allowance."""
    it = patience()
    it.hold(10.0, 10.0)
    assert it.remaining(10.5) == pytest.approx(0.5)
    assert it.remaining(11.0) == 0.0
    assert it.spent(20.0) == 1.0


def test_no_patience_is_spent_at_once() -> None:
    """patience=0 never pauses a device."""
    it = patience(0.0)
    it.hold(10.0, 10.0)
    assert it.remaining(10.0) == 0.0


def test_a_short_hold_is_free() -> None:
    """A healthy client needs milliseconds for each batch of a bulk feed, over and over, and gets the feed whole."""
    it = patience()
    now = 0.0
    for _ in range(1000):
        it.hold(now, now)
        now += 0.9 * GRACE_S
        it.release(now)
    assert it.spent(now) == 0.0


def test_progress_is_free() -> None:
    """While the client takes what we give it the clock stands, up to the longest hold."""
    it = patience(long_s=2.0)
    it.hold(0.0, 0.0)
    for tenths in range(1, 20):
        it.progress(tenths * 0.09)
    assert it.spent(1.75) == 0.0


def test_a_pause_between_two_signs_of_progress_counts_whole() -> None:
    """A pause that is longer than the grace is no less of a pause at its beginning."""
    it = patience()
    it.hold(0.0, 0.0)
    it.progress(0.05)
    it.progress(0.35)
    it.progress(0.40)
    assert it.spent(0.40) == pytest.approx(0.3)


def test_a_trickle_is_spent() -> None:
    """A client that takes a little now and then holds no longer than the longest hold and its patience."""
    it = patience(1.0, long_s=2.0)
    it.hold(0.0, 0.0)
    now = 0.0
    while it.remaining(now) > 0:
        now += 0.05
        it.progress(now)
        assert now < 10
    assert now == pytest.approx(3.0, abs=0.1)


def test_refills_in_a_minute() -> None:
    """The full amount comes back once in REFILL_S, so a chronically slow client can't pause devices again and again."""
    it = patience(2.0)
    it.hold(0.0, 0.0)
    it.release(2.0)
    assert it.remaining(2.0) == 0.0
    assert it.remaining(2.0 + REFILL_S / 4) == pytest.approx(0.5)
    assert it.remaining(2.0 + REFILL_S) == pytest.approx(2.0)
    assert it.remaining(1000.0) == 2.0


def test_what_was_spent_before_counts_in_the_next_hold() -> None:
    """Two holds in a row share one allowance."""
    it = patience()
    it.hold(0.0, 0.0)
    it.release(0.6)
    it.hold(0.6, 0.6)
    assert it.remaining(1.0) == pytest.approx(0.0, abs=0.01)


def test_progress_without_a_hold_changes_nothing() -> None:
    """A client that holds nobody refills whatever it does."""
    it = patience()
    it.hold(0.0, 0.0)
    it.release(1.0)
    it.progress(16.0)
    assert it.remaining(31.0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "seconds"), [pytest.param(0.5, 0.5, id="later"), pytest.param(0.01, GRACE_S, id="not within the grace")]
)
def test_until_says_when_so_much_is_spent(value: float, seconds: float) -> None:
    """The hub looks again at that moment, and finds it spent."""
    it = patience()
    it.hold(10.0, 10.0)
    assert it.until(value, 10.0) == pytest.approx(seconds)
    assert it.spent(10.0 + it.until(value, 10.0) + 0.001) >= value


def test_grace_is_a_small_part_of_a_small_patience() -> None:
    """A patience of 50 ms must not hold for the 100 ms of the grace."""
    it = patience(0.05)
    it.hold(0.0, 0.0)
    assert it.until(0.05, 0.0) == pytest.approx(0.05)
    assert it.remaining(0.051) == 0.0


@given(
    st.floats(0.0, 20.0),
    st.lists(st.tuples(st.sampled_from(["hold", "progress", "release", "look"]), st.floats(0.0, 100.0)), max_size=30),
)
def test_spent_stays_within_the_allowance(full_s: float, steps: list[tuple[str, float]]) -> None:
    """0 <= spent <= full, whatever happens and however long it takes."""
    it = patience(full_s)
    now = 0.0
    for what, passed in steps:
        now += passed
        if what == "hold":
            it.hold(now, now - passed / 2)
        elif what != "look":
            getattr(it, what)(now)
        assert 0.0 <= it.spent(now) <= full_s
        assert it.remaining(now) == full_s - it.spent(now)


def test_silence_before_the_hold_counts() -> None:
    """Who was stuck already when it passed the limit has used up its patience, and holds nobody."""
    it = patience(0.5)
    it.hold(10.0, 9.7)
    assert it.spent(10.0) == pytest.approx(0.3)
    it.release(10.0)
    it.hold(11.0, 10.2)
    assert it.remaining(11.0) == 0


def test_silence_before_the_last_hold_does_not_count_twice() -> None:
    """The allowance was settled then."""
    it = patience(0.5)
    it.hold(10.0, 10.0)
    it.release(10.2)
    it.hold(10.2, 9.0)
    assert it.spent(10.2) == pytest.approx(0.2)
