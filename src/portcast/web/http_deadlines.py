"""Deadlines for HTTP requests and responses, which uvicorn's protocols have not.

A client that sends half a request and then nothing keeps its socket for ever, as does one that does not take its
response; so many of them that no descriptor is left lock everybody out, health checks too.

* A connection is *pending* from its opening, and on a kept connection from the first bytes of its next request, until
  h11 has the whole request, body included. After its deadline it is answered 408 and closed. A body is read at once by
  our routes, and has at most ``max_message_bytes``.
* A connection is *owing* while its transport takes no more (`pause_writing`), and from the end of a response of which
  something has not left the process yet. After its deadline it is aborted: `close` would wait for a peer that may
  never read.
* A connection is *idle* from the end of a response to the first bytes of the next request. Its deadline is uvicorn's
  own (``timeout_keep_alive``, 5 s).

Whoever has no request under way costs others a place and loses nothing by coming again. So where HTTP is full, one of
them goes for whoever is new, an idle one before one that is pending, the oldest first; likewise where too many are
pending. An honest client sends its request at once, and is past being pending before it is the oldest.

Either kind lies in the order in which it began, so the oldest is always the first: one timer of the loop looks at it,
however many there are.

Of uvicorn's protocol this uses ``conn`` (the h11 connection), ``cycle``, ``transport``,
``connections`` and ``loop``. `StrictConnection` is h11's with what it leaves out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from portcast.web.websocket_asgi import MAX_HEAD_BYTES
from portcast.web.websocket_reading import PacedProtocol

PEERS_FAULTS = frozenset({"Invalid HTTP request received.", "Unsupported upgrade request."})
"""What uvicorn logs of each such request, with no word of who it was and as often as it comes. The first is told by
``on_malformed`` instead; the second is none: such a request is answered without an upgrade (RFC 9110 §7.8)."""

TIMEOUT_ANSWER = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
"""RFC 9110 §15.5.9. A connection on which nothing was ever sent is closed without: browsers open some in advance."""
TOO_LONG_ANSWER = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
"""RFC 6585 §5."""


class _Line:
    """Connections in the order in which they came, each for the same time."""

    def __init__(self, timeout_s: float, expire: Callable[[HttpProtocol], None]) -> None:
        self._timeout_s = timeout_s
        self._expire = expire
        self._since: dict[HttpProtocol, float] = {}
        """By the loop's clock; oldest first."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, protocol: HttpProtocol) -> bool:
        return protocol in self._since

    def join(self, protocol: HttpProtocol) -> None:
        self._since[protocol] = protocol.loop.time()
        if self._timeout_s and self._timer is None:
            self._timer = protocol.loop.call_later(self._timeout_s, self._look, protocol.loop)

    def leave(self, protocol: HttpProtocol) -> None:
        self._since.pop(protocol, None)

    def pop(self) -> HttpProtocol:
        oldest = next(iter(self._since))
        del self._since[oldest]
        return oldest

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        due = loop.time() - self._timeout_s
        while self._since:
            protocol, since = next(iter(self._since.items()))
            if since > due:
                # Everybody after it came later, so nothing is due before it.
                self._timer = loop.call_at(since + self._timeout_s, self._look, loop)
                return
            del self._since[protocol]
            self._expire(protocol)


class HttpDeadlines:
    """Closes connections whose request does not come, and those that do not take their response."""

    def __init__(self, request_s: float, write_s: float, most: int) -> None:
        """Watch nothing yet.

        Args:
            request_s: from the beginning of a request to its end, absolute; 0 for no deadline.
            write_s: for a client to take what was written; 0 for no deadline.
            most: pending connections at a time; one more closes the oldest.
        """
        self._most = most
        self.pending = _Line(request_s, _refuse)
        self.owing = _Line(write_s, _abort)
        self.idle = _Line(0, _abort)

    def awaits_request(self, protocol: HttpProtocol) -> None:
        """A request is under way on this connection; does nothing if that is known."""
        if protocol in self.pending:
            return
        if len(self.pending) >= self._most:
            self.pending.pop().shed(f"{self._most} others waited for a request")
        self.pending.join(protocol)

    def make_room(self) -> bool:
        """End the connection that has waited longest without a request under way; return False if there is none."""
        while len(self.idle):
            one = self.idle.pop()
            # The end of a response may be on its way still, for which there is a deadline.
            if not _unwritten(one):
                one.shed("its place went to a newcomer, it was idle")
                return True
        if not len(self.pending):
            return False
        self.pending.pop().shed("its place went to a newcomer, it had sent no whole request")
        return True

    def has_written(self, protocol: HttpProtocol) -> None:
        """A response is complete: what is left of it has its time from now on."""
        self.owing.leave(protocol)
        if _unwritten(protocol):
            self.owing.join(protocol)


