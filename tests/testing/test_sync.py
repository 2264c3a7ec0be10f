"""The kit without a coroutine: each call waits, and the app runs in a thread."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from portcast import Connection, Gateway, HistoryLimits
from portcast.testing import Close, Gap, ManualClock, TestGateway, without_sockets


def make_gateway() -> Gateway:
    gateway = Gateway(history=HistoryLimits(publications=2))

    @gateway.listen("tcp://127.0.0.1:8001")
    async def on_line(line: str, connection: Connection) -> None:
        if line == "fail":
            raise ValueError(line)
        await gateway.publish("lines", line)
        await connection.send(line.upper().encode())

    return gateway


def test_a_device_and_a_subscription() -> None:
    """The way there and back."""
    with TestGateway(make_gateway()) as kit:
        live = kit.subscribe("lines")
        device = kit.device(split="every-byte")
        device.send(b"a\n")
        device.expect(b"A\n")
        live.expect("lines", "a")
        live.nothing()
        device.nothing()
        device.send_frame(b"b")
        device.expect_frame(b"B")
        assert live.next().data == b"b"
        assert live.resume_id.endswith(":2")
        device.send_nowait(b"fail\n")
        device.handled()
        assert device.is_read
        assert [str(one) for one in device.failures] == ["fail"]
        assert device.rejections == []
        kit.publish("lines", {"x": 1})
        assert [one.data for one in live.take(1)] == [b'{"x":1}']


def test_ends() -> None:
    """Each way in which a device goes, and the app's own."""
    with TestGateway(make_gateway()) as kit:
        first, second, third = kit.device(), kit.device(), kit.device()
        assert first.closed_reason is None
        assert first.close() == "peer_closed"
        assert first.closed is not None
        assert first.closed_reason == "peer_closed"
        assert second.reset() == "reset"
        third.end()
        assert third.wait_closed() == "peer_closed"
        assert third.receive() == b""
        live = kit.subscribe()
        assert live.closed is None
        kit.call(kit.gateway.drain)
        assert live.wait_closed() == Close(1012, "server is restarting")
        assert live.closed is not None


def test_slowness() -> None:
    """A device and a client that stop reading, and go on."""
    with TestGateway(make_gateway()) as kit:
        live, device = kit.subscribe("lines"), kit.device(0)
        device.stop_reading()
        live.stop_taking()
        device.send(b"a\n")
        device.nothing()
        live.nothing()
        device.read_again()
        device.expect(b"A\n")
        live.take_again()
        live.expect("lines", "a")
        for line in (b"b\n", b"c\n", b"d\n"):
            device.send(line)
        resumed = kit.subscribe("lines", since=live.resume_id)
        device.handled()
        assert resumed.expect_gap() == Gap(1, True)


def test_time() -> None:
    """Passes when the test says so; without a clock of its own a test cannot say it."""
    with TestGateway(make_gateway(), clock=ManualClock()) as kit:
        device = kit.device()
        kit.advance(32)
        assert device.wait_closed() == "first_frame_timeout"
    with TestGateway(make_gateway()) as kit, pytest.raises(RuntimeError, match="clock=ManualClock"):
        kit.advance(1)


def test_beside_starlettes_client() -> None:
    """HTTP and devices on one loop."""
    gateway = make_gateway()
    app = FastAPI()
    app.include_router(gateway)
    with without_sockets(), TestClient(app) as client, TestGateway(gateway, portal=client.portal) as kit:
        kit.device().send(b"a\n")
        kit.subscribe("lines", history=1).expect("lines", "a")
        (topic,) = client.get("/api/topics").json()["topics"]
        assert topic["topic"] == "lines"


def test_it_must_be_entered() -> None:
    """There is nothing to call before."""
    kit = TestGateway(make_gateway())
    with pytest.raises(RuntimeError, match="with TestGateway"):
        kit.device()


def test_a_start_that_fails_leaves_nothing() -> None:
    """The portal's thread ends with it."""
    with pytest.raises(ValueError, match="includes no gateway"), TestGateway(FastAPI()):
        raise AssertionError("not reached")
