"""Devices on one side, WebSockets and event streams on the other, in a real uvicorn server."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import anyio
import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from asgi_fakes import until
from gateway_serving import Served, app_with, feed, port_of, serving, take
from portcast import Gateway, HistoryLimits

pytestmark = pytest.mark.anyio

LOCAL = "tcp://127.0.0.1:0"


@asynccontextmanager
async def served(gateway: Gateway) -> AsyncIterator[Served]:
    async with serving(app_with(gateway)) as it:
        yield it


async def _subscribed(gateway: Gateway, number: int = 1) -> None:
    await until(lambda: len(gateway._running().hub.subscribers) == number, f"{number} subscribers")


# WebSockets


async def test_three_ports_keep_their_topics_apart() -> None:
    """The tutorial's set-up: each port is a topic, and `/ws` sees them all."""
    gateway = Gateway()
    for number in range(3):
        gateway.relay(LOCAL, topic=f"tcp/{number}")
    async with served(gateway) as it, it.websocket("/ws?format=json") as everything:
        clients = [it.websocket(f"/ws/tcp/{number}") for number in range(3)]
        async with clients[0] as a, clients[1] as b, clients[2] as c:
            await _subscribed(gateway, 4)
            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(feed, gateway, b"".join(b"%d:%d\n" % (number, i) for i in range(50)), number)
            for number, client in enumerate((a, b, c)):
                assert await take(client, 50) == [f"{number}:{i}" for i in range(50)]
            seen = [json.loads(one) for one in await take(everything, 150)]
            for number in range(3):
                own = [one["data"] for one in seen if one["topic"] == f"tcp/{number}"]
                assert own == [f"{number}:{i}" for i in range(50)]


async def test_a_character_split_over_two_packets_arrives_whole() -> None:
    """The tutorial's worst bug: `ü` is two bytes, and TCP may cut between them."""
    gateway = Gateway()
    gateway.relay(LOCAL, topic="t")
    async with served(gateway) as it, it.websocket() as client:
        await _subscribed(gateway)
        data = "grüße\n".encode()
        async with await anyio.connect_tcp("127.0.0.1", port_of(gateway)) as device:
            for at in range(len(data)):
                await device.send(data[at : at + 1])
                await until(
                    lambda at=at: gateway.listeners[0].statistics().bytes_received == at + 1,  # type: ignore[misc]
                    "the byte",
                )
            assert await take(client, 1) == ["grüße"]


async def test_what_is_not_text_arrives_as_bytes() -> None:
    """Byte for byte, and the text around it stays text."""
    gateway = Gateway()
    gateway.relay(LOCAL, topic="t")
    bad = bytes(byte for byte in range(256) if byte != 10)
    async with served(gateway) as it, it.websocket() as client:
        await _subscribed(gateway)
        await feed(gateway, b"before\n" + bad + b"\nafter\n")
        assert await take(client, 3) == ["before", bad, "after"]


@pytest.mark.parametrize(
    ("path", "topics"),
    [
        pytest.param("/ws", ["a", "sensors", "sensors/x", "sensors/x/y"], id="all"),
        pytest.param("/ws/", ["a", "sensors", "sensors/x", "sensors/x/y"], id="a bare slash"),
        pytest.param("/ws/%23", ["a", "sensors", "sensors/x", "sensors/x/y"], id="hash, escaped"),
        pytest.param("/ws/sensors/", ["sensors", "sensors/x", "sensors/x/y"], id="trailing slash"),
        pytest.param("/ws/sensors/%2B", ["sensors/x"], id="one level"),
        pytest.param("/ws/sensors%2Fx", ["sensors/x"], id="escaped slash"),
        pytest.param("/ws/$sys/x", ["$sys/x"], id="a system topic by name"),
        pytest.param("/ws?filter=a&filter=sensors/x", ["a", "sensors/x"], id="two filters"),
        pytest.param(
            "/ws/sensors/?filter=sensors/x&filter=%23", ["a", "sensors", "sensors/x", "sensors/x/y"], id="overlap"
        ),
    ],
)
async def test_filters(path: str, topics: list[str]) -> None:
    """A publication that several filters match arrives once."""
    gateway = Gateway()
    async with served(gateway) as it, it.websocket(path) as client:
        await _subscribed(gateway)
        for topic in ("a", "sensors", "sensors/x", "$sys/x", "sensors/x/y"):
            await gateway.publish(topic, topic)
        await gateway.publish(topics[-1], "end")
        assert await take(client, len(topics) + 1) == [*topics, "end"]


