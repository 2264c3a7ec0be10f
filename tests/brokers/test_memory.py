from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_counting import count_lines
from portcast.brokers import Broker, MemoryBroker, Recovery, StateFile, resume_id
from portcast.brokers.base import resume_at
from portcast.brokers.memory import random_epoch
from portcast.errors import TopicError
from portcast.events import Event, HistoryNotKept, HistoryRestored, HistorySaved
from portcast.history import HistoryLimits
from portcast.publication import Meta, Position, Publication, Run, mark_after
from portcast.topics import matches
from topic_strategies import filters as filter_strategy
from topic_strategies import topics as topic_strategy

GARBAGE = [
    "",
    "garbage",
    ":",
    ":*",
    "e1:",
    "e1:x",
    "e1:*-1",
    "e1:*99",
    "e2:99",
    "e9:1",
    "e9:*1",
    "\0\ud800",
    "e2:" + "9" * 100_000,
    ":" * 100_000,
]


def counting_epochs() -> Callable[[], str]:
    """The store takes e1, the node e2; topics forgotten make more."""
    numbers = count(1)
    return lambda: f"e{next(numbers)}"


@dataclass
class Node:
    """A broker, and all that it has ever delivered."""

    limits: HistoryLimits = field(default_factory=HistoryLimits)
    runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.limits, counting_epochs())
        self.broker.bind(self.runs.append)

    def publish(self, topic: str, number: int = 1, now: float = 0.0, size: int = 4) -> Position:
        first = self.broker.position(topic).offset + 1
        payloads = [f"{topic}:{first + i}".encode().ljust(size) for i in range(number)]
        return self.broker.publish_nowait(topic, payloads, now)

    def published(self, filters: list[str]) -> list[Publication]:
        everything = [publication for run in self.runs for publication in run.publications()]
        return [one for one in everything if any(matches(each, one.topic) for each in filters)]


def test_it_is_a_broker() -> None:
    """The methods of the interface have its parameters, so that brokers can be exchanged."""
    broker: Broker = MemoryBroker()
    names = [name for name, _ in inspect.getmembers(Broker, inspect.isfunction) if not name.startswith("_")]
    assert len(names) == 11
    for name in names:
        expected = list(inspect.signature(getattr(Broker, name)).parameters.values())[1:]
        actual = list(inspect.signature(getattr(broker, name)).parameters.values())
        assert [(one.name, one.kind) for one in actual] == [(one.name, one.kind) for one in expected]


def test_epochs_are_random() -> None:
    """Eight characters that need no quoting in an id; two brokers never share one."""
    assert len({random_epoch() for _ in range(1000)}) == 1000
    assert all(len(random_epoch()) == 8 and ":" not in random_epoch() for _ in range(1000))
    assert MemoryBroker().node_epoch() != MemoryBroker().node_epoch()


def test_numbers_of_a_run() -> None:
    """Offsets count per topic, sequences per node, both without holes."""
    node = Node()
    assert node.publish("a", 3, now=1.0) == Position("e1", 3)
    assert node.publish("b", 1, now=2.0) == Position("e1", 1)
    assert node.publish("a", 2, now=3.0) == Position("e1", 5)
    assert [(run.topic, run.first_offset, run.first_sequence, len(run), run.at) for run in node.runs] == [
        ("a", 1, 1, 3, 1.0),
        ("b", 1, 4, 1, 2.0),
        ("a", 4, 5, 2, 3.0),
    ]
    assert node.broker.position("a") == Position("e1", 5)
    assert node.broker.node_epoch() == "e2"


def test_the_hub_may_extend_a_run() -> None:
    """The hub joins runs of one tick in place; neither history nor the publisher's list may notice."""
    broker = MemoryBroker()
    broker.bind(lambda run: run.payloads.extend([b"later"] * 3))
    mine = [b"a", b"b"]
    assert broker.publish_nowait("t", mine, 0.0).offset == 2
    assert mine == [b"a", b"b"]
    found = broker.history("t", since=None, limit=10, is_reverse=False, now=0.0)
    assert [publication.data for publication in found] == [b"a", b"b"]
    assert broker.publish_nowait("t", (b"c",), 0.0).offset == 3


