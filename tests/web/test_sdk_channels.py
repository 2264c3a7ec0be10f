from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import (
    FilterNode,
    HistoryRequest,
    PublishRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from portcast.config import TopicOptions
from portcast.delivery import OutboxLimits, Standing
from portcast.web import sdk_channels
from portcast.web.sdk_access import Grant
from sdk_kit import LONG, Client, Rules, World, options

pytestmark = pytest.mark.anyio

JSON, PROTOBUF = Format.JSON, Format.PROTOBUF
BOTH = pytest.mark.parametrize("kind", list(Format))
HOT = FilterNode(key="level", cmp="eq", val="hot")


def offsets(client: Client, channel: str = "t") -> list[int]:
    return [offset for offset, _ in client.data(channel)]


class TestSubscribing:
    async def test_a_channel_comes_and_goes(self) -> None:
        """In the hub, and for those who ask who is there."""
        world = World()
        client = world.connected()
        client.subscribe("t")
        assert (world.hub.count("t"), len(world.node.presence)) == (1, 1)
        client.unsubscribe("t")
        assert (world.hub.count("t"), len(world.node.presence)) == (0, 0)
        assert not client.it.channels._grants
        assert not client.it.channels._seen

    @BOTH
    async def test_what_is_pending_is_not_pushed_and_not_lost(self, kind: Format) -> None:
        """Published before the subscription and not flushed yet: it is in history, up to the position that is told."""
        world = World()
        client, recovering = world.connected(kind), world.connected(kind)
        world.publish("t", b"1", b"2")
        assert client.subscribe("t")["offset"] == 2
        recovering.subscribe("t", recover=True, epoch="e1", offset=1)
        world.publish("t", b"3")
        world.clock.settle()
        assert client.data("t") == [(3, b"3")]
        assert recovering.data("t") == [(2, b"2"), (3, b"3")]

    async def test_again_in_the_same_tick_doubles_nothing_and_loses_nothing(self) -> None:
        """What waits for the flush is not pushed to a subscription that is over, and recovered by the new one."""
        world = World()
        client = world.connected()
        client.subscribe("t")
        world.publish("t", b"1")
        again = SubscribeRequest("t", recover=True, epoch="e1")
        client.say(UnsubscribeRequest("t"), again)
        world.publish("t", b"2")
        client.say(UnsubscribeRequest("t"), again, UnsubscribeRequest("t"), SubscribeRequest("t"))
        world.publish("t", b"3")
        world.clock.settle()
        seen = client.data("t")
        assert seen == [(1, b"1"), (1, b"1"), (2, b"2"), (3, b"3")], "each recovery brings what is after its offset"
        assert world.hub.statistics().delivered == 1

    async def test_nothing_comes_after_the_end(self) -> None:
        """From the reply on."""
        world = World()
        client = world.connected()
        client.subscribe("t")
        world.publish("t", b"1")
        client.unsubscribe("t")
        world.clock.settle()
        assert client.read() == []

    async def test_the_same_topic_twice(self) -> None:
        """Once under each name; one that comes later begins where it came."""
        world = World()
        client = world.connected()
        client.subscribe("a/+")
        world.publish("a/b", b"1")
        replies = client.ask(SubscribeRequest("a/b"))
        assert [sorted(one.keys() - {"id"}) for one in replies] == [["push"], ["subscribe"]]
        assert replies[1]["subscribe"]["offset"] == 1
        world.send("a/b", b"2")
        client.say(UnsubscribeRequest("a/+"))
        world.send("a/b", b"3")
        assert client.data("a/+") == [(0, b"1"), (0, b"2")]
        assert client.data("a/b") == [(2, b"2"), (3, b"3")]

    async def test_a_subscriber_that_the_flush_removes(self) -> None:
        """What waits for it is offered first, which may be too much for it; then there is nobody to subscribe."""
        strict = TopicOptions(patience_s=0, slow_consumer="disconnect")
        limits = OutboxLimits(
            soft_bytes=10, soft_messages=10, soft_for_s=1.0, hard_bytes=100, hard_messages=20, hard_age_s=10.0
        )
        rules = Rules()
        world = World(rules, default=strict, limits=limits)
        client = world.connected(is_open=False)
        client.subscribe("t")
        world.send("t", b"1" * 90)
        rules.slow = {"subscribe"}
        client.say(SubscribeRequest("u"))
        world.publish("t", b"2" * 50)
        world.publish("t", b"3" * 50)
        await rules.let_go()
        world.publish("t", b"4" * 200)
        client.sink.is_open = True
        assert client.code == 3008
        assert (world.hub.count("u"), world.node._watchers, len(world.node.presence)) == (0, {}, 0)

    async def test_wildcards_tell_the_topic(self) -> None:
        """They have no position and do not recover."""
        world = World()
        client = world.connected()
        world.send("a/x", b"0")
        assert client.subscribe("a/+", recover=True, offset=0, epoch="e1") == {"was_recovering": True}
        world.send("a/x", b"1", level="hot")
        assert client.pushes() == [
            {"channel": "a/+", "pub": {"data": 1, "channel": "a/x", "tags": {"level": "hot", "topic": "a/x"}}}
        ]

    async def test_clients_that_subscribe_alike_share_an_encoding(self) -> None:
        """Whatever else they did before."""
        world = World()
        one, two = world.connected(), world.connected()
        for name in ("a/+", "b", "c"):
            one.subscribe(name)
        for name in ("b", "x", "a/+", "c"):
            two.subscribe(name)
        assert one.it.subscriber.encoding is not two.it.subscriber.encoding
        two.unsubscribe("x")
        assert one.it.subscriber.encoding is two.it.subscriber.encoding
        for client in (one, two):
            client.unsubscribe("a/+")
        assert one.it.subscriber.encoding is world.connected().it.subscriber.encoding, "that of everybody"
        assert not world.node.encodings._special


class TestRecovery:
    @BOTH
    async def test_a_success_and_what_comes_then(self, kind: Format) -> None:
        """Everything once, in order."""
        world = World()
        world.send("t", b"1", b"2", b"3")
        client = world.connected(kind)
        result = client.subscribe("t", recover=True, epoch="e1", offset=1)
        assert (result["recovered"], result["offset"]) == (True, 1)
        world.send("t", b"4")
        assert client.data("t") == [(2, b"2"), (3, b"3"), (4, b"4")]

    async def test_more_bytes_than_a_client_reads_are_not_recovered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It would ask again for ever; it is told that something is lost, and may page."""
        monkeypatch.setattr(sdk_channels, "MAX_REPLY_BYTES", 100)
        world = World()
        client = world.connected()
        world.send("t", *[b'"' + b"x" * 31 + b'"'] * 4)
        result = client.subscribe("t", recover=True, epoch="e1", offset=0)
        assert (result.get("recovered"), result["offset"], result["was_recovering"]) == (None, 4, True)
        client.unsubscribe("t")
        assert client.subscribe("t", recover=True, epoch="e1", offset=1)["recovered"]
        (page,) = client.ask(HistoryRequest("t", limit=10))
        assert [one["offset"] for one in page["history"]["publications"]] == [1, 2, 3]

    async def test_one_that_is_too_large_comes_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By itself; otherwise paging would never get past it."""
        monkeypatch.setattr(sdk_channels, "MAX_REPLY_BYTES", 10)
        world = World()
        client = world.connected()
        world.send("t", *[b'"' + b"x" * 20 + b'"'] * 2)
        assert client.subscribe("t", recover=True, epoch="e1", offset=1)["recovered"]
        (page,) = client.ask(HistoryRequest("t", limit=10))
        assert len(page["history"]["publications"]) == 1

    @BOTH
    async def test_the_newest_on_subscribe(self, kind: Format) -> None:
        """Mode ``cache``: a page shows something at once."""
        world = World(Rules(subscribe=Grant(mode="cache")))
        world.send("t", b"1", b"2")
        client = world.connected(kind)
        result = client.subscribe("t")
        assert (result["recovered"], client.data("t")) == (True, [(2, b"2")])
        world.send("t", b"3")
        assert client.data("t") == [(2, b"2"), (3, b"3")]

    async def test_none_without_history(self) -> None:
        """No position is told."""
        world = World(Rules(subscribe=Grant(mode="none")))
        client = world.connected()
        assert client.subscribe("t") == {}
        world.send("t", b"1")
        assert offsets(client) == [1]


class TestConditions:
    @BOTH
    async def test_hide_what_does_not_match(self, kind: Format) -> None:
        """Live and recovered; what is hidden is no hole."""
        world = World()
        client = world.connected(kind)
        for level in ("hot", "cold", "hot"):
            world.send("t", b"1", level=level)
        result = client.subscribe("t", recover=True, epoch="e1", tf=HOT)
        assert (result["recovered"], offsets(client)) == (True, [1, 3])
        world.send("t", b"1", level="cold")
        world.send("t", b"1")
        world.send("t", b"1", level="hot")
        assert offsets(client) == [1, 3, 6]

    async def test_are_forgotten_with_their_subscriptions(self) -> None:
        """A client may come with another one each time."""
        client = World().connected()
        client.subscribe("kept", tf=HOT)
        for number in range(50):
            client.subscribe("t", tf=FilterNode(key="n", cmp="eq", val=str(number)))
            client.unsubscribe("t")
        assert client.it.channels._conditions is not None
        assert list(client.it.channels._conditions.values()) == [HOT]
        client.unsubscribe("kept")
        assert client.it.channels._conditions is None

    async def test_have_no_delta(self) -> None:
        """A client could not know to what a hidden publication's successor applies."""
        client = World().connected()
        assert "delta" not in client.subscribe("t", tf=HOT, delta="fossil")


class TestJoinLeave:
    GRANT = Grant(sends_join_leave=True, gets_join_leave=True, info=b'{"c":1}')

    @BOTH
    async def test_everybody_who_is_there_is_told(self, kind: Format) -> None:
        """The one who comes, too, after its reply; not the one who goes."""
        world = World(Rules(subscribe=self.GRANT))
        one, two = world.connected(kind), world.connected(kind)
        reply, join = one.ask(SubscribeRequest("t"))
        infos = [{"client": it.it.session.client, "chan_info": {"c": 1}} for it in (one, two)]
        assert "subscribe" in reply
        assert join["push"] == {"channel": "t", "join": {"info": infos[0]}}
        two.ask(SubscribeRequest("t"))
        two.unsubscribe("t")
        pushes = [{"channel": "t", "join": {"info": infos[1]}}, {"channel": "t", "leave": {"info": infos[1]}}]
        assert one.pushes() == pushes
        assert two.read() == []

    async def test_who_goes_without_a_word_is_seen_to_go(self) -> None:
        """At once, from all its channels."""
        world = World(Rules(subscribe=self.GRANT))
        one, two = world.connected(), world.connected()
        one.ask(SubscribeRequest("a"), SubscribeRequest("b"))
        two.ask(SubscribeRequest("a"), SubscribeRequest("b"))
        one.read()
        two.it.subscriber.ended("client left")
        assert [(one_["channel"], "leave" in one_) for one_ in one.pushes()] == [("a", True), ("b", True)]

    async def test_only_those_who_ask_or_must(self) -> None:
        """And only of those who may be seen."""
        world = World(Rules(subscribe=Grant(sends_join_leave=True)))
        asks, does_not = world.connected(), world.connected()
        assert len(asks.ask(SubscribeRequest("t", join_leave=True))) == 2
        does_not.subscribe("t")
        assert (len(asks.read()), does_not.read()) == (1, [])
        hidden = World(Rules(subscribe=Grant(gets_join_leave=True)))
        hidden.connected().subscribe("t")

    async def test_one_without_presence_is_not_listed(self) -> None:
        """Nor told of."""
        world = World(Rules(subscribe=Grant(has_presence=False, sends_join_leave=True, gets_join_leave=True)))
        client = world.connected()
        client.subscribe("t")
        assert len(world.node.presence) == 0
        client.unsubscribe("t")
        assert (client.read(), world.node._watchers) == ([], {})


def reading(number: int) -> bytes:
    return LONG % number


class TestDelta:
    @BOTH
    async def test_what_a_client_makes_of_it_is_what_was_published(self, kind: Format) -> None:
        """From the first on, which is whole for whoever came just before it."""
        world = World()
        early = world.connected(kind)
        assert early.subscribe("t", delta="fossil")["delta"]
        world.send("t", reading(1))
        late = world.connected(kind)
        late.subscribe("t", delta="fossil")
        world.send("t", reading(2), reading(3))
        world.send("t", reading(4))
        assert [data for _, data in early.data("t")] == [reading(number) for number in (1, 2, 3, 4)]
        assert [data for _, data in late.data("t")] == [reading(number) for number in (2, 3, 4)]

    @BOTH
    async def test_it_is_smaller(self, kind: Format) -> None:
        """Which is what it is for."""
        world = World()
        plain, delta = world.connected(kind), world.connected(kind)
        plain.subscribe("t")
        delta.subscribe("t", delta="fossil")
        for number in range(50):
            world.send("t", reading(number))
        sizes = [sum(len(str(one)) for one in client.sink.out) for client in (plain, delta)]
        assert sizes[1] < 0.75 * sizes[0]
        assert delta.data("t") == plain.data("t")

    @BOTH
    async def test_after_a_recovery(self, kind: Format) -> None:
        """The last that was recovered is the base of what comes; without any, what comes first is whole."""
        world = World()
        world.send("t", reading(1), reading(2))
        some, none = world.connected(kind), world.connected(kind)
        assert some.subscribe("t", recover=True, epoch="e1", delta="fossil")["delta"]
        none.subscribe("t", recover=True, epoch="e1", offset=2, delta="fossil")
        world.send("t", reading(3), reading(4))
        assert [data for _, data in some.data("t")] == [reading(number) for number in (1, 2, 3, 4)]
        assert [data for _, data in none.data("t")] == [reading(number) for number in (3, 4)]

    @BOTH
    async def test_after_catching_up(self, kind: Format) -> None:
        """What comes from history begins whole, and the live ones build on its last."""
        world = World()
        client = world.connected(kind, is_open=False)
        client.subscribe("t", delta="fossil")
        sent = [reading(number) for number in range(40)]
        for one in sent[:30]:
            world.send("t", one)
        assert client.it.subscriber.outbox.behind
        world.finish(client)
        for one in sent[30:]:
            world.send("t", one)
        assert [data for _, data in client.data("t")] == sent

    @BOTH
    @pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "latest", "latest_per_key"])
    async def test_it_catches_up_where_others_drop(self, kind: Format, policy: Any) -> None:
        """What is sent builds on what came before, so nothing of it may be dropped in silence."""
        world = World(topics={"#": TopicOptions(patience_s=0, slow_consumer=policy)})
        client, plain = world.connected(kind, is_open=False), world.connected(kind, is_open=False)
        plain.subscribe("t")
        client.subscribe("t", delta="fossil")
        sent = [reading(number) for number in range(40)]
        for one in sent:
            world.send("t", one)
        for one_client in (client, plain):
            world.finish(one_client)
        world.send("t", reading(40))
        assert [data for _, data in client.data("t")] == [*sent, reading(40)]
        assert len(plain.data("t")) < 40

    @BOTH
    async def test_where_the_base_has_gone_from_history(self, kind: Format) -> None:
        """Too old: whole."""
        world = World(history={"age_s": 5.0})
        client = world.connected(kind)
        client.subscribe("t", delta="fossil")
        world.send("t", reading(1))
        world.clock.advance(60)
        world.broker.history("t", since=None, limit=1, is_reverse=False, now=world.clock.time())
        world.send("t", reading(2))
        assert [data for _, data in client.data("t")] == [reading(1), reading(2)]

    async def test_not_for_wildcards_nor_without_history_nor_where_it_is_not_allowed(self) -> None:
        """Then data is embedded as ever."""
        rules = Rules(**{"subscribe:none": Grant(mode="none"), "subscribe:no": Grant(has_delta=False)})
        client = World(rules).connected()
        for name in ("a/+", "none", "no"):
            assert "delta" not in client.subscribe(name, delta="fossil")

    @BOTH
    async def test_the_newest_on_subscribe_is_a_base(self, kind: Format) -> None:
        """Mode ``cache``."""
        world = World(Rules(subscribe=Grant(mode="cache")))
        world.send("t", reading(1))
        client = world.connected(kind)
        client.subscribe("t", delta="fossil")
        world.send("t", reading(2))
        assert [data for _, data in client.data("t")] == [reading(1), reading(2)]


