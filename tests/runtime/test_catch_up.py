"""Through the hub, which runs the rounds, with a broker that has little history."""

from __future__ import annotations

import pytest

from manual_clock import ManualClock
from portcast.config import TopicOptions
from portcast.delivery import Batch, Standing
from portcast.events import SubscriberClosed
from portcast.publication import Publication, Run, mark_after, runs_of
from portcast.runtime import Hub, Subscriber, within_bytes
from portcast.runtime.catch_up import ROUND_BYTES, ROUND_PUBLICATIONS, ROUNDS_S
from portcast.runtime.slow_consumers import LossCount
from runtime_kit import Events, FakeEncoding, FakeSink, Publisher, make_broker, make_hub, subscribe


class World:
    """A hub with history whose subscribers have no patience."""

    def __init__(self, **limits: int) -> None:
        self.clock = ManualClock()
        self.events = Events()
        broker = make_broker(**({"publications": 1000} | limits))
        options = TopicOptions(patience_s=0)
        self.hub: Hub = make_hub(self.clock, self.events, default=options, broker=broker, has_history=True)
        self.publish = Publisher(self.hub, broker)
        self.number = 0

    def send(self, count: int = 1, topic: str = "t", size: int = 1) -> list[bytes]:
        """Publish so many and flush; return what was published."""
        sent = [b"%d" % (self.number + i) + b"." * size for i in range(count)]
        self.number += count
        self.publish.publish(topic, sent)
        self.clock.settle()
        return sent

    def behind(self, sink: FakeSink, *filters: str, encoding: FakeEncoding | None = None) -> Subscriber:
        """Subscribe one whose sink is busy with eleven publications, so that whatever comes falls behind."""
        subscriber = subscribe(self.hub, sink, *(filters or ["t"]), encoding=encoding)
        self.send(11)
        assert subscriber.outbox.standing is Standing.DEMOTED
        sink.batches.clear()
        return subscriber

    def finish(self, sink: FakeSink) -> None:
        sink.finish()
        self.clock.settle()


def sequence(*chunks: list[bytes]) -> list[bytes]:
    return [one for chunk in chunks for one in chunk]


