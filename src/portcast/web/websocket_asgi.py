"""The application's side of a WebSocket: handshake, scope, ``receive`` and ``send`` (ASGI WebSocket spec 2.4).

Exists from the request until the application returns or the connection is detached; all that only an ASGI call needs is
here and goes with it.

What the application has said so far::

    ASKED ──► ANSWERING (an HTTP response, in parts) ──► OVER
      └─────► ACCEPTED ──────────────────────────────────▲ closed, refused, or detached

What has become of the connection is another matter: the client may leave, or the server stop, at any step. Then
``receive`` says ``websocket.disconnect``, as often as it is asked, and ``send`` raises `ClientGone`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, MutableMapping, Sequence
from email.utils import formatdate
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import quote, unquote

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import ExtensionParameter

from portcast.web.websocket_frames import BINARY, DEFLATE_MEMORY, TEXT, WINDOW_BITS, deflated, frame

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

Message = MutableMapping[str, Any]

EXTENSION = "portcast.sink"
"""Where the scope holds the connection."""
MAX_HEAD_BYTES = 65_536
"""Of the handshake request, and of what may follow it before the answer."""
MAX_WAITING = 16
"""Messages that wait for the application's ``receive``, then reading pauses."""
MAX_WAITING_BYTES = 262_144
"""The same in bytes: uvicorn's default allows messages of 16 MiB."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_logger = logging.getLogger("uvicorn.error")
parser_logger = logging.getLogger("portcast.websocket.parser")
# `websockets` would log two lines per client, for each of two parsers; its errors are bugs and are kept.
parser_logger.setLevel(logging.WARNING)


class ClientGone(OSError):
    """The client left, or the server ended the connection (ASGI spec 2.4: an `OSError`)."""


class Step(Enum):
    """See the theory on top of the module."""

    ASKED = "before the handshake was answered"
    ANSWERING = "within an HTTP response"
    ACCEPTED = "after the handshake was accepted"
    OVER = "after the end"


class Connection(Protocol):
    """The part of `WebSocketProtocol` that a conversation uses."""

    transport: asyncio.Transport
    is_deflated: bool
    is_write_paused: bool

    @property
    def is_in_handshake(self) -> bool: ...  # noqa: D102 - see WebSocketProtocol, as for the others

    @property
    def is_open(self) -> bool: ...  # noqa: D102

    def data_received(self, data: bytes) -> None: ...  # noqa: D102

    def open(self, response: bytes, extensions: Sequence[Extension]) -> None: ...  # noqa: D102

    def refuse(self, response: bytes) -> None: ...  # noqa: D102

    def hold_reading(self) -> None: ...  # noqa: D102

    def read_on(self) -> None: ...  # noqa: D102

    def close(self, code: int, reason: str = "") -> None: ...  # noqa: D102


class AsgiConversation:
    """See the theory on top of the module."""

    __slots__ = (
        "__weakref__",
        "_body",
        "_config",
        "_connection",
        "_early",
        "_handshake",
        "_is_detached",
        "_is_disconnected",
        "_queue",
        "_response",
        "_server_state",
        "_start",
        "_step",
        "_waiting_bytes",
        "_writable",
        "is_reading_paused",
        "scope",
    )

    def __init__(
        self, connection: Connection, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self._connection = connection
        self._config = config
        self._server_state = server_state
        self.scope: dict[str, Any] = {"state": app_state.copy()}
        # The request, and the 101 that accepts it.
        self._handshake = ServerProtocol(
            extensions=[_SharedDeflate()] if config.ws_per_message_deflate else None, logger=parser_logger
        )
        self._response: Response | None = None
        self._early = b""
        # What the application has said.
        self._step = Step.ASKED
        self._start: Message = {}
        self._body = bytearray()
        self._is_detached = False
        # What waits for it. Its `disconnect` comes last and stays.
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._waiting_bytes = 0
        self._is_disconnected = False
        self.is_reading_paused = False
        self._writable = asyncio.Event()

    # What the connection tells

    def data_received(self, data: bytes) -> None:
        """Take the head of the request, which uvicorn hands over whole, and keep what a hasty client sends after it."""
        if self._response is not None:
            # RFC 6455 §4.1 lets a client speak only after the answer; some do not wait.
            self._early += data
            if len(self._early) > MAX_HEAD_BYTES:
                self.refuse(400)
        elif len(data) > MAX_HEAD_BYTES:
            self.refuse(431)
        else:
            self._handshake.receive_data(data)
            events = self._handshake.events_received()
            if events:
                self._begin(cast("Request", events[0]))
            elif answer := b"".join(self._handshake.data_to_send()):
                self._connection.refuse(answer)
            else:
                self.refuse(400)

    def _begin(self, request: Request) -> None:
        """Call the application, if the request is a valid handshake."""
        # An empty header is sent by some client libraries; the parser would refuse it (RFC 6455 §4.1 wants a token).
        name = "Sec-WebSocket-Protocol"
        if name in request.headers and not any(one.strip(" ,") for one in request.headers.get_all(name)):
            del request.headers[name]
        response = self._handshake.accept(request)
        if response.status_code != 101:
            self._connection.refuse(response.serialize())
            return
        self._response = response
        self.scope.update(_scope(self._connection, self._config, request))
        self._queue.put_nowait({"type": "websocket.connect"})
        task = asyncio.get_running_loop().create_task(self._run())
        # uvicorn waits for these when it stops, and cancels them when it has waited long enough.
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def message_received(self, message: str | bytes) -> None:
        """Queue a message for the application."""
        self._queue.put_nowait({"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message})
        self._waiting_bytes += len(message)
        is_enough = self._queue.qsize() >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES
        if is_enough and not self.is_reading_paused:
            self.is_reading_paused = True
            self._connection.hold_reading()

    def disconnected(self, code: int, reason: str) -> None:
        """Tell the application that the connection is over; the first word counts."""
        if not self._is_disconnected:
            self._is_disconnected = True
            self._queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._writable.set()

    def writable(self) -> None:
        """Let a waiting ``send`` look again."""
        self._writable.set()

    def resume_reading(self) -> None:
        """Read on, whatever waits."""
        if self.is_reading_paused:
            self.is_reading_paused = False
            self._connection.read_on()

    def refuse(self, status: int) -> None:
        """Answer the handshake without the application, unless it is answered."""
        if self._connection.is_in_handshake:
            self._answer(status, [], _PHRASES[status].encode())

    def detached(self) -> Iterable[str | bytes]:
        """Let the connection go; return the messages that were not received."""
        assert self._step is Step.ACCEPTED or self._is_disconnected, "accept comes first"
        self._is_detached = True
        self._step = Step.OVER
        waiting = []
        while not self._queue.empty():
            message = self._queue.get_nowait()
            if message["type"] == "websocket.receive":
                waiting.append(message.get("text", message.get("bytes")))
        # Whoever still receives must not wait for ever.
        self._is_disconnected = False
        self.disconnected(1005, "detached")
        self.resume_reading()
        return waiting

    # The ASGI call

    async def _run(self) -> None:
        # Unless it ends in another way it is cancelled, because the server stops.
        status, code = 503, 1012
        try:
            await self._config.loaded_app(self.scope, self.receive, self.send)
            status, code = 500, 1000
            if self._connection.is_in_handshake:
                _logger.error("ASGI callable returned without completing handshake.")
        except ClientGone:
            pass
        except Exception:
            status, code = 500, 1011
            _logger.exception("Exception in ASGI application\n")
        finally:
            if not self._is_detached:
                self.refuse(status)
                self._connection.close(code)

    async def receive(self) -> Message:
        """See the ASGI specification."""
        message = await self._queue.get()
        if message["type"] == "websocket.disconnect":
            self._queue.put_nowait(message)
        elif message["type"] == "websocket.receive":
            self._waiting_bytes -= len(message.get("text", message.get("bytes")))
            if self._queue.qsize() <= MAX_WAITING // 2 and self._waiting_bytes <= MAX_WAITING_BYTES // 2:
                self.resume_reading()
        return message

    async def send(self, message: Message) -> None:
        """See the ASGI specification.

        Raises:
            ClientGone: the client is gone.
            RuntimeError: the message is not allowed now.
        """
        kind, step = message["type"], self._step
        if step in (Step.ASKED, Step.ANSWERING) and not self._connection.is_in_handshake:
            raise ClientGone("the connection ended before the handshake was answered")
        if step is Step.ACCEPTED and kind == "websocket.send":
            await self._send_message(message)
        elif step is Step.ACCEPTED and kind == "websocket.close":
            self._step = Step.OVER
            self._connection.close(message.get("code") or 1000, message.get("reason") or "")
        elif step is Step.ASKED and kind == "websocket.accept":
            self._accept(message)
        elif step is Step.ASKED and kind == "websocket.close":
            self._step = Step.OVER
            self._answer(403, [], b"")
        elif step is Step.ASKED and kind == "websocket.http.response.start":
            if not 200 <= message["status"] < 600:
                raise RuntimeError(f"{message['status']!r} is not the status of an HTTP response")
            self._step, self._start = Step.ANSWERING, message
        elif step is Step.ANSWERING and kind == "websocket.http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                self._step = Step.OVER
                self._answer(self._start["status"], self._start.get("headers", []), bytes(self._body))
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r} {step.value}")

    async def _send_message(self, message: Message) -> None:
        connection = self._connection
        while connection.is_write_paused and connection.is_open:
            self._writable.clear()
            await self._writable.wait()
        if not connection.is_open:
            raise ClientGone("the connection has ended")
        data, opcode = message.get("bytes"), BINARY
        if data is None:
            if message.get("text") is None:
                raise RuntimeError("websocket.send needs bytes or text")
            data, opcode = message["text"].encode(), TEXT
        connection.transport.write(deflated(opcode, data) if connection.is_deflated else frame(opcode, data))

    def _accept(self, message: Message) -> None:
        assert self._response is not None, "the application is called with a response at hand"
        headers = self._response.headers
        # uvicorn's have a date, unless it was told to leave it out.
        headers.pop("Date", None)
        for name, value in (*self._server_state.default_headers, *message.get("headers", [])):
            headers[name.decode("latin-1")] = value.decode("latin-1")
        if message.get("subprotocol"):
            headers["Sec-WebSocket-Protocol"] = message["subprotocol"]
        self._step = Step.ACCEPTED
        self._log("[accepted]")
        self._connection.open(self._response.serialize(), self._handshake.extensions)
        if self._early:
            self._connection.data_received(self._early)

    def _answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer the handshake with an HTTP response, and be done."""
        written = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
        written.setdefault("Date", formatdate(usegmt=True))
        written.setdefault("Connection", "close")
        written.setdefault("Content-Length", str(len(body)))
        if body:
            written.setdefault("Content-Type", "text/plain; charset=utf-8")
        if self._response is not None:
            self._log(str(status))
        self.disconnected(1006, "")
        self._connection.refuse(Response(status, _PHRASES.get(status, ""), written, body).serialize())

    def _log(self, outcome: str) -> None:
        """Log as uvicorn does, so that tools that read its log find what they look for."""
        if _logger.isEnabledFor(logging.INFO):
            client = "{}:{}".format(*self.scope["client"]) if self.scope["client"] else ""
            query = self.scope["query_string"].decode("ascii")
            target = quote(self.scope["path"]) + (f"?{query}" if query else "")
            _logger.info('%s - "WebSocket %s" %s', client, target, outcome)


