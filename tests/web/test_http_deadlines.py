from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import h11
import pytest

from asgi_fakes import until
from gateway_serving import Served, app_with, serving
from portcast import Gateway
from portcast.web.http_deadlines import PEERS_FAULTS, HttpDeadlines, StrictConnection, http_protocol

pytestmark = pytest.mark.anyio

SHORT_S = 0.1
LONG_S = 60.0
REQUEST = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"


@asynccontextmanager
async def watched(watch: HttpDeadlines, **config: Any) -> AsyncIterator[Served]:
    async with serving(app_with(Gateway()), http=http_protocol(watch), **config) as served:
        yield served


async def _open(served: Served, data: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(data)
    return reader, writer


async def _answer(reader: asyncio.StreamReader) -> bytes:
    with anyio.fail_after(5):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"status":"ok"}'))
        return head


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nhost: loc", b"HTTP/1.1 408 ", id="half a head is told"),
        pytest.param(b"G", b"HTTP/1.1 408 ", id="one byte"),
        pytest.param(b"", b"", id="nothing: closed without a word"),
    ],
)
async def test_a_head_that_does_not_come_is_not_waited_for(sent: bytes, answer: bytes) -> None:
    """Left open, such connections use up the descriptors until not even a health check gets in."""
    watch = HttpDeadlines(SHORT_S, LONG_S, 10)
    async with watched(watch) as served:
        reader, writer = await _open(served, sent)
        with anyio.fail_after(5):
            said = await reader.read()
        assert said.startswith(answer)
        assert bool(said) == bool(answer)
        assert len(watch.pending) == 0
        writer.close()


@pytest.mark.row(5)
async def test_bytes_that_drip_do_not_put_it_off() -> None:
    """The deadline is absolute."""
    watch = HttpDeadlines(SHORT_S, LONG_S, 10)
    async with watched(watch) as served:
        reader, writer = await _open(served, b"GET / HTTP/1.1\r\n")
        # What is written after the end may be answered with a reset, which is an end, too.
        with anyio.fail_after(5), suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"a: b\r\n")
                with anyio.move_on_after(0.01):
                    await reader.read()
        writer.close()


async def test_a_kept_connection_has_a_deadline_from_its_next_head_on() -> None:
    """The first byte of the next request ends uvicorn's own timeout, which knows idle connections only."""
    watch = HttpDeadlines(SHORT_S, LONG_S, 10)
    async with watched(watch) as served:
        reader, writer = await _open(served, REQUEST)
        assert b" 200 " in await _answer(reader)
        assert len(watch.pending) == 0
        writer.write(REQUEST[:-2])
        await until(lambda: len(watch.pending) == 1, "the next head to be awaited")
        with anyio.fail_after(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_whole_requests_are_left_alone() -> None:
    """What lasts long, streams and WebSockets, has no head under way; an idle kept connection is uvicorn's own."""
    watch = HttpDeadlines(SHORT_S, LONG_S, 10)
    async with watched(watch) as served, served.websocket() as client:
        reader, writer = await _open(served, REQUEST)
        await _answer(reader)
        await until(lambda: len(watch.pending) == 0, "both heads")
        await anyio.sleep(SHORT_S * 2)
        writer.write(REQUEST)
        assert b" 200 " in await _answer(reader)
        await client.ping()
        writer.close()


async def test_at_the_cap_the_oldest_goes() -> None:
    """So a new client, which sends its head at once, always gets in."""
    watch = HttpDeadlines(LONG_S, LONG_S, 3)
    async with watched(watch) as served:
        held = []
        for _ in range(3):
            held.append(await _open(served, b"GET"))
            await until(lambda: len(watch.pending) == len(held), "one more")
        reader, writer = await _open(served, REQUEST)
        assert b" 200 " in await _answer(reader)
        with anyio.fail_after(5):
            await held[0][0].read()
        assert len(watch.pending) == 2
        for _, one in [*held, (reader, writer)]:
            one.close()
        await until(lambda: len(watch.pending) == 0, "their end")


async def test_room_is_made_by_who_has_no_request_under_way() -> None:
    """An idle one first, then the oldest that is pending; nobody who has been heard."""
    watch = HttpDeadlines(LONG_S, LONG_S, 10)
    async with watched(watch) as served, served.websocket() as client:
        assert not watch.make_room()
        pending, one = await _open(served, b"GET")
        await until(lambda: len(watch.pending) == 1, "half a head")
        idle, other = await _open(served, REQUEST)
        assert b" 200 " in await _answer(idle)
        await until(lambda: len(watch.idle) == 1, "the kept one")
        for gone in (idle, pending):
            assert watch.make_room()
            with anyio.fail_after(5):
                assert await gone.read() == b""
        assert not watch.make_room()
        assert len(watch.pending) == len(watch.idle) == 0
        await client.ping()
        one.close()
        other.close()


async def test_one_that_is_still_taking_its_response_is_not_cut_off() -> None:
    """Its request is answered, and it is not idle until the answer is out; for that there is another deadline."""
    watch = HttpDeadlines(LONG_S, LONG_S, 10)

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"400000")]})
        await send({"type": "http.response.body", "body": b"x" * 400_000})

    async with serving(large, http=http_protocol(watch), lifespan="off", is_limited=True) as served:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(("127.0.0.1", served.port))
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            await until(lambda: len(watch.idle) == 1, "the end of the response")
            assert not watch.make_room()
            taken = 0
            with anyio.fail_after(5):
                while taken < 400_000:
                    taken += len(await loop.sock_recv(client, 65_536))


