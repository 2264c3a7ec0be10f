"""A deadline for the heads of HTTP requests, which uvicorn's protocols have not.

A client that sends half a head and then nothing keeps its socket for ever, and so many of them that no descriptor is
left lock everybody out, health checks too. A connection is *pending* from its opening, and on a kept connection from
the first bytes of its next request, until h11 has a whole head. Pending connections lie in the order in which they
began, so the oldest is always the first: one timer of the loop looks at it, however many there are.

Of uvicorn's protocol this uses ``conn`` (the h11 connection), ``transport`` and ``loop``. An idle kept connection is
uvicorn's own (``timeout_keep_alive``, 5 s), and so is the size of a head (``h11_max_incomplete_event_size``).
"""

from __future__ import annotations

import asyncio
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_PENDING = 2048
"""Pending connections at a time, so many as the backlog holds: a crowd that comes back in one turn of the loop,
each with its head under way, must not push itself out."""
PENDING_SHARE = 8
"""Of a process with few descriptors only every eighth may be pending."""
LEAST_PENDING = 64

TIMEOUT_ANSWER = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
"""RFC 9110 §15.5.9. A connection on which nothing was ever sent is closed without: browsers open some in advance."""


def most_pending(descriptors: int) -> int:
    """Return how many connections may be pending in a process that may have so many descriptors."""
    return max(LEAST_PENDING, min(MOST_PENDING, descriptors // PENDING_SHARE))


class HeadWatch:
    """Closes connections whose request's head does not come."""

    def __init__(self, timeout_s: float, most: int) -> None:
        """Watch nothing yet.

        Args:
            timeout_s: from the beginning of a head to its end, absolute; 0 for no deadline.
            most: pending connections at a time; one more closes the oldest.
        """
        self._timeout_s = timeout_s
        self._most = most
        self._pending: dict[H11Protocol, float] = {}
        """Since when, by the loop's clock; oldest first."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, protocol: H11Protocol) -> None:
        """A head is awaited on this connection; does nothing if one is already."""
        if protocol in self._pending:
            return
        if len(self._pending) >= self._most:
            _close(next(iter(self._pending)))
            del self._pending[next(iter(self._pending))]
        self._pending[protocol] = protocol.loop.time()
        if self._timeout_s and self._timer is None:
            self._timer = protocol.loop.call_later(self._timeout_s, self._look, protocol.loop)

    def end(self, protocol: H11Protocol) -> None:
        """The head is there, or the connection is gone."""
        self._pending.pop(protocol, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        due = loop.time() - self._timeout_s
        while self._pending:
            protocol, since = next(iter(self._pending.items()))
            if since > due:
                # Everybody after it came later, so nothing is due before it.
                self._timer = loop.call_at(since + self._timeout_s, self._look, loop)
                return
            del self._pending[protocol]
            _close(protocol)


def _close(protocol: H11Protocol) -> None:
    if protocol.transport.is_closing():
        return
    if protocol.conn.trailing_data[0]:
        protocol.transport.write(TIMEOUT_ANSWER)
    protocol.transport.close()


def http_protocol(watch: HeadWatch) -> type[asyncio.Protocol]:
    """Return uvicorn's h11 protocol class with the watch around it, for ``uvicorn.Config(http=…)``."""

    class HttpProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(cast("asyncio.Transport", transport))
            watch.begin(self)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                watch.begin(self)
            else:
                watch.end(self)

        def connection_lost(self, exc: Exception | None) -> None:
            watch.end(self)
            super().connection_lost(exc)

    return HttpProtocol
