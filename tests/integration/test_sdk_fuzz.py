"""Anything that can come over the wire to an SDK client's connection, in both formats, through all of it without a
socket: codec, session, rules, hub and back. What the session does by itself is fuzzed in ``tests/centrifuge``.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from centrifuge_messages import COMMANDS, as_json, as_protobuf, delimited, from_protobuf, plain, replies_in
from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError, Unsubscribe
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import (
    Command,
    ConnectRequest,
    HistoryRequest,
    PingRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    RpcRequest,
    SendRequest,
    StreamPosition,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from portcast.events import HandlerFailed, SubscriberClosed
from portcast.web.sdk_access import Grant
from portcast.web.sdk_client import CLOSE_TOO_BIG
from runtime_kit import turns
from sdk_kit import Client, Rules, World, options

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without making a failure small, which takes minutes; a story has at most 33 steps."""

CHANNELS = st.sampled_from(["a", "a", "b", "c/d", "c/+"])
ANY_CHANNEL = st.sampled_from(["a", "#", "$x", "", "a" * 256, "+a", "#42"])
IDS = st.integers(1, 9)
POSITIONS = st.builds(StreamPosition, st.integers(0, 5), st.sampled_from(["e1", "other"]))
SUBSCRIBE = st.builds(
    SubscribeRequest,
    CHANNELS,
    recover=st.booleans(),
    offset=st.integers(0, 5),
    epoch=st.sampled_from(["", "e1", "other"]),
    delta=st.sampled_from(["", "fossil"]),
    flag=st.sampled_from([0, 1, 2]),
    join_leave=st.booleans(),
)
FAIR = st.one_of(
    st.builds(Command, IDS, SUBSCRIBE),
    st.builds(
        Command,
        IDS,
        st.one_of(
            SUBSCRIBE,
            st.builds(UnsubscribeRequest, CHANNELS),
            st.builds(PublishRequest, CHANNELS, data=st.sampled_from([b"1", b'{"a":1}'])),
            st.builds(PresenceRequest, CHANNELS),
            st.builds(PresenceStatsRequest, CHANNELS),
            st.builds(
                HistoryRequest,
                CHANNELS,
                limit=st.sampled_from([-1, 0, 1, 1000]),
                since=st.none() | POSITIONS,
                reverse=st.booleans(),
            ),
            st.builds(RpcRequest, data=st.just(b"1"), method=st.sampled_from(["echo", "no"])),
        ),
    ),
    st.builds(Command, st.just(0), st.builds(SendRequest, data=st.just(b"1"))),
)
"""What does not end the connection."""
UNFAIR = st.builds(
    Command,
    st.sampled_from([0, 1, 2**32 - 1]),
    st.one_of(
        st.builds(ConnectRequest, token=st.sampled_from(["", "t"])),
        st.builds(SubscribeRequest, ANY_CHANNEL, delta=st.sampled_from(["", "x"]), type=st.sampled_from([0, 1])),
        st.builds(UnsubscribeRequest, ANY_CHANNEL),
        st.builds(PublishRequest, ANY_CHANNEL),
        st.builds(HistoryRequest, ANY_CHANNEL),
        st.builds(RefreshRequest, st.sampled_from(["", "t"])),
        st.builds(SubRefreshRequest, CHANNELS | ANY_CHANNEL, st.sampled_from(["", "a"])),
        st.builds(PingRequest),
        st.none(),
    ),
)
CONNECT = Command(1, ConnectRequest())
DOCUMENTED = {value for value in vars(codes).values() if isinstance(value, ReplyError | Unsubscribe | Disconnect)}


@st.composite
def damaged(draw: st.DrawFn, frame: bytes) -> bytes:
    """A frame with a piece taken out, doubled, or replaced."""
    begin = draw(st.integers(0, len(frame)))
    end = draw(st.integers(begin, min(len(frame), begin + 8)))
    piece = draw(st.sampled_from([b"", frame[begin:end] * 2, b"\x00", b"\xff", b'"', b"}", b"{", b"\n", b"1"]))
    return frame[:begin] + piece + frame[end:]


def framed(kind: Format, commands: list[Command]) -> bytes:
    if kind is Format.PROTOBUF:
        return delimited(*map(as_protobuf, commands))
    return "\n".join(as_json(plain(one)) for one in commands).encode()


def frames(kind: Format) -> st.SearchStrategy[bytes]:
    """Nothing that is fair: what some client could mean, what is damaged, and anything."""
    commands = st.one_of(FAIR, UNFAIR, COMMANDS)
    possible = st.lists(commands, min_size=1, max_size=3).map(lambda some: framed(kind, some))
    return st.one_of(possible, possible.flatmap(damaged), st.binary())