class TestSettling:
    async def test_those_who_came_at_different_times_share_one_encoding(self) -> None:
        """Once the first publication after their coming is out."""
        world = World(session=options(ping_s=0))
        clients = []
        for number in range(5):
            client = world.connected()
            client.subscribe("t", delta="fossil")
            clients.append(client)
            if number < 4:
                world.send("t", reading(number))
        assert len({id(one.it.subscriber.encoding) for one in clients}) == 5
        world.advance(1)
        assert len({id(one.it.subscriber.encoding) for one in clients}) == 2, "the last one still waits for its first"
        world.publish("t", reading(4))
        world.advance(1)
        assert len({id(one.it.subscriber.encoding) for one in clients}) == 1
        world.send("t", reading(5))
        for number, client in enumerate(clients):
            assert [data for _, data in client.data("t")] == [reading(n) for n in range(number, 6)]

    async def test_not_while_something_waits_for_the_client(self) -> None:
        """It may be the one after the base."""
        world = World()
        client = world.connected(is_open=False)
        client.subscribe("t", delta="fossil")
        before = client.it.subscriber.encoding
        for number in range(30):
            world.send("t", reading(number))
        world.advance(1)
        assert client.it.subscriber.encoding is before
        world.finish(client)
        world.advance(1)
        assert client.it.subscriber.encoding is not before
        assert [data for _, data in client.data("t")] == [reading(number) for number in range(30)]

    async def test_one_that_the_flush_ends(self) -> None:
        """Nothing is kept of it."""
        limits = OutboxLimits(
            soft_bytes=10, soft_messages=10, soft_for_s=1.0, hard_bytes=100, hard_messages=20, hard_age_s=10.0
        )
        world = World(default=TopicOptions(patience_s=0, slow_consumer="disconnect"), limits=limits)
        client = world.connected(is_open=False)
        client.subscribe("t", delta="fossil")
        world.send("t", reading(1))
        world.publish("t", reading(2) * 2)
        world.advance(0.5)
        assert client.is_gone
        assert client.it.channels._seen == {}


