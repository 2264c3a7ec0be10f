from __future__ import annotations

import pytest

from portcast.delivery import Batch, Standing
from portcast.runtime.subscriber import CLOSE_RESTART, CLOSE_SLOW, Subscriber
from runtime_kit import LIMITS, FakeEncoding, FakeSink


class FakeHub:
    """Keeps what the subscriber asks of its hub; reviews standing as the real one does."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.at = 0.0

    def review(self, subscriber: Subscriber, now: float) -> None:
        subscriber.outbox.review(now)
        self.calls.append(("review", now))

    def unsubscribe(self, subscriber: Subscriber, reason: str) -> None:
        self.calls.append(("unsubscribe", reason))

    def now(self) -> float:
        return self.at


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def subscriber(hub: FakeHub, sink: FakeSink) -> Subscriber:
    one = Subscriber(hub, ["a", "b", "a"], FakeEncoding(), sink, LIMITS, 0.0, transport="test", peer="p")
    one.outbox.patience.full_s = 0.5
    return one


def batch(messages: int = 1) -> Batch:
    return Batch(["x"] * messages, messages, messages)


def test_close_codes_are_the_documented_ones() -> None:
    """RFC 6455's registry: 1012 service restart; Centrifuge: 3008 slow."""
    assert (CLOSE_RESTART, CLOSE_SLOW) == (1012, 3008)


def test_filters_are_kept_once_in_order(subscriber: Subscriber) -> None:
    """A filter given twice counts once."""
    assert subscriber.filters == ("a", "b")


def test_ids_differ(hub: FakeHub, sink: FakeSink) -> None:
    """Events tell subscribers apart by them."""
    ids = {Subscriber(hub, ["#"], FakeEncoding(), sink, LIMITS, 0.0, transport="t", peer="").id for _ in range(10)}
    assert len(ids) == 10


def test_the_sink_gets_one_batch_at_a_time(subscriber: Subscriber, sink: FakeSink) -> None:
    """After `write` no further one until `on_drained`; then the next in order."""
    first, second = batch(), batch(2)
    subscriber.offer(first, 0.0)
    subscriber.offer(second, 0.0)
    assert sink.batches == [first]
    subscriber.on_drained()
    assert sink.batches == [first, second]
    subscriber.on_drained()
    assert (subscriber.outbox.delivered, subscriber.outbox.waiting_messages) == (3, 0)


def test_a_healthy_subscriber_costs_no_review(subscriber: Subscriber, hub: FakeHub) -> None:
    """The hot path asks for nothing."""
    subscriber.offer(batch(), 0.0)
    subscriber.on_written(1, 1)
    subscriber.on_drained()
    assert hub.calls == []


def test_progress_of_a_slow_one_is_reviewed(subscriber: Subscriber, hub: FakeHub) -> None:
    """Passing the soft limit, each progress and the end of a batch may change the standing."""
    subscriber.offer(batch(11), 0.0)
    assert subscriber.outbox.standing.name == "HOLDING"
    hub.at = 0.05
    subscriber.on_written(2, 2)
    hub.at = 0.09
    subscriber.on_drained()
    assert hub.calls == [("review", 0.0), ("review", 0.05), ("review", 0.09)]
    assert subscriber.outbox.standing is Standing.HEALTHY


def test_progress_is_noted_as_such(subscriber: Subscriber, hub: FakeHub) -> None:
    """A client that takes what it is given does not spend its patience."""
    subscriber.offer(batch(400), 0.0)
    for step in range(1, 11):
        hub.at = step * 0.09
        subscriber.on_written(10, 10)
    assert subscriber.outbox.patience.spent(hub.at) == 0.0


def test_close_says_why_and_drops_what_waits(subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
    """The hub forgets it before the sink is told; a second close says nothing."""
    subscriber.close(CLOSE_SLOW, "too slow")
    subscriber.close(CLOSE_SLOW, "again")
    assert (subscriber.is_closed, subscriber.close_reason) == (True, "too slow")
    assert hub.calls == [("unsubscribe", "too slow")]
    assert sink.closed == [(3008, "too slow")]


def test_abort_ends_at_once(subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
    """Also one that was closed before and does not go."""
    subscriber.close(CLOSE_SLOW, "too slow")
    subscriber.abort("aborted")
    assert (hub.calls, sink.aborted) == ([("unsubscribe", "too slow")], 1)


def test_ended_counts_once(subscriber: Subscriber, hub: FakeHub) -> None:
    """The endpoint tells of the end whoever caused it."""
    subscriber.ended("client left")
    subscriber.ended("again")
    assert hub.calls == [("unsubscribe", "client left")]


def test_a_closed_subscriber_takes_nothing_and_writes_nothing(subscriber: Subscriber, sink: FakeSink) -> None:
    """What comes late from the sink or the hub is ignored: the ledger is closed."""
    subscriber.offer(batch(), 0.0)
    subscriber.offer(batch(), 0.0)
    subscriber.ended("client left")
    subscriber.on_written(1, 1)
    subscriber.on_drained()
    subscriber.offer(batch(), 0.0)
    assert len(sink.batches) == 1
    assert (subscriber.outbox.delivered, subscriber.outbox.waiting_messages) == (0, 2)
