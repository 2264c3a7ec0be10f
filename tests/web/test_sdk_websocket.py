from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.websockets import WebSocket

from asgi_fakes import Message, Peer, started_node, until
from portcast.centrifuge import protobuf_codec
from portcast.config import HttpOptions
from portcast.delivery import Batch
from portcast.errors import MissingDependencyError
from portcast.runtime import Node
from portcast.web.sdk_node import SdkNode
from portcast.web.sdk_websocket import SdkWebSocketEndpoint
from portcast.web.sdk_wire import wire
from portcast.web.transports import OWNER_KEY
from portcast.web.websocket_asgi import EXTENSION
from runtime_kit import Events
from sdk_kit import Rules, options

pytestmark = pytest.mark.anyio

CONNECT = '{"id":1,"connect":{}}'


class Ours:
    """Our own class, as far as the endpoint knows it."""

    def __init__(self, *, is_deflated: bool) -> None:
        self.is_deflated = is_deflated
        self.out: list[Any] = []
        self.owner: Any = None
        self.on_message: Any = None

    def bind(self, owner: object) -> None:
        self.owner = owner

    def detach(self, on_message: object) -> None:
        self.on_message = on_message

    def write(self, batch: Batch) -> bool:
        self.out += batch.items
        return True

    def write_now(self, items: list[object]) -> bool:
        self.out += items
        return True

    def close(self, code: int, reason: str) -> None:
        self.out.append((code, reason))


def scope(query: str = "", *protocols: str, **headers: str) -> dict[str, Any]:
    return {
        "type": "websocket",
        "path": "/connection/websocket",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.7", 5),
        "subprotocols": list(protocols),
        "fastapi_inner_astack": object(),
        "fastapi_function_astack": object(),
    }


class Serving:
    """An endpoint, and what it serves."""

    def __init__(self, running: Node | None) -> None:
        self.rules = Rules()
        session = options(ping_s=20, pong_s=5.0)
        self.node = SdkNode(running, self.rules, session, Events()) if running is not None else None
        self.endpoint = SdkWebSocketEndpoint(lambda: self.node, session, HttpOptions())

    async def serve(self, the_scope: dict[str, Any], *said: Message) -> Peer:
        """Serve one client to its end."""
        peer = Peer({"type": "websocket.connect"}, *said)
        peer.leaves()
        with anyio.fail_after(5):
            await self.endpoint.serve(WebSocket(the_scope, peer.receive, peer.send))
        return peer

    @asynccontextmanager
    async def connected(self, the_scope: dict[str, Any], said: str | bytes = CONNECT) -> AsyncIterator[Peer]:
        """Serve one over plain ASGI."""
        key = "text" if isinstance(said, str) else "bytes"
        peer = Peer({"type": "websocket.connect"}, {"type": "websocket.receive", key: said})
        task = asyncio.ensure_future(self.endpoint.serve(WebSocket(the_scope, peer.receive, peer.send)))
        await until(lambda: len(peer.sent) == 2, "the answer")
        yield peer
        peer.leaves()
        with anyio.fail_after(5):
            await task


async def test_a_client_over_plain_asgi() -> None:
    """It is accepted, answered, and gone when it leaves."""
    async with started_node() as running:
        serving = Serving(running)
        async with serving.connected(scope()) as peer:
            assert peer.sent[0] == {"type": "websocket.accept", "subprotocol": None}
            assert peer.sent[1]["text"].startswith('{"id":1,"connect":{"client":"')
            (subscriber,) = running.hub.subscribers
            assert subscriber.peer == "192.0.2.7:5"
        assert not running.hub.subscribers


@pytest.mark.parametrize(
    ("query", "protocols", "subprotocol", "is_protobuf"),
    [
        pytest.param("", ["centrifuge-json"], "centrifuge-json", False, id="json"),
        pytest.param("", ["centrifuge-protobuf"], "centrifuge-protobuf", True, id="protobuf"),
        pytest.param("format=protobuf", [], None, True, id="query"),
        pytest.param("", [""], None, False, id="an empty header"),
    ],
)
async def test_the_format(query: str, protocols: list[str], subprotocol: str | None, is_protobuf: bool) -> None:
    """By subprotocol or query; the answer names what was agreed."""
    async with started_node() as running:
        said = b"\x04\x08\x01\x22\x00" if is_protobuf else CONNECT
        async with Serving(running).connected(scope(query, *protocols), said) as peer:
            assert peer.sent[0]["subprotocol"] == subprotocol
            assert ("bytes" in peer.sent[1]) is is_protobuf