async def test_a_kept_connection_is_not_idle_while_it_asks() -> None:
    """From the first byte of a request to the end of its response, also when two come at once."""
    watch = HttpDeadlines(LONG_S, LONG_S, 10)
    async with watched(watch) as served:
        reader, writer = await _open(served, REQUEST + REQUEST)
        for _ in range(2):
            assert b" 200 " in await _answer(reader)
        await until(lambda: len(watch.idle) == 1, "it to be idle")
        writer.write(REQUEST[:5])
        await until(lambda: len(watch.pending) == 1, "the next")
        assert len(watch.idle) == 0
        writer.close()
        await until(lambda: len(watch.pending) == 0, "its end")


async def test_no_deadline() -> None:
    """0 turns the deadline off, not the cap."""
    watch = HttpDeadlines(0, 0, 1)
    async with watched(watch) as served:
        first, one = await _open(served, b"GET")
        await until(lambda: len(watch.pending) == 1, "the first")
        _, other = await _open(served, b"GET")
        with anyio.fail_after(5):
            await first.read()
        assert len(watch.pending) == 1
        one.close()
        other.close()


# Bodies


@pytest.mark.parametrize("drip", [b"x", b""], ids=["drips", "nothing"])
async def test_a_body_that_does_not_come_is_not_waited_for(drip: bytes) -> None:
    """The request's deadline is that of its head and body together."""
    watch = HttpDeadlines(SHORT_S, LONG_S, 10)
    async with watched(watch) as served:
        reader, writer = await _open(
            served, b"POST /api/topics/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\nx"
        )
        said = b""
        with anyio.fail_after(5), suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(drip)
                with anyio.move_on_after(0.01):
                    said += await reader.read(1000)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert len(watch.pending) == 0
        writer.close()


async def test_a_whole_body_ends_the_wait() -> None:
    """And is answered."""
    watch = HttpDeadlines(SHORT_S, LONG_S, 10)
    async with watched(watch) as served:
        for _ in range(2):
            answer = await served.http.post("/api/topics/t", content=b"x" * 10_000)
            assert answer.status_code == 200
            assert len(watch.pending) == 0


# Responses


async def test_a_response_that_nobody_takes_is_aborted() -> None:
    """Whether the application still sends, or has sent everything."""
    watch = HttpDeadlines(LONG_S, SHORT_S, 10)
    ends = []

    async def large(scope: Any, receive: Any, send: Any) -> None:
        size = int(scope["path"].strip("/"))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        for _ in range(size // 50_000):
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"x" * (size % 50_000)})
        ends.append(size)

    async with serving(large, http=http_protocol(watch), lifespan="off", is_limited=True) as served:
        for size in (20_000_000, 400_000):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                with suppress(BlockingIOError):
                    client.connect(("127.0.0.1", served.port))
                await asyncio.get_running_loop().sock_sendall(client, b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % size)
                await until(lambda: len(watch.owing) == 1, "what is owed")
                await until(lambda: len(watch.owing) == 0, "the end")
        await until(lambda: sorted(ends) == [400_000, 20_000_000], "the application's end")


