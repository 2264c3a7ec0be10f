from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocket

from access_kit import open_access
from asgi_fakes import Message, Peer, Transport, started_node, until
from gateway_serving import app_with, serving
from portcast import Gateway
from portcast.config import HttpOptions
from portcast.delivery import Batch
from portcast.runtime import Node
from portcast.web.resume import Encodings
from portcast.web.transports import KEY, OWNER_KEY
from portcast.web.websocket import Chatter, WebSocketEndpoint
from portcast.web.websocket_asgi import EXTENSION
from portcast.web.websocket_protocol import WebSocketProtocol

pytestmark = pytest.mark.anyio

CONNECT: Message = {"type": "websocket.connect"}


def _endpoint(node: Node | None) -> WebSocketEndpoint:
    def the() -> Node:
        if node is None:
            raise RuntimeError("not running")
        return node

    return WebSocketEndpoint(the, Encodings(lambda: "node", lambda at: at), open_access(), HttpOptions())


def _websocket(peer: Peer, path: str | None = None, query: str = "", **headers: str) -> WebSocket:
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/ws",
        "path_params": {} if path is None else {"filter": path},
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.7", 5),
    }
    return WebSocket(scope, peer.receive, peer.send)


@asynccontextmanager
async def connected(node: Node, path: str | None = None, query: str = "") -> AsyncIterator[Peer]:
    peer = Peer(CONNECT)
    task = asyncio.ensure_future(_endpoint(node).serve(_websocket(peer, path, query)))
    await until(lambda: node.hub.subscribers, "the subscription")
    yield peer
    peer.leaves()
    with anyio.fail_after(5):
        await task
    assert not node.hub.subscribers


async def _refused(node: Node | None, path: str | None = None, query: str = "", **headers: str) -> list[Message]:
    peer = Peer(CONNECT)
    with anyio.fail_after(5):
        await _endpoint(node).serve(_websocket(peer, path, query, **headers))
    return peer.sent


async def test_publications_arrive_as_messages() -> None:
    """The tutorial's behaviour: connect and get everything, text or binary."""
    async with started_node() as node, connected(node) as peer:
        (subscriber,) = node.hub.subscribers
        assert (subscriber.transport, subscriber.peer, subscriber.filters) == ("websocket", "192.0.2.7:5", ("#",))
        node.publish_nowait("a", ["grüße".encode(), b"\xff"])
        await until(lambda: len(peer.sent) == 3, "two messages")
        assert peer.sent == [
            {"type": "websocket.accept"},
            {"type": "websocket.send", "text": "grüße"},
            {"type": "websocket.send", "bytes": b"\xff"},
        ]


# The three tiers


class Connection:
    """What our own class offers to the endpoint."""

    buffered = 0

    def __init__(self, *, is_deflated: bool) -> None:
        self.is_deflated = is_deflated
        self.owner: Any = None
        self.calls: list[str] = []
        self.written: list[Any] = []

    def bind(self, owner: Any) -> None:
        self.owner = owner
        self.calls.append("bind")

    def detach(self, on_message: object = None) -> None:
        self.calls.append("detach")

    def write(self, batch: Batch) -> bool:
        self.written += batch.items
        return True

    def close(self, code: int, reason: str) -> None:
        self.calls.append(f"close {code} {reason}")

    def abort(self) -> None:
        self.calls.append("abort")


