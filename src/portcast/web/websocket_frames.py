"""WebSocket frames from server to client (RFC 6455 §5.2). Pure.

::

     0               1               2
    +-+-+-+-+-------+-+-------------+- - - - - - - - - - - - - - - -+- - - - -
    |F|R|S|V| opcode|0| length (7)  | extended length (16 or 64)    | payload
    +-+-+-+-+-------+-+-------------+- - - - - - - - - - - - - - - -+- - - - -

A server does not mask, and every message here is one frame (FIN set), so the bytes are the same for every client: they
are made once and written to all. RSV1 marks a compressed message (RFC 7692 §7.2.3.1).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

_FIN = 0x80
_RSV1 = 0x40
_pack_16 = struct.Struct("!BBH").pack
_pack_64 = struct.Struct("!BBQ").pack
_SMALL = 126
"""Payloads below this have a two-byte header, made in advance."""
_TEXT_HEADS = [bytes((_FIN | TEXT, size)) for size in range(_SMALL)]
_BINARY_HEADS = [bytes((_FIN | BINARY, size)) for size in range(_SMALL)]


def head(opcode: int, size: int, *, is_compressed: bool = False) -> bytes:
    """Return the header of an unmasked frame that is a whole message."""
    first = _FIN | opcode | (_RSV1 if is_compressed else 0)
    if size < _SMALL:
        return bytes((first, size))
    if size < 65_536:
        return _pack_16(first, 126, size)
    return _pack_64(first, 127, size)


def joined(items: Sequence[bytes]) -> bytes:
    """Return what a sink writes in one go.

    One ``write`` and not ``writelines``: that does not pause the protocol on asyncio of CPython 3.12.0 to 3.12.8,
    3.13.0 and 3.13.1 (CVE-2024-12254), so a client that does not read would fill the memory. Nearly always it is one
    item.
    """
    return items[0] if len(items) == 1 else b"".join(items)


def frame(opcode: int, payload: bytes) -> bytes:
    """Return one message as a frame."""
    return head(opcode, len(payload)) + payload


def close_reason(reason: str) -> str:
    """Return the reason cut to the 123 bytes that a close frame has for it (RFC 6455 §5.5)."""
    return reason.encode()[:123].decode(errors="ignore")


def is_text(payload: bytes) -> bool:
    """Return True if the payload is valid UTF-8, as a text message must be."""
    if payload.isascii():
        return True
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def frames(payloads: Sequence[bytes]) -> bytes:
    """Return the payloads as frames, joined: text where a payload is valid UTF-8, binary elsewhere."""
    heads = _TEXT_HEADS
    parts: list[bytes] = []
    append = parts.append
    for payload in payloads:
        size = len(payload)
        if size < _SMALL and payload.isascii():
            append(heads[size])
        else:
            append(_slow_head(payload, size))
        append(payload)
    return b"".join(parts)


def _slow_head(payload: bytes, size: int) -> bytes:
    opcode = TEXT if is_text(payload) else BINARY
    if size < _SMALL:
        return (_TEXT_HEADS if opcode == TEXT else _BINARY_HEADS)[size]
    return head(opcode, size)


WINDOW_BITS = 12
"""4 KiB of window on the server's side; each connection's share is nothing, because all share one compressor."""
DEFLATE_MEMORY = 5
"""zlib's ``memLevel``: 16 KiB while a message is compressed; more gains nothing with such a window."""
DEFLATE_MIN_BYTES = 64
"""Smaller payloads hardly shrink; they are sent as they are, which RFC 7692 §6 allows message by message."""


def deflated_frames(payloads: Iterable[bytes]) -> bytes:
    """Return the payloads as frames, compressed where that makes them smaller.

    Valid for every connection that negotiated ``server_no_context_takeover`` with a server window of at least
    `WINDOW_BITS`: each message is compressed on its own (RFC 7692 §7.2.1), so one result serves all.
    """
    return b"".join(deflated(TEXT if is_text(payload) else BINARY, payload) for payload in payloads)


def deflated(opcode: int, payload: bytes) -> bytes:
    """Return one message as a frame, compressed if that makes it smaller: see `deflated_frames`."""
    if len(payload) < DEFLATE_MIN_BYTES:
        return frame(opcode, payload)
    compressor = zlib.compressobj(wbits=-WINDOW_BITS, memLevel=DEFLATE_MEMORY)
    # §7.2.1: the last four bytes, 00 00 FF FF, are left out.
    packed = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    if len(packed) >= len(payload):
        return frame(opcode, payload)
    return head(opcode, len(packed), is_compressed=True) + packed
