"""How each server is spoken to: what a subscriber says after the WebSocket handshake, and what a publisher writes.

The load generator knows these bytes and no client library, so that it costs the same for every server and next to
nothing. Publishers make all their bytes beforehand.
"""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.fan_out.messages import SIZE

TOPIC = b"lines"
TIMEOUT_S = 20.0
"""For any one socket operation: a server that hangs is reported, not waited for."""


@dataclass(frozen=True)
class Wire:
    """The protocol of one server.

    Attributes:
        path: of its WebSocket.
        subprotocol: that a subscriber asks for; empty for none.
        join: what makes a subscriber of a socket whose handshake is done: steps of what is said, and how the answer
            ends.
        frame: bytes that a subscriber gets for one message; 0 if servers may put several into one WebSocket frame. Then
            ``least`` is what each of them has at least, and a last message says where the end is.
        least: see ``frame``.
        hello: the handshake of a publisher; its port is the second argument.
        encode: what a publisher writes for one message.
        settle: ends a publisher's connection when the server has handled what it sent.
    """

    path: str
    subprotocol: str
    join: tuple[tuple[Callable[[], bytes], bytes], ...]
    frame: int
    least: int
    hello: Callable[[socket.socket, int], None]
    encode: Callable[[bytes], bytes]
    settle: Callable[[socket.socket], None]


def connect(port: int, receive_buffer: int = 0) -> socket.socket:
    """Open a connection.

    Args:
        port: on 127.0.0.1.
        receive_buffer: bytes that the kernel keeps for a client that does not read; 0 for its default.
    """
    sock = socket.socket()
    sock.settimeout(TIMEOUT_S)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def ask_upgrade(sock: socket.socket, port: int, path: str, subprotocol: str = "") -> None:
    """Send the client's half of the WebSocket handshake."""
    head = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    ]
    if subprotocol:
        head.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    sock.sendall("\r\n".join([*head, "", ""]).encode())


def check_upgrade(sock: socket.socket) -> None:
    """Read the server's half.

    Raises:
        ConnectionError: the server wants no WebSocket here.
    """
    answer = until(sock, b"\r\n\r\n")
    if b" 101 " not in answer[:16]:
        raise ConnectionError(f"no WebSocket here: {answer[:80]!r}")


def until(sock: socket.socket, end: bytes) -> bytes:
    """Read byte by byte up to and including ``end``, so that nothing of the first messages is taken.

    Raises:
        ConnectionError: the connection ends before.
    """
    data = b""
    while not data.endswith(end):
        byte = sock.recv(1)
        if not byte:
            raise ConnectionError(f"closed after {data[-80:]!r}")
        data += byte
    return data


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """Return a frame from a client; the mask is zero, so that the payload stays as it is (RFC 6455 §5.3)."""
    size = len(payload)
    head = bytes([0x80 | opcode, 0x80 | size]) if size < 126 else bytes([0x80 | opcode, 0xFE]) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


PONG = masked(b"", 0xA)
CLOSE = masked(b"\x03\xe8", 0x8)


def drained(sock: socket.socket) -> None:
    """Wait for the server's end of a connection, and close it."""
    while sock.recv(65536):
        pass
    sock.close()


# Lines over TCP


def _nothing(sock: socket.socket, port: int) -> None:
    pass


def _end_lines(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)
    drained(sock)


LINES = Wire(
    path="/ws",
    subprotocol="",
    join=(),
    frame=2 + SIZE,
    least=2 + SIZE,
    hello=_nothing,
    encode=lambda payload: payload + b"\n",
    settle=_end_lines,
)
"""A line is a message; a subscriber gets each as a text frame: two bytes of head (RFC 6455 §5.2)."""


# Messages in WebSocket frames, both ways


def _ws_hello(sock: socket.socket, port: int) -> None:
    ask_upgrade(sock, port, "/in")
    check_upgrade(sock)


def _end_ws(sock: socket.socket) -> None:
    sock.sendall(CLOSE)
    drained(sock)


FRAMES = Wire(
    path="/ws",
    subprotocol="",
    join=(),
    frame=2 + SIZE,
    least=2 + SIZE,
    hello=_ws_hello,
    encode=masked,
    settle=_end_ws,
)