@pytest.mark.parametrize(("is_deflated", "first"), [(False, 0x81), (True, 0xC1)], ids=["plain", "deflated"])
@pytest.mark.parametrize("query", ["", "format=json"])
async def test_under_our_own_class_the_call_returns(is_deflated: bool, first: int, query: str) -> None:
    """The connection is the sink: frames as it negotiated them, and neither task nor scope is left."""
    connection = Connection(is_deflated=is_deflated)
    async with started_node() as node:
        node.publish_nowait("a", [b"old " * 50])
        peer = Peer(CONNECT)
        websocket = _websocket(peer, "a", f"history=1&{query}")
        websocket.scope["extensions"] = {EXTENSION: connection}
        with anyio.fail_after(5):
            await _endpoint(node).serve(websocket)
        (subscriber,) = node.hub.subscribers
        assert connection.owner is subscriber
        assert connection.calls == ["bind", "detach"]
        assert (subscriber.transport, subscriber.peer) == ("websocket", "192.0.2.7:5")
        node.publish_nowait("a", [b"live " * 50])
        await until(lambda: len(connection.written) == 2, "what is live after what is old")
        assert [one[0] for one in connection.written] == [first, first]
        assert peer.sent == [{"type": "websocket.accept"}]
        subscriber.ended("client left")


async def test_a_gap_that_cannot_be_said_closes_under_our_own_class_too() -> None:
    """Before it is detached; the class ends by itself then."""
    connection = Connection(is_deflated=False)
    async with started_node() as node:
        node.publish_nowait("a", [b"x"])
        websocket = _websocket(Peer(CONNECT), "a", "since=other:1")
        websocket.scope["extensions"] = {EXTENSION: connection}
        with anyio.fail_after(5):
            await _endpoint(node).serve(websocket)
        assert connection.calls == ["bind", "close 3008 missed at least 1 publications", "detach"]
        assert not node.hub.subscribers


class Stock:
    """What `stock_protocol_of` looks for."""

    class Conn:
        class state:
            name = "OPEN"

    def __init__(self) -> None:
        self.transport = Pipe()
        self.conn = self.Conn()
        self.handshake_complete = True
        self.close_sent = self.disconnected = False


Stock.__module__ = "uvicorn.protocols.websockets.made_up"


class Pipe(Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


async def test_under_uvicorns_classes_frames_are_written_beside_them() -> None:
    """Uncompressed, whatever they negotiated; the call goes on to read and to close."""
    stock = Stock()
    async with started_node() as node:
        peer = Peer(CONNECT)
        websocket = _websocket(peer)
        websocket.scope["extensions"] = {KEY: stock.transport, OWNER_KEY: stock}
        task = asyncio.ensure_future(_endpoint(node).serve(websocket))
        await until(lambda: node.hub.subscribers, "the subscription")
        node.publish_nowait("a", [b"x", b"\xff"])
        await until(lambda: stock.transport.written, "the frames")
        assert b"".join(stock.transport.written) == b"\x81\x01x\x82\x01\xff"
        assert peer.sent == [{"type": "websocket.accept"}]
        stock.disconnected = True
        peer.leaves()
        with anyio.fail_after(5):
            await task
        assert not node.hub.subscribers


# The conversation


async def test_only_what_the_filter_matches() -> None:
    """The filter from the path."""
    async with started_node() as node, connected(node, "sensors/") as peer:
        node.publish_nowait("other", [b"no"])
        node.publish_nowait("sensors/a", [b"yes"])
        await until(lambda: len(peer.sent) == 2, "a message")
        assert peer.sent[1] == {"type": "websocket.send", "text": "yes"}


async def test_envelopes() -> None:
    """``format=json``."""
    async with started_node() as node, connected(node, query="format=json") as peer:
        node.publish_nowait("a", [b"x"])
        await until(lambda: len(peer.sent) == 2, "a message")
        assert json.loads(peer.sent[1]["text"])["topic"] == "a"


async def test_clients_of_one_kind_share_the_encoding() -> None:
    """One encoding for all plain clients, whatever their filters, and one for all envelopes of a kind."""
    async with started_node() as node:
        endpoint = _endpoint(node)
        peers = [Peer(CONNECT) for _ in range(4)]
        wishes = [("a", ""), ("b", ""), ("c/", "format=json"), ("d/", "format=json")]
        tasks = [
            asyncio.ensure_future(endpoint.serve(_websocket(peer, *wish)))
            for peer, wish in zip(peers, wishes, strict=True)
        ]
        await until(lambda: len(node.hub.subscribers) == 4, "four subscriptions")
        assert len({id(one.encoding) for one in node.hub.subscribers}) == 2
        for peer in peers:
            peer.leaves()
        with anyio.fail_after(5):
            await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("path", "query", "reason"),
    [
        pytest.param("a/#/b", "", "topic 'a/#/b': '#' stands for the rest and must be the last level", id="filter"),
        pytest.param(None, "history=x", "history must be a number from 0 to 300", id="parameter"),
        pytest.param("ü" * 300, "", "topic: it is longer than 255 bytes", id="long topic: the rule"),
        pytest.param(
            None, f"format={'%C3%BC' * 30}", f"format '{'ü' * 20}' is not one of plain, json", id="quoted in part"
        ),
    ],
)
async def test_a_bad_request_is_closed_with_the_rule(path: str | None, query: str, reason: str) -> None:
    """A browser sees no HTTP answer to a handshake, but it does see a close code and reason of up to 123 bytes."""
    async with started_node() as node:
        assert await _refused(node, path, query) == [
            {"type": "websocket.accept"},
            {"type": "websocket.close", "code": 4400, "reason": reason},
        ]
    assert len(reason.encode()) <= 123


