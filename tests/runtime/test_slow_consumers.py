"""Through the hub, which calls for all looks but the timer's."""

from __future__ import annotations

import pytest

from manual_clock import ManualClock
from portcast.config import TopicOptions
from portcast.delivery import Batch, Policy, Standing
from portcast.events import SubscriberClosed, SubscriberDemoted, SubscriberSlow
from portcast.publication import Mark
from portcast.runtime import Hub, Subscriber, slow_consumers
from portcast.runtime.slow_consumers import LossCount, SlowConsumers
from runtime_kit import Events, FakeEncoding, FakeSink, Publisher, make_hub, subscribe


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now=1000.0)


@pytest.fixture
def events() -> Events:
    return Events()


def of(clock: ManualClock, events: Events, policy: Policy = "disconnect", **changes: object) -> tuple[Hub, Publisher]:
    default = TopicOptions(patience_s=0.5, slow_consumer=policy)
    hub = make_hub(clock, events, default=default, **changes)
    return hub, Publisher(hub)


def counts(hub: Hub) -> tuple[int, int, int]:
    statistics = hub.statistics()
    return statistics.slow, statistics.demoted, statistics.removed


class TestJudging:
    @pytest.mark.parametrize("policy", ["disconnect", "latest", "latest_per_key", "drop_oldest", "drop_newest"])
    def test_stuck_is_gone_on_time_whatever_the_policy(
        self, policy: Policy, clock: ManualClock, events: Events
    ) -> None:
        """Within the hard age and one look, though something is published all the time."""
        hub, publish = of(clock, events, policy)
        sink = FakeSink()
        subscribe(hub, sink, "t")
        for _ in range(9):
            publish.publish("t", [b"x"] * 4)
            clock.advance(1.0)
        assert bool(sink.closed) is (policy == "disconnect")
        clock.advance(2.1)
        # Under the others it has taken nothing at all, so no goodbye would reach it.
        assert [code for code, _ in sink.closed] == ([3008] if policy == "disconnect" else [])
        assert bool(sink.aborted) is (policy != "disconnect")
        assert hub.statistics().removed == 1

    @pytest.mark.parametrize("policy", ["latest", "latest_per_key", "drop_oldest", "drop_newest"])
    def test_slow_but_alive_stays(self, policy: Policy, clock: ManualClock, events: Events) -> None:
        """For as long as it takes something, with bounded memory."""
        hub, publish = of(clock, events, policy)
        sink = FakeSink()
        subscriber = subscribe(hub, sink, "t")
        for step in range(300):
            publish.publish("t", [b"x" * 20] * 4)
            clock.advance(1.0)
            if step % 9 == 0:
                sink.finish()
            assert subscriber.outbox.waiting_bytes <= 20 * 80
        assert not sink.closed
        assert hub.statistics().removed == 0

    def test_what_only_the_kernel_shows_keeps_it_alive(self, clock: ManualClock, events: Events) -> None:
        """A sink that cannot count messages: its buffer shrinks between two looks."""
        hub, publish = of(clock, events, "drop_oldest")
        sink = FakeSink()
        sink.buffered = 1000
        subscribe(hub, sink, "t")
        publish.publish("t", [b"x"] * 20)
        for _ in range(60):
            clock.advance(1.0)
            sink.buffered -= 10
        assert not sink.closed
        clock.advance(12.0)
        assert (sink.closed, sink.aborted) == ([], 1)
        assert [one.reason for one in events.of(SubscriberClosed)] == ["slow consumer: took nothing for 10 s"]

    def test_progress_is_looked_for_before_judging(self, clock: ManualClock, events: Events) -> None:
        """Also when a publication calls for the judgement, and not the timer."""
        hub, publish = of(clock, events, "drop_oldest")
        sink = FakeSink()
        sink.buffered = 10
        subscribe(hub, sink, "t")
        publish.publish("t", [b"x"] * 20)
        clock.advance(9.5)
        sink.buffered = 9
        clock._now += 0.6
        publish("t", b"x")
        hub.flush()
        assert not sink.closed

    def test_age_demotes_once(self, clock: ManualClock, events: Events) -> None:
        """A trickle to a client that hardly reads counts as slow and demoted, once; it is healthy when drained."""
        hub, publish = of(clock, events, "drop_oldest")
        sink = FakeSink()
        subscriber = subscribe(hub, sink, "t")
        publish.publish("t", [b"x"] * 4)
        for _ in range(4):
            clock.advance(4.0)
            sink.wrote(0, 0)
            publish("t", b"y")
            hub.flush()
        assert subscriber.outbox.standing is Standing.DEMOTED
        assert counts(hub) == (1, 1, 0)
        assert len(events.of(SubscriberSlow)) == len(events.of(SubscriberDemoted)) == 1
        assert not hub.is_held("t")
        sink.is_open = True
        sink.finish()
        assert sink.messages == [b"x"] * 4 + [b"y"] * 4
        assert subscriber.outbox.standing.name == "HEALTHY"

    def test_who_drains_in_time_is_not_demoted(self, clock: ManualClock, events: Events) -> None:
        """Slow is no fault: it was waited for."""
        hub, publish = of(clock, events)
        sink = FakeSink()
        subscribe(hub, sink, "t")
        publish.publish("t", [b"x"] * 11)
        clock.advance(0.4)
        sink.finish()
        clock.advance(60.0)
        assert counts(hub) == (1, 0, 0)

    def test_one_removed_while_it_closes_is_removed_once(self, clock: ManualClock, events: Events) -> None:
        """A sink that tells of its progress as it closes must not be judged again in between."""

        class Telling(FakeSink):
            def close(self, code: int, reason: str) -> None:
                self.wrote(1, 1)
                super().close(code, reason)

        hub, publish = of(clock, events)
        sink = Telling()
        subscribe(hub, sink, "t")
        publish.publish("t", [b"x"] * 11)
        clock.advance(13.0)
        assert len(sink.closed) == 1
        assert counts(hub) == (1, 1, 1)
        assert hub.losses() == [LossCount("t", "disconnect", "removed", 10)]
        (closed,) = events.of(SubscriberClosed)
        assert (closed.delivered, closed.dropped) == (1, 10)


