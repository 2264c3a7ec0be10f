"""Every publication is accounted for, for every subscriber, at every moment: 0 unexplained.

The model knows what each subscriber is owed: what was published on its topics since it came, and what history still
had to follow when it resumed. The hub knows what became of it. The sink knows what the client was really given.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from manual_clock import ManualClock
from portcast.brokers.base import resume_at, resume_id
from portcast.config import TopicOptions
from portcast.delivery import Batch, OutboxLimits, Standing, joined
from portcast.events import Event, SubscriberClosed
from portcast.publication import Publication, Run, mark_after, runs_of
from portcast.runtime import Subscriber, catch_up
from portcast.topics import matches
from runtime_kit import FakeSink, Publisher, make_broker, make_hub, subscribe

TOPICS = {
    "catch/a": TopicOptions(slow_consumer="catch_up"),
    "catch/b": TopicOptions(slow_consumer="auto"),
    "latest": TopicOptions(slow_consumer="latest", patience_s=0.1),
    "keyed": TopicOptions(slow_consumer="latest_per_key", key="k", patience_s=0),
    "oldest": TopicOptions(slow_consumer="drop_oldest", patience_s=0.2),
    "newest": TopicOptions(slow_consumer="drop_newest", patience_s=0),
    "strict": TopicOptions(slow_consumer="disconnect", patience_s=2),
}
FILTERS = [
    ["#"],
    ["catch/a", "oldest", "newest", "keyed"],
    ["catch/+"],
    ["catch/#", "strict"],
    ["latest", "keyed"],
    *([name] for name in TOPICS),
]
SOME = st.integers(0, 11)
LIMITS = OutboxLimits(
    soft_bytes=300, soft_messages=10, soft_for_s=2.0, hard_bytes=600, hard_messages=20, hard_age_s=10.0
)


class Publications:
    """An encoding whose items are the publications themselves, and ``("gap", missed)``."""

    def __init__(self, *, tells_gaps: bool) -> None:
        self._tells_gaps = tells_gaps

    def encode(self, run: Run) -> Batch:
        return Batch(run.publications(), len(run), sum(map(len, run.payloads)))

    def join(self, batches: Sequence[Batch]) -> Batch:
        assert len(batches) > 1
        return joined(batches)

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        assert missed > 0
        return Batch([("gap", missed)], 0, 0) if self._tells_gaps else None


class Client:
    """A subscriber with what it is owed."""

    def __init__(self, subscriber: Subscriber, sink: FakeSink, owed: list[Publication], *, is_new: bool) -> None:
        self.subscriber = subscriber
        self.sink = sink
        self.owed = owed
        self.is_new = is_new
        # Of the batch being written: items that the sink has told of.
        self.told = 0
        self.closed: SubscriberClosed | None = None
        # What was checked so far: batches, publications, the last sequence, and how many more may be skipped.
        self._checked = self._next = self._last = self._credit = 0
        self.given = 0

    @property
    def was_removed(self) -> bool:
        """True if it went as a slow consumer, with a goodbye or without."""
        return self.closed is not None and self.closed.reason.startswith("slow consumer")

    @property
    def is_catching_up_only(self) -> bool:
        """True if all its topics have the policy `catch_up`."""
        return all(one.startswith("catch/") for one in self.subscriber.filters)

    def check_what_it_was_given(self) -> None:
        """In order, never doubled, nothing that is not owed, and no hole without a gap before it."""
        for batch in self.sink.batches[self._checked :]:
            for item in batch.items:
                if item[0] == "gap":  # type: ignore[index]  # a tuple of one kind or the other
                    self._credit += item[1]  # type: ignore[index]
                    continue
                assert isinstance(item, Publication)
                assert item.sequence > self._last, "out of order or doubled"
                self._last = item.sequence
                if batch.messages:
                    self._check_owed(item)
        self._checked = len(self.sink.batches)

    def _check_owed(self, item: Publication) -> None:
        index = bisect_left(self.owed, item.sequence, lo=self._next, key=lambda one: one.sequence)
        assert self.owed[index] == item, "not owed, or not as published"
        self.given += 1
        if self.is_catching_up_only:
            self._credit -= index - self._next
            assert self._credit >= 0, "a hole that no gap has declared"
        self._next = index + 1

    def check_that_all_is_given(self) -> None:
        """To be called when nothing waits: what counts as delivered was given, what counts as dropped was not."""
        outbox = self.subscriber.outbox
        self.check_what_it_was_given()
        assert outbox.standing is Standing.HEALTHY
        assert outbox.delivered == self.given
        assert outbox.dropped == len(self.owed) - self.given
        if self.is_catching_up_only:
            assert len(self.owed) - self._next == self._credit, "gaps are declared exactly"
        elif self.owed and self.is_new and self.subscriber.filters in (("latest",), ("keyed",)):
            is_keyed = self.subscriber.filters == ("keyed",)
            newest = {one.data.split(b",")[0] if is_keyed else b"": one for one in self.owed}
            items = {item for batch in self.sink.batches for item in batch.items}
            assert items >= set(newest.values()), "the newest always arrives"


class Roamer(Client):
    """A client that follows and unfollows while it lives, as SDK clients do; it implements `Follower`.

    It is owed what was published on a topic while it followed it. What it has not got when it unfollows counts as
    dropped, and is dropped.
    """

    def __init__(self, subscriber: Subscriber, sink: FakeSink, world: World) -> None:
        super().__init__(subscriber, sink, [], is_new=False)
        self.world = world
        subscriber.follower = self
        # Where each of its filters begins, and what was given up of what it was owed.
        self.since: dict[str, int] = {}
        self.ever: set[str] = set()
        self.received: set[int] = set()
        self.rooms = self.overtakings = 0

    @property
    def is_catching_up_only(self) -> bool:
        return False

    def follow(self, topic_filter: str) -> None:
        hub = self.world.hub
        if hub.has_pending(self.subscriber):
            hub.flush()
        if self.subscriber.is_closed or not self.subscriber.outbox.is_queue_empty:
            return
        self.since[topic_filter] = len(self.world.all)
        self.ever.add(topic_filter)
        hub.follow(self.subscriber, topic_filter, self.subscriber.encoding)

    def unfollow(self, topic_filter: str) -> None:
        del self.since[topic_filter]
        self.world.hub.unfollow(self.subscriber, topic_filter, self.subscriber.encoding)

    def _check_owed(self, item: Publication) -> None:
        super()._check_owed(item)
        self.received.add(item.sequence)

    def check_that_all_is_given(self) -> None:
        """Whatever it unfollowed meanwhile: of a filter that it has, it got everything."""
        super().check_that_all_is_given()
        if all(one.startswith("catch/") for one in self.ever):
            for topic_filter, begin in self.since.items():
                for one in self.world.all[begin:]:
                    assert one.sequence in self.received or not matches(topic_filter, one.topic), "a silent hole"

    # The hub tells

    def has_room(self) -> None:
        assert not self.world.hub._is_flushing, "it may want a flush"
        self.rooms += 1

    def overtaken(self, topic_filter: str) -> None:
        self.overtakings += 1
        self.unfollow(topic_filter)

    def ended(self, reason: str) -> None:
        assert self.subscriber.is_closed


class World:
    """A hub with history and its clients, and what can happen to them. All numbers choose, modulo what there is."""

    def __init__(self, kept: int, max_topics: int, names: list[str]) -> None:
        # Few names at a time, or a client would hardly ever get two runs of one.
        self.names = names
        self.filters = [one for one in FILTERS if any(matches(f, name) for f in one for name in names)]
        self.clock = ManualClock()
        self.clients: list[Client] = []
        self.gone: list[Client] = []
        broker = make_broker(publications=kept, max_topics=max_topics, age_s=6.0)
        self.hub = make_hub(
            self.clock, emit=self._note, limits=LIMITS, topics=TOPICS, broker=broker, has_history=kept > 0
        )
        self.publisher = Publisher(self.hub, broker)
        broker.bind(self._note_run)
        self.all: list[Publication] = []
        self.sent = 0

    def _note(self, event: Event) -> None:
        if isinstance(event, SubscriberClosed):
            (one,) = (one for one in self.clients if one.subscriber.id == event.subscriber_id)
            one.closed = event
            self.clients.remove(one)
            self.gone.append(one)

    def _note_run(self, run: Run) -> None:
        # Before the hub has it: a flush within may remove some, and what they did not get is theirs all the same.
        publications = run.publications()
        self.all += publications
        for one in self.clients:
            if any(matches(f, run.topic) for f in one.subscriber.filters):
                one.owed += publications
        self.hub.deliver(run)

    # What happens

    def publish(self, which: int, count: int, keys: int) -> None:
        self.sent += 1
        payloads = [b'{"k":%d,"n":%d}' % (number % keys, self.sent) for number in range(count)]
        self.publisher.publish(self.names[which % len(self.names)], payloads)

    def subscribe(self, which: int, is_open: bool, tells_gaps: bool) -> None:
        filters, sink = self.filters[which % len(self.filters)], FakeSink(is_open=is_open)
        subscriber = subscribe(self.hub, sink, *filters, encoding=Publications(tells_gaps=tells_gaps))
        self.clients.append(Client(subscriber, sink, [], is_new=True))

    def resume(self, which: int, is_open: bool, where: int) -> None:
        """Subscribe with history, as `portcast.web.subscribe` does."""
        filters = self.filters[which % len(self.filters)]
        broker, now = self.publisher.broker, self.clock.time()
        matching = [one for one in self.all if any(matches(f, one.topic) for f in filters)]
        if not matching:
            return
        since = resume_id(filters, matching[where % len(matching)], broker.node_epoch())
        recovery = broker.recover(filters, since, 4, now)
        encoding = Publications(tells_gaps=True)
        batches = [encoding.encode(run) for run in runs_of(recovery.publications)]
        position = mark_after(recovery.publications[-1]) if recovery.publications else None
        owed: list[Publication] = []
        if position is not None:
            since = resume_at(filters, position, broker.node_epoch())
            owed = broker.recover(filters, since, 10**6, now).publications
        assert len(owed) == recovery.more
        sink = FakeSink(is_open=is_open)
        subscriber = subscribe(self.hub, sink, *filters, encoding=encoding)
        self.clients.append(Client(subscriber, sink, owed, is_new=False))
        subscriber.replay(joined(batches) if batches else None, recovery.more, position, now)

    def roam(self, is_open: bool) -> None:
        """Subscribe to nothing at first."""
        sink = FakeSink(is_open=is_open)
        encoding = Publications(tells_gaps=False)
        subscriber = self.hub.subscribe((), encoding, sink, transport="test", bind=sink.bind)
        self.clients.append(Roamer(subscriber, sink, self))

    def change(self, which: int, name: int, is_catching_up: bool) -> None:
        """Let a roamer unfollow a filter, or follow it if it does not yet."""
        roamers = [one for one in self.clients if isinstance(one, Roamer)]
        if not roamers:
            return
        one = roamers[which % len(roamers)]
        filters = ["catch/a", "catch/b", "catch/+"] if is_catching_up else ["#", *TOPICS]
        topic_filter = filters[name % len(filters)]
        if topic_filter in one.since:
            one.unfollow(topic_filter)
        else:
            one.follow(topic_filter)

    def _some(self, which: int) -> Client | None:
        return self.clients[which % len(self.clients)] if self.clients else None

    def leave(self, which: int) -> None:
        if one := self._some(which):
            one.subscriber.ended("left")

    def finish(self, which: int, is_open: bool) -> None:
        """The sink has written its batch, and is a fast one or a slow one from now on."""
        if one := self._some(which):
            one.sink.is_open = is_open
            one.told = 0
            if one.sink.is_busy:
                one.sink.finish()

    def write_partly(self, which: int, number: int) -> None:
        one = self._some(which)
        if one is None or not one.sink.is_busy:
            return
        batch = one.sink.batches[-1]
        items = [item for item in batch.items[one.told : one.told + number] if isinstance(item, Publication)]
        one.told += number
        if not batch.messages:
            items = []
        one.sink.wrote(len(items), sum(len(item.data) for item in items))

    def take_unseen(self, which: int, buffered: int) -> None:
        """The kernel has taken something, and only a look shows it."""
        if one := self._some(which):
            one.sink.buffered = buffered

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def drain(self) -> None:
        """Once all clients read, everybody has or was told of everything, and is healthy again."""
        for one in self.clients:
            one.sink.is_open = True
        for _ in range(1000):
            for one in list(self.clients):
                one.told = 0
                if one.sink.is_busy:
                    one.sink.finish()
            self.clock.settle()
            if self.hub.is_idle:
                break
        assert self.hub.is_idle
        for one in self.clients:
            one.check_that_all_is_given()

    # What holds always

    def check(self) -> None:
        for one in self.clients:
            self._check_account(one)
            one.check_what_it_was_given()
        for one in self.gone:
            assert one.closed is not None
            assert one.closed.delivered + one.closed.dropped == len(one.owed)
            one.check_what_it_was_given()
        statistics, losses = self.hub.statistics(), self.hub.losses()
        owed = sum(len(one.owed) for one in [*self.clients, *self.gone])
        assert statistics.delivered + statistics.dropped + statistics.waiting + statistics.behind == owed
        assert statistics.dropped == sum(loss.messages for loss in losses)
        assert all(loss.messages for loss in losses)
        assert statistics.subscribers == len(self.clients)
        assert statistics.removed == sum(one.was_removed for one in self.gone)
        assert statistics.demoted <= statistics.slow

    def _check_account(self, one: Client) -> None:
        outbox = one.subscriber.outbox
        pending = sum(len(run) for run, topic in self.hub._pending if one.subscriber in topic.audience)
        assert len(one.owed) == outbox.delivered + outbox.dropped + outbox.waiting_messages + outbox.behind + pending
        assert min(outbox.delivered, outbox.dropped, outbox.waiting_messages, outbox.waiting_bytes, outbox.behind) >= 0
        assert (outbox.behind > 0) is (outbox.behind_from is not None)
        if outbox.standing is Standing.DEMOTED and outbox.policy == "catch_up":
            assert len(list(outbox.batches())) <= 1, "who is behind holds a position and no copies"


class Ledger(RuleBasedStateMachine):
    """Any sequence of publishing, coming, going, stalling and draining."""

    @initialize(
        kept=st.sampled_from([0, 3, 12, 50]),
        max_topics=st.sampled_from([2, 100]),
        names=st.lists(st.sampled_from(list(TOPICS)), min_size=1, max_size=3, unique=True),
    )
    def begin(self, kept: int, max_topics: int, names: list[str]) -> None:
        self.world = World(kept, max_topics, names)

    @rule(which=SOME, count=st.integers(1, 9), keys=st.integers(1, 3))
    def publish(self, which: int, count: int, keys: int) -> None:
        self.world.publish(which, count, keys)

    @rule(which=SOME, is_open=st.booleans(), tells_gaps=st.booleans())
    def subscribe(self, which: int, is_open: bool, tells_gaps: bool) -> None:
        self.world.subscribe(which, is_open, tells_gaps)

    @rule(is_open=st.booleans())
    def roam(self, is_open: bool) -> None:
        self.world.roam(is_open)

    @rule(which=SOME, name=SOME, is_catching_up=st.booleans())
    def change(self, which: int, name: int, is_catching_up: bool) -> None:
        self.world.change(which, name, is_catching_up)

    @rule(which=SOME, is_open=st.booleans(), where=st.integers(0, 1000))
    def resume(self, which: int, is_open: bool, where: int) -> None:
        self.world.resume(which, is_open, where)

    @rule(which=SOME)
    def leave(self, which: int) -> None:
        self.world.leave(which)

    @rule(which=SOME, is_open=st.booleans())
    def finish(self, which: int, is_open: bool) -> None:
        self.world.finish(which, is_open)

    @rule(which=SOME, number=st.integers(1, 5))
    def write_partly(self, which: int, number: int) -> None:
        self.world.write_partly(which, number)

    @rule(which=SOME, buffered=st.integers(0, 3))
    def take_unseen(self, which: int, buffered: int) -> None:
        self.world.take_unseen(which, buffered)

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.3, 1.0, 2.5, 7.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule()
    def flush(self) -> None:
        self.world.hub.flush()

    @rule()
    def drain(self) -> None:
        self.world.drain()

    @invariant()
    def everything_is_accounted_for(self) -> None:
        if hasattr(self, "world"):
            self.world.check()


@pytest.fixture(autouse=True, scope="module")
def small_rounds() -> Iterator[None]:
    """Several rounds even for a small history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catch_up, "ROUND_PUBLICATIONS", 5)
        yield


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