class _SharedDeflate(ServerPerMessageDeflateFactory):
    """Agrees to permessage-deflate only in the form in which one compressed frame serves all clients.

    Without context takeover no frame depends on the one before (RFC 7692 §7.1.1.1). On the client's side it saves
    memory: no inflator is kept between messages.
    """

    def __init__(self) -> None:
        super().__init__(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            server_max_window_bits=WINDOW_BITS,
            client_max_window_bits=WINDOW_BITS,
            compress_settings={"memLevel": DEFLATE_MEMORY},
        )

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        """See `ServerPerMessageDeflateFactory`."""
        answer, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits < WINDOW_BITS:
            raise NegotiationError("the client wants a smaller window than that of the frames that all share")
        return answer, extension


def _scope(connection: Connection, config: Config, request: Request) -> dict[str, Any]:
    transport = connection.transport
    path, _, query = request.path.partition("?")
    tokens = [t.strip() for one in request.headers.get_all("Sec-WebSocket-Protocol") for t in one.split(",")]
    return {
        "type": "websocket",
        "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if transport.get_extra_info("sslcontext") else "ws",
        "server": _address(transport.get_extra_info("sockname")),
        "client": _address(transport.get_extra_info("peername")),
        "root_path": config.root_path,
        "path": config.root_path + unquote(path),
        "raw_path": (config.root_path + path).encode("ascii"),
        "query_string": query.encode("ascii"),
        # websockets before 17 has surrogates where the later ones have Latin-1; this takes both.
        "headers": [
            (name.lower().encode("ascii"), value.encode("latin-1", "surrogateescape"))
            for name, value in request.headers.raw_items()
        ],
        "subprotocols": [token for token in tokens if token],
        "extensions": {"websocket.http.response": {}, EXTENSION: connection},
    }


def _address(name: object) -> tuple[str, int | None] | None:
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    # The path of a Unix socket; its clients have none.
    return (name, None) if isinstance(name, str) and name else None