class TestRounds:
    @pytest.mark.parametrize("filters", [["t"], ["t", "u"], ["+"], ["#"]])
    def test_what_fell_behind_comes_from_history(self, filters: list[str]) -> None:
        """In order, whichever the filters; then it is like any other, and live publications come live."""
        it = World()
        sink = FakeSink()
        subscriber = it.behind(sink, *filters)
        sent = [it.send(3, topic) for topic in ("t", "t", "u", "t")]
        if filters == ["t"]:
            del sent[2]
        it.finish(sink)
        assert sink.messages == sequence(*sent)
        it.finish(sink)
        assert (subscriber.outbox.standing, subscriber.outbox.behind) == (Standing.HEALTHY, 0)
        live = it.send(2)
        assert sink.messages == [*sequence(*sent), *live]
        assert it.hub.statistics().dropped == 0

    def test_memory_does_not_grow_while_it_is_behind(self) -> None:
        """A place and a number; nothing is even encoded."""
        it = World(publications=10)
        encoding = FakeEncoding()
        subscriber = it.behind(FakeSink(), encoding=encoding)
        calls = encoding.calls
        for _ in range(300):
            it.send(100)
        assert (encoding.calls, len(list(subscriber.outbox.batches()))) == (calls, 1)
        assert (subscriber.outbox.behind, it.hub.statistics().behind) == (30_000, 30_000)

    def test_a_round_has_so_many_publications(self) -> None:
        """The next is read when it has been taken."""
        it = World()
        sink = FakeSink()
        subscriber = it.behind(sink)
        sent = it.send(2 * ROUND_PUBLICATIONS + 1)
        for number in (1, 2):
            it.finish(sink)
            assert [batch.messages for batch in sink.batches] == [ROUND_PUBLICATIONS] * number
            assert subscriber.outbox.standing is Standing.DEMOTED
        it.finish(sink)
        assert sink.messages == sent
        assert subscriber.outbox.standing is Standing.HEALTHY, "the last round is small, and all it has to take"

    def test_a_round_has_so_many_bytes(self) -> None:
        """Large publications come in fewer."""
        it = World(topic_bytes=10**8)
        sink = FakeSink()
        it.behind(sink)
        sent = it.send(10, size=100_000)
        for _ in range(5):
            it.finish(sink)
        assert [batch.messages for batch in sink.batches] == [2] * 5
        assert sink.messages == sent

    def test_one_that_takes_all_at_once_gets_a_round_a_flush(self) -> None:
        """At the pace of flushes, so that the others get theirs in between."""
        it = World()
        sink = FakeSink()
        subscriber = it.behind(sink)
        sent = it.send(900)
        sink.is_open = True
        sink.finish()
        for number in (1, 2, 3):
            it.clock.tick()
            assert len(sink.batches) == number
        assert sink.messages == sent
        assert subscriber.outbox.standing is Standing.HEALTHY
        flushes = it.hub.statistics().flushes
        it.clock.settle()
        assert it.hub.statistics().flushes == flushes, "and no more flushes than that"

    def test_what_is_published_meanwhile_follows(self) -> None:
        """Before the flush, in it and between rounds: no window in which something is lost or doubled."""
        it = World()
        sink = FakeSink()
        it.behind(sink)
        sent = [it.send(ROUND_PUBLICATIONS + 50)]
        for number in range(5):
            it.publish("t", b"before %d" % number)
            sink.finish()
            it.publish("t", b"after %d" % number)
            it.clock.settle()
            sent += [[b"before %d" % number, b"after %d" % number]]
        sink.is_open = True
        it.finish(sink)
        assert sink.messages == sequence(*sent)

    def test_after_the_last_round_live_ones_are_encoded_once_for_all(self) -> None:
        """One whose sink always takes a moment must not read history for the rest of its life."""
        it = World()
        encoding = FakeEncoding()
        sink, others = FakeSink(), [FakeSink(is_open=True) for _ in range(3)]
        subscriber = it.behind(sink, encoding=encoding)
        for other in others:
            subscribe(it.hub, other, "t", encoding=encoding)
        it.send(3)
        it.finish(sink)
        calls = encoding.calls
        it.send(2)
        assert (subscriber.outbox.standing, encoding.calls) == (Standing.HEALTHY, calls + 1)
        it.finish(sink)
        assert sink.batches[-1] is others[0].batches[-1]


