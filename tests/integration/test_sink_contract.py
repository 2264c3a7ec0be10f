"""What every sink promises, held by all of them in real servers, plain and TLS, each in a process of its own.

| kinds                       | sink                                                                             |
|-----------------------------|----------------------------------------------------------------------------------|
| ours                        | `WebSocketProtocol`: our own class, frames                                       |
| sansio, wsproto             | `TransportSink`: uvicorn's classes, frames written beside theirs                 |
| legacy, hypercorn, granian  | `AsgiSink`: plain ASGI ``send``, one message at a time                           |
"""

from __future__ import annotations

import json
import random
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from contract_servers import ABORTS, COMMANDS, SINKS, Server, running, skip_unless_it_ends
from gateway_serving import wait_until
from raw_clients import WebSocket

SLACK_S = 1.5
"""What a loaded machine may add to a deadline."""


@pytest.fixture(scope="module", params=COMMANDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of each kind for all tests; each test has topics of its own."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as it:
        yield it


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic of the test's own."""
    name: str = request.function.__name__
    return name.removeprefix("test_")


def only(*kinds: str) -> pytest.MarkDecorator:
    """Run a test for some kinds of servers."""
    return pytest.mark.parametrize("server", kinds, indirect=True, scope="module")


def test_the_sink_is_of_its_tier(server: Server, topic: str) -> None:
    """A server that no longer fits would fall back in silence, and be slow."""
    with server.client(topic) as client:
        assert server.of(client)["sink"] == server.sink


@pytest.mark.parametrize("is_deflated", [False, True], ids=["plain", "deflated"])
def test_frames_arrive_whole_and_in_order(server: Server, topic: str, is_deflated: bool) -> None:
    """Text and binary, empty and large, of one tick and of many, compressed by whoever negotiated that."""
    topic += str(is_deflated)
    texts = ["", "a", "grüße", "x" * 125, "y" * 126, "z" * 65_535, "{" * 65_536, "once more " * 20]
    with server.client(topic, is_deflated=is_deflated) as client:
        answered = client.response.headers.get("Sec-WebSocket-Extensions", "")
        # uvicorn agrees to it by default, and so do the classes in it; Hypercorn does, Granian does not.
        assert ("permessage-deflate" in answered) is (is_deflated and server.kind != "granian")
        server.publish(topic, *texts)
        assert client.take(len(texts)) == texts
        server.publish(topic, "\0\xff\xfe", "between", "\0\x80")
        assert client.take(3) == [b"\xff\xfe", "between", b"\x80"]
        for number in range(50):
            server.publish(topic, str(number))
        assert client.take(50) == [str(number) for number in range(50)]


def test_publications_of_one_tick(server: Server, topic: str) -> None:
    """However they were published, each is one message."""
    texts = [str(number) for number in range(1000)]
    with server.client(topic) as client, server.client(f"{topic}/", "?format=json") as other:
        server.publish(topic, *texts, path="publish_each")
        assert client.take(1000) == texts
        assert [json.loads(one)["data"] for one in other.take(1000)] == texts


SIZE = 20_000
"""Bytes of a large message."""


def _large(number: int) -> str:
    """A message with its number, which hardly shrinks when it is compressed, also after the one before."""
    return f"{number} {random.Random(number).randbytes(SIZE // 2).hex()}"


def _stall(server: Server, client: WebSocket, topic: str, megabytes: int = 6) -> int:
    """Publish until the client's sink takes no more and its outbox is behind; return how many."""
    published = 0
    while True:
        server.publish(topic, *(_large(published + i) for i in range(10)))
        published += 10
        if server.of(client)["behind"] and published * SIZE > megabytes * 1_000_000:
            return published
        assert published < 5000, server.of(client)


def _numbers(messages: list[str | bytes]) -> list[int]:
    return [int(str(one).partition(" ")[0]) for one in messages]


@pytest.mark.parametrize("is_deflated", [False, True], ids=["plain", "deflated"])
def test_a_client_that_stops_reading_and_reads_again(server: Server, is_deflated: bool) -> None:
    """The sink says that it is full and, later, that it has room; nothing is lost, doubled or out of order."""
    topic = f"stall/{is_deflated}"
    with server.client(topic, receive_buffer=4096, is_deflated=is_deflated) as client:
        published = _stall(server, client, topic)
        before = server.of(client)
        assert before["standing"] == "demoted"
        assert before["notes"][-1] == "full", "nothing is written to a sink that has no room"
        assert _numbers(client.take(published)) == list(range(published))
        wait_until(lambda: not server.of(client)["behind"] and server.of(client)["standing"] == "healthy", "recovery")
        after = server.of(client)
        assert after["notes"][len(before["notes"])] == "drained"
        server.publish(topic, "live")
        assert client.take(1) == ["live"]
        client.leave()
        assert client.rest() == []
        client.sock.close()
        end = server.closed(after)
        assert (end["delivered"], end["dropped"]) == (published + 1, 0)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param(1012, "server is restarting", id="restart"),
        pytest.param(3008, "slow consumer: grüße", id="slow"),
        pytest.param(3008, "ü" * 100, id="long reason"),
    ],
)
def test_the_client_sees_why_it_is_closed(server: Server, topic: str, code: int, reason: str) -> None:
    """After what was written; of a long reason as much as fits."""
    with server.client(topic) as client:
        server.publish(topic, "last")
        subscriber = server.of(client)
        server.act("close", client, code=code, reason=reason)
        assert client.rest() == ["last"]
        assert (client.code, client.reason) == (code, reason.encode()[:123].decode(errors="ignore"))
        assert server.closed(subscriber)["reason"] == reason


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_client_that_never_reads_is_gone_in_time(server: Server, end: str) -> None:
    """A close waits for a peer that may never read; the abort after it does not."""
    topic = f"stall/{end}"
    with server.client(topic, receive_buffer=4096) as client:
        published = _stall(server, client, topic)
        subscriber = server.of(client)
        query = {"code": 3008, "reason": "slow consumer"} if end == "close" else {}
        began = time.monotonic()
        server.act(end, client, **query)
        ended = server.closed(subscriber)
        assert ended["delivered"] + ended["dropped"] == published
        limit = SLACK_S + (1.0 if end == "close" else 0.0)
        if server.kind in ABORTS:
            wait_until(lambda: not server.holds(client), "the socket to go")
            assert time.monotonic() - began < limit


