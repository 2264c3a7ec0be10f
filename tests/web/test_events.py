from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.requests import Request

from asgi_fakes import Peer, started_node, until
from portcast.config import HttpOptions
from portcast.errors import TopicError
from portcast.history import HistoryLimits
from portcast.runtime import Node
from portcast.web.events import EventStream, event_stream, wish_of
from portcast.web.resume import Encodings

pytestmark = pytest.mark.anyio


def _scope(query: str = "", last_event_id: str = "", http_version: str = "1.1") -> dict[str, Any]:
    headers = [(b"last-event-id", last_event_id.encode())] if last_event_id else []
    return {
        "type": "http",
        "method": "GET",
        "http_version": http_version,
        "query_string": query.encode(),
        "headers": headers,
        "client": ("192.0.2.7", 5),
    }


def _stream(node: Node, path: str | None, scope: dict[str, Any], **options: Any) -> EventStream:
    encodings = Encodings(node.broker.node_epoch, node.unix_time)
    return event_stream(wish_of(Request(scope), path), lambda: node, encodings, HttpOptions(**options))


@asynccontextmanager
async def streaming(
    node: Node, path: str | None = None, query: str = "", last_event_id: str = "", **options: Any
) -> AsyncIterator[Peer]:
    peer, scope = Peer(), _scope(query, last_event_id)
    task = asyncio.ensure_future(_stream(node, path, scope, **options)(scope, peer.receive, peer.send))
    await until(lambda: node.hub.subscribers, "the subscription")
    yield peer
    peer.says({"type": "http.disconnect"})
    with anyio.fail_after(5):
        await task
    assert not node.hub.subscribers


async def test_the_stream_begins_at_once() -> None:
    """A client knows that it is connected before anything happens, and no proxy keeps anything back."""
    async with started_node() as node, streaming(node) as peer:
        (subscriber,) = node.hub.subscribers
        assert (subscriber.transport, subscriber.peer) == ("events", "192.0.2.7:5")
        start, body = peer.sent
        assert start["status"] == 200
        headers = dict(start["headers"])
        assert headers.pop(b"content-type") == b"text/event-stream; charset=utf-8"
        assert headers == {
            b"cache-control": b"no-store",
            b"x-accel-buffering": b"no",
            b"x-content-type-options": b"nosniff",
            b"connection": b"close",
        }
        assert body == {"type": "http.response.body", "body": b": connected\n\n", "more_body": True}


async def test_connection_is_a_word_of_http_1() -> None:
    """RFC 9113 §8.2.2 forbids it in HTTP/2."""
    async with started_node() as node:
        await node.drain()
        peer, scope = Peer(), _scope(http_version="2")
        await _stream(node, None, scope)(scope, peer.receive, peer.send)
        assert b"connection" not in dict(peer.sent[0]["headers"])


async def test_publications_are_events_with_ids() -> None:
    """The id is where a browser resumes by itself."""
    async with started_node() as node, streaming(node, "a") as peer:
        position = node.publish_nowait("a", [b"x\ny"])
        await until(lambda: len(peer.sent) == 3, "an event")
        assert peer.body == f": connected\n\nid: {position}\ndata: x\ndata: y\n\n".encode()


async def test_envelopes() -> None:
    """``format=json``."""
    async with started_node() as node, streaming(node, query="format=json") as peer:
        node.publish_nowait("a", [b"x"])
        await until(lambda: len(peer.sent) == 3, "an event")
        assert b'data: {"topic":"a"' in peer.body


@pytest.mark.parametrize("where", ["header", "query"])
async def test_it_resumes(where: str) -> None:
    """From the header, or from the query for clients that cannot set it."""
    async with started_node() as node:
        since = str(node.publish_nowait("a", [b"0"]))
        node.publish_nowait("a", [b"1", b"2"])
        asked = {"last_event_id": since} if where == "header" else {"query": f"since={since}"}
        async with streaming(node, "a", **asked) as peer:
            await until(lambda: b"data: 2" in peer.body, "the missed events")
            assert b"data: 0" not in peer.body
            assert b"event: gap" not in peer.body


async def test_a_gap_is_an_event() -> None:
    """With the number missed."""
    async with started_node(history=HistoryLimits(publications=1)) as node:
        since = str(node.publish_nowait("a", [b"0"]))
        node.publish_nowait("a", [b"1", b"2", b"3"])
        async with streaming(node, "a", last_event_id=since) as peer:
            await until(lambda: b"data: 3" in peer.body, "the last event")
            assert b'event: gap\ndata: {"missed":2,"exact":true}\n\n' in peer.body


async def test_silence_is_filled_with_comments() -> None:
    """As often as WebSockets are pinged."""
    async with started_node() as node, streaming(node, ping_interval_s=0.1) as peer:
        await until(lambda: b": keepalive\n\n" in peer.body, "a keepalive")


async def test_the_stream_ends_with_the_server() -> None:
    """In order, so that `EventSource` comes back by itself, after the last publication."""
    async with started_node() as node:
        peer, scope = Peer(), _scope()
        task = asyncio.ensure_future(_stream(node, None, scope)(scope, peer.receive, peer.send))
        await until(lambda: node.hub.subscribers, "the subscription")
        node.publish_nowait("a", [b"last"])
        await node.drain()
        with anyio.fail_after(5):
            await task
        assert b"data: last\n\n: closing 1012 server is restarting\n\n" in peer.body
        assert peer.sent[-1]["more_body"] is False


async def test_a_stop_that_begins_while_the_head_is_sent_ends_the_stream() -> None:
    """A middleware may make `send` wait; a subscriber that comes after the goodbye would hold the drain up."""
    async with started_node() as node:
        peer, scope = Peer(), _scope()
        peer.may_take.clear()
        task = asyncio.ensure_future(_stream(node, None, scope)(scope, peer.receive, peer.send))
        await node.drain()
        peer.may_take.set()
        with anyio.fail_after(5):
            await task
        assert peer.body == b": connected\n\n: closing 1012 the server is not ready\n\n"
        assert not node.hub.subscribers


async def test_bad_requests_are_told_before_the_stream_begins() -> None:
    """As exceptions for the route to answer with 400."""
    with pytest.raises(TopicError, match="last level"):
        wish_of(Request(_scope()), "a/#/b")
    with pytest.raises(ValueError, match="history must be"):
        wish_of(Request(_scope("history=x")), None)