class TestOvertaken:
    @pytest.mark.parametrize("filters", [["t"], ["#"], ["t", "u"]])
    def test_one_gap_with_the_number_then_the_rest(self, filters: list[str]) -> None:
        """Exact, before what history still has, in the same write."""
        it = World(publications=10)
        sink = FakeSink()
        it.behind(sink, *filters)
        sent = it.send(5) + it.send(20)
        it.finish(sink)
        assert sink.messages == [("gap", 15), *sent[15:]]
        assert len(sink.batches) == 1
        it.finish(sink)
        statistics = it.hub.statistics()
        assert (statistics.dropped, statistics.delivered, statistics.behind) == (15, 21, 0)
        assert it.hub.losses() == [LossCount(filters[0], "catch_up", "overtaken", 15)]

    def test_the_number_is_exact_over_several_topics(self) -> None:
        """Though history alone could give a lower bound only: the outbox has counted."""
        it = World(publications=2)
        sink = FakeSink()
        it.behind(sink, "#")
        for topic in "abcab":
            it.send(3, topic)
        it.finish(sink)
        assert sink.messages == [("gap", 9), *(b"%d." % n for n in (18, 19, 21, 22, 24, 25))]

    def test_without_any_history_all_is_a_gap(self) -> None:
        """A policy of `catch_up` for a topic that keeps nothing: never silence."""
        it = World(publications=0)
        sink = FakeSink()
        subscriber = it.behind(sink)
        it.send(7)
        it.finish(sink)
        assert sink.messages == [("gap", 7)]
        it.finish(sink)
        assert subscriber.outbox.standing is Standing.HEALTHY

    def test_a_topic_that_was_forgotten_meanwhile(self) -> None:
        """It comes back with another epoch: what it has is all that is not lost."""
        it = World(max_topics=2)
        sink = FakeSink()
        it.behind(sink, "t")
        it.send(5)
        it.send(1, "u")
        it.send(1, "v")
        sent = it.send(4)
        assert it.publish.runs[-1].epoch != it.publish.runs[0].epoch
        it.finish(sink)
        assert sink.messages == [("gap", 5), *sent]

    def test_a_client_that_cannot_be_told_is_closed_with_the_number(self) -> None:
        """A plain WebSocket: never silence. What history has is not written either, and all is accounted for."""
        it = World(publications=10)
        sink = FakeSink()
        it.behind(sink, encoding=FakeEncoding(tells_gaps=False))
        it.send(25)
        it.finish(sink)
        assert sink.closed == [(3008, "slow consumer: missed 15 publications")]
        assert sink.batches == []
        (closed,) = it.events.of(SubscriberClosed)
        assert (closed.delivered, closed.dropped) == (11, 25)
        assert it.hub.losses() == [LossCount("t", "catch_up", "removed", 25)]
        assert (it.hub.statistics().behind, it.hub.statistics().removed) == (0, 1)

    def test_a_client_that_missed_nothing_need_not_be_told(self) -> None:
        """A plain WebSocket catches up like any other."""
        it = World()
        sink = FakeSink()
        it.behind(sink, encoding=FakeEncoding(tells_gaps=False))
        sent = it.send(25)
        it.finish(sink)
        assert sink.messages == sent

    def test_overtaken_again_and_again(self) -> None:
        """More is published than history holds, between any two rounds: each gap is told, nothing loops for ever."""
        it = World(publications=10)
        sink, fast = FakeSink(), FakeSink(is_open=True)
        it.behind(sink)
        subscribe(it.hub, fast, "t")
        sent = 0
        for _ in range(50):
            sent += len(it.send(100))
            it.finish(sink)
            assert len(fast.messages) == sent, "the others do not wait for it"
        it.finish(sink)
        gaps = [one for one in sink.messages if isinstance(one, tuple)]
        assert len(gaps) == 50
        assert sum(gap[1] for gap in gaps) + len(sink.messages) - len(gaps) == sent
        assert it.hub.statistics().flushes < 500


class TestManyBehind:
    def test_rounds_end_when_time_is_up(self) -> None:
        """A thousand clients that come back at once: each flush serves some, in turn, and live delivery goes on."""
        it = World()

        class Slow(FakeEncoding):
            def encode(self, run: Run) -> Batch:
                it.clock._now += ROUNDS_S / 2
                return super().encode(run)

        sinks = [FakeSink() for _ in range(10)]
        for sink in sinks:
            subscribe(it.hub, sink, "t", encoding=Slow())
        it.send(11)
        for sink in sinks:
            sink.batches.clear()
        it.send(400)
        for sink in sinks:
            sink.is_open = True
            sink.finish()
        served = []
        for _ in range(10):
            it.clock.tick()
            served.append(sum(len(sink.batches) for sink in sinks))
        assert served == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
        assert all(len(sink.batches) == 2 for sink in sinks), "in turn: nobody gets the second before all had the first"

    def test_who_leaves_gets_no_round(self) -> None:
        """Between its last progress and the flush."""
        it = World()
        sink = FakeSink()
        subscriber = it.behind(sink)
        it.send(5)
        sink.finish()
        subscriber.ended("left")
        it.clock.settle()
        assert sink.batches == []
        assert it.hub.is_idle

    def test_who_is_busy_again_gets_no_round(self) -> None:
        """Its sink will call."""
        it = World()
        sink = FakeSink()
        subscriber = it.behind(sink)
        it.send(5)
        it.hub.catch_up_soon(subscriber)
        it.clock.settle()
        assert sink.batches == []
        assert subscriber.outbox.behind == 5


