from __future__ import annotations

import pytest

from portcast.centrifuge import codes
from portcast.centrifuge.deadlines import Lifetime
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import (
    PING,
    Command,
    ConnectRequest,
    HistoryRequest,
    PublishRequest,
    RpcRequest,
    SendRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from portcast.events import HandlerFailed, SubscriberClosed
from portcast.web import sdk_client, sdk_queue
from portcast.web.sdk_access import Admission, Grant
from runtime_kit import turns
from sdk_kit import Rules, World, options

pytestmark = pytest.mark.anyio

JSON, PROTOBUF = Format.JSON, Format.PROTOBUF


def ids(replies: list[dict[str, int]]) -> list[int]:
    return [one.get("id", 0) for one in replies]


@pytest.mark.parametrize("kind", list(Format))
async def test_connect_subscribe_receive(kind: Format) -> None:
    """The life of most clients."""
    world = World()
    client = world.client(kind)
    assert client.connect()["version"] == "portcast"
    world.send("t", b"1")
    assert client.subscribe("t")["offset"] == 1
    world.send("t", b"2", b"3")
    assert client.pushes() == [{"channel": "t", "pub": {"data": n, "offset": n}} for n in (2, 3)]


class TestOrder:
    async def test_commands_wait_for_a_slow_hook(self) -> None:
        """One after the other, as they came, whatever frame they were in."""
        rules = Rules()
        world = World(rules)
        client = world.connected()
        rules.slow = {"subscribe", "publish"}
        client.say(SubscribeRequest("a"), PublishRequest("c", b"1"))
        client.say(SubscribeRequest("b"))
        assert (client.read(), rules.calls[1:]) == ([], ["subscribe:a"])
        await rules.let_go()
        assert (ids(client.read()), rules.calls[2:]) == ([2], ["publish:c"])
        await rules.let_go()
        assert (ids(client.read()), rules.calls[3:]) == ([3], ["subscribe:b"])
        await rules.let_go()
        assert ids(client.read()) == [4]

    async def test_unsubscribing_while_subscribing(self) -> None:
        """The last word counts, however slow the app is, and what is published meanwhile belongs to nobody."""
        rules = Rules()
        world = World(rules)
        client = world.connected()
        rules.slow = {"subscribe"}
        client.say(SubscribeRequest("a"))
        client.say(UnsubscribeRequest("a"))
        client.say(SubscribeRequest("a"), UnsubscribeRequest("a"), SubscribeRequest("a"))
        world.send("a", b"1")
        assert client.read() == []
        for number, offset in enumerate([1, 2, 3]):
            await rules.let_go()
            subscribed = next(one["subscribe"] for one in client.read() if "subscribe" in one)
            assert subscribed["offset"] == offset
            assert world.hub.count("a") == (number == 2)
            world.send("a", b"2")
        assert client.data("a") == [(4, b"2")]
        assert (client.code, len(world.node.presence)) == (0, 1)

    async def test_calls_run_beside_the_rest(self) -> None:
        """A slow device does not hold up subscriptions; each call is answered when it is done."""
        rules = Rules()
        client = World(rules).connected()
        rules.slow = {"rpc"}
        client.say(RpcRequest(b"1", "echo"), RpcRequest(b"2", "echo"), SubscribeRequest("a"))
        await turns()
        assert ids(client.read()) == [4]
        await rules.let_go(2)
        assert [(one["id"], one["rpc"]["data"]) for one in client.read()] == [(2, 1), (3, 2)]

    async def test_messages_are_in_order_with_the_rest(self) -> None:
        """A `send` has no answer; what follows waits for it."""
        rules = Rules()
        client = World(rules).connected()
        rules.slow = {"message"}
        client.say(SendRequest(b'"one"'), SubscribeRequest("a"))
        await turns()
        assert client.read() == []
        await rules.let_go()
        assert (ids(client.read()), rules.messages) == ([3], [b'"one"'])

    async def test_pongs_are_taken_while_a_command_is_carried_out(self) -> None:
        """They have no place in the order: a client is alive although the app is slow."""
        rules = Rules()
        world = World(rules, session=options(ping_s=10, pong_s=5.0))
        client = world.connected()
        rules.slow = {"subscribe"}
        client.say(SubscribeRequest("a"))
        world.advance(40)
        pings = client.read()
        assert len(pings) in (3, 4)
        for one in pings:
            assert one == {}
            client.pong()
        assert client.code == 0
        client.pong()
        assert (client.code, client.is_gone) == (3501, True), "nothing was outstanding"

    async def test_commands_behind_connect_wait_for_it(self) -> None:
        """centrifuge-js sends connect and all subscriptions in one frame."""
        rules = Rules()
        rules.slow = {"connect"}
        client = World(rules).client()
        client.say(ConnectRequest(), SubscribeRequest("a"), SubscribeRequest("b"))
        await turns()
        assert rules.calls == ["connect"]
        await rules.let_go()
        assert ids(client.read()) == [1, 2, 3]


class TestReplies:
    @pytest.mark.parametrize("kind", list(Format))
    async def test_of_one_frame_are_one_frame(self, kind: Format) -> None:
        """A client that comes with 128 subscriptions costs one write."""
        client = World().client(kind)
        client.say(ConnectRequest(), *(SubscribeRequest(f"t/{number}") for number in range(20)))
        (frame,) = client.frames()
        assert ids(frame) == list(range(1, 22))

    async def test_are_not_too_many_in_a_frame(self) -> None:
        """Nor is a frame held back until thousands of commands are done."""
        client = World().connected()
        client.read()
        client.say(*(PublishRequest("t", b"1") for _ in range(2 * sdk_client.MOST_REPLIES + 1)))
        assert [len(frame) for frame in client.frames()] == [sdk_client.MOST_REPLIES, sdk_client.MOST_REPLIES, 1]

    async def test_come_before_what_is_pushed_for_them(self) -> None:
        """Also when publishing flushes the hub within the step that subscribes."""
        world = World()
        client = world.connected()
        big = b'"' + b"x" * 2000 + b'"'
        replies = client.ask(SubscribeRequest("a"), SubscribeRequest("b"), *[PublishRequest("a", big)] * 2)
        kinds = [next(iter(one.keys() - {"id"})) for one in replies]
        assert kinds == ["subscribe", "subscribe", "push", "push", "publish", "publish"]

    async def test_large_ones_go_by_themselves(self) -> None:
        """So that one may wait while the sink has no room for it."""
        world = World()
        world.send("t", b"1")
        client = world.connected()
        client.subscribe("t")
        client.say(*[HistoryRequest("t", limit=10)] * 3)
        assert [len(frame) for frame in client.frames()] == [1, 1, 1]


class TestRoom:
    async def test_no_command_is_taken_while_the_sink_has_no_room(self) -> None:
        """Nor answered; they go on when it has."""
        world = World()
        client = world.connected()
        client.subscribe("t")
        client.sink.has_room = False
        client.say(*[HistoryRequest("t")] * 5)
        assert ids(client.read()) == [3]
        client.it.has_room()
        assert ids(client.read()) == [4], "it is full again after each"
        client.sink.has_room = True
        client.it.has_room()
        assert ids(client.read()) == [5, 6, 7]

    async def test_no_command_is_taken_while_publications_are_queued(self) -> None:
        """What is queued belongs to the subscriptions of its time."""
        world = World()
        client = world.connected(is_open=False)
        client.subscribe("t")
        world.send("t", b"1")
        world.send("t", b"2")
        client.say(UnsubscribeRequest("t"))
        assert [list(one) for one in client.read()] == [["push"]]
        world.finish(client)
        assert [sorted(one) for one in client.read()] == [["push"], ["id", "unsubscribe"]]

    async def test_one_that_is_behind_is_served_when_it_has_caught_up(self) -> None:
        """Its commands wait, its pongs do not, and nothing is lost."""
        world = World(session=options(ping_s=4, pong_s=3.0))
        client = world.connected(is_open=False)
        client.subscribe("t")
        for number in range(30):
            world.send("t", b"%d" % number)
        assert client.it.subscriber.outbox.behind
        client.say(SubscribeRequest("u"))
        world.advance(4.5)
        pings = [one for one in client.read() if not one]
        assert pings
        for _ in pings:
            client.pong()
        assert client.code == 0
        world.finish(client)
        assert client.data("t") == [(number + 1, b"%d" % number) for number in range(30)]
        assert world.hub.count("u") == 1
        assert world.hub.statistics().dropped == 0

    async def test_a_subscription_that_the_app_allows_meanwhile_waits_too(self) -> None:
        """It fell behind while the app decided: history would bring what the new channel had before, as well."""
        rules = Rules()
        world = World(rules)
        client = world.connected(is_open=False)
        client.subscribe("t")
        rules.slow = {"subscribe"}
        client.say(SubscribeRequest("u"), SubscribeRequest("v"))
        for number in range(30):
            world.send("t", b"%d" % number)
        world.send("u", b'"before"')
        await rules.let_go()
        assert world.hub.count("u") == 0
        world.finish(client)
        replies = client.read()
        assert [one["subscribe"]["offset"] for one in replies if "subscribe" in one] == [1]
        assert "subscribe" in replies[-1], "after what it has missed"
        world.send("u", b'"after"')
        assert client.data("u") == [(2, b'"after"')]
        await rules.let_go()
        assert ids(client.read()) == [4]

    async def test_it_may_end_meanwhile(self) -> None:
        """Nothing is subscribed for one that is gone."""
        rules = Rules()
        world = World(rules)
        client = world.connected(is_open=False)
        client.subscribe("t")
        rules.slow = {"subscribe"}
        client.say(SubscribeRequest("u"))
        for number in range(30):
            world.send("t", b"%d" % number)
        await rules.let_go()
        client.it.subscriber.ended("left")
        client.it.has_room()
        assert (world.hub.count("u"), len(world.node.presence)) == (0, 0)

    async def test_joins_are_not_written_to_one_that_has_no_room(self) -> None:
        """They are best effort (reference: join/leave)."""
        world = World(Rules(subscribe=Grant(sends_join_leave=True, gets_join_leave=True)))
        client, other = world.connected(), world.connected()
        client.ask(SubscribeRequest("t"))
        client.sink.has_room = False
        client.ask(HistoryRequest("t"))
        other.say(SubscribeRequest("t"))
        assert client.read() == []


class TestTooMuch:
    async def test_too_many_bytes_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """3013: it may come back, more slowly."""
        monkeypatch.setattr(sdk_queue, "MAX_QUEUED_BYTES", 1000)
        rules = Rules()
        client = World(rules).connected()
        rules.slow = {"subscribe"}
        for number in range(100):
            client.say(SubscribeRequest(f"topic/{number}"))
        assert (client.code, client.sink.closed[0][1]) == (3013, "too many requests")
        assert client.is_gone

    async def test_too_many_commands_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Short ones, too."""
        monkeypatch.setattr(sdk_queue, "MAX_QUEUED", 10)
        rules = Rules()
        client = World(rules).connected()
        rules.slow = {"subscribe"}
        client.say(*(SubscribeRequest("t") for _ in range(12)))
        assert client.code == 3013

    async def test_much_over_time_is_not_too_much(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that always has a command waiting is served for ever."""
        monkeypatch.setattr(sdk_queue, "MAX_QUEUED_BYTES", 1000)
        rules = Rules()
        client = World(rules).connected()
        rules.slow = {"publish"}
        client.say(PublishRequest("t", b"1"), PublishRequest("t", b"1"))
        for _ in range(100):
            client.say(PublishRequest("t", b"1"))
            await rules.let_go()
        assert (client.code, len(client.read())) == (0, 100)

    @pytest.mark.parametrize("kind", list(Format))
    async def test_a_burst_that_is_carried_out_slowly_is_held_and_not_lost(
        self, kind: Format, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is read while too much waits; then on, and all is answered in order."""
        monkeypatch.setattr(sdk_queue, "MAX_QUEUED", 10)
        rules = Rules()
        world = World(rules)
        client = world.connected(kind, can_be_held=True)
        client.read()
        rules.slow = {"publish"}
        sent = 0
        while not client.sink.is_held:
            client.say(*[PublishRequest("t", b"1")] * 3)
            sent += 3
        assert sent == 12, "one is being carried out"
        client.say(*[PublishRequest("t", b"1")] * 3)  # of the same read
        for _ in range(8):
            await rules.let_go()
        assert (client.sink.is_held, client.code) == (True, 0)
        await rules.let_go()
        assert not client.sink.is_held
        for _ in range(6):
            await rules.let_go()
        assert ids(client.read()) == list(range(2, 17))
        assert client.it._throttle is None

    async def test_one_that_is_held_for_nothing_is_read_and_ended_if_it_goes_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """3013 after ten seconds in which nothing moved; one that says nothing more may stay."""
        monkeypatch.setattr(sdk_queue, "MAX_QUEUED", 10)
        rules = Rules()
        world = World(rules)
        flood, silent = world.connected(can_be_held=True), world.connected(can_be_held=True)
        rules.slow = {"publish"}
        for client in (flood, silent):
            client.say(*[PublishRequest("t", b"1")] * 12)
        world.advance(9)
        assert flood.sink.is_held
        await rules.let_go(1)
        world.advance(10)
        assert (flood.sink.is_held, silent.sink.is_held) == (True, False)
        world.advance(2)
        assert not flood.sink.is_held
        flood.say(PublishRequest("t", b"1"))
        assert (flood.code, silent.code) == (3013, 0)
        assert flood.it._throttle is None
        assert [event.code for event in world.events.of(SubscriberClosed)] == [3013]
        silent.read()
        for _ in range(12):
            await rules.let_go()
        assert (silent.it._throttle, len(silent.read())) == (None, 12)

    async def test_one_that_leaves_while_it_is_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is left of it."""
        monkeypatch.setattr(sdk_queue, "MAX_QUEUED", 10)
        rules = Rules()
        world = World(rules)
        client = world.connected(can_be_held=True)
        rules.slow = {"publish"}
        client.say(*[PublishRequest("t", b"1")] * 12)
        client.it.subscriber.ended("client left")
        assert (client.it._throttle, len(client.it._queue)) == (None, 0)
        await turns()
        world.advance(20)
        assert world.node._clients == {}

    @pytest.mark.parametrize("kind", list(Format))
    async def test_one_that_publishes_while_memory_is_short_is_not_read(self, kind: Format) -> None:
        """However long that lasts: its pongs wait unread like all that it sends, and nothing is lost."""
        world = World(session=options(ping_s=5, pong_s=2))
        client = world.connected(kind, can_be_held=True)
        client.read()
        world.uses(101)
        client.say(SubscribeRequest("a"))
        assert not client.sink.is_held, "only publishers wait"
        client.say(PublishRequest("t", b"1"), PublishRequest("t", b"2"))
        await turns()
        assert client.sink.is_held
        world.advance(60)
        assert (client.code, world.broker.position("t").offset) == (0, 0)
        pings = sum(not one for one in client.read())
        assert pings == 12
        world.uses(80)
        await turns()
        assert not client.sink.is_held
        assert world.broker.position("t").offset == 2
        for _ in range(pings):
            client.pong()
        world.advance(1)
        assert client.code == 0

    @pytest.mark.parametrize("can_be_held", [True, False], ids=["not for long", "not at all"])
    async def test_one_that_cannot_wait_for_memory_is_refused(self, can_be_held: bool) -> None:
        """Error 111 is temporary: the app may publish again."""
        world = World()
        client = world.connected(can_be_held=can_be_held)
        client.sink.can_be_held_long = False
        world.uses(101)
        (answer,) = client.ask(PublishRequest("t", b"1"))
        assert (answer["error"]["code"], answer["error"]["temporary"]) == (111, True)
        assert not client.sink.is_held
        world.uses(80)
        (answer,) = client.ask(PublishRequest("t", b"1"))
        assert "publish" in answer

    async def test_one_that_waits_for_memory_may_leave(self) -> None:
        """Nothing is left of it, and nothing published."""
        world = World()
        client = world.connected(can_be_held=True)
        world.uses(101)
        client.say(PublishRequest("t", b"1"))
        await turns()
        client.it.subscriber.ended("client left")
        await turns()
        assert world.node._clients == {}
        assert not client.sink.is_held
        world.uses(80)
        await turns()
        assert world.broker.position("t").offset == 0

    async def test_one_whose_commands_pile_up_meanwhile_is_not_ended_for_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That nothing moves is not its fault."""
        monkeypatch.setattr(sdk_queue, "MAX_QUEUED", 10)
        world = World()
        client = world.connected(can_be_held=True)
        world.uses(101)
        client.say(*[PublishRequest("t", b"1")] * 12)
        world.advance(60)
        client.say(PublishRequest("t", b"1"))  # of the same read
        assert client.code == 0
        world.uses(80)
        await turns()
        assert (client.code, world.broker.position("t").offset) == (0, 13)

    async def test_what_clients_send_makes_the_guard_look(self) -> None:
        """As what devices send does: a thousand clients fill memory before its timer runs."""
        world = World()
        client = world.connected()
        left = world.allowance.left = 1000
        client.say(PublishRequest("t", b"1"))
        assert 900 < world.allowance.left < left

    async def test_others_get_their_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A thousand commands of one client are carried out in slices."""
        rules = Rules()
        world = World(rules)
        rules.answers["publish"] = lambda request: world.clock.advance(0.001)
        client = world.connected()
        client.read()
        client.say(*(PublishRequest("t", b"1") for _ in range(100)))
        number = len(client.read())
        assert 0 < number < 10
        client.say(PublishRequest("t", b"1"))
        assert client.read() == [], "and what comes meanwhile waits its turn"
        await turns(1)
        number += len(client.read())
        assert 6 < number < 20
        await turns(100)
        assert number + len(client.read()) == 101


class TestMalformed:
    @pytest.mark.parametrize(
        "data",
        ["", "[1]", '{"id":', '{"id":1,"nonsense":{}}', '{"id":-1,"rpc":{}}', '{"id":99999999999,"rpc":{}}', "\0"],
    )
    async def test_json_is_a_bad_request(self, data: str) -> None:
        """3501, which is final; nobody else notices."""
        world = World()
        client, other = world.connected(), world.connected()
        client.it.on_message(data)
        client.it.on_message('{"id":7,"subscribe":{"channel":"a"}}')
        assert (client.code, client.is_gone, other.code) == (3501, True, 0)
        assert [(one.reason, one.code) for one in world.events.of(SubscriberClosed)] == [("bad request", 3501)]
        assert client.read()[1:] == []

    @pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"\x05\x08", b"\x02\x08\x01"])
    async def test_protobuf_likewise(self, data: bytes) -> None:
        """Also an empty command with an id."""
        client = World().connected(PROTOBUF)
        client.it.on_message(data)
        assert client.code == 3501

    @pytest.mark.parametrize("kind", list(Format))
    async def test_ten_thousand_commands_in_a_frame(self, kind: Format) -> None:
        """3501, and not one of them is carried out."""
        world = World()
        client, other = world.connected(kind), world.connected(kind)
        client.read()
        empty = "{}\n" * 10_000 if kind is Format.JSON else b"\0" * 10_000
        client.it.on_message(empty)
        assert (client.code, client.read(), other.code) == (3501, [], 0)
        assert other.subscribe("t")

    async def test_a_message_that_is_too_big(self) -> None:
        """1009; it is not even read."""
        client = World().connected()
        client.it.on_message(" " * 65_537)
        assert client.sink.closed == [(1009, "message too big")]

    async def test_a_command_before_connect(self) -> None:
        """3501 (reference: B.0)."""
        world = World()
        client = world.client()
        client.say(SubscribeRequest("t"))
        assert (client.code, world.hub.count("t")) == (3501, 0)

    async def test_what_stands_before_the_fault_is_answered(self) -> None:
        """Of a frame that is whole; then the end."""
        client = World().connected()
        client.read()
        client.send(Command(7, SubscribeRequest("a")), Command(8), Command(9, SubscribeRequest("b")))
        assert (ids(client.read()), client.code) == ([7], 3501)

    async def test_an_unexpected_pong_ends_it_before_the_rest_is_taken(self) -> None:
        """Nothing of the frame is carried out."""
        world = World()
        client = world.connected()
        client.send(Command(7, SubscribeRequest("a")), Command())
        assert (client.code, world.hub.count("a")) == (3501, 0)


