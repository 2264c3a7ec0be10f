from __future__ import annotations

import asyncio

import anyio
import pytest
from starlette.websockets import WebSocket

from asgi_fakes import Peer, started_node, until
from portcast.config import HttpOptions
from portcast.web.sdk_node import SdkNode
from portcast.web.sdk_websocket import SdkWebSocketEndpoint
from runtime_kit import Events
from sdk_kit import Rules, options

pytestmark = pytest.mark.anyio


async def test_a_client_over_plain_asgi() -> None:
    """It is accepted, answered, and gone when it leaves."""
    async with started_node() as running:
        node = SdkNode(running, Rules(), options(), Events())
        endpoint = SdkWebSocketEndpoint(lambda: node, options(), HttpOptions())
        peer = Peer({"type": "websocket.connect"}, {"type": "websocket.receive", "text": '{"id":1,"connect":{}}'})
        scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [], "client": ("192.0.2.7", 5)}
        task = asyncio.ensure_future(endpoint.serve(WebSocket(scope, peer.receive, peer.send)))
        await until(lambda: len(peer.sent) == 2, "the answer")
        assert peer.sent[0] == {"type": "websocket.accept", "subprotocol": None}
        assert peer.sent[1]["text"].startswith('{"id":1,"connect":{"client":"')
        peer.leaves()
        with anyio.fail_after(5):
            await task
        assert not running.hub.subscribers
