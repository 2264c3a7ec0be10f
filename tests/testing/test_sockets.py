"""Apps with real sockets on free ports, with and without HTTP."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect

from portcast import Gateway
from portcast.errors import ConfigurationError
from portcast.testing import Subscription, TestDevice, running, serving

pytestmark = pytest.mark.anyio


def make_app() -> FastAPI:
    gateway = Gateway()
    gateway.relay("tcp://127.0.0.1:8001", topic="one")
    gateway.relay("unix:///run/two.sock", topic="two")
    app = FastAPI()
    app.include_router(gateway)
    return app


async def send(port: int, data: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.close()
    await writer.wait_closed()


async def test_sockets_on_free_ports() -> None:
    """Two of the same app side by side, each with a device in memory beside its sockets."""
    async with running(make_app()) as one, running(make_app()) as other:
        assert one.ports[1] == 0
        assert one.ports[0] not in (0, 8001, other.ports[0])
        assert one.address("8001").port == one.ports[0]
        async with Subscription(one.gateway) as live, TestDevice(one.gateway, listener=1) as device:
            await send(one.ports[0], b"a\n")
            await live.expect("one", "a")
            _, writer = await asyncio.open_unix_connection(one.address(1).path)
            writer.write(b"b\n")
            await live.expect("two", "b")
            writer.close()
            await device.send(b"c\n")
            await live.expect("two", "c")
        with pytest.raises(ConfigurationError):
            one.address()


async def test_http_beside_it() -> None:
    """A browser's view of the same app; the app is found by devices in memory, too."""
    app = make_app()
    async with serving(app) as served:
        async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client:
            assert (await client.get("/health/ready")).status_code == 200
        async with connect(f"{served.ws_url}/ws/one", proxy=None) as browser:
            async with TestDevice(app, listener="8001") as device:
                await device.send(b"a\n")
                assert await browser.recv() == "a"
            await send(served.ports[0], b"b\n")
            assert await browser.recv() == "b"
        await served.stop()
        assert not served.gateway.is_running


async def test_an_app_without_a_gateway_is_served_too() -> None:
    """Only what needs the gateway says that there is none."""
    async with serving(FastAPI()) as served:
        with pytest.raises(ConfigurationError, match="includes no gateway"):
            _ = served.gateway


async def test_a_socket_as_our_own_runner_makes_it() -> None:
    """For tests of what the kernel hides."""
    async with serving(Gateway(), is_limited=True) as served:
        assert served.port


async def test_a_server_that_does_not_start() -> None:
    """Is no server, and leaves nothing."""
    gateway = Gateway()

    @gateway.listen("8001")
    async def unclear() -> None: ...

    with pytest.raises(AssertionError, match="did not start"):
        async with serving(gateway):
            raise AssertionError("not reached")


async def test_a_test_that_fails_stops_it_too() -> None:
    """And its own error is what is seen."""
    gateway = Gateway()
    with pytest.raises(ZeroDivisionError):
        async with serving(gateway):
            raise ZeroDivisionError
    assert not gateway.is_running


async def test_a_test_that_fails_does_not_wait_for_a_stuck_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cancelled, like all that is left."""
    monkeypatch.setattr("portcast.testing.sockets.STOP_S", 0.05)
    gateway, is_cancelled = Gateway(), asyncio.Event()

    @gateway.listen("tcp://127.0.0.1:8001")
    async def on_line(line: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_cancelled.set()

    async def fail() -> None:
        async with serving(gateway):
            await TestDevice(gateway).send(b"x\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert is_cancelled.is_set()