@pytest.mark.parametrize("seed", range(60))
def test_long_walks(seed: int) -> None:
    """The same over hundreds of steps, with slow clients in the majority: far into every policy."""
    chance = random.Random(seed)
    names = chance.sample(list(TOPICS), chance.randint(1, 3))
    world = World(chance.choice([0, 3, 12, 12, 50, 50]), chance.choice([2, 100]), names)
    steps: dict[str, tuple[int, Callable[[int], None]]] = {
        "publish": (30, lambda n: world.publish(n, chance.randint(1, 9), chance.randint(1, 3))),
        "flush": (15, lambda n: world.hub.flush()),
        "wait": (15, lambda n: world.wait(chance.choice([0.0, 0.02, 0.1, 0.3, 0.6, 1.5]))),
        "partly": (12, lambda n: world.write_partly(n, chance.randint(1, 6))),
        "finish": (12, lambda n: world.finish(n, chance.random() < 0.2)),
        "unseen": (6, lambda n: world.take_unseen(n, chance.randint(0, 3))),
        "subscribe": (4, lambda n: world.subscribe(n, chance.random() < 0.2, chance.random() < 0.7)),
        "resume": (2, lambda n: world.resume(n, chance.random() < 0.2, chance.randint(0, 1000))),
        "roam": (1, lambda n: world.roam(chance.random() < 0.2)),
        "change": (25, lambda n: world.change(n, chance.randrange(99), seed % 2 == 0)),
        "leave": (1, world.leave),
        "stall": (1, lambda n: world.wait(11.0)),
        "drain": (1, lambda n: world.drain()),
    }
    for _ in range(3):
        world.subscribe(chance.randrange(99), False, True)
        world.roam(False)
    for what in chance.choices(list(steps), [weight for weight, _ in steps.values()], k=500):
        steps[what][1](chance.randrange(99))
        world.check()
    world.drain()
    world.check()


