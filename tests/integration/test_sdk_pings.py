"""The protocol's own pings on a real socket, in real time: a second is the shortest interval."""

from __future__ import annotations

import anyio
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from gateway_serving import app_with, serving
from portcast import Gateway, HttpOptions

pytestmark = pytest.mark.anyio


async def test_a_client_that_stops_answering_is_closed_and_the_others_are_not() -> None:
    """3012 for want of a pong; one that answers every ping stays as long as it likes."""
    gateway = Gateway(http=HttpOptions(ping_interval_s=1, ping_timeout_s=0.5))
    async with (
        serving(app_with(gateway)) as server,
        server.websocket("/connection/websocket") as silent,
        server.websocket("/connection/websocket") as lively,
    ):
        for one in (silent, lively):
            await one.send('{"id":1,"connect":{}}')
            assert '"ping":1,"pong":true' in str(await one.recv())
        with anyio.fail_after(15):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(answered, lively, 4)
                with pytest.raises(ConnectionClosedError) as closed:
                    await pings(silent)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3012, "no pong")


async def answered(client: ClientConnection, number: int) -> None:
    """Answer so many pings: more than a client would live to see that answers none."""
    for _ in range(number):
        assert await client.recv() == "{}"
        await client.send("{}")


async def pings(client: ClientConnection) -> None:
    """Read pings until it is closed."""
    while True:
        assert await client.recv() == "{}"
