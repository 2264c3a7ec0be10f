from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from manual_clock import ManualClock
from portcast.config import TopicOptions
from portcast.delivery import Batch, OutboxLimits, Standing
from portcast.events import SubscriberClosed, SubscriberDemoted, SubscriberOpened, SubscriberRefused, SubscriberSlow
from portcast.publication import Run
from portcast.runtime import Hub, Subscriber
from portcast.runtime.admission import Admission, Networks
from portcast.runtime.slow_consumers import LossCount
from runtime_kit import LIMITS, Events, FakeEncoding, FakeSink, Publisher, make_broker, make_hub, subscribe, turns


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now=1000.0)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def hub(clock: ManualClock, events: Events) -> Hub:
    return make_hub(clock, events)


@pytest.fixture
def publish(hub: Hub) -> Publisher:
    return Publisher(hub)


class TestDelivery:
    def test_a_publication_reaches_all_whose_filters_match(
        self, hub: Hub, clock: ManualClock, publish: Publisher
    ) -> None:
        """At the end of the tick, and nobody else."""
        sinks = {name: FakeSink() for name in ("a", "+", "#", "b")}
        for name, sink in sinks.items():
            subscribe(hub, sink, name)
        publish("a", b"1")
        assert all(not sink.messages for sink in sinks.values())
        clock.tick()
        assert {name: sink.messages for name, sink in sinks.items()} == {"a": [b"1"], "+": [b"1"], "#": [b"1"], "b": []}

    def test_overlapping_filters_deliver_once(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """A publication that matches several filters of a client arrives once."""
        sink = FakeSink(clock)
        subscribe(hub, sink, "a/b", "a/+", "a/#", "#")
        publish("a/b", b"1")
        clock.settle()
        assert sink.messages == [b"1"]

    def test_order_is_kept_per_topic_and_over_topics(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """What a subscriber sees is what was published, in order, over ticks and topics."""
        sink = FakeSink(clock)
        subscribe(hub, sink)
        sent = []
        for number in range(100):
            message = b"%d" % number
            publish("abc"[number % 3], message)
            sent.append(message)
            if number % 7 == 0:
                clock.tick()
        clock.settle()
        assert sink.messages == sent

    def test_the_audience_is_taken_when_published(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """A later subscriber never gets an earlier run, an earlier one always does."""
        early, late = FakeSink(clock), FakeSink(clock)
        subscribe(hub, early)
        publish("t", b"before")
        subscribe(hub, late)
        publish("t", b"after")
        clock.settle()
        assert early.messages == [b"before", b"after"]
        assert late.messages == [b"after"]

    def test_one_encode_per_run_and_encoding(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """However many subscribers share an encoding, a publication is encoded once, and all write the same object."""
        shared, other = FakeEncoding(), FakeEncoding()
        sinks = [FakeSink() for _ in range(50)]
        for sink in sinks:
            subscribe(hub, sink, encoding=shared)
        subscribe(hub, FakeSink(), encoding=other)
        publish("t", b"1")
        clock.settle()
        assert (shared.calls, other.calls) == (1, 1)
        assert len({id(sink.batches[0]) for sink in sinks}) == 1

    def test_several_topics_are_one_write(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """One joined batch and one write for each subscriber and flush, whatever it listens to; encoded once each."""
        encoding = FakeEncoding()
        filters = [["#"], ["a", "b"], ["a"], ["b", "c"], ["+"]] * 10
        sinks = [FakeSink() for _ in filters]
        for sink, some in zip(sinks, filters, strict=True):
            subscribe(hub, sink, *some, encoding=encoding)
        for number in range(9):
            publish("abc"[number % 3], b"%d" % number)
        clock.tick()
        assert [len(sink.batches) for sink in sinks] == [1] * 50
        assert sinks[0].messages == sinks[4].messages == [b"%d" % number for number in range(9)]
        assert sinks[1].messages == [b"0", b"1", b"3", b"4", b"6", b"7"]
        assert sinks[2].messages == [b"0", b"3", b"6"]
        assert (encoding.calls, encoding.joins) == (9, 4), "once for each run, and once for each group of subscribers"
        assert sinks[0].batches[0] is sinks[5].batches[0] is sinks[4].batches[0]

    def test_one_that_takes_all_at_once_has_it_delivered(
        self, hub: Hub, clock: ManualClock, publish: Publisher
    ) -> None:
        """A sink that takes more at once is never waited for."""
        sink = FakeSink(is_open=True)
        subscribe(hub, sink)
        for number in range(20):
            publish("t", b"%d" % number)
            clock.tick()
            assert (hub.statistics().delivered, hub.is_idle) == (number + 1, True)

    def test_nothing_is_encoded_for_nobody(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """Neither without subscribers, nor when the last one left before the flush."""
        encoding = FakeEncoding()
        publish("t", b"1")
        subscriber = subscribe(hub, FakeSink(), encoding=encoding)
        publish("t", b"2")
        subscriber.ended("left")
        clock.settle()
        assert encoding.calls == 0
        assert hub.is_idle

    def test_consecutive_runs_of_a_topic_merge(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """Ten thousand publishes in a tick cost one batch; another topic between them keeps its place."""
        sink, encoding = FakeSink(), FakeEncoding()
        subscribe(hub, sink, encoding=encoding)
        publish("a", b"1")
        publish("a", b"2", b"3")
        publish("b", b"4")
        publish("a", b"5")
        clock.tick()
        while not hub.is_idle:
            sink.finish()
        assert [[run.payloads for run in encoding.encoded], sink.messages] == [
            [[b"1", b"2", b"3"], [b"4"], [b"5"]],
            [b"1", b"2", b"3", b"4", b"5"],
        ]

    def test_runs_do_not_merge_over_a_change_of_the_audience(
        self, hub: Hub, clock: ManualClock, publish: Publisher
    ) -> None:
        """The second run has another audience than the first."""
        first, second = FakeSink(clock), FakeSink(clock)
        subscribe(hub, first)
        publish("a", b"1")
        subscriber = subscribe(hub, second)
        publish("a", b"2")
        subscriber.ended("left")
        publish("a", b"3")
        clock.settle()
        assert first.messages == [b"1", b"2", b"3"]
        assert second.messages == []

    def test_count_is_the_audience_of_a_topic(self, hub: Hub) -> None:
        """What the API shows for a topic."""
        subscribe(hub, FakeSink(), "a/#")
        subscribe(hub, FakeSink(), "a/b")
        assert (hub.count("a/b"), hub.count("a/c"), hub.count("b")) == (2, 1, 0)


@pytest.mark.row(23)
class TestAdmission:
    """Hubs with a limit on subscribers."""

    def test_the_newest_is_told_to_try_again(self, hub: Hub, clock: ManualClock, events: Events) -> None:
        """It is never subscribed, and who leaves makes room."""
        hub.admission = Admission(Networks((), ()), max_connections=1, max_per_address=0)
        first, sink = subscribe(hub, FakeSink(clock)), FakeSink(clock)
        late = subscribe(hub, sink)
        assert (late.is_closed, sink.closed) == (True, [(1013, "too many subscribers")])
        assert hub.subscribers == (first,)
        assert hub.refuses("events", "192.0.2.1:5")
        assert events.of(SubscriberRefused) == [
            SubscriberRefused("test", "", "max_subscribers"),
            SubscriberRefused("events", "192.0.2.1:5", "max_subscribers"),
        ]
        late.ended("client left")
        assert hub.refuses("events", "")
        first.ended("client left")
        assert not hub.refuses("events", "")
        assert not subscribe(hub, FakeSink(clock)).is_closed
        assert [one.reason for one in events.of(SubscriberClosed)] == ["client left"]

    def test_subscribers_of_an_address(self, hub: Hub, clock: ManualClock, events: Events) -> None:
        """Others have room."""
        hub.admission = Admission(Networks((), ()), max_per_address=1)
        peers = ["192.0.2.1:5", "192.0.2.1:6", "192.0.2.2:5", "[2001:db8::1]:5", "[2001:db8::2]:5"]
        those = [hub.subscribe(["#"], FakeEncoding(), FakeSink(clock), transport="test", peer=one) for one in peers]
        assert [one.is_closed for one in those] == [False, True, False, False, True]
        assert {one.reason for one in events.of(SubscriberRefused)} == {"max_subscribers_per_address"}


class TestFlush:
    def test_an_idle_hub_flushes_in_the_same_tick(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """No latency is added, and one flush serves all publishes of the tick."""
        subscribe(hub, FakeSink(clock))
        for number in range(5):
            publish("t", b"%d" % number)
        clock.settle()
        assert hub.statistics().flushes == 1

    def test_a_loaded_hub_rests_between_flushes(self, clock: ManualClock) -> None:
        """A flush that took d seconds forbids the next before d * (1 / duty - 1) seconds after its end."""
        hub = make_hub(clock, flush_duty=0.25)
        publish = Publisher(hub)

        class Slow(FakeEncoding):
            def encode(self, run: Run) -> Batch:
                clock.advance(0.1)
                return super().encode(run)

        sink = FakeSink(clock)
        subscribe(hub, sink, encoding=Slow())
        publish("t", b"1")
        hub.flush()
        clock.settle()
        publish("t", b"2")
        clock.advance(0.29)
        assert sink.messages == [b"1"]
        clock.advance(0.02)
        assert sink.messages == [b"1", b"2"]

    def test_too_many_bytes_flush_at_once(self, hub: Hub, publish: Publisher) -> None:
        """What is pending is bounded even when nobody lets the loop turn."""
        sink = FakeSink()
        subscribe(hub, sink)
        publish("t", b"x" * 1000)
        assert not sink.messages
        publish("t", b"y")
        assert sink.messages == [b"x" * 1000, b"y"]
        assert hub.statistics().flushes == 1

    def test_a_healthy_subscriber_survives_a_flush_of_any_size(
        self, hub: Hub, clock: ManualClock, publish: Publisher
    ) -> None:
        """One flush may be larger than the hard limit: a client that was idle gets the time to read it."""
        sink = FakeSink()
        subscriber = subscribe(hub, sink)
        publish("t", b"x" * 50_000)
        clock.settle()
        assert not subscriber.is_closed
        sink.finish()
        assert subscriber.outbox.standing is Standing.HEALTHY

    def test_too_many_empty_messages_flush_at_once(self, hub: Hub, publish: Publisher) -> None:
        """Messages without bytes are bounded by their number."""
        sink = FakeSink()
        subscribe(hub, sink)
        publish.publish("t", [b""] * (64 * LIMITS.hard_messages))
        assert not sink.batches
        publish("t", b"")
        assert len(sink.batches) == 1

    def test_a_flush_leaves_no_timer(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """One that happened inside a publish makes the one at the end of the tick needless."""
        sink = FakeSink(clock)
        subscribe(hub, sink)
        publish("t", b"1")
        hub.flush()
        hub.flush()
        clock.settle()
        assert (sink.messages, hub.statistics().flushes) == ([b"1"], 1)

    def test_publishing_from_within_a_flush_keeps_the_order(self, clock: ManualClock) -> None:
        """A receiver of events may publish: that comes after what is being flushed, however much it is."""
        fired: list[object] = []

        def react(event: object) -> None:
            if isinstance(event, SubscriberSlow) and not fired:
                fired.append(event)
                publish("b", b"second" * 1000)

        hub = make_hub(clock, emit=react)
        publish = Publisher(hub)
        slow, other = FakeSink(), FakeSink()
        subscribe(hub, slow, "a")
        subscribe(hub, other, "b")
        publish("a", b"x" * 101)
        publish("b", b"first")
        hub.flush()
        assert other.messages == [b"first"]
        other.finish()
        clock.settle()
        assert other.messages == [b"first", b"second" * 1000]


class TestFollow:
    """Connections whose filters change while they live."""

    def test_it_gets_what_is_published_from_then_on(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """What was published before is in history, from which it begins."""
        sink = FakeSink(is_open=True)
        subscriber = hub.subscribe((), FakeEncoding(), sink, transport="test", bind=sink.bind)
        publish("t", b"before")
        assert not hub.has_pending(subscriber), "nothing of it is for this one"
        hub.follow(subscriber, "t", subscriber.encoding)
        publish("t", b"after")
        clock.settle()
        assert (sink.messages, subscriber.filters) == ([b"after"], ("t",))

    def test_it_gets_nothing_from_the_moment_it_unfollows(
        self, hub: Hub, clock: ManualClock, publish: Publisher
    ) -> None:
        """Also not what waits for the flush: it counts as dropped, because the subscriber left."""
        sink, other = FakeSink(is_open=True), FakeSink(is_open=True)
        subscriber = subscribe(hub, sink, "t", "u/+", "u/v")
        subscribe(hub, other, "#")
        publish("t", b"1", b"2")
        publish("u/v", b"3")
        hub.unfollow(subscriber, "t", subscriber.encoding)
        hub.unfollow(subscriber, "u/v", subscriber.encoding)
        publish("t", b"4")
        publish("u/v", b"5")
        clock.settle()
        assert sink.messages == [b"3", b"5"], "another filter matches those"
        assert other.messages == [b"1", b"2", b"3", b"4", b"5"]
        assert (subscriber.outbox.delivered, subscriber.outbox.dropped) == (2, 2)
        assert hub.losses() == [LossCount("t", "disconnect", "left", 2)]

    def test_what_is_pending_comes_first(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """Otherwise it would be encoded for a filter that begins after it."""
        old, new, sink = FakeEncoding(), FakeEncoding(), FakeSink(is_open=True)
        subscriber = subscribe(hub, sink, "a/+", encoding=old)
        publish("a/b", b"1")
        assert hub.has_pending(subscriber)
        hub.flush()
        assert not hub.has_pending(subscriber)
        hub.follow(subscriber, "a/b", new)
        publish("a/b", b"2")
        clock.settle()
        assert [(one.encoded[0].payloads, one.calls) for one in (old, new)] == [([b"1"], 1), ([b"2"], 1)]
        assert sink.messages == [b"1", b"2"]

    def test_it_must_not_follow_while_something_is_queued(self, hub: Hub, publish: Publisher) -> None:
        """If that fell behind it would be read from history together with what the new filter matches of then."""
        sink = FakeSink()
        subscriber = subscribe(hub, sink, "t")
        for number in (b"1", b"2"):
            publish("t", number)
            hub.flush()
        with pytest.raises(AssertionError):
            hub.follow(subscriber, "u", subscriber.encoding)
        sink.finish()
        hub.follow(subscriber, "u", subscriber.encoding)

    def test_it_ends_as_any_other(self, hub: Hub, publish: Publisher) -> None:
        """Nothing is left of it, whatever its filters were in between."""
        subscriber = subscribe(hub, FakeSink(), "a")
        hub.follow(subscriber, "b", subscriber.encoding)
        hub.unfollow(subscriber, "a", subscriber.encoding)
        subscriber.ended("left")
        assert (hub.count("a"), hub.count("b")) == (0, 0)

    def test_one_that_comes_after_the_goodbye_is_told_in_its_words(self, hub: Hub) -> None:
        """Its own code for a restart, as all the others get."""
        hub.close("restarting")
        sink = FakeSink()

        def bind(subscriber: Subscriber) -> None:
            subscriber.restart_code = 3001
            sink.bind(subscriber)

        hub.subscribe((), FakeEncoding(), sink, transport="test", bind=bind)
        assert sink.closed == [(3001, "restarting")]


def hold(hub: Hub, publish: Publisher, sink: FakeSink, topic: str = "t") -> Subscriber:
    """Make the subscriber of a sink hold the topic."""
    subscriber = subscribe(hub, sink, topic)
    publish.publish(topic, [b"x"] * 11)
    hub.flush()
    assert subscriber.outbox.standing is Standing.HOLDING
    return subscriber


class TestHolding:
    def test_nothing_holds_an_idle_topic(self, hub: Hub) -> None:
        """Also one that nobody knows."""
        assert not hub.is_held("t")

    @pytest.mark.parametrize(
        "payloads", [pytest.param([b"x"] * 11, id="messages"), pytest.param([b"x" * 101], id="bytes")]
    )
    def test_too_much_before_a_flush_holds(
        self, hub: Hub, clock: ManualClock, publish: Publisher, payloads: list[bytes]
    ) -> None:
        """A publisher that never lets the loop turn is told to, until the flush."""
        subscribe(hub, FakeSink(clock), "t")
        publish.publish("t", payloads)
        assert hub.is_held("t")
        assert not hub.is_held("nobody-listens")
        clock.settle()
        assert not hub.is_held("t")

    def test_a_little_before_a_flush_does_not_hold(self, hub: Hub, publish: Publisher) -> None:
        """A publisher below the soft limit goes on at once."""
        subscribe(hub, FakeSink(), "t")
        publish.publish("t", [b"x"] * 10)
        assert not hub.is_held("t")

    def test_a_slow_subscriber_holds_its_topics_only(self, hub: Hub, publish: Publisher) -> None:
        """Publishers of other topics do not feel it."""
        hold(hub, publish, FakeSink(), "slow")
        subscribe(hub, FakeSink(), "other")
        assert hub.is_held("slow")
        assert not hub.is_held("other")

    def test_draining_releases(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """A healthy client drains in milliseconds and its publishers go on."""
        sink = FakeSink()
        subscriber = hold(hub, publish, sink)
        released: list[float] = []
        hub.when_released("t", lambda: released.append(clock.time()))
        clock.advance(0.03)
        assert not released
        sink.finish()
        clock.settle()
        assert released == [1000.03]
        assert subscriber.outbox.patience.spent(clock.time()) == 0.0

    def test_a_stuck_subscriber_holds_for_its_patience_and_not_longer(
        self, hub: Hub, clock: ManualClock, publish: Publisher, events: Events
    ) -> None:
        """Then it is demoted and holds nobody, whatever becomes of it."""
        hold(hub, publish, FakeSink())
        released: list[float] = []
        hub.when_released("t", lambda: released.append(clock.time()))
        clock.advance(0.499)
        assert hub.is_held("t")
        clock.advance(0.1)
        assert released == [pytest.approx(1000.5, abs=0.01)]
        assert len(events.of(SubscriberSlow)) == len(events.of(SubscriberDemoted)) == 1

    def test_a_bulk_feed_reaches_a_healthy_client_whole(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """The feed is faster than any client: a client that keeps taking is waited for, again and again."""
        sink = FakeSink()
        subscriber = subscribe(hub, sink, "t")
        sent = 0
        for _ in range(1000):
            assert not hub.is_held("t")
            publish.publish("t", [b"x" * 5] * 40)
            sent += 40
            assert hub.is_held("t")
            clock.advance(0.05)
            sink.finish()
            clock.settle()
        assert len(sink.messages) == sent
        assert not subscriber.is_closed
        assert hub.statistics().demoted == 0

    def test_no_patience_never_holds(self, clock: ManualClock) -> None:
        """patience=0 never pauses a device, neither for a slow client nor for the flush."""
        hub = make_hub(clock, topics={"t": TopicOptions(patience_s=0)})
        publish = Publisher(hub)
        subscribe(hub, FakeSink(), "#")
        publish.publish("t", [b"x"] * 100)
        assert not hub.is_held("t")
        hub.flush()
        assert not hub.is_held("t")
        assert hub.is_held("other"), "for a topic with patience it holds all the same"

    def test_each_topic_is_held_for_its_own_patience(self, clock: ManualClock) -> None:
        """A patient topic does not make publishers of an impatient one wait longer than they said."""
        hub = make_hub(clock, topics={"short": TopicOptions(patience_s=0.2), "long": TopicOptions(patience_s=3.0)})
        publish = Publisher(hub)
        subscribe(hub, FakeSink(), "#")
        publish("long", *[b"x"] * 11)
        hub.flush()
        released: dict[str, float] = {}

        def note(name: str) -> Callable[[], None]:
            return lambda: released.update({name: clock.time()})

        for name in ("short", "other", "long"):
            hub.when_released(name, note(name))
        clock.advance(5.0)
        assert released == {
            "short": pytest.approx(1000.2, abs=0.01),
            "other": pytest.approx(1000.5, abs=0.01),
            "long": pytest.approx(1003.0, abs=0.01),
        }

    def test_a_removed_subscriber_releases(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """A client that leaves while it holds lets everybody go."""
        subscriber = hold(hub, publish, FakeSink())
        released: list[str] = []
        hub.when_released("t", lambda: released.append("t"))
        subscriber.ended("left")
        clock.settle()
        assert released == ["t"]

    def test_publishers_are_released_one_by_one(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """The second finds the topic as the first left it: held again, if that published much."""
        sink = FakeSink()
        hold(hub, publish, sink)
        order: list[str] = []

        def publisher(name: str) -> Callable[[], None]:
            def run() -> None:
                order.append(name)
                publish.publish("t", [name.encode()] * 11)

            return run

        for name in "abc":
            hub.when_released("t", publisher(name))
        for expected in (["a"], ["a", "b"], ["a", "b", "c"]):
            sink.finish()
            clock.settle()
            assert order == expected
        sink.finish()
        assert sink.messages[11:] == [b"a"] * 11 + [b"b"] * 11 + [b"c"] * 11

    def test_waiting_for_what_is_free_is_answered(self, hub: Hub, clock: ManualClock) -> None:
        """Also when the topic became free between the question and the call."""
        released: list[str] = []
        hub.when_released("t", lambda: released.append("t"))
        assert released == []
        clock.settle()
        assert released == ["t"]


class TestWaiting:
    pytestmark = pytest.mark.anyio

    async def test_wait_released_waits(self, publish: Publisher, hub: Hub, clock: ManualClock) -> None:
        """It returns at once for a free topic, and when a held one is free."""
        await hub.wait_released("t")
        sink = FakeSink()
        hold(hub, publish, sink)
        waiting = asyncio.ensure_future(hub.wait_released("t"))
        await turns()
        clock.settle()
        assert not waiting.done()
        sink.finish()
        clock.settle()
        await waiting

    async def test_who_awaits_looks_again(self, publish: Publisher, hub: Hub, clock: ManualClock) -> None:
        """Between the release and its turn another may have held the topic again."""
        sink = FakeSink()
        hold(hub, publish, sink)
        waiting = asyncio.ensure_future(hub.wait_released("t"))
        await turns()
        sink.finish()
        clock.tick()
        publish.publish("t", [b"x"] * 11)
        await turns()
        assert not waiting.done()
        clock.settle()
        sink.finish()
        clock.settle()
        await waiting

    async def test_cancelling_leaves_the_others_their_turn(
        self, publish: Publisher, hub: Hub, clock: ManualClock
    ) -> None:
        """A cancelled publisher does not eat the release of the next."""
        sink = FakeSink()
        hold(hub, publish, sink)
        cancelled, other = (asyncio.ensure_future(hub.wait_released("t")) for _ in range(2))
        await turns()
        cancelled.cancel()
        await turns()
        sink.finish()
        clock.settle()
        await other
        assert cancelled.cancelled()

    async def test_a_crowd_is_let_in_by_and_by(self, publish: Publisher, hub: Hub, clock: ManualClock) -> None:
        """No more wake up in a tick than may publish, so that a thousand do not queue a thousand times."""
        sink = FakeSink(clock)
        subscriber = hold(hub, publish, FakeSink())
        woken: list[int] = []

        async def publisher(number: int) -> None:
            await hub.wait_released("t")
            woken.append(number)
            publish("t", b"%d" % number)

        tasks = [asyncio.ensure_future(publisher(number)) for number in range(100)]
        await turns()
        subscribe(hub, sink, "t")
        subscriber.ended("left")
        while not all(task.done() for task in tasks):
            before = len(woken)
            clock.tick()
            await turns()
            assert len(woken) - before <= LIMITS.soft_messages + 1
        clock.settle()
        assert woken == list(range(100))
        assert sink.messages == [b"%d" % number for number in range(100)]


class TestSlowConsumers:
    def test_demoted_and_removed_after_its_time(
        self, hub: Hub, clock: ManualClock, publish: Publisher, events: Events
    ) -> None:
        """Slow for longer than soft_for and out of patience: closed with 3008, the reason in words."""
        sink = FakeSink()
        subscriber = hold(hub, publish, sink)
        clock.advance(1.9)
        assert not subscriber.is_closed
        clock.advance(1.5)
        assert sink.closed == [(3008, "slow consumer: behind for 3 s")]
        (closed,) = events.of(SubscriberClosed)
        assert (closed.reason, closed.delivered, closed.dropped) == ("slow consumer: behind for 3 s", 0, 11)
        statistics = hub.statistics()
        assert (statistics.slow, statistics.demoted, statistics.removed, statistics.subscribers) == (1, 1, 1, 0)

    @pytest.mark.parametrize(
        ("payloads", "reason"),
        [
            pytest.param([b"x"] * 21, "slow consumer: 32 messages waiting", id="messages"),
            pytest.param([b"x" * 1001], "slow consumer: 1012 bytes waiting", id="bytes"),
        ],
    )
    def test_a_demoted_one_goes_at_the_hard_limit(
        self, hub: Hub, clock: ManualClock, publish: Publisher, payloads: list[bytes], reason: str
    ) -> None:
        """At once, without waiting for its time."""
        sink = FakeSink()
        hold(hub, publish, sink)
        clock.advance(0.6)
        publish.publish("t", payloads)
        hub.flush()
        assert sink.closed == [(3008, reason)]

    def test_a_trickle_to_a_client_that_does_not_read(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """It never passes the soft limit; its age ends it."""
        sink = FakeSink()
        subscribe(hub, sink, "t")
        publish("t", b"x")
        clock.advance(9.9)
        assert not sink.aborted
        clock.advance(0.2)
        assert sink.aborted

    def test_the_others_are_not_affected(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """One client is held, demoted and removed while the others get everything at once, in order."""
        stuck, healthy = FakeSink(), [FakeSink(clock) for _ in range(5)]
        subscribe(hub, stuck)
        for sink in healthy:
            subscribe(hub, sink)
        sent = []
        for number in range(400):
            message = b"%d" % number
            publish("t", message)
            sent.append(message)
            clock.settle()
            for sink in healthy:
                assert sink.messages[-1] == message
            clock.advance(0.01)
        assert [code for code, _ in stuck.closed] == [3008]
        assert all(sink.messages == sent for sink in healthy)

    def test_all_of_a_flush_is_walked_before_anybody_is_removed(
        self, hub: Hub, clock: ManualClock, publish: Publisher, events: Events
    ) -> None:
        """The ledger of one that is removed in a flush has every publication of that flush."""
        sink = FakeSink()
        subscriber = hold(hub, publish, sink)
        subscribe(hub, FakeSink(clock), "other")
        clock.advance(0.6)
        for _ in range(3):
            publish.publish("t", [b"x"] * 15)
            publish("other", b"y")
        hub.flush()
        assert subscriber.is_closed
        (closed,) = events.of(SubscriberClosed)
        assert (closed.delivered, closed.dropped) == (0, 11 + 45)

    def test_frequent_subscribers_do_not_put_off_the_review(
        self, hub: Hub, clock: ManualClock, publish: Publisher
    ) -> None:
        """Clients that come and go all the time must not save a stuck one."""
        sink = FakeSink()
        hold(hub, publish, sink)
        for _ in range(400):
            subscribe(hub, FakeSink(), "elsewhere").ended("left")
            clock.advance(0.01)
        assert [code for code, _ in sink.closed] == [3008]

    def test_the_review_sleeps_without_subscribers(self, hub: Hub, clock: ManualClock) -> None:
        """An idle hub has no timer."""
        subscriber = subscribe(hub, FakeSink())
        assert clock.timers == 1
        subscriber.ended("left")
        clock.advance(2.0)
        assert clock.timers == 0


class TestLedger:
    def test_who_leaves_before_the_flush_is_accounted_for(
        self, hub: Hub, clock: ManualClock, publish: Publisher, events: Events
    ) -> None:
        """Published to it and not delivered: dropped, also when it was not offered yet."""
        subscriber = subscribe(hub, FakeSink())
        publish("a", b"1", b"2")
        publish("b", b"3")
        subscriber.ended("left")
        (closed,) = events.of(SubscriberClosed)
        assert (closed.delivered, closed.dropped) == (0, 3)
        clock.settle()
        assert (hub.statistics().dropped, hub.statistics().waiting) == (3, 0)

    def test_statistics_outlive_the_subscribers(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """Totals do not go back when a client leaves."""
        one, other = FakeSink(), FakeSink()
        first = subscribe(hub, one)
        subscribe(hub, other)
        publish("t", b"1", b"2")
        publish("u", b"3")
        assert hub.statistics().waiting == 6
        clock.settle()
        one.wrote(2, 2)
        first.ended("left")
        first.ended("again")
        hub.unsubscribe(first, "and again")
        statistics = hub.statistics()
        assert (statistics.delivered, statistics.dropped, statistics.waiting) == (2, 1, 3)
        assert (statistics.subscribers, statistics.flushes) == (1, 1)

    def test_events_name_the_subscriber(self, hub: Hub, clock: ManualClock, events: Events) -> None:
        """Opened and closed say who, how, what for and how long."""
        subscriber = subscribe(hub, FakeSink(), "a", "b", peer="192.0.2.7:1")
        clock.advance(2.5)
        subscriber.ended("left")
        (opened,), (closed,) = events.of(SubscriberOpened), events.of(SubscriberClosed)
        assert opened == SubscriberOpened(subscriber.id, "test", ("a", "b"), "192.0.2.7:1")
        assert closed == SubscriberClosed(subscriber.id, "test", "left", 0, 0, 2.5)
        told = subscribe(hub, FakeSink(), "a")
        told.close(3008, "slow consumer: 7 bytes waiting")
        assert events.of(SubscriberClosed)[1].code == 3008


class TestCatchUp:
    """The hub's part: when rounds run. What they do is tested in test_catch_up.py."""

    def test_nothing_pending_is_read_twice(self, clock: ManualClock) -> None:
        """A receiver of events that publishes within a flush: what is pending is in history, too, and comes once."""

        def react(event: object) -> None:
            if isinstance(event, SubscriberSlow):
                publish("t", b"within")

        broker = make_broker()
        hub = make_hub(clock, emit=react, broker=broker, has_history=True)
        publish = Publisher(hub, broker)
        publish.publish("t", [b"x"] * 9)
        sink = FakeSink()
        subscribe(hub, sink, "t").replay(None, 9, publish.runs[0].start, hub.now())
        subscribe(hub, FakeSink(), "slow")
        publish.publish("slow", [b"z"] * 11)
        hub.flush()
        assert sink.messages == []
        clock.settle()
        assert sink.messages == [b"x"] * 9 + [b"within"]
        assert hub.statistics().behind == 0

    def test_an_idle_hub_flushes_for_those_that_are_behind(self, clock: ManualClock) -> None:
        """Without anything published, and at the pace of all flushes."""
        broker = make_broker()
        hub = make_hub(clock, broker=broker, has_history=True)
        publish = Publisher(hub, broker)
        publish.publish("t", [b"x"] * 9)
        sink = FakeSink()
        subscriber = subscribe(hub, sink, "t")
        subscriber.replay(None, 9, publish.runs[0].start, hub.now())
        assert (hub.is_idle, hub.statistics().behind) == (False, 9)
        clock.tick()
        assert (sink.messages, hub.statistics().behind, hub.statistics().flushes) == ([b"x"] * 9, 0, 1)
        clock.settle()
        assert hub.statistics().flushes == 1

    def test_losses_are_told(self, hub: Hub, publish: Publisher) -> None:
        """Per topic, policy and reason."""
        subscribe(hub, FakeSink(), "t").ended("left")
        assert hub.losses() == []
        hold(hub, publish, FakeSink()).ended("left")
        assert hub.losses() == [LossCount("t", "disconnect", "left", 11)]


class TestEnding:
    def test_close_says_goodbye_to_all(self, hub: Hub, publish: Publisher) -> None:
        """With 1012; what is pending is offered first."""
        sinks = [FakeSink(), FakeSink()]
        for sink in sinks:
            subscribe(hub, sink)
        publish("t", b"1")
        hub.close("server is restarting")
        for sink in sinks:
            assert sink.messages == [b"1"]
            assert sink.closed == [(1012, "server is restarting")]

    def test_who_comes_after_the_goodbye_gets_it_too(self, hub: Hub) -> None:
        """A client that connects in the middle of the drain must not hold it up."""
        hub.close("server is restarting")
        sink = FakeSink()
        subscriber = subscribe(hub, sink)
        assert (subscriber.is_closed, sink.closed, sink.batches) == (True, [(1012, "server is restarting")], [])
        assert hub.subscribers == ()

    def test_idle_means_nothing_waits(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """Neither for the flush nor in an outbox."""
        sink = FakeSink()
        subscriber = subscribe(hub, sink)
        assert hub.is_idle
        assert hub.subscribers == (subscriber,)
        subscriber.replay(Batch([b"0"], 1, 1), 0, None, hub.now())
        assert not hub.is_idle, "a replay is being written"
        sink.finish()
        assert hub.is_idle
        publish("t", b"1")
        assert not hub.is_idle
        clock.tick()
        assert not hub.is_idle
        sink.finish()
        assert hub.is_idle

    def test_abort_leaves_nothing(self, hub: Hub, clock: ManualClock, publish: Publisher) -> None:
        """All sinks are aborted, everything is counted, whoever waits goes on, no timer is left."""
        sink = FakeSink()
        hold(hub, publish, sink)
        released: list[str] = []
        hub.when_released("t", lambda: released.append("t"))
        publish("t", b"1")
        hub.abort()
        hub.abort()
        assert sink.aborted == 1
        assert released == ["t"]
        assert not hub.is_held("t")
        assert (hub.statistics().dropped, hub.statistics().waiting, hub.is_idle) == (12, 0, True)
        clock.settle()
        assert clock.timers == 0
        late = FakeSink()
        assert subscribe(hub, late).is_closed
        assert late.closed == [(1012, "server is stopping")]


def test_default_limits_hold_the_bulk_feed_of_the_design(clock: ManualClock) -> None:
    """With the default limits a client that needs 50 ms for each 256 KiB read gets 100 MB of log whole."""
    hub = make_hub(clock, limits=OutboxLimits(), flush_duty=0.5)
    publish = Publisher(hub)
    sink = FakeSink()
    subscriber = subscribe(hub, sink, "logs")
    read = [b"x" * 100] * 2621
    for _ in range(400):
        assert not hub.is_held("logs")
        publish.publish("logs", read)
        clock.advance(0.05)
        sink.finish()
        clock.settle()
        sink.batches.clear()
    assert not subscriber.is_closed
    assert hub.statistics().delivered == 400 * len(read)
