"""Each policy seen from both ends: a client that really stops reading and reads again, and the ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anyio
import pytest

from asgi_fakes import until
from gateway_serving import app_with, port_of, serving
from portcast import Gateway, HistoryLimits, OutboxLimits, TopicOptions
from portcast.delivery import SlowConsumer, Standing
from portcast.events import Event, SubscriberClosed
from portcast.runtime import Subscriber
from portcast.web.websocket_protocol import WebSocketProtocol
from raw_clients import Events, WebSocket

pytestmark = pytest.mark.anyio

LIMITS = OutboxLimits(soft_bytes=32_768, hard_bytes=131_072, soft_for_s=0.3)
"""Small, so that little has to be published. A message has 2 kB."""
MORE = 300
"""Publications after the demotion."""
KEYS = 3
END = -1
"""The number of the last message, published when the client has recovered."""


class Seen(NamedTuple):
    """Something that a client saw: a message's number, a gap, or the close."""

    kind: str
    number: int = 0
    text: str = ""


class PlainClient:
    """``/ws``: bare payloads."""

    path = "/ws/t"

    def __init__(self, port: int) -> None:
        self.client = WebSocket(port, self.path, receive_buffer=4096)

    def see(self) -> Seen:
        message = self.client.read()
        if message is None:
            return Seen("closed", self.client.code, self.client.reason)
        return self.seen(json.loads(message))

    def seen(self, message: Any) -> Seen:
        return Seen("message", message["n"])

    def close(self) -> None:
        self.client.sock.close()


class JsonClient(PlainClient):
    """``/ws?format=json``: envelopes."""

    path = "/ws/t?format=json"

    def seen(self, message: Any) -> Seen:
        if "gap" in message:
            assert message["gap"]["exact"] is True
            return Seen("gap", message["gap"]["missed"])
        return super().seen(json.loads(message["data"]))


class EventsClient:
    """``/events``."""

    def __init__(self, port: int) -> None:
        self.client = Events(port, "/events/t", receive_buffer=4096)

    def see(self) -> Seen:
        while (event := self.client.read()) is not None:
            if event.get("comment", "").startswith("closing "):
                _, code, reason = event["comment"].split(" ", 2)
                return Seen("closed", int(code), reason)
            if event.get("event") == "gap":
                return Seen("gap", json.loads(event["data"])["missed"])
            if "data" in event:
                return Seen("message", json.loads(event["data"])["n"])
        return Seen("closed", 0)

    def close(self) -> None:
        self.client.__exit__(None, None, None)


Client = PlainClient | EventsClient


