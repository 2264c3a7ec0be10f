from __future__ import annotations

from typing import cast

import pytest

from portcast.centrifuge import codes
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import ClientInfo, ConnectRequest, Publication, SubscribeRequest
from portcast.events import CredentialsRefused, HandlerFailed, SubscriberOpened
from portcast.publication import Meta, Run
from portcast.publication import Publication as Retained
from portcast.runtime import CLOSE_SHUTDOWN, Node
from portcast.web import sdk_node
from portcast.web.sdk_access import Grant
from portcast.web.sdk_node import SdkNode, common_of
from portcast.web.sdk_wire import wire
from runtime_kit import eventually
from sdk_kit import Rules, SdkSink, World, options, request

pytestmark = pytest.mark.anyio


class TestTicker:
    async def test_pings_are_sent_in_time(self) -> None:
        """By one ticker for all, not earlier than half an interval after the connection, and then regularly."""
        world = World(session=options(ping_s=10, pong_s=0))
        clients = [world.connected() for _ in range(20)]
        world.advance(4)
        assert all(client.read() == [] for client in clients)
        world.advance(7)
        assert all(client.read() == [{}] for client in clients)
        world.advance(30)
        assert {len(client.read()) for client in clients} == {3}

    async def test_runs_while_there_are_clients(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And ends with the last of them; a node at rest costs nothing."""
        monkeypatch.setattr(sdk_node, "TICK_S", 0.001)
        world = World(session=options(ping_s=1, pong_s=0))
        assert world.node._timer is None
        client = world.connected()
        world.clock.advance(1.5)
        await eventually(client.read, "a ping")
        client.it.subscriber.ended("left")
        await eventually(lambda: world.node._timer is None, "the end of the ticker")
        world.connected()
        assert world.node._timer is not None
        world.node.stop()
        world.node.stop()
        assert world.node._timer is None

    async def test_native_pings_are_not_sent_by_the_session(self) -> None:
        """For tools that answer those and no others: the transport sends them."""
        world = World(session=options(ping_s=1, pong_s=0.5))
        sink = SdkSink()
        client = world.node.accept(
            sink, wire(Format.JSON, "messages"), request(), bind=sink.bind, options=options(ping_s=0)
        )
        client.on_message('{"id":1,"connect":{}}')
        world.advance(10)
        assert len(sink.out) == 1
        assert "ping" not in str(sink.out)


class TestAccepting:
    async def test_a_client_is_a_subscriber_like_others(self) -> None:
        """Without filters at first; it says goodbye in its own words."""
        world = World()
        client = world.client()
        (event,) = world.events.of(SubscriberOpened)
        assert (event.transport, event.filters, event.peer) == ("centrifuge", (), "192.0.2.7:5")
        world.hub.close("restarting")
        assert client.sink.closed == [(CLOSE_SHUTDOWN, "restarting")]

    async def test_one_that_comes_after_the_goodbye_is_sent_away_at_once(self) -> None:
        """With the same words, and nothing is kept."""
        world = World()
        world.hub.close("restarting")
        client = world.client()
        assert (client.sink.closed, client.is_gone, world.node._clients) == (
            [(CLOSE_SHUTDOWN, "restarting")],
            True,
            {},
        )
        client.say(SubscribeRequest("t"))
        assert client.read() == []

    async def test_the_rules_say_whether_messages_are_taken(self) -> None:
        """Whatever the options that came with the request."""
        rules = Rules()
        for accepts in (True, False):
            rules.accepts_messages = accepts
            world = World(rules, session=options(accepts_messages=not accepts))
            client = world.connected()
            client.it.on_message('{"send":{"data":1}}')
            assert client.code == (0 if accepts else 3508)

    async def test_sessions_share_their_options(self) -> None:
        """A thousand clients, one object."""
        world = World()
        one, two = world.client(), world.client()
        assert one.it.session._options is two.it.session._options

    async def test_a_session_is_named_by_a_secret(self) -> None:
        """Whoever knows it speaks for the client."""
        world = World()
        client = world.client()
        session, node = world.node.open_session(client.it)
        assert (len(session) >= 32, node == world.node.id, world.node.find(session)) == (True, True, client.it)
        assert world.node.find("") is None

    async def test_what_the_app_raised_is_told(self) -> None:
        """As an event, with the client's id."""
        world = World()
        error = ValueError("odd")
        world.node.failed("client", error)
        (event,) = world.events.of(HandlerFailed)
        assert (event.connection_id, event.error, event.handler) == ("client", error, "access")


class TestMessages:
    def test_what_the_pushes_of_a_run_share(self) -> None:
        """Nothing for most; tags; who published, if that was a client."""

        def common(meta: Meta | None) -> Publication:
            return common_of(Run("t", "e", 1, 1, 0.0, [b"1"], meta))

        assert common(None) == Publication()
        assert common(Meta({"k": "v"})) == Publication(tags={"k": "v"})
        info = ClientInfo("42", "c", b"1", b"2")
        assert common(Meta(user="42", client="c", conn_info=b"1", chan_info=b"2")) == Publication(info=info)
        assert common(Meta(user="42")).info == ClientInfo("42")

    @pytest.mark.parametrize(
        ("kind", "is_delta", "expected"),
        [
            (Format.JSON, False, b'{"a":1}'),
            (Format.JSON, True, b'"{\\"a\\":1}"'),
            (Format.PROTOBUF, False, b'{"a":1}'),
            (Format.PROTOBUF, True, b'{"a":1}'),
        ],
    )
    async def test_retained_ones_for_a_reply(self, kind: Format, is_delta: bool, expected: bytes) -> None:
        """Where deltas were agreed the data of a JSON client is a string, as it is in every push."""
        world = World()
        make = world.node.to_message(wire(kind, "frames"), is_delta=is_delta)
        one = make(Retained("t", "e", 7, 9, 0.0, b'{"a":1}', Meta({"k": "v"}, user="42")))
        assert one == Publication(expected, ClientInfo("42"), 7, {"k": "v"})

    async def test_bytes_for_json(self) -> None:
        """What is no JSON becomes some."""
        make = World().node.to_message(wire(Format.JSON, "frames"), is_delta=False)
        assert make(Retained("t", "e", 7, 9, 0.0, b"\xff", None)).data == b'{"base64":"/w=="}'


class TestPresence:
    GRANT = Grant(sends_join_leave=True, gets_join_leave=True)

    async def test_a_join_is_encoded_once_per_wire(self) -> None:
        """However many watch; all are given the same object."""
        world = World(Rules(subscribe=self.GRANT))
        clients = [world.connected(kind) for kind in Format for _ in range(3)]
        for client in clients:
            client.ask(SubscribeRequest("t"))
        for client in clients:
            client.read()
        newcomer = world.connected()
        newcomer.ask(SubscribeRequest("t"))
        items = [client.sink.out[-1] for client in [*clients, newcomer]]
        assert len({id(item) for item in items}) == 2

    async def test_who_is_there_already_is_not_told_of_again(self) -> None:
        """A second join of the same client is none."""
        world = World()
        client = world.connected()
        world.node.watch(client.it, "t")
        for _ in range(2):
            world.node.join("t", ClientInfo("u", "c"), is_told=True)
        assert len(client.read()) == 1
        for _ in range(2):
            world.node.leave("t", "c", is_told=True)
        assert len(client.read()) == 1

    async def test_unwatching_what_nobody_watches(self) -> None:
        """Does nothing."""
        world = World()
        client = world.client()
        world.node.unwatch(client.it, "t")
        assert world.node._watchers == {}


@pytest.mark.parametrize(
    ("verdict", "token", "reasons"),
    [
        (codes.INVALID_TOKEN, "wrong", ["connect"]),
        (codes.INVALID_TOKEN, "", []),
        (codes.TOO_MANY_REQUESTS, "wrong", ["throttled"]),
        (codes.TOKEN_EXPIRED, "old", []),
    ],
)
async def test_wrong_tokens_are_told_of(
    verdict: codes.ReplyError | codes.Disconnect, token: str, reasons: list[str]
) -> None:
    """As over HTTP; who shows nothing, or what was genuine, is not worth a line."""
    world = World(Rules(connect=verdict))
    world.client().say(ConnectRequest(token=token))
    assert [one.reason for one in world.events.of(CredentialsRefused)] == reasons


async def test_a_node_for_each_run() -> None:
    """Its name is its own, so that a session of the last run is not taken for one of this."""
    world = World()
    assert SdkNode(cast(Node, world.running), Rules(), options(), world.events).id != world.node.id
