"""Tests of `portcast.http_entrance`, in front of uvicorn's protocol with real sockets; TLS is in `test_http_tls`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from asgi_fakes import until
from gateway_serving import Served, app_with, serving
from portcast import Gateway, HttpOptions
from portcast.events import ConnectionRefused, Event, SubscriberRefused
from portcast.http_entrance import HttpEntrance
from portcast.runtime.limits import http_connections, raise_descriptor_limit
from portcast.web.http_deadlines import HttpDeadlines, http_protocol
from portcast.web.websocket_protocol import WebSocketProtocol

pytestmark = [pytest.mark.anyio, pytest.mark.row(23)]

PROXY = ("127.0.0.0/8",)


class Behind:
    """A server with an entrance, and what happened there."""

    def __init__(self, served: Served, entrance: HttpEntrance, events: list[Event]) -> None:
        self.served = served
        self.entrance = entrance
        self.events = events

    @property
    def refused(self) -> list[str]:
        found = [one for one in self.events if isinstance(one, ConnectionRefused)]
        assert all(one.listener == "http" and one.peer.startswith(("127.0.0.1:", "192.0.2.")) for one in found)
        return [one.reason for one in found]

    @property
    def crowded(self) -> list[tuple[str, str]]:
        found = [one for one in self.events if isinstance(one, SubscriberRefused)]
        return [(one.transport, one.reason) for one in found]

    async def answers(self) -> bool:
        """Return False if a new connection is reset before anything was said."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.served.port)
        try:
            writer.write(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return (await reader.read()).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False
        finally:
            writer.close()


@asynccontextmanager
async def behind(app: FastAPI | None = None, **limits: Any) -> AsyncIterator[Behind]:
    options = HttpOptions(**limits)
    events: list[Event] = []
    entrance = HttpEntrance(options, None, events.append)
    deadlines = HttpDeadlines(10, 10, 1000)
    protocol = http_protocol(deadlines)
    async with serving(
        app or app_with(Gateway(http=options, on_event=events.append)),
        http=cast("Any", entrance.around(protocol, deadlines)),
        ws=WebSocketProtocol,
        proxy_headers=bool(options.forwarded_from),
        forwarded_allow_ips=list(options.forwarded_from),
    ) as served:
        yield Behind(served, entrance, events)
        await served.http.aclose()
    await until(lambda: entrance.admission.connections == 0, "every place to be given back")
    assert len(entrance.admission) == 0


async def test_the_newest_is_shed() -> None:
    """Whoever is there stays; a place is free again when one of them leaves, a request or a WebSocket."""
    async with behind(max_connections=3, max_subscribers=10) as server, server.served.websocket() as first:
        async with server.served.websocket(), server.served.websocket():
            assert not await server.answers()
            assert not await server.answers()
            assert server.refused == ["max_connections"] * 2
            await first.ping()
        await until(lambda: server.entrance.admission.connections == 1, "two to leave")
        assert await server.answers()
        await first.ping()


async def test_silent_ones_do_not_keep_others_out() -> None:
    """Who has sent no request makes room for who is new, the oldest first; subscribers stay."""
    async with behind(max_connections=4, max_subscribers=2) as server, server.served.websocket() as subscriber:
        admission = server.entrance.admission
        silent = []
        for sent in (b"", b"GET / HT", b"POST /api/topics/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nx"):
            silent.append(await asyncio.open_connection("127.0.0.1", server.served.port))
            silent[-1][1].write(sent)
            await until(lambda: admission.connections == 1 + len(silent), "one more")
        assert await server.answers()
        assert server.refused == ["crowded"]
        with anyio.fail_after(5):
            assert await silent[0][0].read() == b""
        assert not silent[1][0].at_eof()
        await subscriber.ping()
        for _, writer in silent:
            writer.close()


async def test_an_idle_one_goes_before_one_that_waits() -> None:
    """It has its answer, and comes again; and the place counts once."""
    async with behind(max_connections=2) as server:
        assert (await server.served.http.get("/health/live")).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", server.served.port)
        await until(lambda: server.entrance.admission.connections == 2, "the silent one")
        assert await server.answers()
        assert server.refused == ["crowded"]
        await until(lambda: server.entrance.admission.connections == 1, "the idle one, and the one that was answered")
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_who_may_not_come_in_pushes_out_nobody() -> None:
    """Otherwise a network that is denied could empty the waiting line."""
    async with behind(max_connections=1, max_per_address=1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.served.port)
        await until(lambda: server.entrance.admission.connections == 1, "the silent one")
        assert not await server.answers()
        assert server.refused == ["max_per_address"]
        assert not reader.at_eof()
        writer.close()


async def test_what_is_no_request_is_told_by_whom_and_not_in_its_words() -> None:
    """The words may hold a key; who it was is all that helps."""
    async with behind() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.served.port)
        writer.write(b"GET / HTTP/1.1\r\nauthorization Bearer secret\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        assert server.refused == ["http_malformed"]
        assert "secret" not in str(server.events)


async def test_upgrades_count_once_whatever_becomes_of_them() -> None:
    """Accepted, refused before the handshake, and gone in the middle of it."""
    async with behind(max_connections=10) as server:
        admission = server.entrance.admission
        with pytest.raises(InvalidStatus):
            await server.served.websocket("/none")
        await until(lambda: admission.connections == 0, "the refused one to be gone")
        _, writer = await asyncio.open_connection("127.0.0.1", server.served.port)
        writer.write(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n")
        await until(lambda: admission.connections == 1, "half a request")
        writer.close()
        await until(lambda: admission.connections == 0, "it to be gone")
        async with server.served.websocket():
            assert admission.connections == 1


async def test_connections_of_an_address() -> None:
    """One address does not use up what is there for all."""
    async with behind(max_connections=10, max_per_address=2) as server, server.served.websocket():
        async with server.served.websocket():
            assert not await server.answers()
        assert server.refused == ["max_per_address"]
        await until(lambda: server.entrance.admission.connections == 1, "one to leave")
        assert await server.answers()


async def test_connects_per_second() -> None:
    """As many at once, and further ones are reset."""
    async with behind(connect_rate=0.1) as server:
        assert [await server.answers() for _ in range(2)] == [True, False]
        assert server.refused == ["connect_rate"]


@pytest.mark.parametrize("networks", [{"deny": PROXY}, {"allow": ("10.0.0.0/8",)}], ids=["denied", "not allowed"])
async def test_networks(networks: dict[str, Any]) -> None:
    """A socket from there is reset before anything is read."""
    async with behind(**networks) as server:
        assert not await server.answers()
        assert server.refused == ["denied"]


async def test_a_proxy_is_not_judged_by_its_own_address() -> None:
    """It speaks for many; they are judged one by one, and it counts in all only."""
    limits: dict[str, Any] = {"max_per_address": 1, "connect_rate": 0.1, "deny": ("192.0.2.0/24",)}
    async with behind(forwarded_from=PROXY, **limits) as server, server.served.websocket():
        assert await server.answers()
        denied = await server.served.http.get("/health/live", headers={"x-forwarded-for": "192.0.2.7"})
        assert (denied.status_code, denied.json()) == (403, {"detail": "network not allowed"})
        assert server.refused == ["denied"]
        allowed = await server.served.http.get("/health/live", headers={"x-forwarded-for": "198.51.100.7"})
        assert allowed.status_code == 200


async def test_many_idle_browsers_leave_room_for_requests() -> None:
    """Subscribers have nine tenths: whoever comes above that is told to try again, and health checks are answered."""
    async with AsyncExitStack() as stack, behind(max_connections=20) as server:
        clients: list[ClientConnection] = [
            await stack.enter_async_context(server.served.websocket()) for _ in range(18)
        ]
        with anyio.fail_after(5):
            late = await server.served.websocket()
            await late.wait_closed()
        assert (late.close_code, late.close_reason) == (1013, "too many subscribers")
        assert server.crowded == [("websocket", "max_subscribers")]
        assert (await server.served.http.get("/health/ready")).status_code == 200
        events = await server.served.http.get("/events")
        assert (events.status_code, events.headers["retry-after"]) == (503, "5")
        await clients[0].close()
        await until(lambda: server.entrance.admission.connections <= 18, "its place")
        async with server.served.websocket() as client:
            await client.ping()


async def test_by_itself_it_takes_what_devices_can_never_use() -> None:
    """10 000 browsers must not use up the descriptors of devices."""
    entrance = HttpEntrance(HttpOptions(), None, lambda event: None)
    assert entrance.admission._most_in_all == http_connections(raise_descriptor_limit())
