"""SDK clients over WebSockets in real servers, one for each tier of sinks, in both formats."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from contract_servers import Server, running, skip_unless_it_ends
from portcast.centrifuge import fossil
from portcast.centrifuge.messages import (
    ConnectRequest,
    HistoryRequest,
    PresenceStatsRequest,
    PublishRequest,
    RpcRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from sdk_kit import LONG, SdkWebSocket

KINDS = ("ours-asyncio", "ours-uvloop", "sansio-asyncio", "wsproto-uvloop", "hypercorn", "granian")


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of each tier for all tests; each test has topics of its own."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as it:
        yield it


@pytest.fixture(params=[False, True], ids=["json", "protobuf"])
def is_protobuf(request: pytest.FixtureRequest) -> bool:
    """Both formats."""
    is_it: bool = request.param
    return is_it


@pytest.fixture
def topic(request: pytest.FixtureRequest, is_protobuf: bool) -> str:
    """A topic of the test's own."""
    return f"{request.function.__name__.removeprefix('test_')}/{is_protobuf}"


def client(server: Server, *, is_protobuf: bool, **options: Any) -> SdkWebSocket:
    return SdkWebSocket(server.port, is_protobuf=is_protobuf, **options)


def pubs(replies: list[Any]) -> list[tuple[int, Any]]:
    return [(one["push"]["pub"]["offset"], one["push"]["pub"]["data"]) for one in replies]


def test_the_sink_is_of_its_tier(server: Server) -> None:
    """A server that no longer fits would fall back in silence, and be slow."""
    with client(server, is_protobuf=False) as one:
        one.ask(ConnectRequest())
        assert server.of(one.socket)["sink"] == server.sink


def test_connect_subscribe_receive_and_recover_after_a_cut(server: Server, topic: str, is_protobuf: bool) -> None:
    """Nothing is lost while the client is away, and nothing comes twice."""
    with client(server, is_protobuf=is_protobuf) as one:
        one.say(ConnectRequest(), SubscribeRequest(topic))
        connected, subscribed = one.take(2)
        assert connected["connect"]["client"]
        epoch = subscribed["subscribe"]["epoch"]
        server.publish(topic, *map(str, range(1, 4)))
        assert pubs(one.take(3)) == [(number, number) for number in range(1, 4)]
        subscriber = server.of(one.socket)
        one.cut()
        server.closed(subscriber)
    server.publish(topic, *map(str, range(4, 300)))
    with client(server, is_protobuf=is_protobuf) as one:
        one.say(ConnectRequest(), SubscribeRequest(topic, recover=True, epoch=epoch, offset=3))
        result = one.take(2)[1]["subscribe"]
        assert result["recovered"]
        assert [(pub["offset"], pub["data"]) for pub in result["publications"]] == [(n, n) for n in range(4, 300)]
        server.publish(topic, "300")
        assert pubs(one.take(1)) == [(300, 300)]


def test_many_publications_in_a_tick(server: Server, topic: str, is_protobuf: bool) -> None:
    """Several pushes a frame, all of them, in order."""
    with client(server, is_protobuf=is_protobuf) as one:
        one.say(ConnectRequest(), SubscribeRequest(topic), SubscribeRequest(f"{topic}/+"))
        one.take(3)
        server.publish(topic, *map(str, range(1000)), path="publish_each")
        assert [data for _, data in pubs(one.take(1000))] == list(range(1000))
        server.publish(f"{topic}/x", '"wild"')
        (push,) = one.take(1)
        assert (push["push"]["channel"], push["push"]["pub"]["tags"]) == (f"{topic}/+", {"topic": f"{topic}/x"})


def test_deltas(server: Server, topic: str, is_protobuf: bool) -> None:
    """What the client makes of them is what was published."""
    sent = [LONG % number for number in range(50)]
    with client(server, is_protobuf=is_protobuf) as one:
        one.say(ConnectRequest(), SubscribeRequest(topic, delta="fossil"))
        assert one.take(2)[1]["subscribe"]["delta"]
        for payload in sent:
            server.publish(topic, payload.decode())
        seen, deltas = b"", 0
        for payload in sent:
            (reply,) = one.take(1)
            pub = reply["push"]["pub"]
            data = one.raw(pub["data"])
            seen = fossil.apply(seen, data, max_bytes=10_000) if pub.get("delta") else data
            deltas += pub.get("delta", False)
            assert seen == payload
        assert deltas == 49


