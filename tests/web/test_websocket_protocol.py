from __future__ import annotations

import asyncio
import gc
import logging
import tracemalloc
import weakref
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from asgi_fakes import Message, until
from manual_clock import ManualClock
from portcast.web import websocket_protocol
from portcast.web.keepalive import Keepalive
from portcast.web.websocket_asgi import AsgiConversation
from portcast.web.websocket_frames import TEXT, deflated_frames, frame, frames
from portcast.web.websocket_protocol import MAX_FRAGMENTS, WebSocketProtocol
from websocket_kit import Owner, Receive, Send, Wire, accepting, batch, detaching

pytestmark = pytest.mark.anyio

LIMIT = 1000
"""Bytes of a message in these tests."""


@pytest.fixture
def quick_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass in a moment."""
    monkeypatch.setattr(websocket_protocol, "CLOSE_S", 0.01)


class Detached:
    """A detached connection, its owner and what it received."""

    def __init__(self, **options: Any) -> None:
        self.owner = Owner()
        self.messages: list[str | bytes] = []
        self.on_message: Callable[[str | bytes], None] = self.messages.append
        self.wire = Wire(
            detaching(self.owner, lambda message: self.on_message(message)), **{"ws_max_size": LIMIT, **options}
        )

    @property
    def protocol(self) -> WebSocketProtocol:
        return self.wire.protocol

    def refuse_message(self, message: str | bytes) -> None:
        """A callback that takes one message, and no other."""
        self.messages.append(message)
        self.protocol.close(4400, "not understood")


async def detached(**options: Any) -> Detached:
    it = Detached(**options)
    await it.wire.opened()
    await it.wire.returned()
    return it


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False) -> bytes:
    """A client's frame, also one that a client may not send."""
    data = Frame(Opcode.TEXT, payload).serialize(mask=True)
    return bytes((fin << 7 | rsv1 << 6 | opcode,)) + data[1:]


# Receiving


async def test_fragments_make_a_message_and_control_frames_may_stand_between() -> None:
    """RFC 6455 §5.4; a character may be split between fragments."""
    it = await detached()
    euro = "€".encode()
    it.wire.send(masked(0x1, b"5 " + euro[:1], fin=False))
    it.wire.send(masked(0x9, b"?"))
    it.wire.send(masked(0x0, euro[1:2], fin=False))
    it.wire.send(masked(0xA, b"unasked"))
    it.wire.send(masked(0x0, euro[2:]))
    assert it.messages == ["5 €"]
    assert [(one.opcode, bytes(one.data)) for one in it.wire.frames] == [(Opcode.PONG, b"?")]


async def test_the_next_message_begins_anew() -> None:
    """Nothing is left of the one before."""
    it = await detached()
    it.wire.send(masked(0x1, b"a", fin=False) + masked(0x0, b"b") + masked(0x2, b"c", fin=False) + masked(0x0, b"d"))
    it.wire.send(masked(0x1, b"e"))
    assert it.messages == ["ab", b"cd", "e"]


