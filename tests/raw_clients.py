"""Clients that read only when they are told to: no task, thread or library reads ahead of the test."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from types import TracebackType
from typing import Any

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

LIMIT_S = 15.0
"""For everything that a client waits for; only a failing test waits so long."""


def connected(port: int, receive_buffer: int = 0, context: ssl.SSLContext | None = None) -> socket.socket:
    """A blocking socket to this machine; with a small receive buffer the server feels at once that nobody reads."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(LIMIT_S)
    try:
        sock.connect(("127.0.0.1", port))
    except OSError:  # a refusal may be as fast as that
        sock.close()
        raise
    return context.wrap_socket(sock, server_hostname="localhost") if context is not None else sock


class WebSocket:
    """A WebSocket client on a blocking socket.

    Attributes:
        response: the answer to the handshake.
        code: of the close frame, once it has come; 1006 if the connection ended without.
        reason: likewise.
    """

    def __init__(
        self,
        port: int,
        path: str = "/ws",
        *,
        is_deflated: bool = False,
        receive_buffer: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.sock = connected(port, receive_buffer, context)
        extensions = [ClientPerMessageDeflateFactory()] if is_deflated else None
        self._protocol = ClientProtocol(parse_uri(f"ws://localhost:{port}{path}"), extensions=extensions, max_size=None)
        self._events: list[Any] = []
        self.code = 0
        self.reason = ""
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        response = self._next()
        assert isinstance(response, Response)
        self.response = response
        assert response.status_code == 101, response

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    @property
    def address(self) -> str:
        """Its own end, as the server sees it."""
        host, port = self.sock.getsockname()
        return f"{host}:{port}"

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.sock.sendall(data)

    def _next(self) -> Any:
        """Return the next response or frame; None at the end of the connection."""
        while not self._events:
            try:
                data = self.sock.recv(65_536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self._protocol.receive_data(data)
            self._events += self._protocol.events_received()
            try:
                self._flush()
            except OSError:
                continue  # it has ended; what came before that is still to be read
        assert self._protocol.parser_exc is None, self._protocol.parser_exc
        return self._events.pop(0)

    def read(self) -> str | bytes | None:
        """Return the next message; None once it is closed."""
        while (frame := self._next()) is not None:
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.CLOSE:
                assert self._protocol.close_rcvd is not None
                self.code, self.reason = self._protocol.close_rcvd.code, self._protocol.close_rcvd.reason
                return None
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                assert frame.fin, "our messages are one frame each"
                return bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)
        self.code = self.code or 1006
        return None

    def take(self, number: int) -> list[str | bytes]:
        """Return so many messages."""
        found: list[str | bytes] = []
        for _ in range(number):
            message = self.read()
            assert message is not None, f"closed after {len(found)} messages: {self.code} {self.reason}"
            found.append(message)
        return found

    def rest(self) -> list[str | bytes]:
        """Return all messages until it is closed."""
        return list(iter(self.read, None))

    def say(self, text: str) -> None:
        """Send a message."""
        self._protocol.send_text(text.encode())
        self._flush()

    def say_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self._protocol.send_binary(data)
        self._flush()

    def leave(self) -> None:
        """Say goodbye."""
        self._protocol.send_close(1000)
        self._flush()


class Events:
    """A client of an event stream, on a blocking socket."""

    def __init__(self, port: int, path: str, *, receive_buffer: int = 0, last_event_id: str = "") -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port)
        self._http.sock = connected(port, receive_buffer)
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        self._http.request("GET", path, headers=headers)
        self._response = self._http.getresponse()
        assert self._response.status == 200, self._response.status

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()
        self._http.close()

    def read(self) -> dict[str, str] | None:
        """Return the fields of the next event, ``comment`` for a comment; None at the end."""
        fields: dict[str, str] = {}
        while True:
            try:
                line = self._response.readline().decode()
            except (OSError, http.client.HTTPException):
                return None
            if not line:
                return None
            if line == "\n":
                if fields:
                    return fields
                continue
            name, _, value = line.rstrip("\n").partition(":")
            name, value = name or "comment", value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value

    def take(self, number: int) -> list[dict[str, str]]:
        """Return so many events, without comments."""
        found: list[dict[str, str]] = []
        while len(found) < number:
            event = self.read()
            assert event is not None, f"ended after {len(found)} events"
            if "comment" not in event:
                found.append(event)
        return found

    def data(self, number: int) -> list[Any]:
        """Return the data of so many events, parsed as JSON."""
        return [json.loads(one["data"]) for one in self.take(number)]
