"""The gateway beside what applications bring along: middleware, the test client, streams of their own."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI, Request, Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient

from asgi_fakes import until
from gateway_serving import serving, take, wait_until
from portcast import Gateway

LOCAL = "tcp://127.0.0.1:0"


def _app_with_middleware(gateway: Gateway) -> FastAPI:
    app = FastAPI()
    app.include_router(gateway)
    app.add_middleware(GZipMiddleware, minimum_size=1)

    @app.middleware("http")
    async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["x-stamp"] = "1"
        return response

    return app


@pytest.mark.anyio
async def test_streams_pass_through_middleware(caplog: pytest.LogCaptureFixture) -> None:
    """Function middleware puts a queue between application and server, compression one more: events still come at
    once, and a client that leaves is noticed, without an error."""
    gateway = Gateway()
    with caplog.at_level(logging.ERROR):
        async with serving(_app_with_middleware(gateway)) as served:
            before = asyncio.all_tasks()
            async with served.http.stream("GET", "/events", headers={"accept-encoding": "gzip"}) as answer:
                assert answer.headers["x-stamp"] == "1"
                await until(lambda: gateway._running().hub.subscribers, "the subscription")
                await gateway.publish("a", "x")
                async for line in answer.aiter_lines():
                    if line == "data: x":
                        break
            await until(lambda: not gateway._running().hub.subscribers, "the end")
            async with served.websocket() as client:
                await until(lambda: gateway._running().hub.subscribers, "the subscription")
                await gateway.publish("a", "y")
                assert await take(client, 1) == ["y"]
            await until(lambda: asyncio.all_tasks() <= before, "all tasks to end")
    assert caplog.records == []


@pytest.mark.anyio
async def test_the_stop_ends_streams_behind_middleware() -> None:
    """The goodbye passes through, and the server is not held up."""
    gateway = Gateway()
    async with serving(_app_with_middleware(gateway)) as served:
        async with served.http.stream("GET", "/events") as answer:
            await until(lambda: gateway._running().hub.subscribers, "the subscription")
            drain = asyncio.ensure_future(gateway.drain())
            lines = [line async for line in answer.aiter_lines()]
            await drain
        assert lines == [": connected", "", ": closing 1012 server is restarting", ""]


def test_the_test_client_works() -> None:
    """Applications are tested with it: the lifespan runs in another thread, where signals cannot be handled."""
    gateway = Gateway()
    gateway.relay(LOCAL, topic="t")
    app = FastAPI()
    app.include_router(gateway)
    before = signal.getsignal(signal.SIGTERM)
    for _ in range(2):
        with TestClient(app) as client:
            assert signal.getsignal(signal.SIGTERM) is before
            with client.websocket_connect("/ws/t") as websocket:
                wait_until(lambda: gateway._running().hub.subscribers, "the subscription")
                port = gateway.listeners[0].address.port
                with socket.create_connection(("127.0.0.1", port)) as device:
                    device.sendall(b"hello\n\xff\n")
                    assert websocket.receive_text() == "hello"
                    assert websocket.receive_bytes() == b"\xff"
            wait_until(lambda: not gateway._running().hub.subscribers, "the end")
            assert client.post("/api/topics/t", content=b"x").json()["offset"] == 3
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