@given(st.lists(st.integers(1, 60), max_size=12))
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_messages_do_not_depend_on_how_bytes_arrive(anyio_backend: str, pieces: list[int]) -> None:
    """Design: framing never depends on packet boundaries."""

    async def run() -> list[str | bytes]:
        it = await detached()
        data = masked(0x1, b"x" * 130, fin=False) + masked(0x9, b"?") + masked(0x0, b"y") + masked(0x2, b"z" * 200)
        for size in pieces:
            it.wire.send(data[:size])
            data = data[size:]
        it.wire.send(data)
        return it.messages

    assert asyncio.run(run()) == ["x" * 130 + "y", b"z" * 200]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01a", 1002),
        (masked(0x3, b"a"), 1002),
        (masked(0x1, b"a", rsv1=True), 1002),
        (masked(0x0, b"a"), 1002),
        (masked(0x1, b"a", fin=False) + masked(0x1, b"b"), 1002),
        (masked(0x9, b"x" * 126), 1002),
        (masked(0x9, b"", fin=False), 1002),
        (masked(0x8, b"\x03"), 1002),
        (masked(0x8, b"\x03\xed"), 1002),
        (masked(0x8, b"\x03\xe8\xff"), 1007),
        (masked(0x1, b"\xff"), 1007),
        (masked(0x1, "€".encode()[:2]), 1007),
        (masked(0x1, b"a" * 1001), 1009),
        (b"\x82\xff" + (1 << 62).to_bytes(8, "big"), 1009),
        (masked(0x1, b"a" * 600, fin=False) + masked(0x0, b"a" * 401), 1009),
        (masked(0x1, b"", fin=False) + masked(0x0, b"", fin=False) * MAX_FRAGMENTS, 1008),
        (masked(0x1, b"a", fin=False) + masked(0x0, b"", fin=False) * (MAX_FRAGMENTS - 1) + masked(0x0), 1008),
    ],
    ids=[
        *("not masked", "opcode", "RSV1", "continues nothing", "fragments mixed", "long ping", "ping in fragments"),
        *("short close", "code 1005", "reason", "UTF-8", "half a character", "large", "huge", "large in fragments"),
        *("fragments without end", "one fragment too many"),
    ],
)
async def test_a_violation_ends_the_connection(data: bytes, code: int) -> None:
    """With the code that says why; the owner learns it, and nothing of it reaches the callback."""
    it = await detached()
    it.wire.send(data)
    assert it.wire.close is not None
    assert it.wire.close.code == code
    assert it.messages == []
    assert not it.protocol.is_open
    it.wire.send(masked(0x1, b"more"))
    it.wire.transport.breaks()
    await it.wire.lost()
    assert it.messages == []
    assert it.owner.endings == [f"protocol error: {it.wire.close.reason}"]


async def test_as_many_fragments_as_are_allowed() -> None:
    """The limit is inclusive."""
    it = await detached()
    it.wire.send(masked(0x1, b"a", fin=False) + masked(0x0, b"a", fin=False) * (MAX_FRAGMENTS - 2) + masked(0x0, b"a"))
    assert it.messages == ["a" * MAX_FRAGMENTS]


async def test_an_application_is_told_of_a_violation() -> None:
    """The code is the one that the client got."""
    received: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        received.extend([await receive(), await receive()])

    wire = Wire(app)
    await wire.opened()
    wire.send(masked(0x1, b"\xff"))
    await wire.returned()
    assert (received[1]["type"], received[1]["code"]) == ("websocket.disconnect", 1007)


@pytest.mark.parametrize("rest", [masked(0x8, b"\x03\xe8"), b"\x81\x01a"], ids=["close", "violation"])
async def test_a_message_counts_although_the_end_came_with_it(rest: bytes) -> None:
    """A client that says something and leaves sends both in one packet."""
    it = await detached()
    it.wire.send(masked(0x1, b"last words") + rest)
    assert it.messages == ["last words"]
    assert it.wire.close is not None


async def test_an_application_gets_the_message_before_the_close() -> None:
    """The same, in the order in which they came."""
    received: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        received.extend([await receive() for _ in range(3)])

    wire = Wire(app)
    await wire.opened()
    wire.send(masked(0x1, b"last words") + masked(0x8, b"\x0f\xa1bye"))
    await wire.returned()
    assert received[1:] == [
        {"type": "websocket.receive", "text": "last words"},
        {"type": "websocket.disconnect", "code": 4001, "reason": "bye"},
    ]


async def test_what_comes_after_a_close_is_ignored() -> None:
    """RFC 6455 §5.5.1."""
    it = await detached()
    it.wire.transport.is_stuck = True
    it.wire.send(masked(0x8, b"\x03\xe8") + masked(0x1, b"more"))
    it.wire.send(masked(0x1, b"more") + masked(0x9, b"?"))
    assert it.messages == []
    assert [one.opcode for one in it.wire.frames] == [Opcode.CLOSE]