@dataclass
class Scene:
    """One topic, and one client that has stopped reading and is demoted."""

    gateway: Gateway
    client: Client
    subscriber: Subscriber
    publish: Callable[[int], Any]
    closed: list[SubscriberClosed]
    http: Any
    published: int = 0
    seen: list[Seen] = field(default_factory=list)

    async def publish_some(self, number: int = 1) -> None:
        for _ in range(number):
            await self.publish(self.published)
            self.published += 1
        # What a policy decides, it decides in a flush.
        self.gateway._running().hub.flush()

    def _read(self, until_seen: Callable[[Seen], bool]) -> None:
        while not self.seen or not until_seen(self.seen[-1]):
            self.seen.append(self.client.see())

    async def read_until(self, until_seen: Callable[[Seen], bool]) -> None:
        """Let the client read."""
        with anyio.fail_after(15):
            await anyio.to_thread.run_sync(self._read, until_seen)

    async def recover(self) -> list[Seen]:
        """Let the client read all that there is for it, and a last message that shows that it is healthy again."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.read_until, lambda one: one == Seen("message", END) or one.kind == "closed")
            outbox = self.subscriber.outbox
            await until(lambda: outbox.standing is Standing.HEALTHY and not outbox.waiting_messages, "recovery", 15)
            await self.publish(END)
        assert self.seen.pop() == Seen("message", END)
        return self.seen

    async def ledger(self) -> SubscriberClosed:
        """Let the client leave; what was published to it is accounted for."""
        self.client.close()
        await until(lambda: self.closed, "the end")
        (end,) = self.closed
        return end

    async def losses(self) -> dict[tuple[str, str, str], int]:
        """What the API tells of what was lost."""
        answer = (await self.http.get("/api/slow-consumers")).json()
        losses = {(one["topic"], one["policy"], one["reason"]): one["messages"] for one in answer["losses"]}
        assert sum(losses.values()) == answer["dropped"]
        return losses


CLIENTS = [
    # Every policy is set in both ways: in a listener's URL, and by topic.
    pytest.param((PlainClient, "url"), id="plain-url"),
    pytest.param((JsonClient, "topics"), id="json-topics"),
    pytest.param((EventsClient, "url"), id="events-url"),
]
each_client = pytest.mark.parametrize("client", CLIENTS)


def _message(number: int) -> bytes:
    return json.dumps({"sensor": f"s{number % KEYS}", "n": number, "pad": "x" * 2000}).encode()


@asynccontextmanager
async def stalled(
    client: tuple[Callable[[int], Client], str], policy: SlowConsumer, *, history: HistoryLimits | None = None
) -> AsyncIterator[Scene]:
    """A scene in which the policy has begun."""
    make, source = client
    closed: list[SubscriberClosed] = []

    def note(event: Event) -> None:
        if isinstance(event, SubscriberClosed):
            closed.append(event)

    topics = {"t": TopicOptions(patience_s=0, slow_consumer=policy, key="sensor")} if source == "topics" else {}
    gateway = Gateway(outbox=LIMITS, history=history, topics=topics, on_event=note)
    gateway.relay(f"tcp://127.0.0.1:0?topic=t&patience=0&slow_consumer={policy}&key=sensor")
    async with serving(app_with(gateway), is_limited=True, ws=WebSocketProtocol) as served:
        hub = gateway._running().hub
        it = await anyio.to_thread.run_sync(make, served.port)
        await until(lambda: hub.subscribers, "the subscription")
        (subscriber,) = hub.subscribers
        async with await anyio.connect_tcp("127.0.0.1", port_of(gateway)) as device:

            async def publish(number: int) -> None:
                if source == "url":
                    await device.send(_message(number) + b"\n")
                    await until(lambda: gateway.listeners[0].statistics().frames > publish.sent, "the frame")  # type: ignore[attr-defined]
                    publish.sent += 1  # type: ignore[attr-defined]
                else:
                    gateway.publish_nowait("t", _message(number))
                    await asyncio.sleep(0)

            publish.sent = 0  # type: ignore[attr-defined]
            scene = Scene(gateway, it, subscriber, publish, closed, served.http)
            while subscriber.outbox.standing is not Standing.DEMOTED and not closed:
                await scene.publish_some()
                assert scene.published < 5000
            if not closed:
                await scene.publish_some(MORE)
            try:
                yield scene
            finally:
                it.close()


def _numbers(seen: list[Seen]) -> list[int]:
    assert {one.kind for one in seen} <= {"message"}, [one for one in seen if one.kind != "message"]
    return [one.number for one in seen]


LONG = HistoryLimits(publications=10_000, topic_bytes=100_000_000)


@each_client
async def test_catch_up_brings_everything(client: Any) -> None:
    """The client reads from history what it missed, in order, and then what is live; nothing is dropped."""
    async with stalled(client, "catch_up", history=LONG) as it:
        assert it.subscriber.outbox.behind >= MORE, "positions are held, not copies"
        assert it.subscriber.outbox.waiting_bytes < 2 * LIMITS.hard_bytes
        assert _numbers(await it.recover()) == list(range(it.published))
        assert await it.losses() == {}
        end = await it.ledger()
        assert (end.delivered, end.dropped) == (it.published + 1, 0)


@pytest.mark.parametrize("client", CLIENTS[1:])
async def test_catch_up_that_was_overtaken_tells_of_one_gap(client: Any) -> None:
    """With its exact number, before the rest."""
    async with stalled(client, "catch_up", history=HistoryLimits(publications=50)) as it:
        seen = await it.recover()
        (at,) = [index for index, one in enumerate(seen) if one.kind == "gap"]
        missed = seen[at].number
        assert missed >= MORE - 50
        assert _numbers(seen[:at]) == list(range(at))
        assert _numbers(seen[at + 1 :]) == list(range(at + missed, it.published))
        assert await it.losses() == {("t", "catch_up", "overtaken"): missed}
        end = await it.ledger()
        assert (end.delivered, end.dropped) == (it.published + 1 - missed, missed)


async def test_a_plain_client_that_was_overtaken_is_closed_with_the_number() -> None:
    """There is no message that could not be a payload; so the close says it."""
    async with stalled((PlainClient, "topics"), "catch_up", history=HistoryLimits(publications=50)) as it:
        await it.read_until(lambda one: one.kind == "closed")
        last = it.seen.pop()
        numbers = _numbers(it.seen)
        assert numbers == list(range(len(numbers)))
        missed = it.published - 50 - len(numbers)
        assert last == Seen("closed", 3008, f"slow consumer: missed {missed} publications")
        end = await it.ledger()
        assert (end.delivered, end.dropped) == (len(numbers), it.published - len(numbers))
        # What it was not told of, because it was closed, is lost all the same.
        assert sum((await it.losses()).values()) == end.dropped


@each_client
async def test_latest_keeps_the_newest(client: Any) -> None:
    """After what was on its way already, the newest and nothing between."""
    async with stalled(client, "latest") as it:
        numbers = _numbers(await it.recover())
        assert numbers == [*range(len(numbers) - 1), it.published - 1]
        lost = it.published - len(numbers)
        assert lost >= MORE - 1
        assert await it.losses() == {("t", "latest", "conflated"): lost}
        end = await it.ledger()
        assert (end.delivered, end.dropped) == (len(numbers) + 1, lost)


@each_client
async def test_latest_per_key_keeps_the_newest_of_each(client: Any) -> None:
    """One of each sensor, in the order in which they were published."""
    async with stalled(client, "latest_per_key") as it:
        numbers = _numbers(await it.recover())
        head = len(numbers) - KEYS
        assert numbers == [*range(head), *range(it.published - KEYS, it.published)]
        lost = it.published - len(numbers)
        assert lost >= MORE - KEYS
        assert await it.losses() == {("t", "latest_per_key", "conflated"): lost}
        end = await it.ledger()
        assert (end.delivered, end.dropped) == (len(numbers) + 1, lost)


@each_client
async def test_drop_oldest_keeps_the_tail(client: Any) -> None:
    """After what was on its way already, a queue of the newest without a hole."""
    async with stalled(client, "drop_oldest") as it:
        numbers = _numbers(await it.recover())
        lost = it.published - len(numbers)
        hole = next(index for index, number in enumerate(numbers) if number != index)
        assert numbers == [*range(hole), *range(hole + lost, it.published)]
        tail = len(numbers) - hole
        # As many batches as the soft limit holds, or one: the hub flushes when it has as much as the hard limit.
        assert 0 < 2000 * tail <= LIMITS.hard_bytes + 10_000
        assert await it.losses() == {("t", "drop_oldest", "oldest"): lost}
        end = await it.ledger()
        assert (end.delivered, end.dropped) == (len(numbers) + 1, lost)


@each_client
async def test_drop_newest_keeps_the_head(client: Any) -> None:
    """What came first, without a hole; what came when the queue was full is not taken."""
    async with stalled(client, "drop_newest") as it:
        numbers = _numbers(await it.recover())
        assert numbers == list(range(len(numbers)))
        lost = it.published - len(numbers)
        assert lost > MORE // 2
        assert await it.losses() == {("t", "drop_newest", "newest"): lost}
        end = await it.ledger()
        assert (end.delivered, end.dropped) == (len(numbers) + 1, lost)


@each_client
async def test_disconnect_closes_with_the_reason(client: Any) -> None:
    """What was on its way already, and then why: one that reads within a second sees it."""
    async with stalled(client, "disconnect") as it:
        await until(lambda: it.closed, "its removal")
        await it.read_until(lambda one: one.kind == "closed")
        last = it.seen.pop()
        assert (last.kind, last.number) == ("closed", 3008)
        assert last.text.startswith("slow consumer: ")
        assert last.text == it.closed[0].reason
        numbers = _numbers(it.seen)
        assert numbers == list(range(len(numbers)))
        (end,) = it.closed
        assert (await it.losses()) == {("t", "disconnect", "removed"): end.dropped}
        assert end.delivered + end.dropped <= it.published
        assert end.delivered <= len(numbers), "what counts as delivered has arrived"
        assert (await it.http.get("/api/slow-consumers")).json()["removed"] == 1


async def test_the_default_is_catch_up_where_there_is_history() -> None:
    """And disconnecting elsewhere: nothing is lost that need not be, and nothing waits for what cannot come."""
    async with stalled((JsonClient, "topics"), "auto", history=LONG) as it:
        assert _numbers(await it.recover()) == list(range(it.published))
    async with stalled((JsonClient, "topics"), "auto", history=HistoryLimits(publications=0)) as it:
        await until(lambda: it.closed, "its removal")
        assert it.closed[0].reason.startswith("slow consumer: ")