class TestSlow:
    async def test_all_comes_where_history_has_it(self) -> None:
        """Of all channels, without a gap."""
        world = World()
        client = world.connected(is_open=False)
        for name in ("a", "b", "c/+"):
            client.subscribe(name)
        for number in range(100):
            world.send(("a", "b", "c/d")[number % 3], b"%d" % number)
        while client.it.subscriber.outbox.behind or client.sink.is_busy:
            world.finish(client, is_open=False)
        for index, name in enumerate(("a", "b", "c/+")):
            assert [data for _, data in client.data(name)] == [b"%d" % n for n in range(index, 100, 3)]
        assert world.hub.statistics().dropped == 0

    async def test_what_lost_something_is_unsubscribed_and_only_that(self) -> None:
        """2500: the client subscribes again, and recovers or learns of the gap."""
        world = World(history={"publications": 20})
        client = world.connected(is_open=False)
        for name in ("a", "b", "c"):
            client.subscribe(name)
        world.send("a", *[b"0"] * 11)
        for name, number in (("a", 30), ("b", 5), ("c", 30)):
            for _ in range(number):
                world.send(name, b"1")
        world.finish(client)
        ends = [one["push"] for one in client.read() if "unsubscribe" in one["push"]]
        assert sorted(one["channel"] for one in ends) == ["a", "c"]
        assert {one["unsubscribe"]["code"] for one in ends} == {2500}
        assert (offsets(client, "b"), world.hub.count("a"), world.hub.count("b")) == ([1, 2, 3, 4, 5], 0, 1)
        result = client.subscribe("a", recover=True, epoch="e1", offset=11)
        assert ("recovered" in result, result["offset"]) == (False, 41)
        world.send("a", b"2")
        assert client.data("a")[-1] == (42, b"2")

    @BOTH
    @pytest.mark.parametrize("channel", ["t", "+"])
    async def test_what_gave_way_to_a_newer_one_is_told_in_its_tags(self, kind: Format, channel: str) -> None:
        """By key; only where something did, and only once."""
        latest = TopicOptions(patience_s=0, slow_consumer="latest_per_key", key="k")
        world = World(default=latest)
        client = world.connected(kind, is_open=False)
        client.subscribe(channel)
        for number in range(12):
            world.send("t", b'{"k":0,"n":%d}' % number)
        assert client.it.subscriber.outbox.standing is Standing.DEMOTED
        for number in range(5):
            world.send("t", b'{"k":1,"n":%d}' % number, b'{"k":1,"n":%d,"more":1}' % number, unit="m")
        world.send("t", b'{"k":2,"n":0}')
        for _ in range(20):
            world.finish(client)
        seen = [
            (push["pub"]["data"]["k"], push["pub"].get("tags", {}).get("conflated", "0")) for push in client.pushes()
        ]
        assert seen[-2:] == [(1, "9"), (2, "0")]
        assert sum(1 + int(number) for key, number in seen if key == 0) == 12, "every one came or is accounted for"
        world.send("t", b'{"k":1,"n":9}', unit="m")
        (push,) = client.pushes()
        assert push["pub"]["tags"] == ({"unit": "m"} if channel == "t" else {"unit": "m", "topic": "t"})

    async def test_one_that_can_never_keep_up_must_go(self) -> None:
        """3008 after so many gaps a minute."""
        world = World(history={"publications": 5}, session=options(max_gaps_per_minute=2))
        client = world.connected(is_open=False)
        for _ in range(3):
            client.ask(SubscribeRequest("t"))
            assert world.hub.count("t") == 1
            client.sink.is_open = False
            world.send("t", *[b"0"] * 11)
            for _ in range(10):
                world.send("t", b"1")
            assert client.code == 0
            world.finish(client)
        assert client.sink.closed == [(3008, "slow")]