def test_commands_are_answered_in_order(server: Server, topic: str, is_protobuf: bool) -> None:
    """Of one frame, and what is not allowed is refused."""
    with client(server, is_protobuf=is_protobuf) as one:
        one.say(
            ConnectRequest(),
            SubscribeRequest(topic),
            PresenceStatsRequest(topic),
            HistoryRequest(topic, limit=10),
            RpcRequest(b"", "unknown"),
            PublishRequest(topic, b"1"),
            UnsubscribeRequest(topic),
        )
        replies = {reply["id"]: reply for reply in one.take(7)}
        assert sorted(replies) == [1, 2, 3, 4, 5, 6, 7]
        assert [replies[number]["error"]["code"] for number in (5, 6)] == [108, 103]


def test_a_client_that_breaks_the_rules(server: Server, is_protobuf: bool) -> None:
    """Sees why; the others go on."""
    with client(server, is_protobuf=is_protobuf) as other, client(server, is_protobuf=is_protobuf) as one:
        other.ask(ConnectRequest())
        one.say(SubscribeRequest("early"))
        assert one.reply() is None
        assert (one.socket.code, one.socket.reason) == (3501, "bad request")
        assert "error" in other.ask(RpcRequest(b"", "unknown"))


def test_ten_thousand_commands_in_a_frame(server: Server, is_protobuf: bool) -> None:
    """The documented code, an event that is counted by it, and nothing that the others notice."""
    with client(server, is_protobuf=is_protobuf) as other, client(server, is_protobuf=is_protobuf) as one:
        other.ask(ConnectRequest())
        one.ask(ConnectRequest())
        subscriber = server.of(one.socket)
        if is_protobuf:
            one.socket.say_bytes(bytes(10_000))
        else:
            one.socket.say("{}\n" * 10_000)
        assert one.reply() is None
        assert (one.socket.code, one.socket.reason) == (3501, "bad request")
        assert (server.closed(subscriber)["code"], server.closed(subscriber)["reason"]) == (3501, "bad request")
        assert "error" in other.ask(RpcRequest(b"", "unknown"))


def test_ten_thousand_commands_one_by_one(server: Server, is_protobuf: bool) -> None:
    """More than may wait at once, sent without reading: each is answered, in order."""
    with client(server, is_protobuf=is_protobuf) as one:
        one.say(ConnectRequest(), SubscribeRequest("flood"))
        one.take(2)
        for _ in range(200):
            one.say(*[PublishRequest("flood", b'"%s"' % (b"x" * 100))] * 50)
        replies = one.take(10_000)
        assert [reply["id"] for reply in replies] == list(range(3, 10_003))
        assert {reply["error"]["code"] for reply in replies} == {103}


def test_one_that_does_not_read_gets_all_when_it_reads(server: Server, is_protobuf: bool) -> None:
    """From history, while its commands wait."""
    topic = f"stall/sdk/{is_protobuf}"
    with client(server, is_protobuf=is_protobuf, receive_buffer=4096) as one:
        one.say(ConnectRequest(), SubscribeRequest(topic))
        one.take(2)
        number = 0
        while not server.of(one.socket)["behind"]:
            server.publish(topic, *(f'"{number + i} {"x" * 20_000}"' for i in range(10)))
            number += 10
            assert number < 5000
        one.say(UnsubscribeRequest(topic))
        found = one.take(number + 1)
        assert [int(data.partition(" ")[0]) for _, data in pubs(found[:-1])] == list(range(number))
        assert "unsubscribe" in found[-1]


@pytest.mark.parametrize("server", [kind for kind in KINDS if kind != "granian"], indirect=True, scope="module")
def test_it_stops_in_order(server: Server) -> None:
    """Last, because the server is gone then: 3001 after everything that was published. Hypercorn cancels its calls."""
    skip_unless_it_ends(server.kind)
    with client(server, is_protobuf=False) as one:
        one.say(ConnectRequest(), SubscribeRequest("stop"))
        one.take(2)
        server.publish("stop", *map(str, range(100)))
        server.http.close()
        server.process.send_signal(signal.SIGTERM)
        assert [data for _, data in pubs(one.take(100))] == list(range(100))
        while one.reply() is not None:
            pass
        assert one.socket.code == (1011 if server.kind == "hypercorn" else 3001)
    server.process.wait(10)