async def test_the_callback_may_close() -> None:
    """What came with the offending message is not handed on."""
    it = await detached()
    it.on_message = it.refuse_message
    it.wire.send(masked(0x1, b"a") + masked(0x1, b"b"))
    assert it.messages == ["a"]
    assert it.wire.close is not None
    assert it.wire.close.code == 4400


@pytest.mark.parametrize("rest", [masked(0x8, b"\x03\xe8"), b"\x81\x01a"], ids=["close", "violation"])
async def test_the_callback_may_close_what_ends_already(rest: bytes) -> None:
    """One close frame goes out, the parser's; the owner hears of one end."""
    it = await detached()
    it.on_message = it.refuse_message
    it.wire.send(masked(0x1, b"a") + rest)
    assert [one.opcode for one in it.wire.frames] == [Opcode.CLOSE]
    it.wire.transport.breaks()
    await it.wire.lost()
    assert len(it.owner.endings) == 1


async def test_the_callback_may_abort_what_ends_already() -> None:
    """An aborted transport is not closed on top."""
    it = await detached()
    it.on_message = lambda message: it.protocol.abort()
    it.wire.send(masked(0x1, b"a") + masked(0x8, b"\x03\xe8"))
    assert (it.wire.transport.is_aborted, it.wire.transport.closes) == (True, 0)
    assert not it.wire.transport.written


async def test_a_detached_client_may_be_ignored() -> None:
    """Most have nothing to say."""
    owner = Owner()
    wire = Wire(detaching(owner))
    await wire.opened()
    wire.send(masked(0x1, b"a"))
    assert wire.protocol.is_open


@pytest.mark.parametrize("is_compressed", [False, True])
async def test_compressed_messages_are_read(is_compressed: bool) -> None:
    """A client that negotiated compression may leave it, message by message."""
    it = await detached(
        client={"extensions": [ClientPerMessageDeflateFactory(client_max_window_bits=True)]},
        ws_per_message_deflate=True,
    )
    for text in ("one " * 100, "two " * 100):
        if is_compressed:
            it.wire.text(text)
        else:
            it.wire.send(masked(0x1, text.encode()))
    assert it.messages == ["one " * 100, "two " * 100]


@pytest.mark.row(13)
async def test_a_small_message_that_unpacks_to_a_huge_one() -> None:
    """16 KiB that would be 16 MiB: refused (RFC 7692 §8) before they are there, with 1009."""
    it = await detached(
        client={"extensions": [ClientPerMessageDeflateFactory(client_max_window_bits=True)]},
        ws_per_message_deflate=True,
        ws_max_size=65_536,
    )
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(16 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)
    data = masked(0x2, packed.removesuffix(b"\0\0\xff\xff"), rsv1=True)
    assert len(data) < 20_000
    tracemalloc.start()
    try:
        it.wire.send(data)
        await until(lambda: it.wire.close is not None, "the close")
        assert tracemalloc.get_traced_memory()[1] < 4 * 65_536, (
            "182 KB were seen: the data, its copy in the parser, the limit"
        )
    finally:
        tracemalloc.stop()
    assert it.messages == []
    assert it.wire.close is not None
    assert it.wire.close.code == 1009


# Answering


async def test_every_ping_is_answered() -> None:
    """With its own payload (RFC 6455 §5.5.3), while the client reads."""
    it = await detached()
    it.wire.send(masked(0x9, b"1") + masked(0x9, b"2"))
    assert [(one.opcode, bytes(one.data)) for one in it.wire.frames] == [(Opcode.PONG, b"1"), (Opcode.PONG, b"2")]


async def test_a_flood_of_pings_costs_one_pong() -> None:
    """Of a client that does not read only the newest ping is answered, when it reads again (RFC 6455 §5.5.3)."""
    it = await detached()
    it.protocol.pause_writing()
    for number in range(1000):
        it.wire.send(masked(0x9, b"%d" % number) * 2)
    assert not it.wire.transport.written
    it.protocol.resume_writing()
    it.protocol.pause_writing()
    it.protocol.resume_writing()
    assert [(one.opcode, bytes(one.data)) for one in it.wire.frames] == [(Opcode.PONG, b"999")]


