from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.history import HistoryLimits, HistoryStore, Ring


def counting_epochs() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"e{next(numbers)}"


class Publisher:
    """Does what a broker does with a store: numbers publications."""

    def __init__(self, limits: HistoryLimits, limits_of: Callable[[str], HistoryLimits] | None = None) -> None:
        self.store = HistoryStore(limits, counting_epochs(), limits_of)
        self.sequence = 0

    def publish(self, topic: str, now: float = 0.0, size: int = 100, number: int = 1) -> Ring:
        ring = self.store.get(topic)
        if ring is None:
            ring = self.store.create(topic, now)
        self.store.append(ring, [b"x" * size] * number, self.sequence + 1, now)
        self.sequence += number
        return ring

    def retained(self) -> dict[str, int]:
        """Publications held by topic, the newest topic first."""
        return {ring.topic: ring.retained for ring in self.store.newest_first()}

    def check(self) -> None:
        rings = list(self.store.newest_first())
        assert self.store.charge == sum(ring.charge for ring in rings)
        last = [ring.last_sequence for ring in rings]
        assert last == sorted(last, reverse=True)
        assert len(self.store) == len(rings)
        held = {ring.topic for ring in rings if ring.charge}
        holders = {topic: age_s for age_s, group in self.store._holders.items() for topic in group}
        assert held <= set(holders)
        assert len(holders) == sum(map(len, self.store._holders.values()))
        assert all(holders[ring.topic] == ring.limits.age_s for ring in rings if ring.topic in holders)


def test_the_topic_published_to_longest_ago_loses_its_history_first() -> None:
    """The budget of the process takes from the quiet ones; their positions stay."""
    one = 100 + 240 + 1024
    publisher = Publisher(HistoryLimits(total_bytes=3 * one))
    for topic in ("a", "b", "c"):
        publisher.publish(topic)
    publisher.publish("a")
    assert publisher.retained() == {"a": 2, "c": 1, "b": 0}
    ring = publisher.store.get("b")
    assert ring is not None
    assert (ring.last_offset, ring.evicted_offset, ring.evicted_sequence) == (1, 1, 2)
    publisher.publish("b")
    assert publisher.retained() == {"b": 1, "a": 2, "c": 0}
    publisher.check()


def test_a_topic_larger_than_the_budget_is_cut_and_not_wiped() -> None:
    """Alone over the budget, a topic keeps its newest publications."""
    publisher = Publisher(HistoryLimits(total_bytes=5000))
    for _ in range(20):
        publisher.publish("a", size=1000)
        publisher.check()
    assert publisher.retained() == {"a": 3}
    publisher.publish("a", size=6000)
    assert publisher.retained() == {"a": 0}
    publisher.publish("a")
    publisher.publish("b", size=3000)
    publisher.check()
    assert publisher.retained() == {"b": 1, "a": 0}


def test_the_newest_topic_is_evicted_after_it_lost_and_regained_history() -> None:
    """A topic that held nothing for a moment is back in the order of eviction as soon as it holds something."""
    publisher = Publisher(HistoryLimits(topic_bytes=1000, total_bytes=2500))
    publisher.publish("a", size=2000)
    publisher.publish("a", size=1000)
    publisher.publish("b", size=1000)
    publisher.check()
    assert publisher.retained() == {"b": 1, "a": 0}


def test_the_topic_published_to_longest_ago_is_forgotten_first() -> None:
    """Devices can invent topics without end, so the number of those that are known is bounded."""
    publisher = Publisher(HistoryLimits(max_topics=2))
    publisher.publish("a")
    publisher.publish("b")
    publisher.publish("a")
    publisher.publish("c")
    assert publisher.retained() == {"c": 1, "a": 2}
    assert publisher.store.get("b") is None
    assert publisher.store.forgotten_sequence == 2
    publisher.check()


def test_a_forgotten_topic_comes_back_in_an_epoch_that_it_never_had() -> None:
    """Offsets of two lives of a topic must not be compared, even if the epoch is shared by other topics."""
    publisher = Publisher(HistoryLimits(max_topics=2))
    seen: dict[str, list[str]] = {}
    for topic in "abcabcbcaacb" * 3:
        is_new = publisher.store.get(topic) is None
        promised = publisher.store.next_epoch
        ring = publisher.publish(topic)
        if is_new:
            assert ring.epoch not in seen.get(topic, [])
            if publisher.sequence <= 2:
                assert ring.epoch == promised
            seen.setdefault(topic, []).append(ring.epoch)
    assert all(len(epochs) > 1 for epochs in seen.values())


def test_the_epoch_is_known_before_the_first_publication() -> None:
    """A subscriber that comes before the first publication resumes from offset 0 of the epoch that it was told."""
    publisher = Publisher(HistoryLimits())
    promised = publisher.store.next_epoch
    for topic in ("a", "b", "c"):
        assert publisher.publish(topic).epoch == promised


def test_memory_of_quiet_topics_is_given_back() -> None:
    """What is too old goes although nobody reads it, and idle topics are forgotten long after."""
    publisher = Publisher(HistoryLimits(age_s=10.0, idle_s=100.0))
    publisher.publish("a", now=0.0)
    publisher.publish("b", now=5.0)
    publisher.publish("c", now=12.0)
    assert publisher.retained() == {"c": 1, "b": 1, "a": 0}
    publisher.publish("c", now=102.0)
    assert publisher.retained() == {"c": 1, "b": 0}
    publisher.check()