class TestResume:
    @pytest.mark.parametrize("is_open", [True, False])
    def test_more_than_one_replay_follows_in_rounds(self, is_open: bool) -> None:
        """Then live, with pending runs and what is published in between: once each, in order."""
        it = World()
        sent = it.send(800)
        it.publish("t", b"pending")
        sink = FakeSink(is_open=is_open)
        subscriber = subscribe(it.hub, sink, "t")
        recovery = it.publish.broker.recover(["t"], "e1:0", 300, it.clock.time())
        first = subscriber.encoding.encode(runs_of(recovery.publications)[0])
        subscriber.replay(first, recovery.more, mark_after(recovery.publications[-1]), it.clock.time())
        it.publish("t", b"live")
        for _ in range(10):
            if sink.is_busy:
                sink.finish()
            it.clock.settle()
        assert sink.messages == [*sent, b"pending", b"live"]
        assert subscriber.outbox.standing is Standing.HEALTHY
        assert it.hub.statistics().delivered == 502, "501 that followed the replay, and one live"


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([ROUND_BYTES], 1, id="exactly"),
        pytest.param([ROUND_BYTES + 1], 1, id="one too large"),
        pytest.param([ROUND_BYTES, 1], 1, id="no room for the second"),
        pytest.param([0] * 1000, 1000, id="empty ones"),
        pytest.param([ROUND_BYTES // 2] * 3, 2, id="two halves"),
    ],
)
def test_what_fits_a_round(sizes: list[int], fits: int) -> None:
    """So many bytes, and at least one publication: a large one must not block for ever."""
    publications = [Publication("t", "e", i, i, 0.0, bytes(size)) for i, size in enumerate(sizes)]
    assert within_bytes(publications) == publications[:fits]


class Roamer:
    """Follows and unfollows; gives up what it is told to."""

    def __init__(self, world: World, sink: FakeSink, *filters: str) -> None:
        self.world = world
        self.sink = sink
        self.encoding = FakeEncoding(tells_gaps=False)
        self.subscriber = subscribe(world.hub, sink, *filters, encoding=self.encoding)
        self.subscriber.follower = self
        self.lost: list[str] = []
        self.rooms = 0
        self.publishes: list[bytes] = []

    def has_room(self) -> None:
        assert not self.world.hub._is_flushing
        self.rooms += 1

    def overtaken(self, topic_filter: str) -> None:
        self.lost.append(topic_filter)
        self.unfollow(topic_filter)

    def ended(self, reason: str) -> None:
        self.lost.append(reason)

    def unfollow(self, topic_filter: str) -> None:
        self.world.hub.unfollow(self.subscriber, topic_filter, self.encoding)