def test_a_publication_is_in_history_when_it_is_delivered() -> None:
    """A subscriber that recovers while a run is being delivered must find it."""
    broker = MemoryBroker()
    seen: list[int] = []
    broker.bind(lambda run: seen.append(broker.position(run.topic).offset))
    broker.publish_nowait("t", [b"a", b"b"], 0.0)
    assert seen == [2]


def test_a_bad_topic_changes_nothing() -> None:
    """Devices choose topics: a bad one is refused before anything is numbered."""
    node = Node()
    for topic in ("", "a/+", "a\n"):
        with pytest.raises(TopicError):
            node.broker.publish_nowait(topic, [b"x"], 0.0)
    assert node.broker.topics("#", 0.0) == []
    node.publish("a")
    assert node.runs[0].first_sequence == 1


def test_nothing_is_published_by_nothing() -> None:
    """An empty batch makes no topic, no number and no run."""
    node = Node()
    assert node.broker.publish_nowait("a", [], 0.0) == Position("e1", 0)
    assert node.broker.topics("#", 0.0) == []
    node.publish("a", 2)
    assert node.broker.publish_nowait("a", [], 0.0) == Position("e1", 2)
    assert len(node.runs) == 1


def test_publishing_costs_a_fixed_number_of_python_steps() -> None:
    """The relay's speed, counted by the tracer and not by a clock."""

    def steps(payloads: list[bytes]) -> int:
        node = Node()
        node.publish("t", 100)
        return count_lines(lambda: node.broker.publish_nowait("t", payloads, 1.0))

    assert steps([b"x"] * 50_000) <= steps([b"x"] * 100) + 2
    assert steps([b"x"]) <= 100


def test_start_and_stop() -> None:
    """After `stop` nothing is delivered and nothing is known; numbers never go back."""
    node = Node()

    async def run() -> None:
        await node.broker.start()
        node.publish("a")
        await node.broker.stop()

    asyncio.run(run())
    assert node.broker.topics("#", 0.0) == []
    assert node.publish("a").epoch != "e1"
    assert len(node.runs) == 1
    assert node.broker.recover(["a"], "e2:*1", 10, 0.0).publications[0].sequence == 2


def test_before_bind_publications_go_to_history() -> None:
    """Devices may be faster than the hub."""
    broker = MemoryBroker()
    broker.publish_nowait("a", [b"x"], 0.0)
    assert len(broker.latest(["#"], 10, 0.0)) == 1


def test_listing_topics() -> None:
    """By name, what matches, with what is held now."""
    node = Node(HistoryLimits(age_s=10.0))
    node.publish("b/x", 2, now=0.0, size=10)
    node.publish("a", 1, now=5.0, size=7)
    node.publish("b", 1, now=11.0, size=7)
    node.publish("$SYS/x", now=11.0)
    found = node.broker.topics("#", 11.0)
    assert [
        (info.topic, info.position.offset, info.retained, info.retained_bytes, info.published_at) for info in found
    ] == [
        ("a", 1, 1, 7, 5.0),
        ("b", 1, 1, 7, 11.0),
        ("b/x", 2, 0, 0, 0.0),
    ]
    assert [info.topic for info in node.broker.topics("b/#", 11.0)] == ["b", "b/x"]
    assert [info.topic for info in node.broker.topics("a", 11.0)] == ["a"]
    assert [info.topic for info in node.broker.topics("$SYS/+", 11.0)] == ["$SYS/x"]
    assert node.broker.topics("nothing", 11.0) == []


def test_history_of_one_topic() -> None:
    """Reading is the ring's; the broker lets go of what is too old first."""
    node = Node(HistoryLimits(age_s=10.0))
    node.publish("a", 2, now=0.0)
    node.publish("a", 2, now=5.0)

    def offsets(since: Position | None = None, *, is_reverse: bool = False, now: float = 5.0) -> list[int]:
        found = node.broker.history("a", since=since, limit=3, is_reverse=is_reverse, now=now)
        return [publication.offset for publication in found]

    assert offsets() == [1, 2, 3]
    assert offsets(is_reverse=True) == [4, 3, 2]
    assert offsets(Position("e1", 2)) == [3, 4]
    assert offsets(Position("e7", 2)) == []
    assert offsets(now=11.0) == [3, 4]
    assert node.broker.history("b", since=None, limit=3, is_reverse=False, now=0.0) == []