def test_a_topic_is_not_forgotten_before_its_history() -> None:
    """``idle_s`` below ``age_s`` would lose publications that are promised."""
    publisher = Publisher(HistoryLimits(age_s=10.0, idle_s=0.0))
    publisher.publish("a", now=0.0)
    publisher.publish("b", now=9.0)
    assert publisher.retained() == {"b": 1, "a": 1}
    publisher.publish("b", now=11.0)
    assert publisher.retained() == {"b": 2}


def test_a_sweep_of_many_topics_is_spread_over_publications() -> None:
    """Ten thousand topics that end together must not stop the loop."""
    publisher = Publisher(HistoryLimits(age_s=10.0))
    for i in range(600):
        publisher.publish(f"t{i}", now=0.0)
    publisher.publish("x", now=20.0)
    assert sum(publisher.retained().values()) == 600 - 256 + 1
    publisher.publish("x", now=20.0)
    publisher.publish("x", now=20.0)
    assert sum(publisher.retained().values()) == 3
    publisher.check()


def test_refresh_lets_go_of_what_is_too_old() -> None:
    """Readers see no expired publications, and the budget gets them back."""
    publisher = Publisher(HistoryLimits(age_s=10.0))
    ring = publisher.publish("a", now=0.0)
    publisher.store.refresh(ring, 10.0)
    assert ring.retained == 1
    publisher.store.refresh(ring, 11.0)
    publisher.store.refresh(ring, 11.0)
    assert (ring.retained, publisher.store.charge) == (0, 0)
    publisher.publish("a", now=11.0)
    publisher.check()


@pytest.mark.parametrize("limits", [HistoryLimits(publications=0), HistoryLimits()], ids=["off", "on"])
def test_clearing_forgets_every_topic(limits: HistoryLimits) -> None:
    """After `clear` nothing is known, and what comes back has another epoch."""
    publisher = Publisher(limits)
    epoch = publisher.publish("a").epoch
    publisher.publish("b")
    publisher.store.clear()
    assert (len(publisher.store), publisher.store.charge, publisher.store.forgotten_sequence) == (0, 0, 2)
    assert publisher.publish("a").epoch != epoch
    publisher.check()


operations = st.tuples(
    st.sampled_from("abcdef"),
    st.sampled_from([0.0, 0.4, 3.0, 12.0]),
    st.sampled_from([1, 500, 3000]),
    st.integers(1, 4),
)


@given(
    st.lists(operations, max_size=40),
    st.sampled_from([2000, 9000, 10**7]),
    st.integers(1, 6),
    st.sampled_from([5.0, 20.0]),
)
def test_budgets_hold_after_every_publication(
    publications: list[tuple[str, float, int, int]], total_bytes: int, max_topics: int, idle_s: float
) -> None:
    """The books are right and within the limits whatever is published when."""
    limits = HistoryLimits(3, 4.0, 4000, total_bytes, max_topics, idle_s)
    publisher = Publisher(limits)
    now = 0.0
    for topic, passed, size, number in publications:
        now += passed
        publisher.publish(topic, now, size, number)
        publisher.check()
        assert publisher.store.charge <= total_bytes
        assert len(publisher.store) <= max_topics


def by_first_letter(**limits: HistoryLimits) -> Callable[[str], HistoryLimits]:
    return lambda topic: limits.get(topic[0], HistoryLimits())


def test_topics_may_have_limits_of_their_own() -> None:
    """Asked for once, when the topic is created."""
    asked: list[str] = []

    def limits_of(topic: str) -> HistoryLimits:
        asked.append(topic)
        return HistoryLimits(publications=2 if topic == "few" else 0 if topic == "none" else 9)

    publisher = Publisher(HistoryLimits(), limits_of)
    for topic in ("few", "none", "many"):
        for _ in range(12):
            publisher.publish(topic)
    publisher.check()
    assert publisher.retained() == {"many": 9, "none": 0, "few": 2}
    assert asked == ["few", "none", "many"]


def test_memory_is_given_back_by_each_topics_own_age() -> None:
    """One that is kept for long neither loses its history early nor keeps that of others in memory."""
    publisher = Publisher(HistoryLimits(), by_first_letter(l=HistoryLimits(age_s=1000), s=HistoryLimits(age_s=10)))
    publisher.publish("long")
    publisher.publish("short")
    publisher.publish("middle")
    publisher.publish("other", now=301.0)
    assert publisher.retained() == {"other": 1, "middle": 0, "short": 0, "long": 1}
    publisher.publish("other", now=1001.0)
    assert publisher.retained()["long"] == 0
    publisher.check()


def test_the_oldest_of_all_ages_is_evicted_first() -> None:
    """The budget is one for all topics, whatever their ages."""
    one = 100 + 240 + 1024
    ages = by_first_letter(l=HistoryLimits(age_s=1000), s=HistoryLimits(age_s=10))
    publisher = Publisher(HistoryLimits(total_bytes=3 * one), ages)
    for topic in ("s1", "l1", "m1", "s2", "l2"):
        publisher.publish(topic)
        publisher.check()
    assert publisher.retained() == {"l2": 1, "s2": 1, "m1": 1, "l1": 0, "s1": 0}


def test_a_topic_is_not_forgotten_before_a_history_of_its_own() -> None:
    """``idle_s`` is no shorter than the age that the topic itself has."""
    publisher = Publisher(HistoryLimits(idle_s=50, age_s=10), by_first_letter(l=HistoryLimits(age_s=1000)))
    publisher.publish("long")
    publisher.publish("x", now=500.0)
    assert publisher.store.get("long") is not None
    publisher.publish("x", now=1001.0)
    assert publisher.store.get("long") is None
