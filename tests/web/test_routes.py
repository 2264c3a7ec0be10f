from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from websockets.exceptions import InvalidStatus

from asgi_fakes import until
from gateway_serving import app_with, http, running, serving, take
from portcast import Gateway, HttpOptions

pytestmark = pytest.mark.anyio


async def test_every_way_in_is_there() -> None:
    """One `include_router` brings them all."""
    async with serving(app_with(Gateway())) as served:
        for path in (
            "/",
            "/static/main.js",
            "/api/topics",
            "/api/listeners",
            "/api/connections",
            "/api/slow-consumers",
            "/health/ready",
        ):
            assert (await served.http.get(path)).status_code == 200, path
        for path in ("/events", "/events/", "/events/a", "/events/%23"):
            async with served.http.stream("GET", path) as answer:
                assert answer.status_code == 200, path
                assert answer.headers["content-type"].startswith("text/event-stream")
        for path in ("/ws", "/ws/", "/ws/a", "/ws/%23"):
            async with served.websocket(path):
                pass


async def test_the_page_may_be_left_out() -> None:
    """An application with a front page of its own keeps it."""
    async with running(Gateway(has_page=False)) as app, http(app) as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.get("/static/main.js")).status_code == 404
        assert (await client.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("where", ["include", "gateway", "nested"])
async def test_everything_moves_under_a_prefix(where: str) -> None:
    """Wherever the prefix is written; the page is at the prefix with a slash, and without it one is sent there."""
    app = FastAPI()
    if where == "include":
        app.include_router(Gateway(), prefix="/portcast")
    elif where == "gateway":
        app.include_router(Gateway(prefix="/portcast"))
    else:
        outer = APIRouter(prefix="/port")
        outer.include_router(Gateway(), prefix="/cast")
        app.include_router(outer)
    prefix = "/port/cast" if where == "nested" else "/portcast"
    async with serving(app) as served:
        answer = await served.http.get(prefix)
        assert (answer.status_code, answer.headers["location"]) == (307, f"{served.url}{prefix}/")
        assert (await served.http.get(f"{prefix}/")).status_code == 200
        assert (await served.http.get(f"{prefix}/static/main.js")).status_code == 200
        assert (await served.http.get("/")).status_code == 404
        assert (await served.http.post(f"{prefix}/api/topics/a/b", content=b"x")).status_code == 200
        async with served.websocket(f"{prefix}/ws/a/?history=1") as client:
            assert await take(client, 1) == ["x"]


def _login(token: Annotated[str, Query()] = "") -> None:
    if token != "right":
        raise HTTPException(401, "log in first")


@pytest.mark.parametrize("where", ["include", "gateway"])
async def test_dependencies_guard_every_way_in(where: str) -> None:
    """A dependency that refuses HTTP requests refuses WebSockets and event streams as well."""
    gateway = Gateway(dependencies=[Depends(_login)] if where == "gateway" else [])
    app = FastAPI()
    app.include_router(gateway, dependencies=[Depends(_login)] if where == "include" else [])
    async with serving(app) as served:
        for path in ("/", "/api/topics", "/events"):
            assert (await served.http.get(path)).status_code == 401, path
        assert (await served.http.post("/api/topics/a", content=b"x")).status_code == 401
        for path in ("/ws", "/ws/a"):
            with pytest.raises(InvalidStatus) as refused:
                async with served.websocket(path):
                    pass
            assert refused.value.response.status_code == 401
        async with served.websocket("/ws?token=right"):
            await until(lambda: gateway._running().hub.subscribers, "the subscription")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/events/a/%23/b", "last level"),
        ("/events?filter=", "empty"),
        ("/events?format=xml", "format"),
        ("/events?history=1000", "history"),
    ],
)
async def test_a_bad_stream_is_refused(path: str, problem: str) -> None:
    """400 with the rule; `EventSource` does not come back after it."""
    async with running(Gateway()) as app, http(app) as client:
        answer = await client.get(path)
        assert answer.status_code == 400
        assert problem in answer.json()["detail"]


async def test_no_stream_begins_while_the_server_stops() -> None:
    """503 with a time to try again, in the drain and before the start."""
    gateway = Gateway()
    async with running(gateway) as app, http(app) as client:
        await gateway.drain()
        answer = await client.get("/events")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    async with http(app_with(Gateway())) as client:
        assert (await client.get("/events/a")).status_code == 503


async def test_streams_keep_the_configured_silence() -> None:
    """The keepalive interval is the one of the WebSockets' pings."""
    gateway = Gateway(http=HttpOptions(ping_interval_s=0.1))
    async with serving(app_with(gateway)) as served, served.http.stream("GET", "/events/nobody") as answer:
        lines = answer.aiter_lines()
        assert [await anext(lines) for _ in range(4)] == [": connected", "", ": keepalive", ""]