def judge(clock: ManualClock, budget_bytes: int, *subscribers: Subscriber) -> SlowConsumers:
    return SlowConsumers(
        clock,
        subscribers=set(subscribers),
        patiences=lambda: [0.5],
        look_soon=lambda: None,
        budget_bytes=budget_bytes,
        emit=Events(),
    )


def test_one_may_be_demoted_before_its_time(clock: ManualClock) -> None:
    """It counts as slow and demoted, holds nobody, and its policy begins."""
    one = subscribe(make_hub(clock), FakeSink(), "t")
    one.outbox.policy = "catch_up"
    one.outbox.begin(Batch(["x"], 1, 1), clock.time())
    one.outbox.queue(Batch(["y"], 1, 1), clock.time(), Mark("t", "e", 0, 0))
    it = judge(clock, 10, one)
    it.demote(one, clock.time())
    assert (one.outbox.standing, one.outbox.behind) == (Standing.DEMOTED, 1)
    assert (it.slow, it.demoted, it.holding) == (1, 1, set())


class TestBudget:
    def test_the_worst_goes_first(self, clock: ManualClock, events: Events) -> None:
        """And no more than it takes; each is told why."""
        hub, publish = of(clock, events, "drop_newest", budget_bytes=1000)
        sinks = {size: FakeSink() for size in (300, 500, 400)}
        for size, sink in sinks.items():
            subscribe(hub, sink, f"t/{size}")
            publish(f"t/{size}", b"x" * size)
        clock.advance(0.4)
        assert not any(sink.closed for sink in sinks.values())
        clock.advance(0.7)
        assert {size: sink.closed for size, sink in sinks.items()} == {
            300: [],
            500: [(3008, "slow consumer: too much waits in the whole process")],
            400: [],
        }
        assert hub.statistics().removed == 1

    def test_what_is_shared_counts_once(self, clock: ManualClock, events: Events) -> None:
        """A batch that waits for a hundred clients is there once, and none of them is the worst for it."""
        hub, publish = of(clock, events, "drop_newest", budget_bytes=1000)
        encoding = FakeEncoding()
        sinks = [FakeSink() for _ in range(100)]
        for sink in sinks:
            subscribe(hub, sink, "t", encoding=encoding)
        publish("t", b"x" * 900)
        clock.advance(3.0)
        assert not any(sink.closed for sink in sinks)
        alone = FakeSink()
        subscribe(hub, alone, "alone")
        publish("alone", b"x" * 200)
        clock.advance(1.5)
        assert alone.closed
        assert not any(sink.closed for sink in sinks)

    def test_those_that_share_go_together(self, clock: ManualClock, events: Events) -> None:
        """What they share is given back with the last of them only."""
        hub, publish = of(clock, events, "drop_newest", budget_bytes=1000)
        encoding = FakeEncoding()
        sinks = [FakeSink() for _ in range(10)]
        for sink in sinks:
            subscribe(hub, sink, "t", encoding=encoding)
        publish("t", b"x" * 1001)
        clock.advance(1.5)
        assert all(sink.closed for sink in sinks)

    def test_within_the_budget_nobody_goes(self, clock: ManualClock, events: Events) -> None:
        """At the limit is within it."""
        hub, publish = of(clock, events, "drop_newest", budget_bytes=1000)
        sinks = [FakeSink(), FakeSink()]
        for number, sink in enumerate(sinks):
            subscribe(hub, sink, f"t/{number}")
            publish(f"t/{number}", b"x" * 500)
        clock.advance(3.0)
        assert not any(sink.closed for sink in sinks)

    def test_who_is_behind_holds_nothing(self, clock: ManualClock) -> None:
        """A position and a number are no bytes."""
        hub = make_hub(clock)
        one = subscribe(hub, FakeSink(), "t")
        one.outbox.start_behind(10**9, Mark("t", "e", 0, 0))
        it = judge(clock, 1, one)
        it.arm(clock.time())
        clock.advance(5.0)
        assert not one.is_closed