async def test_one_that_is_taken_slowly_is_not() -> None:
    """As long as it is taken in time."""
    watch = HttpDeadlines(LONG_S, 2.0, 10)
    async with watched(watch) as served:
        for _ in range(3):
            assert (await served.http.get("/openapi.json")).status_code == 200
        await until(lambda: len(watch.owing) == 0, "nothing owed")


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        pytest.param([b"GET / HTTP/1.1\r\nbad\r\n\r\n"], b"HTTP/1.1 400 ", id="from the beginning"),
        pytest.param(
            [b"GET /health/live HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", b"no size\r\n"],
            b"HTTP/1.1 200 ",
            id="after the response began",
        ),
    ],
)
async def test_what_is_no_request_ends_its_connection_without_a_traceback(
    pieces: list[bytes], answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn answers the second with another response, which h11 refuses: any stranger could fill the log so."""
    watch = HttpDeadlines(LONG_S, LONG_S, 10)
    async with watched(watch) as served:
        reader, writer = await _open(served)
        said = b""
        with anyio.fail_after(5):
            for piece in pieces:
                writer.write(piece)
                said += await reader.readuntil(b"\r\n\r\n") if piece is not pieces[-1] else await reader.read()
        assert said.startswith(answer)
        assert said.count(b"HTTP/1.1 ") == 1
        writer.close()
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert {one.msg for one in caplog.records if one.name == "uvicorn.error"} & PEERS_FAULTS


# Heads


def _head(size: int) -> bytes:
    begin, end = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nx: ", b"\r\n\r\n"
    return begin + b"x" * (size - len(begin) - len(end)) + end


@pytest.mark.parametrize(
    ("size", "answer"),
    [
        pytest.param(65_536, b"HTTP/1.1 200 ", id="exactly the limit"),
        pytest.param(65_537, b"HTTP/1.1 431 ", id="one more"),
        pytest.param(200_000, b"HTTP/1.1 431 ", id="many more"),
    ],
)
@pytest.mark.parametrize("is_second", [False, True])
async def test_a_head_has_an_exact_limit(size: int, answer: bytes, is_second: bool) -> None:
    """However it comes; h11 by itself counts it only while it is incomplete."""
    watch = HttpDeadlines(LONG_S, LONG_S, 10)
    async with watched(watch) as served:
        reader, writer = await _open(served, REQUEST if is_second else b"")
        if is_second:
            assert b" 200 " in await _answer(reader)
        writer.write(_head(size))
        with anyio.fail_after(5):
            assert (await reader.readuntil(b"\r\n")).startswith(answer)
        writer.close()


@pytest.mark.parametrize(("size", "refusal"), [(100, 0), (101, 431)])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_it_is_exact_for_every_way_to_split_it(size: int, refusal: int, step: int) -> None:
    """A body in the same piece does not count."""
    connection = StrictConnection(100)
    begin = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\nx: "
    data = begin + b"x" * (size - len(begin) - 4) + b"\r\n\r\n" + b"y" * 500
    events: list[object] = []
    try:
        for start in range(0, len(data), step):
            connection.receive_data(data[start : start + step])
            while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                events.append(type(event))
    except h11.RemoteProtocolError:
        assert connection.refusal == refusal
    else:
        assert not refusal
        assert h11.Request in events
        assert h11.Data in events


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="two lengths"),
        pytest.param(b"transfer-encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", id="the other way"),
    ],
)
async def test_a_request_with_two_lengths_is_none(body: bytes) -> None:
    """Two servers that take a different one read a different next request (RFC 9112 §6.1 and §11.2)."""
    watch = HttpDeadlines(LONG_S, LONG_S, 10)
    async with watched(watch) as served:
        reader, writer = await _open(served, b"POST /api/topics/t HTTP/1.1\r\nhost: localhost\r\n" + body + REQUEST)
        with anyio.fail_after(5):
            said = await reader.read()
        assert said.startswith(b"HTTP/1.1 400 ")
        assert said.count(b"HTTP/1.1 ") == 1
        writer.close()