async def test_a_pong_that_waited_is_not_sent_after_a_close() -> None:
    """A close frame is the last (RFC 6455 §5.5.1)."""
    it = await detached()
    it.wire.transport.is_stuck = True
    it.protocol.pause_writing()
    it.wire.send(masked(0x9, b"?"))
    it.protocol.close(1000)
    it.protocol.resume_writing()
    it.wire.send(masked(0x9, b"?"))
    assert [one.opcode for one in it.wire.frames] == [Opcode.CLOSE]


async def test_the_clients_close_is_answered_and_the_connection_ended() -> None:
    """RFC 6455 §5.5.1: the code comes back, and the server ends the connection first (§7.1.1)."""
    it = await detached()
    it.wire.send(masked(0x8, b"\x0f\xa1bye"))
    assert it.wire.close is not None
    assert it.wire.close.code == 4001
    assert it.wire.transport.closes == 1
    await it.wire.lost()
    assert it.owner.endings == ["client left"]


# The sink


@pytest.mark.parametrize("number", [1, 3])
async def test_write(number: int) -> None:
    """The items are written as they are, in order."""
    it = await detached()
    items = [frames([b"a%d" % n, b"b%d" % n]) for n in range(number)]
    assert it.protocol.write(batch(*items)) is True
    assert it.wire.messages == [text for n in range(number) for text in (f"a{n}", f"b{n}")]


async def test_write_says_when_to_wait_and_the_owner_when_to_go_on() -> None:
    """What is written while the transport is full is taken all the same."""
    it = await detached()
    it.protocol.pause_writing()
    assert it.protocol.is_write_paused
    assert it.protocol.write(batch(frame(TEXT, b"a"))) is False
    assert (it.owner.drained, it.wire.messages) == (0, ["a"])
    it.wire.transport.buffered = 7
    assert it.protocol.buffered == 7
    it.protocol.resume_writing()
    assert it.owner.drained == 1
    assert it.protocol.write(batch(frame(TEXT, b"b"))) is True


async def test_answers_stand_where_they_were_written() -> None:
    """Among batches, at once; whether the transport is full is told as for a batch."""
    it = await detached()
    assert it.protocol.write(batch(frame(TEXT, b"a"))) is True
    assert it.protocol.write_now([frame(TEXT, b"b"), frame(TEXT, b"c")]) is True
    it.protocol.pause_writing()
    assert it.protocol.write_now([frame(TEXT, b"d")]) is False
    assert it.protocol.write(batch(frame(TEXT, b"e"))) is False
    it.protocol.resume_writing()
    assert it.owner.drained == 1
    assert it.protocol.write_now([]) is True
    assert it.wire.messages == ["a", "b", "c", "d", "e"]


async def test_no_answer_follows_a_close() -> None:
    """It would break the protocol (RFC 6455 §5.5.1)."""
    it = await detached()
    it.protocol.close(1000)
    assert it.protocol.write_now([frame(TEXT, b"a")]) is False
    assert it.wire.messages == []


async def test_write_may_pause_at_once() -> None:
    """A transport calls `pause_writing` from within its own write."""
    it = await detached()
    it.wire.transport.write = lambda data: it.protocol.pause_writing()  # type: ignore[method-assign]
    assert it.protocol.write(batch(frame(TEXT, b"a"))) is False


def _closes(it: Detached) -> None:
    it.protocol.close(1000)


def _client_closes(it: Detached) -> None:
    it.wire.transport.is_stuck = True
    it.wire.send(masked(0x8, b"\x03\xe8"))


def _violates(it: Detached) -> None:
    it.wire.send(b"\x81\x01a")


def _half_closes(it: Detached) -> None:
    it.protocol.eof_received()


def _aborts(it: Detached) -> None:
    it.protocol.abort()