class TestHooks:
    @pytest.mark.parametrize("is_slow", [False, True])
    async def test_one_that_raises_fails_its_command(self, is_slow: bool) -> None:
        """Error 100, which the client may try again; it is told as an event, and the connection goes on."""
        error = RuntimeError("the database is away")
        rules = Rules(**{"subscribe:bad": error})
        world = World(rules)
        client = world.connected()
        client.read()
        if is_slow:
            rules.slow = {"subscribe"}
        client.say(SubscribeRequest("bad"), SubscribeRequest("good"))
        if is_slow:
            await rules.let_go(2)
            await rules.let_go()
        bad, good = client.read()
        assert bad["error"] == {"code": 100, "message": "internal server error", "temporary": True}
        assert "subscribe" in good
        (event,) = world.events.of(HandlerFailed)
        assert (event.error, event.connection_id) == (error, client.it.session.client)

    async def test_one_may_refuse_or_close(self) -> None:
        """With an error of its own, or with the end."""
        rules = Rules(**{"subscribe:a": codes.ReplyError(433, "not today"), "subscribe:b": codes.INVALID_TOKEN})
        world = World(rules)
        client = world.connected()
        client.read()
        assert client.ask(SubscribeRequest("a")) == [{"id": 2, "error": {"code": 433, "message": "not today"}}]
        assert client.ask(SubscribeRequest("b")) == []
        assert (client.code, world.hub.count("#")) == (3500, 0)

    async def test_it_ends_with_the_client(self) -> None:
        """What still runs for it is cancelled, and nothing it says counts any more."""
        rules = Rules()
        world = World(rules)
        client = world.connected()
        rules.slow = {"subscribe", "rpc"}
        client.say(RpcRequest(b"", "echo"), SubscribeRequest("t"))
        await turns()
        client.it.subscriber.ended("client left")
        await turns()
        assert client.it._tasks == set()
        await rules.let_go(2)
        assert (client.it.session.is_ended, world.hub.count("t"), world.node._clients) == (True, 0, {})

    async def test_the_hub_may_say_goodbye_while_one_runs(self) -> None:
        """The connection is still there until its close is out: the answer goes before it or nowhere."""
        rules = Rules()
        world = World(rules)
        client = world.connected()
        rules.slow = {"subscribe"}
        client.say(SubscribeRequest("t"))
        world.hub.close("server is restarting")
        assert client.sink.closed == [(3001, "server is restarting")]
        await rules.let_go()
        assert client.code == 3001
        client.it.subscriber.ended("client left")
        assert (world.hub.subscribers, len(world.node.presence), world.node._clients) == ((), 0, {})

    async def test_one_that_closes_ends_its_own_task(self) -> None:
        """The task in which the end is decided is among those that are cancelled."""
        rules = Rules(subscribe=codes.DENIED)
        client = World(rules).connected()
        rules.slow = {"subscribe"}
        client.say(SubscribeRequest("t"))
        await rules.let_go()
        assert (client.code, client.it._tasks) == (3507, set())


