"""Our WebSocket class for uvicorn: ``uvicorn --ws portcast.web.websocket_protocol:WebSocketProtocol app:app``.

Any ASGI application runs on it unchanged. Beside that it offers ``scope["extensions"]["portcast.sink"]``: the
connection itself as a `portcast.delivery.Sink`, which writes frames that were encoded once for all clients. It may then
be *detached*: the ASGI call returns, and with it go the task, the scope and the queue; what is left is this object, the
parser of frames and the transport.

Phases::

    HANDSHAKE ──► OPEN ──► CLOSING ──► LOST
        └──────────────────▲  one close frame, or an HTTP error, is out; nothing is written any more

* *handshake*: the request is read, the application decides (`portcast.web.websocket_asgi`).
* *open*: frames go both ways. While the transport's buffer is over its mark, `write` says so and of the pongs that are
  due only the newest is kept (RFC 6455 §5.5.3).
* *closing*: only the peer's close frame, or its end, is awaited. A peer that does neither, or does not read what was
  written, is aborted after `CLOSE_S`; nothing can wait for ever.

The parser is `websockets`' sans-I/O `Protocol`: it knows masks, fragments, extensions and close codes, and answers
pings and close frames. It does not know what is written directly; that is safe because every write here is a whole
message in one frame. It may be ahead of `_phase`: it has parsed all of what was received before the first message of
it is handed on, and a message that came before a close frame counts although the parser has answered the close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, cast

from websockets import protocol as sansio
from websockets.exceptions import ProtocolError
from websockets.extensions import Extension
from websockets.frames import Frame, Opcode

from portcast.delivery import Batch, SinkOwner
from portcast.web.keepalive import shared
from portcast.web.websocket_asgi import AsgiConversation, parser_logger
from portcast.web.websocket_frames import PING, close_reason, frame, joined
from portcast.web.websocket_reading import PacedProtocol

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

CLOSE_S = 0.75
"""From our close frame, or a failed one, to the abort."""
MAX_FRAGMENTS = 128
"""Frames of one message (faults: fragment flood); no browser sends more than a few."""

MessageCallback = Callable[[str | bytes], None]
"""Takes a message of a detached client. Called on the loop; must not block or raise."""


class Phase(Enum):
    """See the theory on top of the module."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSING = "closing"
    LOST = "lost"


_OPEN = Phase.OPEN  # a name of the module is found faster than an attribute of the class


class DetachedOwner(SinkOwner, Protocol):
    """Who owns a detached connection."""

    def ended(self, reason: str) -> None:
        """Take note that the connection is gone; called once."""


