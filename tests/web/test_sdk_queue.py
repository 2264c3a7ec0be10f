from __future__ import annotations

from portcast.centrifuge.messages import Command
from portcast.web.sdk_queue import MAX_QUEUED, MAX_QUEUED_BYTES, CommandQueue

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