def test_latest_over_topics() -> None:
    """The newest of all matching topics in the order in which they were published."""
    node = Node()
    for topic, number in (("a", 3), ("b", 1), ("a", 1), ("c", 50), ("b", 2), ("$s", 1)):
        node.publish(topic, number)
    assert [one.data.decode() for one in node.broker.latest(["a", "b"], 4, 0.0)] == ["b:1 ", "a:4 ", "b:2 ", "b:3 "]
    assert [one.data.decode() for one in node.broker.latest(["#"], 3, 0.0)] == ["c:50", "b:2 ", "b:3 "]
    assert node.broker.latest(["#"], 0, 0.0) == []
    assert node.broker.latest(["#"], -1, 0.0) == []
    assert node.broker.latest(["x"], 5, 0.0) == []


def test_latest_looks_at_no_more_topics_than_it_needs() -> None:
    """A thousand quiet topics cost nothing: the newest come first."""
    node = Node()
    for i in range(1000):
        node.publish(f"t/{i}")
    looked: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def refresh(self, ring: object, now: float) -> None:
            looked.append(ring.topic)  # type: ignore[attr-defined]  # a Ring

    store = node.broker._store
    node.broker._store = Counting()  # type: ignore[assignment]  # a stand-in that counts
    assert [one.topic for one in node.broker.latest(["#"], 3, 0.0)] == ["t/997", "t/998", "t/999"]
    assert len(looked) <= 4
    looked.clear()
    assert len(node.broker.recover(["#"], "e2:*990", 100, 0.0).publications) == 10
    assert len(looked) == 10


def test_resuming_one_topic_is_exact() -> None:
    """A single topic knows how many publications are gone."""
    node = Node(HistoryLimits(publications=5))
    node.publish("a", 12)
    node.publish("other", 3)
    found = node.broker.recover(["a"], "e1:4", 300, 0.0)
    assert [one.offset for one in found.publications] == [8, 9, 10, 11, 12]
    assert (found.missed, found.is_exact) == (3, True)
    found = node.broker.recover(["a"], "e1:10", 300, 0.0)
    assert ([one.offset for one in found.publications], found.missed, found.is_exact) == ([11, 12], 0, True)
    assert node.broker.recover(["a"], "e1:12", 300, 0.0) == Recovery([], 0, True)


@pytest.mark.parametrize("since", ["e1:0", "e2:*0"], ids=["offset", "sequence"])
def test_the_limit_returns_the_oldest_and_counts_the_rest(since: str) -> None:
    """What is held and not returned is told, and is not missed: it can be had from the last one on."""
    node = Node()
    node.publish("a", 10)
    found = node.broker.recover(["a"], since, 4, 0.0)
    assert [one.offset for one in found.publications] == [1, 2, 3, 4]
    assert (found.missed, found.is_exact, found.more) == (0, True, 6)
    assert node.broker.recover(["a"], since, 0, 0.0) == Recovery([], 0, True, 10)
    assert node.broker.recover(["a"], since, -1, 0.0) == Recovery([], 0, True, 10)


@pytest.mark.parametrize("since", ["e1:2", "e2:*2"], ids=["offset", "sequence"])
def test_what_is_gone_is_missed_and_what_is_held_is_not(since: str) -> None:
    """Missed, returned and more are told apart, and make up all that was published after the position."""
    node = Node(HistoryLimits(publications=5))
    node.publish("a", 10)
    found = node.broker.recover(["a"], since, 2, 0.0)
    assert [one.offset for one in found.publications] == [6, 7]
    assert (found.missed, found.is_exact, found.more) == (3, True, 3)


def test_a_position_that_means_nothing_has_more_too() -> None:
    """Everything retained is there to be had, in as many rounds as it takes."""
    node = Node()
    node.publish("a", 10)
    found = node.broker.recover(["a"], "other:3", 4, 0.0)
    assert [one.offset for one in found.publications] == [1, 2, 3, 4]
    assert (found.missed, found.is_exact, found.more) == (1, False, 6)


