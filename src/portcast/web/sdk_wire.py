"""How replies reach an SDK client: the format of the protocol, and what its transport makes of a frame.

=============  ==========================================  ===================================================
form           a frame of the protocol becomes             where
=============  ==========================================  ===================================================
``frames``     the bytes of a WebSocket frame              sinks that reach the transport
``deflated``   the same, compressed where that is smaller  those, after permessage-deflate was negotiated
``messages``   an ASGI WebSocket message                   any other ASGI server
``stream``     a part of a response body                   HTTP streaming
``events``     a server-sent event                         ``/connection/sse``
=============  ==========================================  ===================================================

There is one `Wire` per format and form, shared by all its clients, because what is made for it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

from portcast.centrifuge import json_codec, protobuf_codec
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import Command, Reply
from portcast.centrifuge.pushes import frames as grouped
from portcast.delivery import Batch, joined
from portcast.web.websocket_frames import BINARY, TEXT, deflated, frame

Form = Literal["frames", "deflated", "messages", "stream", "events"]


def _websocket_frame(format_: Format, payload: bytes) -> object:
    return frame(TEXT if format_ is Format.JSON else BINARY, payload)


def _deflated_frame(format_: Format, payload: bytes) -> object:
    return deflated(TEXT if format_ is Format.JSON else BINARY, payload)


def _message(format_: Format, payload: bytes) -> object:
    if format_ is Format.JSON:
        return {"type": "websocket.send", "text": payload.decode()}
    return {"type": "websocket.send", "bytes": payload}


def _part(format_: Format, payload: bytes) -> object:
    return {"type": "http.response.body", "body": payload + format_.separator, "more_body": True}


def _event(format_: Format, payload: bytes) -> object:
    # One event for each reply: `EventSource` would give several lines of data as one text, with line feeds in it; the
    # SDK splits that, but a proxy that cuts long events would not.
    lines = b"".join(b"data: %s\n\n" % line for line in payload.split(b"\n"))
    return {"type": "http.response.body", "body": lines, "more_body": True}


_PACK: dict[Form, Callable[[Format, bytes], object]] = {
    "frames": _websocket_frame,
    "deflated": _deflated_frame,
    "messages": _message,
    "stream": _part,
    "events": _event,
}


@dataclass(frozen=True, slots=True)
class Wire:
    """See the theory on top of the module."""

    format: Format
    form: Form

    def decode(self, data: str | bytes) -> list[Command]:
        """Return the commands in one frame of a client.

        Raises:
            CentrifugeError: it is not made of commands.
        """
        return json_codec.decode(data) if self.format is Format.JSON else protobuf_codec.decode(data)

    def encode(self, replies: Sequence[Reply]) -> list[object]:
        """Return replies as what the sink writes."""
        codec = json_codec if self.format is Format.JSON else protobuf_codec
        return [_PACK[self.form](self.format, codec.encode(replies))]

    def pack(self, pushes: Sequence[bytes], messages: int, size: int) -> Batch:
        """Return encoded pushes as a batch, several in each frame.

        Args:
            pushes: as `portcast.centrifuge.pushes` makes them.
            messages: publications that they stand for.
            size: payload bytes of those.
        """
        pack, format_ = _PACK[self.form], self.format
        items = [pack(format_, one) for one in grouped(pushes, format_)]
        if self.form in ("frames", "deflated") and len(items) > 1:
            items = [b"".join(cast("list[bytes]", items))]
        return Batch(items, messages, size)

    def join(self, batches: Sequence[Batch]) -> Batch:
        """Return several batches as one, to be written in one go."""
        if self.form not in ("frames", "deflated"):
            return joined(batches)
        data = b"".join(cast("Sequence[bytes]", [item for batch in batches for item in batch.items]))
        return Batch(
            # Where all is hidden from a client there is no item: from Python 3.12 on asyncio's transports keep an empty
            # buffer, and ask for room for it again and again.
            [data] if data else [],
            sum(batch.messages for batch in batches),
            sum(batch.size for batch in batches),
        )


@cache
def wire(format_: Format, form: Form) -> Wire:
    """Return the one wire of its kind.

    Raises:
        MissingDependencyError: Protobuf is asked for, and its package is not installed.
    """
    if format_ is Format.PROTOBUF:
        protobuf_codec.require()
    return Wire(format_, form)