ENDS = [_closes, _client_closes, _violates, _half_closes, _aborts]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
async def test_nothing_is_written_to_a_connection_that_ends(end: Callable[[Detached], None]) -> None:
    """RFC 6455 §5.5.1: no data frame may follow a close frame. The transport of the tests would say so, too."""
    it = await detached()
    end(it)
    assert not it.protocol.is_open
    assert it.protocol.write(batch(frame(TEXT, b"a"))) is False
    it.protocol.send_ping()
    it.protocol.close(1001)
    it.protocol.pause_writing()
    it.protocol.resume_writing()
    assert [one.opcode for one in it.wire.frames] in ([], [Opcode.CLOSE])
    assert it.owner.drained == 0


async def test_shared_and_own_compressed_frames_mix() -> None:
    """No message depends on another, so the batch for all may come between the application's own."""
    owner = Owner()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        connection: WebSocketProtocol = scope["extensions"]["portcast.sink"]
        for number in range(20):
            await send({"type": "websocket.send", "text": f"own {number} " * 30})
            connection.write(batch(deflated_frames([b"shared %d " % number * 30])))
        connection.bind(owner)
        connection.detach()

    wire = Wire(
        app,
        client={"extensions": [ClientPerMessageDeflateFactory(client_max_window_bits=True)]},
        ws_per_message_deflate=True,
    )
    await wire.opened()
    assert wire.messages == [text * 30 for n in range(20) for text in (f"own {n} ", f"shared {n} ")]


# Detachment


async def test_a_detached_connection_has_no_task_no_scope_and_no_queue() -> None:
    """What is left is the connection itself: that is what makes thousands of idle clients cheap."""
    conversations: list[weakref.ref[AsgiConversation]] = []
    owner = Owner()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        conversations.append(weakref.ref(receive.__self__))  # type: ignore[attr-defined]
        await detaching(owner)(scope, receive, send)

    before = asyncio.all_tasks()
    wire = Wire(app)
    await wire.opened()
    await wire.returned()
    gc.collect()
    assert asyncio.all_tasks() == before
    assert conversations[0]() is None
    held = [one for one in gc.get_referents(wire.protocol) if isinstance(one, dict | list | asyncio.Future)]
    assert held == [], "neither a scope nor a queue"
    assert wire.protocol.is_open


async def test_what_was_not_received_goes_to_the_callback() -> None:
    """Messages that came between the handshake and the detachment are not lost."""
    it = Detached()
    it.wire = Wire(
        detaching(it.owner, it.messages.append, before=lambda: it.wire.send(masked(0x1, b"a") + masked(0x2, b"b")))
    )
    await it.wire.opened()
    it.wire.send(masked(0x1, b"c"))
    assert it.messages == ["a", b"b", "c"]


async def test_the_callback_may_close_while_it_is_handed_what_waited() -> None:
    """Then the rest is not its business any more."""
    it = Detached()
    it.on_message = it.refuse_message
    it.wire = Wire(
        detaching(
            it.owner,
            lambda message: it.on_message(message),
            before=lambda: it.wire.send(masked(0x1, b"a") + masked(0x2, b"b")),
        )
    )
    it.wire.ask()
    await it.wire.returned()
    assert it.messages == ["a"]


async def test_reading_goes_on_after_detachment() -> None:
    """Nobody is left who could make it go on."""
    it = Detached()
    it.wire = Wire(detaching(it.owner, it.messages.append, before=lambda: it.wire.send(masked(0x1, b"a") * 20)))
    await it.wire.opened()
    assert it.wire.transport.pauses == 1
    assert not it.wire.transport.is_paused
    assert it.messages == ["a"] * 20


async def test_who_still_receives_is_told_that_it_is_over() -> None:
    """A task of the application that waits for a message must not wait for ever."""
    receiving: list[asyncio.Future[Message]] = []
    owner = Owner()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        receiving.append(asyncio.ensure_future(receive()))
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0)
        scope["extensions"]["portcast.sink"].bind(owner)
        scope["extensions"]["portcast.sink"].detach()
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.send", "text": "mine no more"})

    wire = Wire(app)
    await wire.opened()
    assert (await receiving[0])["type"] == "websocket.disconnect"


