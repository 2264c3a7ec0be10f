"""Each example does what its docstring says, over real sockets."""

from __future__ import annotations

import json
import struct

import anyio
import pytest

from gateway_serving import take
from portcast.framing import ChecksumFraming
from serving_examples import example

pytestmark = pytest.mark.anyio


async def test_tutorial_ports_keep_their_topics_apart_and_all_reach_ws() -> None:
    """Three ports at once; a character split over two packets arrives whole."""
    async with (
        example("tutorial_ports") as one,
        one.served.websocket("/ws") as everything,
        one.served.websocket("/ws/tcp/8002") as second_only,
    ):
        grüße = "grüße\n".encode()
        for port, data in zip(one.ports, (b"one\n", b"two\n", grüße), strict=True):
            async with await anyio.connect_tcp("127.0.0.1", port) as device:
                await device.send(data[:3])
                await device.send(data[3:])
        assert set(await take(everything, 3)) == {"one", "two", "grüße"}
        assert await take(second_only, 1) == ["two"]


async def test_typed_readings_are_checked_stored_and_published() -> None:
    """A bad line costs that line; what a TCP handler stored is read over HTTP."""
    async with example("typed_readings") as one, one.served.websocket("/ws/sensors/") as live:
        async with await anyio.connect_tcp("127.0.0.1", one.ports[0]) as device:
            await device.send(
                b'{"sensor": "boiler-1", "celsius": 81.5}\nno json\n{"sensor": "x", "celsius": 5000}\n'
                b'{"sensor": "boiler-1", "celsius": 82}\n'
            )
            values = [json.loads(message)["celsius"] for message in await take(live, 2)]
        assert values == [81.5, 82]
        answer = await one.served.http.get("/readings/boiler-1")
        assert answer.json() == {"sensor": "boiler-1", "celsius": 82.0}
        assert (await one.served.http.get("/readings/unknown")).status_code == 404
        assert one.module.gateway.store.get("count") == 2


def packet(kind: int, serial: int, body: bytes) -> bytes:
    """A tracker's frame, with the check value made by an implementation of its own."""
    data = struct.pack(">HBH", 3 + len(body) + 2, kind, serial) + body
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return data + (crc ^ 0xFFFF).to_bytes(2, "little")


async def test_binary_tracker_is_acknowledged_after_its_position_is_published() -> None:
    """Login, position, a frame whose check value is wrong: acknowledged, published, ignored."""
    async with example("binary_tracker") as one, one.served.websocket("/ws/trackers/") as live:
        login = packet(1, 7, bytes.fromhex("0123456789012345"))
        position = packet(2, 8, struct.pack(">ii", 525_200_000, -134_050_000))
        broken = position[:-1] + bytes([position[-1] ^ 1])
        async with await anyio.connect_tcp("127.0.0.1", one.ports[0]) as device:
            await device.send(login)
            assert await device.receive() == packet(1, 7, b"")
            await device.send(broken + position[:5])
            await device.send(position[5:])
            assert json.loads((await take(live, 1))[0]) == {"lat": 52.52, "lon": -13.405}
            assert await device.receive() == packet(2, 8, b"")
        assert isinstance(one.module.FRAMING, ChecksumFraming)


async def test_chat_visitors_hear_each_other_and_browsers_hear_all() -> None:
    """A handler per connection, for as long as it lasts."""
    async with (
        example("chat") as one,
        one.served.websocket("/ws/chat") as browser,
        await anyio.connect_tcp("127.0.0.1", one.ports[0]) as ann,
    ):
        assert await ann.receive() == b"your name?\r\n"
        await ann.send(b"Ann\r\n")
        assert await take(browser, 1) == ["Ann is here"]
        async with await anyio.connect_tcp("127.0.0.1", one.ports[0]) as bob:
            await bob.send(b"Bob\nhello\n")
            assert await take(browser, 2) == ["Bob is here", "Bob: hello"]
            heard = b""
            while b"Bob: hello" not in heard:
                heard += await ann.receive()
        assert await take(browser, 1) == ["Bob has left"]
