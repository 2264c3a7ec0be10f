"""Tests of `portcast.cli.simulate`."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.waiting import until
from portcast.cli.fleet import Thermometer
from portcast.cli.simulate import Fleet, simulate
from portcast.config import Address
from portcast.errors import PortcastError

pytestmark = pytest.mark.anyio


class Listener:
    """Keeps the lines of each connection; closes a connection after ``most`` lines."""

    def __init__(self, most: int | None = None) -> None:
        self.lines: dict[int, list[bytes]] = defaultdict(list)
        self.connections = 0
        self._most = most

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        with suppress(OSError):
            async for line in reader:
                self.lines[number].append(line)
                if self._most is not None and len(self.lines[number]) >= self._most:
                    break
            writer.close()
            await writer.wait_closed()

    async def until(self, lines: int, connections: int = 1) -> None:
        await until(lambda: sum(map(len, self.lines.values())) >= lines and self.connections >= connections)


@asynccontextmanager
async def playing(listener: Listener, fleet: Fleet, server: asyncio.Server) -> AsyncIterator[None]:
    async with server:
        task = asyncio.create_task(fleet.run(None))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portcast.cli.backoff.FIRST_S", 0.01)


def devices(number: int) -> list[Thermometer]:
    return [Thermometer(one, 1) for one in range(number)]


async def serve(listener: Listener) -> tuple[asyncio.Server, Address]:
    server = await asyncio.start_server(listener, "127.0.0.1", 0)
    return server, Address("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])


async def test_each_device_has_a_connection_of_its_own() -> None:
    listener = Listener()
    server, address = await serve(listener)
    async with playing(listener, Fleet(address, devices(4), 200.0), server):
        await listener.until(40, connections=4)
    sensors = [{json.loads(line)["sensor"] for line in lines} for lines in listener.lines.values()]
    assert all(len(names) == 1 for names in sensors)
    assert len(set.union(*sensors)) == 4


async def test_the_first_readings_follow_from_the_seed() -> None:
    listener = Listener()
    server, address = await serve(listener)
    async with playing(listener, Fleet(address, devices(1), 500.0), server):
        await listener.until(20)
    device = Thermometer(0, 1)
    assert listener.lines[0][:20] == [device.reading() for _ in range(20)]


async def test_devices_connect_again_and_tell_it_once() -> None:
    listener = Listener(most=3)
    server, address = await serve(listener)
    said: list[str] = []
    fleet = Fleet(address, devices(1), 500.0, said.append)
    async with playing(listener, fleet, server):
        await listener.until(9, connections=3)
    assert "the gateway closed the connection; trying again" in said[0]
    assert said[1] == "connected again"
    assert fleet.counts.connects >= 3


async def test_it_stops_by_itself() -> None:
    listener = Listener()
    server, address = await serve(listener)
    fleet = Fleet(address, devices(2), 100.0)
    async with server, asyncio.timeout(8):
        await fleet.run(0.2)
    assert fleet.counts.readings <= 60
    assert fleet.counts.connected == 0


async def test_progress_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portcast.cli.simulate.PROGRESS_S", 0.05)
    listener = Listener()
    server, address = await serve(listener)
    said: list[str] = []
    async with playing(listener, Fleet(address, devices(1), 100.0, said.append), server):
        await until(lambda: len(said) >= 2)
    assert said[0].startswith("1 of 1 connected, ")


async def test_a_unix_socket(tmp_path: Path) -> None:
    listener = Listener()
    server = await asyncio.start_unix_server(listener, tmp_path / "s")
    async with playing(listener, Fleet(Address("unix", path=str(tmp_path / "s")), devices(1), 100.0), server):
        await listener.until(3)


def test_nobody_there_is_an_error_in_the_end() -> None:
    result = CliRunner().invoke(simulate, ["127.0.0.1:1", "--duration", "1", "--rate", "100"])
    assert isinstance(result.exception, PortcastError)
    assert "tcp://127.0.0.1:1: nothing listens there; is `portcast serve` running?" in str(result.exception)
    assert "sent 0 readings" in result.stderr
