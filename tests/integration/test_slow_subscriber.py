"""Bulk feeds, healthy clients and one that stops reading, against a server in a process of its own."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect

from asgi_fakes import until
from gateway_serving import Uvicorn, uvicorn_process

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

APP = """
from fastapi import FastAPI
from portcast import Gateway
from portcast.events import SubscriberClosed

closed = []

def note(event):
    if isinstance(event, SubscriberClosed):
        published = gateway._running().broker.position("t").offset
        closed.append([event.reason, event.delivered, event.dropped, published])

gateway = Gateway(on_event=note)
gateway.relay("tcp://127.0.0.1:0?topic=t&patience={patience}&slow_consumer=disconnect")
app = FastAPI()
app.include_router(gateway)

@app.get("/closed")
async def show() -> list[list[str | int]]:
    return closed
"""


PATIENCE = 0.5
"""The default."""
LONG_PATIENCE = 3
"""For six clients that share a processor: on a busy machine all of them may stand still for longer than the default."""


def _loop_of(backend: Any) -> str:
    return "uvloop" if backend[1]["use_uvloop"] else "asyncio"


def _client(server: Uvicorn) -> connect:
    return connect(f"ws://127.0.0.1:{server.port}/ws", compression=None, proxy=None, max_queue=None, ping_interval=None)


REQUESTS = {
    "websocket": b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "events": b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


def _stuck(server: Uvicorn, kind: str) -> socket.socket:
    """A client that sees that it is accepted and never reads again."""
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", server.port))
    stuck.sendall(REQUESTS[kind])
    assert stuck.recv(12) in (b"HTTP/1.1 101", b"HTTP/1.1 200")
    return stuck


def _send(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as device:
        device.sendall(data)


async def _until_subscribed(server: Uvicorn, number: int) -> None:
    await until(lambda: server.get("/api/listeners").json()["subscribers"] == number, f"{number} subscribers")


def _is_connected(server: Uvicorn, peer: tuple[str, int]) -> bool:
    """True while the server's process holds a socket to this peer."""
    return any(one.raddr == peer for one in psutil.Process(server.process.pid).net_connections("tcp"))


async def _read(client: ClientConnection, lines: list[bytes], wrong: list[str]) -> None:
    for number, line in enumerate(lines):
        got = await client.recv()
        if got != line.decode():
            wrong.append(f"line {number} is {str(got)[:20]!r}")
            return


async def _peak_memory(process: psutil.Process, peak: list[int]) -> None:
    while True:
        peak[0] = max(peak[0], process.memory_info().rss)
        await anyio.sleep(0.02)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_one_that_stops_reading_delays_nobody(anyio_backend: Any, tmp_path: Path, kind: str) -> None:
    """50 MB at full speed: every healthy client gets every line in order; the stuck one is gone, and counted."""
    lines = [b"%06d " % number + b"x" * 4089 for number in range(12_800)]
    wrong: list[str] = []
    with (
        uvicorn_process(tmp_path, APP.format(patience=LONG_PATIENCE), "--loop", _loop_of(anyio_backend)) as server,
        _stuck(server, kind) as stuck,
    ):
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        peak = [before]
        clients = [await _client(server) for _ in range(5)]
        await _until_subscribed(server, 6)
        with anyio.fail_after(50):
            async with anyio.create_task_group() as watching:
                watching.start_soon(_peak_memory, process, peak)
                async with anyio.create_task_group() as group:
                    for client in clients:
                        group.start_soon(_read, client, lines, wrong)
                    await anyio.to_thread.run_sync(_send, server.listener_ports[0], b"\n".join(lines) + b"\n")
                watching.cancel_scope.cancel()
        await until(lambda: not _is_connected(server, stuck.getsockname()), "the stuck client's socket to go")
        for client in clients:
            await client.close()
        await _until_subscribed(server, 0)
        closed = server.get("/closed").json()
    assert wrong == []
    assert len(closed) == 6
    ((reason, delivered, dropped, published),) = [one for one in closed if one[0] != "client left"]
    assert reason.startswith("slow consumer: ")
    assert 0 < dropped < published < len(lines), "it was removed before the feed ended"
    assert delivered + dropped == published, "what was published to it until then is all accounted for"
    assert [one for one in closed if one[0] == "client left"] == [["client left", len(lines), 0, len(lines)]] * 5
    assert peak[0] - before < 80 * 1024 * 1024, f"{peak[0] - before} bytes more than before"


async def test_tiny_lines_arrive_whole(anyio_backend: Any, tmp_path: Path) -> None:
    """``cat big.log | nc``: one read is tens of thousands of messages; no limit takes that for a slow client."""
    number = 200_000
    with uvicorn_process(tmp_path, APP.format(patience=PATIENCE), "--loop", _loop_of(anyio_backend)) as server:
        async with _client(server) as client:
            await _until_subscribed(server, 1)
            with anyio.fail_after(50):
                async with anyio.create_task_group() as group:
                    group.start_soon(
                        anyio.to_thread.run_sync,
                        _send,
                        server.listener_ports[0],
                        b"".join(b"%d\n" % (i % 10) for i in range(number)),
                    )
                    started = time.monotonic()
                    for expected in range(number):
                        got = await client.recv()
                        assert got == str(expected % 10), f"message {expected} after {time.monotonic() - started:.1f} s"
        await _until_subscribed(server, 0)
        assert server.get("/closed").json() == [["client left", number, 0, number]]