def test_resuming_by_age() -> None:
    """What is too old is gone, and is counted."""
    node = Node(HistoryLimits(age_s=10.0))
    node.publish("a", 3, now=0.0)
    node.publish("a", 1, now=8.0)
    for filters, since in ((["a"], "e1:1"), (["#"], "e2:*1"), (["a", "b"], "e2:*0")):
        found = node.broker.recover(filters, since, 300, 15.0)
        assert [one.offset for one in found.publications] == [4]
        assert found.missed == (3 if since == "e2:*0" else 2)


def test_subscribing_before_the_first_publication() -> None:
    """A subscriber to a topic that is not there yet is told a position, and misses nothing from it."""
    node = Node()
    position = node.broker.position("a")
    assert position.offset == 0
    assert node.broker.recover(["a"], str(position), 300, 0.0) == Recovery([], 0, True)
    node.publish("other")
    node.publish("a", 2)
    found = node.broker.recover(["a"], str(position), 300, 0.0)
    assert ([one.offset for one in found.publications], found.missed, found.is_exact) == ([1, 2], 0, True)


def test_one_topic_resumes_by_sequence_too() -> None:
    """A client that narrowed its filters to one topic goes on from the sequence it has."""
    node = Node()
    for topic in ("a", "b", "a", "b"):
        node.publish(topic)
    found = node.broker.recover(["a"], "e2:*1", 300, 0.0)
    assert ([one.sequence for one in found.publications], found.missed, found.is_exact) == ([3], 0, True)


def test_an_offset_cannot_resume_several_topics() -> None:
    """A client that widened its filters gets all there is, and is told that it may have missed some."""
    node = Node()
    for topic in ("a", "b", "a"):
        node.publish(topic)
    found = node.broker.recover(["a", "b"], "e1:1", 300, 0.0)
    assert ([one.sequence for one in found.publications], found.missed, found.is_exact) == ([1, 2, 3], 1, False)


@pytest.mark.parametrize(
    "filters", [["a"], ["a", "b"], ["#"], ["+"], ["nothing"]], ids=lambda filters: ",".join(filters)
)
@pytest.mark.parametrize("since", GARBAGE, ids=lambda since: ascii(since)[:16])
def test_positions_that_cannot_be_read(filters: list[str], since: str) -> None:
    """Whatever a client sends, it gets everything retained and the truth: that it may have missed something."""
    node = Node()
    node.publish("a", 2)
    node.publish("b")
    found = node.broker.recover(filters, since, 300, 0.0)
    assert found.publications == node.published(filters)
    assert (found.missed, found.is_exact) == (1, False)


def test_a_forgotten_topic_is_a_gap() -> None:
    """What a forgotten topic had cannot be counted, so it is at least 1; who was after it misses nothing."""
    node = Node(HistoryLimits(max_topics=2))
    old = node.publish("a")
    for topic in ("b", "c", "a"):
        node.publish(topic)
    found = node.broker.recover(["a"], f"{old.epoch}:0", 300, 0.0)
    assert ([one.sequence for one in found.publications], found.missed, found.is_exact) == ([4], 1, False)
    for filters in (["+"], ["a", "b"], ["a", "c"]):
        found = node.broker.recover(filters, "e2:*0", 300, 0.0)
        assert (found.missed, found.is_exact) == (1, False)
    found = node.broker.recover(["+"], "e2:*2", 300, 0.0)
    assert ([one.sequence for one in found.publications], found.missed, found.is_exact) == ([3, 4], 0, True)
    # 'c' was there all the time since sequence 3, and nothing else is asked for.
    assert node.broker.recover(["c"], "e2:*3", 300, 0.0) == Recovery([], 0, True)


def test_a_topic_that_was_never_forgotten_is_not_suspected() -> None:
    """Only topics that can have been forgotten since the position make a count uncertain."""
    node = Node(HistoryLimits(max_topics=2))
    node.publish("a")
    node.publish("b")
    node.publish("a")
    node.publish("c")
    found = node.broker.recover(["a"], "e2:*1", 300, 0.0)
    assert ([one.sequence for one in found.publications], found.missed, found.is_exact) == ([3], 0, True)