TOPICS = ["a", "b", "c/d"]
CHANNELS = ["a", "b", "c/d", "c/+", "#"]


class Walk:
    """One client that does anything, and a model of what it may see."""

    def __init__(self, chance: random.Random, kind: Format) -> None:
        self.chance = chance
        policies = ["catch_up"] if chance.random() < 0.7 else ["catch_up", "drop_oldest", "latest"]
        topics = {name: TopicOptions(patience_s=0, slow_consumer=chance.choice(policies)) for name in TOPICS}  # type: ignore[arg-type]
        self.is_whole = policies == ["catch_up"]
        self.world = World(
            history={"publications": chance.choice([5, 30, 1000])},
            topics=topics,
            session=options(max_gaps_per_minute=10**6),
        )
        self.client = self.world.connected(kind)
        self.sent: dict[str, list[bytes]] = {name: [] for name in TOPICS}
        # By channel while it is subscribed: where what it sees begins, and the offset up to which it has seen all.
        self.at: dict[str, int] = {}
        self.unknown = 0
        self.total = 0
        self.number = 0

    def step(self) -> None:
        what = self.chance.random()
        if what < 0.45:
            self.publish()
        elif what < 0.6:
            self.subscribe()
        elif what < 0.7:
            self.unsubscribe()
        elif what < 0.8:
            self.client.sink.is_open = self.chance.random() < 0.5
            if self.client.sink.is_busy:
                self.client.sink.finish()
        elif what < 0.95:
            self.world.clock.settle()
        else:
            self.world.advance(self.chance.choice([0.1, 1.0, 2.0]))
        self.check()

    def publish(self) -> None:
        name = self.chance.choice(TOPICS)
        for _ in range(self.chance.choice([1, 1, 1, 4, 12])):
            self.number += 1
            payload = reading(self.number)
            self.sent[name].append(payload)
            self.world.publish(name, payload)

    def subscribe(self) -> None:
        channel = self.chance.choice(CHANNELS)
        wish: dict[str, Any] = {"delta": "fossil"} if self.chance.random() < 0.5 else {}
        if self.chance.random() < 0.6 and channel in self.at:
            wish |= {"recover": True, "epoch": "e1", "offset": self.at[channel]}
        self.client.say(SubscribeRequest(channel, **wish))

    def unsubscribe(self) -> None:
        self.client.say(UnsubscribeRequest(self.chance.choice(CHANNELS)))

    def check(self) -> None:
        for reply in self.client.read():
            self._read(reply)
        statistics = self.world.hub.statistics()
        assert statistics.dropped == sum(loss.messages for loss in self.world.hub.losses())
        for channel in ("a", "b", "c/d"):
            seen = self.client.texts.get(channel, [])
            for offset, data in seen[-50:]:
                assert data == self.expected(channel, offset)

    def expected(self, channel: str, offset: int) -> bytes:
        payload = self.sent[channel][offset - 1]
        if self.client.format is Format.PROTOBUF:
            return payload
        return json.dumps(json.loads(payload), separators=(",", ":")).encode()

    def _read(self, reply: dict[str, Any]) -> None:
        if "subscribe" in reply:
            request = self.client._asked[reply["id"]]
            assert isinstance(request, SubscribeRequest)
            result = reply["subscribe"]
            if request.channel in TOPICS:
                self.at[request.channel] = result.get("offset", 0)
                for one in result.get("publications", ()):
                    self._saw(request.channel, one["offset"])
        push = reply.get("push", {})
        if "pub" in push and push["channel"] in TOPICS:
            self._saw(push["channel"], push["pub"]["offset"])
        assert not self.client.code

    def _saw(self, channel: str, offset: int) -> None:
        assert offset > self.at[channel], "doubled, or out of order"
        if self.is_whole:
            assert offset == self.at[channel] + 1, "a hole that nobody told of"
        self.at[channel] = offset

    def drain(self) -> None:
        """Everything is read in the end: who is still there and subscribed has seen all."""
        for _ in range(100):
            self.world.finish(self.client)
        self.check()
        hub = self.world.hub
        assert hub.is_idle
        if self.is_whole and not self.client.is_gone:
            for channel in self.client.it.session.channels():
                if channel in TOPICS:
                    assert self.at[channel] == len(self.sent[channel])
        outbox = self.client.it.subscriber.outbox
        statistics = hub.statistics()
        assert (statistics.waiting, statistics.behind) == (0, 0)
        assert statistics.delivered == outbox.delivered


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@example(seed=20522)  # takes nothing for 10 s, and is removed
@pytest.mark.timeout(60)  # a few seconds where nothing else runs
@pytest.mark.parametrize("kind", list(Format))
async def test_any_walk(kind: Format, seed: int) -> None:
    """In order, never doubled, no hole without a word, texts as published: with stalls, deltas and overlaps."""
    walk = Walk(random.Random(seed), kind)
    for _ in range(150):
        walk.step()
    walk.drain()


