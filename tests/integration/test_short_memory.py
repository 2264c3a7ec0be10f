"""Clients that publish while memory is short, through real servers: held where that harms nobody, refused elsewhere."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection

from gateway_serving import app_with, serving
from portcast import ChannelPermissions, Gateway, GatewayOptions, HttpOptions
from portcast.runtime.memory_limit import MemoryUse

pytestmark = pytest.mark.anyio

OURS = "portcast.web.websocket_protocol:WebSocketProtocol"
LIMIT = 1 << 39


def gateway() -> Gateway:
    return Gateway(
        options=GatewayOptions(memory_limit_bytes=LIMIT),
        permissions={"t": ChannelPermissions(subscribe="anyone", publish="anyone")},
        http=HttpOptions(ping_interval_s=1, ping_timeout_s=0.5),
    )


def use(the: Gateway, share: float) -> None:
    """Let the process seem to use so much of its memory."""
    guard = the.node.memory
    guard._read = lambda: MemoryUse(int(LIMIT * share))
    guard._look()


async def reply(client: ClientConnection) -> Any:
    """Answer pings until something else comes."""
    while (text := str(await client.recv())) == "{}":
        await client.send("{}")
    return json.loads(text)


async def connect(client: ClientConnection) -> None:
    await client.send('{"id":1,"connect":{}}')
    assert "connect" in await reply(client)


def publish(number: int) -> str:
    return json.dumps({"id": number, "publish": {"channel": "t", "data": number}})


async def test_a_client_of_our_class_waits_and_is_not_taken_for_dead() -> None:
    """It publishes nothing for three times as long as a pong may take, answers each ping unheard, and then goes on."""
    the = gateway()
    async with (
        serving(app_with(the), ws=OURS, ws_ping_interval=0.5, ws_ping_timeout=0.3) as server,
        server.websocket("/connection/websocket") as client,
        server.websocket("/connection/websocket") as bystander,
    ):
        await connect(client)
        await connect(bystander)
        use(the, 1.1)
        for number in (2, 3):
            await client.send(publish(number))
        refused = await server.http.post("/api/topics/t", content=b"x")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        with anyio.fail_after(15):
            for _ in range(3):
                for one in (client, bystander):
                    assert await one.recv() == "{}", "a ping, and no answer"
                    await one.send("{}")
        assert the.node.broker.position("t").offset == 0
        use(the, 0.5)
        with anyio.fail_after(15):
            assert [(await reply(client))["id"], (await reply(client))["id"]] == [2, 3]
        assert the.node.broker.position("t").offset == 2
        await bystander.send('{"id":2,"subscribe":{"channel":"t"}}')
        with anyio.fail_after(15):
            assert (await reply(bystander))["id"] == 2


async def test_a_client_under_a_server_that_counts_pongs_is_refused() -> None:
    """Error 111, which SDKs take for temporary; it is read as before, so that its pongs are seen."""
    the = gateway()
    async with (
        serving(app_with(the), ws="websockets-sansio", ws_ping_interval=0.5, ws_ping_timeout=0.3) as server,
        server.websocket("/connection/websocket") as client,
    ):
        await connect(client)
        use(the, 1.1)
        with anyio.fail_after(15):
            for number in range(2, 5):
                await client.send(publish(number))
                said = await reply(client)
                assert (said["id"], said["error"]["code"], said["error"]["temporary"]) == (number, 111, True)
                assert await client.recv() == "{}"
                await client.send("{}")
        use(the, 0.5)
        await client.send(publish(9))
        assert "publish" in await reply(client)
        assert the.node.broker.position("t").offset == 1


async def test_a_client_that_streams_over_http_keeps_its_pongs_and_is_refused() -> None:
    """Its requests are let in although newcomers are not: its pongs come by them."""
    the = gateway()
    async with serving(app_with(the)) as server:

        async def say(text: str) -> int:
            body = {"session": connected["session"], "node": connected["node"], "data": text}
            return (await server.http.post("/emulation", json=body)).status_code

        async with server.http.stream("POST", "/connection/http_stream", content=b'{"id":1,"connect":{}}') as stream:
            lines = stream.aiter_lines()
            connected = json.loads(await anext(lines))["connect"]
            use(the, 1.1)
            assert (await server.http.post("/connection/http_stream", content=b"{}")).status_code == 503
            with anyio.fail_after(15):
                for _ in range(3):
                    assert await anext(lines) == "{}"
                    assert await say("{}") == 204
                assert await say(publish(2)) == 204
                while (line := await anext(lines)) == "{}":
                    await say("{}")
            assert json.loads(line)["error"]["code"] == 111
