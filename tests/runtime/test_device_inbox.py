from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from device_kit import fleet, line, say
from portcast import Connection, by_field

pytestmark = pytest.mark.anyio


def _frame(value: Any, number: int) -> bytes:
    return json.dumps({"ask": value, "n": number}).encode()


async def test_a_handler_may_ask_the_device_whose_message_it_handles() -> None:
    """Also at the first message, which is acknowledged after; what else comes meanwhile waits and keeps its order."""
    answers: list[object] = []

    async def work(message: dict[str, Any], connection: Connection) -> object:
        if message.get("login"):
            assert connection.device is not None
            answers.append((await connection.device.request("version"))["v"])
        return None

    async with fleet(
        work=work, replies=by_field("re"), write=_frame, ack=lambda message, _: b"ok", identity="connection"
    ) as the:
        device = await the.connect({"id": "a", "login": True})
        assert json.loads(await line(device)) == {"ask": "version", "n": 1}
        await say(device, {"n": 1}, {"re": 99}, {"id": "b", "re": 1}, {"re": 1, "v": 7})
        await device.send(b"no json\n")
        assert await line(device) == b"ok"
        await the.heard(4)
        assert answers == [7]
        assert [message for _, message in the.seen[1:]] == [{"n": 1}, {"re": 99}, {"id": "b", "re": 1}]
        assert the.gateway.device("a").info.frames == 4


async def test_nothing_is_looked_at_while_nothing_is_handled() -> None:
    """Frames go through the inbox, and answers end their command there."""
    async with fleet(replies=by_field("re"), write=_frame) as the:
        device = await the.connect({"id": "a"})
        await the.heard(1)
        asked = asyncio.ensure_future(the.gateway.device("a").request("x"))
        await line(device)
        await say(device, {"id": "a", "re": 1}, {"id": "a", "n": 2})
        assert await asked == {"id": "a", "re": 1}
        await the.heard(2)
        assert [message for _, message in the.seen] == [{"id": "a"}, {"id": "a", "n": 2}]