class Runs:
    """An encoding that costs nothing per publication: its items are runs, and ``("gap", missed)``."""

    def encode(self, run: Run) -> Batch:
        return Batch([run], len(run), sum(map(len, run.payloads)))

    def join(self, batches: Sequence[Batch]) -> Batch:
        return joined(batches)

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        return Batch([("gap", missed)], 0, 0)


class Listener:
    """A client of one topic (or of all) that counts what it is owed, and checks what it is given run by run."""

    def __init__(self, subscriber: Subscriber, sink: FakeSink, start: int) -> None:
        self.subscriber = subscriber
        self.sink = sink
        self.is_exact = subscriber.filters != ("#",)
        self.only_catches_up = subscriber.filters[0].startswith("catch/")
        # Published to it: numbers after `start` up to `end`, the topic's own or the node's.
        self.at = self.start = self.end = start
        self.given = self.credit = 0

    def read(self) -> None:
        """Check and forget what was written since the last time."""
        for batch in self.sink.batches:
            for item in batch.items:
                if isinstance(item, tuple):
                    self.credit += item[1]
                    continue
                assert isinstance(item, Run)
                first = item.first_offset if self.is_exact else item.first_sequence
                assert first > self.at, "out of order or doubled"
                self.credit -= first - self.at - 1
                assert self.credit >= 0 or not self.only_catches_up, "a hole without a gap"
                self.at = first + len(item) - 1
                self.given += len(item)
        self.sink.batches.clear()