def _unwritten(protocol: HttpProtocol) -> int:
    return cast("asyncio.WriteTransport", protocol.transport).get_write_buffer_size()


def _refuse(protocol: HttpProtocol) -> None:
    if protocol.transport.is_closing():
        return
    conn, cycle = protocol.conn, protocol.cycle
    is_in_body = conn.their_state is h11.SEND_BODY and not cycle.response_started
    if conn.trailing_data[0] or is_in_body:
        protocol.transport.write(TIMEOUT_ANSWER)
    protocol.transport.close()


def _abort(protocol: HttpProtocol) -> None:
    if _unwritten(protocol):
        protocol.transport.abort()


class StrictConnection(h11.Connection):
    """h11's parser of requests, with an exact limit for heads and no doubt about where a body ends.

    h11 counts a head only while it is incomplete, so one that comes whole in a single read has no limit.

    Attributes:
        refusal: the status of the answer to what is no request.
    """

    def __init__(self, most: int) -> None:
        """Take heads of at most so many bytes, the empty line included."""
        super().__init__(h11.SERVER, most)
        self.refusal = 400
        self._most = most

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """See h11; raises `h11.RemoteProtocolError` for a head that is too long, or has two lengths (RFC 9112 §6.1)."""
        before = len(self.trailing_data[0]) if self.their_state is h11.IDLE else 0
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                if before - len(self.trailing_data[0]) > self._most:
                    raise h11.RemoteProtocolError("the head is too long", error_status_hint=431)
                names = {name for name, _ in event.headers}
                if {b"content-length", b"transfer-encoding"} <= names:
                    raise h11.RemoteProtocolError("the length of the body is said twice")
        except h11.RemoteProtocolError as error:
            # A chunk's head has the same limit, and is no head of the request.
            self.refusal = 431 if error.error_status_hint == 431 and before else 400
            raise
        return event


class HttpProtocol(H11Protocol):
    """uvicorn's h11 protocol with the deadlines around it."""

    conn: StrictConnection
    deadlines: ClassVar[HttpDeadlines]
    on_lost: Callable[[], object] | None = None
    """Called once the connection is gone, also if it has become a WebSocket meanwhile."""
    on_shed: Callable[[str], object] | None = None
    """Called with the details when it is ended for another."""
    on_malformed: Callable[[], object] | None = None
    """Called once for what is no request; the connection ends."""

    def __init__(self, config: Config, *args: Any, **kwargs: Any) -> None:
        """See uvicorn."""
        super().__init__(config, *args, **kwargs)
        self.conn = StrictConnection(config.h11_max_incomplete_event_size or MAX_HEAD_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.deadlines.awaits_request(self)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request, or of several."""
        self.deadlines.idle.leave(self)
        super().data_received(data)
        # uvicorn has handed a WebSocket to another protocol by now, and struck this one off.
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and self in self.connections:
            self.deadlines.awaits_request(self)
        else:
            self.deadlines.pending.leave(self)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, and end the connection."""
        if self.on_malformed is not None:
            self.on_malformed()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            if self.conn.refusal == 431:
                self.transport.write(TOO_LONG_ANSWER)
                self.transport.close()
            else:
                super().send_400_response(msg)
        else:
            # A body may turn out to be none after its response began; a second one cannot follow, and uvicorn
            # would raise, with a traceback in the log for each such peer.
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the socket."""
        self.deadlines.pending.leave(self)
        self.deadlines.owing.leave(self)
        self.deadlines.idle.leave(self)
        super().connection_lost(exc)
        self._give_place_back()

    def shed(self, detail: str) -> None:
        """End it now, tell of it, and give its place back."""
        if self.on_shed is not None:
            self.on_shed(detail)
        # Not when it is lost, which is a turn of the loop later: whoever is new needs the place now.
        self._give_place_back()
        self.transport.abort()

    def _give_place_back(self) -> None:
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection, and its place, to the WebSocket protocol."""
        super().handle_websocket_upgrade(event)
        following = self.transport.get_protocol()
        if isinstance(following, PacedProtocol):
            following.on_lost = self.on_lost

    def pause_writing(self) -> None:
        """Begin to wait for the client to take what was written."""
        super().pause_writing()
        self.deadlines.owing.join(self)

    def resume_writing(self) -> None:
        """Wait for it no more."""
        self.deadlines.owing.leave(self)
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Note that a response is complete, and what the connection does now."""
        self.deadlines.has_written(self)
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.deadlines.idle.join(self)


def http_protocol(deadlines: HttpDeadlines) -> type[HttpProtocol]:
    """Return a class of such protocols that share these deadlines, for ``uvicorn.Config(http=…)``."""
    return type("HttpProtocol", (HttpProtocol,), {"deadlines": deadlines})
