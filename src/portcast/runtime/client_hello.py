"""The name that a TLS client asks for, read from its first message before OpenSSL sees it.

Python's own way, ``SSLContext.sni_callback``, writes a traceback to standard error for a name that is not ASCII, as
often as a stranger likes. And a context chosen before the handshake holds for all of it, from verification to tickets.

The first message may come in several records, each with a header of five bytes (RFC 8446 §5.1)::

    0      22: a handshake
    1-2    version
    3-4    length of what follows, big endian, at most 16384

and begins (§4.1.2, RFC 6066 §3; lengths precede what they measure)::

    0      1: ClientHello
    1-3    length of all that follows
    4-5    version
    6-37   random
    38-    session id (length in 1 byte), cipher suites (2), compression methods (1), extensions (2), each: type in
           2 bytes, content (2); of type 0 it is a list (2) of names: type 0, text (2)

Nothing is judged here: whatever looks wrong has no name, and OpenSSL says what is wrong with it.
"""

from __future__ import annotations

MOST_BYTES = 16_384
"""What is waited for; a ClientHello has some hundred bytes, with the keys of ML-KEM two thousand."""

_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0


def server_name(data: bytes) -> str | None:
    """Return the name, in lower case, or the empty text if there is none; None if more of the message must come.

    Args:
        data: everything since the beginning of the connection.
    """
    message = _message(data)
    if message is None:
        return None if len(data) < MOST_BYTES else ""
    try:
        name = _name(message)
        return name.decode("ascii").lower() if name.isascii() else ""
    except IndexError:
        return ""


def _message(data: bytes) -> bytes | None:
    """Return the ClientHello without its header; empty if it is none, None if it is not complete."""
    message = b""
    at = 0
    while True:
        if message and message[0] != _CLIENT_HELLO:
            return b""
        size = int.from_bytes(message[1:4], "big")
        if len(message) >= 4 and len(message) >= 4 + size:
            return message[4 : 4 + size]
        if at < len(data) and data[at] != _HANDSHAKE:
            return b""
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if len(data) < at + 5:
            return None
        if not length:
            return b""
        message += data[at + 5 : at + 5 + length]
        at += 5 + length


def _name(message: bytes) -> bytes:
    _, rest = _cut(message[34:], 1)
    _, rest = _cut(rest, 2)
    _, rest = _cut(rest, 1)
    extensions, _ = _cut(rest, 2)
    while extensions:
        kind = extensions[:2]
        content, extensions = _cut(extensions[2:], 2)
        if int.from_bytes(kind, "big") == _SERVER_NAME:
            names, _ = _cut(content, 2)
            name, _ = _cut(names[1:], 2)
            return name if names[0] == _HOST_NAME else b""
    return b""


def _cut(data: bytes, width: int) -> tuple[bytes, bytes]:
    """Split off what a length of ``width`` bytes announces.

    Raises:
        IndexError: it is not all there.
    """
    end = width + int.from_bytes(data[:width], "big")
    if len(data) < width or len(data) < end:
        raise IndexError
    return data[width:end], data[end:]
