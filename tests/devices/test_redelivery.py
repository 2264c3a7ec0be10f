from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portcast.devices import Delivery, RedeliveryOptions, RedeliveryWindow

NEW, IN_PROGRESS, DONE = Delivery


def window(count: int = 3, lifetime_s: float = 10.0) -> RedeliveryWindow:
    return RedeliveryWindow(RedeliveryOptions(window=count, lifetime_s=lifetime_s))


def test_a_message_is_handled_once() -> None:
    """Sent again while it is handled it is ignored, afterwards it is acknowledged again."""
    it = window()
    assert it.begin(7, 0.0) is NEW
    assert it.begin(7, 1.0) is IN_PROGRESS
    it.succeeded(7, 2.0)
    assert it.begin(7, 3.0) is DONE
    assert it.redelivered == 2
    assert len(it) == 1


def test_a_message_that_failed_is_handled_again() -> None:
    """That is what sending it again is for."""
    it = window()
    it.begin(7, 0.0)
    it.failed(7)
    assert it.begin(7, 1.0) is NEW


def test_the_window_is_bounded_by_count() -> None:
    """The one that was done first is forgotten first; what is in progress never is."""
    it = window(2)
    it.begin("slow", 0.0)
    for key in "abc":
        it.begin(key, 0.0)
        it.succeeded(key, 0.0)
    assert [it.begin(key, 0.0) for key in ("slow", "b", "c", "a")] == [IN_PROGRESS, DONE, DONE, NEW]


def test_the_window_is_bounded_by_age() -> None:
    """Counters of devices start anew: an old number means a new message."""
    it = window()
    it.begin("a", 0.0)
    it.succeeded("a", 0.0)
    assert it.begin("a", 10.0) is DONE
    assert it.begin("a", 10.1) is NEW


def test_a_message_that_is_done_twice_is_as_young_as_the_second() -> None:
    """Its age counts from there."""
    it = window()
    for now in (0.0, 8.0):
        it.succeeded("a", now)
    assert it.begin("a", 17.0) is DONE


def test_no_window_remembers_nothing() -> None:
    """0 turns it off."""
    it = window(0)
    it.begin("a", 0.0)
    it.succeeded("a", 0.0)
    assert it.begin("a", 0.0) is NEW


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 4))))
def test_nothing_is_handled_twice_within_the_window(steps: list[tuple[int, bool, int]]) -> None:
    """Whatever the order of sending, success and failure."""
    it, now, done = window(100, 10.0), 0.0, dict[int, float]()
    for key, is_success, pause in steps:
        now += pause
        delivery = it.begin(key, now)
        assert (delivery is DONE) == (key in done and now - done[key] <= 10.0)
        if delivery is NEW and is_success:
            it.succeeded(key, now)
            done[key] = now
        elif delivery is NEW:
            it.failed(key)
