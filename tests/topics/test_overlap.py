from __future__ import annotations

import pytest
from hypothesis import given

from portcast.topics import matches
from portcast.topics.overlap import covers, overlaps
from topic_strategies import filters, topics


@pytest.mark.parametrize(
    ("outer", "inner", "is_covered", "is_met"),
    [
        ("a", "a", True, True),
        ("a", "b", False, False),
        ("a", "a/b", False, False),
        ("#", "a/b", True, True),
        ("#", "#", True, True),
        ("#", "+/x", True, True),
        ("+", "#", False, True),
        ("+", "+", True, True),
        ("+", "a", True, True),
        ("a", "+", False, True),
        ("a/#", "a", True, True),
        ("a/#", "a/b/c", True, True),
        ("a/#", "#", False, True),
        ("a/#", "+/b", False, True),
        ("a/#", "b/#", False, False),
        ("a/+", "a/#", False, True),
        ("a/b/c", "a/+", False, False),
        ("a/+/c", "a/b/+", False, True),
        ("a/+/c", "a/b/d", False, False),
        ("#", "$SYS/x", False, False),
        ("+/x", "$SYS/x", False, False),
        ("$SYS/x", "+/x", False, False),
        ("$SYS/#", "$SYS/+", True, True),
        ("#42", "#", False, True),
        ("+", "#42", True, True),
    ],
)
def test_relations(outer: str, inner: str, is_covered: bool, is_met: bool) -> None:
    """The rules of MQTT hold between filters as between a filter and a topic."""
    assert covers(outer, inner) is is_covered
    assert overlaps(outer, inner) is overlaps(inner, outer) is is_met


@given(filters, filters, topics)
def test_they_agree_with_matching(one: str, other: str, topic: str) -> None:
    """A topic that matches both shows that they overlap; one that matches only the inner, that nothing is covered."""
    if matches(one, topic) and matches(other, topic):
        assert overlaps(one, other)
    if matches(other, topic) and not matches(one, topic):
        assert not covers(one, other)


@given(filters, topics)
def test_a_topic_is_a_filter_too(topic_filter: str, topic: str) -> None:
    """Against a topic both are plain matching."""
    assert covers(topic_filter, topic) is overlaps(topic_filter, topic) is matches(topic_filter, topic)
