from __future__ import annotations

import pytest

from portcast.centrifuge.messages import Command
from portcast.runtime.rates import Throttle as RateThrottle
from portcast.web.sdk_queue import MAX_QUEUED, MAX_QUEUED_BYTES, MAX_STILL_S, CommandQueue, Pace, SharedReader, Throttle

A, B, C = Command(1), Command(2), Command(3)


def test_commands_keep_their_order_over_frames() -> None:
    """The first that came is the first that goes."""
    queue = CommandQueue()
    assert not queue
    queue.put([A, B], 10)
    queue.put([C], 5)
    assert queue
    assert [queue.take() for _ in range(3)] == [A, B, C]
    assert not queue


def test_too_many_bytes_are_too_much_until_they_are_taken() -> None:
    """A frame counts as long as one of its commands waits, and not a moment longer."""
    queue = CommandQueue()
    queue.put([A, B], MAX_QUEUED_BYTES)
    assert not queue.is_too_long
    queue.put([C], 1)
    assert queue.is_too_long
    queue.take()
    assert queue.is_too_long
    queue.take()
    assert not queue.is_too_long


def test_a_queue_that_is_never_empty_may_go_on_for_ever() -> None:
    """What counts is what waits, not what has ever waited."""
    queue = CommandQueue()
    queue.put([A], 1000)
    for _ in range(5000):
        queue.put([B], 1000)
        queue.take()
        assert not queue.is_too_long


def test_too_many_commands_are_too_much() -> None:
    """However short they are."""
    queue = CommandQueue()
    queue.put([A] * MAX_QUEUED, 10)
    assert not queue.is_too_long
    queue.put([A], 1)
    assert queue.is_too_long


def test_a_frame_of_pongs_is_nothing() -> None:
    """They do not wait."""
    queue = CommandQueue()
    queue.put([], 2 * MAX_QUEUED_BYTES)
    assert not queue
    assert not queue.is_too_long


def test_forgets_all() -> None:
    """With their bytes."""
    queue = CommandQueue()
    queue.put([A], 2 * MAX_QUEUED_BYTES)
    queue.clear()
    assert not queue
    assert not queue.is_too_long


def test_short_is_half_of_what_may_wait() -> None:
    """In commands and in bytes, so that what was held does not flutter."""
    queue = CommandQueue()
    queue.put([A] * (MAX_QUEUED // 2), 0)
    assert (queue.is_short, len(queue)) == (True, MAX_QUEUED // 2)
    queue.put([A], 0)
    assert not queue.is_short
    queue.clear()
    queue.put([A], MAX_QUEUED_BYTES // 2 + 1)
    assert not queue.is_short
    queue.take()
    assert (queue.is_short, len(queue)) == (True, 0)


class WayIn:
    """Notes how it is held."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @property
    def can_be_held_long(self) -> bool:
        return True

    def hold_reading(self) -> None:
        self.said.append("hold")

    def read_on(self) -> None:
        self.said.append("read on")


def test_held_as_long_as_something_moves() -> None:
    """However long it takes."""
    way_in = WayIn()
    throttle = Throttle(way_in, 100, 0.0)
    for number in range(1, 50):
        throttle.look(100 - number, number * (MAX_STILL_S - 1))
    assert (way_in.said, throttle.is_spent) == (["hold"], False)
    throttle.end()
    assert way_in.said == ["hold", "read on"]


def test_not_held_for_ever_for_nothing() -> None:
    """Who leaves must be seen to leave."""
    way_in = WayIn()
    throttle = Throttle(way_in, 100, 0.0)
    throttle.look(99, 5.0)
    throttle.look(99, 5.0 + MAX_STILL_S - 0.1)
    assert not throttle.is_spent
    throttle.look(99, 5.0 + MAX_STILL_S)
    throttle.look(99, 5.0 + 2 * MAX_STILL_S)
    assert throttle.is_spent
    throttle.end()
    assert way_in.said == ["hold", "read on"]


@pytest.mark.row(16)
class TestPace:
    """What a client may send per second."""

    def test_held_until_the_average_is_right(self) -> None:
        """Once, however much comes meanwhile; nothing is lost."""
        way_in = WayIn()
        pace = Pace(RateThrottle(10, 0, 0.0), way_in)
        assert pace.allows(10, 100, 0.0)
        assert way_in.said == []
        assert pace.allows(5, 50, 0.0)
        assert pace.allows(5, 50, 0.1)
        assert (way_in.said, pace.look(0.9)) == (["hold"], False)
        assert not pace.look(1.0)
        assert way_in.said == ["hold", "read on"]
        assert pace.look(2.0), "its bucket is full, so it can be forgotten"

    def test_bytes_count_too(self) -> None:
        """One message of a hundred kilobytes is not one of ten bytes."""
        way_in = WayIn()
        assert Pace(RateThrottle(0, 1000, 0.0), way_in).allows(1, 1001, 0.0)
        assert way_in.said == ["hold"]

    def test_one_that_cannot_be_held(self) -> None:
        """Requests beside a stream: the next word is the end."""
        pace = Pace(RateThrottle(10, 0, 0.0), None)
        assert [pace.allows(10, 0, 0.0), pace.allows(1, 0, 0.0)] == [True, False]
        assert not pace.look(0.05)

    def test_two_hold_one_way_in(self) -> None:
        """It is read again when both have let go."""
        way_in = WayIn()
        shared = SharedReader(way_in)
        assert shared.can_be_held_long, "as the way in says"
        shared.hold_reading()
        shared.hold_reading()
        shared.read_on()
        assert way_in.said == ["hold"]
        shared.read_on()
        assert way_in.said == ["hold", "read on"]