async def test_a_foreign_origin_is_refused_before_the_handshake() -> None:
    """A close before the accept is a 403; the page learns nothing."""
    async with started_node() as node:
        sent = await _refused(node, origin="https://evil.example", host="127.0.0.1:8000")
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": "origin not allowed"}]
        assert await _refused(node, "a/#/b", origin="http://127.0.0.1", host="127.0.0.1")  # own: comes further


async def test_a_stopping_server_says_try_again() -> None:
    """1013, which clients take as a reason to come back, and not as their fault."""
    async with started_node() as node:
        await node.drain()
        last = (await _refused(node))[-1]
        assert last == {"type": "websocket.close", "code": 1013, "reason": "the server is not ready"}
    assert (await _refused(None))[-1] == last


async def test_the_restart_is_told() -> None:
    """1012 after the last publication."""
    async with started_node() as node:
        peer = Peer(CONNECT)
        task = asyncio.ensure_future(_endpoint(node).serve(_websocket(peer)))
        await until(lambda: node.hub.subscribers, "the subscription")
        node.publish_nowait("a", [b"last"])
        await node.drain()
        with anyio.fail_after(5):
            await task
        assert peer.sent[1:] == [
            {"type": "websocket.send", "text": "last"},
            {"type": "websocket.close", "code": 1012, "reason": "server is restarting"},
        ]


@pytest.mark.row(16)
class TestChatter:
    """Clients that send to those who do not listen."""

    def test_too_much_ends_the_connection(self) -> None:
        """A message now and then is passed over: some clients have pings of their own."""
        closed: list[tuple[int, str]] = []
        subscriber: Any = SimpleNamespace(close=lambda *why: closed.append(why))
        now = 0.0
        chatter = Chatter((2, 1000), lambda: now)
        chatter.subscriber = subscriber
        for _ in range(10):
            chatter("ping")
            chatter(b"ping")
            now += 1
        assert closed == []
        chatter("x" * 1001)
        assert closed == [(1008, "too many messages")]

    @pytest.mark.parametrize("server", ["our class", "stock uvicorn", "any other"])
    async def test_on_every_server(self, server: str) -> None:
        """Through all three sinks."""
        app: Any = app_with(Gateway(http=HttpOptions(message_rate=5)))
        config: dict[str, Any] = {}
        if server == "our class":
            config = {"ws": WebSocketProtocol}
        elif server == "any other":
            inner = app

            async def wrapped(scope: Any, receive: Any, send: Any) -> None:
                async def forward(message: Any) -> None:
                    await send(message)

                await inner(scope, receive, forward)

            app = wrapped
        async with serving(app, **config) as served, served.websocket() as client:
            for _ in range(6):
                await client.send("hello")
            with anyio.fail_after(5):
                await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1008, "too many messages")