async def test_native_pings_by_query() -> None:
    """The connection is told of none then."""
    async with started_node() as running:
        serving = Serving(running)
        async with serving.connected(scope("cf_ws_frame_ping_pong=true")) as peer:
            assert '"ping"' not in peer.sent[1]["text"]
        async with serving.connected(scope()) as peer:
            assert '"ping":20' in peer.sent[1]["text"]


async def test_a_node_that_is_not_ready() -> None:
    """1013, after the handshake: a browser cannot see the status of one that was refused."""
    peer = await Serving(None).serve(scope())
    assert peer.sent[1] == {"type": "websocket.close", "code": 1013, "reason": "the server is not ready"}


async def test_a_foreign_page_is_refused() -> None:
    """Before the handshake."""
    async with started_node() as running:
        peer = await Serving(running).serve(scope(host="here", origin="http://elsewhere"))
        assert peer.sent == [{"type": "websocket.close", "code": 1008, "reason": "origin not allowed"}]
        assert not running.hub.subscribers


async def test_protobuf_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain word, which is final, and no traceback."""

    def require() -> None:
        raise MissingDependencyError("protobuf", "centrifuge")

    monkeypatch.setattr(protobuf_codec, "require", require)
    wire.cache_clear()
    async with started_node() as running:
        peer = await Serving(running).serve(scope("format=protobuf"))
        assert (peer.sent[1]["code"], peer.sent[1]["reason"]) == (3506, "protobuf is not installed on this server")
        assert not running.hub.subscribers


@pytest.mark.parametrize("is_deflated", [False, True])
async def test_our_own_class_is_detached(is_deflated: bool) -> None:
    """The call returns; the client lives on, and says what it says to the connection."""
    async with started_node() as running:
        serving = Serving(running)
        ours = Ours(is_deflated=is_deflated)
        peer = await serving.serve({**scope(), "extensions": {EXTENSION: ours}})
        assert peer.sent == [{"type": "websocket.accept", "subprotocol": None}]
        ours.on_message(CONNECT)
        head = 0xC1 if is_deflated else 0x81
        assert ours.out[0][0] == head
        (subscriber,) = running.hub.subscribers
        assert ours.owner is subscriber
        subscriber.ended("client left")


async def test_the_middle_tier_writes_frames() -> None:
    """To the transport of a class that is known."""

    class Stock:
        def __init__(self) -> None:
            self.transport = Pipe()
            self.conn = type("Conn", (), {"state": type("State", (), {"name": "OPEN"})})
            self.handshake_complete = True
            self.close_sent = self.disconnected = False

    class Pipe:
        def __init__(self) -> None:
            self.out: list[bytes] = []

        def write(self, data: bytes) -> None:
            self.out.append(data)

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return 0

        def abort(self) -> None:
            raise AssertionError("the client has left")

    Stock.__module__ = "uvicorn.protocols.websockets.made_up"
    async with started_node() as running:
        stock = Stock()
        stock.disconnected = False
        the_scope = {**scope(), "extensions": {OWNER_KEY: stock}}
        serving = Serving(running)
        peer = Peer({"type": "websocket.connect"}, {"type": "websocket.receive", "text": CONNECT})
        task = asyncio.ensure_future(serving.endpoint.serve(WebSocket(the_scope, peer.receive, peer.send)))
        await until(lambda: stock.transport.out, "the answer")
        stock.disconnected = True
        peer.leaves()
        await task
        assert stock.transport.out[0][0] == 0x81
        assert not running.hub.subscribers


async def test_what_the_rules_see_of_the_request() -> None:
    """Everything but what keeps the connection and its call alive."""
    async with started_node() as running:
        serving = Serving(running)
        app = FastAPI()
        the_scope = {**scope(cookie="session=1"), "app": app, "session": {"user": 1}}
        async with serving.connected(the_scope) as peer:
            peer.says({"type": "websocket.receive", "text": '{"id":2,"subscribe":{"channel":"t"}}'})
            await until(lambda: serving.rules.callers, "the subscription")
            http = serving.rules.callers[0].http
            assert (http.cookies, http.app, http.session) == ({"session": "1"}, app, {"user": 1})
            assert not [key for key in http.scope if key.startswith("fastapi_") or key == "extensions"]


async def test_a_client_that_breaks_the_rules() -> None:
    """Is closed with the code, which its server sends."""
    async with started_node() as running, Serving(running).connected(scope(), "nonsense") as peer:
        assert peer.sent[-1] == {"type": "websocket.close", "code": 3501, "reason": "bad request"}