class TestTimer:
    def test_sleeps_without_subscribers(self, clock: ManualClock) -> None:
        """And an earlier look that is due stays."""
        it = judge(clock, 10)
        it.arm(clock.time(), 5.0)
        it.arm(clock.time(), 2.0)
        it.arm(clock.time(), 7.0)
        assert clock.timers == 1
        clock.advance(2.1)
        assert clock.timers == 0

    def test_stops(self, clock: ManualClock) -> None:
        """Twice, too."""
        it = judge(clock, 10)
        it.arm(clock.time())
        it.stop()
        it.stop()
        assert clock.timers == 0


class TestLosses:
    def test_are_kept_by_topic_policy_and_reason(self, clock: ManualClock, events: Events) -> None:
        """The largest first."""
        topics = {
            "newest": TopicOptions(slow_consumer="drop_newest", patience_s=0),
            "latest": TopicOptions(slow_consumer="latest", patience_s=0),
        }
        hub, publish = of(clock, events, topics=topics)
        for topic in ("newest", "newest", "latest"):
            sink = FakeSink()
            subscriber = subscribe(hub, sink, topic)
            subscriber.outbox.patience.full_s = 0
        for number in (11, 12, 5):
            for topic in topics:
                publish.publish(topic, [b"x"] * number)
                hub.flush()
        assert hub.losses() == [
            LossCount("latest", "latest", "conflated", 16),
            LossCount("newest", "drop_newest", "newest", 10),
        ]
        assert hub.statistics().dropped == 26
        for one in hub.subscribers:
            one.ended("left")
        assert sum(loss.messages for loss in hub.losses()) == hub.statistics().dropped == 26 + 2 * 23 + 12

    def test_are_bounded(self, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
        """Devices can make up topics; past the limit they count together, and none is lost."""
        monkeypatch.setattr(slow_consumers, "MOST_LOSS_KEYS", 3)
        one = subscribe(make_hub(clock), FakeSink(), "t")
        it = judge(clock, 10)
        for number in range(100):
            it.note_loss(f"t/{number}", one, "newest", 2)
            it.note_loss("t/1", one, "newest", 1)
        assert it.losses() == [
            LossCount("…", "disconnect", "newest", 194),
            LossCount("t/1", "disconnect", "newest", 102),
            LossCount("t/0", "disconnect", "newest", 2),
            LossCount("t/2", "disconnect", "newest", 2),
        ]

    def test_who_left_with_nothing_lost_nothing(self, clock: ManualClock, events: Events) -> None:
        """No entry for none."""
        hub, _ = of(clock, events)
        subscribe(hub, FakeSink(), "t").ended("left")
        assert hub.losses() == []