def test_everything_is_counted_exactly_for_the_filter_of_everything() -> None:
    """``#`` sees every publication of the node, so the node's own count is exact, whatever was evicted or forgotten."""
    node = Node(HistoryLimits(publications=1, max_topics=2))
    for topic in ("a", "a", "b", "c", "a", "c"):
        node.publish(topic)
    found = node.broker.recover(["#"], "e2:*1", 300, 0.0)
    assert ([one.sequence for one in found.publications], found.missed, found.is_exact) == ([5, 6], 3, True)
    node.publish("$SYS/x")
    found = node.broker.recover(["#"], "e2:*1", 300, 0.0)
    assert ([one.sequence for one in found.publications], found.is_exact) == ([6], False)
    assert 1 <= found.missed <= 4


def test_several_topics_have_a_lower_bound() -> None:
    """A ring that lost publications on both sides of the position does not know how many lie after it."""
    node = Node(HistoryLimits(publications=1))
    node.publish("a")
    for _ in range(4):
        node.publish("x", 3)
        node.publish("a")
    found = node.broker.recover(["a", "b"], "e2:*6", 300, 0.0)
    assert [one.sequence for one in found.publications] == [17]
    assert (found.missed, found.is_exact) == (1, False)


publishing = st.lists(st.tuples(topic_strategy, st.integers(1, 7), st.sampled_from([0.0, 1.0, 4.0])), max_size=25)
limits_strategy = st.builds(
    HistoryLimits,
    publications=st.sampled_from([0, 1, 3, 100]),
    age_s=st.sampled_from([5.0, 1000.0]),
    topic_bytes=st.sampled_from([40, 10_000]),
    total_bytes=st.sampled_from([3000, 10**6]),
    max_topics=st.sampled_from([2, 4, 1000]),
    idle_s=st.sampled_from([6.0, 1000.0]),
)


@given(limits_strategy, publishing, st.lists(filter_strategy, min_size=1, max_size=3), st.integers(0, 30), st.data())
def test_nothing_is_ever_lost_in_silence(
    limits: HistoryLimits, batches: list[tuple[str, int, float]], filters: list[str], limit: int, data: st.DataObject
) -> None:
    """Cut anywhere: what came before, what is recovered and what is declared missed make up all that was published."""
    node = Node(limits)
    now = 0.0
    for topic, number, passed in batches:
        now += passed
        node.publish(topic, number, now)
    everything = node.published(filters)
    cut = data.draw(st.integers(0, len(everything)))
    delivered, rest = everything[:cut], everything[cut:]
    if delivered:
        since = resume_id(filters, delivered[-1], node.broker.node_epoch())
    else:
        since = f"{node.broker.node_epoch()}:*0"
    found = node.broker.recover(filters, since, limit, now)
    assert len(found.publications) <= limit
    assert found.more >= 0
    assert not found.more or len(found.publications) == limit
    if found.is_exact:
        assert found.missed == len(rest) - len(found.publications) - found.more
        assert [one for one in rest if one in found.publications] == found.publications
    else:
        # A forgotten topic's position means nothing any more: all there is may come again, but never out of order.
        assert found.missed >= 1
        assert [one for one in everything if one in found.publications] == found.publications
        assert found.missed <= max(1, len(everything) - len(found.publications) - found.more)
    if not found.missed:
        assert found.publications == rest[: len(found.publications)]
        assert len(rest) == len(found.publications) + found.more
    latest = node.broker.latest(filters, limit, now)
    held = [
        one
        for info in node.broker.topics("#", now) + node.broker.topics("$s/#", now)
        for one in _held(node, info.topic, now)
    ]
    wanted = sorted((one for one in held if one in everything), key=lambda one: one.sequence)
    assert latest == (wanted[-limit:] if limit else [])


@given(limits_strategy, publishing, st.lists(filter_strategy, min_size=1, max_size=3), st.integers(1, 7))
def test_rounds_from_the_last_mark_give_what_one_recovery_gives(
    limits: HistoryLimits, batches: list[tuple[str, int, float]], filters: list[str], limit: int
) -> None:
    """Going on after the last publication of a round: nothing is lost or doubled between rounds, `more` counts down."""
    node = Node(limits)
    now = 0.0
    for topic, number, passed in batches:
        now += passed
        node.publish(topic, number, now)
    since = f"{node.broker.node_epoch()}:*0"
    whole = node.broker.recover(filters, since, 10**6, now).publications
    found: list[Publication] = []
    more = len(whole)
    while more:
        part = node.broker.recover(filters, since, limit, now)
        assert more == len(part.publications) + part.more
        found += part.publications
        more = part.more
        since = resume_at(filters, mark_after(found[-1]), node.broker.node_epoch())
    assert found == whole


