from __future__ import annotations

from typing import Any

import pytest

from portcast.centrifuge import codes
from portcast.centrifuge.deadlines import Lifetime
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import (
    ConnectRequest,
    FilterNode,
    HistoryRequest,
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
from portcast.config import TopicOptions
from portcast.web.sdk_access import Admission, Grant
from runtime_kit import FakeSink, subscribe, turns
from sdk_kit import Rules, World, options, request

pytestmark = pytest.mark.anyio


def error(reply: dict[str, Any]) -> int:
    code: int = reply["error"]["code"]
    return code


@pytest.mark.parametrize("can_be_held", [True, False])
async def test_nothing_is_published_while_memory_is_short(can_be_held: bool) -> None:
    """A client that can be held waits for it; any other learns of it."""
    world = World()
    client = world.connected(can_be_held=can_be_held)
    world.uses(101)
    client.say(PublishRequest("t", b"1"))
    await turns()
    assert world.broker.position("t").offset == 0
    assert [error(one) for one in client.read() if "error" in one] == ([] if can_be_held else [111])
    world.uses(80)
    await turns()
    assert world.broker.position("t").offset == int(can_be_held)


class TestConnect:
    async def test_the_rules_see_who_asks(self) -> None:
        """The request by which it came, and what it said of itself; later commands carry it on."""
        seen: list[Any] = []
        rules = Rules(connect=Admission(user="42", info=b'{"n":1}', meta={"secret": 1}, data=b'"hi"', expires_at=7))
        world = World(rules)
        client = world.client()
        client.it.http = request(cookie="session=1")
        assert client.connect(token="t")["data"] == "hi"
        client.subscribe("a")
        (caller,) = rules.callers
        assert (caller.client, caller.user, caller.info) == (client.it.session.client, "42", b'{"n":1}')
        assert (caller.meta, caller.expires_at, caller.http.cookies) == ({"secret": 1}, 7, {"session": "1"})
        assert (rules.calls, seen) == (["connect:t", "subscribe:a"], [])

    async def test_a_refused_one_has_nothing(self) -> None:
        """An error leaves the connection unusable; a Disconnect ends it."""
        world = World(Rules(connect=codes.TOKEN_EXPIRED))
        client = world.client()
        (reply,) = client.ask(ConnectRequest())
        assert error(reply) == 109
        client.say(SubscribeRequest("a"))
        assert client.code == 3501

    @pytest.mark.parametrize(
        "admission",
        [
            pytest.param(Admission(lifetime=Lifetime(0)), id="connection"),
            pytest.param(Admission(subs={"#42": Grant(lifetime=Lifetime(-1))}), id="subscription"),
        ],
    )
    async def test_what_is_over_is_expired(self, admission: Admission) -> None:
        """Error 110, and nothing is subscribed."""
        world = World(Rules(connect=admission))
        (reply,) = world.client().ask(ConnectRequest())
        assert (error(reply), world.hub.count("#42")) == (110, 0)

    async def test_too_many_subscriptions_of_the_server(self) -> None:
        """3505, and nothing is left of those that were made."""
        subs = {f"t/{number}": Grant() for number in range(4)}
        world = World(Rules(connect=Admission(subs=subs)), session=options(max_subscriptions=3))
        client = world.client()
        client.say(ConnectRequest())
        assert (client.code, world.hub.count("t/0"), len(world.node.presence)) == (3505, 0, 0)

    async def test_a_client_without_a_way_back_gets_a_session(self) -> None:
        """Its commands come by requests of their own, which name it."""
        world = World()
        client = world.client()
        client.it.has_session = True
        result = client.connect()
        assert result["node"] == world.node.id
        assert world.node.find(result["session"]) is client.it
        client.it.subscriber.ended("left")
        assert world.node.find(result["session"]) is None


class TestServerSide:
    GRANT = Grant(sends_join_leave=True, gets_join_leave=True)

    @pytest.mark.parametrize("kind", list(Format))
    async def test_comes_with_the_connection(self, kind: Format) -> None:
        """The personal channel: its own join is the first push, publications follow."""
        world = World(Rules(connect=Admission(user="42", subs={"#42": self.GRANT})))
        world.send("#42", b"1")
        client = world.client(kind)
        reply, join = client.ask(ConnectRequest())
        assert reply["connect"]["subs"]["#42"]["offset"] == 1
        info = {"user": "42", "client": client.it.session.client}
        assert join == {"push": {"channel": "#42", "join": {"info": info}}}
        world.send("#42", b"2")
        assert client.pushes() == [{"channel": "#42", "pub": {"data": 2, "offset": 2}}]

    async def test_recovers(self) -> None:
        """From the position that the client tells with connect; its result stands in ``subs``."""
        world = World(Rules(connect=Admission(subs={"#42": Grant()})))
        world.send("#42", b"1", b"2", b"3")
        client = world.client()
        result = client.connect(subs={"#42": SubscribeRequest(recover=True, offset=1, epoch="e1")})["subs"]["#42"]
        assert (result["recovered"], [one["offset"] for one in result["publications"]]) == (True, [2, 3])
        assert (result["offset"], result["was_recovering"]) == (1, True)
        world.send("#42", b"4")
        assert [one["pub"]["offset"] for one in client.pushes()] == [4]

    async def test_one_that_lost_something_connects_anew(self) -> None:
        """3010: there is no command to recover a server-side subscription."""
        world = World(Rules(connect=Admission(subs={"#42": Grant()})), history={"publications": 5})
        client = world.connected(is_open=False)
        world.send("#42", *[b"1"] * 11)
        for _ in range(20):
            world.send("#42", b"2")
        world.finish(client)
        assert client.code == 3010

    async def test_what_the_server_may_not_do_is_not_asked(self) -> None:
        """Of what the client wishes of them only the position counts: no delta, no condition, no error 112."""
        world = World(Rules(connect=Admission(subs={"#42": Grant()})))
        wish = SubscribeRequest(
            recover=True, offset=7, epoch="odd", flag=2, delta="fossil", tf=FilterNode(key="a", cmp="eq", val="b")
        )
        result = world.client().connect(subs={"#42": wish, "other": wish})["subs"]
        assert result == {"#42": {"recoverable": True, "positioned": True, "epoch": "e1", "was_recovering": True}}


class TestSubscribe:
    async def test_what_the_grant_says_is_told(self) -> None:
        """Data, and for how long."""
        client = World(Rules(subscribe=Grant(data=b'{"a":1}', lifetime=Lifetime(60, True)))).connected()
        result = client.subscribe("t")
        assert (result["data"], result["expires"], result["ttl"]) == ({"a": 1}, True, 60)

    async def test_what_is_over_is_expired(self) -> None:
        """Error 110."""
        world = World(Rules(subscribe=Grant(lifetime=Lifetime(0))))
        (reply,) = world.connected().ask(SubscribeRequest("t"))
        assert (error(reply), world.hub.count("t")) == (110, 0)

    async def test_a_condition_that_makes_no_sense(self) -> None:
        """Error 107, and the channel is free for another try."""
        world = World()
        client = world.connected()
        (reply,) = client.ask(SubscribeRequest("t", tf=FilterNode(op="nonsense")))
        assert (error(reply), world.hub.count("t")) == (107, 0)
        client.subscribe("t")

    async def test_a_position_that_must_be_recovered(self) -> None:
        """Error 112, and nothing is left behind."""
        world = World()
        client = world.connected()
        (reply,) = client.ask(SubscribeRequest("t", recover=True, offset=3, epoch="odd", flag=2))
        assert (error(reply), world.hub.count("t"), len(world.node.presence)) == (112, 0, 0)
        client.subscribe("t")

    async def test_limits(self) -> None:
        """105, 106, 107."""
        client = World(session=options(max_subscriptions=2)).connected()
        replies = client.ask(*(SubscribeRequest(name) for name in ("a", "a", "b", "c", "", "x" * 256, "a/#/b")))
        assert [one.get("error", {}).get("code", 0) for one in replies] == [0, 105, 0, 106, 107, 107, 107]

    async def test_one_that_expires_is_ended(self) -> None:
        """2501, and the client subscribes again with a new token."""
        world = World(Rules(subscribe=Grant(lifetime=Lifetime(5))))
        client = world.connected()
        client.subscribe("t")
        world.advance(4)
        assert client.read() == []
        world.advance(2)
        assert client.pushes() == [{"channel": "t", "unsubscribe": {"code": 2501, "reason": "subscription expired"}}]
        world.send("t", b"1")
        assert (client.read(), world.hub.count("t"), len(world.node.presence)) == ([], 0, 0)

    async def test_one_that_expires_while_its_client_is_behind(self) -> None:
        """Nothing of it comes after its end, and the other subscription gets everything."""
        world = World(Rules(**{"subscribe:a": Grant(lifetime=Lifetime(5))}))
        client = world.connected(is_open=False)
        client.subscribe("a")
        client.subscribe("b")
        world.send("a", b"0")
        for number in range(5):
            world.send("a", b"%d" % number)
            world.send("b", b"%d" % number)
        world.advance(6)
        world.finish(client)
        world.finish(client)
        replies = client.read()
        end = next(index for index, one in enumerate(replies) if "unsubscribe" in one["push"])
        assert {one["push"]["channel"] for one in replies[end + 1 :]} == {"b"}
        assert client.data("b") == [(number + 1, b"%d" % number) for number in range(5)]

    async def test_unsubscribing_what_is_not_there(self) -> None:
        """Never fails (rules)."""
        client = World().connected()
        (reply,) = client.ask(UnsubscribeRequest("t"))
        assert reply["unsubscribe"] == {}


class TestRefresh:
    async def test_of_the_connection(self) -> None:
        """Told again how long; without it the connection ends after the grace."""
        rules = Rules(connect=Admission(lifetime=Lifetime(10, True)), refresh=Lifetime(100))
        world = World(rules, session=options(refresh_grace_s=5.0))
        client, other = world.connected(), world.connected()
        world.advance(9)
        (reply,) = client.ask(RefreshRequest("new"))
        assert (reply["refresh"]["expires"], reply["refresh"]["ttl"]) == (True, 100)
        world.advance(10)
        assert (client.code, other.code) == (0, 3005)

    async def test_of_another_user(self) -> None:
        """The rules say 3500."""
        client = World(Rules(connect=Admission(lifetime=Lifetime(9, True)), refresh=codes.INVALID_TOKEN)).connected()
        client.say(RefreshRequest("x"))
        assert client.code == 3500

    @pytest.mark.parametrize("channel", ["t", ""])
    async def test_of_a_subscription(self, channel: str) -> None:
        """The Python SDK leaves out the channel; the token knows it."""
        rules = Rules(subscribe=Grant(lifetime=Lifetime(10, True)))
        world = World(rules, session=options(refresh_grace_s=5.0))
        client = world.connected()
        client.subscribe("t")
        world.advance(9)
        (reply,) = client.ask(SubRefreshRequest(channel, "t"))
        assert reply["sub_refresh"] == {"expires": True, "ttl": 60}
        world.advance(10)
        assert (client.read(), world.hub.count("t")) == ([], 1)


class TestPublish:
    @pytest.mark.parametrize("kind", list(Format))
    async def test_everybody_sees_who_did(self, kind: Format) -> None:
        """Also in history; the publisher gets its own publication."""
        rules = Rules(connect=Admission(user="42", info=b'{"n":1}'), subscribe=Grant(info=b'{"c":1}'))
        world = World(rules)
        client = world.connected(kind)
        client.subscribe("t")
        (reply,) = client.ask(PublishRequest("t", b'{"a":1}'))
        world.clock.settle()
        assert reply["publish"] == {}
        info = {"user": "42", "client": client.it.session.client, "conn_info": {"n": 1}, "chan_info": {"c": 1}}
        (push,) = client.pushes()
        assert push["pub"] == {"data": {"a": 1}, "offset": 1, "info": info}
        (history,) = client.ask(HistoryRequest("t", limit=10))
        assert history["history"]["publications"] == [push["pub"]]

    async def test_not_without_permission(self) -> None:
        """The verdict of the rules is the reply."""
        world = World(Rules(publish=codes.PERMISSION_DENIED))
        (reply,) = world.connected().ask(PublishRequest("t", b"1"))
        assert (error(reply), world.broker.position("t").offset) == (103, 0)

    async def test_waits_while_the_topic_is_held(self) -> None:
        """As a device does: the next command waits with it."""
        world = World(default=TopicOptions(patience_s=0.5))
        sink = FakeSink()
        subscribe(world.hub, sink, "t")
        world.send("t", *[b"x"] * 11)
        client = world.connected()
        client.say(PublishRequest("t", b"1"), SubscribeRequest("u"))
        await turns()
        assert (client.read(), world.broker.position("t").offset) == ([], 11)
        sink.finish()
        world.clock.settle()
        await turns()
        assert [one["id"] for one in client.read()] == [2, 3]
        assert world.broker.position("t").offset == 12

    async def test_one_that_leaves_while_it_waits_publishes_nothing(self) -> None:
        """Its command was not carried out."""
        world = World(default=TopicOptions(patience_s=0.5))
        sink = FakeSink()
        subscribe(world.hub, sink, "t")
        world.send("t", *[b"x"] * 11)
        client = world.connected()
        client.say(PublishRequest("t", b"1"))
        await turns()
        client.it.subscriber.ended("left")
        sink.finish()
        world.clock.settle()
        await turns()
        assert world.broker.position("t").offset == 11


class TestLooking:
    async def test_pages_of_history(self) -> None:
        """From a position, so many, either way."""
        world = World()
        client = world.connected()
        client.subscribe("t")
        world.send("t", *(b"%d" % number for number in range(1, 10)))
        client.read()

        def page(**fields: Any) -> Any:
            (reply,) = client.ask(HistoryRequest("t", **fields))
            found = reply["history"]
            assert (found["epoch"], found["offset"]) == ("e1", 9)
            return [one["offset"] for one in found.get("publications", ())]

        assert page() == []
        assert page(limit=3) == [1, 2, 3]
        assert page(limit=-1, since=StreamPosition(7, "e1")) == [8, 9]
        assert page(limit=2, reverse=True) == [9, 8]
        (reply,) = client.ask(HistoryRequest("t", limit=1, since=StreamPosition(1, "odd")))
        assert error(reply) == 112

    async def test_presence(self) -> None:
        """Who is there, by client."""
        world = World(Rules(connect=Admission(user="42")))
        one, two = world.connected(), world.connected()
        one.subscribe("t")
        two.subscribe("t")
        (who, stats) = one.ask(PresenceRequest("t"), PresenceStatsRequest("t"))
        ids = {client.it.session.client for client in (one, two)}
        assert who["presence"]["presence"] == {id_: {"client": id_, "user": "42"} for id_ in ids}
        assert stats["presence_stats"] == {"num_clients": 2, "num_users": 1}

    async def test_not_without_permission(self) -> None:
        """Who does not subscribe may not look, unless the rules say so."""
        client = World().connected()
        replies = client.ask(HistoryRequest("t"), PresenceRequest("t"), PresenceStatsRequest("t"))
        assert [error(one) for one in replies] == [103, 103, 103]

    async def test_rules_that_raise(self) -> None:
        """Error 100, as for the others."""
        client = World(Rules(history=RuntimeError("odd"))).connected()
        (reply,) = client.ask(HistoryRequest("t"))
        assert error(reply) == 100


class TestCalls:
    async def test_return_what_the_method_returns(self) -> None:
        """Or an error of the app."""
        rules = Rules(**{"rpc:bad": codes.ReplyError(1000, "no such device")})
        client = World(rules).connected()
        client.say(RpcRequest(b'{"a":1}', "echo"), RpcRequest(b"", "bad"), RpcRequest(b"", "unknown"))
        await turns()
        echo, bad, unknown = client.read()
        assert echo["rpc"]["data"] == {"a": 1}
        assert (error(bad), error(unknown)) == (1000, 108)

    async def test_are_limited(self) -> None:
        """Error 111 for one more, which the client may try again."""
        rules = Rules()
        client = World(rules, session=options(max_rpcs=2)).connected()
        rules.slow = {"rpc"}
        client.say(*[RpcRequest(b"1", "echo")] * 3)
        await turns()
        (reply,) = client.read()
        assert (error(reply), reply["error"]["temporary"]) == (111, True)
        await rules.let_go(2)
        assert len(client.read()) == 2

    async def test_messages_without_a_handler_close(self) -> None:
        """3508."""
        rules = Rules()
        rules.accepts_messages = False
        client = World(rules).connected()
        client.say(SendRequest(b"1"))
        assert (client.code, rules.messages) == (3508, [])
