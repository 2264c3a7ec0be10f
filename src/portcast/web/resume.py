"""The encodings in use: one object per kind of client and kind of id.

Subscribers that share an encoding object share its work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from portcast.brokers.base import is_single_topic, resume_id
from portcast.publication import Publication
from portcast.web.encodings import EventsJson, EventsPlain, ResumeId, UnixTime, WebSocketJson


class Encodings:
    """Gives the shared encoding for a set of filters.

    A client of one exact topic resumes by that topic's offset, any other by the node's sequence number; that is the
    only difference between two sets of filters.
    """

    def __init__(self, node_epoch: Callable[[], str], unix_time: UnixTime) -> None:
        exact, several = _resume_by(("x",), node_epoch), _resume_by(("#",), node_epoch)
        self._websocket_json = (WebSocketJson(several, unix_time), WebSocketJson(exact, unix_time))
        self._events_plain = (EventsPlain(several), EventsPlain(exact))
        self._events_json = (EventsJson(several, unix_time), EventsJson(exact, unix_time))

    def websocket_json(self, filters: Sequence[str]) -> WebSocketJson:
        """Return the encoding for WebSocket envelopes."""
        return self._websocket_json[is_single_topic(filters)]

    def events_plain(self, filters: Sequence[str]) -> EventsPlain:
        """Return the encoding for events with bare payloads."""
        return self._events_plain[is_single_topic(filters)]

    def events_json(self, filters: Sequence[str]) -> EventsJson:
        """Return the encoding for events with envelopes."""
        return self._events_json[is_single_topic(filters)]


def _resume_by(filters: Sequence[str], node_epoch: Callable[[], str]) -> ResumeId:
    def give(publication: Publication) -> str:
        return resume_id(filters, publication, node_epoch())

    return give