def _held(node: Node, topic: str, now: float) -> list[Publication]:
    return node.broker.history(topic, since=None, limit=10**6, is_reverse=False, now=now)


@given(st.text() | st.from_regex(r"e[12]:\*?[0-9]{1,3}", fullmatch=True), st.lists(filter_strategy, max_size=3))
def test_any_position_is_answered(since: str, filters: list[str]) -> None:
    """``Last-Event-ID`` is whatever a client sent."""
    node = Node(HistoryLimits(publications=3))
    for topic in ("a", "a/b", "$s", "a"):
        node.publish(topic, 3)
    found = node.broker.recover(filters, since, 5, 0.0)
    assert found.missed >= 0
    assert found.is_exact or found.missed >= 1


def test_meta_is_delivered_and_kept() -> None:
    """Whoever gets a publication gets its meta: live, from history, as the latest, and in both kinds of recovery."""
    node = Node()
    meta = Meta({"k": "v"}, user="ada")
    node.broker.publish_nowait("a", [b"1"], 0.0)
    node.broker.publish_nowait("a", [b"2", b"3"], 0.0, meta)
    assert [run.meta for run in node.runs] == [None, meta]
    everything = [None, meta, meta]
    found = node.broker.history("a", since=None, limit=9, is_reverse=False, now=0.0)
    assert [one.meta for one in found] == everything
    assert [one.meta for one in node.broker.latest(["#"], 9, 0.0)] == everything
    for filters, since in ((["a"], "e1:0"), (["#"], "e2:*0")):
        assert [one.meta for one in node.broker.recover(filters, since, 9, 0.0).publications] == everything


def test_a_run_knows_the_payload_before_it() -> None:
    """Of the same topic, also for an epoch's first run and for two runs of one tick."""
    node = Node()
    for topic, payloads in (("a", [b"1", b"2"]), ("b", [b"3"]), ("a", [b"4"]), ("a", [b"5"])):
        node.broker.publish_nowait(topic, payloads, 0.0)
    assert [run.previous for run in node.runs] == [None, None, b"2", b"4"]


def test_a_run_does_not_know_what_history_has_let_go_of() -> None:
    """History off, too old, or a topic that was forgotten and comes back in another epoch."""
    off = Node(HistoryLimits(publications=0))
    off.publish("a")
    off.publish("a")
    assert [run.previous for run in off.runs] == [None, None]
    node = Node(HistoryLimits(max_topics=1, age_s=10))
    node.publish("a")
    node.publish("b")
    node.publish("a")
    assert [run.previous for run in node.runs] == [None, None, None]
    node.broker.history("a", since=None, limit=1, is_reverse=False, now=11.0)
    node.publish("a", now=11.0)
    assert node.runs[-1].previous is None


def test_topics_may_have_a_history_of_their_own() -> None:
    """The numbers go on where nothing is kept, and a recovery says what is gone."""
    limits = {"few": HistoryLimits(publications=2), "none": HistoryLimits(publications=0)}
    broker = MemoryBroker(HistoryLimits(), counting_epochs(), lambda topic: limits.get(topic, HistoryLimits()))
    for topic in ("few", "none", "other"):
        for _ in range(5):
            broker.publish_nowait(topic, [b"x"], 0.0)
    assert [(one.topic, one.retained) for one in broker.topics("#", 0.0)] == [("few", 2), ("none", 0), ("other", 5)]
    assert broker.recover(["few"], "e1:1", 9, 0.0).missed == 2
    assert broker.recover(["none"], "e1:1", 9, 0.0) == Recovery([], 4, True)


