"""Publications as the bytes of push replies, made once per channel and format for all subscribers: the hot path.

No message object is made; a push is put together around its payload. What all pushes of a call share (tags, time, who
published) is given as a `Publication` with these fields alone.

A client that speaks JSON cannot take any bytes, so its ``data`` is:

==============================  ==========================================================================
payload                         data
==============================  ==========================================================================
JSON (RFC 8259)                 the payload itself, without raw line ends, which would end the push
other UTF-8                     a JSON string
anything else                   ``{"base64": "..."}``
==============================  ==========================================================================

JSON whose numbers or nesting break parsers (integers of more than 4300 digits, more than 200 levels) is UTF-8 that is
not JSON here: it would cost a client the whole frame.

µs per publication, runs of 1000 with 120 bytes of JSON, on one core of a 2-core machine under CPython 3.11:

=================================  ====  ========
what                               JSON  Protobuf
=================================  ====  ========
plain                              0.85      0.9
with tags and time                 0.85      1.1
`json_deltas`, `protobuf_deltas`   0.45      0.9
`frames`                           0.08      0.08
=================================  ====  ========

A call costs 1 µs more, and 4 µs if the pushes share something. Two thirds of JSON's is the question whether the payload
is JSON, by pydantic's parser (0.6; `json.loads`: 2.1); for deltas the caller has asked it. A test of the first byte
before it gains nothing: the parser says no to ``$GPGGA,...`` as fast. Strings beat ``%`` and `bytes.join` because ASCII
is decoded and encoded by copying.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import replace
from json.encoder import encode_basestring
from typing import NoReturn

from pydantic_core import from_json

from portcast.centrifuge import protobuf_codec
from portcast.centrifuge.format import Format
from portcast.centrifuge.json_codec import members, quote
from portcast.centrifuge.messages import Publication
from portcast.centrifuge.varint import varint

MAX_FRAME_PUSHES = 256
"""Pushes in one frame. centrifugal/centrifuge takes 16 by default and any number if told; SDKs take what comes, one
after the other. A frame costs its reader an event or a task switch, so more is cheaper, down to where it no longer
counts."""

MAX_FRAME_BYTES = 65_536
"""Bytes in one frame, unless a single push has more. The Python SDK takes 1 MiB (the default of ``websockets``); as
much as we take from clients is enough to make the cost of a frame vanish."""

NOTHING = Publication()
"""What pushes share when they share nothing."""

_MAX_JSON_DEPTH = 200
"""As pydantic's parser has it."""


def as_json(payload: bytes) -> bytes:
    """Return a payload as the ``data`` of a client that speaks JSON: see the table at the top of the module."""
    return _json_text(payload).encode()


def concrete(topic: str, common: Publication = NOTHING) -> Publication:
    """Return what a subscription to a wildcard needs beside the pattern: the topic that a publication is on.

    It stands in ``channel``, where the protocol has it, and in the tag ``topic``, where SDKs show it.
    """
    return replace(common, channel=topic, tags={**common.tags, "topic": topic})


def json_pushes(
    channel: str, payloads: Iterable[bytes], first_offset: int = 0, common: Publication = NOTHING
) -> list[bytes]:
    """Return one reply per payload, ``{"push":{"channel":c,"pub":{"data":d,"offset":7}}}``, without a line end.

    Args:
        channel: that the client subscribed to; for a wildcard the pattern.
        payloads: of consecutive publications.
        first_offset: of the first of them; 0 to send no offsets, as for a wildcard.
        common: what they share; its data, offset and delta are empty.
    """
    head, tail = _json_frame(channel, common)
    if not first_offset:
        return [f"{head}{_json_text(payload)}{tail}".encode() for payload in payloads]
    return [
        f'{head}{_json_text(payload)},"offset":{offset}{tail}'.encode()
        for offset, payload in enumerate(payloads, first_offset)
    ]


def json_deltas(
    channel: str, changes: Iterable[tuple[bytes, bool]], first_offset: int = 0, common: Publication = NOTHING
) -> list[bytes]:
    """Return replies for subscriptions that negotiated delta compression: ``data`` is always a JSON string.

    Args:
        channel: as in `json_pushes`.
        changes: (data, whether it is a delta). Data that is none is what `as_json` gives for the payload: the SDK
            parses it, and takes its bytes as the base of the next delta.
        first_offset: as in `json_pushes`.
        common: as in `json_pushes`.

    Raises:
        UnicodeDecodeError: a delta is not UTF-8, because it cuts a character: send what is whole instead.
    """
    head, tail = _json_frame(channel, common)
    pushes = []
    for offset, (data, is_delta) in enumerate(changes, first_offset):
        number = f',"offset":{offset}' if first_offset else ""
        flag = ',"delta":true' if is_delta else ""
        pushes.append(f"{head}{encode_basestring(data.decode())}{number}{flag}{tail}".encode())
    return pushes


