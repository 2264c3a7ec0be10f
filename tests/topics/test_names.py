from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portcast.errors import TopicError
from portcast.topics import MAX_TOPIC_LEVELS, is_wildcard, matches, validate_filter, validate_topic

LONGEST = "é" * 127 + "x"

GOOD_TOPICS = [
    "a",
    "sensors/boiler-1",
    "#42",
    "c++/a#b/++/##",
    "/a",
    "a/",
    "a//b",
    "/",
    " ",
    "$SYS/x",
    "温度/浴室",
    "👩‍👩‍👧",
    "a\u00a0b",
    LONGEST,
    "/".join("x" * 16),
]


@pytest.mark.parametrize("topic", GOOD_TOPICS, ids=ascii)
def test_names_that_are_topics(topic: str) -> None:
    """A topic may hold any printable text; every topic is also a filter, which matches it alone."""
    validate_topic(topic)
    validate_filter(topic)
    assert not is_wildcard(topic)
    assert matches(topic, topic)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "empty"),
        ("x" * 256, "longer than 255 bytes"),
        (LONGEST + "x", "longer than 255 bytes"),
        ("é" * 10_000_000, "longer than 255 bytes"),
        ("/".join("x" * 17), "17 levels, more than 16"),
        ("a\0b", "control character"),
        ("a\n", "control character"),
        ("\x7f", "control character"),
        ("\x9f", "control character"),
        ("\ud800", "surrogate"),
    ],
    ids=["empty", "long", "long-utf8", "huge", "deep", "nul", "newline", "del", "c1", "surrogate"],
)
def test_names_that_are_neither_topic_nor_filter(name: str, problem: str) -> None:
    """The rules of text hold for topics and filters alike, and the error says which one was broken."""
    for validate in (validate_topic, validate_filter):
        with pytest.raises(TopicError, match=problem) as caught:
            validate(name)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("topic_filter", ["#", "+", "a/#", "a/+/b", "+/+", "/+", "+/#", "$SYS/#", "#42/+"])
def test_wildcards_are_for_filters_only(topic_filter: str) -> None:
    """A level that is a wildcard alone makes a filter, which nobody can publish to."""
    validate_filter(topic_filter)
    assert is_wildcard(topic_filter)
    with pytest.raises(TopicError, match="wildcards"):
        validate_topic(topic_filter)


@pytest.mark.parametrize("topic_filter", ["#/a", "a/#/b", "#/#", "#/"])
def test_hash_must_be_last(topic_filter: str) -> None:
    """'#' stands for the rest, so nothing may follow it."""
    with pytest.raises(TopicError, match="last level"):
        validate_filter(topic_filter)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "A", False),
        ("#42", "#42", True),
        ("#42", "x", False),
        ("#", "a/b/c", True),
        ("#", "/", True),
        ("+", "a", True),
        ("+", "a/b", False),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("a/#", "a", True),
        ("a/#", "a/", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("a/#", "b/a", False),
        ("a/b/#", "a", False),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("a/+/c", "a/b/c/d", False),
        ("a/+/#", "a/b", True),
        ("a/+/#", "a", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("+/#", "$SYS", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/+", "$SYS/x", True),
        ("a/+", "a/$x", True),
        ("a/#", "a/$x", True),
        ("+x/+", "+x/y", True),
    ],
)
def test_what_a_filter_matches(topic_filter: str, topic: str, expected: bool) -> None:
    """Matching follows MQTT 5.0 §4.7."""
    assert matches(topic_filter, topic) is expected


@given(st.text())
@example("\x80")
def test_validation_ends_in_one_of_two_ways(name: str) -> None:
    """Any text is a topic or a `TopicError`, and whatever is a topic is a filter."""
    try:
        validate_topic(name)
    except TopicError:
        return
    validate_filter(name)
    assert 0 < len(name.encode()) <= 255
    assert name.count("/") < MAX_TOPIC_LEVELS
