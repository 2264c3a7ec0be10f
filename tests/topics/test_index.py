from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portcast.topics import SubscriptionIndex, matches
from topic_strategies import filters, topics


def test_an_item_under_overlapping_filters_is_found_once() -> None:
    """A subscriber gets a publication once, however many of its filters match."""
    index: SubscriptionIndex[str] = SubscriptionIndex()
    for topic_filter in ("#", "+/b", "a/#", "a/b", "a/b/#"):
        assert index.add(topic_filter, "x")
    assert len(index) == 5
    assert index.match("a/b") == {"x"}


def test_the_result_belongs_to_the_caller() -> None:
    """Changing a result must not change the index, even if one set was all that was found."""
    index: SubscriptionIndex[int] = SubscriptionIndex()
    index.add("a", 1)
    index.match("a").clear()
    assert index.match("a") == {1}


def test_version_changes_with_the_index_only() -> None:
    """A cached result is good while the version stands: it moves with every change and with nothing else."""
    index: SubscriptionIndex[int] = SubscriptionIndex()
    versions = [index.version]
    assert index.add("a/#", 1)
    versions.append(index.version)
    assert index.add("a/#", 2)
    versions.append(index.version)
    assert index.remove("a/#", 1)
    versions.append(index.version)
    assert len(set(versions)) == 4
    assert not index.add("a/#", 2)
    assert not index.remove("a/#", 1)
    assert not index.remove("a", 2)
    assert not index.remove("a/b/+", 2)
    index.match("a")
    assert index.version == versions[-1]
    assert len(index) == 1


def test_empty_nodes_are_pruned() -> None:
    """Memory follows the subscriptions there are, not those there were."""
    index: SubscriptionIndex[int] = SubscriptionIndex()
    kept = ["a", "a/+/c"]
    gone = ["a/#", "a/b/c", "a/b", "a/+/c/d/e", "+", "+/+/#", "#", "x/y/z"]
    for topic_filter in kept:
        index.add(topic_filter, 1)
    nodes = _count_nodes(index)
    for topic_filter in gone:
        index.add(topic_filter, 1)
    for topic_filter in gone:
        assert index.remove(topic_filter, 1)
    assert _count_nodes(index) == nodes
    for topic_filter in kept:
        assert index.remove(topic_filter, 1)
    assert _count_nodes(index) == 1
    assert len(index) == 0


@pytest.mark.row(64)
def test_a_lookup_does_not_visit_what_cannot_match() -> None:
    """The work follows the levels of the topic, not the number of subscriptions elsewhere."""

    class Level(str):
        """Counts how often the index looks at a level's hash."""

        __slots__ = ()
        looks = 0

        def __hash__(self) -> int:
            Level.looks += 1
            return super().__hash__()

        def __eq__(self, other: object) -> bool:
            return super().__eq__(other)

    class Topic(str):
        __slots__ = ()

        def split(self, *_: object) -> list[str]:
            return [Level(part) for part in str(self).split("/")]

    index: SubscriptionIndex[int] = SubscriptionIndex()
    for i in range(2000):
        index.add(f"{i}/a/b", i)
        index.add(f"{i}/+/#", i)
    assert index.match(Topic("7/a/b")) == {7}
    # One child lookup per node reached: the root, '7', and then 'a' and '+'.
    assert 1 <= Level.looks <= 4


@pytest.mark.row(64)
@given(st.sets(st.integers(0, (1 << 16) - 1), min_size=128, max_size=128), st.integers(14, 16))
@settings(max_examples=20, deadline=None)
def test_a_match_is_quick_however_filters_are_chosen(bits: set[int], levels: int) -> None:
    """All subscriptions that a client may have, each of which fits as far as it goes, and the longest topics.

    The bound is a hundred times what it takes; matching that doubles with each level would take 65 536 steps.
    """
    index: SubscriptionIndex[int] = SubscriptionIndex()
    chosen = ["/".join([*("a+"[n >> level & 1] for level in range(15)), "#+"[n >> 15]]) for n in bits]
    for number, topic_filter in enumerate(chosen):
        index.add(topic_filter, number)
    topic = "/".join("a" * levels)
    times = []
    for _ in range(3):
        began = time.process_time()
        found = index.match(topic)
        times.append(time.process_time() - began)
    assert min(times) < 0.02
    assert found == {number for number, topic_filter in enumerate(chosen) if matches(topic_filter, topic)}


@given(st.lists(st.tuples(st.booleans(), filters, st.integers(0, 3)), max_size=40), st.lists(topics, max_size=10))
def test_the_trie_agrees_with_linear_matching(changes: list[tuple[bool, str, int]], asked: list[str]) -> None:
    """After any additions and removals the index finds exactly what matching every filter would find."""
    index: SubscriptionIndex[int] = SubscriptionIndex()
    pairs: set[tuple[str, int]] = set()
    for is_add, topic_filter, item in changes:
        pair = (topic_filter, item)
        if is_add:
            assert index.add(topic_filter, item) is (pair not in pairs)
            pairs.add(pair)
        else:
            assert index.remove(topic_filter, item) is (pair in pairs)
            pairs.discard(pair)
        assert len(index) == len(pairs)
    for topic in asked:
        assert index.match(topic) == {item for topic_filter, item in pairs if matches(topic_filter, topic)}
    for topic_filter, item in pairs:
        assert index.remove(topic_filter, item)
    assert _count_nodes(index) == 1


def _count_nodes(index: SubscriptionIndex[int]) -> int:
    count = 0
    pending = [index._root]
    while pending:
        node = pending.pop()
        count += 1
        pending += (node.children or {}).values()
        pending += [node.plus] if node.plus else []
    return count
