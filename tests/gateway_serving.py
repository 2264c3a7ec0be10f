"""A FastAPI application in a real uvicorn server, on the test's own loop or in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import anyio
import httpx
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect

from portcast import Gateway, testing
from portcast.testing import ServedApp


class Served:
    """A server that runs on the test's loop, with clients for it."""

    def __init__(self, app: ServedApp) -> None:
        self.app = app
        self.port = app.port
        self.url = app.url
        self.http = httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=10)

    def websocket(self, path: str = "/ws", **options: Any) -> connect:
        """A `websockets` client of this server, to be entered."""
        options = {"compression": None, "proxy": None, "max_queue": None, **options}
        return connect(f"{self.app.ws_url}{path}", **options)

    def begin_stop(self) -> None:
        """Tell the server to stop."""
        self.app.begin_stop()

    async def stop(self) -> None:
        """Stop the server in order."""
        await self.app.stop()


@asynccontextmanager
async def serving(app: Any, *, is_limited: bool = False, **config: Any) -> AsyncIterator[Served]:
    """As `portcast.testing.serving`, with clients."""
    async with testing.serving(app, is_limited=is_limited, **config) as served_app:
        served = Served(served_app)
        async with served.http:
            yield served


def app_with(gateway: Gateway, **include: Any) -> FastAPI:
    """An application that includes the gateway and nothing else."""
    app = FastAPI()
    app.include_router(gateway, **include)
    return app


@asynccontextmanager
async def running(gateway: Gateway, **include: Any) -> AsyncIterator[FastAPI]:
    """The application in its lifespan, without a server."""
    app = app_with(gateway, **include)
    async with app.router.lifespan_context(app):
        yield app


@asynccontextmanager
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that calls the application directly."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as client:
        yield client


def port_of(gateway: Gateway, listener: int = 0) -> int:
    """The port on which a listener of a running gateway is bound."""
    return gateway.listeners[listener].address.port


async def feed(gateway: Gateway, data: bytes, listener: int = 0) -> None:
    """Send bytes to a listener as a device that comes and goes."""
    async with await anyio.connect_tcp("127.0.0.1", port_of(gateway, listener)) as device:
        await device.send(data)


async def take(client: ClientConnection, number: int) -> list[str | bytes]:
    """Receive so many messages."""
    with anyio.fail_after(10):
        return [await client.recv() for _ in range(number)]


def wait_until(condition: Callable[[], object], what: str, limit_s: float = 10.0) -> None:
    """As `asgi_fakes.until`, for tests that use no loop."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s for {what}"
        time.sleep(0.005)


def is_open(port: int) -> bool:
    """True if somebody accepts connections on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


class Uvicorn:
    """``uvicorn app:app`` in a process of its own, as users start it, on a port that the system chose."""

    def __init__(self, folder: Path, source: str, *arguments: str) -> None:
        self._log = folder / "log.txt"
        (folder / "app.py").write_text(textwrap.dedent(source), "utf-8")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "app:app", "--port", "0", *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log.read_text("utf-8", "replace")

    @property
    def is_ready(self) -> bool:
        """True once HTTP is answered."""
        assert self.process.poll() is None, self.log
        return "Uvicorn running on" in self.log

    @cached_property
    def port(self) -> int:
        """Where HTTP is served."""
        found = re.search(r"Uvicorn running on http://127\.0\.0\.1:(\d+)", self.log)
        assert found is not None
        return int(found[1])

    @cached_property
    def http(self) -> httpx.Client:
        """An HTTP client of this server."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=5)

    def get(self, path: str) -> httpx.Response:
        """Ask it."""
        return self.http.get(path)

    @cached_property
    def listener_ports(self) -> list[int]:
        """Where its listeners are bound, in the order of their declaration."""
        listeners = self.get("/api/listeners").json()["listeners"]
        return [int(one["address"].rpartition(":")[2]) for one in listeners]

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)


@contextmanager
def uvicorn_process(folder: Path, source: str, *arguments: str) -> Iterator[Uvicorn]:
    """Run a server until the end of the block, and kill it if it is still there."""
    server = Uvicorn(folder, source, *arguments)
    try:
        wait_until(lambda: server.is_ready, f"uvicorn; it wrote:\n{server.log}")
        with server.http:
            yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)
