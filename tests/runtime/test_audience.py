from __future__ import annotations

import gc
import weakref

import pytest

from manual_clock import ManualClock
from portcast.config import TopicOptions
from portcast.history import HistoryLimits
from portcast.runtime import audience
from portcast.runtime.audience import Audiences
from portcast.runtime.subscriber import Subscriber
from portcast.topic_table import TopicTable
from runtime_kit import LIMITS, FakeEncoding, FakeSink, make_hub

HUB = make_hub(ManualClock())


def subscriber(*filters: str) -> Subscriber:
    return Subscriber(HUB, filters, FakeEncoding(), FakeSink(), LIMITS, 0.0, transport="test", peer="")


def audiences(**topics: float) -> Audiences:
    by_filter = {name.replace("_", "/"): TopicOptions(patience_s=patience_s) for name, patience_s in topics.items()}
    return Audiences(TopicTable(by_filter, default=TopicOptions(patience_s=0.5)))


def test_the_audience_are_those_whose_filters_match() -> None:
    """Each once, however many of its filters match; nobody after its removal."""
    it = audiences()
    one, other = subscriber("a/+", "a/#", "a/b"), subscriber("b")
    it.add(one)
    it.add(other)
    assert it.of("a/b").audience == {one}
    assert it.of("b").audience == {other}
    assert it.of("c").audience == frozenset()
    it.remove(one)
    assert it.of("a/b").audience == frozenset()


def test_the_answer_is_remembered_until_somebody_comes_or_goes() -> None:
    """The hot path costs one look into a dictionary."""
    it = audiences()
    it.add(subscriber("#"))
    first = it.of("t")
    assert it.of("t") is first
    it.add(subscriber("elsewhere"))
    assert it.of("t") is not first


def test_topics_with_the_same_audience_share_it() -> None:
    """Memory for 65 536 topics is not 65 536 times the subscribers."""
    it = audiences()
    for _ in range(3):
        it.add(subscriber("#"))
    assert it.of("a").audience is it.of("b").audience


def test_a_topic_that_is_never_published_again_keeps_no_subscriber_alive() -> None:
    """Who left is forgotten at once, with its sink and all that hangs on it."""
    it = audiences()
    one = subscriber("#")
    it.add(one)
    assert it.of("once").audience == {one}
    sink = weakref.ref(one.sink)
    it.remove(one)
    del one
    gc.collect()
    assert sink() is None


def test_remembers_a_bounded_number_of_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that invents topics without end does not fill the memory."""
    monkeypatch.setattr(audience, "MAX_TOPICS", 10)
    it = audiences()
    it.add(subscriber("#"))
    for number in range(95):
        assert len(it.of(f"t/{number}").audience) == 1
        assert len(it._topics) <= 10


@pytest.mark.parametrize(
    ("topic", "patience_s"),
    [
        pytest.param("fast", 0.0, id="none"),
        pytest.param("slow/x", 10.0, id="by filter"),
        pytest.param("slow/first", 10.0, id="the first filter counts"),
        pytest.param("other", 0.5, id="default"),
    ],
)
def test_patience_is_the_topics(topic: str, patience_s: float) -> None:
    """The first filter that matches counts, the default otherwise."""
    it = Audiences(
        TopicTable(
            {
                "fast": TopicOptions(patience_s=0),
                "slow/#": TopicOptions(patience_s=10),
                "slow/first": TopicOptions(patience_s=3),
            },
            default=TopicOptions(patience_s=0.5),
        )
    )
    assert it.of(topic).patience_s == patience_s
    assert it.patiences == {0, 0.5, 3, 10}


@pytest.mark.parametrize(
    ("topic", "has_history", "policy", "key"),
    [
        pytest.param("other", True, "catch_up", "", id="auto with history"),
        pytest.param("other", False, "disconnect", "", id="auto without"),
        pytest.param("keyed/x", True, "latest_per_key", "id", id="chosen"),
        pytest.param("strict", True, "disconnect", "", id="disconnect in spite of history"),
        pytest.param("kept", False, "catch_up", "", id="auto with a history of its own"),
        pytest.param("fleeting:1", True, "disconnect", "", id="auto in a namespace without history"),
        pytest.param("brief", True, "disconnect", "", id="auto with an age of zero"),
    ],
)
def test_the_policy_is_the_topics(topic: str, has_history: bool, policy: str, key: str) -> None:
    """The same filters decide what happens to the slow; `auto` looks at the history."""
    it = Audiences(
        TopicTable(
            {
                "keyed/#": TopicOptions(slow_consumer="latest_per_key", key="id"),
                "strict": TopicOptions(slow_consumer="disconnect"),
                "kept": TopicOptions(history=1),
                "fleeting:": TopicOptions(history=0),
                "brief": TopicOptions(history_age_s=0),
            },
            history=HistoryLimits(publications=100 * has_history),
        )
    )
    assert (it.of(topic).policy, it.of(topic).key) == (policy, key)


@pytest.mark.parametrize(
    ("has_history", "filters", "policy"),
    [
        (True, ["#"], "catch_up"),
        (False, ["#"], "disconnect"),
        (False, ["kept"], "catch_up"),
        (False, ["kept", "other"], "disconnect"),
    ],
)
def test_a_subscriber_begins_with_the_policy_of_its_topic(has_history: bool, filters: list[str], policy: str) -> None:
    """A client slow with its replay is not judged by a policy that nobody chose; with several topics, the default."""
    it = Audiences(TopicTable({"kept": TopicOptions(history=1)}, history=HistoryLimits(publications=100 * has_history)))
    one = subscriber(*filters)
    it.add(one)
    assert one.outbox.policy == policy


def test_a_subscriber_gets_the_largest_patience_of_its_topics() -> None:
    """Its allowance must last for the most patient topic; each topic takes its own share of it."""
    it = audiences(slow=10.0, fast=0.1)
    one = subscriber("#")
    it.add(one)
    assert one.outbox.patience.full_s == 0.5
    it.of("fast")
    assert one.outbox.patience.full_s == 0.5
    it.of("slow")
    assert one.outbox.patience.full_s == 10.0
    it.of("fast")
    assert one.outbox.patience.full_s == 10.0


def test_filters_may_change_while_one_is_there() -> None:
    """What is found next is by the new ones; `remove` takes what is left, because the owner keeps its filters."""
    it = audiences()
    one = subscriber("a")
    it.add(one)
    assert it.of("a").audience == {one}
    assert not it.of("b").audience
    it.follow(one, "b")
    it.unfollow(one, "a")
    one.filters = ("b",)
    assert not it.of("a").audience
    assert it.of("b").audience == {one}
    it.remove(one)
    assert it.of("b").audience == frozenset()


def test_one_of_several_filters_may_go() -> None:
    """The topic is still found by the other."""
    it = audiences()
    one = subscriber("a/+", "a/b")
    it.add(one)
    it.unfollow(one, "a/+")
    assert it.of("a/b").audience == {one}
    assert not it.of("a/c").audience