async def test_a_connection_lost_before_its_detachment() -> None:
    """The owner is told, once and not from within `bind`; the application ends as any other."""
    owner = Owner()
    told_within_bind: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        await receive()
        connection: WebSocketProtocol = scope["extensions"]["portcast.sink"]
        connection.bind(owner)
        told_within_bind.extend(owner.endings)
        connection.detach()

    wire = Wire(app)
    await wire.opened()
    wire.transport.breaks()
    await wire.returned()
    await until(lambda: owner.endings, "the owner to be told")
    assert owner.endings == ["connection lost"]
    assert told_within_bind == []


async def test_an_application_that_fails_after_detachment_does_not_end_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection is not the call's any more; the error is logged all the same."""
    owner = Owner()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await detaching(owner)(scope, receive, send)
        raise ValueError("broken")

    wire = Wire(app)
    await wire.opened()
    await wire.returned()
    assert wire.protocol.is_open
    assert "broken" in caplog.text


# Ending


def _reset(it: Detached) -> None:
    it.wire.transport.breaks()


def _shut_down(it: Detached) -> None:
    it.protocol.shutdown()
    it.wire.send(masked(0x8, b"\x03\xf4"))


def _removed(it: Detached) -> None:
    it.protocol.close(3008, "slow consumer")
    it.wire.send(masked(0x8, b"\x0b\xc0"))


def _closed(it: Detached) -> None:
    it.protocol.close(1000)
    it.wire.send(masked(0x8, b"\x03\xe8"))


def _left(it: Detached) -> None:
    it.protocol.eof_received()
    it.wire.transport.close()


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (_reset, "connection lost"),
        (_left, "client left"),
        (_aborts, "aborted"),
        (_closed, "closed"),
        (_removed, "slow consumer"),
        (_shut_down, "server is restarting"),
    ],
    ids=["reset", "left", "aborted", "closed", "removed", "shutdown"],
)
async def test_the_owner_is_told_once_why_it_ended(end: Callable[[Detached], None], expected: str) -> None:
    """Whatever the way; it is forgotten then."""
    it = await detached()
    end(it)
    assert it.owner.endings == []
    await it.wire.lost()
    it.protocol.abort()
    it.protocol.close(1000)
    assert it.owner.endings == [expected]
    assert it.owner not in gc.get_referents(it.protocol)


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (1000, "", (1000, "")),
        (3008, "slow consumer: 70000 bytes waiting", (3008, "slow consumer: 70000 bytes waiting")),
        (1012, "é" * 100, (1012, "é" * 61)),
        (1006, "never on the wire", (1011, "")),
        (70_000, "", (1011, "")),
    ],
    ids=["normal", "reason", "long", "reserved", "no code"],
)
async def test_close(code: int, reason: str, expected: tuple[int, str]) -> None:
    """One frame with code and reason; a code that must not be sent becomes 1011 (RFC 6455 §7.4.1)."""
    it = await detached()
    it.protocol.close(code, reason)
    it.protocol.close(1001, "again")
    assert len(it.wire.frames) == 1
    assert it.wire.close is not None
    assert (it.wire.close.code, it.wire.close.reason) == expected
    assert it.wire.transport.closes == 0, "the client's close frame is awaited"


@pytest.mark.usefixtures("quick_abort")
@pytest.mark.parametrize("end", [_closes, _client_closes, _violates, _half_closes], ids=lambda end: end.__name__)
async def test_a_peer_that_does_not_end_is_aborted(end: Callable[[Detached], None]) -> None:
    """Neither a peer that does not answer the close frame nor one that does not read can hold the connection."""
    it = await detached()
    it.wire.transport.is_stuck = True
    end(it)
    assert not it.wire.transport.is_aborted
    await it.wire.lost()
    assert it.wire.transport.is_aborted
    assert len(it.owner.endings) == 1


