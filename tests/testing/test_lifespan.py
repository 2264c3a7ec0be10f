"""Apps start as a server would start them; what they find around them is the test's choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.testclient import TestClient

from portcast import Connection, Gateway
from portcast.errors import ConfigurationError
from portcast.testing import ManualClock, TestDevice, free_ports, in_memory, without_sockets
from portcast.testing.lifespan import Lifespan, joined, running_gateway

pytestmark = pytest.mark.anyio


def app_with(gateway: Gateway, **options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.include_router(gateway)
    return app


def relay(url: str = "tcp://127.0.0.1:8001") -> Gateway:
    gateway = Gateway()
    gateway.relay(url, topic="t")
    return gateway


class TestInMemory:
    async def test_nothing_is_bound(self, tmp_path: Path) -> None:
        """Not even where somebody else listens already."""
        path = tmp_path / "s.sock"
        gateway = relay(f"unix://{path}")
        gateway.relay("tcp://203.0.113.1:1", topic="t")  # an address that is not of this machine (RFC 5737)
        async with in_memory(gateway):
            assert [one.state for one in gateway.listeners] == ["accepting", "accepting"]
            assert not path.exists()

    async def test_the_whole_app_starts(self) -> None:
        """The user's lifespan, its state, and middleware around the app."""
        order: list[str] = []

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, int]]:
            order.append("start")
            yield {"x": 1}
            order.append("stop")

        gateway = relay()
        app = app_with(gateway, lifespan=lifespan)
        async with in_memory(CORSMiddleware(app)) as found:
            assert found is gateway
            assert order == ["start"]
        assert order == ["start", "stop"]

    async def test_it_starts_again(self) -> None:
        """One app for all tests of a module."""
        app = app_with(relay())
        for _ in range(2):
            async with in_memory(app), TestDevice(app) as device:
                await device.send(b"x\n")

    async def test_real_time_is_the_default(self) -> None:
        """And a manual clock is an argument."""
        async with in_memory(relay()) as gateway:
            assert abs(gateway.node.now() - asyncio.get_running_loop().time()) < 5
        async with in_memory(relay(), clock=ManualClock(17.0)) as gateway:
            assert gateway.node.now() == 17.0

    async def test_what_is_no_gateways_app_is_refused(self) -> None:
        """With what to do."""

        async def silent(scope: Any, receive: Any, send: Any) -> None:
            return None

        with pytest.raises(ConfigurationError, match="includes no gateway; write "):
            async with in_memory(FastAPI()):
                raise AssertionError("not reached")
        with pytest.raises(ConfigurationError, match="does not take part in the lifespan"):
            async with in_memory(silent):
                raise AssertionError("not reached")

    async def test_a_start_that_fails_is_passed_on(self) -> None:
        """The error itself, not its text."""

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            raise RuntimeError("no database")
            yield

        with pytest.raises(RuntimeError, match="no database"):
            async with in_memory(app_with(relay(), lifespan=lifespan)):
                raise AssertionError("not reached")

    async def test_a_stop_that_fails_is_passed_on(self) -> None:
        """So that a test does not pass over it."""

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            yield
            raise RuntimeError("not closed")

        with pytest.raises(RuntimeError, match="not closed"):
            async with in_memory(app_with(relay(), lifespan=lifespan)):
                pass

    async def test_the_stop_is_in_a_hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A handler that is stuck does not cost a test the app's whole drain timeout."""
        monkeypatch.setattr("portcast.testing.lifespan.STOP_S", 0.05)
        gateway = Gateway()

        @gateway.listen("tcp://127.0.0.1:8001")
        async def on_line(line: str) -> None:
            await asyncio.Event().wait()

        loop = asyncio.get_running_loop()
        async with in_memory(gateway):
            device = TestDevice(gateway)
            await device.send(b"x\n")
            begun = loop.time()
        assert loop.time() - begun < 3
        assert device.closed_reason is not None

    async def test_cancelling_the_stop_ends_the_app(self) -> None:
        """Nothing goes on behind a test's back."""
        gateway = Gateway()

        @gateway.listen("tcp://127.0.0.1:8001")
        async def on_line(line: str) -> None:
            await asyncio.Event().wait()

        lifespan = Lifespan(gateway)
        with without_sockets():
            await lifespan.start()
        await TestDevice(gateway).send(b"x\n")
        stopping = asyncio.ensure_future(lifespan.stop())
        await asyncio.sleep(0.01)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert not gateway.is_running


class TestJoining:
    async def test_who_comes_second_joins(self) -> None:
        """By the app or by its gateway."""
        gateway = relay()
        app = app_with(gateway)
        assert running_gateway(app) is running_gateway(gateway) is None
        async with joined(app) as first:
            async with joined(app) as second, joined(gateway) as third:
                assert first is second is third is gateway
            assert gateway.is_running
        assert not gateway.is_running
        assert running_gateway(app) is None


async def test_free_ports_are_on_this_machine_alone() -> None:
    """Whatever was declared; two at once do not clash."""
    first, second = relay("tcp://0.0.0.0:8001"), relay("tcp://0.0.0.0:8001")
    for gateway in (first, second):
        gateway.relay("unix:///run/portcast/log.sock", topic="t")
        gateway.relay("unix:///run/other/log.sock", topic="t")
    with free_ports():
        one, other = Lifespan(first), Lifespan(second)
        await one.start()
        await other.start()
        addresses = [listener.address for gateway in (first, second) for listener in gateway.listeners]
        assert len({str(address) for address in addresses}) == 6
        assert {address.host for address in addresses if address.scheme == "tcp"} == {"127.0.0.1"}
        assert all(Path(address.path).exists() for address in addresses if address.scheme == "unix")
        await one.stop()
        await other.stop()


def test_starlettes_client_may_start_the_app() -> None:
    """Its loop runs in a thread; the surroundings go with it."""
    gateway = Gateway()

    @gateway.listen("tcp://203.0.113.1:1")
    async def on_device(connection: Connection) -> None: ...

    with without_sockets(ManualClock(17.0)), TestClient(app_with(gateway)) as client:
        assert client.get("/health/ready").status_code == 200
        assert gateway.node.now() == 17.0