async def test_envelopes_and_history() -> None:
    """The newest publications first, then what is live, each with the id to resume from."""
    gateway = Gateway()
    async with served(gateway) as it:
        for number in range(5):
            await gateway.publish("a", str(number))
        async with it.websocket("/ws/a?format=json&history=2") as client:
            await _subscribed(gateway)
            await gateway.publish("a", b"\xff")
            seen = [json.loads(one) for one in await take(client, 3)]
        assert [one.get("data") for one in seen] == ["3", "4", None]
        assert seen[2]["base64"] == "/w=="
        assert [one["id"] for one in seen] == [f"{one['epoch']}:{one['offset']}" for one in seen]
        async with it.websocket(f"/ws/a?format=json&since={seen[0]['id']}") as client:
            assert [json.loads(one)["offset"] for one in await take(client, 2)] == [5, 6]


async def test_a_gap_is_told() -> None:
    """In an envelope where there is one; otherwise by closing with the number."""
    gateway = Gateway(history=HistoryLimits(publications=2))
    async with served(gateway) as it:
        since = quote(str(await gateway.publish("a", "0")))
        for number in range(1, 6):
            await gateway.publish("a", str(number))
        async with it.websocket(f"/ws/a?format=json&since={since}") as client:
            gap, four, five = (json.loads(one) for one in await take(client, 3))
            assert gap == {"gap": {"missed": 3, "exact": True}}
            assert (four["data"], five["data"]) == ("4", "5")
        async with it.websocket(f"/ws/a?since={since}") as client:
            with pytest.raises(ConnectionClosed) as closed:
                await take(client, 1)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3008, "missed 3 publications")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/ws/a/%23/b", "topic 'a/#/b': '#' stands for the rest and must be the last level"),
        ("/ws?" + "&".join(["filter=a"] * 129), "topic 'a': more than 128 filters on one connection"),
        ("/ws?format=xml", "format 'xml' is not one of plain, json"),
    ],
)
async def test_a_bad_request_is_closed_with_the_rule(path: str, reason: str) -> None:
    """4400: the client must not come back with it."""
    async with served(Gateway()) as it, it.websocket(path) as client:
        with pytest.raises(ConnectionClosed) as closed:
            await take(client, 1)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4400, reason)