@pytest.mark.usefixtures("quick_abort")
async def test_a_refused_client_that_does_not_read_is_aborted() -> None:
    """The same in the handshake."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    wire = Wire(app)
    wire.transport.is_stuck = True
    wire.ask()
    await wire.lost()
    assert wire.transport.is_aborted


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
async def test_after_a_violation_only_our_side_is_closed(is_tls: bool) -> None:
    """Closed as a whole while data arrives, the socket would be reset and the peer lose the close frame."""
    it = await detached()
    it.wire.transport.is_tls = is_tls
    it.wire.send(b"\x81\x01a" + b"x" * 100)
    assert it.wire.transport.closes == 0
    assert it.wire.transport.is_eof_written is not is_tls
    it.wire.send(b"x" * 100)
    assert it.wire.close is not None
    assert it.wire.close.code == 1002


@pytest.mark.usefixtures("quick_abort")
async def test_a_connection_that_ended_in_order_is_not_aborted() -> None:
    """The timer goes with it."""
    it = await detached()
    it.protocol.close(1000)
    it.wire.send(masked(0x8, b"\x03\xe8"))
    await it.wire.lost()
    assert it.protocol._close_timer is not None
    assert it.protocol._close_timer.cancelled()
    assert not it.wire.transport.is_aborted


async def test_a_transport_is_closed_once() -> None:
    """asyncio's TLS transport forgets its socket when it is closed again, and could not be aborted any more."""
    it = await detached()
    it.wire.transport.is_stuck = True
    it.protocol.close(1000)
    it.wire.send(masked(0x8, b"\x03\xe8"))
    it.wire.send(masked(0x8, b"\x03\xe8"))
    assert it.wire.transport.closes == 1


@pytest.mark.usefixtures("quick_abort")
async def test_one_deadline_for_the_whole_end() -> None:
    """A peer cannot put it off by ending step by step."""
    it = await detached()
    it.protocol.close(1000)
    timer = it.protocol._close_timer
    it.protocol.eof_received()
    assert it.protocol._close_timer is timer


async def test_shutdown_of_an_application() -> None:
    """The client is told to come back, the application that it is over, at once."""
    received: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        received.extend([await receive(), await receive()])

    wire = Wire(app)
    await wire.opened()
    wire.protocol.shutdown()
    assert wire.close is not None
    assert wire.close.code == 1012
    await wire.returned()
    assert received[1]["code"] == 1012


async def test_an_application_that_waits_to_send_is_told_when_it_may() -> None:
    """And nobody else: there is no owner yet."""
    go_on = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await go_on.wait()
        await send({"type": "websocket.send", "text": "at last"})

    wire = Wire(app)
    await wire.opened()
    wire.protocol.pause_writing()
    go_on.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert wire.messages == []
    wire.protocol.resume_writing()
    await wire.returned()
    assert wire.messages == ["at last"]


async def test_shutdown_in_the_handshake() -> None:
    """503: the client should try again."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    wire = Wire(app)
    wire.ask()
    wire.protocol.shutdown()
    assert wire.response.status_code == 503
    await wire.lost()
    await wire.returned()


async def test_shutdown_of_what_ends_already() -> None:
    """Nothing more is said."""
    it = await detached()
    it.protocol.close(4000)
    it.protocol.shutdown()
    assert len(it.wire.frames) == 1


async def test_uvicorn_sees_the_connection_until_it_is_lost() -> None:
    """Its stop waits for these."""
    wire = Wire(accepting)
    assert wire.connections == [wire.protocol]
    await wire.opened()
    wire.transport.breaks()
    await wire.lost()
    await wire.returned()


def _alive() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, WebSocketProtocol | AsgiConversation)]


async def test_a_lost_connection_lets_go_of_everything() -> None:
    """Connections that come and go must not pile up, whatever they were doing."""
    gc.collect()
    others = _alive()  # of other tests
    for _ in range(20):
        it = await detached(ws_ping_interval=20)
        it.wire.transport.breaks()
        await it.wire.lost()
        wire = Wire(accepting)
        await wire.opened()
        wire.transport.breaks()
        await wire.returned()
    del it, wire
    gc.collect()
    assert [one for one in _alive() if not any(one is other for other in others)] == []


# Pings


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Time for the pings: every 20 s, 20 s for the pong."""
    clock = ManualClock()
    wheel = Keepalive(clock, interval_s=20, timeout_s=20)
    monkeypatch.setattr(websocket_protocol, "shared", lambda *_: wheel)
    return clock


