from __future__ import annotations

import gc
import weakref

import pytest

from manual_clock import ManualClock
from portcast.config import TopicOptions
from portcast.runtime import audience
from portcast.runtime.audience import Audiences
from portcast.runtime.subscriber import Subscriber
from runtime_kit import LIMITS, FakeEncoding, FakeSink, make_hub

HUB = make_hub(ManualClock())


def subscriber(*filters: str) -> Subscriber:
    return Subscriber(HUB, filters, FakeEncoding(), FakeSink(), LIMITS, 0.0, transport="test", peer="")


def audiences(**topics: float) -> Audiences:
    return Audiences(
        TopicOptions(patience_s=0.5),
        {name.replace("_", "/"): TopicOptions(patience_s=patience_s) for name, patience_s in topics.items()},
        has_history=False,
    )


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
        TopicOptions(patience_s=0.5),
        {
            "fast": TopicOptions(patience_s=0),
            "slow/#": TopicOptions(patience_s=10),
            "slow/first": TopicOptions(patience_s=3),
        },
        has_history=False,
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
    ],
)
def test_the_policy_is_the_topics(topic: str, has_history: bool, policy: str, key: str) -> None:
    """The same filters decide what happens to the slow; `auto` looks at the history."""
    it = Audiences(
        TopicOptions(),
        {
            "keyed/#": TopicOptions(slow_consumer="latest_per_key", key="id"),
            "strict": TopicOptions(slow_consumer="disconnect"),
        },
        has_history=has_history,
    )
    assert (it.of(topic).policy, it.of(topic).key) == (policy, key)


@pytest.mark.parametrize(("has_history", "policy"), [(True, "catch_up"), (False, "disconnect")])
def test_a_subscriber_begins_with_the_default_policy(has_history: bool, policy: str) -> None:
    """A client that is slow with its replay is not judged by a policy that nobody chose."""
    it = Audiences(TopicOptions(), {}, has_history=has_history)
    one = subscriber("#")
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


def test_options_may_come_later() -> None:
    """A filter that has options keeps them; what was remembered is found again."""
    it = audiences(t=1.0)
    one = subscriber("#")
    it.add(one)
    assert (it.of("t").patience_s, it.of("u").patience_s) == (1.0, 0.5)
    it.set_options("t", TopicOptions(patience_s=7))
    it.set_options("u", TopicOptions(patience_s=7))
    assert (it.of("t").patience_s, it.of("u").patience_s) == (1.0, 7)
    assert one.outbox.patience.full_s == 7
    assert 7 in it.patiences