# NATS (docs.nats.io, client protocol)

_NATS_CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'


def _nats_join() -> bytes:
    return masked(_NATS_CONNECT + b"SUB %s 1\r\nPING\r\n" % TOPIC, 2)


def _nats_hello(sock: socket.socket, port: int) -> None:
    until(sock, b"\r\n")
    sock.sendall(_NATS_CONNECT + b"PING\r\n")
    until(sock, b"PONG\r\n")


def _nats_settle(sock: socket.socket) -> None:
    sock.sendall(b"PING\r\n")
    until(sock, b"PONG\r\n")
    sock.close()


NATS = Wire(
    path="/",
    subprotocol="",
    join=((_nats_join, b"PONG\r\n"),),
    frame=0,
    least=len(b"MSG %s 1 %d\r\n" % (TOPIC, SIZE)) + SIZE + 2,
    hello=_nats_hello,
    encode=lambda payload: b"PUB %s %d\r\n%s\r\n" % (TOPIC, len(payload), payload),
    settle=_nats_settle,
)
"""Subscribers get ``MSG lines 1 120`` and the message, as many as are ready in one binary frame."""


# MQTT 3.1.1 (OASIS mqtt-v3.1.1)


def _mqtt_connect() -> bytes:
    client = b"b" + os.urandom(8).hex().encode()
    # Protocol name and level, flags: clean session, keep alive 0: no pings are due (§3.1).
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(client).to_bytes(2, "big") + client
    return bytes([0x10, len(body)]) + body


_MQTT_SUBSCRIBE = bytes([0x82, 5 + len(TOPIC)]) + b"\x00\x01" + len(TOPIC).to_bytes(2, "big") + TOPIC + b"\x00"
_MQTT_CONNACK = b"\x20\x02\x00\x00"
_MQTT_SUBACK = b"\x90\x03\x00\x01\x00"


def _mqtt_hello(sock: socket.socket, port: int) -> None:
    sock.sendall(_mqtt_connect())
    until(sock, _MQTT_CONNACK)


def _mqtt_publish(payload: bytes) -> bytes:
    size = 2 + len(TOPIC) + len(payload)
    # Remaining length in groups of seven bits (§2.2.3); QoS 0.
    length = bytes([size]) if size < 128 else bytes([0x80 | size % 128, size // 128])
    return b"\x30" + length + len(TOPIC).to_bytes(2, "big") + TOPIC + payload


def _mqtt_settle(sock: socket.socket) -> None:
    sock.sendall(b"\xc0\x00")
    until(sock, b"\xd0\x00")
    sock.sendall(b"\xe0\x00")
    sock.close()


_MQTT_PACKET = len(_mqtt_publish(bytes(SIZE)))

MQTT = Wire(
    path="/mqtt",
    subprotocol="mqtt",
    join=(
        (lambda: masked(_mqtt_connect(), 2), _MQTT_CONNACK),
        (lambda: masked(_MQTT_SUBSCRIBE, 2), _MQTT_SUBACK),
    ),
    frame=_MQTT_PACKET + (2 if _MQTT_PACKET < 126 else 4),
    least=_MQTT_PACKET + 2,
    hello=_mqtt_hello,
    encode=_mqtt_publish,
    settle=_mqtt_settle,
)

# The Centrifuge client protocol, JSON

SDK = Wire(
    # Pings as WebSocket frames, which the load generator answers as it does for everybody.
    path="/connection/websocket?cf_ws_frame_ping_pong=true",
    subprotocol="",
    join=(
        (
            lambda: masked(b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"%s"}}' % TOPIC),
            b'"positioned":true}}',
        ),
    ),
    frame=0,
    least=len(b'{"push":{"channel":"%s","pub":{"data":"","offset":1}}}\n' % TOPIC) + SIZE,
    hello=_nothing,
    encode=LINES.encode,
    settle=_end_lines,
)
"""Subscribers get ``{"push":{"channel":"lines","pub":{"data":"…","offset":7}}}``, many in one text frame."""

WIRES = {"sdk": SDK, "lines": LINES, "frames": FRAMES, "nats": NATS, "mqtt": MQTT}
