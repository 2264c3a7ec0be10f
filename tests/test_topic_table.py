from __future__ import annotations

import pytest

from portcast.config import TopicOptions
from portcast.history import HistoryLimits
from portcast.topic_table import TopicTable, is_namespace


def options(history: int) -> TopicOptions:
    return TopicOptions(history=history)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a:", True),
        ("a/b:", True),
        ("#42:", True),
        ("$SYS:", True),
        ("a:b", False),
        ("+/b:", False),
        ("a:/#", False),
        ("", False),
    ],
)
def test_a_namespace_is_text_without_wildcards_that_ends_with_a_colon(key: str, expected: bool) -> None:
    """Everything else is a topic filter, as it always was."""
    assert is_namespace(key) is expected


@pytest.mark.parametrize(
    ("topic", "history"),
    [
        pytest.param("small:1", 2, id="namespace"),
        pytest.param("small:a/b", 2, id="with levels"),
        pytest.param("small:", 2, id="nothing behind it"),
        pytest.param("small", 9, id="the word alone is none"),
        pytest.param("a/b:", 3, id="a filter that ends with a colon"),
        pytest.param("logs/x", 4, id="the first that matches counts"),
        pytest.param("logs/listened", 5, id="a listener is stronger"),
        pytest.param("own:", 6, id="a listener's topic is no namespace"),
        pytest.param("own:1", 9, id="so nothing else has its options"),
        pytest.param("$SYS:x", 7, id="system"),
    ],
)
def test_the_options_of_a_topic(topic: str, history: int) -> None:
    """What its listener said, else the first key that matches, else the default."""
    table = TopicTable(
        {
            "small:": options(2),
            "+/b:": options(3),
            "logs/#": options(4),
            "logs/x": options(0),
            "$SYS:": options(7),
        },
        {"logs/listened": options(5), "own:": options(6)},
        default=options(9),
    )
    assert table.of(topic).history == history
    assert sorted(one.history or 0 for one in table.every()) == [0, 2, 3, 4, 5, 6, 7, 9]


def test_the_history_of_a_topic() -> None:
    """The process's limits, with what the options say in place; equal options share the value."""
    limits = HistoryLimits(publications=50, age_s=60, topic_bytes=1000)
    table = TopicTable(
        {
            "few:": TopicOptions(history=2),
            "brief:": TopicOptions(history_age_s=5),
            "none:": TopicOptions(history=0),
            "quick:": TopicOptions(patience_s=0),
        },
        history=limits,
    )
    assert table.history_of("few:1") == HistoryLimits(publications=2, age_s=60, topic_bytes=1000)
    assert table.history_of("few:1") is table.history_of("few:2")
    assert table.history_of("brief:1") == HistoryLimits(publications=50, age_s=5, topic_bytes=1000)
    assert not table.history_of("none:1").is_enabled
    assert table.history_of("quick:1") is limits
    assert table.history_of("x") is limits


def test_a_topic_may_have_history_where_others_have_none() -> None:
    """History that is off for all is on for one that asks for it, but not past the budget of the process."""
    table = TopicTable({"a": options(5)}, history=HistoryLimits(publications=0))
    assert table.history_of("a").is_enabled
    assert not table.history_of("b").is_enabled
    assert not TopicTable({"a": options(5)}, history=HistoryLimits(total_bytes=0)).history_of("a").is_enabled
