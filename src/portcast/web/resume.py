"""The encodings in use: one object per kind of client and kind of id.

Subscribers that share an encoding object share its work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from portcast.brokers.base import is_single_topic, resume_id
from portcast.delivery import Encoding
from portcast.publication import Publication
from portcast.web.encodings import (
    Envelopes,
    EventsJson,
    EventsPlain,
    ResumeId,
    UnixTime,
    WebSocketJson,
    WebSocketPlain,
)
from portcast.web.frame_encodings import JsonFrames, PlainFrames, framer

Form = Literal["messages", "frames", "deflated"]
"""What a WebSocket sink takes: ASGI messages, or frames, with permessage-deflate or without."""


class EnvelopesOf:
    """Gives what makes envelopes for a client, whose ids fit its filters."""

    def __init__(self, node_epoch: Callable[[], str], unix_time: UnixTime) -> None:
        self._exact = Envelopes(_resume_by(("x",), node_epoch), unix_time)
        self._several = Envelopes(_resume_by(("#",), node_epoch), unix_time)

    def of(self, filters: Sequence[str]) -> Envelopes:
        """Return the maker for valid filters."""
        return self._exact if is_single_topic(filters) else self._several


class Encodings:
    """Gives the shared encoding for a client.

    A client of one exact topic resumes by that topic's offset, any other by the node's sequence number; that is the
    only difference between two sets of filters.
    """

    def __init__(self, node_epoch: Callable[[], str], unix_time: UnixTime) -> None:
        exact, several = _resume_by(("x",), node_epoch), _resume_by(("#",), node_epoch)
        self._events_plain = (EventsPlain(several), EventsPlain(exact))
        self._events_json = (EventsJson(several, unix_time), EventsJson(exact, unix_time))
        self._plain: dict[Form, Encoding] = {"messages": WebSocketPlain()}
        self._json: dict[Form, tuple[Encoding, Encoding]] = {
            "messages": (WebSocketJson(several, unix_time), WebSocketJson(exact, unix_time))
        }
        forms: tuple[tuple[Form, bool], ...] = (("frames", False), ("deflated", True))
        for form, is_deflated in forms:
            make = framer(is_deflated)
            self._plain[form] = PlainFrames(make)
            self._json[form] = (
                JsonFrames(make, Envelopes(several, unix_time)),
                JsonFrames(make, Envelopes(exact, unix_time)),
            )

    def websocket(self, filters: Sequence[str], form: Form, *, is_json: bool) -> Encoding:
        """Return the encoding for a WebSocket."""
        return self._json[form][is_single_topic(filters)] if is_json else self._plain[form]

    def events(self, filters: Sequence[str], *, is_json: bool) -> Encoding:
        """Return the encoding for an event stream."""
        return (self._events_json if is_json else self._events_plain)[is_single_topic(filters)]


def _resume_by(filters: Sequence[str], node_epoch: Callable[[], str]) -> ResumeId:
    def give(publication: Publication) -> str:
        return resume_id(filters, publication, node_epoch())

    return give
