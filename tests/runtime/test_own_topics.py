from __future__ import annotations

import pytest

from portcast.runtime import OWN_TOPICS
from portcast.topic_table import TopicTable


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("$devices/a/status", (1, "auto")),
        ("$store/a/b", (1, "latest_per_key")),
        ("$recorder/devices/a", (0, "drop_oldest")),
    ],
)
def test_the_gateways_own_topics(topic: str, expected: tuple[int, str]) -> None:
    """States keep their last value; what is recorded is kept by the recorder alone."""
    options = TopicTable(OWN_TOPICS).of(topic)
    assert (options.history, options.slow_consumer) == expected


def test_nobody_who_watches_holds_up_a_device() -> None:
    """Recorded frames never wait, so patience would pause what has nothing to do with it."""
    assert TopicTable(OWN_TOPICS).of("$recorder/devices/a").patience_s == 0
