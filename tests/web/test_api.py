from __future__ import annotations

import asyncio
import json
import logging
import socket
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import time
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI

from asgi_fakes import until
from gateway_serving import app_with, feed, http, port_of, running, serving
from portcast import Gateway, HistoryLimits, HttpOptions
from portcast.config import GatewayOptions, TopicOptions
from portcast.delivery import Batch, OutboxLimits
from portcast.web.encodings import WebSocketPlain

pytestmark = pytest.mark.anyio

LOCAL = "tcp://127.0.0.1:0"


@asynccontextmanager
async def api(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with running(gateway) as app, http(app) as client:
        yield client


# Topics


async def test_topics_are_listed_by_name() -> None:
    """With position, what is retained and when the newest came, in Unix seconds."""
    gateway = Gateway()
    async with api(gateway) as client:
        at = gateway.publish_nowait("b/x", b"12345")
        gateway.publish_nowait("a", b"1")
        gateway.publish_nowait("$sys", b"1")
        answer = (await client.get("/api/topics")).json()
        assert [one["topic"] for one in answer["topics"]] == ["a", "b/x"]  # a wildcard leaves $ topics out
        assert answer["next"] is None
        one = answer["topics"][1]
        assert abs(one.pop("published_at") - time()) < 5
        assert one == {
            "topic": "b/x",
            "epoch": at.epoch,
            "offset": 1,
            "retained": 1,
            "retained_bytes": 5,
            "subscribers": 0,
        }


@pytest.mark.parametrize(
    ("query", "names", "next_name"),
    [
        ("", ["a", "b/1", "b/2", "c"], None),
        ("?filter=b/%2B", ["b/1", "b/2"], None),
        ("?filter=b/+", ["b/1", "b/2"], None),
        ("?after=a+b", ["b/1", "b/2", "c"], None),
        ("?filter=$%23", [], None),
        ("?filter=$s", ["$s"], None),
        ("?limit=2", ["a", "b/1"], "b/1"),
        ("?limit=2&after=b/1", ["b/2", "c"], None),
        ("?limit=4", ["a", "b/1", "b/2", "c"], None),
        ("?after=c", [], None),
    ],
)
async def test_topics_by_filter_and_page(query: str, names: list[str], next_name: str | None) -> None:
    """``next`` is passed as ``after``; it is null on the last page, also when that is full."""
    gateway = Gateway()
    async with api(gateway) as client:
        for topic in ("c", "b/1", "a", "b/2", "$s"):
            gateway.publish_nowait(topic, b"")
        answer = (await client.get(f"/api/topics{query}")).json()
        assert ([one["topic"] for one in answer["topics"]], answer["next"]) == (names, next_name)


async def test_mistyped_parameters_are_refused_and_declared_ones_are_not() -> None:
    """A mistyped filter would list everything. What OpenAPI declares is what is known, on every route."""
    async with api(Gateway()) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        asked = 0
        for path, operations in paths.items():
            for one in operations.get("get", {}).get("parameters", []):
                if one["in"] != "query":
                    continue
                address, name = path.replace("{topic}", "a").replace("{filter}", "a"), one["name"]
                answer = await client.get(f"{address}?{name}x=1")
                assert answer.status_code == 400, (address, name, answer.text)
                assert answer.json() == {"detail": f"unknown parameter '{name}x': did you mean '{name}'?"}
                if not path.startswith("/events"):
                    assert "unknown" not in (await client.get(f"{address}?{name}=1")).text
                asked += 1
        assert asked == 4 + 4 + 3 + 3 + 3 + 1 + 4 + 4 + 2 + 4 * 2
        assert (await client.get("/api/topics?token=secret&_=1")).status_code == 200


# History


async def test_history_tells_text_and_bytes_apart() -> None:
    """One payload field per publication: no null beside it."""
    gateway = Gateway()
    async with api(gateway) as client:
        gateway.publish_nowait("a/b", "grüße")
        at = gateway.publish_nowait("a/b", b"\xff")
        answer = (await client.get("/api/topics/a/b/history")).json()
        text, binary = answer.pop("publications")
        assert answer == {"topic": "a/b", "epoch": at.epoch, "offset": 2}
        assert {one.pop("time") > 1.7e9 for one in (text, binary)} == {True}
        assert text == {"offset": 1, "data": "grüße"}
        assert binary.keys() == {"offset", "base64"}
        assert b64decode(binary["base64"]) == b"\xff"


@pytest.mark.parametrize(
    ("query", "offsets"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("?limit=2", [1, 2]),
        ("?limit=0", []),
        ("?reverse=true", [5, 4, 3, 2, 1]),
        ("?reverse=true&limit=2", [5, 4]),
        ("?since={epoch}:3", [4, 5]),
        ("?since={epoch}:5", []),
        ("?since={epoch}:4&reverse=true", [3, 2, 1]),
        ("?since=other:3", []),
    ],
)
async def test_history_by_position_and_page(query: str, offsets: list[int]) -> None:
    """After a position, or in reverse before it."""
    gateway = Gateway()
    async with api(gateway) as client:
        for _ in range(5):
            at = gateway.publish_nowait("a", b"")
        answer = (await client.get(f"/api/topics/a/history{query.format(epoch=at.epoch)}")).json()
        assert [one["offset"] for one in answer["publications"]] == offsets


async def test_history_of_a_topic_that_is_not_known() -> None:
    """Not an error: it may begin any moment, and the position is where a client can resume from then."""
    async with api(Gateway()) as client:
        answer = (await client.get("/api/topics/nobody/history")).json()
        assert (answer["offset"], answer["publications"]) == (0, [])


async def test_a_topic_may_be_called_history() -> None:
    """The last ``/history`` of a GET is the route's, and a POST has none; so each name has one address."""
    gateway = Gateway()
    async with api(gateway) as client:
        for topic in ("a", "a/history", "a/history/history", "history"):
            answer = await client.post(f"/api/topics/{topic}", content=topic)
            assert answer.json()["topic"] == topic
        for topic in ("a", "a/history", "a/history/history", "history"):
            answer = await client.get(f"/api/topics/{topic}/history")
            assert [one["data"] for one in answer.json()["publications"]] == [topic]
        assert (await client.get("/api/topics/history")).status_code == 405


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        pytest.param("/api/topics?filter=a/%23/b", 400, "last level", id="filter"),
        pytest.param("/api/topics?limit=0", 422, "limit", id="limit too small"),
        pytest.param("/api/topics?limit=1001", 422, "limit", id="limit too large"),
        pytest.param("/api/topics/a/history?limit=-1", 422, "limit", id="history limit"),
        pytest.param("/api/topics/a/history?limit=x", 422, "limit", id="not a number"),
        pytest.param("/api/topics/a/history?since=x", 400, "epoch:offset", id="since without colon"),
        pytest.param("/api/topics/a/history?since=:5", 400, "epoch:offset", id="since without epoch"),
        pytest.param("/api/topics/a/history?since=e:-5", 400, "epoch:offset", id="since negative"),
        pytest.param("/api/topics/a/history?since=e:" + "9" * 20, 400, "epoch:offset", id="since too long"),
        pytest.param("/api/topics//history", 400, "empty", id="empty topic"),
        pytest.param("/api/topics/a/%23/history", 400, "wildcards", id="wildcard topic"),
        pytest.param("/api/connections?limit=0", 422, "limit", id="connections limit"),
    ],
)
async def test_wrong_questions_are_refused_in_words(path: str, status: int, problem: str) -> None:
    """Whose fault it is, and what to do."""
    async with api(Gateway()) as client:
        answer = await client.get(path)
        assert answer.status_code == status
        assert problem in answer.text


