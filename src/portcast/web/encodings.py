"""How publications look to WebSocket and event-stream clients: ASGI messages, made once for all of them.

======================  ==============================================================================
encoding                one publication becomes
======================  ==============================================================================
`WebSocketPlain`        one message: text if the payload is valid UTF-8, binary otherwise
`WebSocketJson`         one text message, a JSON envelope
`EventsPlain`           one event with the payload as data; an event named ``binary`` with Base64 if not UTF-8
`EventsJson`            one event, a JSON envelope as data
======================  ==============================================================================

The envelope: ``{"topic", "epoch", "offset", "id", "time", "data"}``, where ``id`` is what to resume from, ``time`` is
in Unix seconds, and ``base64`` stands in place of ``data`` when the payload is not UTF-8. A publication that has tags
has them as ``tags``, an object of texts, too.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from portcast.delivery import Batch, joined
from portcast.publication import Publication, Run

Message = dict[str, Any]
"""An ASGI message."""

ResumeId = Callable[[Publication], str]
"""Gives the id from which a client resumes after a publication."""

UnixTime = Callable[[float], float]
"""Turns monotonic seconds into Unix seconds."""

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Listed:
    """Encodings whose batches are lists of ASGI messages: joining them is putting the lists together."""

    def join(self, batches: Sequence[Batch]) -> Batch:
        """See `portcast.delivery.Encoding`."""
        return joined(batches)


def _as_text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _gap(missed: int, is_exact: bool) -> dict[str, object]:
    return {"missed": missed, "exact": is_exact}


def gap_notice(missed: int, is_exact: bool) -> str:
    """Return what stands in place of an envelope for a gap: ``{"gap": {"missed": n, "exact": bool}}``."""
    return _dumps({"gap": _gap(missed, is_exact)})


class WebSocketPlain(_Listed):
    """The payload and nothing else: any client, no library."""

    def encode(self, run: Run) -> Batch:
        """See `portcast.delivery.Encoding`."""
        items: list[Message] = []
        size = 0
        for payload in run.payloads:
            size += len(payload)
            text = _as_text(payload)
            if text is None:
                items.append({"type": "websocket.send", "bytes": payload})
            else:
                items.append({"type": "websocket.send", "text": text})
        return Batch(items, len(items), size)

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        """Return None: a plain client cannot tell a notice from a payload."""
        return None


@dataclass(frozen=True, slots=True)
class Envelopes:
    """Makes envelopes, as JSON texts (see the top of the module).

    Attributes:
        resume_id: gives the id of a publication.
        unix_time: gives the time of a run.
    """

    resume_id: ResumeId
    unix_time: UnixTime

    def of(self, run: Run) -> list[str]:
        """Return one envelope per publication."""
        time = round(self.unix_time(run.at), 3)
        tags = dict(run.meta.tags) if run.meta is not None else None
        envelopes = []
        for publication in run.publications():
            envelope: dict[str, Any] = {
                "topic": publication.topic,
                "epoch": publication.epoch,
                "offset": publication.offset,
                "id": self.resume_id(publication),
                "time": time,
            }
            text = _as_text(publication.data)
            if text is None:
                envelope["base64"] = b64encode(publication.data).decode()
            else:
                envelope["data"] = text
            if tags:
                envelope["tags"] = tags
            envelopes.append(_dumps(envelope))
        return envelopes


class WebSocketJson(_Listed):
    """Envelopes: topic, position and time travel with the payload."""

    def __init__(self, resume_id: ResumeId, unix_time: UnixTime) -> None:
        self._envelopes = Envelopes(resume_id, unix_time)

    def encode(self, run: Run) -> Batch:
        """See `portcast.delivery.Encoding`."""
        texts = self._envelopes.of(run)
        return Batch(
            [{"type": "websocket.send", "text": text} for text in texts], len(texts), sum(map(len, run.payloads))
        )

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        """Return ``{"gap": {"missed": n, "exact": bool}}``."""
        return Batch([{"type": "websocket.send", "text": gap_notice(missed, is_exact)}], 0, 0)


def event(data: str, *, event_id: str = "", name: str = "") -> str:
    """Return one server-sent event (HTML standard, section 9.2).

    Line ends of any kind split the data into lines, as the format cannot carry them otherwise: a client sees LF.
    """
    head = (f"id: {event_id}\n" if event_id else "") + (f"event: {name}\n" if name else "")
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return head + "".join(f"data: {line}\n" for line in lines) + "\n"


def _body(text: str, count: int, size: int) -> Batch:
    return Batch([{"type": "http.response.body", "body": text.encode(), "more_body": True}], count, size)


class EventsPlain(_Listed):
    """Events whose data is the payload."""

    def __init__(self, resume_id: ResumeId) -> None:
        self._resume_id = resume_id

    def encode(self, run: Run) -> Batch:
        """See `portcast.delivery.Encoding`."""
        parts = []
        for publication in run.publications():
            text = _as_text(publication.data)
            if text is None:
                encoded = b64encode(publication.data).decode()
                parts.append(event(encoded, event_id=self._resume_id(publication), name="binary"))
            else:
                parts.append(event(text, event_id=self._resume_id(publication)))
        return _body("".join(parts), len(parts), sum(map(len, run.payloads)))

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        """Return an event named ``gap`` with the data ``{"missed": n, "exact": bool}``."""
        return _body(event(_dumps(_gap(missed, is_exact)), name="gap"), 0, 0)


class EventsJson(_Listed):
    """Events whose data is an envelope."""

    def __init__(self, resume_id: ResumeId, unix_time: UnixTime) -> None:
        self._envelopes = Envelopes(resume_id, unix_time)

    def encode(self, run: Run) -> Batch:
        """See `portcast.delivery.Encoding`."""
        publications = run.publications()
        resume_id = self._envelopes.resume_id
        parts = [
            event(envelope, event_id=resume_id(publication))
            for publication, envelope in zip(publications, self._envelopes.of(run), strict=True)
        ]
        return _body("".join(parts), len(parts), sum(map(len, run.payloads)))

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        """Return an event named ``gap`` with the data ``{"missed": n, "exact": bool}``."""
        return _body(event(_dumps(_gap(missed, is_exact)), name="gap"), 0, 0)
