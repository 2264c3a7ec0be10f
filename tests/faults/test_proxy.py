"""The fault proxy does what its plans say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from asgi_fakes import until
from faults.plans import ONE_BYTE, Plan, Schedule, Way
from faults.proxy import FaultProxy, fault_proxy

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 8


class Echo:
    """A server that keeps what it reads, piece by piece, and sends it back."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.pieces.append(data)
                writer.write(data)
            self.ends.append("eof")
        except ConnectionResetError:
            self.ends.append("reset")
        finally:
            writer.close()


@asynccontextmanager
async def echo(plan: Plan) -> AsyncIterator[tuple[Echo, FaultProxy]]:
    it = Echo()
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    async with server, fault_proxy(server.sockets[0].getsockname()[1], plan) as proxy:
        yield it, proxy


async def call(proxy: FaultProxy) -> bytes:
    """Send all and read until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    back = b""
    try:
        writer.write(DATA)
        writer.write_eof()
        while data := await reader.read(65_536):
            back += data
    except ConnectionResetError:
        return back + b"RESET"
    finally:
        writer.close()
    return back


@pytest.mark.parametrize("plan", [Plan(), Plan(ONE_BYTE, ONE_BYTE), Plan(Way(pieces=(7, 1, 90)), Way(rate=1e6))])
async def test_harmless_plans_change_nothing(plan: Plan) -> None:
    async with echo(plan) as (it, proxy):
        assert await call(proxy) == DATA
        assert (b"".join(it.pieces), it.ends) == (DATA, ["eof"])


async def test_one_byte_is_many_reads() -> None:
    async with echo(Plan(ONE_BYTE)) as (it, proxy):
        await call(proxy)
        assert len(it.pieces) > 100


async def test_delays_take_their_time() -> None:
    loop = asyncio.get_running_loop()
    async with echo(Plan(Way(pieces=(512,), delay_s=0.02))) as (_, proxy):
        began = loop.time()
        assert await call(proxy) == DATA
        assert loop.time() - began >= 4 * 0.02


async def test_a_rate_takes_its_time() -> None:
    loop = asyncio.get_running_loop()
    async with echo(Plan(Way(rate=len(DATA) / 0.1))) as (_, proxy):
        began = loop.time()
        assert await call(proxy) == DATA
        assert loop.time() - began >= 0.09


async def test_a_frozen_way_thaws() -> None:
    loop = asyncio.get_running_loop()
    async with echo(Plan(Way(after=100, fault="freeze", freeze_s=0.1))) as (it, proxy):
        began = loop.time()
        assert await call(proxy) == DATA
        assert loop.time() - began >= 0.09
        assert len(it.pieces[0]) == 100


async def test_half_close_ends_one_direction_after_so_many_bytes() -> None:
    async with echo(Plan(Way(after=100, fault="half_close"))) as (it, proxy):
        assert await call(proxy) == DATA[:100]
        assert it.ends == ["eof"]


async def test_close_ends_both() -> None:
    async with echo(Plan(Way(after=100, fault="close"))) as (it, proxy):
        assert (await call(proxy)).removesuffix(b"RESET") == DATA[:100][: len(b"".join(it.pieces))] or it.pieces
        assert b"".join(it.pieces) == DATA[:100]


async def test_reset_is_one() -> None:
    async with echo(Plan(Way(after=100, fault="reset"))) as (it, proxy):
        assert (await call(proxy)).endswith(b"RESET")
        await until(lambda: it.ends, "its end")
        assert it.ends == ["reset"]


def test_a_schedule_can_be_replayed() -> None:
    one, two, other = (Schedule(seed, harms="up") for seed in (7, 7, 8))
    plans = [one.next() for _ in range(100)]
    assert plans == [two.next() for _ in range(100)]
    assert plans != [other.next() for _ in range(100)]
    assert {plan.up.fault for plan in plans} == {"none", "freeze", "half_close", "close", "reset"}
    assert eval(repr(plans[0])) == plans[0], "what a failure prints replays it"