async def test_a_page_of_a_foreign_origin_is_refused() -> None:
    """With 403 and before the handshake; the server's own page is not."""
    async with served(Gateway()) as it:
        with pytest.raises(InvalidStatus) as refused:
            async with it.websocket(origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        async with it.websocket(origin=it.url):
            pass


async def test_what_clients_send_is_ignored() -> None:
    """However much it is, the client goes on receiving, and nothing is published."""
    gateway = Gateway()
    async with served(gateway) as it, it.websocket() as client:
        await _subscribed(gateway)
        for number in range(200):
            await client.send("x" * 1000 if number % 2 else b"y")
        await gateway.publish("a", "still here")
        assert await take(client, 1) == ["still here"]
        assert [one.topic for one in gateway._running().broker.topics("#", 0)] == ["a"]


async def test_clients_that_come_and_go_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """By a close, or by just vanishing, while publishing goes on; and nothing is logged as an error."""
    gateway = Gateway()
    with caplog.at_level(logging.ERROR):
        async with served(gateway) as it:
            before = asyncio.all_tasks()
            for number in range(10):
                client = await it.websocket()
                await _subscribed(gateway)
                gateway.publish_nowait("a", "x" * 1000)
                if number % 2:
                    client.transport.abort()
                else:
                    await client.close()
                await until(lambda: not gateway._running().hub.subscribers, "the end")
            await until(lambda: asyncio.all_tasks() <= before, "their tasks to end")
    assert caplog.records == []


# Event streams


class Events:
    """A browser's `EventSource`, more or less."""

    def __init__(self, client: httpx.AsyncClient, path: str) -> None:
        self._client = client
        self._path = path
        self.last_id = ""

    async def read(self, number: int) -> list[dict[str, str]]:
        """Connect, read so many events, and break off."""
        headers = {"last-event-id": self.last_id} if self.last_id else {}
        found: list[dict[str, str]] = []
        fields: dict[str, str] = {}
        with anyio.fail_after(10):
            async with self._client.stream("GET", self._path, headers=headers) as answer:
                assert answer.status_code == 200
                async for line in answer.aiter_lines():
                    if line and not line.startswith(":"):
                        name, _, value = line.partition(": ")
                        fields[name] = value
                    elif fields and not line:
                        self.last_id = fields.get("id", self.last_id)
                        found.append(fields)
                        fields = {}
                        if len(found) == number:
                            return found
        return found


@pytest.mark.parametrize(
    ("path", "topics"),
    [
        pytest.param("/events/a", ["a"], id="one topic"),
        pytest.param("/events/%23", ["a", "b", "c"], id="all topics"),
        pytest.param("/events?filter=a&filter=b", ["a", "b"], id="two topics"),
    ],
)
async def test_resuming_loses_and_doubles_nothing(path: str, topics: list[str]) -> None:
    """A client that breaks off again and again, while devices publish all the time, sees each event once, in order."""
    gateway = Gateway(history=HistoryLimits(publications=10_000))
    async with served(gateway) as it:
        stop = asyncio.Event()
        published: list[str] = []

        async def publish() -> None:
            number = 0
            while not stop.is_set():
                for topic in ("a", "b", "c"):
                    await gateway.publish(topic, f"{topic}{number}")
                    published.extend([f"{topic}{number}"] * (topic in topics))
                number += 1
                await asyncio.sleep(0)
                if number % 5 == 0:
                    await anyio.sleep(0.001)  # a rate that history can follow

        publisher = asyncio.ensure_future(publish())
        source = Events(it.http, path)
        seen: list[dict[str, str]] = []
        for size in (1, 7, 20, 3, 40):
            seen += await source.read(size)
        stop.set()
        await publisher
        data = [one["data"] for one in seen]
        assert all("event" not in one for one in seen)
        first = published.index(data[0])
        assert data == published[first : first + 71]
        assert len({one["id"] for one in seen}) == 71


async def test_a_gap_event_tells_the_number() -> None:
    """Of one topic exactly, and the stream goes on with what is held."""
    gateway = Gateway(history=HistoryLimits(publications=2))
    async with served(gateway) as it:
        source = Events(it.http, "/events/a")
        task = asyncio.ensure_future(source.read(1))
        await _subscribed(gateway)
        await gateway.publish("a", "0")
        await task
        await until(lambda: not gateway._running().hub.subscribers, "the end of the first stream")
        for number in range(1, 6):
            await gateway.publish("a", str(number))
        gap, *rest = await source.read(3)
        assert gap == {"event": "gap", "data": '{"missed":3,"exact":true}'}
        assert [one["data"] for one in rest] == ["4", "5"]


async def test_events_of_other_kinds() -> None:
    """Envelopes, and payloads that are not text."""
    gateway = Gateway()
    async with served(gateway) as it:
        at = await gateway.publish("a", b"\xff")
        assert await Events(it.http, "/events/a?history=1").read(1) == [
            {"id": str(at), "event": "binary", "data": "/w=="}
        ]
        (envelope,) = await Events(it.http, "/events/a?history=1&format=json").read(1)
        assert json.loads(envelope["data"])["base64"] == "/w=="


async def test_a_stream_whose_client_vanished_is_noticed() -> None:
    """By its disconnect; no task is left."""
    gateway = Gateway()
    async with served(gateway) as it:
        before = asyncio.all_tasks()
        with socket.create_connection(("127.0.0.1", it.port)) as peer:
            peer.sendall(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n")
            await _subscribed(gateway)
        await _subscribed(gateway, 0)
        await until(lambda: asyncio.all_tasks() <= before, "its tasks to end")