def steps(kind: Format) -> st.SearchStrategy[list[tuple[str, Any]]]:
    """What happens to a connection, one after the other."""
    fair = st.lists(FAIR, min_size=1, max_size=4).map(lambda commands: ("frame", framed(kind, commands)))
    around = st.one_of(
        st.sampled_from([("publish", "a"), ("publish", "c/d"), ("pongs", 0), ("time", 1), ("time", 9)]),
        st.sampled_from([("let go", 1), ("let go", 9), ("room", False), ("room", True)]),
        st.sampled_from([{"subscribe"}, {"publish", "rpc"}, {"message"}, set()]).map(lambda slow: ("slow", slow)),
    )
    story = st.lists(st.one_of(fair, fair, around, around), min_size=1, max_size=15)
    return st.tuples(story, st.lists(frames(kind).map(lambda frame: ("frame", frame)), max_size=3), story).map(
        lambda parts: [*parts[0], *parts[1], *parts[2]]
    )


class Remembering(dict[str, Any]):
    """The channels that a client has, and those that it had."""

    def __init__(self, has: dict[str, Any], had: set[str]) -> None:
        super().__init__(has)
        self.ever = {*has, *had}

    def __setitem__(self, channel: str, subscription: Any) -> None:
        self.ever.add(channel)
        super().__setitem__(channel, subscription)


class Watched:
    """A client, and what must be true of all that it is sent."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.read = 0
        self.pings = 0
        self.seen = client.it.channels._seen = Remembering({}, set())

    def look(self) -> None:
        """Read what came: whole frames, documented codes, pushes only of channels that it has, or has just had.

        What was published before it unsubscribed comes before the answer, which says that no more will.
        """
        channels = self.client.it.channels
        if channels._seen is not self.seen:  # it was made anew
            self.seen = channels._seen = Remembering(channels._seen, self.seen.ever)
        out = self.client.sink.out[self.read :]
        self.read += len(out)
        for frame in out:
            for reply in self._replies(frame):
                self._one(reply)
        if not self.client.it._queue:
            self.seen.ever = set(self.seen)
        code, reason = self.client.sink.closed[-1] if self.client.sink.closed else (0, "")
        assert len(self.client.sink.closed) <= 1
        assert not code or code == CLOSE_TOO_BIG or Disconnect(code, reason) in DOCUMENTED
        assert self.client.is_gone is self.client.it.session.is_ended is bool(code)

    def _replies(self, frame: Any) -> list[Any]:
        if self.client.format is Format.JSON:
            return [json.loads(line) for line in frame["text"].split("\n")]
        return [from_protobuf(one) for one in replies_in(frame["bytes"])]

    def _one(self, reply: dict[str, Any]) -> None:
        if not reply:
            self.pings += 1
            return
        (body,) = reply.keys() - {"id"}
        assert ("id" in reply) is (body != "push")
        if body == "error":
            error = reply["error"]
            assert ReplyError(error["code"], error["message"], error.get("temporary", False)) in DOCUMENTED
        elif body == "push" and "pub" in reply["push"]:
            assert reply["push"]["channel"] in self.seen.ever or self.client.code


async def fuzz(kind: Format, todo: list[tuple[str, Any]], *, is_connected: bool) -> None:
    loop_errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: loop_errors.append(context))
    told = Grant(sends_join_leave=True)
    rules = Rules(subscribe=told, **{"subscribe:b": replace(told, mode="cache")})
    world = World(rules, session=options(ping_s=20, pong_s=8.0, max_subscriptions=3))
    client = world.client(kind, can_be_held=True)
    bystander = world.connected(kind)
    bystander.subscribe("a")
    watched = Watched(client)
    if is_connected:
        todo = [("frame", framed(kind, [CONNECT])), *todo]
    for what, it in todo:
        match what:
            case "frame":
                text = it if kind is Format.PROTOBUF else it.decode("utf-8", "replace")
                client.it.on_message(text)
            case "publish":
                world.send(it, b'"x"')
            case "let go":
                await rules.let_go(it)
            case "pongs":
                pings, watched.pings = watched.pings, 0
                for _ in range(pings):
                    client.pong()
            case "room":
                client.sink.has_room = it
                client.it.has_room()
            case "time":
                for _ in range(it):
                    world.advance(1)
                    if bystander.code == 0 and {} in bystander.read():
                        bystander.pong()
            case _:
                rules.slow = it
        await turns(3)
        watched.look()
    assert (bystander.code, loop_errors, world.events.of(HandlerFailed)) == (0, [], [])
    client.it.subscriber.ended("client left")
    bystander.it.subscriber.ended("client left")
    rules.slow = set()
    await rules.let_go(99)
    assert len(world.events.of(SubscriberClosed)) == 2
    assert (world.hub.subscribers, world.node._clients, world.node._watchers, len(world.node.presence)) == (
        (),
        {},
        {},
        0,
    )
    assert loop_errors == []


@pytest.mark.timeout(60)  # a few seconds where nothing else runs
@pytest.mark.parametrize("kind", list(Format))
@settings(max_examples=80, deadline=None, phases=PHASES)
@given(data=st.data(), is_connected=st.sampled_from([True] * 7 + [False]))
def test_anything_ends_in_a_documented_state(kind: Format, data: st.DataObject, is_connected: bool) -> None:
    """No traceback, no code that the protocol does not have, nothing left behind, and nobody else notices."""
    asyncio.run(fuzz(kind, data.draw(steps(kind)), is_connected=is_connected))
