from __future__ import annotations

import pytest

from portcast.delivery import Batch, Loss, Policy, Standing
from portcast.publication import Mark, Run
from portcast.runtime.audience import Topic
from portcast.runtime.encoder import EncodedRun
from portcast.runtime.subscriber import CLOSE_RESTART, CLOSE_SLOW, LOSSY, Subscriber
from runtime_kit import LIMITS, FakeEncoding, FakeSink


class FakeHub:
    """Keeps what the subscriber asks of its hub; reviews standing as the real one does."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.at = 0.0

    def review(self, subscriber: Subscriber, now: float) -> None:
        subscriber.outbox.review(now)
        self.calls.append(("review", now))

    def catch_up_soon(self, subscriber: Subscriber) -> None:
        self.calls.append(("catch_up_soon", self.at))

    def note_loss(self, topic: str, subscriber: Subscriber, reason: Loss, messages: int) -> None:
        self.calls.append((topic, (reason, messages)))

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
    sink.bind(one)
    one.outbox.patience.full_s = 0.5
    return one


def batch(messages: int = 1) -> Batch:
    return Batch(["x"] * messages, messages, messages)


def topic(policy: Policy = "disconnect", key: str = "") -> Topic:
    return Topic(frozenset(), 0.5, policy, key)


def mark(sequence: int = 0) -> Mark:
    return Mark("t", "e", sequence, sequence)


def offer(subscriber: Subscriber, one: Batch, now: float = 0.0, policy: Policy = "disconnect") -> None:
    subscriber.offer(one, topic(policy), mark(), now)


def encoded(*payloads: bytes, first: int = 1, key: str = "") -> EncodedRun:
    return EncodedRun(Run("t", "e", first, first, 0.0, list(payloads)), topic(key=key))


def demote(subscriber: Subscriber, hub: FakeHub, policy: Policy) -> None:
    """Demote it while its sink writes eleven messages."""
    offer(subscriber, batch(11), policy=policy)
    subscriber.outbox.review(5.0)
    subscriber.demoted()
    assert subscriber.outbox.standing is Standing.DEMOTED
    hub.calls.clear()


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


class TestOffer:
    def test_the_sink_gets_one_batch_at_a_time(self, subscriber: Subscriber, sink: FakeSink) -> None:
        """After a `write` that was not done no further one until `on_drained`; then the next in order."""
        first, second = batch(), batch(2)
        offer(subscriber, first)
        offer(subscriber, second)
        assert sink.batches == [first]
        sink.finish()
        assert sink.batches == [first, second]
        sink.finish()
        assert (subscriber.outbox.delivered, subscriber.outbox.waiting_messages) == (3, 0)

    def test_a_sink_that_takes_all_gets_all(self, subscriber: Subscriber, sink: FakeSink) -> None:
        """Nothing waits and nothing is noted."""
        sink.is_open = True
        for _ in range(3):
            offer(subscriber, batch(100))
        assert len(sink.batches) == 3
        assert (subscriber.outbox.delivered, subscriber.outbox.is_free) == (300, True)

    def test_a_sink_that_is_fast_again_gets_all_that_waits(self, subscriber: Subscriber, sink: FakeSink) -> None:
        """In one go, up to the batch that it cannot take at once."""
        for _ in range(5):
            offer(subscriber, batch())
        sink.is_open = True
        sink.finish()
        assert len(sink.batches) == 5
        assert (subscriber.outbox.delivered, subscriber.outbox.is_free) == (5, True)

    def test_a_healthy_subscriber_costs_no_review(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """The hot path asks for nothing."""
        offer(subscriber, batch())
        offer(subscriber, batch())
        sink.wrote(1, 1)
        sink.finish()
        assert hub.calls == []

    def test_progress_of_a_slow_one_is_reviewed(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """Passing the soft limit, each progress and the end of a batch may change the standing."""
        offer(subscriber, batch(11))
        assert subscriber.outbox.standing.name == "HOLDING"
        hub.at = 0.05
        sink.wrote(2, 2)
        hub.at = 0.09
        sink.finish()
        assert hub.calls == [("review", 0.0), ("review", 0.05), ("review", 0.09)]
        assert subscriber.outbox.standing is Standing.HEALTHY

    def test_one_that_holds_is_looked_at_past_the_hard_limit(self, subscriber: Subscriber, hub: FakeHub) -> None:
        """At once, and not with the next look a second later; below it, holding costs no review."""
        offer(subscriber, batch(11))
        offer(subscriber, batch(1000))
        assert hub.calls == [("review", 0.0)]
        offer(subscriber, batch(1), now=0.1)
        assert hub.calls == [("review", 0.0), ("review", 0.1)]

    def test_progress_is_noted_as_such(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """A client that takes what it is given does not spend its patience."""
        offer(subscriber, batch(400))
        for step in range(1, 11):
            hub.at = step * 0.09
            sink.wrote(10, 10)
        assert subscriber.outbox.patience.spent(hub.at) == 0.0

    def test_a_shrinking_buffer_is_progress(self, subscriber: Subscriber, sink: FakeSink) -> None:
        """A sink that cannot tell when messages are out shows at least that the kernel takes them."""
        offer(subscriber, batch(400))
        seen = []
        for now, buffered in enumerate([400, 400, 300, 300, 500, 499]):
            sink.buffered = buffered
            subscriber.look_for_progress(float(now))
            seen.append(subscriber.outbox.stalled_s(float(now)))
        assert seen == [0.0, 1.0, 0.0, 1.0, 2.0, 0.0]


class TestPolicy:
    def test_it_is_that_of_the_topic_that_begins_to_wait(self, subscriber: Subscriber, sink: FakeSink) -> None:
        """The first to be queued decides, until nothing is queued: what falls behind must not have holes."""

        def policy() -> str:
            return subscriber.outbox.policy

        offer(subscriber, batch(), policy="latest")
        assert policy() == "latest"
        offer(subscriber, batch(), policy="drop_oldest")
        assert policy() == "drop_oldest"
        offer(subscriber, batch(), policy="catch_up")
        assert policy() == "drop_oldest"
        sink.finish()
        sink.finish()
        offer(subscriber, batch(), policy="catch_up")
        assert policy() == "catch_up"

    def test_what_has_holes_never_falls_behind(self, hub: FakeHub, subscriber: Subscriber, sink: FakeSink) -> None:
        """What is left of `drop_oldest` is written as it is, though a topic with history comes after it."""
        demote(subscriber, hub, "drop_oldest")
        for number in range(4):
            subscriber.offer_demoted(encoded(b"1", b"2", b"3", first=1 + 3 * number), 5.0)
        hub.at = 5.0
        sink.finish()
        sink.finish()
        sink.wrote(1, 1)
        assert subscriber.outbox.standing is Standing.HEALTHY
        offer(subscriber, batch(20), now=5.0, policy="catch_up")
        subscriber.outbox.review(11.0)
        subscriber.demoted()
        assert (subscriber.outbox.standing, subscriber.outbox.behind) == (Standing.DEMOTED, 0)

    @pytest.mark.parametrize("policy", sorted(LOSSY))
    def test_one_that_needs_all_catches_up_instead_of_losing(
        self, subscriber: Subscriber, sink: FakeSink, policy: Policy
    ) -> None:
        """At once and later; ``disconnect`` loses nothing in silence and stays."""
        seen: list[Policy] = []
        offer(subscriber, batch(), policy=policy)
        subscriber.need_all()
        seen.append(subscriber.outbox.policy)
        offer(subscriber, batch(), policy=policy)
        seen.append(subscriber.outbox.policy)
        sink.finish()
        sink.finish()
        offer(subscriber, batch(), policy="disconnect")
        subscriber.need_all()
        seen.append(subscriber.outbox.policy)
        assert seen == ["catch_up", "catch_up", "disconnect"]

    @pytest.mark.parametrize("policy", ["disconnect", "drop_newest", "drop_oldest"])
    def test_what_fits_is_queued(self, policy: Policy, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """In order, behind what is being written."""
        demote(subscriber, hub, policy)
        subscriber.offer_demoted(encoded(b"1", b"2"), 5.0)
        subscriber.offer_demoted(encoded(b"3", first=3), 5.0)
        assert subscriber.outbox.waiting_messages == 14
        sink.is_open = True
        sink.finish()
        assert sink.messages[11:] == [b"1", b"2", b"3"]
        assert hub.calls == [("review", 5.0), ("review", 5.0), ("review", 0.0)]

    def test_drop_newest_refuses_while_full(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """What is queued stays, what comes is dropped and counted under its topic."""
        demote(subscriber, hub, "drop_newest")
        subscriber.offer_demoted(encoded(*[b"x"] * 11), 5.0)
        subscriber.offer_demoted(encoded(b"late", b"late", first=12), 5.0)
        assert hub.calls == [("review", 5.0), ("t", ("newest", 2)), ("review", 5.0)]
        assert (subscriber.outbox.dropped, subscriber.outbox.waiting_messages) == (2, 22)

    def test_drop_oldest_makes_room(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """What came first goes first."""
        demote(subscriber, hub, "drop_oldest")
        for number in range(4):
            subscriber.offer_demoted(encoded(*[b"%d" % number] * 4, first=1 + 4 * number), 5.0)
        assert [call for call in hub.calls if call[0] != "review"] == [("t", ("oldest", 4)), ("t", ("oldest", 4))]
        sink.is_open = True
        sink.finish()
        assert sink.messages[11:] == [b"2"] * 4 + [b"3"] * 4

    def test_drop_oldest_begins_with_what_is_queued(self, subscriber: Subscriber, hub: FakeHub) -> None:
        """What was queued while it held counts under the subscriber's first filter: it may be of any topic."""
        for messages in (1, 8, 8):
            offer(subscriber, batch(messages), policy="drop_oldest")
        subscriber.outbox.review(5.0)
        hub.calls.clear()
        subscriber.demoted()
        assert hub.calls == [("a", ("oldest", 8))]
        subscriber.demoted()
        assert hub.calls == [("a", ("oldest", 8))], "nothing is nothing to note"

    def test_latest_keeps_one(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """However many come, the newest is there once the sink is free; the others are conflated and counted."""
        demote(subscriber, hub, "latest")
        for number in range(100):
            subscriber.offer_demoted(encoded(b"x", b"%d" % number, first=1 + 2 * number), 5.0)
        assert (subscriber.outbox.waiting_messages, subscriber.outbox.dropped) == (12, 199)
        assert sum(call[1][1] for call in hub.calls if call[0] == "t") == 199  # type: ignore[index]
        sink.is_open = True
        sink.finish()
        assert sink.messages[11:] == [b"99"]

    def test_latest_per_key_keeps_one_each(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """In the order of their newest."""
        demote(subscriber, hub, "latest_per_key")
        subscriber.offer_demoted(encoded(b'{"k":1,"n":1}', b'{"k":2,"n":2}', b'{"k":1,"n":3}', key="k"), 5.0)
        subscriber.offer_demoted(encoded(b'{"k":2,"n":4}', first=4, key="k"), 5.0)
        sink.is_open = True
        sink.finish()
        assert sink.messages[11:] == [b'{"k":1,"n":3}', b'{"k":2,"n":4}']
        assert subscriber.outbox.dropped == 2

    def test_topics_are_not_conflated_with_each_other(self, subscriber: Subscriber, hub: FakeHub) -> None:
        """`latest` is the latest of each topic."""
        demote(subscriber, hub, "latest")
        subscriber.offer_demoted(encoded(b"1"), 5.0)
        subscriber.offer_demoted(EncodedRun(Run("u", "e", 1, 2, 0.0, [b"2"]), topic()), 5.0)
        assert (subscriber.outbox.waiting_messages, subscriber.outbox.dropped) == (13, 0)

    def test_catch_up_remembers_the_place(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """Nothing is encoded or kept; history is read when the sink is free."""
        demote(subscriber, hub, "catch_up")
        encoding = subscriber.encoding
        assert isinstance(encoding, FakeEncoding)
        for first in (5, 15, 30):
            subscriber.offer_demoted(encoded(*[b"x"] * 10, first=first), 5.0)
        assert (subscriber.outbox.behind, subscriber.outbox.behind_from) == (30, mark(4))
        assert (encoding.calls, len(list(subscriber.outbox.batches()))) == (0, 1)
        assert ("catch_up_soon", 0.0) not in hub.calls
        sink.finish()
        assert hub.calls[-2:] == [("catch_up_soon", 0.0), ("review", 0.0)]
        assert subscriber.outbox.standing is Standing.DEMOTED

    def test_catch_up_begins_with_what_is_queued(self, subscriber: Subscriber, hub: FakeHub) -> None:
        """It is in history as well."""
        offer(subscriber, batch(3), policy="catch_up")
        subscriber.offer(batch(20), topic("catch_up"), mark(3), 0.0)
        subscriber.outbox.review(5.0)
        subscriber.demoted()
        assert (subscriber.outbox.behind, subscriber.outbox.behind_from) == (20, mark(3))
        assert subscriber.outbox.waiting_messages == 3


class TestReplay:
    def test_history_comes_first_and_does_not_count(self, subscriber: Subscriber, sink: FakeSink) -> None:
        """It was published before the subscriber came; what is live waits behind it."""
        subscriber.replay(batch(300), 0, None, 0.0)
        assert (subscriber.outbox.waiting_messages, subscriber.outbox.is_free) == (0, False)
        offer(subscriber, Batch(["live"], 1, 4))
        sink.wrote(0, 0)
        sink.finish()
        assert sink.messages == ["x"] * 300 + ["live"]
        assert subscriber.outbox.delivered == 0
        sink.finish()
        assert subscriber.outbox.delivered == 1

    @pytest.mark.parametrize("is_open", [True, False])
    def test_more_follows_in_rounds(self, is_open: bool, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """As soon as the sink is free, at once or later; live publications fall behind until then."""
        sink.is_open = is_open
        subscriber.replay(batch(300), 50, mark(300), 0.0)
        assert (subscriber.outbox.behind, subscriber.outbox.behind_from) == (50, mark(300))
        assert subscriber.outbox.standing is Standing.DEMOTED
        assert hub.calls == ([("catch_up_soon", 0.0)] if is_open else [])
        subscriber.offer_demoted(encoded(b"x", first=351), 0.0)
        assert subscriber.outbox.behind == 51
        if not is_open:
            sink.finish()
            assert ("catch_up_soon", 0.0) in hub.calls

    def test_nothing_to_replay(self, subscriber: Subscriber, sink: FakeSink) -> None:
        """A client that missed nothing."""
        subscriber.replay(None, 0, None, 0.0)
        assert (sink.batches, subscriber.outbox.standing) == ([], Standing.HEALTHY)

    def test_a_round_counts(self, subscriber: Subscriber, sink: FakeSink) -> None:
        """What is written from history for one that fell behind was published to it."""
        assert not subscriber.write(batch(5), 0.0)
        assert subscriber.outbox.waiting_messages == 5
        sink.is_open = True
        sink.finish()
        assert subscriber.write(batch(5), 0.0)
        assert subscriber.outbox.delivered == 10


class TestEnding:
    def test_close_says_why_and_drops_what_waits(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """A second close says nothing."""
        subscriber.close(CLOSE_SLOW, "too slow")
        subscriber.close(CLOSE_SLOW, "again")
        assert (subscriber.is_closed, subscriber.close_reason) == (True, "too slow")
        assert hub.calls == [("unsubscribe", "too slow")]
        assert sink.closed == [(3008, "too slow")]

    def test_what_the_sink_tells_as_it_closes_is_counted_and_changes_nothing(
        self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink
    ) -> None:
        """A sink that has not told yet does so now; a judgement in between would close it a second time."""

        class Telling(FakeSink):
            def close(self, code: int, reason: str) -> None:
                subscriber.on_written(5, 5)
                super().close(code, reason)

        subscriber.sink = Telling()
        offer(subscriber, batch(11))
        hub.calls.clear()
        subscriber.close(CLOSE_SLOW, "too slow")
        assert hub.calls == [("unsubscribe", "too slow")]
        assert (subscriber.outbox.delivered, subscriber.outbox.waiting_messages) == (5, 6)

    def test_abort_ends_at_once(self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink) -> None:
        """Also one that was closed before and does not go."""
        subscriber.close(CLOSE_SLOW, "too slow")
        subscriber.abort("aborted")
        assert (hub.calls, sink.aborted) == ([("unsubscribe", "too slow")], 1)

    def test_ended_counts_once(self, subscriber: Subscriber, hub: FakeHub) -> None:
        """The endpoint tells of the end whoever caused it."""
        subscriber.ended("client left")
        subscriber.ended("again")
        assert hub.calls == [("unsubscribe", "client left")]

    def test_what_comes_late_from_the_sink_is_ignored(self, subscriber: Subscriber, sink: FakeSink) -> None:
        """The ledger is closed."""
        offer(subscriber, batch())
        offer(subscriber, batch())
        subscriber.ended("client left")
        sink.wrote(1, 1)
        sink.finish()
        assert len(sink.batches) == 1
        assert (subscriber.outbox.delivered, subscriber.outbox.waiting_messages) == (0, 2)


class Follower:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def has_room(self) -> None:
        self.calls.append("has_room")

    def overtaken(self, topic_filter: str) -> None:
        raise AssertionError("that is the hub's to say")

    def ended(self, reason: str) -> None:
        self.calls.append(reason)


class TestFollower:
    @pytest.fixture
    def follower(self, subscriber: Subscriber) -> Follower:
        subscriber.follower = follower = Follower()
        return follower

    def test_is_told_when_the_sink_takes_more(self, subscriber: Subscriber, sink: FakeSink, follower: Follower) -> None:
        """Not while something is still being written: then the sink has no room."""
        offer(subscriber, batch())
        offer(subscriber, batch())
        sink.finish()
        assert follower.calls == []
        sink.finish()
        assert follower.calls == ["has_room"]

    def test_is_not_told_while_it_is_behind(
        self, subscriber: Subscriber, hub: FakeHub, sink: FakeSink, follower: Follower
    ) -> None:
        """History comes first."""
        demote(subscriber, hub, "catch_up")
        subscriber.offer_demoted(encoded(b"1"), 5.0)
        sink.finish()
        assert follower.calls == []
        assert ("catch_up_soon", 0.0) in hub.calls

    def test_is_told_of_the_end_once(self, subscriber: Subscriber, sink: FakeSink, follower: Follower) -> None:
        """And of nothing after it."""
        offer(subscriber, batch())
        subscriber.ended("left")
        subscriber.ended("again")
        sink.finish()
        assert follower.calls == ["left"]
