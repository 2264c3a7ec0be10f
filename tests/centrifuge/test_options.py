"""Options that cannot work are refused before a client comes."""

from __future__ import annotations

from typing import Any

import pytest

from portcast.centrifuge.options import SessionOptions
from portcast.errors import ConfigurationError
from portcast.topics import validate_filter, validate_topic


def options(**changes: Any) -> SessionOptions:
    return SessionOptions("portcast", validate_filter, validate_topic, **changes)


def test_the_defaults_are_those_of_the_reference_server() -> None:
    """A client that works with Centrifugo finds the same times and limits."""
    one = options()
    assert (one.connect_timeout_s, one.ping_s, one.pong_s, one.refresh_grace_s) == (10, 25, 8, 25)
    assert (one.max_subscriptions, one.max_rpcs, one.max_gaps_per_minute) == (128, 16, 5)
    assert not one.accepts_messages


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"ping_s": -1}, "ping_s"),
        ({"pong_s": -0.1}, "pong_s"),
        ({"refresh_grace_s": -1}, "refresh_grace_s"),
        ({"max_subscriptions": -1}, "max_subscriptions"),
        ({"max_rpcs": -1}, "max_rpcs"),
        ({"max_gaps_per_minute": -1}, "max_gaps_per_minute"),
        ({"connect_timeout_s": 0}, "connect_timeout_s"),
        ({"ping_s": 8, "pong_s": 8}, "pong_s"),
    ],
    ids=lambda value: str(value),
)
def test_what_cannot_work_is_refused(changes: dict[str, float], key: str) -> None:
    """The error names the option."""
    with pytest.raises(ConfigurationError) as caught:
        options(**changes)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("ping_s", "pong_s", "wants_pongs"), [(25, 8, True), (25, 0, False), (0, 8, False), (0, 0, False)]
)
def test_pongs_are_wanted_only_where_there_are_pings(ping_s: int, pong_s: int, wants_pongs: bool) -> None:
    """With pings of the transport, or without an answer, the client is told not to send any."""
    assert options(ping_s=ping_s, pong_s=pong_s).wants_pongs is wants_pongs