# Publishing


async def test_publishing_takes_the_body_byte_for_byte() -> None:
    """Whatever its content type, and returns the position."""
    gateway = Gateway()
    async with api(gateway) as client:
        body = bytes(range(256))
        answer = await client.post("/api/topics/a/b", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 200
        position = answer.json()
        assert (position["topic"], position["offset"]) == ("a/b", 1)
        again = (await client.post("/api/topics/a/b", content=b"")).json()
        assert again == {**position, "offset": 2}
        history = (await client.get("/api/topics/a/b/history")).json()["publications"]
        assert [b64decode(one.get("base64", "")) for one in history] == [body, b""]


@pytest.mark.parametrize(
    ("path", "headers", "size", "status", "problem"),
    [
        pytest.param("a/%23", {}, 1, 400, "wildcards", id="wildcard"),
        pytest.param("a%00b", {}, 1, 400, "control character", id="control character"),
        pytest.param("x" * 256, {}, 1, 400, "longer than 255", id="too long"),
        pytest.param("", {}, 1, 400, "empty", id="empty"),
        pytest.param("$sys/x", {}, 1, 400, "server's own", id="system topic"),
        pytest.param("a", {"origin": "https://evil.example"}, 1, 403, "origin", id="foreign origin"),
        pytest.param("a", {"origin": "null"}, 1, 403, "origin", id="sandboxed page"),
        pytest.param("a", {}, 101, 413, "at most 100 bytes", id="too large"),
    ],
)
async def test_what_may_not_be_published(
    path: str, headers: dict[str, str], size: int, status: int, problem: str
) -> None:
    """Nothing is published then."""
    gateway = Gateway(http=HttpOptions(max_message_bytes=100))
    async with api(gateway) as client:
        answer = await client.post(f"/api/topics/{path}", content=b"x" * size, headers=headers)
        assert answer.status_code == status
        assert problem in answer.json()["detail"]
        assert (await client.get("/api/topics")).json()["topics"] == []


async def test_the_largest_message_passes() -> None:
    """The limit is inclusive; and the server's own page and listed ones may publish."""
    gateway = Gateway(http=HttpOptions(max_message_bytes=100, allowed_origins=("https://ops.example",)))
    async with api(gateway) as client:
        for origin in ("http://testserver", "https://ops.example"):
            answer = await client.post("/api/topics/a", content=b"x" * 100, headers={"origin": origin})
            assert answer.status_code == 200


async def test_a_large_body_is_refused_before_it_has_all_come() -> None:
    """Memory is bounded by the limit, not by what a client sends."""
    gateway = Gateway(http=HttpOptions(max_message_bytes=100))
    asked = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(1000):
            asked += 1
            yield b"x" * 60

    async with serving(app_with(gateway)) as served:
        answer = await served.http.post("/api/topics/a", content=body())
        assert answer.status_code == 413
        assert gateway.is_running


async def test_a_client_that_breaks_off_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is published, and no traceback is logged for what a peer did."""
    gateway = Gateway()
    with caplog.at_level(logging.ERROR):
        async with serving(app_with(gateway)) as served:
            with socket.create_connection(("127.0.0.1", served.port)) as peer:
                peer.sendall(b"POST /api/topics/a HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
                await until(lambda: gateway.is_running, "the server")
            assert (await served.http.get("/api/topics")).json()["topics"] == []
    assert caplog.records == []


async def test_publishing_waits_while_the_topic_is_held() -> None:
    """An HTTP publisher feels a slow subscriber as a device does."""
    gateway = Gateway()
    async with api(gateway) as client:
        hub = gateway._running().hub
        held, released = [True], []
        hub.is_held = lambda name: held[0]  # type: ignore[method-assign]
        hub.when_released = lambda name, callback: released.append(callback)  # type: ignore[method-assign]
        task = asyncio.ensure_future(client.post("/api/topics/a", content=b"x"))
        await until(lambda: released, "the publisher to wait")
        assert (await client.get("/api/topics")).json()["topics"] == []
        held[0] = False
        released[0]()
        with anyio.fail_after(5):
            assert (await task).json()["offset"] == 1


# Listeners and connections


async def test_listeners_are_listed_with_their_counters() -> None:
    """Everything a dashboard shows, in one answer."""
    gateway = Gateway()
    gateway.relay(LOCAL, topic="logs", name="first")

    @gateway.listen(LOCAL)
    async def handle(message: bytes) -> None: ...

    async with api(gateway) as client:
        await feed(gateway, b"a\nbc\n")
        await until(lambda: gateway.listeners[0].statistics().frames == 2, "two frames")
        await until(lambda: gateway.listeners[0].statistics().connections == 0, "the end")
        answer = (await client.get("/api/listeners")).json()
        first, second = answer.pop("listeners")
        assert first == {
            "name": "first",
            "address": f"tcp://127.0.0.1:{port_of(gateway)}",
            "framing": first["framing"],
            "target": "topic logs",
            "state": "accepting",
            "connections": 0,
            "accepted": 1,
            "frames": 2,
            "bytes_received": 5,
            "bytes_sent": 0,
            "errors": {},
        }
        assert first["framing"]
        assert second["name"] == second["address"] == f"tcp://127.0.0.1:{port_of(gateway, 1)}"
        assert second["target"].startswith("handler ")
        assert answer.keys() == {"version", "subscribers", "delivered", "dropped", "max_connections", "devices"}
        assert (answer["subscribers"], answer["delivered"], answer["dropped"]) == (0, 0, 0)
        assert answer["max_connections"] == gateway.max_connections


class Stuck:
    """The sink of a client that never reads."""

    buffered = 0

    def write(self, batch: Batch) -> bool:
        return False

    def write_now(self, items: Sequence[object]) -> bool:
        return False

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...


async def test_slow_consumers_are_told_with_what_was_lost() -> None:
    """Who does not keep up, by how much, and what it cost: nothing is dropped in silence."""
    gateway = Gateway(
        outbox=OutboxLimits(soft_messages=2, hard_bytes=20),
        topics={"a/#": TopicOptions(patience_s=0, slow_consumer="drop_newest")},
    )
    async with api(gateway) as client:
        hub = gateway._running().hub
        told = (await client.get("/api/slow-consumers")).json()
        assert told["now"] == told["losses"] == []
        subscribers = [
            hub.subscribe(["a/#"], WebSocketPlain(), Stuck(), transport="websocket", peer=f"192.0.2.7:{number}")
            for number in range(3)
        ]
        for number in range(10):
            gateway.publish_nowait(f"a/{number % 2}", b"12345")
            hub.flush()
        subscribers[0].ended("client left")
        answer = (await client.get("/api/slow-consumers")).json()
        assert answer.pop("now") == [
            {
                "id": one.id,
                "transport": "websocket",
                "peer": one.peer,
                "filters": ["a/#"],
                "standing": "demoted",
                "policy": "drop_newest",
                "waiting": one.outbox.waiting_messages,
                "waiting_bytes": one.outbox.waiting_messages * 5,
                "behind": 0,
            }
            for one in sorted(subscribers[1:], key=hub.subscribers.index)
        ]
        losses = answer.pop("losses")
        assert [one["messages"] for one in losses] == sorted((one["messages"] for one in losses), reverse=True)
        assert {(one["topic"], one["policy"], one["reason"]) for one in losses} == {
            ("a/0", "drop_newest", "newest"),
            ("a/1", "drop_newest", "newest"),
            ("a/#", "drop_newest", "left"),
        }
        assert answer["dropped"] == sum(one["messages"] for one in losses)
        assert answer["delivered"] + answer["dropped"] + answer["waiting"] + answer["behind"] == 3 * 10
        assert (answer["subscribers"], answer["slow"], answer["demoted"], answer["removed"]) == (2, 3, 3, 0)
        short = (await client.get("/api/slow-consumers?limit=1")).json()
        assert (len(short["now"]), short["losses"]) == (1, losses[:1])
        hub.abort()


async def test_one_that_holds_its_publishers_is_told() -> None:
    """So that who wonders why a device is paused finds the client that does it."""
    gateway = Gateway(outbox=OutboxLimits(soft_messages=2))
    async with api(gateway) as client:
        hub = gateway._running().hub
        hub.subscribe(["#"], WebSocketPlain(), Stuck(), transport="websocket")
        for _ in range(4):
            gateway.publish_nowait("a", b"")
            hub.flush()
        (one,) = (await client.get("/api/slow-consumers")).json()["now"]
        assert (one["standing"], one["policy"], one["waiting"]) == ("holding", "catch_up", 4)
        hub.abort()


async def test_connections_are_listed_in_pages() -> None:
    """Each device once, over all pages, and by listener."""
    gateway = Gateway()
    gateway.relay(LOCAL, topic="a", name="one")
    gateway.relay(LOCAL, topic="b", name="two")
    async with api(gateway) as client:
        devices = [socket.create_connection(("127.0.0.1", port_of(gateway, number))) for number in (0, 0, 0, 1)]
        await until(lambda: sum(one.statistics().connections for one in gateway.listeners) == 4, "four devices")
        first = (await client.get("/api/connections?limit=3")).json()
        last = (await client.get("/api/connections", params={"limit": 3, "after": first["next"]})).json()
        assert (len(first["connections"]), len(last["connections"]), last["next"]) == (3, 1, None)
        found = [*first["connections"], *last["connections"]]
        ports = {f"127.0.0.1:{device.getsockname()[1]}" for device in devices}
        assert {one["peer"] for one in found} == ports
        assert [one["id"] for one in found] == sorted({one["id"] for one in found})
        assert all(abs(one["opened_at"] - time()) < 5 and one["is_reading"] for one in found)
        only = (await client.get("/api/connections?listener=two")).json()["connections"]
        assert [one["listener"] for one in only] == ["two"]
        assert (await client.get("/api/connections?listener=none")).json() == {"connections": [], "next": None}
        for device in devices:
            device.close()


# Health and states


async def _states(client: httpx.AsyncClient) -> dict[str, tuple[int, Any]]:
    answers = {path: await client.get(f"/health/{path}") for path in ("live", "ready")}
    return {path: (answer.status_code, answer.json()["status"]) for path, answer in answers.items()}


async def test_short_of_memory_nobody_is_let_in() -> None:
    """Not ready, and nothing is published; what there is to know can still be asked."""
    gateway = Gateway(options=GatewayOptions(memory_limit_bytes=1 << 39))
    async with api(gateway) as client:
        node = gateway.node
        seen = (await client.get("/api/memory")).json()
        assert (seen["is_short"], seen["limit_bytes"], seen["limit_source"]) == (False, 1 << 39, "option")
        assert seen["used_bytes"] == pytest.approx(node.memory.statistics().use.resident, rel=0.2)
        gateway.publish_nowait("t", b"x")
        node.memory.is_short = True
        assert await _states(client) == {"live": (200, "ok"), "ready": (503, "memory")}
        refused = await client.post("/api/topics/a", content=b"x")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json() == {"detail": "memory is short"}
        seen = (await client.get("/api/memory")).json()
        assert seen["is_short"]
        assert seen["buffered"]["total"] == seen["buffered"]["history"] > 0


async def test_health_in_all_states() -> None:
    """Live as long as the loop turns; ready only while devices and clients are taken."""
    gateway = Gateway(options=GatewayOptions(drain_timeout_s=5))

    release = asyncio.Event()

    @gateway.listen(LOCAL)
    async def handle(message: bytes) -> None:
        await release.wait()

    app = app_with(gateway)
    async with http(app) as client:
        assert await _states(client) == {"live": (200, "ok"), "ready": (503, "stopped")}
        async with app.router.lifespan_context(app):
            assert await _states(client) == {"live": (200, "ok"), "ready": (200, "ready")}
            await feed(gateway, b"x\n")
            await until(lambda: gateway.listeners[0].statistics().frames, "a frame")
            drain = asyncio.ensure_future(gateway.drain())
            await until(lambda: gateway.listeners[0].state == "stopped", "the drain to begin")
            assert await _states(client) == {"live": (200, "ok"), "ready": (503, "draining")}
            assert (await client.post("/api/topics/a", content=b"x")).status_code == 503
            release.set()
            await drain
        assert await _states(client) == {"live": (200, "ok"), "ready": (503, "stopped")}


@pytest.mark.parametrize(
    "path", ["/api/topics", "/api/topics/a/history", "/api/listeners", "/api/connections", "/api/slow-consumers"]
)
async def test_before_the_start_the_api_says_so(path: str) -> None:
    """An application that is served without its lifespan gets a reason and not a traceback."""
    async with http(app_with(Gateway())) as client:
        answer = await client.get(path)
        assert answer.status_code == 503
        assert "not running" in answer.json()["detail"]
        assert (await client.post("/api/topics/a", content=b"")).status_code == 503


# OpenAPI


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [one for value in node.values() for one in _references(value)]
    return [one for value in node for one in _references(value)] if isinstance(node, list) else []


def test_openapi_is_complete_and_consistent() -> None:
    """Every route has a summary, a description, an id of its own and its errors; every reference leads somewhere."""
    app = FastAPI()
    app.include_router(Gateway(history=HistoryLimits()), prefix="/gw")
    document = app.openapi()
    json.dumps(document)
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert set(document["paths"]) == {
        "/gw/api/history",
        "/gw/api/topics",
        "/gw/api/topics/{topic}/history",
        "/gw/api/topics/{topic}",
        "/gw/api/listeners",
        "/gw/api/connections",
        "/gw/api/memory",
        "/gw/api/slow-consumers",
        "/gw/api/devices",
        "/gw/api/devices/{device}",
        "/gw/api/devices/{device}/approve",
        "/gw/api/devices/{device}/commands",
        "/gw/api/devices/{device}/commands/{command}",
        "/gw/api/connections/{connection}",
        "/gw/api/connections/{connection}/frames",
        "/gw/api/devices/{device}/frames",
        "/gw/api/recorder",
        "/gw/api/recorder/frames",
        "/gw/api/recorder/rules/{rule}",
        "/gw/events",
        "/gw/events/{filter}",
        "/gw/health/live",
        "/gw/health/ready",
        "/gw/session",
    }
    ids = [one["operationId"] for one in operations]
    assert len(ids) == len(set(ids)) == len(operations)
    for one in operations:
        assert one["summary"]
        assert one["description"]
        assert one["tags"]
        names = [(parameter["in"], parameter["name"]) for parameter in one.get("parameters", [])]
        assert len(names) == len(set(names))
        assert all(parameter.get("description") for parameter in one.get("parameters", []) if parameter["in"] != "path")
        assert all(answer["description"] for answer in one["responses"].values())
    for reference in _references(document):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
    body = document["paths"]["/gw/api/topics/{topic}"]["post"]["requestBody"]
    assert body["content"]["application/octet-stream"]["schema"]["format"] == "binary"
    stream = document["paths"]["/gw/events/{filter}"]["get"]
    assert {one["name"] for one in stream["parameters"]} == {
        "filter",
        "format",
        "since",
        "history",
        "Last-Event-ID",
    }
    assert list(stream["responses"]["200"]["content"]) == ["text/event-stream"]