def protobuf_pushes(
    channel: str, payloads: Iterable[bytes], first_offset: int = 0, common: Publication = NOTHING
) -> list[bytes]:
    """Return one reply per payload, behind its length; arguments as in `json_pushes`.

    ::

        length  22 length  12 length channel  22 length  22 length payload  30 offset  (40 01)  what is common
        Reply   push       Push.channel       Push.pub   Publication.data   .offset    .delta   .info .tags ...

    Raises:
        MissingDependencyError: something is common, and ``protobuf`` is not installed.
    """
    return protobuf_deltas(channel, ((payload, False) for payload in payloads), first_offset, common)


def protobuf_deltas(
    channel: str, changes: Iterable[tuple[bytes, bool]], first_offset: int = 0, common: Publication = NOTHING
) -> list[bytes]:
    """Return replies for subscriptions that negotiated delta compression.

    Args:
        channel: as in `json_pushes`.
        changes: (data, whether it is a delta); data that is none is the payload.
        first_offset: as in `json_pushes`.
        common: as in `json_pushes`.

    Raises:
        MissingDependencyError: something is common, and ``protobuf`` is not installed.
    """
    name = channel.encode()
    head = b"\x12%b%b\x22" % (varint(len(name)), name)
    tail = b"" if common is NOTHING else protobuf_codec.publication(_checked(common))
    head_size, tail_size = len(head), len(tail)
    join = b"".join
    pushes = []
    for offset, (data, is_delta) in enumerate(changes, first_offset):
        number = b"\x30" + varint(offset) if first_offset else b""
        if is_delta:
            number += b"\x40\x01"
        before = b"\x22" + varint(len(data))
        pub_size = len(before) + len(data) + len(number) + tail_size
        pub = varint(pub_size)
        push_size = head_size + len(pub) + pub_size
        push = varint(push_size)
        size = varint(1 + len(push) + push_size)
        pushes.append(join((size, b"\x22", push, head, pub, before, data, number, tail)))
    return pushes


def frames(
    pushes: Sequence[bytes],
    kind: Format,
    *,
    max_pushes: int = MAX_FRAME_PUSHES,
    max_bytes: int = MAX_FRAME_BYTES,
) -> list[bytes]:
    """Return the payloads of as few WebSocket messages as hold the pushes, in order.

    Args:
        pushes: or replies, each as its codec makes it.
        kind: says what stands between two: a newline or nothing.
        max_pushes: in a frame; at least 1.
        max_bytes: in a frame, unless one push alone has more.
    """
    separator = kind.separator
    between = len(separator)
    if len(pushes) <= max_pushes and sum(map(len, pushes)) + between * len(pushes) <= max_bytes:
        return [separator.join(pushes)] if pushes else []
    made = []
    begin = size = 0
    for index, push in enumerate(pushes):
        size += len(push) + between
        if index > begin and (index - begin == max_pushes or size - between > max_bytes):
            made.append(separator.join(pushes[begin:index]))
            begin, size = index, len(push) + between
    made.append(separator.join(pushes[begin:]))
    return made


def _checked(common: Publication) -> Publication:
    assert not any((common.data, common.offset, common.delta)), "these differ from push to push"
    return common


def _json_frame(channel: str, common: Publication) -> tuple[str, str]:
    """Return what stands before ``data`` and after the offset."""
    fields = "" if common is NOTHING else "".join("," + member.decode() for member in members(_checked(common)))
    return f'{{"push":{{"channel":{quote(channel).decode()},"pub":{{"data":', fields + "}}}"


def _json_text(payload: bytes) -> str:
    try:
        from_json(payload, allow_inf_nan=False)
    except ValueError:
        return _other_text(payload)
    text = payload.decode()
    return _without_line_ends(text) if "\n" in text or "\r" in text else text


def _without_line_ends(text: str) -> str:
    """Return JSON without raw line ends; they stand between tokens only (RFC 8259 §7)."""
    return text.replace("\n", "").replace("\r", "")


def _other_text(payload: bytes) -> str:
    """Return ``data`` for what pydantic's parser refused."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return f'{{"base64":"{b2a_base64(payload, newline=False).decode()}"}}'
    if "\\u" in text and _is_json(text):
        return _without_line_ends(text)
    return encode_basestring(text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _is_json(text: str) -> bool:
    """Return True for JSON with half a surrogate pair as an escape: a legal string (RFC 8259 §8.2) that Rust refuses.

    Programs that cut text by UTF-16 units write it.
    """
    if text.count("[") + text.count("{") > _MAX_JSON_DEPTH:
        return False
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        return False
    return True