class TestEnd:
    async def test_nothing_is_left_of_it(self) -> None:
        """In the hub, in the node, in presence."""
        world = World(Rules(subscribe=Grant(sends_join_leave=True, gets_join_leave=True)))
        client = world.connected()
        client.say(SubscribeRequest("a"), SubscribeRequest("b/+"))
        client.it.subscriber.ended("client left")
        assert (world.hub.subscribers, world.hub.count("a"), world.node._clients) == ((), 0, {})
        assert (len(world.node.presence), world.node._watchers) == (0, {})
        assert [event.reason for event in world.events.of(SubscriberClosed)] == ["client left"]
        client.it.on_message('{"id":9,"rpc":{}}')
        client.it.expire(world.clock.time() + 1000)
        client.it.subscriber.ended("again")
        assert len(world.events.of(SubscriberClosed)) == 1

    async def test_what_was_answered_is_written_before_the_goodbye(self) -> None:
        """An error tells why; the close follows it."""
        client = World().connected()
        client.read()
        client.say(PublishRequest("#", b"1"), ConnectRequest())
        assert ([one["error"]["code"] for one in client.read()], client.code) == ([107], 3501)

    @pytest.mark.parametrize("kind", list(Format))
    async def test_of_a_lifetime(self, kind: Format) -> None:
        """3005; its own close reason, never empty."""
        world = World(Rules(connect=Admission(lifetime=Lifetime(5))))
        client = world.connected(kind)
        world.advance(4)
        assert client.code == 0
        world.advance(2)
        assert client.sink.closed == [(3005, "connection expired")]

    async def test_one_that_never_connects(self) -> None:
        """3502."""
        world = World(session=options(connect_timeout_s=3.0))
        client = world.client()
        world.advance(4)
        assert client.code == 3502

    async def test_one_that_the_app_does_not_decide_on(self) -> None:
        """3004, with which it comes back: the fault is not the client's."""
        rules = Rules()
        rules.slow = {"connect"}
        world = World(rules, session=options(connect_timeout_s=3.0))
        client = world.client()
        client.say(ConnectRequest())
        world.advance(4)
        assert client.code == 3004
        await rules.let_go()
        assert client.read() == []

    async def test_one_that_does_not_answer_pings(self) -> None:
        """3012."""
        world = World(session=options(ping_s=10, pong_s=5.0))
        client = world.connected()
        world.advance(16)
        assert client.code == 3012

    async def test_a_push_of_the_server_is_written(self) -> None:
        """For whoever has something to say to a client."""
        client = World().connected()
        client.read()
        client.it.push(PING)
        assert client.read() == [{}]