async def test_publishing_to_oneself_within_a_frame() -> None:
    """The reply to the subscription comes first, then both publications once."""
    world = World()
    client = world.connected()
    client.say(SubscribeRequest("t"), PublishRequest("t", b"1"), PublishRequest("t", b"2"))
    world.clock.settle()
    assert client.data("t") == [(1, b"1"), (2, b"2")]


@pytest.mark.parametrize("channel", ["t", "#"])
async def test_envelopes_live_and_recovered(channel: str) -> None:
    """What a client gets with the reply is what it would have got live; the id is what its channel resumes by."""
    world = World()
    client = world.connected()
    client.subscribe(channel, data=b'{"envelope":true}', delta="fossil")
    world.send("t", b"one")
    world.send("t", b"\xff", k="v")
    at = world.broker.position("t")
    ids = (
        [f"{at.epoch}:1", f"{at.epoch}:2"] if channel == "t" else [f"{world.broker.node_epoch()}:*{n}" for n in (1, 2)]
    )
    known = {"topic": "t", "epoch": at.epoch, "time": 1000.0 + world.clock.time()}
    first = {**known, "offset": 1, "id": ids[0], "data": "one"}
    second = {**known, "offset": 2, "id": ids[1], "base64": "/w==", "tags": {"k": "v"}}
    assert [push["pub"]["data"] for push in client.pushes()] == [first, second]
    if channel == "t":
        back = world.connected()
        wish = {"data": b'{"envelope":true}', "recover": True, "epoch": at.epoch, "offset": 1}
        (one,) = back.subscribe("t", **wish)["publications"]
        assert one == {"data": second, "offset": 2, "tags": {"k": "v"}}
