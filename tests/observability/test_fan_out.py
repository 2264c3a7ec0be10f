"""Tests of `portcast.observability.fan_out`."""

from __future__ import annotations

import logging

import pytest

from portcast.events import Event, ListenerResumed
from portcast.observability.fan_out import fan_out
from portcast.types import ListenerName


def test_each_receiver_gets_each_event_although_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver is the application's code: its fault is logged and costs the others nothing."""
    seen: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("no")

    event = ListenerResumed(ListenerName("a"))
    with caplog.at_level(logging.ERROR, "portcast"):
        fan_out(broken, seen.append, seen.append)(event)
    assert seen == [event, event]
    assert "event=ListenerResumed" in caplog.text
