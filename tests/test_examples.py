"""Each example does what its docstring says: over real sockets where those matter, otherwise with the test kit."""

from __future__ import annotations

import importlib
import json
import struct
from typing import Any

import anyio
import pytest

from gateway_serving import http, serving, take
from portcast.framing import ChecksumFraming
from portcast.testing import Subscription, TestDevice, in_memory

pytestmark = pytest.mark.anyio


def example(name: str) -> Any:
    """The module of ``examples/<name>.py``, freshly imported."""
    return importlib.reload(importlib.import_module(f"examples.{name}"))


async def test_tutorial_ports_keep_their_topics_apart_and_all_reach_ws() -> None:
    """Three ports at once, on real sockets; a character split over two packets arrives whole."""
    async with (
        serving(example("tutorial_ports").app) as served,
        served.websocket("/ws") as everything,
        served.websocket("/ws/tcp/8002") as second_only,
    ):
        grüße = "grüße\n".encode()
        for port, data in zip(served.app.ports, (b"one\n", b"two\n", grüße), strict=True):
            async with await anyio.connect_tcp("127.0.0.1", port) as device:
                await device.send(data[:3])
                await device.send(data[3:])
        assert set(await take(everything, 3)) == {"one", "two", "grüße"}
        assert await take(second_only, 1) == ["two"]


async def test_typed_readings_are_checked_stored_and_published() -> None:
    """A bad line costs that line; what a TCP handler stored is read over HTTP."""
    module = example("typed_readings")
    async with in_memory(module.app) as gateway, Subscription(gateway) as live, TestDevice(gateway) as device:
        for line in (
            b'{"sensor": "boiler-1", "celsius": 81.5}\n',
            b'no json\n{"sensor": "x", "celsius": 5000}\n',
            b'{"sensor": "boiler-1", "celsius": 82}\n',
        ):
            await device.send(line)
        await live.expect("sensors/boiler-1", {"sensor": "boiler-1", "celsius": 81.5})
        await live.expect("sensors/boiler-1", module.Reading(sensor="boiler-1", celsius=82))
        await live.nothing()
        assert len(device.rejections) == 2
        async with http(module.app) as client:
            answer = await client.get("/readings/boiler-1")
            assert answer.json() == {"sensor": "boiler-1", "celsius": 82.0}
            assert (await client.get("/readings/unknown")).status_code == 404
        assert gateway.store.get("count") == 2


def packet(kind: int, serial: int, body: bytes) -> bytes:
    """A tracker's frame, with the check value made by an implementation of its own."""
    data = struct.pack(">HBH", 3 + len(body) + 2, kind, serial) + body
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return data + (crc ^ 0xFFFF).to_bytes(2, "little")


@pytest.mark.parametrize("split", ["whole", "every-byte"])
async def test_binary_tracker_is_acknowledged_after_its_position_is_published(split: Any) -> None:
    """Login, a frame whose check value is wrong, position: acknowledged, ignored, published."""
    module = example("binary_tracker")
    position = packet(2, 8, struct.pack(">ii", 525_200_000, -134_050_000))
    async with TestDevice(module.app, split=split) as device, Subscription(module.app) as live:
        await device.send(packet(1, 7, bytes.fromhex("0123456789012345")))
        await device.expect(packet(1, 7, b""))
        await device.send(position[:-1] + bytes([position[-1] ^ 1]))
        await device.nothing()
        await device.send(position)
        await live.expect("trackers/123456789012345", {"lat": 52.52, "lon": -13.405})
        await device.expect(packet(2, 8, b""))
    assert isinstance(module.FRAMING, ChecksumFraming)


async def test_chat_visitors_hear_each_other_and_browsers_hear_all() -> None:
    """A handler per connection, for as long as it lasts."""
    app = example("chat").app
    async with Subscription(app, "chat") as browser, TestDevice(app) as ann:
        await ann.expect(b"your name?\r\n")
        await ann.send(b"Ann\r\n")
        await browser.expect("chat", "Ann is here")
        await ann.expect(b"Ann is here\r\n")
        async with TestDevice(app) as bob:
            await bob.send(b"Bob\nhello\n")
            await browser.expect("chat", "Bob is here")
            await browser.expect("chat", "Bob: hello")
            await ann.expect(b"Bob is here\r\nBob: hello\r\n")
        await browser.expect("chat", "Bob has left")


async def test_tracker_commands_reach_the_device_and_its_answer_comes_back() -> None:
    """Login, position, a position that comes twice, a command from HTTP, one that the device refuses."""
    async with serving(example("tracker_commands").app) as served, served.websocket("/ws/trackers/") as live:
        async with await anyio.connect_tcp("127.0.0.1", served.app.ports[0]) as device:
            await device.send(b'{"imei": "356938035643809"}\n')
            assert await device.receive() == b"HELLO\n"
            position = b'{"lat": 52.5, "lon": 13.4, "n": 7}\n'
            for _ in range(2):
                await device.send(position)
                assert await device.receive() == b"ACK 7\n"
            assert json.loads((await take(live, 1))[0]) == {"lat": 52.5, "lon": 13.4}
            for number, (text, status) in enumerate([("OK", 200), ("busy", 502)], 1):
                async with anyio.create_task_group() as tasks:
                    answers: list[int] = []

                    async def post(to: list[int] = answers) -> None:
                        answer = await served.http.post("/trackers/356938035643809/interval/10")
                        to.append(answer.status_code)

                    tasks.start_soon(post)
                    assert await device.receive() == b"%d interval=10\n" % number
                    await device.send(json.dumps({"re": number, "text": text}).encode() + b"\n")
                assert answers == [status]
        assert (await served.http.post("/trackers/1/interval/10")).status_code == 404
