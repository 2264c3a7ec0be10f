from __future__ import annotations

import zlib
from typing import Any, cast

import pytest

from portcast.centrifuge import protobuf_codec
from portcast.centrifuge.codes import PERMISSION_DENIED
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import PING, Command, PublishResult, Reply, SubscribeRequest
from portcast.centrifuge.pushes import MAX_FRAME_PUSHES, json_pushes, protobuf_pushes
from portcast.delivery import Batch
from portcast.errors import CentrifugeError, MissingDependencyError
from portcast.web.sdk_wire import Form, wire

JSON, PROTOBUF = Format.JSON, Format.PROTOBUF
REPLIES = [Reply(1, PublishResult()), Reply(2, PERMISSION_DENIED)]
LINES = b'{"id":1,"publish":{}}\n{"id":2,"error":{"code":103,"message":"permission denied"}}'


def payloads(data: bytes) -> list[tuple[int, bytes]]:
    """Return opcode and payload of the frames in it (RFC 6455 §5.2), inflated where RSV1 says so."""
    found = []
    while data:
        size, begin = data[1], 2
        if size == 126:
            size, begin = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, begin = int.from_bytes(data[2:10], "big"), 10
        payload = data[begin : begin + size]
        if data[0] & 0x40:
            payload = zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")
        found.append((data[0] & 0x0F, payload))
        data = data[begin + size :]
    return found


def test_one_wire_of_each_kind() -> None:
    """What is made for a wire is shared by all its clients, so it must be one object."""
    assert wire(JSON, "frames") is wire(JSON, "frames")
    assert wire(JSON, "frames") is not wire(JSON, "deflated")


def test_protobuf_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first client of that kind is served, and again for the next one."""

    def require() -> None:
        raise MissingDependencyError("protobuf", "centrifuge")

    monkeypatch.setattr(protobuf_codec, "require", require)
    wire.cache_clear()
    for _ in range(2):
        with pytest.raises(MissingDependencyError):
            wire(PROTOBUF, "frames")
    assert wire(JSON, "frames").format is JSON


@pytest.mark.parametrize("data", ['{"id":2,"subscribe":{"channel":"a"}}', b'{"id":2,"subscribe":{"channel":"a"}}'])
def test_reads_json(data: str | bytes) -> None:
    """From text frames, and from clients that send the same as bytes."""
    assert wire(JSON, "frames").decode(data) == [Command(2, SubscribeRequest("a"))]


def test_reads_protobuf() -> None:
    """Commands behind their lengths."""
    assert wire(PROTOBUF, "frames").decode(b"\x07\x08\x02\x2a\x03\x0a\x01a") == [Command(2, SubscribeRequest("a"))]


@pytest.mark.parametrize("format_", list(Format))
def test_what_is_no_command_is_an_error(format_: Format) -> None:
    """The client decides what that means."""
    with pytest.raises(CentrifugeError):
        wire(format_, "frames").decode(b"\xff\xff")


class TestReplies:
    @pytest.mark.parametrize(("format_", "opcode"), [(JSON, 1), (PROTOBUF, 2)])
    @pytest.mark.parametrize("form", ["frames", "deflated"])
    def test_are_one_websocket_frame(self, format_: Format, opcode: int, form: Form) -> None:
        """Text for JSON, binary for Protobuf; a client reads the same whether it is compressed or not."""
        (item,) = wire(format_, form).encode(REPLIES)
        ((code, payload),) = payloads(cast(bytes, item))
        assert code == opcode
        assert payload == (LINES if format_ is JSON else protobuf_codec.encode(REPLIES))

    def test_are_compressed_where_that_is_smaller(self) -> None:
        """RSV1 says so (RFC 7692 §6)."""
        many = [Reply(number, PublishResult()) for number in range(50)]
        (item,) = wire(JSON, "deflated").encode(many)
        (plain,) = wire(JSON, "frames").encode(many)
        assert cast(bytes, item)[0] & 0x40
        assert len(cast(bytes, item)) < len(cast(bytes, plain)) // 3
        assert payloads(cast(bytes, item)) == payloads(cast(bytes, plain))
        (ping,) = wire(JSON, "deflated").encode([PING])
        assert ping == b"\x81\x02{}"

    def test_are_one_asgi_message(self) -> None:
        """Text for JSON, bytes for Protobuf."""
        assert wire(JSON, "messages").encode(REPLIES) == [{"type": "websocket.send", "text": LINES.decode()}]
        assert wire(PROTOBUF, "messages").encode([PING]) == [{"type": "websocket.send", "bytes": b"\0"}]

    def test_are_lines_of_a_streamed_body(self) -> None:
        """A line end after each, also after the last: the client reads by lines, and Protobuf by lengths."""
        part: Any = {"type": "http.response.body", "body": LINES + b"\n", "more_body": True}
        assert wire(JSON, "stream").encode(REPLIES) == [part]
        assert wire(PROTOBUF, "stream").encode([PING]) == [{**part, "body": b"\0"}]

    def test_are_an_event_each(self) -> None:
        """`EventSource` gives the data of one event at a time."""
        (item,) = wire(JSON, "events").encode(REPLIES)
        first, second = LINES.split(b"\n")
        assert cast("dict[str, Any]", item)["body"] == b"data: " + first + b"\n\ndata: " + second + b"\n\n"


class TestPushes:
    @pytest.mark.parametrize("form", ["frames", "deflated"])
    def test_many_are_several_frames_in_one_item(self, form: Form) -> None:
        """What goes to a transport is one object, whatever is in it; the count is the publications'."""
        pushes = json_pushes("t", [b"%d" % number for number in range(2 * MAX_FRAME_PUSHES + 1)])
        batch = wire(JSON, form).pack(pushes, 17, 99)
        (item,) = batch.items
        frames = payloads(cast(bytes, item))
        assert [payload.count(b"\n") + 1 for _, payload in frames] == [MAX_FRAME_PUSHES, MAX_FRAME_PUSHES, 1]
        assert b"\n".join(payload for _, payload in frames) == b"\n".join(pushes)
        assert (batch.messages, batch.size) == (17, 99)

    def test_many_are_several_messages_elsewhere(self) -> None:
        """One item each, so that a sink can stop between them."""
        pushes = protobuf_pushes("t", [b"1"] * (MAX_FRAME_PUSHES + 1))
        batch = wire(PROTOBUF, "messages").pack(pushes, 1, 1)
        assert [len(cast("dict[str, bytes]", item)["bytes"]) for item in batch.items] == [
            sum(map(len, pushes[:-1])),
            len(pushes[-1]),
        ]

    @pytest.mark.parametrize("form", ["frames", "messages"])
    def test_batches_are_joined(self, form: Form) -> None:
        """In order; one item where frames go to a transport."""
        one = wire(JSON, form)
        first, second = one.pack(json_pushes("a", [b"1"]), 1, 1), one.pack(json_pushes("b", [b"22"]), 1, 2)
        both = one.join([first, second])
        assert (both.messages, both.size) == (2, 3)
        items = [*first.items, *second.items]
        assert both.items == ([b"".join(cast("list[bytes]", items))] if form == "frames" else items)

    @pytest.mark.parametrize("form", ["frames", "deflated", "messages", "stream", "events"])
    def test_none_are_nothing_to_write(self, form: Form) -> None:
        """Where all of a run is hidden from a client: asyncio's transports may never get rid of an empty buffer."""
        one = wire(JSON, form)
        empty = one.pack([], 3, 30)
        assert empty == Batch([], 3, 30)
        assert one.join([empty, empty]) == Batch([], 6, 60)