class TestFollowers:
    def behind(self, *filters: str, **limits: int) -> tuple[World, Roamer]:
        """One whose sink is busy, so that what comes falls behind."""
        world = World(**limits)
        one = Roamer(world, FakeSink(), *filters)
        world.send(11, filters[0])
        one.sink.batches.clear()
        assert one.subscriber.outbox.standing is Standing.DEMOTED
        return world, one

    def test_all_comes_where_history_has_it(self) -> None:
        """Then it is told that nothing is held back, after the flush, and not before the sink has taken it."""
        it, one = self.behind("a", "b")
        sent = [*it.send(2, "a"), *it.send(2, "b")]
        it.finish(one.sink)
        assert (one.sink.messages, one.rooms) == (sent, 0)
        it.finish(one.sink)
        assert (one.rooms, one.lost) == (1, [])

    def test_one_that_takes_all_at_once_is_told_after_the_flush(self) -> None:
        """It may want to subscribe then, which may want a flush."""
        it, one = self.behind("a")
        it.send(2, "a")
        one.sink.is_open = True
        it.finish(one.sink)
        assert one.rooms == 1

    def test_only_what_lost_something_is_given_up(self) -> None:
        """The rest goes on whole."""
        it, one = self.behind("a", "b", "c", publications=20)
        it.send(30, "a")
        kept = it.send(5, "b")
        it.send(30, "c")
        it.finish(one.sink)
        assert one.lost == ["a", "c"]
        it.finish(one.sink)
        assert one.sink.messages == kept
        assert it.hub.statistics().dropped == 60
        assert {loss.reason for loss in it.hub.losses()} == {"overtaken"}
        it.finish(one.sink)
        assert one.subscriber.outbox.standing is Standing.HEALTHY
        live = it.send(1, "b")
        assert one.sink.messages == [*kept, *live]

    def test_nothing_is_left_of_one_that_lost_all(self) -> None:
        """It is like one that came just now."""
        it, one = self.behind("a", publications=20)
        it.send(30, "a")
        it.finish(one.sink)
        assert (one.lost, one.subscriber.filters, one.sink.messages) == (["a"], (), [])
        assert (one.subscriber.outbox.standing, one.subscriber.outbox.behind) == (Standing.HEALTHY, 0)

    def test_where_one_topic_is_left_its_offset_is_not_anothers(self) -> None:
        """It fell behind on one topic and is to be resumed on another: by the order of both."""
        it, one = self.behind("a", "b")
        before = it.send(20, "b")
        it.finish(one.sink)
        it.finish(one.sink)
        assert one.sink.messages == before
        it.send(11, "a")
        one.sink.batches.clear()
        it.send(7, "a")
        sent = it.send(3, "b")
        one.unfollow("a")
        it.finish(one.sink)
        assert (one.sink.messages, one.lost) == (sent, [])
        assert it.hub.losses() == [LossCount("a", "catch_up", "left", 7)]

    def test_what_waits_for_the_flush_is_not_behind_yet(self) -> None:
        """It is in history already, and would be counted twice."""
        it, one = self.behind("a", "b")
        it.send(7, "a")
        sent = it.send(2, "b")
        it.publish("b", b"pending")
        one.unfollow("a")
        assert one.subscriber.outbox.behind == 2
        it.clock.settle()
        it.finish(one.sink)
        assert (one.sink.messages, one.lost) == ([*sent, b"pending"], [])

    def test_one_that_unfollows_all_is_not_behind(self) -> None:
        """And gets its next subscription live, although no round was given to it."""
        it, one = self.behind("a")
        it.send(7, "a")
        one.unfollow("a")
        assert (one.subscriber.outbox.standing, one.subscriber.outbox.behind) == (Standing.DEMOTED, 0)
        it.finish(one.sink)
        assert one.subscriber.outbox.standing is Standing.HEALTHY
        it.hub.follow(one.subscriber, "b", one.encoding)
        assert one.sink.messages == []
        assert it.send(1, "b") == one.sink.messages

    def test_a_queue_falls_behind_when_a_filter_goes(self) -> None:
        """Otherwise what it does not want any more would come after it said so."""
        it = World()
        one = Roamer(it, FakeSink(), "a", "b")
        first = it.send(1, "a")
        it.send(2, "a")
        sent = it.send(2, "b")
        assert one.subscriber.outbox.standing is Standing.HEALTHY
        one.unfollow("a")
        assert (one.subscriber.outbox.standing, one.subscriber.outbox.behind) == (Standing.DEMOTED, 2)
        it.finish(one.sink)
        assert one.sink.messages == [*first, *sent]
        it.finish(one.sink)
        assert one.subscriber.outbox.standing is Standing.HEALTHY

    def test_an_end_within_a_round_may_end_another(self) -> None:
        """A receiver of events ends one that waits for its round."""
        it, one = self.behind("a", publications=20)
        other = Roamer(it, FakeSink(), "b")
        it.send(11, "b")
        it.send(30, "a")
        it.send(30, "b")
        one.overtaken = lambda topic_filter: other.subscriber.ended("a receiver's wish")  # type: ignore[method-assign]
        one.sink.finish()
        other.sink.finish()
        it.clock.tick()
        assert other.lost == ["a receiver's wish"]
