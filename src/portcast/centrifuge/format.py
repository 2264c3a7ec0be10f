"""Which of the two formats a client speaks: from the WebSocket subprotocols that it offers and its query.

============================================  ===================================
the client says                               it speaks
============================================  ===================================
nothing, or an empty header                   JSON
``Sec-WebSocket-Protocol: centrifuge-json``   JSON
``... centrifuge-protobuf``                   Protobuf
``?format=protobuf``                          Protobuf, also over HTTP streaming
``?cf_protocol=protobuf``                     the same
============================================  ===================================

The query is for clients that cannot set headers, so it can only ask for Protobuf; ``format=json`` undoes nothing. That
is how centrifugal/centrifuge reads it (``handler_websocket.go``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple


class Format(Enum):
    """How commands and replies are written."""

    JSON = "json"
    PROTOBUF = "protobuf"

    @property
    def separator(self) -> bytes:
        """What stands between two replies of one frame."""
        return b"\n" if self is Format.JSON else b""


SUBPROTOCOLS = {"centrifuge-json": Format.JSON, "centrifuge-protobuf": Format.PROTOBUF}
"""The names registered for WebSocket handshakes."""


class Choice(NamedTuple):
    """What was agreed.

    Attributes:
        format: of everything that follows.
        subprotocol: to answer with in the handshake; None for no header, which is right if none that we know was
            offered (RFC 6455 §4.2.2).
    """

    format: Format
    subprotocol: str | None


def choose_format(subprotocols: Iterable[str], query: Mapping[str, str]) -> Choice:
    """Return what a client asked for; of several subprotocols the first that we know (RFC 6455 §4.1).

    Args:
        subprotocols: offered, in the client's order; unknown and empty ones are passed over (the Python SDK sends an
            empty header). Empty for a transport without a handshake.
        query: parameters of the URL.
    """
    offered = next((name for one in subprotocols if (name := one.strip()) in SUBPROTOCOLS), None)
    asks_protobuf = "protobuf" in (query.get("format"), query.get("cf_protocol"))
    if asks_protobuf or offered is None:
        return Choice(Format.PROTOBUF if asks_protobuf else Format.JSON, offered)
    return Choice(SUBPROTOCOLS[offered], offered)


def wants_native_ping(query: Mapping[str, str]) -> bool:
    """Return True for ``?cf_ws_frame_ping_pong=true``: ping with WebSocket frames instead of empty replies.

    For tools such as wscat that answer those by themselves and these not at all.
    """
    return query.get("cf_ws_frame_ping_pong") == "true"