class Crowd:
    """Twenty clients of all policies; who goes is replaced."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.clock = ManualClock()
        self.broker = make_broker(publications=2000, age_s=60.0)
        limits = OutboxLimits(soft_messages=1500, hard_messages=6000)
        self.hub = make_hub(
            self.clock, emit=self._note, limits=limits, topics=TOPICS, broker=self.broker, has_history=True
        )
        self.broker.bind(self.hub.deliver)
        self.encoding = Runs()
        self.here: list[Listener] = []
        self.everybody: list[Listener] = []
        self.closed: dict[str, SubscriberClosed] = {}

    def _note(self, event: Event) -> None:
        if isinstance(event, SubscriberClosed):
            self.closed[event.subscriber_id] = event

    def _published(self, name: str) -> int:
        return self.broker._sequence if name == "#" else self.broker.position(name).offset

    def come(self) -> None:
        name = self.chance.choice(["#", *TOPICS])
        sink = FakeSink(is_open=self.chance.random() < 0.5)
        one = Listener(subscribe(self.hub, sink, name, encoding=self.encoding), sink, self._published(name))
        self.here.append(one)
        self.everybody.append(one)

    def publish(self, payloads: list[bytes]) -> None:
        self.broker.publish_nowait(self.chance.choice(list(TOPICS)), payloads, self.clock.time())
        for one in self.here:
            one.end = self._published(one.subscriber.filters[0])

    def act(self) -> None:
        """Let each client read, stall or leave, as chance has it."""
        chance = self.chance
        for one in self.here:
            if one.sink.is_busy and chance.random() < 0.3:
                one.sink.is_open = chance.random() < 0.6
                one.sink.finish()
            elif chance.random() < 0.1:
                one.sink.is_open = False
            elif chance.random() < 0.005:
                one.subscriber.ended("left")
            one.read()
        self.here = [one for one in self.here if not one.subscriber.is_closed]

    def drain(self) -> None:
        for one in self.here:
            one.sink.is_open = True
            if one.sink.is_busy:
                one.sink.finish()
        self.clock.settle()
        assert self.hub.is_idle

    def check(self) -> None:
        """Nothing waits: what was published to each was delivered or is declared as dropped, and that is true."""
        for one in self.everybody:
            one.read()
            account = self.closed.get(one.subscriber.id, one.subscriber.outbox)
            assert account.delivered + account.dropped == one.end - one.start, "unexplained"
            if account is one.subscriber.outbox:
                assert account.delivered == one.given
                assert not one.only_catches_up or one.credit == one.end - one.at, "gaps are declared exactly"
        statistics = self.hub.statistics()
        assert statistics.delivered + statistics.dropped == sum(one.end - one.start for one in self.everybody)
        assert {loss.reason for loss in self.hub.losses()} == {
            "conflated",
            "oldest",
            "newest",
            "overtaken",
            "removed",
            "left",
        }, "all of it happened"
        assert statistics.dropped == sum(loss.messages for loss in self.hub.losses())


def test_over_a_million_publications_none_is_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The issue's ledger: random stalls and disconnects, policies of every kind, history that is overtaken."""
    monkeypatch.setattr(catch_up, "ROUND_PUBLICATIONS", 300)
    chance = random.Random(3)
    crowd = Crowd(chance)
    payloads = [b"%d" % number for number in range(1200)]
    for _ in range(4000):
        while len(crowd.here) < 20:
            crowd.come()
        crowd.publish(payloads[: chance.randint(1, 1200)])
        crowd.clock.advance(chance.choice([0.0, 0.01, 0.05, 0.3]))
        crowd.act()
    assert crowd.broker._sequence > 1_000_000
    crowd.drain()
    crowd.check()