def pings(wire: Wire) -> int:
    return sum(one.opcode is Opcode.PING for one in wire.frames)


async def test_an_idle_client_is_pinged_and_its_pong_seen(clock: ManualClock) -> None:
    """A client that answers stays, for ever."""
    it = await detached(ws_ping_interval=20)
    clock.advance(21)
    for number in range(1, 4):
        assert pings(it.wire) == number
        it.wire.send(masked(0xA, b"ping"))
        clock.advance(21)
    assert it.protocol.is_open


async def test_a_client_that_does_not_answer_is_aborted(clock: ManualClock) -> None:
    """A close frame would only wait behind what it does not read."""
    it = await detached(ws_ping_interval=20)
    clock.advance(21)
    assert not it.wire.transport.is_aborted
    clock.advance(21)
    assert it.wire.transport.is_aborted
    await it.wire.lost()
    assert it.owner.endings == ["no pong"]
    assert clock.timers == 0


async def test_a_client_that_takes_what_waited_is_alive(clock: ManualClock) -> None:
    """Its ping stands behind much that it takes slowly."""
    it = await detached(ws_ping_interval=20)
    it.protocol.pause_writing()
    clock.advance(21)
    assert it.protocol.is_ping_pending
    it.protocol.resume_writing()
    clock.advance(20)
    assert it.protocol.is_open
    clock.advance(60)
    assert it.wire.transport.is_aborted


async def test_a_client_that_we_do_not_read_is_not_aborted(clock: ManualClock) -> None:
    """Its pong waits behind messages that the application does not receive; afterwards it is seen again."""
    go_on = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await go_on.wait()
        while (await receive())["type"] != "websocket.disconnect":
            pass

    wire = Wire(app, ws_ping_interval=20)
    await wire.opened()
    wire.send(masked(0x1, b"a") * 20)
    assert wire.transport.is_paused
    clock.advance(200)
    assert wire.protocol.is_open
    go_on.set()
    await until(lambda: not wire.transport.is_paused, "reading")
    wire.send(masked(0xA, b"ping"))
    before = pings(wire)
    clock.advance(21)
    assert pings(wire) == before + 1
    clock.advance(21)
    assert wire.transport.is_aborted


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
async def test_who_ends_is_not_pinged(clock: ManualClock, end: Callable[[Detached], None]) -> None:
    """The wheel forgets a connection when it is lost."""
    it = await detached(ws_ping_interval=20)
    end(it)
    it.wire.transport.breaks()
    await it.wire.lost()
    clock.advance(100)
    assert pings(it.wire) == 0
    assert clock.timers == 0


async def test_without_an_interval_nobody_is_pinged(clock: ManualClock) -> None:
    """``--ws-ping-interval 0`` or None."""
    it = await detached(ws_ping_interval=None)
    it.wire.send(masked(0xA, b"unasked"))
    it.protocol.pause_writing()
    it.protocol.resume_writing()
    assert clock.timers == 0


async def test_uvicorns_settings_reach_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ws_ping_timeout`` None is passed on: it means no timeout."""
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(websocket_protocol, "shared", lambda *arguments: seen.append(arguments))
    wire = Wire(accepting, ws_ping_interval=5, ws_ping_timeout=None)
    assert seen == [(asyncio.get_running_loop(), wire.state, 5, None)]


async def test_an_error_in_the_parser_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a bug, ours or another's; the client gets 1011."""
    it = await detached()
    monkeypatch.setattr(it.protocol._parser, "recv_frame", lambda frame: 1 // 0)
    with caplog.at_level(logging.ERROR):
        it.wire.send(masked(0x1, b"a"))
    assert "ZeroDivisionError" in caplog.text
    assert it.wire.close is not None
    assert it.wire.close.code == 1011
    assert it.wire.client.state in (State.CLOSING, State.CLOSED)