async def test_a_thousand_clients_are_a_thousand_sessions() -> None:
    """Each with an id of its own, and a first ping at a moment of its own."""
    world = World(session=options(ping_s=20, pong_s=5.0))
    clients = [world.connected() for _ in range(50)]
    assert len({one.it.session.client for one in clients}) == 50
    assert len({one.it.deadline for one in clients}) > 40


@pytest.mark.row(16)
class TestRates:
    """Clients with a rate of commands and bytes."""

    @pytest.mark.parametrize("kind", list(Format))
    async def test_more_than_the_rate_is_not_read(self, kind: Format) -> None:
        """What was read is answered, then the client waits until the average is right; a silent one costs nothing."""
        world = World()
        world.node.rates = (10, 0)
        client = world.connected(kind, can_be_held=True)
        client.say(*[PublishRequest("t", b"1")] * 20)
        assert (len(client.read()), client.sink.is_held) == (20, True)
        world.advance(3)
        assert not client.sink.is_held
        assert client.it._pace is None
        client.say(*[PublishRequest("t", b"1")] * 10)
        assert (len(client.read()), client.sink.is_held, client.code) == (10, False, 0)

    async def test_one_that_cannot_be_held_is_ended(self) -> None:
        """3013: SDKs come back after a while."""
        world = World()
        world.node.rates = (0, 1000)
        client = world.connected()
        client.say(PublishRequest("t", b'"' + b"x" * 1000 + b'"'))
        assert client.code == 3013
        assert client.it._pace is None

    async def test_without_limits_nothing_is_counted(self) -> None:
        """The path of a command pays nothing."""
        client = World().connected(can_be_held=True)
        client.say(*[PublishRequest("t", b"1")] * 20)
        assert client.it._pace is None