class WebSocketProtocol(PacedProtocol):
    """See the theory on top of the module. Implements `portcast.delivery.Sink`.

    Attributes:
        close_reason: why it ends; empty while it is open.
        is_deflated: True if permessage-deflate was negotiated, so that compressed frames may be written.
        is_write_paused: True while the transport's buffer is over its mark.
    """

    __slots__ = (
        "_close_timer",
        "_conversation",
        "_is_text",
        "_keepalive",
        "_on_message",
        "_owner",
        "_parser",
        "_parts",
        "_phase",
        "_pong",
        "_server_state",
        "close_reason",
        "is_deflated",
        "is_ping_pending",
        "is_write_paused",
        "keepalive_slot",
    )

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        """Make a connection, as uvicorn does when a request asks for the upgrade."""
        super().__init__()
        self._server_state = server_state
        self._phase = Phase.HANDSHAKE
        self._parser = sansio.Protocol(sansio.Side.SERVER, max_size=config.ws_max_size, logger=parser_logger)
        self.is_deflated = False
        # The application's side; None once detached.
        self._conversation: AsgiConversation | None = AsgiConversation(self, config, server_state, app_state)
        # The subscriber's side, once there is one.
        self._owner: DetachedOwner | None = None
        self._on_message: MessageCallback | None = None
        # The message being received: its fragments so far. Most have one, so no list is kept for it.
        self._parts: Sequence[bytes] = ()
        self._is_text = False
        # Writing and ending.
        self.is_write_paused = False
        self._pong = b""
        self._close_timer: asyncio.TimerHandle | None = None
        self.close_reason = ""
        # Pings.
        interval, timeout, loop = config.ws_ping_interval, config.ws_ping_timeout, asyncio.get_running_loop()
        self._keepalive = shared(loop, server_state, interval, timeout) if interval else None
        self.keepalive_slot = -1
        self.is_ping_pending = False

    # What asyncio and uvicorn call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol.connection_made`."""
        self.transport = cast("asyncio.Transport", transport)
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol.data_received`."""
        if self._phase is Phase.HANDSHAKE:
            assert self._conversation is not None, "nothing is detached before it is open"
            self._conversation.data_received(data)
        else:
            super().data_received(data)

    def take(self, data: bytes) -> None:
        """See `PacedProtocol.take`."""
        self._parser.receive_data(data)
        for event in self._parser.events_received():
            self._frame_received(cast("Frame", event))
        self._answer()

    def eof_received(self) -> None:
        """See `asyncio.Protocol.eof_received`; the transport closes itself, once what was written is out."""
        self._begin_end("client left")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol.connection_lost`."""
        self._phase = Phase.LOST
        self.reading_lost()
        self.close_reason = self.close_reason or ("connection lost" if exc else "client left")
        if self._keepalive is not None:
            self._keepalive.remove(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._server_state.connections.discard(self)
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            # RFC 6455 §7.1.5: no close frame was received. The first word counts, if there was one.
            conversation.disconnected(1006, "")
        owner, self._owner, self._on_message = self._owner, None, None
        if owner is not None:
            owner.ended(self.close_reason)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol.pause_writing`."""
        self.is_write_paused = True

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol.resume_writing`."""
        self.is_write_paused = False
        if self._phase is not _OPEN:
            return
        if self.is_ping_pending and self._keepalive is not None:
            # The ping may stand behind much that the peer takes slowly; that it takes something shows that it lives.
            self._keepalive.answered(self)
        if self._pong:
            pong, self._pong = self._pong, b""
            self.transport.write(pong)
        if self._conversation is not None:
            self._conversation.writable()
        if self._owner is not None:
            self._owner.on_drained()

    def shutdown(self) -> None:
        """End for the server's stop; uvicorn calls it when nothing drained before."""
        if self._phase is Phase.HANDSHAKE and self._conversation is not None:
            self._conversation.refuse(503)
        else:
            self.close(1012, "server is restarting")

    # What the conversation calls

    @property
    def is_in_handshake(self) -> bool:
        """True until the request is answered, or the client leaves before."""
        return self._phase is Phase.HANDSHAKE

    @property
    def is_open(self) -> bool:
        """True from the accepted handshake until a close frame is sent or received."""
        return self._phase is _OPEN

    def open(self, response: bytes, extensions: Sequence[Extension]) -> None:
        """Send the response that accepts the handshake, and begin with frames."""
        self.transport.write(response)
        self._phase = _OPEN
        if extensions:
            self._parser.extensions = list(extensions)
            self.is_deflated = True
        if self._keepalive is not None:
            self._keepalive.add(self)

    def refuse(self, response: bytes) -> None:
        """Send an HTTP response and end."""
        self.transport.write(response)
        self._begin_end("refused")
        self.transport.close()

    # Receiving

    def _frame_received(self, event: Frame) -> None:
        opcode = event.opcode
        if opcode is Opcode.PONG:
            if self.is_ping_pending and self._keepalive is not None:
                self._keepalive.answered(self)
        elif opcode is Opcode.CLOSE:
            received = self._parser.close_rcvd
            if self._conversation is not None and received is not None:
                self._conversation.disconnected(received.code, received.reason)
        elif opcode is not Opcode.PING and self._phase is _OPEN:
            self._part_received(event)

    def _part_received(self, event: Frame) -> None:
        if event.opcode is not Opcode.CONT:
            self._is_text = event.opcode is Opcode.TEXT
        if not event.fin:
            self._parts = [*self._parts, bytes(event.data)]
        if len(self._parts) + event.fin > MAX_FRAGMENTS:
            self._fail(1008, f"more than {MAX_FRAGMENTS} fragments")
        elif event.fin:
            data = b"".join((*self._parts, event.data))
            self._parts = ()
            try:
                message = data.decode() if self._is_text else data
            except UnicodeDecodeError:  # RFC 6455 §8.1
                self._fail(1007, "text is not valid UTF-8")
            else:
                self._message_received(message)

    def _message_received(self, message: str | bytes) -> None:
        if self._conversation is not None:
            self._conversation.message_received(message)
        elif self._on_message is not None:
            self._on_message(message)

    def _answer(self) -> None:
        """Write what the parser answers: pongs, the reply to a close frame, the reason of a failure."""
        output = self._parser.data_to_send()
        if not output:
            return
        if self._phase is not _OPEN:
            # Our close frame is out; nothing may follow it. The parser says b"" when the peer's has come.
            if b"" in output:
                self._close_transport()
        elif self._parser.state is sansio.State.OPEN:
            if self.is_write_paused:
                # Pongs, and the newest answers all pings: a flood of them costs a peer that does not read one frame.
                self._pong = output[-1]
            else:
                self.transport.write(joined(output))
        else:
            self.transport.write(joined(output))
            self._begin_end("client left")
            if self._parser.parser_exc is None and self._parser.close_rcvd is not None:
                self._close_transport()
            else:
                self._linger()

    def _linger(self) -> None:
        """End for a fault of the peer, which was told by a close frame (RFC 6455 §7.1.7).

        A socket closed while data waits in it is reset, and the peer may lose the close frame. So only our side is
        closed, and what still comes is thrown away until the peer ends too (RFC 6455 §7.1.1), or time is up.
        """
        sent = self._parser.close_sent
        assert sent is not None
        self.close_reason = f"protocol error: {sent.reason}"
        if self._conversation is not None:
            self._conversation.disconnected(sent.code, sent.reason)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # Sending

    def bind(self, owner: DetachedOwner) -> None:
        """Set whom to tell that the transport has room again, and that the connection is gone."""
        if self._phase is Phase.LOST:
            # Not from within this call, as in all other cases.
            asyncio.get_running_loop().call_soon(owner.ended, self.close_reason)
        else:
            self._owner = owner

    def write(self, batch: Batch) -> bool:
        """Write frames, made by `portcast.web.websocket_frames`; see `portcast.delivery.Sink`."""
        return self.write_now(batch.items)

    def write_now(self, items: Sequence[object]) -> bool:
        """Write frames; False if the next should wait for `SinkOwner.on_drained`, or the connection ends."""
        if self._phase is not _OPEN:
            return False
        self.transport.write(joined(cast("Sequence[bytes]", items)))
        return not self.is_write_paused

    @property
    def buffered(self) -> int:
        """See `portcast.delivery.Sink`."""
        return self.transport.get_write_buffer_size()

    def detach(self, on_message: MessageCallback | None = None) -> None:
        """Let the connection live on after its ASGI call returns, owned by what `bind` was given.

        Args:
            on_message: takes what the client sends, first of all what it has sent so far; ignored if None.
        """
        conversation, self._conversation = self._conversation, None
        if conversation is None:
            return  # lost meanwhile; the call ends as with any application
        assert self._owner is not None, "bind comes first"
        self._on_message = on_message
        for message in conversation.detached():
            if self._phase is _OPEN:
                self._message_received(message)

    # Ending

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and end within `CLOSE_S`. Does nothing the second time."""
        if self._phase is not _OPEN or self._parser.state is not sansio.State.OPEN:
            return
        if self._conversation is not None:
            self._conversation.disconnected(code, reason)
        try:
            self._parser.send_close(code, close_reason(reason))
        except ProtocolError:  # a code that must not be sent (RFC 6455 §7.4.1)
            self._parser.send_close(1011)
        self.transport.write(joined(self._parser.data_to_send()))
        self._begin_end(reason or "closed")

    def _fail(self, code: int, reason: str) -> None:
        self._parser.fail(code, reason)
        self._answer()

    def _begin_end(self, reason: str) -> None:
        """Write nothing more; abort if the connection is not gone in time."""
        if self._close_timer is None and self._phase is not Phase.LOST:
            self.close_reason = reason
            self._phase = Phase.CLOSING
            self._pong = b""
            self._close_timer = asyncio.get_running_loop().call_later(CLOSE_S, self.abort)
            if self._conversation is not None:
                self._conversation.writable()  # a `send` that waits must fail
            self.read_on()  # the peer's close frame must be seen

    def _close_transport(self) -> None:
        # Never twice: asyncio's TLS transport (3.11) forgets its socket then, and could not be aborted any more.
        if not self.transport.is_closing():
            self.transport.close()

    def abort(self) -> None:
        """End at once."""
        if self._phase is not Phase.LOST:
            self.close_reason = self.close_reason or "aborted"
            self._phase = Phase.CLOSING
            self.transport.abort()

    # Pings

    def send_ping(self) -> None:
        """Send a ping; the wheel of `portcast.web.keepalive` calls it."""
        if self._phase is _OPEN:
            self.transport.write(frame(PING, b"ping"))

    def ping_timed_out(self) -> None:
        """End: no pong came in time."""
        if self.is_behind and self._keepalive is not None:
            # Nor could we see one. Begin anew.
            self._keepalive.answered(self)
            return
        self.close_reason = self.close_reason or "no pong"
        # The peer is gone or stuck; a close frame would only wait behind what it does not read.
        self.abort()