@pytest.mark.anyio
class TestState:
    """From one broker to the next, through a state file."""

    def make(self, folder: Path, events: list[Event]) -> MemoryBroker:
        limits = HistoryLimits()
        return MemoryBroker(limits, random_epoch, state=StateFile(folder, limits, events.append))

    async def test_the_next_broker_goes_on(self, tmp_path: Path) -> None:
        """The same epochs, offsets and sequences; clients of either kind resume exactly."""
        events: list[Event] = []
        first = self.make(tmp_path, events)
        await first.start()
        now = asyncio.get_running_loop().time()
        first.publish_nowait("$s", [b"0"], now)
        first.publish_nowait("a", [b"1", b"2"], now, Meta({"k": "v"}))
        first.publish_nowait("b", [b"3"], now)
        by_topic = str(Position(first.position("a").epoch, 1))
        by_node = f"{first.node_epoch()}:*2"
        unknown = first.position("not yet")
        await first.stop()

        runs: list[Run] = []
        second = self.make(tmp_path, events)
        second.bind(runs.append)
        await second.start()
        now = asyncio.get_running_loop().time()
        assert second.position("not yet") == unknown
        second.publish_nowait("a", [b"4"], now)
        assert (runs[0].first_offset, runs[0].first_sequence, runs[0].previous) == (3, 5, b"2")
        one = second.recover(["a"], by_topic, 9, now)
        assert [(each.data, each.meta) for each in one.publications] == [(b"2", Meta({"k": "v"})), (b"4", None)]
        several = second.recover(["#"], by_node, 9, now)
        assert [each.data for each in several.publications] == [b"2", b"3", b"4"]
        assert (one.missed, one.is_exact, several.missed, several.is_exact) == (0, True, 0, True)
        await second.stop()
        assert [type(event) for event in events] == [HistorySaved, HistoryRestored, HistorySaved]

    async def test_after_a_crash_everything_is_new(self, tmp_path: Path) -> None:
        """The state was taken by the one that crashed: the numbers it gave since are not given again."""
        events: list[Event] = []
        first = self.make(tmp_path, events)
        await first.start()
        first.publish_nowait("a", [b"1"], 0.0)
        await first.stop()
        crashed = self.make(tmp_path, events)
        await crashed.start()
        crashed.publish_nowait("a", [b"2"], 0.0)
        since = str(crashed.position("a"))
        third = self.make(tmp_path, events)
        await third.start()
        third.publish_nowait("a", [b"other"], 0.0)
        third.publish_nowait("a", [b"others"], 0.0)
        recovery = third.recover(["a"], since, 9, 0.0)
        assert ([one.data for one in recovery.publications], recovery.missed) == ([b"other", b"others"], 1)

    async def test_a_broker_that_never_started_leaves_the_state_alone(self, tmp_path: Path) -> None:
        """A start that failed for another reason must not cost the history; nor must a second stop."""
        events: list[Event] = []
        first = self.make(tmp_path, events)
        await first.start()
        first.publish_nowait("a", [b"1"], 0.0)
        await first.stop()
        await first.stop()
        await self.make(tmp_path, events).stop()
        assert [type(event) for event in events] == [HistorySaved]
        second = self.make(tmp_path, events)
        await second.start()
        assert second.position("a").offset == 1

    async def test_a_state_that_cannot_be_used_is_no_reason_not_to_start(self, tmp_path: Path) -> None:
        """Told, and everything is new."""
        (tmp_path / "history.state").write_bytes(b"?" * 100)
        events: list[Event] = []
        broker = self.make(tmp_path, events)
        await broker.start()
        assert broker.publish_nowait("a", [b"1"], 0.0).offset == 1
        assert [type(event) for event in events] == [HistoryNotKept]


@pytest.mark.parametrize("filters", [["#"], ["+"], ["0", "1", "2"], ["0"]])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_round_of_recovery_does_not_visit_what_it_does_not_return(filters: list[str], share: float) -> None:
    """A client far behind gets many rounds; each must cost what it returns, and not what history holds."""

    def steps(publications: int) -> int:
        node = Node(HistoryLimits(publications=10_000))
        for i in range(publications):
            node.publish(str(i % 3))
        broker = node.broker
        since = f"e2:*{int(publications * share)}" if len(filters) > 1 or filters[0] in "#+" else "e1:1"
        return count_lines(lambda: broker.recover(filters, since, 30, 0.0))

    assert steps(3000) <= steps(300) * 1.1
