"""The middle tier of sinks: frames written straight to the transport under uvicorn's own WebSocket classes.

Three tiers, chosen per connection by what the server offers:

1. our own class (`portcast.web.websocket_protocol`), under ``portcast serve`` and ``uvicorn --ws``: direct writes, no
   task;
2. this one, under plain ``uvicorn app:app`` and ``fastapi run``: direct writes, found by
   `portcast.web.transports.TransportProbe`; the ASGI call goes on, to read and to close;
3. plain ASGI ``send`` (`portcast.web.asgi_sink`), everywhere else.

Nothing tells us here when the transport has room again, so a full one is looked at every few milliseconds. The class
under us must be one whose state we know (uvicorn 0.40 to 0.54: ``websockets-sansio`` and ``wsproto``); any other falls
back to tier 3. A frame that we write may stand between the class's own frames, because each is a whole message
(RFC 6455 §5.4), and uncompressed, which permessage-deflate allows for any message (RFC 7692 §6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, cast

from portcast.delivery import Batch
from portcast.web.asgi_sink import AsgiSink, Farewell
from portcast.web.transports import OWNER_KEY, Scope, Send, buffered_in
from portcast.web.websocket_frames import joined

HIGH_BYTES = 65_536
"""More than this in the transport's buffer: the sink takes no more. The mark of asyncio's own transports."""
LOW_BYTES = 16_384
"""At most this: it takes more again."""
POLL_S = 0.005
"""How often a full transport is looked at."""


class StockProtocol(Protocol):
    """What uvicorn's two sans-I/O WebSocket classes have in common."""

    transport: asyncio.Transport
    conn: Any
    handshake_complete: bool
    close_sent: bool
    disconnected: bool


def stock_protocol_of(scope: Scope) -> StockProtocol | None:
    """Return the uvicorn class under a WebSocket, if it is one whose state we know."""
    owner = (scope.get("extensions") or {}).get(OWNER_KEY)
    if owner is None or not type(owner).__module__.startswith("uvicorn.protocols.websockets."):
        return None
    names = ("transport", "conn", "handshake_complete", "close_sent", "disconnected")
    return cast("StockProtocol", owner) if all(hasattr(owner, name) for name in names) else None


class TransportSink(AsgiSink):
    """See the theory on top of the module."""

    def __init__(self, send: Send, protocol: StockProtocol, *, farewell: Farewell) -> None:
        super().__init__(send, transport=protocol.transport, farewell=farewell)
        self._protocol = protocol
        self._poll_timer: asyncio.TimerHandle | None = None

    def write(self, batch: Batch) -> bool:
        """See `Sink.write`."""
        return self.write_now(batch.items)

    def write_now(self, items: Sequence[object]) -> bool:
        """See `Sink.write_now`."""
        protocol = self._protocol
        transport = protocol.transport
        if (
            self._goodbye is not None
            or protocol.close_sent
            or protocol.disconnected
            or not protocol.handshake_complete
            or transport.is_closing()
            or protocol.conn.state.name != "OPEN"
        ):
            # The end is on its way; what was taken now would be lost without being counted.
            return False
        transport.write(joined(cast("Sequence[bytes]", items)))
        if buffered_in(transport) <= HIGH_BYTES:
            return self._poll_timer is None
        if self._poll_timer is None:
            self._poll_soon()
        return False

    def _poll_soon(self) -> None:
        self._poll_timer = asyncio.get_running_loop().call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        self._poll_timer = None
        if buffered_in(self._protocol.transport) > LOW_BYTES:
            if not self._protocol.disconnected:
                self._poll_soon()
        elif self._owner is not None:
            self._owner.on_drained()

    def _leave(self) -> None:
        if self._poll_timer is not None:
            self._poll_timer.cancel()
            self._poll_timer = None
        super()._leave()

    def _may_be_stuck(self, transport: asyncio.WriteTransport) -> bool:
        # Not by what the transport shows: over TLS that is not all. The class knows whether the connection has ended.
        return not self._protocol.disconnected
