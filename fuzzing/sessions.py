"""Sessions of SDK clients: whatever a client sends, it gets replies that can be read, or its close.

An input: the frames that a client sends, with a separator between them.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from centrifuge_messages import as_json, as_protobuf, delimited, from_protobuf, plain, replies_in
from portcast.centrifuge import messages as m
from portcast.centrifuge.format import Format
from portcast.web.sdk_client import SdkClient
from sdk_kit import Client, World

SEPARATOR = b"\0\xfa"
MOST_FRAMES = 20
REPLY_BYTES = 40_000
"""That one command may be answered: a page of what is kept here."""

_COMMANDS = [
    [m.Command(1, m.ConnectRequest(token="t", data=b'{"a":1}', name="js", version="1"))],
    [m.Command(2, m.SubscribeRequest("a/b", recover=True, epoch="e1", offset=1, positioned=True, join_leave=True))],
    [
        m.Command(3, m.SubscribeRequest("a/#", delta="fossil", recoverable=True)),
        m.Command(4, m.UnsubscribeRequest("a/#")),
    ],
    [m.Command(5, m.PublishRequest("a/b", b'{"c":[1,2]}')), m.Command(6, m.PresenceRequest("a/b"))],
    [m.Command(7, m.PresenceStatsRequest("a/b")), m.Command(8, m.HistoryRequest("a/b", limit=5, reverse=True))],
    [m.Command(9, m.RpcRequest(b"{}", "echo")), m.Command(0, m.SendRequest(b"1"))],
    [
        m.Command(10, m.RefreshRequest("t")),
        m.Command(11, m.SubRefreshRequest("a/b", "t")),
        m.Command(12, m.PingRequest()),
    ],
    [m.Command()],
]
_JSON = ["\n".join(as_json(plain(one)) for one in frame).encode() for frame in _COMMANDS]
_PROTOBUF = [delimited(*(as_protobuf(one) for one in frame)) for frame in _COMMANDS]
JSON_SEEDS = [*_JSON, SEPARATOR.join(_JSON), *(_JSON[0] + SEPARATOR + one for one in _JSON[1:])]
PROTOBUF_SEEDS = [*_PROTOBUF, SEPARATOR.join(_PROTOBUF), *(_PROTOBUF[0] + SEPARATOR + one for one in _PROTOBUF[1:])]

_loop: asyncio.AbstractEventLoop | None = None
_problems: list[str] = []


def run_json(data: bytes) -> None:
    """Send text frames."""
    try:
        frames = [one.decode() for one in data.split(SEPARATOR)]
    except UnicodeDecodeError:
        return  # the WebSocket class lets no such message through
    _run(Format.JSON, frames)


def run_protobuf(data: bytes) -> None:
    """Send binary frames."""
    _run(Format.PROTOBUF, data.split(SEPARATOR))


def _run(kind: Format, frames: list[str] | list[bytes]) -> None:
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        _loop.set_exception_handler(lambda loop, context: _problems.append(str(context)))
    _loop.run_until_complete(_talk(kind, frames[:MOST_FRAMES]))
    assert not _problems, _problems.pop()


async def _talk(kind: Format, frames: list[str] | list[bytes]) -> None:
    world = World()
    for number in range(3):
        world.publish("a/b", b'{"n":%d}' % number)
    client = world.client(kind)
    it: SdkClient = client.it
    for frame in frames:
        it.on_message(frame)
        world.clock.settle()
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    out = cast("list[dict[str, Any]]", client.sink.out)
    written = [one["text"].encode() if "text" in one else one["bytes"] for one in out]
    sent = sum(len(one) for one in frames)
    assert sum(map(len, written)) <= REPLY_BYTES + 200 * sent, f"{sum(map(len, written))} bytes for {sent}"
    if kind is Format.JSON:
        for one in written:
            for line in one.split(b"\n"):
                assert isinstance(json.loads(line), dict)
    else:
        for one in written:
            for reply in replies_in(one):
                from_protobuf(reply)
    _forget(world, client)


def _forget(world: World, client: Client) -> None:
    """The client goes without a word, and nothing of it stays."""
    client.it.subscriber.ended("left")
    world.clock.settle()
    assert client.is_gone