@pytest.mark.parametrize("how", ["goodbye", "reset", "end"])
def test_a_client_that_leaves_is_noticed(server: Server, topic: str, how: str) -> None:
    """At once, and nothing is left of it."""
    with server.client(topic) as client:
        subscriber = server.of(client)
        if how == "goodbye":
            client.leave()
            assert client.rest() == []
        elif how == "reset":
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.sock.close()
        ended = server.closed(subscriber)
        assert (ended["delivered"], ended["dropped"]) == (0, 0)


def test_one_that_leaves_while_it_is_stuck(server: Server) -> None:
    """What waited for it is counted, and its socket goes."""
    topic = "stall/leaves"
    with server.client(topic, receive_buffer=4096) as client:
        published = _stall(server, client, topic)
        subscriber = server.of(client)
        client.sock.close()
        ended = server.closed(subscriber)
        assert ended["delivered"] + ended["dropped"] == published


@pytest.mark.parametrize("is_deflated", [False, True], ids=["plain", "deflated"])
def test_answers_keep_their_order_among_batches(server: Server, topic: str, is_deflated: bool) -> None:
    """After what was written to the sink before them, and before what is written after them.

    On plain ASGI the first publication is being written while the others come, so those wait in the outbox.
    """
    with server.client(topic, is_deflated=is_deflated) as client:
        server.act("mix", client, topic=topic, number=100)
        found = client.take(201)
        assert [one for one in found if "answer" in str(one)] == [f"answer {number}" for number in range(100)]
        publications = [f"publication {number}" for number in range(100)]
        assert [one for one in found if "answer" not in str(one)] == [*publications, "last"]
        assert found[0] == "publication 0"
        assert found[-1] == "last"
        if server.kind in ABORTS and server.sink != "AsgiSink":
            assert found[:-1:2] == publications


def test_a_sink_that_wants_no_more_answers(server: Server, topic: str) -> None:
    """It says so, later that it has room, and loses nothing; publications go on behind them."""
    with server.client(topic, receive_buffer=4096) as client:
        query: dict[str, Any] = {"peer": client.address, "size": SIZE, "most": 5000}
        said = server.http.post("/control/answer", params=query).json()
        assert said["is_full"]
        server.publish(topic, "behind")
        found = client.take(said["written"] + 1)
        assert _numbers(found[:-1]) == list(range(said["written"]))
        assert found[-1] == "behind"
        wait_until(lambda: "drained" in server.of(client)["notes"], "the room")
        again = server.http.post("/control/answer", params={**query, "size": 1, "most": 1}).json()
        assert again == {"written": 1, "is_full": 0}
        assert client.take(1) == ["0 x"]


@only(*(kind for kind in COMMANDS if kind.partition("-")[0] in SINKS))
@pytest.mark.parametrize("is_deflated", [False, True], ids=["plain", "deflated"])
def test_direct_writes_keep_their_order_among_asgi_sends(server: Server, is_deflated: bool) -> None:
    """Both end in one transport; and what is compressed with a context bears frames without one in between."""
    expected = []
    for number in range(100):
        expected += [f"asgi {number} " + "x" * 100, f"direct {number}.0", f"direct {number}.1"]
    with WebSocket(server.port, "/interleaved", is_deflated=is_deflated, context=server.context) as client:
        assert client.rest() == [*expected, "end"]
        assert (client.code, client.reason) == (4000, "done")


def test_nobody_else_waits_for_a_client_that_does_not_read(server: Server) -> None:
    """The loop, and other clients of the same topic, go on."""
    topic = "stall/others"
    with server.client(topic, receive_buffer=4096) as stuck, server.client(topic) as healthy:
        published = 0
        while not server.of(stuck)["behind"]:
            server.publish(topic, *(_large(published + i) for i in range(10)))
            assert _numbers(healthy.take(10)) == list(range(published, published + 10))
            published += 10
        began = time.monotonic()
        server.publish(topic, "live")
        assert healthy.take(1) == ["live"]
        assert time.monotonic() - began < SLACK_S


@only(*(kind for kind in COMMANDS if kind != "granian"))
def test_it_stops_in_order(server: Server, topic: str) -> None:
    """Last, because the server is gone then: a close frame after everything that was published.

    Hypercorn does not let the drain begin with the signal: it cancels the ASGI calls, after three seconds. Granian ends
    them at once, whatever they are sending, and its clients see no close frame.
    """
    skip_unless_it_ends(server.kind)
    with server.client(topic) as client:
        server.publish(topic, *map(str, range(100)))
        # Over TLS the server would wait for this client's goodbye: asyncio for 30 s, as for any that is idle.
        server.http.close()
        server.process.send_signal(signal.SIGTERM)
        assert client.rest() == [str(number) for number in range(100)]
        assert client.code == (1011 if server.kind == "hypercorn" else 1012)
    server.process.wait(10)
