from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_args

import pytest

from portcast import events
from portcast.events import CloseReason, ConnectionClosed, Event, ListenerResumed
from portcast.types import ConnectionId, ListenerName

KINDS = get_args(Event)


def test_the_union_is_complete() -> None:
    """Receivers match on `Event`: a kind that is not in it would be one that they do not expect."""
    declared = {one for one in vars(events).values() if is_dataclass(one) and isinstance(one, type)}
    assert declared == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_a_documented_value(kind: type) -> None:
    """Events are values: frozen, so that one receiver cannot change what the next one sees."""
    assert kind.__doc__
    assert fields(kind)
    assert not hasattr(ListenerResumed(ListenerName("l")), "__dict__")


def test_an_event_cannot_be_changed() -> None:
    """See above."""
    event = ListenerResumed(ListenerName("l"))
    with pytest.raises(FrozenInstanceError):
        event.listener = ListenerName("m")  # type: ignore[misc]  # that is the point


def test_close_reasons_cover_the_framing_errors() -> None:
    """A framing error ends the connection with its own reason, which is a close reason as it is."""
    from portcast.errors import ChecksumError, FramingError, OversizeFrameError, TruncatedFrameError

    reasons = {one.reason for one in (FramingError, OversizeFrameError, TruncatedFrameError, ChecksumError)}
    assert reasons <= set(get_args(CloseReason))


def test_a_closed_connection_tells_everything() -> None:
    """The one event of a connection's end has all that a log line and counters need."""
    event = ConnectionClosed(ConnectionId("c"), ListenerName("l"), "peer", "reset", "", 3, 40, 5, 1.5, 0)
    assert (event.frames, event.bytes_received, event.bytes_sent, event.seconds, event.undelivered) == (
        3,
        40,
        5,
        1.5,
        0,
    )
